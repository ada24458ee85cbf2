//! Commands that are not there, end at once, have rights of their own, or go their own ways: one
//! clear message each, their status passed on, nothing left behind.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::process::Command as Process;

use ring3::live::{Command, Ended, HookError, Live, Records, Watcher};
use ring3::{Config, Kernel, Machine, Object};

use crate::support::{bpf, ready, tempdir};

const COUNTS: &str = r#"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
int execs, opens, forks;
SEC("tracepoint/sched/sched_process_exec") int on_exec(void *ctx) { __sync_fetch_and_add(&execs, 1); return 0; }
SEC("tracepoint/syscalls/sys_enter_openat") int on_open(void *ctx) { __sync_fetch_and_add(&opens, 1); return 0; }
SEC("tracepoint/sched/sched_process_fork") int on_fork(void *ctx) { __sync_fetch_and_add(&forks, 1); return 0; }
char LICENSE[] SEC("license") = "GPL";
"#;

#[derive(Default)]
struct Notes(Vec<String>);

impl Watcher for Notes {
    fn ran(&mut self, _: bool) -> std::io::Result<bool> {
        Ok(false)
    }

    fn note(&mut self, text: &str) {
        self.0.push(text.to_owned());
    }
}

/// How a command ended under counting programs, and what was said.
fn count(argv: &[&str]) -> (Result<Ended, HookError>, Vec<String>) {
    let dir = tempdir();
    let object = bpf(&dir, COUNTS);
    let ended = under(&object, argv);
    let _ = std::fs::remove_dir_all(&dir);
    ended
}

fn under(object: &Object, argv: &[&str]) -> (Result<Ended, HookError>, Vec<String>) {
    let kernel = Kernel::running();
    let machine = Machine::with(Config::default());
    let loaded = machine.load(object).expect("loaded");
    let mut live = Live::new(&loaded, &kernel, &[]).expect("attached");
    let _: Records<'_> = live.records().expect("buffers");
    let mut notes = Notes::default();
    let command = Command { argv: argv.iter().map(OsString::from).collect() };
    let ended = live.run(&command, &mut notes);
    (ended, notes.0)
}

fn script(text: &str) -> Ended {
    count(&["/bin/sh", "-c", text]).0.expect("run")
}

/// Children of this thread that have not been waited for.
fn children() -> String {
    let text = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    text.trim().to_owned()
}

#[test]
fn commands_that_cannot_be_run_say_why() {
    if !ready(&["clang-19"]) {
        return;
    }
    let dir = tempdir();
    let plain = dir.join("plain");
    std::fs::write(&plain, "no program").expect("written");
    let wrong = dir.join("wrong");
    std::fs::write(&wrong, b"\x7fELF\x02\x01\x01 and no more").expect("written");
    std::fs::set_permissions(&wrong, std::fs::Permissions::from_mode(0o755)).expect("rights");
    for (argv, status, words) in [
        ("/nosuch/command", 127, "No such file"),
        ("no-such-command-here", 127, "no such command"),
        ("/tmp", 126, "folder"),
        (plain.to_str().expect("text"), 126, "cannot be executed"),
        ("", 127, ""),
    ] {
        match count(&[argv]).0 {
            Err(HookError::Command { why, status: told, .. }) => {
                assert_eq!(told, status, "{argv}: {why}");
                assert!(why.contains(words), "{argv}: {why}");
                assert!(!why.contains('\n'), "{argv}: {why}");
            }
            other => panic!("{argv}: {other:?}"),
        }
    }
    // What is no program after all is a shell's, as execvp(3) has it, or refused by the kernel.
    let (ended, _) = count(&[wrong.to_str().expect("text")]);
    match ended {
        Ok(Ended::Exited(status)) => assert_ne!(status, 0),
        Err(HookError::Command { status, .. }) => assert_eq!(status, 126),
        other => panic!("{other:?}"),
    }
    let _ = std::fs::remove_dir_all(&dir);
    assert_eq!(children(), "");
}

#[test]
fn statuses_are_passed_on_whatever_commands_do() {
    if !ready(&["clang-19", "setsid"]) {
        return;
    }
    assert_eq!(script("exit 41"), Ended::Exited(41), "at once");
    assert_eq!(script("kill -9 $$"), Ended::Killed(9));
    assert_eq!(script("kill -TERM $$"), Ended::Killed(15));
    assert_eq!(script("ulimit -c 0; kill -SEGV $$"), Ended::Killed(11));
    // A child that ends its parent.
    assert_eq!(script("sh -c 'kill -9 $PPID; exit 3'; exit 4"), Ended::Killed(9));
    // One that goes on in the background is waited for, and told.
    let (ended, notes) = count(&["/bin/sh", "-c", "setsid sh -c 'sleep 0.3; exit 9' & exit 6"]);
    assert_eq!(ended.expect("run"), Ended::Exited(6));
    assert!(notes.iter().any(|note| note.contains("background")), "{notes:?}");
    // One that stops and is continued.
    let stops = "sh -c 'sleep 0.2; kill -CONT '$$ & kill -STOP $$; wait; exit 8";
    assert_eq!(script(stops), Ended::Exited(8));
    assert_eq!(children(), "");
}

#[test]
fn programs_with_rights_of_their_own_and_of_32_bits_are_told() {
    if !ready(&["clang-19", "gcc"]) {
        return;
    }
    let dir = tempdir();
    let file = dir.join("small");
    // The smallest 32-bit program: exit_group(37).
    let mut elf = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    elf.extend([2, 0, 3, 0, 1, 0, 0, 0]);
    elf.extend(0x0804_8054_u32.to_le_bytes());
    elf.extend(52_u32.to_le_bytes());
    elf.extend([0; 8]);
    elf.extend([52, 0, 32, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    for word in [1_u32, 0, 0x0804_8000, 0x0804_8000, 96, 96, 5, 0x1000] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend([0xb8, 252, 0, 0, 0, 0xbb, 37, 0, 0, 0, 0xcd, 0x80]);
    std::fs::write(&file, elf).expect("written");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("rights");
    let path = file.to_str().expect("text");
    if Process::new(path).status().is_ok_and(|status| status.code() == Some(37)) {
        let (ended, notes) = count(&[path]);
        assert_eq!(ended.expect("run"), Ended::Exited(37));
        assert!(notes.iter().any(|note| note.contains("32-bit")), "{notes:?}");
    } else {
        eprintln!("skipped: 32-bit programs do not run here");
    }
    let _ = std::fs::remove_dir_all(&dir);
}

#[test]
fn a_command_under_another_tracer_is_refused_by_it() {
    if !ready(&["clang-19", "strace", "gcc"]) {
        return;
    }
    // What traces itself cannot be traced by others; ring3's own trace is there first.
    let dir = tempdir();
    let source = "#include <sys/ptrace.h>\nint main(void) { return ptrace(PTRACE_TRACEME, 0, 0, 0) < 0 ? 12 : 13; }";
    let (file, program) = (dir.join("trace.c"), dir.join("trace"));
    std::fs::write(&file, source).expect("written");
    let done = Process::new("gcc").arg("-o").args([&program, &file]).status();
    assert!(done.is_ok_and(|status| status.success()), "gcc");
    let program = program.display().to_string();
    assert_eq!(count(&[&program]).0.expect("run"), Ended::Exited(12));
    let (ended, _) = count(&["strace", "-o", "/dev/null", &program]);
    // strace's own child is traced already: it says so and fails.
    assert!(matches!(ended, Ok(Ended::Exited(status)) if status != 0), "{ended:?}");
    let _ = std::fs::remove_dir_all(&dir);
    assert_eq!(children(), "");
}

#[test]
fn programs_without_a_hook_are_refused_by_name() {
    if !ready(&["clang-19"]) {
        return;
    }
    for (section, words) in [
        ("kprobe/vfs_create", "kernel's function 'vfs_create' cannot be probed"),
        ("kretprobe/security_inode_create", "cannot be probed"),
        ("tracepoint/signal/signal_generate", "no tracepoint 'signal/signal_generate'"),
        ("raw_tp/sched_switch", "no tracepoint 'sched_switch'"),
        ("xdp", "no hook on a command"),
        ("lsm/file_open", "no hook on a command"),
        ("perf_event/0", "samples a second"),
        ("usdt/x", "names no probe"),
        ("uprobe/nosuch.so:f", "no library or program 'nosuch.so'"),
    ] {
        let dir = tempdir();
        let source = format!(
            "#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\nSEC(\"{section}\") int lonely(void *ctx) {{ return 0; }}\nchar LICENSE[] SEC(\"license\") = \"GPL\";"
        );
        let error = crate::support::refusal(bpf(&dir, &source), &[]);
        let _ = std::fs::remove_dir_all(&dir);
        assert!(error.contains(words) && error.contains("lonely"), "{section}: {error}");
        assert_eq!(error.lines().count(), 1, "{section}: {error}");
    }
}

/// Says to this very program that it is to run a tree of processes until it is killed.
const ROLE: &str = "RING3_TEST_TREE";

/// The part of [`nothing_is_left_when_the_tracer_is_killed`] that is killed.
#[test]
fn a_tree_for_the_one_that_kills() {
    let Ok(mark) = std::env::var(ROLE) else { return };
    let script = format!("for i in 1 2 3; do (while :; do /bin/true {mark}; done) & done; wait");
    let _ = count(&["/bin/sh", "-c", &script, &mark]);
}

/// States of processes that have `mark` among their arguments.
fn marked(mark: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").expect("processes").flatten();
    let marked = processes.filter_map(|process| {
        let of = |file: &str| std::fs::read_to_string(process.path().join(file)).ok();
        let status = of("cmdline")?.contains(mark).then(|| of("status")).flatten()?;
        status.lines().find(|line| line.starts_with("State:")).map(str::to_owned)
    });
    marked.collect()
}

#[test]
fn nothing_is_left_when_the_tracer_is_killed() {
    if !ready(&["clang-19"]) {
        return;
    }
    for wait in [0_u64, 35, 90] {
        let mark = format!("marked-{}-{wait}", std::process::id());
        let mut child = Process::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "bad::a_tree_for_the_one_that_kills"])
            .env(ROLE, &mark)
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("started");
        let pause = std::time::Duration::from_millis;
        let start = std::time::Instant::now();
        while marked(&mark).len() < 3 && start.elapsed().as_secs() < 30 {
            std::thread::sleep(pause(10));
        }
        assert!(!marked(&mark).is_empty(), "the tree grows");
        std::thread::sleep(pause(wait));
        child.kill().expect("killed");
        child.wait().expect("gone");
        let start = std::time::Instant::now();
        while !marked(&mark).is_empty() && start.elapsed().as_secs() < 10 {
            std::thread::sleep(pause(10));
        }
        assert_eq!(marked(&mark), [""; 0], "after {wait} ms");
    }
}
