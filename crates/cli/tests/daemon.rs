//! `ring3 daemon` and `ring3 fs`: one process, started when needed, that keeps what is pinned.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::{json, ok, refused, text};
use tempfile::TempDir;

/// A user's runtime folder; its daemon ends with it.
struct User {
    dir: TempDir,
}

impl User {
    fn new() -> User {
        User { dir: tempfile::tempdir().expect("a folder") }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ring3"));
        command.args(args).env("XDG_RUNTIME_DIR", self.dir.path()).stdin(Stdio::null());
        command.current_dir(common::root().join("examples"));
        command
    }

    fn ring3(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("ring3 starts")
    }

    fn pid(&self) -> u64 {
        json(&self.ring3(&["daemon", "status", "--json"]))["pid"].as_u64().expect("a number")
    }

    fn kill(&self) -> u64 {
        let pid = self.pid();
        let kill = Command::new("kill").args(["-9", &pid.to_string()]).status();
        assert!(kill.expect("kill starts").success());
        // The socket closes with the process, which is not ours to wait for.
        let gone = || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        };
        while !gone() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        pid
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = self.ring3(&["daemon", "stop"]);
    }
}

/// What bpftool needs an object for, ring3 compiles: the same instructions either way.
#[test]
fn source_loads_as_its_object_does() {
    let user = User::new();
    let object = user.dir.path().join("hello.bpf.o");
    let object = object.to_str().expect("UTF-8");
    ok(&user.ring3(&["compile", "hello.bpf.c", "-o", object]));
    for (file, pin) in [("hello.bpf.c", "/sys/fs/bpf/source"), (object, "/sys/fs/bpf/object")] {
        ok(&user.ring3(&["prog", "load", file, pin]));
    }
    let tag = |pin| json(&user.ring3(&["-j", "prog", "show", "pinned", pin]))["tag"].clone();
    assert!(tag("/sys/fs/bpf/source").is_string());
    assert_eq!(tag("/sys/fs/bpf/source"), tag("/sys/fs/bpf/object"));
    let broken = user.dir.path().join("broken.bpf.c");
    fs::write(&broken, "int x = ;").expect("a file");
    let path = broken.to_str().expect("UTF-8");
    let said = refused(&user.ring3(&["prog", "load", path, "/sys/fs/bpf/broken"]), 255);
    assert!(said.contains("expected expression") && said.contains("broken.bpf.c:1"), "{said}");
}

#[test]
fn it_starts_stops_and_says_how_it_is() {
    let user = User::new();
    let message = refused(&user.ring3(&["daemon", "status"]), 1);
    assert!(message.contains("no daemon is running"), "{message}");
    assert!(ok(&user.ring3(&["daemon", "start"])).starts_with("started: process "));
    let again = ok(&user.ring3(&["daemon", "start"]));
    assert_eq!(again, format!("already running: process {}\n", user.pid()));
    let folder = user.dir.path().join("ring3");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert!(ok(&user.ring3(&["daemon", "status"])).contains("0 programs, 0 maps"));
    assert_eq!(ok(&user.ring3(&["daemon", "stop"])), "");
    refused(&user.ring3(&["daemon", "stop"]), 1);
    let status = user.ring3(&["daemon", "status", "--json"]);
    assert!(text(&status.stdout).contains("\"running\":false"));
}

#[test]
fn there_is_one_however_many_start_it() {
    let user = User::new();
    let start = || user.command(&["daemon", "start"]).stdout(Stdio::piped()).spawn();
    let starting: Vec<_> = (0..6).map(|_| start().expect("ring3 starts")).collect();
    let said = starting.into_iter().map(|child| ok(&child.wait_with_output().expect("done")));
    let (started, already): (Vec<_>, Vec<_>) = said.partition(|said| said.starts_with("started"));
    assert_eq!((started.len(), already.len()), (1, 5));
    let pid = user.pid().to_string();
    assert!(already.iter().chain(&started).all(|said| said.trim_end().ends_with(&pid)));
    let second = refused(&user.ring3(&["daemon", "serve"]), 2);
    assert!(second.contains("already running"), "{second}");
}

#[test]
fn a_killed_one_is_reported_and_the_next_is_empty() {
    let user = User::new();
    ok(&user.ring3(&["fs", "mkdir", "mine"]));
    assert_eq!(ok(&user.ring3(&["fs", "ls"])), "mine/\n");
    let pid = user.kill();
    let message = refused(&user.ring3(&["daemon", "status"]), 1);
    assert!(message.contains(&format!("(process {pid}) was killed")), "{message}");
    let next = user.ring3(&["fs", "ls"]);
    assert_eq!(ok(&next), "");
    assert!(text(&next.stderr).contains("the new one is empty"), "{}", text(&next.stderr));
    assert_eq!(text(&user.ring3(&["fs", "ls"]).stderr), "");
}

#[test]
fn a_folder_that_others_may_enter_is_refused() {
    let user = User::new();
    let folder = user.dir.path().join("ring3");
    fs::create_dir(&folder).expect("made");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("opened");
    for verb in [["daemon", "start"], ["daemon", "status"], ["fs", "ls"]] {
        let message = refused(&user.ring3(&verb), 2);
        assert!(message.contains("others may enter it"), "{message}");
    }
    fs::remove_dir(&folder).expect("removed");
    std::os::unix::fs::symlink("/tmp", &folder).expect("a link");
    let message = refused(&user.ring3(&["daemon", "start"]), 2);
    assert!(message.contains("not a folder"), "{message}");
}

#[test]
fn folders_and_pins_have_names() {
    let user = User::new();
    let object = user.dir.path().join("hello.o");
    let object = object.to_str().expect("a path");
    let compiled = user.ring3(&["compile", "hello.bpf.c", "-o", object]);
    if !compiled.status.success() {
        eprintln!("skipped: {}", text(&compiled.stderr));
        return;
    }
    ok(&user.ring3(&["prog", "load", object, "/sys/fs/bpf/hello"]));
    assert_eq!(ok(&user.ring3(&["fs", "ls"])), "hello\n");
    let long = ok(&user.ring3(&["fs", "ls", "-l", "/sys/fs/bpf/hello"]));
    let words: Vec<_> = long.split_whitespace().collect();
    assert_eq!((words[0], words[2]), ("prog", "/sys/fs/bpf/hello"));
    assert!(ok(&user.ring3(&["prog", "show", "pinned", "/sys/fs/bpf/hello"])).contains("xdp"));
    let message = refused(&user.ring3(&["fs", "mkdir", "a/b"]), 1);
    assert!(message.contains("No such file or directory"), "{message}");
    let message = refused(&user.ring3(&["fs", "mkdir", "a.b"]), 1);
    assert!(message.contains("Operation not permitted"), "{message}");
    ok(&user.ring3(&["fs", "mkdir", "-p", "a/b", "a/c", "a"]));
    // A name without a slash is one in /sys/fs/bpf to every command.
    ok(&user.ring3(&[
        "map", "create", "m", "type", "array", "key", "4", "value", "4", "entries", "1", "name",
        "m",
    ]));
    assert!(ok(&user.ring3(&["map", "show", "pinned", "/sys/fs/bpf/m"])).contains("array"));
    ok(&user.ring3(&["fs", "rm", "m"]));
    assert_eq!(ok(&user.ring3(&["fs", "ls", "a"])), "b/\nc/\n");
    let message = refused(&user.ring3(&["fs", "rm", "a"]), 1);
    assert!(message.contains("/sys/fs/bpf/a: Is a directory"), "{message}");
    let message = refused(&user.ring3(&["fs", "rmdir", "a"]), 1);
    assert!(message.contains("Directory not empty"), "{message}");
    ok(&user.ring3(&["fs", "rm", "-r", "a", "hello"]));
    assert_eq!(ok(&user.ring3(&["fs", "ls"])), "");
    assert_eq!(ok(&user.ring3(&["prog", "show"])), "");
    let message = refused(&user.ring3(&["fs", "rm", "hello"]), 1);
    assert!(message.contains("No such file or directory"), "{message}");
    assert_eq!(ok(&user.ring3(&["fs", "cat", "-n", "trace_pipe"])), "");
}

#[test]
fn the_trace_is_followed_while_others_run_programs() {
    use std::io::{BufRead, BufReader};
    let user = User::new();
    let object = user.dir.path().join("hello.o");
    let object = object.to_str().expect("a path");
    let compiled = user.ring3(&["compile", "hello.bpf.c", "-o", object]);
    if !compiled.status.success() {
        eprintln!("skipped: {}", text(&compiled.stderr));
        return;
    }
    let packet = user.dir.path().join("packet");
    fs::write(&packet, [0; 64]).expect("written");
    let packet = packet.to_str().expect("a path");
    ok(&user.ring3(&["prog", "load", object, "/sys/fs/bpf/hello"]));
    let run = ["prog", "run", "pinned", "/sys/fs/bpf/hello", "data_in", packet];
    let follower = ["prog", "tracelog"];
    let mut child = user.command(&follower).stdout(Stdio::piped()).spawn().expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    for _ in 0..2 {
        ok(&user.ring3(&run));
        let line = lines.next().expect("a line").expect("text");
        assert!(line.contains("bpf_trace_printk: "), "{line}");
    }
    child.kill().expect("it followed until now");
    child.wait().expect("it ended");
}
