//! Each instruction form with many operands: machine code, interpreter and a model written from
//! the text of RFC 9669 agree.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../../interp/tests/common/mod.rs"]
mod common;

use common::{
    Buffers, Form, Random, forms,
    model::{self, State},
};
use interp::{Limits, Vm};
use isa::Insn;
use jit::{Input, Options, Program, RunContext};

const VECTORS: usize = 300;

struct Case {
    imm: i32,
    before: State,
}

/// How operands come to where the instruction finds them.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Operands {
    /// Loaded: nothing is known about them.
    Loaded,
    /// Constants, which the compiler may compute with.
    Known,
    /// The destination is known, the source is not.
    HalfKnown,
    /// Copies of registers that are used again.
    Copied,
}

fn wide(out: &mut Vec<Insn>, dst: u8, value: u64) {
    out.push(Insn::new(0x18, dst, 0, 0, value as u32 as i32));
    out.push(Insn { imm: (value >> 32) as i32, ..Insn::default() });
}

/// For every case: registers and memory, the instruction, all back.
fn program(form: &Form, cases: &[Case], operands: Operands) -> Vec<Insn> {
    let mut out = vec![Insn::new(0xbf, 6, 1, 0, 0)];
    for (i, case) in cases.iter().enumerate() {
        let at = 32 * i as i16;
        let State { r0, r1, r2, mem } = case.before;
        for (reg, value) in [(0, r0), (1, r1), (2, r2), (3, mem)] {
            let known = operands == Operands::Known || operands == Operands::HalfKnown && reg == 1;
            match known {
                true => wide(&mut out, reg, value),
                false => out.push(Insn::new(0x79, reg, 6, at + 8 * i16::from(reg), 0)),
            }
        }
        out.push(Insn::new(0x7b, 10, 3, -8, 0));
        if operands == Operands::Copied {
            out.push(Insn::new(0xbf, 4, 1, 0, 0));
            out.push(Insn::new(0xbf, 5, 2, 0, 0));
        }
        let imm = if form.takes_imm { case.imm } else { form.insn.imm };
        if form.group.starts_with("jmp") {
            out.push(Insn::new(0xb7, 0, 0, 0, 1));
            out.push(Insn { off: 1, imm, ..form.insn });
            out.push(Insn::new(0xb7, 0, 0, 0, 0));
        } else {
            out.push(Insn { imm, ..form.insn });
        }
        if operands == Operands::Copied {
            // They must have kept their values: the sum stays what it was.
            out.push(Insn::new(0x7b, 10, 4, -16, 0));
            out.push(Insn::new(0x7b, 10, 5, -24, 0));
        }
        out.push(Insn::new(0x79, 3, 10, -8, 0));
        for reg in 0..4 {
            out.push(Insn::new(0x7b, 6, reg, at + 8 * i16::from(reg), 0));
        }
        if operands == Operands::Copied {
            out.push(Insn::new(0x79, 4, 10, -16, 0));
            out.push(Insn::new(0x79, 5, 10, -24, 0));
            wide(&mut out, 7, r1);
            wide(&mut out, 8, r2);
            out.push(Insn::new(0x1d, 4, 7, 1, 0));
            out.push(Insn::new(0x7a, 6, 0, at, -77));
            out.push(Insn::new(0x1d, 5, 8, 1, 0));
            out.push(Insn::new(0x7a, 6, 0, at, -78));
        }
    }
    out.push(Insn::new(0xb7, 0, 0, 0, 0));
    out.push(Insn::new(0x95, 0, 0, 0, 0));
    out
}

fn cases(form: &Form, random: &mut Random) -> Vec<Case> {
    let mut one = || {
        let mem = random.operand();
        // Often what cmpxchg expects.
        let r0 = if random.next() & 1 == 0 { mem } else { random.operand() };
        let before = State { r0, r1: random.operand(), r2: random.operand(), mem };
        Case { imm: random.operand() as i32, before }
    };
    std::iter::repeat_with(&mut one).take(VECTORS).map(|case| permitted(form, case)).collect()
}

/// Linux refuses constant shifts by the width or more.
fn permitted(form: &Form, mut case: Case) -> Case {
    let width = if form.group == "alu32" { 32 } else { 64 };
    if form.takes_imm && ["lsh", "rsh", "arsh"].iter().any(|s| form.name.starts_with(s)) {
        case.imm = case.imm.rem_euclid(width);
    }
    case
}

fn context(cases: &[Case]) -> Vec<u64> {
    cases.iter().flat_map(|c| [c.before.r0, c.before.r1, c.before.r2, c.before.mem]).collect()
}

fn interpreted(insns: &[Insn], cases: &[Case]) -> Vec<u64> {
    let mut ctx = context(cases);
    let (mut host, start) = Buffers::of(&mut ctx);
    let program = interp::Program::new(insns).unwrap();
    Vm::new().run(&program, start, &mut host, Limits::default()).unwrap();
    ctx
}

fn compiled(insns: &[Insn], cases: &[Case], options: &Options) -> Vec<u64> {
    let mut ctx = context(cases);
    let program = Program::new(Input { insns, starts: &[0] }, &(), options).unwrap();
    // SAFETY: the program stays inside the context and its stack.
    unsafe { program.run(ctx.as_mut_ptr() as u64, &mut RunContext::new()) }.unwrap();
    ctx
}

fn modelled(form: &Form, cases: &[Case]) -> Vec<u64> {
    let after = cases.iter().map(|c| model::step(form, c.imm, c.before));
    after.flat_map(|s| [s.r0, s.r1, s.r2, s.mem]).collect()
}

fn compare(form: &Form, cases: &[Case], got: &[u64], want: &[u64], whose: &str) {
    for (i, case) in cases.iter().enumerate() {
        let at = 4 * i..4 * i + 4;
        assert_eq!(
            got[at.clone()],
            want[at],
            "{} {} ({whose}): r0 r1 r2 mem after imm {:#x} on {:#x?}",
            form.group,
            form.name,
            case.imm,
            case.before
        );
    }
}

fn variants() -> Vec<(&'static str, Options)> {
    let usual = Options::default();
    vec![
        ("usual", usual),
        ("plain", Options { plain: true, ..usual }),
        ("without BMI", Options { bmi: false, ..usual }),
        ("blinded", Options { blind: Some(0x5eed), ..usual }),
    ]
}

#[test]
fn every_form_follows_the_rfc_and_the_interpreter() {
    let mut random = Random::new(0x9669);
    let forms = forms();
    assert_eq!(forms.len(), 159);
    for form in &forms {
        for operands in [Operands::Loaded, Operands::Known, Operands::HalfKnown, Operands::Copied] {
            let cases = cases(form, &mut random);
            let insns = program(form, &cases, operands);
            let want = modelled(form, &cases);
            compare(form, &cases, &interpreted(&insns, &cases), &want, "interpreter");
            for (name, options) in variants() {
                let got = compiled(&insns, &cases, &options);
                compare(form, &cases, &got, &want, &format!("{name}, {operands:?}"));
            }
        }
    }
}
