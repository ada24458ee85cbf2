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

/// Programs that move a packet's edges, copy packets and ask for routes.
const MOVING: &str = r#"
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
static int edges(struct xdp_md *ctx)
{
	struct ethhdr *eth, kept;
	__u32 *meta;
	eth = (void *)(long)ctx->data;
	if ((void *)(eth + 1) > (void *)(long)ctx->data_end) return XDP_DROP;
	kept = *eth;
	if (bpf_xdp_adjust_head(ctx, 14) || bpf_xdp_adjust_head(ctx, -14)) return XDP_DROP;
	if (bpf_xdp_adjust_tail(ctx, 6)) return XDP_DROP;
	eth = (void *)(long)ctx->data;
	if ((void *)(eth + 1) > (void *)(long)ctx->data_end) return XDP_DROP;
	*eth = kept;
	if (bpf_xdp_adjust_meta(ctx, -4)) return XDP_DROP;
	meta = (void *)(long)ctx->data_meta;
	if ((void *)(meta + 1) > (void *)(long)ctx->data) return XDP_DROP;
	*meta = 42;
	return XDP_PASS;
}
SEC("xdp") int one(struct xdp_md *ctx) { return edges(ctx); }
SEC("xdp.frags") int many(struct xdp_md *ctx) { return edges(ctx); }
SEC("tcx/ingress") int marked(struct __sk_buff *skb)
{
	__u32 *meta = (void *)(long)skb->data_meta;
	if ((void *)(meta + 1) > (void *)(long)skb->data) return TC_ACT_SHOT;
	return *meta == 42 ? TC_ACT_OK : TC_ACT_SHOT;
}
SEC("tcx/egress") int twice(struct __sk_buff *skb)
{
	if (skb->mark == 7 || skb->protocol != bpf_htons(ETH_P_IP)) return TC_ACT_OK;
	skb->mark = 7;
	return bpf_clone_redirect(skb, skb->ifindex, 0) ? TC_ACT_SHOT : TC_ACT_OK;
}
SEC("xdp") int routes(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);
	struct bpf_fib_lookup way = { .family = 2, .ifindex = ctx->ingress_ifindex };
	if ((void *)(ip + 1) > (void *)(long)ctx->data_end || eth->h_proto != bpf_htons(ETH_P_IP)) return XDP_PASS;
	way.ipv4_src = ip->daddr;
	way.ipv4_dst = ip->saddr;
	long ret = bpf_fib_lookup(ctx, &way, sizeof(way), 0);
	bpf_printk("near %d mac %x%x mtu %d", ret, way.dmac[0], way.dmac[5], way.mtu_result);
	way.ipv4_dst = bpf_htonl(0xc0000201);
	ret = bpf_fib_lookup(ctx, &way, sizeof(way), 0);
	bpf_printk("far %d", ret);
	way.ifindex = 99;
	bpf_printk("none %d", bpf_fib_lookup(ctx, &way, sizeof(way), 0));
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
"#;

#[test]
fn programs_move_edges_copy_packets_and_ask_for_routes() {
    let Some(world) = World::new() else { return };
    world.compile("moving", MOVING);
    let ping = ["ping", "-c", "3", "-i", "0.05", "peer"];
    let run = |programs: &[&str], command: &[&str]| {
        let programs = programs.iter().flat_map(|name| ["--prog", *name]).collect::<Vec<_>>();
        let head = ["run", "moving.o", "--dev", "eth0"];
        world.nobody(&[&head[..], &programs[..], &["--"], command].concat())
    };
    for edges in ["one", "many"] {
        let out = common::ok(&run(&[edges, "marked"], &ping));
        assert!(out.contains("3 received, 0% packet loss"), "{out}");
        assert_eq!(verdicts(&out, "marked"), "TC_ACT_OK 4", "{out}");
    }
    let out = common::ok(&run(&["twice"], &ping));
    // A request and its copy: two answers each, but for the last, after which ping ends.
    assert!(out.contains("duplicates"), "{out}");
    let script = "echo 1 >/proc/sys/net/ipv4/ip_forward; exec ping -c 2 -i 0.1 peer";
    let out = common::ok(&run(&["routes"], &["sh", "-c", script]));
    assert!(out.contains("near 0 mac 22 mtu 1500"), "the neighbour of the namespace: {out}");
    assert!(out.contains("far 4"), "BPF_FIB_LKUP_RET_NOT_FWDED: {out}");
    assert!(out.contains("none -19"), "ENODEV: {out}");
    let out = common::ok(&run(&["routes"], &ping));
    assert!(out.contains("near 5"), "BPF_FIB_LKUP_RET_FWD_DISABLED: {out}");
}

/// Connections to 10.0.0.9 go to the peer; its answers come from 10.0.0.9.
const TRANSLATING: &str = r#"
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <stddef.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#define IP(off) (ETH_HLEN + offsetof(struct iphdr, off))
static int change(struct __sk_buff *skb, int at, __u32 from, __u32 to)
{
	__u32 now;
	if (skb->protocol != bpf_htons(ETH_P_IP) || bpf_skb_load_bytes(skb, at, &now, 4)) return TC_ACT_OK;
	from = bpf_htonl(from);
	to = bpf_htonl(to);
	if (now != from) return TC_ACT_OK;
	bpf_l4_csum_replace(skb, ETH_HLEN + sizeof(struct iphdr) + offsetof(struct tcphdr, check), from, to, BPF_F_PSEUDO_HDR | 4);
	bpf_l3_csum_replace(skb, IP(check), from, to, 4);
	bpf_skb_store_bytes(skb, at, &to, 4, 0);
	return TC_ACT_OK;
}
SEC("xdp.frags") int pieces(struct xdp_md *ctx)
{
	__u64 len = bpf_xdp_get_buff_len(ctx), first = (void *)(long)ctx->data_end - (void *)(long)ctx->data;
	return first > 3520 || (len > 3520 && first == len) ? XDP_ABORTED : XDP_PASS;
}
SEC("tcx/egress") int there(struct __sk_buff *skb) { return change(skb, IP(daddr), 0x0a000009, 0x0a000002); }
SEC("tcx/ingress") int back(struct __sk_buff *skb) { return change(skb, IP(saddr), 0x0a000002, 0x0a000009); }
char _license[] SEC("license") = "GPL";
"#;

/// Sends 4 MB to the server, which sends them back; ends well if they are the same.
const CLIENT: &str = r"
import socket, threading, hashlib, time
data = b''.join(hashlib.sha256(str(i).encode()).digest() for i in range(1 << 17))
for attempt in range(100):
    try:
        s = socket.create_connection(('10.0.0.9', 7777), 5)
        break
    except OSError:
        time.sleep(0.1)
sender = threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)))
sender.start()
got = b''
while part := s.recv(1 << 20):
    got += part
sender.join()
print('same' if got == data else 'other', len(got))
";
const SERVER: &str = r"
import socket
l = socket.create_server(('', 7777))
while True:
    c, _ = l.accept()
    got = b''
    while part := c.recv(1 << 20):
        got += part
    c.sendall(got)
    c.close()
";

#[test]
fn translated_connections_keep_their_data_and_checksums() {
    let Some(world) = World::new() else { return };
    if !have("python3") || !have("tcpdump") || Command::new("ip").arg("-V").output().is_err() {
        return;
    }
    world.compile("nat", TRANSLATING);
    fs::write(world.path("client.py"), CLIENT).expect("a script");
    fs::write(world.path("server.py"), SERVER).expect("a script");
    let client =
        "ip neigh add 10.0.0.9 lladdr 02:00:0a:00:00:02 dev eth0 && exec python3 client.py";
    // Where nobody may write, the capture goes to a folder of theirs.
    let captures = world.path("captures");
    fs::create_dir(&captures).expect("a folder");
    fs::set_permissions(&captures, fs::Permissions::from_mode(0o777)).expect("mode");
    let file = captures.join("nat.pcapng").display().to_string();
    let run = world.nobody(&[
        "run",
        "nat.o",
        "--dev",
        "eth0",
        "--on",
        "peer=exec python3 server.py",
        "--write",
        &file,
        "--",
        "sh",
        "-c",
        client,
    ]);
    let out = common::ok(&run);
    assert!(out.contains(&format!("same {}", 1 << 22)), "{out}");
    let pieces = verdicts(&out, "pieces");
    assert!(pieces.starts_with("XDP_PASS ") && !pieces.contains("ABORTED"), "{out}");
    let read = Command::new("tcpdump").args(["-nvvr", &file, "tcp"]).output().expect("tcpdump");
    let shown = text(&read.stdout);
    let frames = shown.matches("cksum").count();
    assert!(frames > 100, "{frames} of {shown}");
    assert!(shown.contains("10.0.0.1.") && shown.contains("> 10.0.0.9.7777"), "as it was sent");
    assert!(shown.contains("> 10.0.0.2.7777"), "as the program left it");
    // Frames that stand for several have their checksums still to come.
    let wrong = shown.lines().filter(|line| line.contains("(incorrect"));
    let wrong: Vec<_> = wrong.filter(|line| !stands_for_several(line)).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let comments = fs::read(&file).expect("the capture");
    let comments = text(&comments);
    assert!(comments.contains("tcx/egress there: TC_ACT_OK; stands for segments of 1448 bytes"));
    assert!(comments.contains("tcx/ingress back: TC_ACT_OK"));
}

/// By the data that tcpdump tells of.
fn stands_for_several(line: &str) -> bool {
    let len = line.rsplit_once("length ").and_then(|(_, len)| len.split([',', ':']).next());
    len.and_then(|len| len.trim().parse::<u32>().ok()).is_some_and(|len| len > 1448)
}

#[test]
fn nothing_stays_whenever_ring3_is_killed() {
    let Some(world) = World::new() else { return };
    let word = format!("86200.{}", std::process::id());
    let script = format!("setsid sleep {word} & sleep {word}");
    for millis in [0, 3, 10, 20, 40, 60, 90, 130] {
        let args = ["run", "p.o", "--dev", "eth0", "--", "sh", "-c", &script];
        let mut child = world.command(&args).stdout(Stdio::null()).spawn().expect("ring3 starts");
        std::thread::sleep(Duration::from_millis(millis));
        child.kill().expect("SIGKILL");
        child.wait().expect("its end");
        let deadline = Instant::now() + Duration::from_secs(20);
        while !processes(&word).is_empty() {
            assert!(Instant::now() < deadline, "after {millis} ms: {:?}", processes(&word));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    // A command that kills its parent meets nobody but its own waiter.
    let script = format!("kill -9 $PPID; exec sleep {word}");
    let run = world.nobody(&["run", "p.o", "--dev", "eth0", "--", "sh", "-c", &script]);
    assert_eq!(run.status.code(), Some(137), "{}", text(&run.stderr));
    // A command that leaves others behind: they end with the network.
    let script = format!("setsid sleep {word} & exit 3");
    let run = world.nobody(&["run", "p.o", "--dev", "eth0", "--", "sh", "-c", &script]);
    assert_eq!(run.status.code(), Some(3));
    assert!(processes(&word).is_empty());
}

#[test]
fn without_namespaces_the_message_says_which_setting() {
    let Some(world) = World::new() else { return };
    if !have("unshare") {
        return;
    }
    let script = format!(
        "echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all \
         --inh-caps=-all {} run p.o --dev eth0 -- true",
        world.path("ring3").display()
    );
    let mut command = Command::new("unshare");
    let run = command.args(["-Ur", "sh", "-ec", &script]).current_dir(world.dir.path()).output();
    let message = common::refused(&run.expect("unshare starts"), 2);
    assert!(message.contains("no namespaces for a network: No space left on device"), "{message}");
    assert!(message.contains("/proc/sys/user/max_user_namespaces"), "{message}");
    assert!(message.contains("captures work without: --pcap"), "{message}");
}
