//! The bodies of helpers, by number.
//!
//! Arguments are a verified program's registers: memory arguments name memory of the size that
//! the contract says. This module holds the crate's unsafe code.
#![allow(unsafe_code, reason = "the named unsafe module of this crate")]

mod ctx;
mod flow;
mod guard;
mod map;
mod mem;
mod packet;
mod perf;
mod print;
mod probe;
mod ringbuf;
mod skb;
mod system;
mod text;

use interp::{Callback, Trap};
use uapi::Errno;

pub(crate) use ctx::{Ctx, CtxCell};
pub(crate) use guard::check_memory;

use crate::run::Run;

/// A helper call in progress.
pub(crate) struct Call<'c, 'r> {
    pub(crate) run: &'c mut Run<'r>,
    pub(crate) vm: &'c mut dyn Callback,
}

/// What a helper does with r1 to r5; the value is r0.
pub(crate) type Body = fn(&mut Call<'_, '_>, [u64; 5]) -> Result<u64, Trap>;

/// The body of helper `id`, if there is one.
pub(crate) fn body(id: u32) -> Option<Body> {
    TABLE.get(id as usize).copied().flatten()
}

/// A result as r0: 0 or a negative error number.
fn status(result: Result<(), Errno>) -> u64 {
    match result {
        Ok(()) => 0,
        Err(errno) => errno.as_ret(),
    }
}

/// A count as r0, or a negative error number.
fn count(result: Result<u64, Errno>) -> u64 {
    result.unwrap_or_else(Errno::as_ret)
}

const SIZE: usize = 256;

/// Number, name, body.
const LIST: &[(u32, &str, Body)] = &[
    (1, "bpf_map_lookup_elem", map::lookup),
    (2, "bpf_map_update_elem", map::update),
    (3, "bpf_map_delete_elem", map::delete),
    (4, "bpf_probe_read", probe::read),
    (5, "bpf_ktime_get_ns", system::ktime),
    (6, "bpf_trace_printk", print::trace_printk),
    (7, "bpf_get_prandom_u32", system::prandom),
    (8, "bpf_get_smp_processor_id", system::cpu),
    (9, "bpf_skb_store_bytes", skb::store_bytes),
    (10, "bpf_l3_csum_replace", skb::l3_csum_replace),
    (11, "bpf_l4_csum_replace", skb::l4_csum_replace),
    (12, "bpf_tail_call", flow::tail_call),
    (14, "bpf_get_current_pid_tgid", system::pid_tgid),
    (15, "bpf_get_current_uid_gid", system::uid_gid),
    (16, "bpf_get_current_comm", system::comm),
    (23, "bpf_redirect", packet::redirect),
    (25, "bpf_perf_event_output", perf::output),
    (26, "bpf_skb_load_bytes", skb::load_bytes),
    (28, "bpf_csum_diff", packet::csum_diff),
    (39, "bpf_skb_pull_data", skb::pull_data),
    (42, "bpf_get_numa_node_id", system::numa_node),
    (44, "bpf_xdp_adjust_head", packet::adjust_head),
    (45, "bpf_probe_read_str", probe::read_str),
    (51, "bpf_redirect_map", packet::redirect_map),
    (54, "bpf_xdp_adjust_meta", packet::adjust_meta),
    (65, "bpf_xdp_adjust_tail", packet::adjust_tail),
    (68, "bpf_skb_load_bytes_relative", skb::load_bytes_relative),
    (87, "bpf_map_push_elem", map::push),
    (88, "bpf_map_pop_elem", map::pop),
    (89, "bpf_map_peek_elem", map::peek),
    (93, "bpf_spin_lock", system::spin_lock),
    (94, "bpf_spin_unlock", system::spin_unlock),
    (105, "bpf_strtol", text::strtol),
    (106, "bpf_strtoul", text::strtoul),
    (112, "bpf_probe_read_user", probe::read),
    (113, "bpf_probe_read_kernel", probe::read),
    (114, "bpf_probe_read_user_str", probe::read_str),
    (115, "bpf_probe_read_kernel_str", probe::read_str),
    (118, "bpf_jiffies64", system::jiffies),
    (125, "bpf_ktime_get_boot_ns", system::ktime_boot),
    (130, "bpf_ringbuf_output", ringbuf::output),
    (131, "bpf_ringbuf_reserve", ringbuf::reserve),
    (132, "bpf_ringbuf_submit", ringbuf::submit),
    (133, "bpf_ringbuf_discard", ringbuf::discard),
    (134, "bpf_ringbuf_query", ringbuf::query),
    (160, "bpf_ktime_get_coarse_ns", system::ktime_coarse),
    (164, "bpf_for_each_map_elem", flow::for_each),
    (165, "bpf_snprintf", print::snprintf),
    (177, "bpf_trace_vprintk", print::trace_vprintk),
    (181, "bpf_loop", flow::bpf_loop),
    (182, "bpf_strncmp", text::strncmp),
    (188, "bpf_xdp_get_buff_len", packet::buff_len),
    (189, "bpf_xdp_load_bytes", packet::load_bytes),
    (190, "bpf_xdp_store_bytes", packet::store_bytes),
    (195, "bpf_map_lookup_percpu_elem", map::lookup_percpu),
    (208, "bpf_ktime_get_tai_ns", system::ktime_tai),
];

static TABLE: [Option<Body>; SIZE] = table();

const fn table() -> [Option<Body>; SIZE] {
    let mut table: [Option<Body>; SIZE] = [None; SIZE];
    let mut i = 0;
    while i < LIST.len() {
        table[LIST[i].0 as usize] = Some(LIST[i].2);
        i += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::LIST;

    #[test]
    fn numbers_are_linux_s() {
        for (id, name, _) in LIST {
            assert_eq!(uapi::helper(*id).map(|p| p.name.as_ref()), Some(*name));
        }
    }
}
