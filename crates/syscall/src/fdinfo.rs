//! What Linux says of a descriptor outside bpf(2).

use std::fs;

use runtime::door::ObjKind;

/// A number of `/proc/self/fdinfo`, by its label.
pub(crate) fn number(fd: i32, label: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix(label)?.strip_prefix(':'))?;
    line.trim().parse().ok()
}

/// The kind of object, by the name of its anonymous inode.
pub(crate) fn kind(fd: i32) -> Option<ObjKind> {
    let link = fs::read_link(format!("/proc/self/fd/{fd}")).ok()?;
    match link.to_str()? {
        "anon_inode:bpf-prog" => Some(ObjKind::Prog),
        "anon_inode:bpf-map" => Some(ObjKind::Map),
        "anon_inode:btf" => Some(ObjKind::Btf),
        "anon_inode:bpf_link" | "anon_inode:bpf-link" => Some(ObjKind::Link),
        _ => None,
    }
}

/// CPUs of `/sys/devices/system/cpu/possible`: `0-3`, `0,2-3`; 1 where it cannot be read.
pub(crate) fn possible_cpus() -> u32 {
    let text = fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    count_cpus(text.trim()).max(1)
}

fn count_cpus(list: &str) -> u32 {
    list.split(',')
        .filter_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
            last.checked_sub(first)?.checked_add(1)
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_ranges_and_single_cpus() {
        assert_eq!(count_cpus("0-3"), 4);
        assert_eq!(count_cpus("0,2-3"), 3);
        assert_eq!(count_cpus("0"), 1);
        assert_eq!(count_cpus(""), 0);
    }
}
