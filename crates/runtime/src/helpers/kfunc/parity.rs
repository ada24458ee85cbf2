//! The table of docs/parity/kfuncs.md, made from the bodies that there are.

use serde_json::Value;

use super::number;

/// Functions without a body, by how their names begin, and why.
const WITHOUT: &[(&str, &str)] = &[
    ("__bpf_trap", "clang's mark of what is not reached: a program that reaches it is rejected"),
    ("bbr_", TCP),
    ("cubictcp_", TCP),
    ("tcp_", TCP),
    ("bpf_arena_", "pages of arenas are not handed out"),
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
    ("bpf_task_work_", "the verifier does not model task work"),
    ("bpf_xdp_pull_data", "packets are moved by helpers alone"),
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

fn document() -> String {
    let names = names();
    let bodies = names.iter().filter(|name| number(name).is_some()).count();
    let mut out = format!(
        "# Kernel functions\n\nLinux 6.18 lets programs call {} functions; {bodies} have a body in \
         `crates/runtime`. A program that calls another\nis refused at load (EINVAL), and the \
         message names it. Made by `BLESS=1 cargo test -p ring3-runtime parity`.\n\n\
         | function | here | note |\n|---|---|---|\n",
        names.len(),
    );
    for name in &names {
        let (here, note) = match number(name) {
            Some(_) => ("body", note(name)),
            None => ("refused", why(name).unwrap_or("no reason given")),
        };
        out += &format!("| `{name}` | {here} | {note} |\n");
    }
    out
}

#[test]
fn the_table_of_kernel_functions_is_true() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/parity/kfuncs.md");
    let now = document();
    assert!(!now.contains("no reason given"), "a function without body lacks its reason:\n{now}");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, &now).expect("the table can be written");
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(kept, now, "docs/parity/kfuncs.md: run with BLESS=1");
}

#[test]
fn the_list_is_in_order() {
    assert!(super::LIST.is_sorted_by_key(|(name, _)| *name), "names are looked up in halves");
    let known = names();
    for (name, _) in super::LIST {
        assert!(known.iter().any(|k| k == name), "{name} is no kernel function");
    }
}
