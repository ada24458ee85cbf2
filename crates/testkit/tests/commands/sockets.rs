//! Control groups' hooks: a client under ring3, and in a control group of the running kernel with
//! the same programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use ring3::live::Ended;
use serde_json::Value;

use crate::support::{bpf, ready, run, tempdir};

const PROGRAMS: &str = include_str!("sockets/hooks.bpf.c");
const CLIENT: &str = include_str!("sockets/client.c");

fn client(dir: &Path) -> String {
    let (source, program) = (dir.join("client.c"), dir.join("client"));
    fs::write(&source, CLIENT).expect("written");
    let done =
        Process::new("gcc").args(["-O1", "-pthread", "-o"]).args([&program, &source]).status();
    assert!(done.is_ok_and(|status| status.success()), "gcc");
    program.display().to_string()
}

pub(crate) fn compile(dir: &Path) -> PathBuf {
    let object = dir.join("hooks.bpf.o");
    let done = Process::new("clang-19")
        .args(["-g", "-O2", "-target", "bpf", "-I/usr/include/x86_64-linux-gnu", "-c", "-o"])
        .args([&object, &dir.join("test.bpf.c")])
        .status();
    assert!(done.is_ok_and(|status| status.success()), "clang");
    object
}

/// All numbers of a value, in order.
pub(crate) fn numbers(value: &Value, out: &mut Vec<u32>) {
    match value {
        Value::Number(number) => out.extend(number.as_u64().map(|number| number as u32)),
        Value::Array(all) => all.iter().for_each(|value| numbers(value, out)),
        Value::Object(all) => all.values().for_each(|value| numbers(value, out)),
        _ => {}
    }
}

/// Words of a record: which hook, and fifteen of its context's fields.
const RECORD: usize = 16;

fn records(mut words: Vec<u32>) -> Vec<Vec<u32>> {
    let count = words.pop().expect("a count") as usize;
    let mut records: Vec<_> = words.chunks(RECORD).take(count).map(<[u32]>::to_vec).collect();
    // Where the other end is asked for, that end may have closed by then, or not yet.
    for record in records.iter_mut().filter(|record| PEERS.contains(&record[0])) {
        let state = &mut record[STATE];
        *state = if *state == CLOSE_WAIT { ESTABLISHED } else { *state };
    }
    records
}

/// Hooks at getpeername(2), the word of the state, and states.
const PEERS: [u32; 2] = [11, 12];
const STATE: usize = 8;
const ESTABLISHED: u32 = 1;
const CLOSE_WAIT: u32 = 8;

/// Sections' names for bpftool, and the programs.
const ATTACH: &[(&str, &str)] = &[
    ("c4", "connect4"),
    ("c6", "connect6"),
    ("b4", "bind4"),
    ("b6", "bind6"),
    ("pb4", "post_bind4"),
    ("pb6", "post_bind6"),
    ("s4", "sendmsg4"),
    ("s6", "sendmsg6"),
    ("r4", "recvmsg4"),
    ("r6", "recvmsg6"),
    ("gp4", "getpeername4"),
    ("gp6", "getpeername6"),
    ("gs4", "getsockname4"),
    ("gs6", "getsockname6"),
    ("sc", "sock_create"),
    ("so", "setsockopt"),
    ("go", "getsockopt"),
    ("dv", "device"),
    ("sy", "sysctl"),
];

/// A control group of our own and pinned programs, gone with it.
pub(crate) struct Group {
    folder: PathBuf,
    pins: PathBuf,
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.pins);
        let _ = fs::remove_dir(&self.folder);
    }
}

fn group_root() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    let line = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"))?;
    line.split(' ').nth(1).map(PathBuf::from)
}

impl Group {
    /// Programs by their names are attached to hooks by bpftool's names.
    pub(crate) fn new(object: &Path, attach: &[(&str, &str)]) -> Option<Group> {
        let name = format!("ring3-test-{}", std::process::id());
        let folder = group_root()?.join(&name);
        let pins = Path::new("/sys/fs/bpf").join(&name);
        fs::create_dir(&folder).ok()?;
        let group = Group { folder, pins };
        let bpftool = |args: &[&std::ffi::OsStr]| {
            let done = Process::new("bpftool").args(args).output();
            done.is_ok_and(|done| done.status.success())
        };
        fn text(text: &str) -> &std::ffi::OsStr {
            std::ffi::OsStr::new(text)
        }
        if !bpftool(&[text("prog"), text("loadall"), object.as_ref(), group.pins.as_ref()]) {
            return None;
        }
        for (program, hook) in attach {
            let pin = group.pins.join(program);
            let args = [text("cgroup"), text("attach"), group.folder.as_ref(), text(hook)];
            let args = [&args[..], &[text("pinned"), pin.as_ref()]].concat();
            assert!(bpftool(&args), "{hook}");
        }
        Some(group)
    }

    /// Runs a command in it; its status.
    pub(crate) fn run(&self, command: &[&str]) -> Option<i32> {
        let script = r#"echo $$ >"$0"/cgroup.procs; exec "$@""#;
        let mut shell = Process::new("sh");
        shell.args(["-c", script]).arg(&self.folder).args(command);
        shell.status().ok()?.code()
    }

    /// The words of the variables of the programs.
    pub(crate) fn words(&self, program: &str) -> Vec<u32> {
        let json = |args: &[&std::ffi::OsStr]| -> Value {
            let out = Process::new("bpftool").arg("-j").args(args).output().expect("bpftool");
            serde_json::from_slice(&out.stdout).expect("JSON")
        };
        let text = |text: &'static str| std::ffi::OsStr::new(text);
        let pin = self.pins.join(program);
        let program = json(&[text("prog"), text("show"), text("pinned"), pin.as_ref()]);
        let id = program["map_ids"][0].to_string();
        let map = json(&[text("map"), text("dump"), text("id"), id.as_ref()]);
        let bytes = map[0]["value"].as_array().expect("bytes").iter().map(|byte| {
            let hex = byte.as_str().expect("text").trim_start_matches("0x");
            u8::from_str_radix(hex, 16).expect("hexadecimal")
        });
        let bytes: Vec<u8> = bytes.collect();
        let word = |word: &[u8]| u32::from_ne_bytes(word.try_into().expect("four bytes"));
        bytes.chunks(4).map(word).collect()
    }
}

#[test]
fn a_client_and_its_programs_see_what_they_see_in_a_control_group() {
    if !ready(&["gcc", "clang-19"]) {
        return;
    }
    let dir = tempdir();
    let client = client(&dir);
    let object = bpf(&dir, PROGRAMS);
    let ours = dir.join("ours").display().to_string();
    let seen = run(object, &[], &["timeout", "20", &client, &ours]);
    assert_eq!(seen.ended, Ended::Exited(7), "{}", seen.trace);
    let ours = fs::read_to_string(ours).expect("its words");
    let mut words = Vec::new();
    let (_, variables) =
        seen.maps.iter().find(|(name, _)| name.ends_with(".bss")).expect("variables");
    numbers(&variables[0]["value"], &mut words);
    assert!(ours.contains("connect 7001 0 ok\nhello"), "{ours}");
    match Group::new(&compile(&dir), ATTACH) {
        Some(group) => {
            let theirs = dir.join("theirs").display().to_string();
            assert_eq!(group.run(&["timeout", "20", &client, &theirs]), Some(7));
            assert_eq!(ours, fs::read_to_string(theirs).expect("its words"));
            let (ours, theirs) = (records(words), records(group.words("c4")));
            for (at, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
                assert_eq!(ours, theirs, "record {at}");
            }
            assert_eq!(ours.len(), theirs.len());
        }
        None => eprintln!("skipped: the same in a control group (root, bpftool, cgroup2, bpffs)"),
    }
    let _ = fs::remove_dir_all(&dir);
}
