//! Opcodes and reserved fields: refused where Linux was seen to refuse them, with its message.

mod common;

use common::{facts, message, program, variant, verify, world};
use isa::Insn;
use uapi::Errno;

const EXIT: Insn = Insn { code: 0x95, regs: 0, off: 0, imm: 0 };

fn mov(dst: u8, imm: i32) -> Insn {
    Insn::new(0xb7, dst, 0, 0, imm)
}

/// All registers hold numbers, r6 the context.
fn around(insns: &[Insn]) -> Vec<Insn> {
    let mut out = vec![Insn::new(0xbf, 6, 1, 0, 0)];
    out.extend([0, 1, 2, 3, 4, 5].map(|r| mov(r, 0)));
    out.extend_from_slice(insns);
    out.extend([mov(0, 0), EXIT]);
    out
}

#[test]
fn opcodes_are_refused_as_linux_refuses_them() {
    let world = world();
    let table = facts("insns");
    let refused = table["opcode_sweep"]["refused"].as_object().expect("messages");
    let mut seen = [false; 256];
    for (text, codes) in refused {
        for code in codes.as_array().expect("codes") {
            let hex = code.as_str().expect("hex");
            let code = u8::from_str_radix(hex, 16).expect("hex");
            seen[code as usize] = true;
            let p = program(variant("SCHED_CLS"), around(&[Insn::new(code, 1, 0, 0, 0)]));
            let got = message(&verify(&p, &world));
            assert_eq!(got, text.replace("XX", hex), "opcode {hex}");
        }
    }
    for code in (0..=255u8).filter(|c| !seen[*c as usize]) {
        if matches!(code, 0x05 | 0x06 | 0x85 | 0x95 | 0x18) {
            continue;
        }
        let p = program(variant("SCHED_CLS"), around(&[Insn::new(code, 1, 0, 0, 1)]));
        let got = message(&verify(&p, &world));
        assert!(!got.starts_with("unknown opcode"), "{code:02x}: {got}");
    }
}

#[test]
fn the_edges_of_a_program_are_linux_s() {
    let world = world();
    let v = variant("SCHED_CLS");
    let ja = |off: i16| Insn::new(0x05, 0, 0, off, 0);
    let cases: &[(&str, Vec<Insn>)] = &[
        ("last insn not exit/jmp", vec![mov(0, 0)]),
        ("jump out of range", vec![mov(0, 0), ja(5), EXIT]),
        (
            "jump into ld_imm64 middle",
            vec![
                mov(0, 0),
                Insn::new(0x15, 0, 0, 1, 1),
                Insn::new(0x18, 1, 0, 0, 0),
                Insn::default(),
                EXIT,
            ],
        ),
        ("unreachable insn", vec![mov(0, 0), EXIT, mov(0, 0), EXIT]),
        ("r10 write", vec![mov(10, 0), mov(0, 0), EXIT]),
        ("r11 dst", vec![mov(11, 0), mov(0, 0), EXIT]),
        ("r11 src", vec![Insn::new(0xbf, 0, 11, 0, 0), EXIT]),
        ("div imm 0", vec![mov(0, 0), Insn::new(0x37, 0, 0, 0, 0), EXIT]),
        ("lsh imm 64", vec![mov(0, 0), Insn::new(0x67, 0, 0, 0, 64), EXIT]),
        ("end imm 8", vec![mov(0, 0), Insn::new(0xd4, 0, 0, 0, 8), EXIT]),
        ("alu op 0xe0", vec![mov(0, 0), Insn::new(0xe7, 0, 0, 0, 0), EXIT]),
        ("stack off 0", vec![Insn::new(0x7a, 10, 0, 0, 0), mov(0, 0), EXIT]),
        ("ld_abs without r6", vec![Insn::new(0x20, 0, 0, 0, 0), EXIT]),
        ("neg with imm", vec![mov(0, 0), Insn::new(0x87, 0, 0, 0, 1), EXIT]),
        ("exit X (0x9d)", vec![mov(0, 0), Insn::new(0x9d, 0, 0, 0, 0)]),
        ("call X (0x8d)", vec![mov(0, 0), Insn::new(0x8d, 0, 0, 0, 7), EXIT]),
        ("only exit without r0", vec![EXIT]),
    ];
    let table = facts("insns");
    for (name, insns) in cases {
        let want = table["edge_cases"][*name].as_str().expect("a row");
        let (errno, text) = want.split_once(": ").expect("errno and text");
        let last = text.rsplit(" | ").next().expect("a line");
        let outcome = verify(&program(v, insns.clone()), &world);
        let Err(r) = &outcome.verdict else { panic!("{name} is accepted") };
        assert_eq!(message(&outcome), last, "{name}");
        assert_eq!(format!("{:?}", r.errno), errno, "{name}");
    }
}

#[test]
fn empty_and_oversized_programs_are_refused_without_text() {
    let world = world();
    let outcome = verify(&program(variant("XDP"), Vec::new()), &world);
    assert_eq!(outcome.verdict.expect_err("refused").errno, Errno::E2BIG);
    let outcome = verify(&program(variant("XDP"), vec![EXIT; 1_000_001]), &world);
    assert_eq!(outcome.verdict.expect_err("refused").errno, Errno::E2BIG);
    let mut p = program(variant("XDP"), vec![mov(0, 0), EXIT]);
    p.flags = 0x100;
    assert_eq!(verify(&p, &world).verdict.expect_err("refused").errno, Errno::EINVAL);
    p.flags = 0;
    p.name = "a name".into();
    assert_eq!(verify(&p, &world).verdict.expect_err("refused").errno, Errno::EINVAL);
    p.name = "a_name".into();
    p.prog_type = None;
    assert_eq!(verify(&p, &world).verdict.expect_err("refused").errno, Errno::EINVAL);
}
