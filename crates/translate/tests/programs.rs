//! Whole C programs: translated and interpreted here, loaded and test-run in the running kernel.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::{path::Path, process::Command};

use common::{Buffers, context_facts, kernel, translated};
use isa::Insn;
use object::{Object, ObjectSection, ObjectSymbol};
use translate::ctx::XdpBuff;
use uapi::ProgType;

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/bench");
/// Programs without maps or constant tables.
const NAMES: [&str; 11] = [
    "fib", "siphash", "prime", "isort", "jhash", "popcount", "collatz", "memcmp", "log2",
    "pktparse", "calls",
];
const XDP: u32 = 6;

/// The slots of section `xdp`, entry first; `None` without the sources or the compiler.
fn compile(name: &str) -> Option<Vec<Insn>> {
    let source = Path::new(SOURCES).join(format!("{name}.bpf.c"));
    if !source.exists() {
        eprintln!("skipped: no {}", source.display());
        return None;
    }
    let object = std::env::temp_dir().join(format!("ring3-{}-{name}.o", std::process::id()));
    let status = Command::new("clang-19")
        .args(["-O2", "-target", "bpf", "-mcpu=v3", "-DKERN", "-w", "-c", "-o"])
        .args([&object, &source])
        .status();
    if !status.is_ok_and(|s| s.success()) {
        eprintln!("skipped: no clang-19 for BPF");
        return None;
    }
    let bytes = std::fs::read(&object).unwrap();
    std::fs::remove_file(&object).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let section = file.section_by_name("xdp").unwrap();
    assert_eq!(section.relocations().count(), 0, "{name}");
    let entry = file.symbols().find(|s| s.name() == Ok("prog")).unwrap();
    assert_eq!(entry.address(), 0, "{name}: the entry is not first");
    Some(Insn::slots(section.data().unwrap()).unwrap())
}

/// Loads of 32 bits through r1 before anything else is in r1: the packet's pointers.
fn context_loads(insns: &[Insn]) -> Vec<usize> {
    let mut out = Vec::new();
    for (slot, insn) in insns.iter().enumerate() {
        if insn.code == 0x61 && insn.src().0 == 1 {
            out.push(slot);
        }
        let writes_dst = !matches!(insn.class(), 2 | 3);
        if (writes_dst && insn.dst().0 == 1) || matches!(insn.class(), 5 | 6) {
            break;
        }
    }
    out
}

fn packets() -> Vec<Vec<u8>> {
    let mut state = 0x1234_5678_u32;
    eprintln!("seed {state:#x}");
    let mut byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let mut out: Vec<Vec<u8>> =
        [14, 40, 64, 128, 1100].map(|len| (0..len).map(|_| byte()).collect()).into();
    out.push(vec![0; 1100]);
    // An IPv4 UDP packet.
    let mut udp = vec![0_u8; 1100];
    udp[12..14].copy_from_slice(&[8, 0]);
    udp[14..24].copy_from_slice(&[0x45, 0, 4, 0, 0, 0, 0, 0, 64, 17]);
    udp[34..38].copy_from_slice(&[0, 53, 0x30, 0x39]);
    out.push(udp);
    out
}

#[test]
fn c_programs_follow_the_running_kernel() {
    if !kernel::available() {
        return;
    }
    for name in NAMES {
        let Some(insns) = compile(name) else { return };
        let loads = context_loads(&insns);
        assert_eq!(loads.len(), 2, "{name}");
        let facts = context_facts(insns.len(), &loads);
        let program = translated(&insns, &facts, ProgType::Xdp).unwrap();
        let loaded = kernel::load(XDP, 0, &insns).unwrap_or_else(|why| panic!("{name}: {why}"));
        for mut packet in packets() {
            let (want, after) = loaded.run_packet(&packet).unwrap();
            let mut ctx = XdpBuff::default();
            let mut host = Buffers::new(&mut ctx, &mut packet);
            ctx.data = host.packet();
            ctx.data_end = ctx.data + packet.len() as u64;
            let got = host.run(&program).unwrap() as u32;
            assert_eq!(got, want, "{name} on {} bytes", packet.len());
            assert_eq!(packet, after, "{name}: the packet");
        }
    }
}
