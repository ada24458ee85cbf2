//! The bodies of kernel functions, by name.
//!
//! A program names a function by its type in the kernel's BTF; translated, it names the body's
//! place in [`LIST`]. Arguments are a verified program's registers. Unlike helpers' contracts, those
//! of kernel functions are not a table here: each body has the memory that it takes checked.

mod arena;
mod bits;
mod cpumask;
mod file;
mod flow;
mod graph;
mod guard;
mod lock;
mod none;
pub(crate) mod notes;
mod number;
mod object;
mod read;
mod session;
mod stream;
pub(in crate::helpers) mod task;
#[cfg(test)]
mod tests;
mod text;
mod walk;

use interp::Trap;

pub(crate) use object::CPU_SET;
pub(in crate::helpers) use object::grant;
pub(in crate::helpers) use object::{exchange, of_cpu, of_this_cpu};
pub(crate) use walk::Walk;

use super::{Body, Call, dynptr, guard as check, later, packet};

/// Name, body.
const LIST: &[(&str, Body)] = &[
    ("bpf_arena_alloc_pages", arena::alloc),
    ("bpf_arena_free_pages", arena::free),
    ("bpf_arena_reserve_pages", arena::reserve),
    ("bpf_cast_to_kern_ctx", guard::same),
    ("bpf_cgroup_acquire", task::acquire),
    ("bpf_cgroup_ancestor", task::ancestor),
    ("bpf_cgroup_from_id", task::group_from_id),
    ("bpf_cgroup_read_xattr", file::group_attribute),
    ("bpf_cgroup_release", object::release),
    ("bpf_copy_from_user_dynptr", read::user),
    ("bpf_copy_from_user_str", read::user_text),
    ("bpf_copy_from_user_str_dynptr", read::user_text_to),
    ("bpf_copy_from_user_task_dynptr", read::task),
    ("bpf_copy_from_user_task_str", read::task_text),
    ("bpf_copy_from_user_task_str_dynptr", read::task_text_to),
    ("bpf_cpumask_acquire", object::acquire),
    ("bpf_cpumask_and", cpumask::and),
    ("bpf_cpumask_any_and_distribute", cpumask::first_and),
    ("bpf_cpumask_any_distribute", cpumask::first),
    ("bpf_cpumask_clear", cpumask::clear),
    ("bpf_cpumask_clear_cpu", cpumask::clear_cpu),
    ("bpf_cpumask_copy", cpumask::copy),
    ("bpf_cpumask_create", object::new_set),
    ("bpf_cpumask_empty", cpumask::empty),
    ("bpf_cpumask_equal", cpumask::equal),
    ("bpf_cpumask_first", cpumask::first),
    ("bpf_cpumask_first_and", cpumask::first_and),
    ("bpf_cpumask_first_zero", cpumask::first_zero),
    ("bpf_cpumask_full", cpumask::full),
    ("bpf_cpumask_intersects", cpumask::intersects),
    ("bpf_cpumask_or", cpumask::or),
    ("bpf_cpumask_populate", cpumask::populate),
    ("bpf_cpumask_release", object::release),
    ("bpf_cpumask_set_cpu", cpumask::set_cpu),
    ("bpf_cpumask_setall", cpumask::set_all),
    ("bpf_cpumask_subset", cpumask::subset),
    ("bpf_cpumask_test_and_clear_cpu", cpumask::test_and_clear),
    ("bpf_cpumask_test_and_set_cpu", cpumask::test_and_set),
    ("bpf_cpumask_test_cpu", cpumask::test),
    ("bpf_cpumask_weight", cpumask::weight),
    ("bpf_cpumask_xor", cpumask::xor),
    ("bpf_ct_release", guard::nothing),
    ("bpf_dynptr_adjust", dynptr::adjust),
    ("bpf_dynptr_clone", dynptr::clone),
    ("bpf_dynptr_copy", dynptr::copy),
    ("bpf_dynptr_from_skb", dynptr::from_packet),
    ("bpf_dynptr_from_skb_meta", dynptr::from_meta),
    ("bpf_dynptr_from_xdp", dynptr::from_packet),
    ("bpf_dynptr_is_null", dynptr::is_null),
    ("bpf_dynptr_is_rdonly", dynptr::is_read_only),
    ("bpf_dynptr_memset", dynptr::fill),
    ("bpf_dynptr_size", dynptr::size),
    ("bpf_dynptr_slice", dynptr::slice),
    ("bpf_dynptr_slice_rdwr", dynptr::slice_write),
    ("bpf_get_file_xattr", file::file_attribute),
    ("bpf_get_kmem_cache", none::null),
    ("bpf_get_task_exe_file", file::program),
    ("bpf_iter_bits_destroy", bits::destroy),
    ("bpf_iter_bits_new", bits::new),
    ("bpf_iter_bits_next", bits::next),
    ("bpf_iter_css_destroy", walk::destroy),
    ("bpf_iter_css_new", walk::groups),
    ("bpf_iter_css_next", walk::next),
    ("bpf_iter_css_task_destroy", walk::destroy),
    ("bpf_iter_css_task_new", walk::group_tasks),
    ("bpf_iter_css_task_next", walk::next),
    ("bpf_iter_dmabuf_destroy", walk::destroy),
    ("bpf_iter_dmabuf_new", walk::nothing),
    ("bpf_iter_dmabuf_next", walk::next),
    ("bpf_iter_kmem_cache_destroy", walk::destroy),
    ("bpf_iter_kmem_cache_new", walk::nothing),
    ("bpf_iter_kmem_cache_next", walk::next),
    ("bpf_iter_num_destroy", number::destroy),
    ("bpf_iter_num_new", number::new),
    ("bpf_iter_num_next", number::next),
    ("bpf_iter_task_destroy", walk::destroy),
    ("bpf_iter_task_new", walk::tasks),
    ("bpf_iter_task_next", walk::next),
    ("bpf_iter_task_vma_destroy", walk::destroy),
    ("bpf_iter_task_vma_new", walk::areas),
    ("bpf_iter_task_vma_next", walk::next),
    ("bpf_list_back", graph::back),
    ("bpf_list_front", graph::front),
    ("bpf_list_pop_back", graph::pop_back),
    ("bpf_list_pop_front", graph::pop_front),
    ("bpf_list_push_back_impl", graph::push_back),
    ("bpf_list_push_front_impl", graph::push_front),
    ("bpf_local_irq_restore", guard::nothing),
    ("bpf_local_irq_save", guard::irq_save),
    ("bpf_map_sum_elem_count", guard::elements),
    ("bpf_obj_drop_impl", object::release),
    ("bpf_obj_new_impl", object::new),
    ("bpf_path_d_path", file::path),
    ("bpf_percpu_obj_drop_impl", object::release),
    ("bpf_percpu_obj_new_impl", object::new_per_cpu),
    ("bpf_preempt_disable", guard::nothing),
    ("bpf_preempt_enable", guard::nothing),
    ("bpf_probe_read_kernel_dynptr", read::kernel),
    ("bpf_probe_read_kernel_str_dynptr", read::kernel_text),
    ("bpf_probe_read_user_dynptr", read::user),
    ("bpf_probe_read_user_str_dynptr", read::user_text_to),
    ("bpf_put_file", object::release),
    ("bpf_rbtree_add_impl", graph::add),
    ("bpf_rbtree_first", graph::first),
    ("bpf_rbtree_left", graph::left),
    ("bpf_rbtree_remove", graph::remove),
    ("bpf_rbtree_right", graph::right),
    ("bpf_rbtree_root", graph::top),
    ("bpf_rcu_read_lock", guard::nothing),
    ("bpf_rcu_read_unlock", guard::nothing),
    ("bpf_rdonly_cast", guard::same),
    ("bpf_refcount_acquire_impl", object::acquire),
    ("bpf_res_spin_lock", lock::lock),
    ("bpf_res_spin_lock_irqsave", lock::lock_irq),
    ("bpf_res_spin_unlock", lock::unlock),
    ("bpf_res_spin_unlock_irqrestore", lock::unlock),
    ("bpf_send_signal_task", task::signal),
    ("bpf_session_cookie", session::cookie),
    ("bpf_session_is_return", session::is_return),
    ("bpf_skb_ct_lookup", none::no_connection),
    ("bpf_strcasecmp", text::compare_any_case),
    ("bpf_strchr", text::find_char),
    ("bpf_strchrnul", text::find_char_or_end),
    ("bpf_strcmp", text::compare),
    ("bpf_strcspn", text::span_without),
    ("bpf_stream_vprintk_impl", stream::print),
    ("bpf_strlen", text::len),
    ("bpf_strnchr", text::find_char_within),
    ("bpf_strnlen", text::len_within),
    ("bpf_strnstr", text::find_within),
    ("bpf_strrchr", text::find_last_char),
    ("bpf_strspn", text::span),
    ("bpf_strstr", text::find),
    ("bpf_task_acquire", task::acquire),
    ("bpf_task_from_pid", task::from_number),
    ("bpf_task_from_vpid", task::from_number),
    ("bpf_task_get_cgroup1", task::older_group),
    ("bpf_task_release", object::release),
    ("bpf_task_under_cgroup", task::is_under),
    ("bpf_task_work_schedule_resume_impl", later::task_work),
    ("bpf_task_work_schedule_signal_impl", later::task_work),
    ("bpf_throw", flow::throw),
    ("bpf_wq_init", later::work_init),
    ("bpf_wq_set_callback_impl", later::work_set_callback),
    ("bpf_wq_start", later::work_start),
    ("bpf_xdp_ct_lookup", none::no_connection),
    ("bpf_xdp_get_xfrm_state", none::no_cipher),
    ("bpf_xdp_metadata_rx_hash", none::no_metadata),
    ("bpf_xdp_metadata_rx_timestamp", none::no_metadata),
    ("bpf_xdp_metadata_rx_vlan_tag", none::no_metadata),
    ("bpf_xdp_pull_data", packet::pull_data),
    ("bpf_xdp_xfrm_state_release", guard::nothing),
    ("css_rstat_flush", guard::nothing),
    ("css_rstat_updated", guard::nothing),
];

/// The number of the function with this name, if it has a body.
pub(crate) fn number(name: &str) -> Option<u32> {
    let at = LIST.binary_search_by_key(&name, |(known, _)| known).ok()?;
    u32::try_from(at).ok()
}

/// Whether the function makes objects of a type of the program, whose number it takes.
pub(crate) fn allocates(name: &str) -> bool {
    matches!(name, "bpf_obj_new_impl" | "bpf_percpu_obj_new_impl")
}

/// The body with this number.
pub(crate) fn body(number: u32) -> Option<Body> {
    LIST.get(number as usize).map(|(_, body)| *body)
}

impl Call<'_, '_> {
    /// Traps unless the program may read `len` bytes at `addr`.
    pub(super) fn readable(&mut self, addr: u64, len: usize) -> Result<(), Trap> {
        if len == 0 { Ok(()) } else { check::usable(self.run, &*self.vm, addr, len, false) }
    }

    /// Traps unless the program may write `len` bytes at `addr`.
    pub(super) fn writable(&mut self, addr: u64, len: usize) -> Result<(), Trap> {
        if len == 0 { Ok(()) } else { check::usable(self.run, &*self.vm, addr, len, true) }
    }
}
