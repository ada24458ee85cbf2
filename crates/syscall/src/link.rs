//! `struct bpf_link_info` of linux/bpf.h, by type of link.

use runtime::door::{LinkInfo, LinkTarget};
use uapi::attr::link_info as f;

/// Bytes given for a name: that of a tracepoint or of what an iterator goes through.
pub(crate) const NAME_SIZE: usize = 128;
/// Where every type's own part begins.
const DETAIL: usize = 16;

/// The types whose answer names a buffer for a string, at the start of their part.
pub(crate) fn wants_name(info: &[u8]) -> bool {
    matches!(f::TYPE.get(info) as u32, RAW_TRACEPOINT | ITER)
}

const RAW_TRACEPOINT: u32 = 1;
const TRACING: u32 = 2;
const CGROUP: u32 = 3;
const ITER: u32 = 4;
const NETNS: u32 = 5;
const XDP: u32 = 6;
const STRUCT_OPS: u32 = 9;
const NETFILTER: u32 = 10;
const TCX: u32 = 11;
const NETKIT: u32 = 13;

/// Reads an answer of the kernel's; `name` is what it wrote into the buffer for one.
pub(crate) fn read(info: &[u8], name: &[u8]) -> LinkInfo {
    let word = |at: usize| {
        let bytes = info.get(DETAIL + at..DETAIL + at + 4).and_then(|b| b.first_chunk());
        bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
    };
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    let name = || String::from_utf8_lossy(&name[..end]).into_owned();
    let link_type = f::TYPE.get(info) as u32;
    let target = match link_type {
        RAW_TRACEPOINT => LinkTarget::RawTracepoint { name: name() },
        TRACING => LinkTarget::Tracing { attach_type: word(0), obj_id: word(4), btf_id: word(8) },
        CGROUP => LinkTarget::Cgroup {
            cgroup_id: u64::from(word(4)) << 32 | u64::from(word(0)),
            attach_type: word(8),
        },
        ITER => {
            let target = name();
            let map_id = if target == "bpf_map_elem" { word(16) } else { 0 };
            LinkTarget::Iter { target, map_id }
        }
        NETNS => LinkTarget::Netns { inode: word(0), attach_type: word(4) },
        XDP => LinkTarget::Xdp { ifindex: word(0) },
        STRUCT_OPS => LinkTarget::StructOps { map_id: word(0) },
        NETFILTER => LinkTarget::Netfilter {
            pf: word(0),
            hook: word(4),
            priority: word(8) as i32,
            flags: word(12),
        },
        TCX | NETKIT => LinkTarget::Device { ifindex: word(0), attach_type: word(4) },
        _ => LinkTarget::None,
    };
    LinkInfo { link_type, id: f::ID.get(info) as u32, prog_id: f::PROG_ID.get(info) as u32, target }
}
