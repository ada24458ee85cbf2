//! `ring3 run` on the examples, checked against tcpdump and arithmetic.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{
    can_compile, capture, elements, example, have, json, ok, refused, ring3, tcpdump_count, text,
};
use serde_json::{Value, json};

/// `ring3 run EXAMPLE --pcap CAPTURE --maps --json MORE`.
fn run(program: &str, on: &str, more: &[&str]) -> Value {
    let (program, on) = (example(program), capture(on));
    let mut args = vec!["run", path(&program), "--pcap", path(&on), "--maps", "--json"];
    args.extend(more);
    json(&ring3(args))
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

#[test]
fn hello_prints_a_line_for_each_packet_and_counts_them() {
    if !can_compile() || !have("tcpdump") {
        return;
    }
    let web = capture("web.pcap");
    let packets = tcpdump_count(&web, &[]);
    let out = ok(&ring3([Path::new("run"), &example("hello.bpf.c"), Path::new("--pcap"), &web]));
    let lines: Vec<&str> = out.lines().filter(|l| l.contains("bpf_trace_printk: ")).collect();
    assert_eq!(lines.len() as u64, packets);
    for (number, line) in lines.iter().enumerate() {
        assert!(line.ends_with(&format!(": bpf_trace_printk: Hello World {number}")), "{line}");
        // Task and process, CPU, four flags, seconds: the columns of trace_pipe.
        let columns: Vec<&str> = line.split_whitespace().collect();
        assert!(columns[0].contains('-') && columns[1] == "[000]", "{line}");
        assert!(columns[3].ends_with(':') && columns[3].contains('.'), "{line}");
    }
    let verdict = out.lines().find(|l| l.starts_with("XDP_PASS")).expect("a verdict");
    assert!(verdict.ends_with(&format!(" {packets}")), "{verdict}");
    assert!(out.contains(&format!("\".bss\": [{{\n                    \"counter\": {packets}\n")));
    assert!(out.contains("\"hello.____fmt\": \"Hello World %d\""), "{out}");
    assert!(out.contains("name hello.bss") && out.contains("name hello.rodata"), "{out}");
}

#[test]
fn json_has_the_same_as_the_text() {
    if !can_compile() || !have("tcpdump") {
        return;
    }
    let packets = tcpdump_count(&capture("web.pcap"), &[]);
    let report = run("hello.bpf.c", "web.pcap", &[]);
    assert_eq!(report["packets"], packets);
    assert_eq!(report["type"], "xdp");
    assert_eq!(report["verdicts"], json!({ "XDP_PASS": packets }));
    assert_eq!(report["trace"].as_array().map(Vec::len), Some(packets as usize));
    assert_eq!(
        elements(&report, "hello.bss"),
        &[json!({"value": {".bss": [{"counter": packets}]}})]
    );
}

#[test]
fn minimal_writes_what_passes_with_its_time_stamps() {
    if !can_compile() || !have("tcpdump") {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let out = dir.path().join("out.pcap");
    let report = run("minimal.bpf.c", "web.pcap", &["--write", path(&out)]);
    let count = |name: &str| report["verdicts"][name].as_u64().unwrap_or(0);
    let passed = count("XDP_PASS");
    assert_eq!(passed + count("XDP_DROP"), tcpdump_count(&capture("web.pcap"), &[]));
    assert_eq!(report["written"], passed);
    assert_eq!(tcpdump_count(&out, &[]), passed);
    // Each line of the output, time included, is a line of the input, in the same order.
    let lines = |file: &Path| {
        let run = Command::new("tcpdump").args(["-ttttnSr"]).arg(file).output().expect("tcpdump");
        text(&run.stdout).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let all = lines(&capture("web.pcap"));
    let mut rest = all.iter();
    for line in lines(&out) {
        assert!(rest.any(|other| *other == line), "{line}");
    }
}

#[test]
fn protocols_are_counted_as_tcpdump_counts_them() {
    if !can_compile() || !have("tcpdump") {
        return;
    }
    let file = capture("protocols.pcap");
    let report = run("protocols.bpf.c", "protocols.pcap", &[]);
    let rows = elements(&report, "by_protocol");
    let filters: &[(u64, u64, &[&str])] = &[
        (0x0806, 0, &["arp"]),
        (0x0800, 1, &["icmp"]),
        (0x0800, 6, &["ip", "and", "tcp"]),
        (0x0800, 17, &["ip", "and", "udp"]),
        (0x86dd, 58, &["icmp6"]),
    ];
    for (ethertype, protocol, filter) in filters {
        let row = rows.iter().find(|row| {
            row["key"]["ethertype"] == *ethertype && row["key"]["ip_protocol"] == *protocol
        });
        let counted = row.map_or(0, |row| row["value"]["packets"].as_u64().unwrap_or(0));
        assert_eq!(counted, tcpdump_count(&file, filter), "{filter:?}");
        assert!(counted > 0, "{filter:?}");
    }
    let bytes: u64 = rows.iter().filter_map(|row| row["value"]["bytes"].as_u64()).sum();
    let packets = tcpdump_count(&file, &[]);
    // A pcap file is 24 bytes of header and 16 before each packet.
    assert_eq!(bytes, fs::metadata(&file).expect("a file").len() - 24 - 16 * packets);
    let per_cpu = |size: usize| -> u64 {
        let values = elements(&report, "by_size")[size]["values"].as_array().expect("CPUs");
        values.iter().filter_map(|cpu| cpu["value"].as_u64()).sum()
    };
    assert_eq!(per_cpu(0), tcpdump_count(&file, &["less", "127"]));
    assert_eq!(per_cpu(0) + per_cpu(1) + per_cpu(2), packets);
}

#[test]
fn the_firewall_drops_by_source_address() {
    if !can_compile() || !have("tcpdump") {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let out = dir.path().join("out.pcap");
    let file = capture("firewall.pcap");
    let report = run("firewall.bpf.c", "firewall.pcap", &["--write", path(&out)]);
    let denied = ["ip", "src", "192.0.2.66", "or", "ip", "src", "192.0.2.13"];
    let dropped = tcpdump_count(&file, &denied);
    assert!(dropped > 10);
    assert_eq!(report["verdicts"]["XDP_DROP"], dropped);
    assert_eq!(tcpdump_count(&out, &denied), 0);
    assert_eq!(tcpdump_count(&out, &[]), tcpdump_count(&file, &[]) - dropped);
    for last in [66u8, 13] {
        let key = u32::from_ne_bytes([192, 0, 2, last]);
        let row = elements(&report, "dropped").iter().find(|row| row["key"] == key);
        let counted = row.and_then(|row| row["value"].as_u64());
        let source = format!("192.0.2.{last}");
        assert_eq!(counted, Some(tcpdump_count(&file, &["ip", "src", &source])));
    }
}

#[test]
fn the_balancer_rewrites_addresses_and_keeps_checksums_right() {
    if !can_compile() || !have("tcpdump") {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let out = dir.path().join("out.pcap");
    let file = capture("balancer.pcap");
    let report = run("balancer.bpf.c", "balancer.pcap", &["--write", path(&out)]);
    let sent = tcpdump_count(&file, &["tcp", "and", "dst", "192.0.2.80", "and", "port", "80"]);
    assert!(sent > 50);
    assert_eq!(report["verdicts"]["XDP_TX"], sent);
    assert_eq!(tcpdump_count(&out, &["tcp", "and", "dst", "192.0.2.80"]), 0);
    for (at, address) in ["198.51.100.11", "198.51.100.12"].into_iter().enumerate() {
        let to = tcpdump_count(&out, &["src", "192.0.2.80", "and", "dst", address]);
        let mac = format!("02:00:00:00:00:{}", address.rsplit('.').next().expect("a number"));
        assert_eq!(tcpdump_count(&out, &["ether", "dst", &mac]), to);
        assert_eq!(elements(&report, "forwarded")[at]["value"], to, "{address}");
    }
    let run = Command::new("tcpdump").args(["-vvnr"]).arg(&out).args(["tcp"]).output();
    let said = text(&run.expect("tcpdump runs").stdout);
    assert_eq!(said.matches("(correct)").count() as u64, sent, "{said}");
    assert!(!said.contains("bad cksum") && !said.contains("incorrect"), "{said}");
}

#[test]
fn a_test_run_answers_as_bpf_prog_test_run() {
    if !can_compile() {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (packet, back) = (dir.path().join("packet.bin"), dir.path().join("back.bin"));
    let bytes: Vec<u8> = (0..64).collect();
    fs::write(&packet, &bytes).expect("room");
    let file = example("hello.bpf.c");
    let args = ["run", path(&file), "--data-in", path(&packet), "--data-out", path(&back)];
    let report =
        json(&ring3(args.iter().chain(&["--repeat", "100", "--engine", "interp", "--json"])));
    assert_eq!(report["retval"], 2);
    assert!(report["duration_ns"].is_u64());
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(report["data_out"], hex);
    assert_eq!(fs::read(&back).expect("the packet"), bytes);
    assert_eq!(elements(&report, "hello.bss"), &[json!({"value": {".bss": [{"counter": 100}]}})]);
}

#[test]
fn a_cut_capture_is_run_as_far_as_it_goes() {
    if !can_compile() {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let cut = dir.path().join("cut.pcap");
    let whole = fs::read(capture("web.pcap")).expect("a capture");
    // The first packet is an ARP request of 42 bytes; the second's header is cut.
    fs::write(&cut, &whole[..24 + 16 + 42 + 5]).expect("room");
    let out = ring3(["run", path(&example("hello.bpf.c")), "--pcap", path(&cut)]);
    let message = refused(&out, 1);
    assert!(message.contains("cut.pcap: cut short at byte 82, after 1 packets"), "{message}");
    assert!(text(&out.stdout).contains("Hello World 0"), "{}", text(&out.stdout));
}

#[test]
fn a_capture_of_another_link_type_is_refused_by_name() {
    if !can_compile() {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let cooked = dir.path().join("cooked.pcap");
    let mut bytes = fs::read(capture("web.pcap")).expect("a capture");
    bytes[20] = 113;
    fs::write(&cooked, bytes).expect("room");
    let file = example("hello.bpf.c");
    let args = ["run", path(&file), "--pcap", path(&cooked)];
    let message = refused(&ring3(args), 1);
    assert!(message.contains("LINUX_SLL (113)"), "{message}");
    ok(&ring3(args.iter().chain(&["--any-link-type"])));
}

#[test]
fn packets_go_through_pipes() {
    if !can_compile() || !have("tcpdump") {
        return;
    }
    let line = format!(
        "set -o pipefail; cat {} | {} run {} --pcap - --write - | tcpdump -nr - | wc -l",
        path(&capture("web.pcap")),
        env!("CARGO_BIN_EXE_ring3"),
        path(&example("hello.bpf.c")),
    );
    let out = Command::new("bash").args(["-c", &line]).output().expect("bash runs");
    assert!(out.status.success(), "{out:?}");
    let count = tcpdump_count(&capture("web.pcap"), &[]);
    assert_eq!(text(&out.stdout).trim(), count.to_string());
    assert!(text(&out.stderr).contains("XDP_PASS"), "{out:?}");
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    if !can_compile() {
        return;
    }
    let line = format!(
        "set -o pipefail; {} run {} --pcap {} | head -n 1",
        env!("CARGO_BIN_EXE_ring3"),
        path(&example("hello.bpf.c")),
        path(&capture("web.pcap"))
    );
    let out = Command::new("bash").args(["-c", &line]).output().expect("bash runs");
    assert!(out.status.success(), "{out:?}");
    assert_eq!(text(&out.stderr), "");
}

#[test]
fn engines_report_the_same() {
    if !common::can_compile() {
        return;
    }
    let source = common::example("protocols.bpf.c");
    let capture = common::example("captures/web.pcap");
    let report = |engine: &str| {
        let args = ["run", "--engine", engine, "--maps", "--pcap"].map(std::ffi::OsString::from);
        let files = [capture.clone().into_os_string(), source.clone().into_os_string()];
        let text = common::ok(&common::ring3(args.into_iter().chain(files)));
        // The line with the time differs, and the order of a hash map's elements.
        let lines = text.lines().filter(|line| !line.contains(" packets"));
        let mut lines: Vec<_> = lines.map(|line| line.replace(',', "")).collect();
        lines.sort();
        lines
    };
    assert!(!report("jit").is_empty());
    assert_eq!(report("jit"), report("interp"));
}

#[test]
fn a_pcapng_file_gets_every_packet_with_its_verdict() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    if !can_compile() {
        return;
    }
    let out = dir.path().join("all.pcapng");
    let (program, input) = (example("firewall.bpf.c"), capture("firewall.pcap"));
    let args = [Path::new("run"), &program, Path::new("--pcap"), &input];
    ok(&ring3(args.into_iter().chain([Path::new("--write"), &out])));
    assert_eq!(tcpdump_count(&out, &[]), tcpdump_count(&input, &[]));
    let bytes = std::fs::read(&out).expect("the capture");
    let text = text(&bytes);
    assert!(text.contains(": XDP_DROP") && text.contains(": XDP_PASS"), "comments");
}
