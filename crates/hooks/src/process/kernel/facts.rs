//! What `/proc` tells of a thread.

use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;

use crate::process::thread::proc_ids;

/// Length of a tick of `/proc/PID/stat` in nanoseconds.
const TICK_NS: u64 = 10_000_000;

/// What is known of a thread; zeros where it is not.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) comm: Vec<u8>,
    pub(super) ppid: i32,
    pub(super) ids: [u32; 8],
    /// Since boot, in nanoseconds.
    pub(super) started: u64,
    pub(super) flags: u64,
    pub(super) prio: i32,
    pub(super) threads: u32,
    pub(super) exit_code: u64,
    /// Key and value of addresses.
    pub(super) memory: Vec<(&'static str, u64)>,
    pub(super) exe: Vec<u8>,
    /// Key and number of namespaces.
    pub(super) namespaces: Vec<(&'static str, u64)>,
    pub(super) loginuid: u32,
    pub(super) sessionid: u32,
}

/// Fields of `/proc/PID/stat` (proc_pid_stat(5)) that are addresses.
const ADDRESSES: &[(usize, &str)] = &[
    (26, "start_code"),
    (27, "end_code"),
    (28, "start_stack"),
    (45, "start_data"),
    (46, "end_data"),
    (47, "start_brk"),
    (48, "arg_start"),
    (49, "arg_end"),
    (50, "env_start"),
    (51, "env_end"),
];

const NAMESPACES: &[(&str, &str)] = &[
    ("uts", "uts_inum"),
    ("ipc", "ipc_inum"),
    ("mnt", "mnt_inum"),
    ("pid", "pid_inum"),
    ("net", "net_inum"),
    ("cgroup", "cgroup_inum"),
];

impl Facts {
    /// Reads them; `None` if there is no such thread.
    pub(super) fn read(tid: i32) -> Option<Facts> {
        let stat = fs::read(format!("/proc/{tid}/stat")).ok()?;
        let open = stat.iter().position(|byte| *byte == b'(')?;
        let close = stat.iter().rposition(|byte| *byte == b')')?;
        let rest = String::from_utf8_lossy(stat.get(close + 1..)?).into_owned();
        let words: Vec<&str> = rest.split_ascii_whitespace().collect();
        // The first word behind the name is field 3.
        let word = |field: usize| words.get(field - 3).copied().unwrap_or("0");
        let number = |field| word(field).parse::<u64>().unwrap_or(0);
        let one = |file| {
            let text = fs::read_to_string(format!("/proc/{tid}/{file}")).ok()?;
            text.trim().parse().ok()
        };
        Some(Facts {
            comm: stat.get(open + 1..close)?.to_vec(),
            ppid: number(4) as i32,
            ids: proc_ids(tid).unwrap_or_default(),
            started: number(22).saturating_mul(TICK_NS),
            flags: number(9),
            prio: word(18).parse().unwrap_or(0),
            threads: number(20) as u32,
            exit_code: number(52),
            memory: ADDRESSES.iter().map(|(field, key)| (*key, number(*field))).collect(),
            exe: exe(tid),
            namespaces: NAMESPACES.iter().map(|(file, key)| (*key, inode(tid, file))).collect(),
            loginuid: one("loginuid").unwrap_or(u32::MAX),
            sessionid: one("sessionid").unwrap_or(u32::MAX),
        })
    }
}

fn exe(tid: i32) -> Vec<u8> {
    let path = fs::read_link(format!("/proc/{tid}/exe"));
    path.map_or_else(|_| Vec::new(), |path| path.into_os_string().into_vec())
}

fn inode(tid: i32, namespace: &str) -> u64 {
    fs::metadata(format!("/proc/{tid}/ns/{namespace}")).map_or(0, |file| file.ino())
}
