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

impl Own {
    /// The same, given time to ask for the neighbour again.
    fn comes_to_reach(&self, from: &str, to: &str) -> bool {
        (0..5).any(|_| self.reaches(from, to))
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
    // As tc(8) prints it: a line for the priority, a line for the filter.
    let rows: Vec<_> = shown.lines().collect();
    let head = "filter protocol all pref 10 bpf chain 0 ";
    let filter_line = format!("{head}handle 0x1 tc.bpf.o:[fine] direct-action not_in_hw id ");
    assert!(rows.len() == 4 && rows[0] == head && rows[1].starts_with(&filter_line), "{shown}");
    assert!(rows[1].contains(" name fine tag "), "{shown}");
    let list = ok(&own.ring3(&["net", "list"]));
    assert!(list.contains(") clsact/egress tc.bpf.o:[fine] id "), "{list}");
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

/// Answers pings itself: what the kernel of the interface would do.
const ECHO: &str = r#"
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
struct icmp { __u8 type, code; __be16 checksum; };
SEC("xdp") int echo(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);
	struct icmp *icmp = (void *)(ip + 1);
	unsigned char mac[ETH_ALEN];
	__be32 address;
	__u32 sum;
	if ((void *)(icmp + 1) > (void *)(long)ctx->data_end || eth->h_proto != bpf_htons(ETH_P_IP)) return XDP_PASS;
	if (ip->protocol != 1 || icmp->type != 8) return XDP_PASS;
	__builtin_memcpy(mac, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, mac, ETH_ALEN);
	address = ip->saddr;
	ip->saddr = ip->daddr;
	ip->daddr = address;
	icmp->type = 0;
	sum = bpf_ntohs(icmp->checksum) + 0x0800;
	icmp->checksum = bpf_htons((sum & 0xffff) + (sum >> 16));
	return XDP_TX;
}
"#;

/// A veth pair between two namespaces of the test's own; ring3 at `v0`, whose kernel answers no ping.
const REAL: &str = r#"
unshare -n sleep 60 & other=$!
trap 'kill $other' EXIT
sleep 0.3
ip link add v0 type veth peer name v1 netns $other
ip addr add 10.7.0.1/24 dev v0; ip link set v0 up
nsenter -t $other -n sh -c 'ip addr add 10.7.0.2/24 dev v1; ip link set v1 up'
echo 1 >/proc/sys/net/ipv4/icmp_echo_ignore_all
"$RING3" net dev add r0 --real v0
"$RING3" prog load echo.bpf.o /sys/fs/bpf/echo
nsenter -t $other -n ping -q -c 1 -W 1 10.7.0.1 || echo alone: no answer
"$RING3" net attach xdp pinned /sys/fs/bpf/echo dev r0
nsenter -t $other -n ping -q -c 3 -i 0.1 -W 1 10.7.0.1
"$RING3" net dev
"$RING3" net dev del r0
"$RING3" net dev add r1 --real nosuch || echo status $?
"$RING3" daemon stop
"#;

#[test]
fn a_real_interface_is_reached_when_it_is_named() {
    let Some(own) = Own::new() else { return };
    if !have("unshare") || !have("nsenter") || Command::new("ip").arg("-V").output().is_err() {
        return;
    }
    ok(&own.ring3(&["daemon", "stop"]));
    own.compile("echo", ECHO);
    let unshare = |args: &[&str], script: &str| {
        let mut command = Command::new("unshare");
        command.args(args).args(["sh", "-ec", script]).current_dir(own.dir.path());
        let place = [("XDG_RUNTIME_DIR", own.dir.path())];
        command.envs(place).env("RING3", env!("CARGO_BIN_EXE_ring3"));
        command.stdin(Stdio::null()).output().expect("unshare starts")
    };
    let run = unshare(&["-Urn"], REAL);
    let (out, err) = (text(&run.stdout), text(&run.stderr));
    assert!(out.contains("alone: no answer"), "{out}{err}");
    assert!(out.contains("3 packets transmitted, 3 received"), "{out}{err}");
    assert!(out.contains(": r0  running  real v0") && out.contains("tx 3  "), "{out}{err}");
    assert!(err.contains("can't add r1: there is no interface nosuch"), "{err}");
    // The machine's own interfaces are not a user's.
    let script = "\"$RING3\" net dev add r0 --real lo || echo status $?; \"$RING3\" daemon stop";
    let run = unshare(&["-Ur"], script);
    assert!(text(&run.stdout).contains("status 255"), "{}", text(&run.stdout));
    let message = text(&run.stderr);
    assert!(message.contains("can't add r0: lo: packets of the system's interfaces"), "{message}");
}

/// Processes whose command line begins with `words`.
fn processes(words: &str) -> usize {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| text(line).starts_with(words)).count()
}

#[test]
fn a_network_ends_with_its_daemon_however_that_ends() {
    let Some(own) = Own::new() else { return };
    // A number that no other process has.
    let word = format!("86300.{}", std::process::id());
    ok(&own.ring3(&["net", "up", "lab"]));
    // One that stays behind, and one that is waited for.
    let script = format!("setsid sleep {word} >/dev/null 2>&1 & sleep 0.1");
    ok(&own.ring3(&["net", "exec", "host", "--", "sh", "-c", &script]));
    let mut waiting = own.command(&["net", "exec", "peer", "--", "sleep", &word]);
    let mut waiting = waiting.spawn().expect("ring3 starts");
    let deadline = Instant::now() + Duration::from_secs(20);
    let until = |what: &str, done: &dyn Fn() -> bool| {
        while !done() {
            assert!(Instant::now() < deadline, "{what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    let sleeping = format!("sleep\0{word}");
    until("both sleep", &|| processes(&sleeping) == 2);
    let status = ok(&own.ring3(&["daemon", "status", "--json"]));
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    let pid = status["pid"].as_u64().expect("a process").to_string();
    let killed = Command::new("kill").args(["-9", &pid]).status();
    assert!(killed.is_ok_and(|status| status.success()));
    until("nobody sleeps", &|| processes(&sleeping) == 0);
    assert_eq!(waiting.wait().expect("its end").code(), Some(137));
    // A new daemon knows of no network, and its names are free.
    ok(&own.ring3(&["net", "up", "lab"]));
}

/// Redirects: through maps on the way in, and by the kernel's neighbours.
const REDIRECTS: &str = r#"
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
struct { __uint(type, BPF_MAP_TYPE_CPUMAP); __uint(max_entries, 4); __uint(key_size, 4); __uint(value_size, 8); } cpus SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_DEVMAP_HASH); __uint(max_entries, 4); __uint(key_size, 4); __uint(value_size, 4); } ports SEC(".maps");
SEC("xdp") int to_cpu(struct xdp_md *ctx) { return bpf_redirect_map(&cpus, 0, XDP_DROP); }
SEC("xdp") int to_port(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);
	if ((void *)(ip + 1) > (void *)(long)ctx->data_end) return XDP_PASS;
	if (eth->h_proto != bpf_htons(ETH_P_IP) || ip->daddr != bpf_htonl(0x0a090909)) return XDP_PASS;
	__builtin_memcpy(eth->h_source, eth->h_dest, ETH_ALEN);
	eth->h_dest[5] = 3;
	return bpf_redirect_map(&ports, 7, XDP_DROP);
}
SEC("tc") int to_neighbour(struct __sk_buff *skb)
{
	struct bpf_redir_neigh hop = { .nh_family = 2, .ipv4_nh = bpf_htonl(0x0a000003) };
	struct ethhdr *eth = (void *)(long)skb->data;
	struct iphdr *ip = (void *)(eth + 1);
	if ((void *)(ip + 1) > (void *)(long)skb->data_end) return TC_ACT_OK;
	if (eth->h_proto != bpf_htons(ETH_P_IP) || ip->daddr != bpf_htonl(0x0a090909)) return TC_ACT_OK;
	return bpf_redirect_neigh(skb->ifindex, &hop, sizeof(hop), 0);
}
"#;

#[test]
fn redirects_lead_through_maps_and_to_neighbours() {
    let Some(own) = Own::new() else { return };
    if Command::new("ip").arg("-V").output().is_err() {
        eprintln!("skipped: no ip here");
        return;
    }
    let run = |words: &str| ok(&own.ring3(&words.split(' ').collect::<Vec<_>>()));
    let object = own.compile("redirects", REDIRECTS);
    run(&format!("prog loadall {object} /sys/fs/bpf/redirects"));
    run("net up lab a b c");
    run("net attach xdp pinned /sys/fs/bpf/redirects/to_cpu dev b/eth0");
    assert!(!own.reaches("a", "b"), "no such CPU in the map: XDP_DROP");
    run("map update name cpus key 0 0 0 0 value 64 0 0 0 0 0 0 0");
    assert!(own.comes_to_reach("a", "b"), "over another CPU into the stack");
    run("net detach xdp dev b/eth0");
    // c answers for an address that a looks for behind b.
    let exec = |host: &str, script: &str| {
        ok(&own.ring3(&["net", "exec", host, "--", "sh", "-ec", script]));
    };
    exec("c", "ip addr add 10.9.9.9/32 dev lo");
    exec("a", "ip route add 10.9.9.9 via 10.0.0.2");
    assert!(!own.reaches("a", "10.9.9.9"));
    run("net attach xdp pinned /sys/fs/bpf/redirects/to_port dev b/eth0");
    assert!(!own.reaches("a", "10.9.9.9"), "no such interface in the map: XDP_DROP");
    let list = own.ring3(&["-j", "net", "dev"]);
    let list: serde_json::Value = serde_json::from_str(&ok(&list)).expect("JSON");
    let row = list.as_array().and_then(|rows| rows.iter().find(|row| row["devname"] == "b/eth0"));
    let ifindex = row.expect("b's interface")["ifindex"].as_u64().expect("a number");
    run(&format!("map update name ports key 7 0 0 0 value {ifindex} 0 0 0"));
    assert!(own.comes_to_reach("a", "10.9.9.9"), "out of b's interface to c");
    run("net detach xdp dev b/eth0");
    assert!(!own.reaches("a", "10.9.9.9"));
    run(&format!("tc filter add dev b/eth0 ingress bpf da obj {object} program to_neighbour"));
    assert!(own.comes_to_reach("a", "10.9.9.9"), "by the neighbour's address");
}
