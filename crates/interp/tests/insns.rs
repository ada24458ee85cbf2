//! Each instruction form with many operands, against RFC 9669's text and the running kernel.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::{
    Buffers, Form, Random, forms, kernel,
    model::{self, State},
};
use interp::{Limits, Program, Vm};
use isa::Insn;

const VECTORS: usize = 600;
const LDX_DW: u8 = 0x79;
const STX_DW: u8 = 0x7b;

struct Case {
    imm: i32,
    before: State,
}

/// For every case: registers and memory from the context, the instruction, all back.
fn program(form: &Form, cases: &[Case]) -> Vec<Insn> {
    let mut out = vec![Insn::new(0xbf, 6, 1, 0, 0)];
    for (i, case) in cases.iter().enumerate() {
        let at = 32 * i as i16;
        out.push(Insn::new(LDX_DW, 0, 6, at, 0));
        out.push(Insn::new(LDX_DW, 1, 6, at + 8, 0));
        out.push(Insn::new(LDX_DW, 2, 6, at + 16, 0));
        out.push(Insn::new(LDX_DW, 3, 6, at + 24, 0));
        out.push(Insn::new(STX_DW, 10, 3, -8, 0));
        let imm = if form.takes_imm { case.imm } else { form.insn.imm };
        if form.group.starts_with("jmp") {
            out.push(Insn::new(0xb7, 0, 0, 0, 1));
            out.push(Insn { off: 1, imm, ..form.insn });
            out.push(Insn::new(0xb7, 0, 0, 0, 0));
        } else {
            out.push(Insn { imm, ..form.insn });
        }
        out.push(Insn::new(LDX_DW, 3, 10, -8, 0));
        out.push(Insn::new(STX_DW, 6, 0, at, 0));
        out.push(Insn::new(STX_DW, 6, 1, at + 8, 0));
        out.push(Insn::new(STX_DW, 6, 2, at + 16, 0));
        out.push(Insn::new(STX_DW, 6, 3, at + 24, 0));
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
    std::iter::repeat_with(&mut one).filter(|c| permitted(form, c.imm)).take(VECTORS).collect()
}

/// Linux refuses constant shifts by the width or more, and constant division by zero.
fn permitted(form: &Form, imm: i32) -> bool {
    let width = if form.group == "alu32" { 32 } else { 64 };
    let shift = ["lsh", "rsh", "arsh"].iter().any(|s| form.name.starts_with(s));
    let division = ["div", "sdiv", "mod", "smod"].iter().any(|s| form.name.starts_with(s));
    !form.takes_imm || !(shift && !(0..width).contains(&imm) || division && imm == 0)
}

fn context(cases: &[Case]) -> Vec<u64> {
    cases.iter().flat_map(|c| [c.before.r0, c.before.r1, c.before.r2, c.before.mem]).collect()
}

fn interpreted(insns: &[Insn], cases: &[Case]) -> Vec<u64> {
    let mut ctx = context(cases);
    let (mut host, start) = Buffers::of(&mut ctx);
    let program = Program::new(insns).unwrap();
    Vm::new().run(&program, start, &mut host, Limits::default()).unwrap();
    ctx
}

fn modelled(form: &Form, cases: &[Case]) -> Vec<u64> {
    let after = cases.iter().map(|c| model::step(form, c.imm, c.before));
    after.flat_map(|s| [s.r0, s.r1, s.r2, s.mem]).collect()
}

fn first_difference(form: &Form, cases: &[Case], got: &[u64], want: &[u64], whose: &str) {
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

#[test]
fn every_form_follows_the_rfc() {
    let mut random = Random::new(0x9669);
    let forms = forms();
    assert_eq!(forms.len(), 159);
    for form in &forms {
        let cases = cases(form, &mut random);
        let got = interpreted(&program(form, &cases), &cases);
        first_difference(form, &cases, &got, &modelled(form, &cases), "RFC 9669");
    }
}

#[test]
fn every_form_follows_the_running_kernel() {
    if !kernel::available() {
        return;
    }
    let mut random = Random::new(0x618);
    for form in &forms() {
        let cases = cases(form, &mut random);
        let insns = program(form, &cases);
        let loaded = kernel::load_syscall(&insns)
            .unwrap_or_else(|why| panic!("{} {}: {why}", form.group, form.name));
        let mut ctx = context(&cases);
        loaded.run_syscall(&mut ctx).unwrap();
        first_difference(form, &cases, &interpreted(&insns, &cases), &ctx, "Linux");
    }
}

#[test]
fn constants_that_linux_refuses_still_mean_what_the_rfc_says() {
    let mut random = Random::new(0x4_2);
    for form in forms().iter().filter(|f| f.takes_imm && f.group.starts_with("alu")) {
        let mut cases = cases(form, &mut random);
        for (case, imm) in cases.iter_mut().zip([0, -1, 31, 32, 33, 63, 64, 65, i32::MIN]) {
            case.imm = imm;
        }
        let got = interpreted(&program(form, &cases), &cases);
        first_difference(form, &cases, &got, &modelled(form, &cases), "RFC 9669");
    }
}
