//! The recorded verdicts of Linux's verifier: its logs show most instructions of 1,993 loads.

mod common;

use common::{KernelNames, slots};
use isa::disasm::{self, Pseudo};
use isa::{Insn, asm, decode, decode_program, encode};
use serde_json::Value;

fn cases() -> Option<Vec<Value>> {
    let path = format!("{}/../../../shared/verdicts/cases.jsonl.xz", env!("CARGO_MANIFEST_DIR"));
    let Ok(packed) = std::fs::read(&path) else {
        eprintln!("skipped: no recorded verdicts at {path}");
        return None;
    };
    let mut text = Vec::new();
    lzma_rs::xz_decompress(&mut packed.as_slice(), &mut text).expect("an xz file");
    let text = String::from_utf8(text).expect("text");
    Some(text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
}

/// Slot and text of a log line that shows an instruction: `7: (bf) r1 = r2   ; R1=…`, or with
/// the live registers between: `7: .12....... (bf) r1 = r2`.
fn shown(line: &str) -> Option<(usize, &str)> {
    let (pc, rest) = line.trim_start().split_once(": ")?;
    let pc = pc.parse().ok()?;
    let is_live = |w: &str| w.len() == 10 && w.bytes().all(|b| b == b'.' || b.is_ascii_digit());
    let rest = match rest.split_once(' ') {
        Some((live, rest)) if is_live(live) => rest,
        _ => rest,
    };
    let is_insn = rest.starts_with('(') && rest.get(3..5) == Some(") ");
    is_insn.then(|| (pc, rest.split_once(" ;").map_or(rest, |(text, _)| text).trim_end()))
}

/// Linux's own addresses, and names of kernel functions, cannot be told from the slots.
fn is_kernels_business(insn: &Insn) -> bool {
    let kind = insn.src().0;
    (insn.is_ld_imm64() && kind != 0) || (insn.code == 0x85 && kind == 2)
}

#[test]
fn logs_show_what_we_print() {
    let Some(cases) = cases() else { return };
    let names = KernelNames::load();
    let mut compared = 0;
    for case in &cases {
        let insns = slots(case["insns"].as_str().expect("hex"));
        for log in [&case["log"], &case["log_level2"]] {
            for (pc, text) in log.as_str().unwrap_or("").lines().filter_map(shown) {
                let Some(insn) = insns.get(pc) else { continue };
                let ours = disasm::kernel(&insns, pc, &names);
                if is_kernels_business(insn) {
                    assert_eq!(
                        ours.split_once(" = ").map(|s| s.0),
                        text.split_once(" = ").map(|s| s.0)
                    );
                    continue;
                }
                // Where a jump went may follow: ` 8: R0=…`.
                let rest = text.strip_prefix(&ours).filter(|r| r.is_empty() || r.contains(": R"));
                let what = &case["program"];
                assert!(rest.is_some(), "{what} insn {pc}: {ours}, in the log {text}");
                compared += 1;
            }
        }
    }
    eprintln!("{compared} lines compared");
    assert!(compared > 30_000);
}

#[test]
fn accepted_programs_decode_and_come_back() {
    let Some(cases) = cases() else { return };
    for case in cases.iter().filter(|c| c["verdict"] == "accept") {
        let insns = slots(case["insns"].as_str().expect("hex"));
        let ops = decode_program(&insns).unwrap_or_else(|e| panic!("{}: {e}", case["program"]));
        let mut again = Vec::with_capacity(insns.len());
        let mut text = String::new();
        for (pc, op) in &ops {
            assert_eq!(decode(&insns, *pc).as_ref(), Ok(op));
            encode(op, &mut again).expect("an encoding");
        }
        disasm::write_listing(&mut text, &insns, &Pseudo).expect("strings take all text");
        assert_eq!(again, insns, "{}", case["program"]);
        assert_eq!(asm::assemble(&text).expect("our own text"), insns, "{}", case["program"]);
    }
}
