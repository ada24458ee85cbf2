//! What docs/parity/kfuncs.md tells of each kernel function.

use super::number;
use crate::bodies::Body;

/// Functions without a body, by how their names begin, and why.
const WITHOUT: &[(&str, &str)] = &[
    ("__bpf_trap", "clang's mark of what is not reached: a program that reaches it is rejected"),
    ("bbr_", TCP),
    ("cubictcp_", TCP),
    ("tcp_", TCP),
    ("bpf_crypto_", "the kernel's ciphers, with keys that a user would have to trust ring3 with"),
    ("bpf_ct_", CONNTRACK),
    ("bpf_skb_ct_", CONNTRACK),
    ("bpf_xdp_ct_", CONNTRACK),
    ("bpf_fentry_test1", TEST),
    ("bpf_kfunc_call_", TEST),
    ("bpf_modify_return_test", TEST),
    ("bpf_get_dentry_xattr", DENTRY),
    ("bpf_remove_dentry", DENTRY),
    ("bpf_set_dentry", DENTRY),
    ("bpf_key_put", KEYS),
    ("bpf_lookup_", KEYS),
    ("bpf_sk_assign_tcp", "makes a request socket of the kernel's TCP"),
    ("bpf_sock_addr_set_sun_path", "paths of Unix sockets are not rewritten in others' memory"),
    ("bpf_sock_destroy", "sockets of others are not ring3's to close"),
    ("bpf_sock_ops_enable_tx", "time stamps are taken by the kernel's TCP"),
    ("update_socket_protocol", "a hook of the kernel's socket(2), not for calling"),
];

const TCP: &str = "TCP's congestion control runs in a kernel";
const CONNTRACK: &str = "connections are not tracked, and none can be entered";
const TEST: &str = "the kernel's own tests, targets for attaching";
const DENTRY: &str = "entries of folders are not told by their address";
const KEYS: &str = "the kernel's keys, which verify signatures there";

/// Bodies that answer as a kernel without something, or otherwise than one would think.
const NOTES: &[(&str, &str)] = &[
    ("bpf_cgroup_from_id", GROUPS),
    ("bpf_cgroup_ancestor", GROUPS),
    ("bpf_ct_release", "no connection is tracked: nothing to give back"),
    ("bpf_skb_ct_lookup", "no connection is tracked: null, ENOENT in the options"),
    ("bpf_xdp_ct_lookup", "no connection is tracked: null, ENOENT in the options"),
    ("bpf_get_kmem_cache", "null: memory here is of no cache of the kernel's"),
    ("bpf_iter_kmem_cache_", "there are none"),
    ("bpf_iter_dmabuf_", "there are none"),
    ("bpf_iter_css_task_", GROUPS),
    ("bpf_iter_css_", GROUPS),
    ("bpf_iter_task_vma_", "what /proc tells of the task"),
    ("bpf_iter_task_", TASKS),
    ("bpf_task_from_", TASKS),
    ("bpf_task_work_", "on a thread of ring3's own, not the task's"),
    ("bpf_task_get_cgroup1", "null: no hierarchy of the older kind"),
    ("bpf_get_file_xattr", "of files that have a path"),
    ("bpf_get_task_exe_file", "what /proc tells of the task"),
    ("bpf_send_signal_task", "to the event's own task, else EPERM"),
    ("bpf_xdp_get_xfrm_state", "no packet is deciphered: null, ENOENT in the options"),
    ("bpf_xdp_xfrm_state_release", "no packet is deciphered: nothing to give back"),
    ("bpf_xdp_metadata_", "EOPNOTSUPP, as of a driver that does not tell"),
    ("css_rstat_", "nothing is counted at groups: there is nothing to do"),
];
const GROUPS: &str = "this machine's groups, seen through /sys/fs/cgroup";
const TASKS: &str = "this machine's tasks, seen through /proc; the event's own is the hook's";

fn note(name: &str) -> &'static str {
    NOTES.iter().find(|(start, _)| name.starts_with(start)).map_or("", |(_, note)| *note)
}

fn why(name: &str) -> Option<&'static str> {
    WITHOUT.iter().find(|(start, _)| name.starts_with(start)).map(|(_, why)| *why)
}

/// Whether a function has a body, and what is to be said of it.
pub(crate) fn told(name: &str) -> Body {
    match number(name) {
        Some(_) => Body::Here(note(name)),
        None => Body::Refused(why(name).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::LIST;
    use super::*;

    fn names() -> Vec<String> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../facts/kfuncs.json");
        let text = std::fs::read_to_string(path).expect("the facts are there");
        let facts: Value = serde_json::from_str(&text).expect("the facts are JSON");
        let rows = facts["kfuncs"].as_array().expect("the facts list kernel functions");
        let name = |row: &Value| row["name"].as_str().unwrap_or_default().to_owned();
        let mut names: Vec<String> = rows.iter().map(name).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    #[test]
    fn each_function_without_a_body_has_its_reason() {
        for name in names() {
            assert!(told(&name) != Body::Refused(""), "{name}");
        }
    }

    #[test]
    fn the_list_is_in_order() {
        assert!(LIST.is_sorted_by_key(|(name, _)| *name), "names are looked up in halves");
        let known = names();
        for (name, _) in LIST {
            assert!(known.iter().any(|k| k == name), "{name} is no kernel function");
        }
    }
}
