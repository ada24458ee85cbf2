//! The bodies of kernel functions, by name.
//!
//! A program names a function by its type in the kernel's BTF; translated, it names the body's
//! place in [`LIST`]. Arguments are a verified program's registers. Unlike helpers' contracts, those
//! of kernel functions are not a table here: each body has the memory that it takes checked.

mod bits;
mod cpumask;
mod guard;
mod number;
#[cfg(test)]
mod parity;
mod read;
mod session;
#[cfg(test)]
mod tests;
mod text;

use interp::Trap;

use super::{Body, Call, dynptr, guard as check};

/// Name, body.
const LIST: &[(&str, Body)] = &[
    ("bpf_cast_to_kern_ctx", guard::same),
    ("bpf_copy_from_user_dynptr", read::user),
    ("bpf_copy_from_user_str", read::user_text),
    ("bpf_copy_from_user_str_dynptr", read::user_text_to),
    ("bpf_copy_from_user_task_dynptr", read::task),
    ("bpf_copy_from_user_task_str", read::task_text),
    ("bpf_copy_from_user_task_str_dynptr", read::task_text_to),
    ("bpf_cpumask_and", cpumask::and),
    ("bpf_cpumask_any_and_distribute", cpumask::first_and),
    ("bpf_cpumask_any_distribute", cpumask::first),
    ("bpf_cpumask_clear", cpumask::clear),
    ("bpf_cpumask_clear_cpu", cpumask::clear_cpu),
    ("bpf_cpumask_copy", cpumask::copy),
    ("bpf_cpumask_empty", cpumask::empty),
    ("bpf_cpumask_equal", cpumask::equal),
    ("bpf_cpumask_first", cpumask::first),
    ("bpf_cpumask_first_and", cpumask::first_and),
    ("bpf_cpumask_first_zero", cpumask::first_zero),
    ("bpf_cpumask_full", cpumask::full),
    ("bpf_cpumask_intersects", cpumask::intersects),
    ("bpf_cpumask_or", cpumask::or),
    ("bpf_cpumask_populate", cpumask::populate),
    ("bpf_cpumask_set_cpu", cpumask::set_cpu),
    ("bpf_cpumask_setall", cpumask::set_all),
    ("bpf_cpumask_subset", cpumask::subset),
    ("bpf_cpumask_test_and_clear_cpu", cpumask::test_and_clear),
    ("bpf_cpumask_test_and_set_cpu", cpumask::test_and_set),
    ("bpf_cpumask_test_cpu", cpumask::test),
    ("bpf_cpumask_weight", cpumask::weight),
    ("bpf_cpumask_xor", cpumask::xor),
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
    ("bpf_iter_bits_destroy", bits::destroy),
    ("bpf_iter_bits_new", bits::new),
    ("bpf_iter_bits_next", bits::next),
    ("bpf_iter_num_destroy", number::destroy),
    ("bpf_iter_num_new", number::new),
    ("bpf_iter_num_next", number::next),
    ("bpf_local_irq_restore", guard::nothing),
    ("bpf_local_irq_save", guard::irq_save),
    ("bpf_map_sum_elem_count", guard::elements),
    ("bpf_preempt_disable", guard::nothing),
    ("bpf_preempt_enable", guard::nothing),
    ("bpf_probe_read_kernel_dynptr", read::kernel),
    ("bpf_probe_read_kernel_str_dynptr", read::kernel_text),
    ("bpf_probe_read_user_dynptr", read::user),
    ("bpf_probe_read_user_str_dynptr", read::user_text_to),
    ("bpf_rcu_read_lock", guard::nothing),
    ("bpf_rcu_read_unlock", guard::nothing),
    ("bpf_rdonly_cast", guard::same),
    ("bpf_session_cookie", session::cookie),
    ("bpf_session_is_return", session::is_return),
    ("bpf_strcasecmp", text::compare_any_case),
    ("bpf_strchr", text::find_char),
    ("bpf_strchrnul", text::find_char_or_end),
    ("bpf_strcmp", text::compare),
    ("bpf_strcspn", text::span_without),
    ("bpf_strlen", text::len),
    ("bpf_strnchr", text::find_char_within),
    ("bpf_strnlen", text::len_within),
    ("bpf_strnstr", text::find_within),
    ("bpf_strrchr", text::find_last_char),
    ("bpf_strspn", text::span),
    ("bpf_strstr", text::find),
];

/// The number of the function with this name, if it has a body.
pub(crate) fn number(name: &str) -> Option<u32> {
    let at = LIST.binary_search_by_key(&name, |(known, _)| known).ok()?;
    u32::try_from(at).ok()
}

/// The body with this number.
pub(crate) fn body(number: u32) -> Option<Body> {
    LIST.get(number as usize).map(|(_, body)| *body)
}

impl Call<'_, '_> {
    /// Traps unless the program may read `len` bytes at `addr`.
    fn readable(&mut self, addr: u64, len: usize) -> Result<(), Trap> {
        if len == 0 { Ok(()) } else { check::usable(self.run, &*self.vm, addr, len, false) }
    }

    /// Traps unless the program may write `len` bytes at `addr`.
    fn writable(&mut self, addr: u64, len: usize) -> Result<(), Trap> {
        if len == 0 { Ok(()) } else { check::usable(self.run, &*self.vm, addr, len, true) }
    }
}
