//! One block: which structures lie in it, and where their fields are.

use btf::Btf;

use super::REGS;
use crate::process::error::HookError;
use crate::process::types::{self, Field};

/// Structures of a block, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Task,
    Cred,
    Signal,
    Pid,
    Mm,
    Nsproxy,
    Uts,
    PidNs,
    MntNs,
    NetNs,
    IpcNs,
    CgroupNs,
    Exe,
    /// Directory entries of the program's path, the last name first.
    Dentry0,
    Dentry1,
    Dentry2,
    Dentry3,
    Dentry4,
    Dentry5,
    Binprm,
    /// Strings.
    Text,
}

use Part as P;

/// Bytes for strings: a path and its names.
pub(super) const TEXT: usize = 4096;

/// Each part and the structure it is of.
const PARTS: &[(Part, &str)] = &[
    (P::Task, "task_struct"),
    (P::Cred, "cred"),
    (P::Signal, "signal_struct"),
    (P::Pid, "pid"),
    (P::Mm, "mm_struct"),
    (P::Nsproxy, "nsproxy"),
    (P::Uts, "uts_namespace"),
    (P::PidNs, "pid_namespace"),
    (P::MntNs, "mnt_namespace"),
    (P::NetNs, "net"),
    (P::IpcNs, "ipc_namespace"),
    (P::CgroupNs, "cgroup_namespace"),
    (P::Exe, "file"),
    (P::Dentry0, "dentry"),
    (P::Dentry1, "dentry"),
    (P::Dentry2, "dentry"),
    (P::Dentry3, "dentry"),
    (P::Dentry4, "dentry"),
    (P::Dentry5, "dentry"),
    (P::Binprm, "linux_binprm"),
];

/// What a field holds: a key for whoever fills it.
pub(super) type Key = &'static str;

/// Every field that is filled: part, key, path of the field. Those that the kernel lacks are left
/// out.
const FIELDS: &[(Part, Key, &str)] = &[
    (P::Task, "pid", "pid"),
    (P::Task, "tgid", "tgid"),
    (P::Task, "comm", "comm"),
    (P::Task, "parent", "real_parent"),
    (P::Task, "parent", "parent"),
    (P::Task, "leader", "group_leader"),
    (P::Task, "cred", "cred"),
    (P::Task, "cred", "real_cred"),
    (P::Task, "mm", "mm"),
    (P::Task, "mm", "active_mm"),
    (P::Task, "nsproxy", "nsproxy"),
    (P::Task, "signal", "signal"),
    (P::Task, "thread_pid", "thread_pid"),
    (P::Task, "born", "start_time"),
    (P::Task, "born_boot", "start_boottime"),
    (P::Task, "exit_code", "exit_code"),
    (P::Task, "flags", "flags"),
    (P::Task, "prio", "prio"),
    (P::Task, "prio", "static_prio"),
    (P::Task, "prio", "normal_prio"),
    (P::Task, "loginuid", "loginuid"),
    (P::Task, "sessionid", "sessionid"),
    (P::Cred, "uid", "uid"),
    (P::Cred, "euid", "euid"),
    (P::Cred, "suid", "suid"),
    (P::Cred, "fsuid", "fsuid"),
    (P::Cred, "gid", "gid"),
    (P::Cred, "egid", "egid"),
    (P::Cred, "sgid", "sgid"),
    (P::Cred, "fsgid", "fsgid"),
    (P::Signal, "threads", "nr_threads"),
    (P::Signal, "threads", "live.counter"),
    (P::Signal, "signal_pid", "pids"),
    (P::Pid, "one", "count.refs.counter"),
    (P::Pid, "upid", "numbers"),
    (P::Mm, "start_code", "start_code"),
    (P::Mm, "end_code", "end_code"),
    (P::Mm, "start_stack", "start_stack"),
    (P::Mm, "start_data", "start_data"),
    (P::Mm, "end_data", "end_data"),
    (P::Mm, "start_brk", "start_brk"),
    (P::Mm, "arg_start", "arg_start"),
    (P::Mm, "arg_end", "arg_end"),
    (P::Mm, "env_start", "env_start"),
    (P::Mm, "env_end", "env_end"),
    (P::Mm, "exe", "exe_file"),
    (P::Mm, "task", "owner"),
    (P::Nsproxy, "uts", "uts_ns"),
    (P::Nsproxy, "ipc", "ipc_ns"),
    (P::Nsproxy, "mnt", "mnt_ns"),
    (P::Nsproxy, "pid_ns", "pid_ns_for_children"),
    (P::Nsproxy, "net", "net_ns"),
    (P::Nsproxy, "cgroup", "cgroup_ns"),
    (P::Uts, "uts_inum", "ns.inum"),
    (P::Uts, "nodename", "name.nodename"),
    (P::PidNs, "pid_inum", "ns.inum"),
    (P::MntNs, "mnt_inum", "ns.inum"),
    (P::NetNs, "net_inum", "ns.inum"),
    (P::IpcNs, "ipc_inum", "ns.inum"),
    (P::CgroupNs, "cgroup_inum", "ns.inum"),
    (P::Exe, "dentry", "f_path.dentry"),
    (P::Binprm, "path", "filename"),
    (P::Binprm, "path", "interp"),
    (P::Binprm, "exe", "file"),
];

/// Where things are in a block.
pub(super) struct Layout {
    pub(super) size: usize,
    parts: Vec<(Part, usize)>,
    pub(super) fields: Vec<(Key, Field)>,
    /// Of `dentry`: `d_parent`, `d_name.name`, `d_name.len`.
    pub(super) dentry: [Option<Field>; 3],
    pub(super) fork: Option<Record>,
    pub(super) exec: Option<Record>,
    pub(super) exit: Option<Record>,
}

/// The record of a tracepoint: the size and fields of its structure.
pub(super) struct Record {
    pub(super) size: usize,
    pub(super) fields: Vec<(Key, Field, bool)>,
}

impl Layout {
    pub(super) fn new(types: &Btf) -> Result<Layout, HookError> {
        let mut parts = Vec::new();
        let mut size = REGS;
        for &(part, structure) in PARTS {
            parts.push((part, size));
            size = (size + types::size(types, structure)).next_multiple_of(64);
        }
        parts.push((Part::Text, size));
        size += TEXT;
        if types::field(types, "task_struct", "tgid").is_none() {
            return Err(HookError::Types("there is no task_struct with a tgid".into()));
        }
        let fields = FIELDS.iter().filter_map(|&(part, key, path)| {
            let (_, structure) = PARTS.iter().find(|(known, _)| *known == part)?;
            let (_, start) = parts.iter().find(|(known, _)| *known == part)?;
            let field = types::field(types, structure, path)?;
            Some((key, Field { at: start + field.at, ..field }))
        });
        let fields = fields.collect();
        let of_dentry = |path| types::field(types, "dentry", path);
        Ok(Layout {
            size: size - REGS,
            fields,
            parts,
            dentry: [of_dentry("d_parent"), of_dentry("d_name.name"), of_dentry("d_name.len")],
            fork: record(types, "sched_process_fork"),
            exec: record(types, "sched_process_exec"),
            exit: record(types, "sched_process_exit")
                .or_else(|| record(types, "sched_process_template")),
        })
    }

    /// Where a part begins in a block.
    pub(super) fn part(&self, part: Part) -> usize {
        self.parts.iter().find(|(known, _)| *known == part).map_or(0, |(_, at)| *at)
    }
}

/// Fields of the records that are known: key, name.
const RECORD_FIELDS: &[(Key, &str)] = &[
    ("comm", "comm"),
    ("pid", "pid"),
    ("prio", "prio"),
    ("group_dead", "group_dead"),
    ("old_pid", "old_pid"),
    ("filename", "filename"),
    ("comm", "parent_comm"),
    ("pid", "parent_pid"),
    ("child_comm", "child_comm"),
    ("child_pid", "child_pid"),
];

fn record(types: &Btf, event: &str) -> Option<Record> {
    let structure = format!("trace_event_raw_{event}");
    let size = types::size(types, &structure);
    if size == 0 {
        return None;
    }
    let fields = RECORD_FIELDS.iter().filter_map(|(key, name)| {
        let there = types::field(types, &structure, name).map(|field| (*key, field, false));
        let apart = || {
            let field = types::field(types, &structure, &format!("__data_loc_{name}"))?;
            Some((*key, field, true))
        };
        there.or_else(apart)
    });
    Some(Record { size, fields: fields.collect() })
}
