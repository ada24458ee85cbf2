//! `ring3 net up|down|exec` and `ring3 tc`: networks that stay, and programs at their interfaces.

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{can_compile, example, have, ok, refused, text};
use tempfile::TempDir;

/// A daemon of the test's own, which ends with it.
struct Own {
    dir: TempDir,
}

impl Own {
    /// `None` where there can be no networks; says so.
    fn new() -> Option<Own> {
        let own = Own { dir: tempfile::tempdir().expect("a temporary folder") };
        if !have("ping") || !can_compile() {
            return None;
        }
        let up = own.ring3(&["net", "up", "probe", "a", "b"]);
        if !up.status.success() {
            eprintln!("skipped: no networks here: {}", text(&up.stderr));
            return None;
        }
        ok(&own.ring3(&["net", "down", "probe"]));
        Some(own)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ring3"));
        let place = [("XDG_RUNTIME_DIR", self.dir.path())];
        command.args(args).envs(place).current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    fn ring3(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("ring3 starts")
    }

    /// A program of the test's own, compiled.
    fn compile(&self, name: &str, source: &str) -> String {
        let file = self.dir.path().join(format!("{name}.bpf.c"));
        let text = format!(
            "#include <linux/bpf.h>\n#include <linux/pkt_cls.h>\n#include <bpf/bpf_helpers.h>\n\
             {source}\nchar _license[] SEC(\"license\") = \"GPL\";\n"
        );
        fs::write(&file, text).expect("a source");
        ok(&self.ring3(&["compile", &file.display().to_string()]));
        format!("{name}.bpf.o")
    }

    /// Whether a host gets an answer from another.
    fn reaches(&self, from: &str, to: &str) -> bool {
        let ping = self.ring3(&["net", "exec", from, "--", "ping", "-c1", "-W1", "-q", to]);
        ping.status.success()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = self.ring3(&["daemon", "stop"]);
    }
}

#[test]
fn aborted_packets_cut_the_network_until_the_program_is_detached() {
    let Some(own) = Own::new() else { return };
    ok(&own.ring3(&["net", "up", "lab"]));
    let list = ok(&own.ring3(&["net", "list"]));
    assert!(list.contains("\nnetworks:\nlab process "), "{list}");
    assert!(list.contains("\thost 10.0.0.1 02:00:0a:00:00:01 host/eth0("), "{list}");
    assert!(own.reaches("host", "peer"));
    let cut = own.compile("cut", "SEC(\"xdp\") int cut(void *ctx) { return XDP_ABORTED; }");
    ok(&own.ring3(&["prog", "load", &cut, "/sys/fs/bpf/cut"]));
    ok(&own.ring3(&["net", "attach", "xdp", "pinned", "/sys/fs/bpf/cut", "dev", "host/eth0"]));
    let list = ok(&own.ring3(&["net", "list"]));
    assert!(list.starts_with("xdp:\nhost/eth0(") && list.contains(") driver id "), "{list}");
    assert!(!own.reaches("host", "peer"), "no answer comes through");
    ok(&own.ring3(&["net", "detach", "xdp", "dev", "host/eth0"]));
    assert!(own.reaches("host", "peer"), "the network is there again");
    ok(&own.ring3(&["net", "down", "lab"]));
    assert!(!ok(&own.ring3(&["net", "list"])).contains("networks"));
}

#[test]
fn statuses_are_the_command_s_and_refusals_say_why() {
    let Some(own) = Own::new() else { return };
    let exec = |rest: &[&str]| own.ring3(&[&["net", "exec"], rest].concat());
    assert!(refused(&exec(&["host", "--", "true"]), 2).contains("no network is up"));
    ok(&own.ring3(&["net", "up", "lab"]));
    assert_eq!(exec(&["host", "--", "sh", "-c", "exit 9"]).status.code(), Some(9));
    assert_eq!(exec(&["peer", "sh", "-c", "kill -9 $$"]).status.code(), Some(137));
    assert!(refused(&exec(&["host", "--", "nosuch"]), 127).contains("no such command"));
    assert!(refused(&exec(&["other", "--", "true"]), 2).contains("there are host, peer"));
    assert!(refused(&exec(&["host", "--"]), 2).contains("no command"));
    let up = |args: &[&str]| refused(&own.ring3(&[&["net", "up"], args].concat()), 255);
    assert!(up(&["lab", "x"]).contains("there is a network 'lab' already"));
    assert!(up(&["two"]).contains("there is an interface host/eth0 already: name another host"));
    assert!(up(&["two", "x", "x"]).contains("interface x/eth0 already"));
    assert!(up(&["two", "a b"]).contains("'a b' is no name here"));
    assert!(
        up(&["two", "x", "--write", "c.pcapng", "--at", "moon"]).contains("'moon' is no point")
    );
    let down = own.ring3(&["net", "down", "two"]);
    assert!(refused(&down, 255).contains("there is no network 'two'"));
    // What failed left nothing: the names are free.
    ok(&own.ring3(&["net", "up", "two", "x"]));
    let del = own.ring3(&["net", "dev", "del", "x/eth0"]);
    assert!(refused(&del, 240).contains("busy"), "the network's, as long as it is up");
}

#[test]
fn filters_of_clsact_run_by_priority() {
    let Some(own) = Own::new() else { return };
    ok(&own.ring3(&["net", "up", "lab"]));
    let object = own.compile(
        "tc",
        "SEC(\"tc\") int shot(void *ctx) { return TC_ACT_SHOT; }\n\
         SEC(\"classifier\") int fine(void *ctx) { return TC_ACT_OK; }\n\
         SEC(\"xdp\") int other(void *ctx) { return XDP_PASS; }",
    );
    let tc =
        |words: &str| own.ring3(&[&["tc"], &words.split(' ').collect::<Vec<_>>()[..]].concat());
    ok(&tc("qdisc add dev host/eth0 clsact"));
    let filter = |what: &str, rest: &str| tc(&format!("filter {what} dev host/eth0 {rest}"));
    ok(&filter("add", &format!("egress prio 20 bpf da obj {object} sec tc")));
    assert!(!own.reaches("host", "peer"));
    ok(&filter("add", &format!("egress prio 10 bpf da obj {object} program fine")));
    assert!(own.reaches("host", "peer"), "the lower priority decides");
    let shown = ok(&filter("show", "egress"));
    let rows: Vec<_> = shown.lines().collect();
    let begins = "filter dev host/eth0 egress protocol all pref 10 bpf chain 0 handle 0x1 fine ";
    assert!(rows.len() == 2 && rows[0].starts_with(begins), "{shown}");
    let list = ok(&own.ring3(&["net", "list"]));
    assert!(list.contains(") clsact/egress fine id "), "{list}");
    ok(&filter("del", "egress prio 10"));
    assert!(!own.reaches("host", "peer"));
    ok(&tc("qdisc del dev host/eth0 clsact"));
    assert!(own.reaches("host", "peer"));
    assert_eq!(ok(&filter("show", "")), "");
    let xdp = filter("add", &format!("ingress bpf da obj {object} program other"));
    assert!(refused(&xdp, 1).contains("none of type sched_cls"));
    let which = filter("add", &format!("ingress bpf da obj {object}"));
    assert!(refused(&which, 2).contains("which program? There are shot (sec tc)"));
    assert!(refused(&filter("add", &format!("ingress bpf obj {object}")), 2).contains("direct"));
    assert!(refused(&tc("filter show dev nix"), 2).contains("no interface 'nix' here"));
}

/// A command in a host that is ended with this.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn curl_reaches_two_back_ends_through_the_balancer() {
    let Some(own) = Own::new() else { return };
    if !have("curl") || !have("python3") {
        return;
    }
    let run = |args: &[&str]| ok(&own.ring3(args));
    run(&["net", "up", "shop", "client", "balancer", "one", "two"]);
    let object = own.dir.path().join("live_balancer.o").display().to_string();
    let source: PathBuf = example("live/balancer.bpf.c");
    run(&["compile", &source.display().to_string(), "-o", &object]);
    run(&["prog", "load", &object, "/sys/fs/bpf/balancer"]);
    run(&["net", "attach", "xdp", "pinned", "/sys/fs/bpf/balancer", "dev", "balancer/eth0"]);
    let mut servers = Vec::new();
    for name in ["one", "two"] {
        let dir = own.dir.path().join(name);
        fs::create_dir(&dir).expect("a folder");
        fs::write(dir.join("who"), format!("{name}\n")).expect("a page");
        let dir = dir.display().to_string();
        let args = ["net", "exec", name, "--", "python3", "-m", "http.server", "-d", &dir, "80"];
        let mut command = own.command(&args);
        let server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        servers.push(Server(server.expect("ring3 starts")));
    }
    let get = |host: &str| {
        let url = format!("http://{host}/who");
        let args = ["net", "exec", "client", "--", "curl", "-s", "-m", "5", &url];
        text(&own.ring3(&args).stdout).trim().to_owned()
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    while get("one").is_empty() || get("two").is_empty() {
        assert!(Instant::now() < deadline, "the back ends answer");
        std::thread::sleep(Duration::from_millis(100));
    }
    let mut seen = std::collections::BTreeMap::new();
    // Each connection comes from another port: that all choose the same is as good as impossible.
    for _ in 0..16 {
        *seen.entry(get("balancer")).or_insert(0) += 1;
    }
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["one", "two"], "{seen:?}");
    let list = run(&["net", "dev"]);
    assert!(list.contains("balancer/eth0"), "{list}");
}
