//! Who holds the kernel's objects: the descriptors of all processes that may be looked at.

use std::collections::BTreeSet;
use std::fs;

use runtime::door::{Holder, ObjKind};

/// Labels of ids in `/proc/PID/fdinfo/FD`. A link's information names its program too, so the first that is there counts.
const LABELS: [(&str, ObjKind); 4] = [
    ("link_id:", ObjKind::Link),
    ("prog_id:", ObjKind::Prog),
    ("map_id:", ObjKind::Map),
    ("btf_id:", ObjKind::Btf),
];

/// What other processes than this hold, each once.
pub(crate) fn holders() -> Vec<Holder> {
    let own = std::process::id();
    let names = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = names.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut found: Vec<_> = pids.filter(|pid| *pid != own).flat_map(of_process).collect();
    found.sort_by_key(|held| (held.kind, held.id, held.pid));
    found
}

/// Nothing of a process that has gone, or belongs to another.
fn of_process(pid: u32) -> Vec<Holder> {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let bpf = files.filter(|file| {
        let link = fs::read_link(file.path());
        link.is_ok_and(|link| link.to_str().is_some_and(is_object))
    });
    let objects: BTreeSet<_> = bpf
        .filter_map(|file| {
            let number = file.file_name().to_str()?.to_owned();
            object(&fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).ok()?)
        })
        .collect();
    if objects.is_empty() {
        return Vec::new();
    }
    let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let comm = comm.trim_end();
    let holder = |(kind, id)| Holder { kind, id, pid, comm: comm.to_owned() };
    objects.into_iter().map(holder).collect()
}

fn is_object(link: &str) -> bool {
    ["bpf-prog", "bpf-map", "btf", "bpf_link", "bpf-link"].iter().any(|name| {
        link.strip_prefix("anon_inode:").is_some_and(|rest| rest.trim_matches(['[', ']']) == *name)
    })
}

fn object(fdinfo: &str) -> Option<(ObjKind, u32)> {
    let id =
        |label: &str| fdinfo.lines().find_map(|line| line.strip_prefix(label)?.trim().parse().ok());
    LABELS.iter().find_map(|(label, kind)| Some((*kind, id(label)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Linux 6.18 writes them.
    #[test]
    fn objects_by_their_information() {
        let link = "pos:\t0\nlink_type:\txdp\nlink_id:\t7\nprog_tag:\t00\nprog_id:\t9\n";
        assert_eq!(object(link), Some((ObjKind::Link, 7)));
        assert_eq!(
            object("pos:\t0\nmap_type:\t1\nmap_id:\t3\nfrozen:\t0\n"),
            Some((ObjKind::Map, 3))
        );
        assert_eq!(object("pos:\t0\n"), None);
        assert!(is_object("anon_inode:bpf-map") && !is_object("socket:[8]"));
    }
}
