//! The tools' own objects: their records equal what strace shows of the same command.

use ring3::live::Ended;

use crate::support::{self, Seen, number, packaged, ready, run, shell, strace, text};

const SCRIPT: &str = "cat /etc/hostname /nosuch >/dev/null 2>&1; ls / >/dev/null; exit 3";

/// Path and result, -1 for every error.
fn opened(seen: &Seen, name: usize, result: usize) -> Vec<(String, i64)> {
    let row = |data: &[u8]| (text(&data[name..]), number(data, result).max(-1));
    seen.records.iter().map(|record| row(&record.data)).collect()
}

#[test]
fn opensnoop_tells_what_strace_tells() {
    let (true, Some(object)) = (ready(&["strace"]), packaged("opensnoop")) else { return };
    let seen = shell(object, SCRIPT);
    assert_eq!(seen.ended, Ended::Exited(3));
    let calls = strace("open,openat", &["/bin/sh", "-c", SCRIPT]);
    let want: Vec<_> =
        calls.iter().map(|c| (c.texts().join(""), c.result.unwrap_or(-1).max(-1))).collect();
    assert!(want.len() > 10, "{want:?}");
    // struct event: ts, pid, uid, ret, flags, two callers, comm, fname.
    assert_eq!(opened(&seen, 56, 16), want);
    let comms: Vec<_> = seen.records.iter().map(|r| text(&r.data[40..56])).collect();
    assert!(comms.iter().any(|c| c == "cat") && comms.iter().any(|c| c == "ls"), "{comms:?}");
}

#[test]
fn opensnoop_s_filters_work() {
    let (true, Some(mut object)) = (ready(&[]), packaged("opensnoop")) else { return };
    object.set_variable("targ_failed", "true").expect("a variable of it");
    let seen = shell(object, SCRIPT);
    let rows = opened(&seen, 56, 16);
    assert!(rows.contains(&("/nosuch".into(), -1)), "{rows:?}");
    assert!(rows.iter().all(|(_, result)| *result < 0), "{rows:?}");
}

#[test]
fn execsnoop_tells_what_strace_tells() {
    let (true, Some(object)) = (ready(&["strace"]), packaged("execsnoop")) else { return };
    let script = "/bin/true one two; (/bin/echo three | cat) >/dev/null; env -i /bin/false";
    let seen = shell(object, script);
    let calls = strace("execve", &["/bin/sh", "-c", script]);
    let done = calls.iter().filter(|c| c.result == Some(0));
    let mut want: Vec<_> = done.map(|c| c.texts()).map(|t| (t[0].clone(), t.len() - 1)).collect();
    let field = |name: &str| seen.typed.iter().map(|r| r[name].clone()).collect::<Vec<_>>();
    let counts = field("args_count");
    let mut ours: Vec<_> = seen
        .typed
        .iter()
        .zip(&counts)
        .map(|(r, n)| {
            (r["args"].as_str().unwrap_or("").to_owned(), n.as_u64().unwrap_or(0) as usize)
        })
        .collect();
    // strace may hold one side of a pipe back.
    want.sort();
    ours.sort();
    assert_eq!(ours, want);
    let pids = field("pid");
    let shell = pids[0].clone();
    let parents = field("ppid");
    assert_eq!(parents[0], std::process::id());
    assert_eq!(parents[1], shell);
}

#[test]
fn exitsnoop_tells_how_processes_ended() {
    let (true, Some(object)) = (ready(&[]), packaged("exitsnoop")) else { return };
    let seen =
        shell(object, "/bin/true; (exit 5); sh -c 'kill -9 $$'; sh -c 'kill -15 $$'; exit 7");
    // struct event: start, exit, pid, tid, ppid, sig, exit code, comm.
    let mut ends: Vec<_> =
        seen.records.iter().map(|r| (number(&r.data, 28), number(&r.data, 32))).collect();
    assert_eq!(ends.pop(), Some((0, 7)), "the shell is last");
    ends.sort();
    assert_eq!(ends, [(0, 0), (0, 5), (9, 0), (15, 0)]);
    let main = &seen.records.last().expect("records").data;
    assert_eq!(number(main, 24), i64::from(std::process::id()));
    let word = |at: usize| u64::from_ne_bytes(main[at..at + 8].try_into().expect("8 bytes"));
    assert!(word(0) < word(8), "it began before it ended");
    assert_eq!(text(&main[36..]), "sh");
}

#[test]
fn syscount_counts_what_strace_shows() {
    let (true, Some(object)) = (ready(&["strace"]), packaged("syscount")) else { return };
    let seen = run(object, &[], &["/bin/sh", "-c", "exec /bin/ls / >/dev/null"]);
    let calls = strace("all", &["/bin/sh", "-c", "exec /bin/ls / >/dev/null"]);
    let mut want: Vec<(&str, u64)> = Vec::new();
    for call in &calls {
        // It counts ends of calls, and this one has none.
        if call.name == "exit_group" {
            continue;
        }
        match want.iter_mut().find(|(name, _)| *name == call.name) {
            Some((_, count)) => *count += 1,
            None => want.push((&call.name, 1)),
        }
    }
    let rows = seen.map("data").as_array().expect("rows").clone();
    let mut ours: Vec<(&str, u64)> = rows
        .iter()
        .map(|row| {
            let number = row["key"].as_u64().unwrap_or(0) as u32;
            let name = ring3::live::syscall_name(number).unwrap_or("?");
            (name, row["value"]["count"].as_u64().unwrap_or(0))
        })
        .collect();
    want.sort();
    ours.sort();
    assert_eq!(ours, want);
}

#[test]
fn statsnoop_and_sigsnoop_tell_what_strace_tells() {
    let (true, Some(object)) = (ready(&["strace", "stat"]), packaged("statsnoop")) else { return };
    let script = "stat -f /tmp /nosuch >/dev/null 2>&1; stat / >/dev/null";
    let seen = shell(object, script);
    let calls = strace("stat,lstat,newfstatat,statfs,statx", &["/bin/sh", "-c", script]);
    let want: Vec<_> =
        calls.iter().map(|c| (c.texts()[0].clone(), c.result.unwrap_or(-1).max(-1))).collect();
    // struct event: ts, pid, ret, comm, pathname.
    let rows = opened(&seen, 32, 12);
    assert_eq!(rows, want);

    let Some(mut object) = packaged("sigsnoop") else { return };
    object.keep_programs(&["kill_entry".into(), "kill_exit".into()]).expect("its programs");
    let seen = shell(object, "kill -0 $$; kill -s USR1 999999999 2>/dev/null; true");
    let rows: Vec<_> = seen.typed.iter().map(|r| (r["sig"].clone(), r["ret"].clone())).collect();
    assert_eq!(rows, [(0.into(), 0.into()), (10.into(), (-3).into())]);
}

#[test]
fn funclatency_counts_calls_of_a_user_function() {
    let (true, Some(object)) = (ready(&["gcc"]), packaged("funclatency")) else { return };
    let dir = support::tempdir();
    let program = crate::functions::compile(&dir, &[]);
    let places = [
        ("dummy_kprobe", format!("uprobe/{program}:fact")),
        ("dummy_kretprobe", format!("uretprobe/{program}:fact")),
    ];
    let mut object = object;
    object.keep_programs(&places.clone().map(|(name, _)| name.to_owned())).expect("its programs");
    let places = [(places[0].0, &*places[0].1), (places[1].0, &*places[1].1)];
    let seen = run(object, &places, &[&program]);
    let _ = std::fs::remove_dir_all(&dir);
    let (_, bss) = seen.maps.iter().find(|(name, _)| name.ends_with(".bss")).expect(".bss");
    let slots = bss.to_string();
    let counts = slots.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse::<u64>().ok());
    // Recursion shares one start: the innermost call takes it.
    assert!(counts.sum::<u64>() > 0, "{slots}");
}

#[test]
fn mountsnoop_tells_what_strace_tells() {
    let (true, Some(object)) = (ready(&["strace", "unshare"]), packaged("mountsnoop")) else {
        return;
    };
    let script =
        "mount -t tmpfs none /mnt; umount /mnt; mount -t nosuch none /mnt 2>/dev/null; true";
    let command = ["unshare", "-rm", "sh", "-c", script];
    let seen = run(object, &[], &command);
    if seen.ended != Ended::Exited(0) {
        eprintln!("skipped: no namespaces of users and mounts here");
        return;
    }
    let calls = strace("mount,umount2", &command);
    let want: Vec<_> = calls
        .iter()
        .map(|c| {
            let place = c.texts().get(usize::from(c.name == "mount")).cloned().unwrap_or_default();
            (c.name == "mount", place, c.result.unwrap_or(-1).max(-1))
        })
        .collect();
    assert!(want.len() > 3, "{want:?}");
    // struct event: delta, flags, pid, tid, mnt_ns, ret, comm, fs, src, dest, data, op.
    let row =
        |data: &[u8]| (number(data, 8760) == 0, text(&data[4152..8248]), number(data, 28).max(-1));
    let ours: Vec<_> = seen.records.iter().map(|record| row(&record.data)).collect();
    assert_eq!(ours, want);
}

#[test]
fn bashreadline_tells_the_lines_that_bash_reads() {
    let (true, Some(object)) = (ready(&["bash", "script"]), packaged("bashreadline")) else {
        return;
    };
    let script =
        "printf 'echo one two\nexit 5\n' | script -qec 'bash --norc -i' /dev/null >/dev/null";
    let place = [("printret", "uretprobe//bin/bash:readline")];
    let seen = run(object, &place, &["/bin/sh", "-c", script]);
    let lines: Vec<_> = seen.records.iter().map(|r| text(&r.data[4..])).collect();
    assert_eq!(lines, ["echo one two", "exit 5"]);
    assert_eq!(seen.ended, Ended::Exited(5));
}

#[test]
fn filelife_is_refused_for_the_kernel_s_functions() {
    let (true, Some(object)) = (ready(&[]), packaged("filelife")) else { return };
    let error = support::refusal(object, &[]);
    assert!(error.contains("kernel's function 'vfs_"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}
