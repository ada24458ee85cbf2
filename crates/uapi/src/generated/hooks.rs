//! Kernel iterators. Made by `cargo xtask generate` from facts/btf_hooks.json.

use crate::{CtxClass as C, Iterator};

/// Kernel iterators, by name.
pub static ITERATORS: &[Iterator] = &[
    Iterator { name: "bpf_link", slots: &[C::TrustedBtf("bpf_iter_meta"), C::BtfOrNull("bpf_link")], sleepable: true },
    Iterator { name: "bpf_map", slots: &[C::TrustedBtf("bpf_iter_meta"), C::TrustedBtfOrNull("bpf_map")], sleepable: true },
    Iterator { name: "bpf_map_elem", slots: &[C::TrustedBtf("bpf_iter_meta"), C::TrustedBtf("bpf_map"), C::RdonlyBufOrNull, C::BufOrNull], sleepable: true },
    Iterator { name: "bpf_prog", slots: &[C::TrustedBtf("bpf_iter_meta"), C::BtfOrNull("bpf_prog")], sleepable: true },
    Iterator { name: "bpf_sk_storage_map", slots: &[C::TrustedBtf("bpf_iter_meta"), C::TrustedBtf("bpf_map"), C::BtfOrNull("sock"), C::BufOrNull], sleepable: true },
    Iterator { name: "cgroup", slots: &[C::TrustedBtf("bpf_iter_meta"), C::TrustedBtfOrNull("cgroup")], sleepable: true },
    Iterator { name: "dmabuf", slots: &[C::TrustedBtf("bpf_iter_meta"), C::BtfOrNull("dma_buf")], sleepable: true },
    Iterator { name: "ipv6_route", slots: &[C::TrustedBtf("bpf_iter_meta"), C::BtfOrNull("fib6_info")], sleepable: true },
    Iterator { name: "kmem_cache", slots: &[C::TrustedBtf("bpf_iter_meta"), C::TrustedBtfOrNull("kmem_cache")], sleepable: true },
    Iterator { name: "ksym", slots: &[C::TrustedBtf("bpf_iter_meta"), C::BtfOrNull("kallsym_iter")], sleepable: true },
    Iterator { name: "netlink", slots: &[C::TrustedBtf("bpf_iter_meta"), C::BtfOrNull("netlink_sock")], sleepable: true },
    Iterator { name: "sockmap", slots: &[C::TrustedBtf("bpf_iter_meta"), C::TrustedBtf("bpf_map"), C::RdonlyBufOrNull, C::BtfOrNull("sock")], sleepable: true },
    Iterator { name: "task", slots: &[C::TrustedBtf("bpf_iter_meta"), C::TrustedBtfOrNull("task_struct")], sleepable: true },
    Iterator { name: "task_file", slots: &[C::TrustedBtf("bpf_iter_meta"), C::BtfOrNull("task_struct"), C::Scalar, C::BtfOrNull("file")], sleepable: true },
    Iterator { name: "task_vma", slots: &[C::TrustedBtf("bpf_iter_meta"), C::BtfOrNull("task_struct"), C::BtfOrNull("vm_area_struct")], sleepable: true },
    Iterator { name: "tcp", slots: &[C::TrustedBtf("bpf_iter_meta"), C::TrustedBtfOrNull("sock_common"), C::Scalar], sleepable: true },
    Iterator { name: "udp", slots: &[C::TrustedBtf("bpf_iter_meta"), C::TrustedBtfOrNull("udp_sock"), C::Scalar, C::Scalar], sleepable: true },
    Iterator { name: "unix", slots: &[C::TrustedBtf("bpf_iter_meta"), C::BtfOrNull("unix_sock"), C::Scalar], sleepable: true },
];
