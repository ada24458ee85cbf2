//! `ring3 run PROGRAMS -- COMMAND` and `ring3 trace`: output, statuses, commands that cannot be run.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use common::{have, ok, refused, ring3, root, text};
use serde_json::Value;

fn ready() -> bool {
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        eprintln!("skipped: no kernel types here (/sys/kernel/btf/vmlinux)");
        return false;
    }
    have("clang-19")
}

fn tool(name: &str) -> String {
    root().join("examples/tools").join(name).display().to_string()
}

#[test]
fn records_are_columns_or_lines_of_json() {
    if !ready() {
        return;
    }
    let plain = ok(&ring3(["run", &tool("opensnoop.bpf.c"), "--", "cat", "/etc/hostname"]));
    let mut lines = plain.lines();
    let head: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
    assert_eq!(head, ["PID", "RET", "FLAGS", "COMM", "PATH"]);
    assert!(plain.lines().any(|line| line.ends_with(" cat              /etc/hostname")), "{plain}");

    let out =
        ring3(["trace", "opensnoop", "--json", "--set", "failed=true", "--", "cat", "/nosuch"]);
    assert_eq!(out.status.code(), Some(1), "the command's status");
    let rows: Vec<Value> =
        text(&out.stdout).lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    let last = rows.iter().find(|row| row["record"]["path"] == "/nosuch").expect("the record");
    assert_eq!((&last["record"]["ret"], &last["type"]), (&(-2).into(), &"event".into()));
    assert!(rows.iter().all(|row| row["record"]["ret"].as_i64() < Some(0)), "{rows:?}");
}

#[test]
fn tools_tell_of_programs_calls_and_functions() {
    if !ready() {
        return;
    }
    let out = ok(&ring3(["trace", "execsnoop", "--", "sh", "-c", "/bin/echo a b; /bin/true"]));
    for end in ["sh -c /bin/echo a b; /bin/true", "/bin/echo a b", "/bin/true"] {
        assert!(out.lines().any(|line| line.ends_with(end)), "{end}: {out}");
    }
    let out =
        ok(&ring3(["trace", "syscount", "--", "sh", "-c", "kill -0 $$; kill -0 $$; kill -0 $$"]));
    let row = out.lines().find(|line| line.ends_with(" kill")).unwrap_or_default();
    assert_eq!(row.split_whitespace().next(), Some("3"), "{out}");
    let out = ok(&ring3(["trace", "funclatency", "libc.so.6:malloc", "--json", "--", "ls", "/"]));
    let calls = out.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let calls: u64 = calls.filter_map(|row| row["record"]["calls"].as_u64()).sum();
    assert!(calls > 10, "{out}");
}

#[test]
fn the_command_s_status_is_passed_through() {
    if !ready() {
        return;
    }
    let file = tool("opensnoop.bpf.c");
    for (script, status) in [("exit 0", 0), ("exit 42", 42), ("kill -9 $$", 137), ("kill $$", 143)]
    {
        let out = ring3(["run", &file, "-o", "/dev/null", "--", "sh", "-c", script]);
        assert_eq!(out.status.code(), Some(status), "{script}: {}", text(&out.stderr));
    }
}

#[test]
fn commands_that_cannot_be_run_get_one_message() {
    if !ready() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let plain = dir.path().join("plain");
    fs::write(&plain, "no program").expect("written");
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o644)).expect("mode");
    let broken = dir.path().join("broken");
    fs::write(&broken, b"\x7fELF\x02\x01\x01 and nothing more").expect("written");
    fs::set_permissions(&broken, fs::Permissions::from_mode(0o755)).expect("mode");
    let no_interpreter = dir.path().join("script");
    fs::write(&no_interpreter, "#!/no/such/shell\n").expect("written");
    fs::set_permissions(&no_interpreter, fs::Permissions::from_mode(0o755)).expect("mode");
    let path = |path: &Path| path.display().to_string();
    let file = tool("opensnoop.bpf.c");
    for (command, status, message) in [
        ("no-such-command-here".to_owned(), 127, "no such command in PATH"),
        ("/no/such/file".to_owned(), 127, "No such file"),
        (path(dir.path()), 126, "this is a folder"),
        (path(&plain), 126, "cannot be executed"),
        (path(&no_interpreter), 127, "No such file"),
    ] {
        let said = refused(&ring3(["run", &file, "--", &command]), status);
        assert!(said.contains(message) && said.contains(&command), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let said = refused(
        &ring3(["run", &file, "--attach", "nobody=kprobe/__x64_sys_kill", "--", "true"]),
        1,
    );
    assert!(said.contains("no program of this name"), "{said}");
    let said = refused(&ring3(["run", &file, "--set", "nosuch=1", "--", "true"]), 1);
    assert!(said.contains("failed"), "it names what can be set: {said}");
    let said = refused(&ring3(["run", &file, "--set", "failed=7", "--", "true"]), 1);
    assert!(said.contains("0 to 1"), "{said}");
    let said = refused(&ring3(["run", "hello.bpf.c", "--", "true"]), 1);
    assert!(said.contains("no hook on a command"), "{said}");
    let said = refused(&ring3(["trace", "funclatency", "libc.so.6:nosuch", "--", "true"]), 1);
    assert!(said.contains("no function 'nosuch'"), "{said}");
}

#[test]
fn programs_whose_calls_are_not_seen_are_named() {
    if !ready() || !have("gcc") {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let (source, program) = (dir.path().join("exit.s"), dir.path().join("exit32"));
    fs::write(&source, ".globl _start\n_start: mov $1,%eax\nmov $7,%ebx\nint $0x80\n")
        .expect("written");
    let made = Command::new("gcc")
        .args(["-m32", "-nostdlib", "-static", "-o"])
        .args([&program, &source])
        .output()
        .is_ok_and(|made| made.status.success());
    if !made {
        eprintln!("skipped: gcc makes no 32-bit programs here");
        return;
    }
    let out = ring3(["run", &tool("opensnoop.bpf.c"), "--", &program.display().to_string()]);
    assert_eq!(out.status.code(), Some(7), "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("a 32-bit program"), "{}", text(&out.stderr));
}

/// strace, then ring3: nobody can follow a process twice.
#[test]
fn another_tracer_is_named() {
    if !ready() || !have("strace") {
        return;
    }
    let out = Command::new("strace")
        .args(["-f", "-o", "/dev/null", env!("CARGO_BIN_EXE_ring3"), "run"])
        .args([&tool("opensnoop.bpf.c"), "--", "true"])
        .output()
        .expect("strace starts");
    assert_eq!(out.status.code(), Some(2), "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("another tracer"), "{}", text(&out.stderr));
}

#[test]
fn what_goes_on_in_the_background_is_waited_for() {
    if !ready() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let mark = dir.path().join("mark");
    let script = format!("(sleep 0.3; echo done >{}) & exit 3", mark.display());
    let out =
        ring3(["run", &tool("opensnoop.bpf.c"), "-o", "/dev/null", "--", "sh", "-c", &script]);
    assert_eq!(out.status.code(), Some(3));
    assert!(text(&out.stderr).contains("in the background"), "{}", text(&out.stderr));
    assert_eq!(fs::read_to_string(&mark).unwrap_or_default(), "done\n");
}

/// Killing ring3 ends the command and all that it started.
#[test]
fn nothing_is_left_behind_when_ring3_is_killed() {
    if !ready() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let pids = dir.path().join("pids");
    let script = format!("sleep 1000 & echo $! $$ >{}; wait", pids.display());
    let mut ring3 = Command::new(env!("CARGO_BIN_EXE_ring3"))
        .args(["run", &tool("opensnoop.bpf.c"), "-o", "/dev/null", "--", "sh", "-c", &script])
        .spawn()
        .expect("ring3 starts");
    let mut said = String::new();
    for _ in 0..600 {
        said = fs::read_to_string(&pids).unwrap_or_default();
        if said.ends_with('\n') {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(said.ends_with('\n'), "the command began");
    ring3.kill().expect("it can be killed");
    ring3.wait().expect("it ends");
    for pid in said.split_whitespace() {
        let state = || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            stat.rsplit(')').next()?.trim().chars().next()
        };
        let ended = (0..200).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            state().is_none_or(|state| state == 'Z')
        });
        assert!(ended, "process {pid}: {:?}", state());
    }
}
