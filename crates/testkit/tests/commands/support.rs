//! Running commands under programs, and under strace.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command as Process;
use std::sync::Mutex;

use ring3::live::{Command, Elsewhere, Ended, Live, Record, Take};
use ring3::{Config, Kernel, Machine, Object};
use serde_json::{Map, Value};
use testkit::packaged;

/// What a run of a command gave.
pub(crate) struct Seen {
    pub(crate) records: Vec<Record>,
    /// Fields of the records whose type the object tells.
    pub(crate) typed: Vec<Map<String, Value>>,
    pub(crate) trace: String,
    pub(crate) ended: Ended,
    /// Maps by name, as JSON.
    pub(crate) maps: Vec<(String, Value)>,
}

impl Seen {
    pub(crate) fn map(&self, name: &str) -> &Value {
        self.maps.iter().find(|(known, _)| known == name).map_or(&Value::Null, |(_, map)| map)
    }
}

/// One command at a time: they are compared with what other commands leave behind.
static ALONE: Mutex<()> = Mutex::new(());

/// Whether it can be tried here; says so if not.
pub(crate) fn ready(needs: &[&str]) -> bool {
    if Kernel::running().types().is_err() {
        eprintln!("skipped: no kernel types here (/sys/kernel/btf/vmlinux)");
        return false;
    }
    let missing = needs.iter().find(|tool| Process::new(tool).arg("--version").output().is_err());
    if let Some(tool) = missing {
        eprintln!("skipped: no {tool} here");
    }
    missing.is_none()
}

/// The object inside a tool of Debian's libbpf-tools.
pub(crate) fn packaged(tool: &str) -> Option<Object> {
    let objects = packaged::objects();
    let found = objects.iter().find(|(name, _)| name == tool);
    if found.is_none() {
        eprintln!("skipped: no {tool} here (package libbpf-tools)");
    }
    found.map(|(name, bytes)| Object::parse(name, bytes).expect("an object"))
}

/// Runs a command under an object's programs, some of them attached elsewhere.
pub(crate) fn run(object: Object, elsewhere: &[(&str, &str)], argv: &[&str]) -> Seen {
    run_where(object, elsewhere, argv, false).0
}

/// The same with programs in the command itself; those that cannot run there, and why.
pub(crate) fn run_inside(object: Object, argv: &[&str]) -> (Seen, Vec<(String, String)>) {
    run_where(object, &[], argv, true)
}

fn run_where(
    mut object: Object,
    elsewhere: &[(&str, &str)],
    argv: &[&str],
    inside: bool,
) -> (Seen, Vec<(String, String)>) {
    let _alone = ALONE.lock();
    let kernel = Kernel::running();
    let elsewhere: Vec<Elsewhere> = elsewhere
        .iter()
        .map(|(program, section)| Elsewhere {
            program: program.to_string(),
            section: section.to_string(),
            cookie: 0,
        })
        .collect();
    ring3::live::check(&object, &elsewhere).expect("hooks for all programs");
    object.resolve(&kernel).expect("the running kernel's types");
    let config =
        Config { kernel_btf: kernel.types().ok(), shared_maps: inside, ..Config::default() };
    let machine = Machine::with(config);
    let loaded = machine.load(&object).unwrap_or_else(|error| panic!("{error}"));
    let mut live = Live::new(&loaded, &kernel, &elsewhere).expect("attached");
    let slow = if inside { live.speed_up() } else { Vec::new() };
    let mut records = Vec::new();
    let command = Command { argv: argv.iter().map(OsString::from).collect() };
    let mut take =
        Take { records: live.records().expect("buffers"), each: |record| records.push(record) };
    let ended = live.run(&command, &mut take).unwrap_or_else(|error| panic!("{error}"));
    drop(take);
    let kinds = live.records().expect("buffers");
    let typed = records.iter().filter_map(|r| kinds.fields(r).map(|(_, fields)| fields)).collect();
    let maps = loaded.maps().filter_map(|map| Some((map.name().to_owned(), map.to_json().ok()?)));
    let maps = maps.collect();
    (Seen { records, typed, trace: machine.take_trace(), ended, maps }, slow)
}

/// Why an object's programs cannot be attached to a command.
pub(crate) fn refusal(mut object: Object, argv: &[&str]) -> String {
    let kernel = Kernel::running();
    if let Err(error) = ring3::live::check(&object, &[]) {
        return error.to_string();
    }
    object.resolve(&kernel).expect("the running kernel's types");
    let config = Config { kernel_btf: kernel.types().ok(), ..Config::default() };
    let machine = Machine::with(config);
    let loaded = machine.load(&object).unwrap_or_else(|error| panic!("{error}"));
    match Live::new(&loaded, &kernel, &[]) {
        Ok(_) => panic!("{argv:?}: attached"),
        Err(error) => error.to_string(),
    }
}

pub(crate) fn shell(object: Object, script: &str) -> Seen {
    run(object, &[], &["/bin/sh", "-c", script])
}

/// A line of strace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) args: String,
    /// The number after `=`; `None` where there is none.
    pub(crate) result: Option<i64>,
}

impl Call {
    /// Texts in quotes, in order.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.args.split('"').skip(1).step_by(2).map(str::to_owned).collect()
    }
}

/// The calls that strace shows of a command.
pub(crate) fn strace(calls: &str, argv: &[&str]) -> Vec<Call> {
    let dir = tempdir();
    let out = dir.join("strace");
    let filter = format!("trace={calls}");
    let status = Process::new("strace")
        .args(["-f", "-qqq", "-s", "4096", "-e", "signal=none", "-e", &filter, "-o"])
        .arg(&out)
        .args(argv)
        .status()
        .expect("strace");
    assert!(status.code().is_some());
    let text = fs::read_to_string(&out).expect("its output");
    let _ = fs::remove_dir_all(&dir);
    let mut seen = Vec::new();
    let mut open: Vec<(u32, String)> = Vec::new();
    for line in text.lines() {
        let Some((pid, rest)) = line.split_once(' ') else { continue };
        let Ok(pid) = pid.parse() else { continue };
        let mut rest = rest.trim_start().to_owned();
        if let Some(start) = rest.strip_suffix(" <unfinished ...>") {
            open.push((pid, start.to_owned()));
            continue;
        }
        if rest.starts_with("<... ") {
            let Some(at) = open.iter().position(|(known, _)| *known == pid) else { continue };
            let end = rest.split_once("resumed>").map_or("", |(_, end)| end);
            rest = open.remove(at).1 + end;
        }
        seen.extend(parse(&rest));
    }
    seen
}

fn parse(line: &str) -> Option<Call> {
    let (name, rest) = line.split_once('(')?;
    let (args, answer) = rest.rsplit_once(" = ")?;
    let mut words = answer.split_whitespace();
    let number = words.next()?;
    let result = match number.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok(),
        None => number.parse().ok(),
    };
    Some(Call { name: name.to_owned(), args: args.to_owned(), result })
}

/// A folder of this test's own.
pub(crate) fn tempdir() -> std::path::PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("ring3-commands-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
    let dir = std::env::temp_dir().join(name);
    fs::create_dir_all(&dir).expect("a folder");
    dir
}

/// Compiles C for BPF.
pub(crate) fn bpf(dir: &Path, source: &str) -> Object {
    let file = dir.join("test.bpf.c");
    fs::write(&file, source).expect("written");
    Object::open(&file).unwrap_or_else(|error| panic!("{error}"))
}

/// Zero-terminated text at the start of bytes.
pub(crate) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

pub(crate) fn number(bytes: &[u8], at: usize) -> i64 {
    bytes.get(at..at + 4).map_or(i64::MIN, |b| i32::from_ne_bytes([b[0], b[1], b[2], b[3]]).into())
}
