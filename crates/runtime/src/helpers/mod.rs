//! The bodies of helpers, by number.
//!
//! Arguments are a verified program's registers: memory arguments name memory of the size that
//! the contract says. This module holds the crate's unsafe code.
#![allow(unsafe_code, reason = "the named unsafe module of this crate")]

mod absent;
mod area;
mod cookie;
mod ctx;
mod drain;
mod dynptr;
mod fields;
mod flow;
mod group;
mod guard;
mod infrared;
pub(crate) mod kfunc;
mod later;
mod map;
mod mark;
pub(crate) mod mem;
mod message;
pub(crate) mod notes;
mod packet;
mod perf;
mod print;
mod probe;
mod process;
pub(crate) mod ringbuf;
mod room;
mod route;
mod seq;
mod skb;
mod socket;
mod storage;
mod syscall;
mod sysctl;
mod system;
mod tcp_option;
mod text;
mod tunnel;
mod typed;

use interp::{Callback, Trap};
use uapi::Errno;

pub(crate) use ctx::{Ctx, CtxCell};
pub(crate) use fields::{Fields, Owners};
pub(crate) use guard::check_memory;
pub(crate) use kfunc::Walk;
pub(crate) use mem::{copy as bytes_at, unlock};
pub(crate) use tunnel::Tunnel;

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
    (13, "bpf_clone_redirect", mark::clone_redirect),
    (14, "bpf_get_current_pid_tgid", system::pid_tgid),
    (15, "bpf_get_current_uid_gid", system::uid_gid),
    (16, "bpf_get_current_comm", system::comm),
    (17, "bpf_get_cgroup_classid", mark::none),
    (18, "bpf_skb_vlan_push", room::vlan_push),
    (19, "bpf_skb_vlan_pop", room::vlan_pop),
    (20, "bpf_skb_get_tunnel_key", tunnel::key),
    (21, "bpf_skb_set_tunnel_key", tunnel::set_key),
    (22, "bpf_perf_event_read", perf::read),
    (23, "bpf_redirect", packet::redirect),
    (24, "bpf_get_route_realm", mark::none),
    (25, "bpf_perf_event_output", perf::output),
    (26, "bpf_skb_load_bytes", skb::load_bytes),
    (27, "bpf_get_stackid", process::stack_id),
    (28, "bpf_csum_diff", packet::csum_diff),
    (29, "bpf_skb_get_tunnel_opt", tunnel::options),
    (30, "bpf_skb_set_tunnel_opt", tunnel::set_options),
    (31, "bpf_skb_change_proto", room::change_proto),
    (32, "bpf_skb_change_type", mark::change_type),
    (33, "bpf_skb_under_cgroup", group::skb_under),
    (34, "bpf_get_hash_recalc", mark::hash_recalc),
    (35, "bpf_get_current_task", group::task),
    (36, "bpf_probe_write_user", probe::write_user),
    (37, "bpf_current_task_under_cgroup", group::under),
    (38, "bpf_skb_change_tail", room::change_tail),
    (39, "bpf_skb_pull_data", skb::pull_data),
    (40, "bpf_csum_update", mark::csum_update),
    (41, "bpf_set_hash_invalid", mark::set_hash_invalid),
    (42, "bpf_get_numa_node_id", system::numa_node),
    (43, "bpf_skb_change_head", room::change_head),
    (44, "bpf_xdp_adjust_head", packet::adjust_head),
    (45, "bpf_probe_read_str", probe::read_str),
    (46, "bpf_get_socket_cookie", socket::cookie),
    (47, "bpf_get_socket_uid", socket::uid),
    (48, "bpf_set_hash", mark::set_hash),
    (49, "bpf_setsockopt", socket::set_option),
    (50, "bpf_skb_adjust_room", room::adjust_room),
    (51, "bpf_redirect_map", packet::redirect_map),
    (52, "bpf_sk_redirect_map", socket::redirect_map),
    (53, "bpf_sock_map_update", socket::put),
    (54, "bpf_xdp_adjust_meta", packet::adjust_meta),
    (55, "bpf_perf_event_read_value", perf::read_value),
    (56, "bpf_perf_prog_read_value", absent::perf_value),
    (57, "bpf_getsockopt", socket::option),
    (58, "bpf_override_return", process::override_return),
    (59, "bpf_sock_ops_cb_flags_set", socket::set_callbacks),
    (60, "bpf_msg_redirect_map", socket::redirect_map),
    (61, "bpf_msg_apply_bytes", message::apply),
    (62, "bpf_msg_cork_bytes", message::cork),
    (63, "bpf_msg_pull_data", message::pull),
    (64, "bpf_bind", socket::bind),
    (65, "bpf_xdp_adjust_tail", packet::adjust_tail),
    (66, "bpf_skb_get_xfrm_state", mark::xfrm_state),
    (67, "bpf_get_stack", process::stack),
    (68, "bpf_skb_load_bytes_relative", skb::load_bytes_relative),
    (69, "bpf_fib_lookup", route::fib_lookup),
    (70, "bpf_sock_hash_update", socket::put),
    (71, "bpf_msg_redirect_hash", socket::redirect_hash),
    (72, "bpf_sk_redirect_hash", socket::redirect_hash),
    (73, "bpf_lwt_push_encap", room::push_encap),
    (74, "bpf_lwt_seg6_store_bytes", mark::invalid),
    (75, "bpf_lwt_seg6_adjust_srh", mark::invalid),
    (76, "bpf_lwt_seg6_action", absent::seg6_action),
    (77, "bpf_rc_repeat", infrared::repeat),
    (78, "bpf_rc_keydown", infrared::key_down),
    (79, "bpf_skb_cgroup_id", socket::cgroup_id),
    (80, "bpf_get_current_cgroup_id", group::current),
    (81, "bpf_get_local_storage", storage::at_own_group),
    (82, "bpf_sk_select_reuseport", socket::select),
    (83, "bpf_skb_ancestor_cgroup_id", socket::ancestor_group),
    (84, "bpf_sk_lookup_tcp", socket::find_tcp),
    (85, "bpf_sk_lookup_udp", socket::find_udp),
    (86, "bpf_sk_release", socket::release),
    (87, "bpf_map_push_elem", map::push),
    (88, "bpf_map_pop_elem", map::pop),
    (89, "bpf_map_peek_elem", map::peek),
    (90, "bpf_msg_push_data", message::push),
    (91, "bpf_msg_pop_data", message::pop),
    (92, "bpf_rc_pointer_rel", infrared::pointer),
    (93, "bpf_spin_lock", system::spin_lock),
    (94, "bpf_spin_unlock", system::spin_unlock),
    (95, "bpf_sk_fullsock", socket::full),
    (96, "bpf_tcp_sock", socket::tcp),
    (97, "bpf_skb_ecn_set_ce", room::ecn_set_ce),
    (98, "bpf_get_listener_sock", socket::listener),
    (99, "bpf_skc_lookup_tcp", socket::find_tcp),
    (100, "bpf_tcp_check_syncookie", cookie::check),
    (101, "bpf_sysctl_get_name", sysctl::name),
    (102, "bpf_sysctl_get_current_value", sysctl::current),
    (103, "bpf_sysctl_get_new_value", sysctl::new),
    (104, "bpf_sysctl_set_new_value", sysctl::set_new),
    (105, "bpf_strtol", text::strtol),
    (106, "bpf_strtoul", text::strtoul),
    (107, "bpf_sk_storage_get", storage::of_socket),
    (108, "bpf_sk_storage_delete", storage::delete_of_socket),
    (109, "bpf_send_signal", process::signal),
    (110, "bpf_tcp_gen_syncookie", cookie::generate),
    (111, "bpf_skb_output", perf::output),
    (112, "bpf_probe_read_user", probe::read_user),
    (113, "bpf_probe_read_kernel", probe::read_kernel),
    (114, "bpf_probe_read_user_str", probe::read_user_str),
    (115, "bpf_probe_read_kernel_str", probe::read_kernel_str),
    (117, "bpf_send_signal_thread", process::signal_thread),
    (118, "bpf_jiffies64", system::jiffies),
    (119, "bpf_read_branch_records", absent::branch_records),
    (120, "bpf_get_ns_current_pid_tgid", group::ns_pid_tgid),
    (121, "bpf_xdp_output", perf::output),
    (122, "bpf_get_netns_cookie", socket::netns_cookie),
    (123, "bpf_get_current_ancestor_cgroup_id", group::ancestor),
    (124, "bpf_sk_assign", socket::assign),
    (125, "bpf_ktime_get_boot_ns", system::ktime_boot),
    (126, "bpf_seq_printf", seq::printf),
    (127, "bpf_seq_write", seq::write),
    (128, "bpf_sk_cgroup_id", socket::cgroup_id),
    (129, "bpf_sk_ancestor_cgroup_id", socket::ancestor_group),
    (130, "bpf_ringbuf_output", ringbuf::output),
    (131, "bpf_ringbuf_reserve", ringbuf::reserve),
    (132, "bpf_ringbuf_submit", ringbuf::submit),
    (133, "bpf_ringbuf_discard", ringbuf::discard),
    (134, "bpf_ringbuf_query", ringbuf::query),
    (135, "bpf_csum_level", mark::csum_level),
    (136, "bpf_skc_to_tcp6_sock", absent::null),
    (137, "bpf_skc_to_tcp_sock", absent::null),
    (138, "bpf_skc_to_tcp_timewait_sock", absent::null),
    (139, "bpf_skc_to_tcp_request_sock", absent::null),
    (140, "bpf_skc_to_udp6_sock", absent::null),
    (141, "bpf_get_task_stack", process::task_stack),
    (142, "bpf_load_hdr_opt", tcp_option::load),
    (143, "bpf_store_hdr_opt", tcp_option::store),
    (144, "bpf_reserve_hdr_opt", tcp_option::reserve),
    (145, "bpf_inode_storage_get", storage::of_inode),
    (146, "bpf_inode_storage_delete", storage::delete_of_inode),
    (147, "bpf_d_path", process::path),
    (148, "bpf_copy_from_user", probe::read_user),
    (149, "bpf_snprintf_btf", typed::snprintf),
    (150, "bpf_seq_printf_btf", typed::seq_printf),
    (151, "bpf_skb_cgroup_classid", mark::none),
    (152, "bpf_redirect_neigh", mark::redirect_neigh),
    (153, "bpf_per_cpu_ptr", kfunc::of_cpu),
    (154, "bpf_this_cpu_ptr", kfunc::of_this_cpu),
    (155, "bpf_redirect_peer", mark::redirect_peer),
    (156, "bpf_task_storage_get", storage::of_task),
    (157, "bpf_task_storage_delete", storage::delete_of_task),
    (158, "bpf_get_current_task_btf", group::task),
    (159, "bpf_bprm_opts_set", absent::executed),
    (160, "bpf_ktime_get_coarse_ns", system::ktime_coarse),
    (161, "bpf_ima_inode_hash", absent::unmeasured),
    (162, "bpf_sock_from_file", absent::null),
    (163, "bpf_check_mtu", room::check_mtu),
    (164, "bpf_for_each_map_elem", flow::for_each),
    (165, "bpf_snprintf", print::snprintf),
    (166, "bpf_sys_bpf", syscall::sys_bpf),
    (167, "bpf_btf_find_by_name_kind", syscall::find_type),
    (168, "bpf_sys_close", syscall::close),
    (169, "bpf_timer_init", later::timer_init),
    (170, "bpf_timer_set_callback", later::set_callback),
    (171, "bpf_timer_start", later::timer_start),
    (172, "bpf_timer_cancel", later::timer_cancel),
    (173, "bpf_get_func_ip", process::func_ip),
    (174, "bpf_get_attach_cookie", group::attach_cookie),
    (175, "bpf_task_pt_regs", process::regs),
    (176, "bpf_get_branch_snapshot", group::branch_snapshot),
    (177, "bpf_trace_vprintk", print::trace_vprintk),
    (178, "bpf_skc_to_unix_sock", absent::null),
    (179, "bpf_kallsyms_lookup_name", group::kallsyms),
    (180, "bpf_find_vma", area::find),
    (181, "bpf_loop", flow::bpf_loop),
    (182, "bpf_strncmp", text::strncmp),
    (183, "bpf_get_func_arg", process::func_arg),
    (184, "bpf_get_func_ret", process::func_ret),
    (185, "bpf_get_func_arg_cnt", process::func_arg_cnt),
    (186, "bpf_get_retval", process::retval),
    (187, "bpf_set_retval", process::set_retval),
    (188, "bpf_xdp_get_buff_len", packet::buff_len),
    (189, "bpf_xdp_load_bytes", packet::load_bytes),
    (190, "bpf_xdp_store_bytes", packet::store_bytes),
    (191, "bpf_copy_from_user_task", process::copy_from_task),
    (192, "bpf_skb_set_tstamp", room::set_tstamp),
    (193, "bpf_ima_file_hash", absent::unmeasured),
    (194, "bpf_kptr_xchg", kfunc::exchange),
    (195, "bpf_map_lookup_percpu_elem", map::lookup_percpu),
    (196, "bpf_skc_to_mptcp_sock", absent::null),
    (197, "bpf_dynptr_from_mem", dynptr::from_mem),
    (198, "bpf_ringbuf_reserve_dynptr", dynptr::reserve),
    (199, "bpf_ringbuf_submit_dynptr", dynptr::submit),
    (200, "bpf_ringbuf_discard_dynptr", dynptr::discard),
    (201, "bpf_dynptr_read", dynptr::read),
    (202, "bpf_dynptr_write", dynptr::write),
    (203, "bpf_dynptr_data", dynptr::data),
    (204, "bpf_tcp_raw_gen_syncookie_ipv4", cookie::generate4),
    (205, "bpf_tcp_raw_gen_syncookie_ipv6", cookie::generate6),
    (206, "bpf_tcp_raw_check_syncookie_ipv4", cookie::check4),
    (207, "bpf_tcp_raw_check_syncookie_ipv6", cookie::check6),
    (208, "bpf_ktime_get_tai_ns", system::ktime_tai),
    (209, "bpf_user_ringbuf_drain", drain::drain),
    (210, "bpf_cgrp_storage_get", storage::of_group),
    (211, "bpf_cgrp_storage_delete", storage::delete_of_group),
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
