//! The same packets through ring3 and through the running kernel's BPF_PROG_TEST_RUN: the same
//! verdicts, the same packets afterwards, the same maps as bpftool prints them.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use common::{can_compile, capture, example, json, ok, ring3, text};
use serde_json::Value;

/// Packets of each capture that are compared.
const PACKETS: usize = 60;

/// Loads an object in a mount namespace of its own, runs it on each packet file, dumps its maps;
/// all of it goes when the shell ends.
const SCRIPT: &str = r#"
set -e
cd "$1"
mkdir -p bpffs
mount -t bpf bpf bpffs
bpftool prog load "$2" bpffs/prog pinmaps bpffs/maps 2>/dev/null
for packet in packet-*; do
    bpftool -j prog run pinned bpffs/prog data_in "$packet" data_out "out-$packet"
done
cd bpffs/maps
for map in *; do
    echo "map $map"
    bpftool map dump pinned "$map"
done
"#;

/// Packets of a pcap file of microseconds in little-endian order, and the file cut after them.
fn packets(file: &Path) -> (Vec<Vec<u8>>, Vec<u8>) {
    let bytes = fs::read(file).expect("a capture");
    let (mut at, mut found) = (24, Vec::new());
    while at < bytes.len() && found.len() < PACKETS {
        let len = u32::from_le_bytes(bytes[at + 8..at + 12].try_into().expect("4 bytes")) as usize;
        found.push(bytes[at + 16..at + 16 + len].to_vec());
        at += 16 + len;
    }
    (found, bytes[..at].to_vec())
}

/// What the kernel said, or nothing where it may not be asked.
fn ask_kernel(dir: &Path, object: &Path) -> Option<String> {
    let mut shell = Command::new("unshare");
    let out = shell.args(["-m", "sh", "-c", SCRIPT, "sh"]).arg(dir).arg(object).output().ok()?;
    out.status.success().then(|| text(&out.stdout))
}

#[test]
fn the_running_kernel_runs_the_examples_alike() {
    if !can_compile() {
        return;
    }
    let rows = ["hello web", "protocols protocols", "firewall firewall", "balancer balancer"];
    for row in rows {
        let (name, file) = row.split_once(' ').expect("a program and a capture");
        let dir = tempfile::tempdir().expect("a folder");
        let (sent, cut) = packets(&capture(&format!("{file}.pcap")));
        for (at, packet) in sent.iter().enumerate() {
            fs::write(dir.path().join(format!("packet-{at:04}")), packet).expect("room");
        }
        let input = dir.path().join("in.pcap");
        fs::write(&input, cut).expect("room");
        let object = dir.path().join(format!("{name}.bpf.o"));
        let source = example(&format!("{name}.bpf.c"));
        ok(&ring3([Path::new("compile"), &source, Path::new("-o"), &object]));
        let Some(said) = ask_kernel(dir.path(), &object) else {
            eprintln!("skipped: no bpf(2), no bpftool or no mount namespaces here");
            return;
        };
        compare(name, dir.path(), &object, &sent, &said);
    }
}

fn compare(name: &str, dir: &Path, object: &Path, sent: &[Vec<u8>], said: &str) {
    let (runs, maps) = said.split_once("map ").expect("runs, then maps");
    let mut verdicts: BTreeMap<u64, u64> = BTreeMap::new();
    for (at, line) in runs.lines().enumerate() {
        let kernel: Value = serde_json::from_str(line).expect("bpftool's JSON");
        *verdicts.entry(kernel["retval"].as_u64().expect("a number")).or_default() += 1;
        // A fresh load for each packet: only what does not depend on earlier ones is compared.
        let packet = dir.join(format!("packet-{at:04}"));
        let back = dir.join("back");
        let (run, data_in, data_out) =
            ("run".as_ref(), "--data-in".as_ref(), "--data-out".as_ref());
        let args = [run, object, data_in, &packet, data_out, &back, "--json".as_ref()];
        let ours = json(&ring3(args));
        assert_eq!(ours["retval"], kernel["retval"], "{name}: packet {at}");
        let left = fs::read(dir.join(format!("out-packet-{at:04}"))).expect("bpftool's output");
        assert_eq!(fs::read(&back).expect("our output"), left, "{name}: packet {at}");
    }
    assert_eq!(verdicts.values().sum::<u64>(), sent.len() as u64);
    let input = dir.join("in.pcap");
    let args = ["run".as_ref(), object, "--pcap".as_ref(), &input, "--maps".as_ref()];
    let plain = ok(&ring3(args));
    for map in maps.split("\nmap ") {
        let (map, dump) = map.split_once('\n').expect("a name, then elements");
        compare_map(name, map, dump, &plain);
    }
}

/// Elements as bpftool prints them, against ours; a pin's name is cut as the kernel cuts it.
fn compare_map(name: &str, map: &str, dump: &str, ours: &str) {
    let map = map.replace('_', ".");
    let at = ours.replace('_', ".").find(&format!("name {map}")).expect("the map");
    let text = ours[at..].split_once("max_entries ").expect("its head").1;
    let text = text.split_once('\n').expect("a line").1.split("\n\n").next().expect("a dump");
    if ["bss", "rodata", "forwarded"].iter().any(|plain| map.ends_with(plain)) {
        assert_eq!(text.trim_end(), dump.trim_end(), "{name}: {map}");
        return;
    }
    // Hashes have no order; a test run may be on any CPU.
    assert_eq!(elements(text), elements(dump), "{name}: {map}");
}

fn elements(dump: &str) -> BTreeMap<String, String> {
    let rows: Vec<Value> = serde_json::from_str(dump).unwrap_or_else(|e| panic!("{e}: {dump}"));
    let element = |row: &Value| {
        let value = match row["values"].as_array() {
            Some(cpus) => cpus.iter().filter_map(|cpu| cpu["value"].as_u64()).sum::<u64>().into(),
            None => row["value"].clone(),
        };
        (row["key"].to_string(), value.to_string())
    };
    rows.iter().map(element).collect()
}

#[test]
fn the_running_kernel_gives_contexts_back_alike() {
    if !can_compile() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let source = dir.path().join("ctx.bpf.c");
    // 8 bytes of metadata before the packet, and what the program reads of the context.
    let text = "#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n
        SEC(\"xdp\") int f(struct xdp_md *c) {
            return bpf_xdp_adjust_meta(c, -4) ? 1 : c->ingress_ifindex + c->data - c->data_meta; }
        char LICENSE[] SEC(\"license\") = \"GPL\";";
    fs::write(&source, text).expect("room");
    let object = dir.path().join("ctx.o");
    ok(&ring3([Path::new("compile"), &source, Path::new("-o"), &object]));
    let (packet, ctx) = (dir.path().join("packet"), dir.path().join("ctx"));
    fs::write(&packet, (0..72).collect::<Vec<u8>>()).expect("room");
    let words: [u32; 6] = [8, 72, 0, 1, 0, 0];
    fs::write(&ctx, words.map(u32::to_le_bytes).concat()).expect("room");
    let script = "set -e; cd \"$1\"; mkdir bpffs; mount -t bpf bpf bpffs
        bpftool prog load ctx.o bpffs/prog 2>/dev/null
        bpftool -j prog run pinned bpffs/prog data_in packet data_out theirs.data \
            ctx_in ctx ctx_out theirs.ctx";
    let mut shell = Command::new("unshare");
    let out = shell.args(["-m", "sh", "-c", script, "sh"]).arg(dir.path()).output();
    let Some(out) = out.ok().filter(|out| out.status.success()) else {
        eprintln!("skipped: no bpf(2), no bpftool or no mount namespaces here");
        return;
    };
    let kernel: Value = serde_json::from_slice(&out.stdout).expect("bpftool's JSON");
    let file = |name: &str| dir.path().join(name);
    let flags = ["--data-in", "--data-out", "--ctx-in", "--ctx-out"];
    let files = [packet, file("ours.data"), ctx, file("ours.ctx")];
    let mut args = vec!["run".into(), object.into_os_string(), "--json".into()];
    for (flag, file) in flags.iter().zip(files) {
        args.extend([(*flag).into(), file.into_os_string()]);
    }
    let ours = json(&ring3(args));
    assert_eq!(ours["retval"], kernel["retval"]);
    for what in ["data", "ctx"] {
        let read = |who: &str| fs::read(file(&format!("{who}.{what}"))).expect("an output");
        assert_eq!(read("ours"), read("theirs"), "{what}");
    }
}

#[test]
fn the_running_kernel_refuses_the_same_short_packets() {
    if !can_compile() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let source = dir.path().join("tc.bpf.c");
    let program = "#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n
        SEC(\"tc\") int f(struct __sk_buff *s) { return s->len; }
        char LICENSE[] SEC(\"license\") = \"GPL\";";
    fs::write(&source, program).expect("room");
    let object = dir.path().join("tc.o");
    ok(&ring3([Path::new("compile"), &source, Path::new("-o"), &object]));
    let mut names = Vec::new();
    for (protocol, bytes) in [("ip", [0x08, 0x00]), ("ipv6", [0x86, 0xdd]), ("arp", [0x08, 0x06])] {
        for len in [13, 14, 33, 34, 53, 54] {
            let mut packet = [0; 60];
            packet[12..14].copy_from_slice(&bytes);
            names.push(format!("packet-{protocol}-{len}"));
            let file = dir.path().join(names.last().expect("a name"));
            fs::write(file, &packet[..len]).expect("room");
        }
    }
    let script = "cd \"$1\"; mkdir bpffs; mount -t bpf bpf bpffs || exit 1
        bpftool prog load tc.o bpffs/prog 2>/dev/null || exit 1; shift
        for packet; do bpftool -j prog run pinned bpffs/prog data_in $packet || true; echo; done";
    let mut shell = Command::new("unshare");
    let out = shell.args(["-m", "sh", "-c", script, "sh"]).arg(dir.path()).args(&names).output();
    let Some(out) = out.ok().filter(|out| out.status.success()) else {
        eprintln!("skipped: no bpf(2), no bpftool or no mount namespaces here");
        return;
    };
    let said = text(&out.stdout);
    let answers: Vec<&str> = said.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(answers.len(), names.len(), "{said}");
    for (name, answer) in names.iter().zip(answers) {
        let kernel: Value = serde_json::from_str(answer).expect("bpftool's JSON");
        let data = dir.path().join(name);
        let ours =
            ring3([Path::new("run"), &object, Path::new("--data-in"), &data, Path::new("--json")]);
        match kernel["retval"].as_u64() {
            Some(retval) => assert_eq!(json(&ours)["retval"], retval, "{name}"),
            None => assert!(common::refused(&ours, 1).contains("EINVAL"), "{name}"),
        }
    }
}
