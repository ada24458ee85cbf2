//! `ring3 run PROGRAMS --dev eth0 -- COMMAND`: live packets between namespaces, as root and as nobody.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{can_compile, have, text};
use tempfile::TempDir;

const PROGRAMS: &str = r#"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
volatile const int verdict = XDP_PASS;
SEC("xdp") int x(struct xdp_md *ctx) { return verdict; }
SEC("tc/ingress") int in(struct __sk_buff *skb) { return -1; }
SEC("tcx/egress") int out(struct __sk_buff *skb) { return -1; }
SEC("cgroup_skb/egress") int to(struct __sk_buff *skb) { return 1; }
SEC("cgroup_skb/ingress") int from(struct __sk_buff *skb) { return 1; }
SEC("socket") int seen(struct __sk_buff *skb) { return skb->len; }
char _license[] SEC("license") = "GPL";
"#;

/// A folder that nobody can read, with the command and compiled programs.
struct World {
    dir: TempDir,
}

impl World {
    /// `None` where the tests cannot be run; says so.
    fn new() -> Option<World> {
        if !have("ping") || !have("setpriv") || !can_compile() {
            return None;
        }
        let dir = tempfile::tempdir().expect("a temporary folder");
        let open = |path: &Path| {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("mode");
        };
        open(dir.path());
        let world = World { dir };
        fs::copy(env!("CARGO_BIN_EXE_ring3"), world.path("ring3")).expect("a copy");
        open(&world.path("ring3"));
        world.compile("p", PROGRAMS);
        let ran = world.nobody(&["run", "p.o", "--dev", "eth0", "--", "true"]);
        if !ran.status.success() {
            eprintln!("skipped: no networks here: {}", text(&ran.stderr));
            return None;
        }
        Some(world)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn compile(&self, name: &str, source: &str) {
        let (from, to) = (self.path(&format!("{name}.bpf.c")), self.path(&format!("{name}.o")));
        fs::write(&from, source).expect("a source");
        let mut command = Command::new(env!("CARGO_BIN_EXE_ring3"));
        let made = command.arg("compile").arg(&from).arg("-o").arg(&to);
        let made = made.output().expect("ring3 starts");
        assert!(made.status.success(), "{}", text(&made.stderr));
    }

    fn command(&self, args: &[&str]) -> Command {
        let root = rustix_is_root();
        let mut command = match root {
            true => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
                command.arg(self.path("ring3"));
                command
            }
            false => Command::new(self.path("ring3")),
        };
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    /// As an ordinary user.
    fn nobody(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("ring3 starts")
    }
}

fn rustix_is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id");
    text(&id.stdout).trim() == "0"
}

/// The words after a program's name in the report.
fn verdicts<'a>(out: &'a str, program: &str) -> &'a str {
    let name = format!(" {program}:");
    let line = out.lines().find(|line| line.contains(&name)).unwrap_or_else(|| panic!("{out}"));
    line.split_once(&name).map_or("", |(_, rest)| rest.trim())
}

#[test]
fn every_hook_sees_the_packets_of_ping() {
    let Some(world) = World::new() else { return };
    let run = world
        .nobody(&["run", "p.o", "--dev", "eth0", "--", "ping", "-c", "3", "-i", "0.01", "peer"]);
    let out = common::ok(&run);
    assert!(out.contains("3 packets transmitted, 3 received, 0% packet loss"), "{out}");
    // Three requests and answers, and an exchange of ARP that is no IP.
    assert_eq!(verdicts(&out, "x"), "XDP_PASS 4");
    assert_eq!(verdicts(&out, "in"), "TC_ACT_UNSPEC 4");
    assert_eq!(verdicts(&out, "out"), "TC_ACT_UNSPEC 4");
    assert_eq!((verdicts(&out, "to"), verdicts(&out, "from")), ("allow 3", "allow 3"));
    assert_eq!(verdicts(&out, "seen"), "keep 8");
}

#[test]
fn aborted_packets_cut_the_network() {
    let Some(world) = World::new() else { return };
    for verdict in ["0", "1"] {
        let set = format!("verdict={verdict}");
        let args = ["run", "p.o", "--dev", "eth0", "--set", &set, "--"];
        let run = world
            .nobody(&[&args[..], &["ping", "-c", "2", "-i", "0.1", "-W", "1", "peer"]].concat());
        let out = text(&run.stdout);
        assert_eq!(run.status.code(), Some(1), "ping's own status: {out}");
        assert!(out.contains("100% packet loss"), "{out}");
        assert!(!verdicts(&out, "x").contains("PASS"), "{out}");
    }
}

#[test]
fn statuses_are_the_command_s_and_names_must_be_there() {
    let Some(world) = World::new() else { return };
    let run = |args: &[&str]| world.nobody(&[&["run", "p.o"], args].concat());
    assert_eq!(run(&["--dev", "eth0", "--", "sh", "-c", "exit 7"]).status.code(), Some(7));
    assert_eq!(run(&["--dev", "eth0", "--", "sh", "-c", "kill -9 $$"]).status.code(), Some(137));
    let message = common::refused(&run(&["--dev", "eth0", "--", "nosuchcommand"]), 127);
    assert!(message.contains("nosuchcommand: no such command"), "{message}");
    let message = common::refused(&run(&["--dev", "eth1", "--", "true"]), 2);
    assert!(message.contains("no interface 'eth1' in the network"), "{message}");
    let attach = ["--dev", "eth0", "--attach", "x=tcx/ingress", "--", "true"];
    let message = common::refused(&run(&attach), 2);
    assert!(message.contains("a program of type xdp does not go there"), "{message}");
}

/// Processes whose command line holds `word`.
fn processes(word: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let Ok(line) = fs::read(entry.path().join("cmdline")) else { continue };
        if text(&line).contains(word) {
            found.push(entry.file_name().display().to_string());
        }
    }
    found
}

#[test]
fn nothing_stays_when_ring3_is_killed() {
    let Some(world) = World::new() else { return };
    // A number that no other process has.
    let word = format!("86400.{}", std::process::id());
    let script = format!("setsid sleep {word} & sleep {word}");
    let mut command = world.command(&["run", "p.o", "--dev", "eth0", "--", "sh", "-c", &script]);
    let mut child = command.stdout(Stdio::null()).spawn().expect("ring3 starts");
    let deadline = Instant::now() + Duration::from_secs(20);
    let wait = |done: &dyn Fn() -> bool| {
        while !done() {
            assert!(Instant::now() < deadline, "{:?}", processes(&word));
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    // The shell, two sleeps, ring3, and its helpers.
    wait(&|| processes(&format!("sleep\0{word}")).len() == 2);
    child.kill().expect("SIGKILL");
    child.wait().expect("its end");
    wait(&|| processes(&word).is_empty());
}
