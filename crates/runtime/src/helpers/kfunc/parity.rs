//! The table of docs/parity/kfuncs.md, made from the bodies that there are.

use serde_json::Value;

use super::number;

/// Functions without a body, by how their names begin, and why.
const WITHOUT: &[(&str, &str)] = &[
    ("__bpf_trap", "clang's mark of what is not reached"),
    ("bbr_", TCP),
    ("cubictcp_", TCP),
    ("tcp_", TCP),
    ("bpf_arena_", "pages of arenas are not handed out"),
    ("bpf_cgroup_", GROUP),
    ("bpf_cpumask_", OBJECT),
    ("bpf_crypto_", "the kernel's ciphers and keys"),
    ("bpf_ct_", CONNTRACK),
    ("bpf_skb_ct_", CONNTRACK),
    ("bpf_xdp_ct_", CONNTRACK),
    ("bpf_xdp_get_xfrm", "no packet is deciphered"),
    ("bpf_xdp_xfrm", "no packet is deciphered"),
    ("bpf_fentry_test1", TEST),
    ("bpf_kfunc_call_", TEST),
    ("bpf_modify_return_test", TEST),
    ("bpf_get_dentry_xattr", FILE),
    ("bpf_get_file_xattr", FILE),
    ("bpf_get_task_exe_file", FILE),
    ("bpf_put_file", FILE),
    ("bpf_path_d_path", FILE),
    ("bpf_remove_dentry", FILE),
    ("bpf_set_dentry", FILE),
    ("bpf_get_kmem_cache", KERNEL),
    ("bpf_iter_css", GROUP),
    ("bpf_iter_dmabuf", KERNEL),
    ("bpf_iter_kmem_cache", KERNEL),
    ("bpf_iter_task", "only the event's own task is known"),
    ("bpf_key_put", "the kernel's keys"),
    ("bpf_lookup_", "the kernel's keys"),
    ("bpf_list_", OBJECT),
    ("bpf_obj_", OBJECT),
    ("bpf_percpu_obj_", OBJECT),
    ("bpf_rbtree_", OBJECT),
    ("bpf_refcount_", OBJECT),
    ("bpf_res_spin_", "locks that find a deadlock are not modelled"),
    ("bpf_send_signal_task", "only the event's own task is known"),
    ("bpf_sk_assign_tcp", SOCKET),
    ("bpf_sock_", SOCKET),
    ("bpf_stream_", "streams of output are not kept"),
    ("bpf_task_work_", LATER),
    ("bpf_task_", "only the event's own task is known"),
    ("bpf_throw", "the stack is not unwound"),
    ("bpf_wq_", LATER),
    ("bpf_xdp_metadata_", "the driver of a network card"),
    ("bpf_xdp_pull_data", "packets are moved by helpers alone"),
    ("css_rstat_", KERNEL),
    ("update_socket_protocol", SOCKET),
];

const TCP: &str = "TCP's congestion control runs in a kernel";
const CONNTRACK: &str = "the kernel's table of connections";
const TEST: &str = "the kernel's own tests";
const FILE: &str = "needs a kernel file";
const KERNEL: &str = "the kernel's own memory";
const GROUP: &str = "control groups are not objects here";
const OBJECT: &str = "objects of programs are not kept";
const SOCKET: &str = "needs the kernel's network stack";
const LATER: &str = "work that runs later, on no thread of the run";

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
            Some(_) => ("body", ""),
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
