//! Programs on live packets: what a network carried by ring3 does, beside two namespaces on a plain
//! veth pair in the same run.

use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::time::Duration;

use ring3::net::{Command, Net, NetPlan, Report};
use ring3::{Config, Machine, Object};
use serde::Serialize;

use super::clock::median;

const ROUNDS: usize = 5;
/// Seconds of one measurement.
const SECONDS: f64 = 1.0;
const PINGS: u32 = 2000;
const PORT: u16 = 7001;

/// Medians of rounds in turns.
#[derive(Debug, Default, Serialize)]
pub struct Figures {
    /// Frames of 60 bytes a second that the generator sent, a program of XDP dropping them.
    pub generated: f64,
    /// Of these, how many came by.
    pub carried: f64,
    /// Frames a second of the CPU time that carrying took: what one core could do.
    pub per_core: f64,
    /// The same where the program passes them, and the host's stack takes them in our time.
    pub passed_per_core: f64,
    /// TCP's bits a second over a plain veth pair.
    pub veth_bits: f64,
    /// Through ring3, with programs of XDP and tc.
    pub bits: f64,
    /// Through ring3 without programs.
    pub bare_bits: f64,
    /// Their ratio, of medians.
    pub ratio: f64,
    /// Microseconds of a ping over the veth pair, in mean.
    pub veth_ping: f64,
    /// Through ring3, with programs.
    pub ping: f64,
}

const PROGRAMS: &str = r#"
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1); __type(key, int); __type(value, long); } seen SEC(".maps");
static void count(void)
{
	int zero = 0;
	long *hit = bpf_map_lookup_elem(&seen, &zero);
	if (hit) *hit += 1;
}
SEC("xdp") int drop(struct xdp_md *ctx) { count(); return XDP_DROP; }
SEC("xdp") int pass(struct xdp_md *ctx) { count(); return XDP_PASS; }
SEC("tcx/ingress") int in(struct __sk_buff *skb) { count(); return TC_ACT_OK; }
SEC("tcx/egress") int out(struct __sk_buff *skb) { count(); return TC_ACT_OK; }
char LICENSE[] SEC("license") = "GPL";
"#;

struct Bench {
    dir: PathBuf,
    tool: String,
}

/// Measures.
pub fn run() -> Result<Figures, String> {
    let dir = std::env::temp_dir().join(format!("ring3-bench-live-{}", std::process::id()));
    std::fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
    let figures = measure(&dir);
    let _ = std::fs::remove_dir_all(&dir);
    figures
}

fn measure(dir: &Path) -> Result<Figures, String> {
    let source = dir.join("live.c");
    std::fs::write(&source, include_str!("live.c")).map_err(|error| error.to_string())?;
    std::fs::write(dir.join("live.bpf.c"), PROGRAMS).map_err(|error| error.to_string())?;
    let tool = dir.join("live");
    let done = Process::new("gcc").arg("-O2").arg("-o").args([&tool, &source]).status();
    if !done.is_ok_and(|status| status.success()) {
        return Err("the generator needs gcc".into());
    }
    let bench = Bench { dir: dir.to_owned(), tool: tool.display().to_string() };
    let mut all: [Vec<f64>; 9] = Default::default();
    for _ in 0..ROUNDS {
        let [generated, carried, per_core] = bench.flood("drop")?;
        let [_, _, passed] = bench.flood("pass")?;
        let veth_bits = bench.plain_tcp()?;
        let bits = bench.tcp(&["pass", "in", "out"])?;
        let bare = bench.tcp(&["drop"])?;
        let veth_ping = bench.plain_ping()?;
        let ping = bench.ping()?;
        let row = [generated, carried, per_core, passed, veth_bits, bits, bare, veth_ping, ping];
        for (list, value) in all.iter_mut().zip(row) {
            list.push(value);
        }
    }
    let [
        generated,
        carried,
        per_core,
        passed_per_core,
        veth_bits,
        bits,
        bare_bits,
        veth_ping,
        ping,
    ] = all.map(|mut list| median(&mut list));
    let ratio = bits / veth_bits;
    Ok(Figures {
        generated,
        carried,
        per_core,
        passed_per_core,
        veth_bits,
        bits,
        bare_bits,
        ratio,
        veth_ping,
        ping,
    })
}

impl Bench {
    fn out(&self) -> String {
        self.dir.join("figure").display().to_string()
    }

    fn figure(&self) -> Result<f64, String> {
        let text = std::fs::read_to_string(self.dir.join("figure")).map_err(|e| e.to_string())?;
        text.parse().map_err(|_| format!("'{text}' is no figure"))
    }

    /// Runs `command` in the peer, `beside` in the host that has the programs, on a network.
    fn on_network(
        &self,
        programs: &[&str],
        dev: &str,
        beside: Option<&str>,
        command: &str,
    ) -> Result<(f64, Report), String> {
        let wrong = |error: &dyn std::fmt::Display| error.to_string();
        let mut object = Object::open(self.dir.join("live.bpf.c")).map_err(|e| wrong(&e))?;
        let names: Vec<String> = programs.iter().map(|name| (*name).to_owned()).collect();
        object.keep_programs(&names).map_err(|e| wrong(&e))?;
        let machine = Machine::with(Config::default());
        let loaded = machine.load(&object).map_err(|e| wrong(&e))?;
        let plan = NetPlan::new(3, dev).map_err(|e| wrong(&e))?;
        let net = Net::start(&loaded, &plan).map_err(|e| wrong(&e))?;
        let shell = |text: &str| Command { argv: vec!["/bin/sh".into(), "-c".into(), text.into()] };
        let other = beside.map(|text| net.spawn("host", &shell(text))).transpose();
        let other = other.map_err(|e| wrong(&e))?;
        let child = net.spawn("peer", &shell(command)).map_err(|e| wrong(&e))?;
        let status = child.wait().map_err(|e| wrong(&e))?;
        if let Some(other) = other {
            other.kill();
        }
        let (_, report) = net.end().map_err(|e| wrong(&e))?;
        if status != 0 {
            return Err(format!("{command}: status {status}"));
        }
        Ok((self.figure()?, report))
    }

    /// Frames a second: sent, carried, and those that a whole core would carry.
    fn flood(&self, program: &str) -> Result<[f64; 3], String> {
        let command = format!("exec {} flood {} eth0 {SECONDS}", self.tool, self.out());
        let (generated, report) = self.on_network(&[program], "eth0", None, &command)?;
        let carried = (report.frames - report.lost.min(report.frames)) as f64 / SECONDS;
        let per_core = report.frames as f64 / report.cpu.as_secs_f64().max(1e-9);
        Ok([generated, carried.min(generated), per_core])
    }

    fn client(&self, host: &str) -> String {
        format!("exec {} tcp-client {} {host} {PORT} {SECONDS}", self.tool, self.out())
    }

    /// Bits a second from the peer to the host; programs that are not on the way stand at a third.
    fn tcp(&self, programs: &[&str]) -> Result<f64, String> {
        let server = format!("exec {} tcp-server {PORT}", self.tool);
        let dev = if programs == ["drop"] { "peer2/eth0" } else { "eth0" };
        let (bits, _) = self.on_network(programs, dev, Some(&server), &self.client("10.0.0.1"))?;
        Ok(bits)
    }

    fn ping(&self) -> Result<f64, String> {
        let command = ping("10.0.0.1", &self.out());
        let (micros, _) = self.on_network(&["pass", "in", "out"], "eth0", None, &command)?;
        Ok(micros)
    }

    fn plain_tcp(&self) -> Result<f64, String> {
        let server = format!("exec {} tcp-server {PORT}", self.tool);
        self.on_veth(&server, &self.client("10.0.0.1"))
    }

    fn plain_ping(&self) -> Result<f64, String> {
        self.on_veth("exec sleep 1000", &ping("10.0.0.1", &self.out()))
    }

    /// The same between two namespaces on a veth pair.
    fn on_veth(&self, server: &str, command: &str) -> Result<f64, String> {
        let pair = Pair::new()?;
        let server = pair.spawn(0, server)?;
        let status = pair.spawn(1, command)?.wait();
        drop(server);
        if !status.is_ok_and(|status| status.success()) {
            return Err(format!("{command}: failed"));
        }
        self.figure()
    }
}

/// A command that writes the mean of many pings, in microseconds.
fn ping(host: &str, out: &str) -> String {
    // rtt min/avg/max/mdev = 0.010/0.012/0.100/0.003 ms, …
    format!(
        "ping -q -f -c {PINGS} {host} | \
         awk -F/ '/^rtt/ {{ printf \"%f\", $5 * 1000 > \"{out}\" }}'"
    )
}

/// Two namespaces and a veth pair between them; both end with this.
struct Pair {
    holders: [Killed; 2],
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Killed {
    fn wait(mut self) -> std::io::Result<std::process::ExitStatus> {
        self.0.wait()
    }
}

impl Pair {
    fn new() -> Result<Pair, String> {
        let hold = |within: Option<u32>| -> Result<Killed, String> {
            let mut command = match within {
                None => Process::new("unshare"),
                Some(pid) => enter(pid, &["unshare"]),
            };
            command.args(if within.is_none() { &["-Urn"][..] } else { &["-n"] });
            let child = command.args(["sleep", "1000"]).stdin(Stdio::null()).spawn();
            // It is a moment until the namespaces are there.
            std::thread::sleep(Duration::from_millis(300));
            child.map(Killed).map_err(|error| format!("unshare: {error}"))
        };
        let first = hold(None)?;
        let second = hold(Some(first.0.id()))?;
        let other = format!("/proc/{}/ns/net", second.0.id());
        let setup = [
            format!("ip link add v0 type veth peer name v1 netns {}", second.0.id()),
            "ip addr add 10.0.0.1/24 dev v0 && ip link set v0 up".into(),
            format!("nsenter --net={other} ip addr add 10.0.0.2/24 dev v1"),
            format!("nsenter --net={other} ip link set v1 up"),
        ];
        let pair = Pair { holders: [first, second] };
        let done = pair.spawn(0, &setup.join(" && "))?.wait();
        match done.is_ok_and(|status| status.success()) {
            true => Ok(pair),
            false => Err("no veth pair between namespaces here (unshare, nsenter, ip)".into()),
        }
    }

    fn spawn(&self, host: usize, command: &str) -> Result<Killed, String> {
        let pid = self.holders[host].0.id();
        let mut child = enter(pid, &["sh", "-c", command]);
        child.stdin(Stdio::null()).spawn().map(Killed).map_err(|error| error.to_string())
    }
}

fn enter(pid: u32, argv: &[&str]) -> Process {
    let mut command = Process::new("nsenter");
    command.args(["-U", "-n", "--preserve-credentials", "-t", &pid.to_string()]).args(argv);
    command
}
