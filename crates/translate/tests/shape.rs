//! Jumps, addresses and dead code: the program as a whole.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::collections::HashMap;

use common::{Buffers, asm::*, context_facts, translated};
use interp::{Limits, Observer, Program};
use isa::Insn;
use translate::{Input, MapAddr, TranslateError, Translated, VarAddr, ctx::SkBuff};
use uapi::ProgType;
use verifier::{Facts, InsnFacts};

/// `__sk_buff::queue_mapping = r2`: two slots after translation.
const GROWS: Insn = Insn::new(0x63, 6, 2, 12, 0);

fn plain(insns: &[Insn]) -> Result<Translated, TranslateError> {
    translated(insns, &Facts::default(), ProgType::SocketFilter)
}

#[test]
fn jumps_over_what_grew_still_land() {
    let insns = [
        mov_reg(6, 1),
        mov(0, 3),
        mov(2, 9),
        ja(1), // over one that grows
        GROWS,
        add(0, -1), // loop head
        GROWS,
        jne(0, 0, -3), // back over one that grows
        mov(0, 7),
        EXIT,
    ];
    let facts = context_facts(insns.len(), &[4, 6]);
    let program = translated(&insns, &facts, ProgType::SchedCls).unwrap();
    assert_eq!(program.insns.len(), insns.len() + 2);
    assert_eq!(program.origin, [0, 1, 2, 3, 4, 4, 5, 6, 6, 7, 8, 9]);
    let mut ctx = SkBuff::default();
    assert_eq!(Buffers::new(&mut ctx, &mut []).run(&program), Ok(7));
    assert_eq!(ctx.queue_mapping, 9);
}

#[test]
fn calls_and_function_addresses_follow_their_targets() {
    let [low, high] = func(3, 3);
    let insns =
        [mov_reg(6, 1), mov(2, 1), GROWS, subprog(4), low, high, GROWS, EXIT, mov(0, 5), EXIT];
    let facts = context_facts(insns.len(), &[2, 6]);
    let program = translated(&insns, &facts, ProgType::SchedCls).unwrap();
    assert_eq!(program.starts, [0, 10]);
    assert_eq!(program.insns[4].imm, 5); // call at 4 to 10
    assert_eq!(
        (program.insns[5].code, program.insns[5].src().0, program.insns[5].imm),
        (0x18, 4, 4)
    );
    assert_eq!(Buffers::new(&mut SkBuff::default(), &mut []).run(&program), Ok(5));
}

#[test]
fn maps_and_variables_become_addresses() {
    let wide =
        |kind, low, high| [Insn::new(0x18, 1, kind, 0, low), Insn { imm: high, ..Insn::default() }];
    let maps = [
        MapAddr { fd: 4, object: 0x1111_2222_3333_4444, value: 0 },
        MapAddr { fd: 5, object: 1, value: 0xaaaa_bbbb_cccc_0000 },
    ];
    let vars = [VarAddr { id: 77, btf_fd: 0, addr: 0x5555_6666_7777_8888 }];
    let load = |insns: [Insn; 2]| {
        let facts = Facts::default();
        let insns = [insns[0], insns[1], mov_reg(0, 1), EXIT];
        let input = Input {
            insns: &insns,
            facts: &facts,
            prog_type: None,
            attach_type: 0,
            maps: &maps,
            fd_array: &[5, 4],
            vars: &vars,
            kfuncs: &[],
            user_casts: false,
        };
        translate::translate(input).map(|p| Buffers::new(&mut 0_u64, &mut []).run(&p).unwrap())
    };
    assert_eq!(load(wide(0, -1, -1)), Ok(u64::MAX));
    assert_eq!(load(wide(1, 4, 0)), Ok(0x1111_2222_3333_4444));
    assert_eq!(load(wide(2, 5, 8)), Ok(0xaaaa_bbbb_cccc_0008));
    assert_eq!(load(wide(3, 77, 0)), Ok(0x5555_6666_7777_8888));
    assert_eq!(load(wide(5, 1, 0)), Ok(0x1111_2222_3333_4444));
    assert_eq!(load(wide(6, 0, 16)), Ok(0xaaaa_bbbb_cccc_0010));
    assert_eq!(load(wide(1, 9, 0)), Err(TranslateError::Map { insn: 0, fd: 9 }));
    assert_eq!(load(wide(5, 2, 0)), Err(TranslateError::FdArray { insn: 0, idx: 2 }));
    assert_eq!(load(wide(3, 78, 0)), Err(TranslateError::Variable { insn: 0, id: 78 }));
}

#[test]
fn targets_outside_are_errors() {
    let target = |insns: &[Insn]| plain(insns).unwrap_err();
    assert_eq!(target(&[ja(5), EXIT]), TranslateError::Target { insn: 0, target: 6 });
    assert_eq!(target(&[mov(0, 0), ja(-3)]), TranslateError::Target { insn: 1, target: -1 });
    assert_eq!(
        target(&[subprog(i32::MAX), EXIT]),
        TranslateError::Target { insn: 0, target: 1 << 31 }
    );
    assert!(matches!(target(&[Insn::new(0xff, 0, 0, 0, 0)]), TranslateError::Decode(_)));
    assert!(matches!(target(&[Insn::new(0x18, 0, 0, 0, 0)]), TranslateError::Decode(_)));
}

#[test]
fn a_jump_that_becomes_too_long_is_an_error() {
    // Packet loads grow tenfold and more.
    let mut insns = vec![mov_reg(6, 1), Insn::new(0x15, 0, 0, 30_000, 0)];
    insns.extend(std::iter::repeat_n(Insn::new(0x28, 0, 0, 0, 0), 30_001));
    insns.push(EXIT);
    assert_eq!(plain(&insns), Err(TranslateError::JumpTooLong { insn: 1 }));
}

/// Which slots ran, and which way conditional jumps went.
#[derive(Default)]
struct Trace {
    seen: HashMap<usize, u32>,
    taken: HashMap<usize, (bool, bool)>,
    last: Option<usize>,
}

impl Observer for Trace {
    fn step(&mut self, pc: usize, _: &[u64; 11]) {
        *self.seen.entry(pc).or_default() += 1;
        if let Some(last) = self.last {
            let way = self.taken.entry(last).or_default();
            if pc == last + 1 { way.1 = true } else { way.0 = true }
        }
        self.last = Some(pc);
    }
}

/// A program that ends: jumps lead forward, some over nothing.
fn forward_program(random: &mut impl FnMut(u64) -> u64) -> Vec<Insn> {
    let len = 5 + random(40) as usize;
    let mut out = vec![mov(0, 1), mov(1, 2), mov(2, 3)];
    while out.len() < len {
        let (dst, src) = (random(3) as u8, random(3) as u8);
        let left = (len - out.len()) as u64;
        let off = random(left) as i16;
        match random(6) {
            0 => out.push(ja(off)),
            1 | 2 => {
                out.push(Insn::new(0x15 | (random(2) as u8) << 6, dst, 0, off, random(4) as i32))
            }
            3 => out.push(Insn::new(0x2e, dst, src, off, 0)),
            4 => out.push(add_reg(dst, src)),
            _ => out.push(add(dst, random(5) as i32 - 2)),
        }
    }
    // A jump may lead one past: two exits.
    out.extend([EXIT, EXIT]);
    out
}

#[test]
fn dead_code_goes_and_the_result_stays() {
    let mut state = 0x5eed_u64;
    eprintln!("seed {state:#x}");
    let mut random = |bound: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound.max(1)
    };
    let mut dropped = 0;
    for _ in 0..2000 {
        let insns = forward_program(&mut random);
        let mut host = Buffers::new(&mut 0_u64, &mut []);
        let mut trace = Trace::default();
        let whole = Program::new(&insns).unwrap();
        let limits = Limits { fuel: 10_000 };
        let want = interp::run_observed(&whole, 0, &mut host, limits, &mut trace).unwrap();
        let facts = Facts {
            insns: (0..insns.len()).map(|pc| observed(&trace, pc)).collect(),
            ..Facts::default()
        };
        let program = translated(&insns, &facts, ProgType::SocketFilter).unwrap();
        dropped += insns.len() - program.insns.len();
        assert_eq!(host.run(&program), Ok(want), "{insns:?}");
        assert_eq!(program.origin.len(), program.insns.len());
        assert!(program.origin.iter().all(|o| trace.seen.contains_key(&(*o as usize))));
    }
    assert!(dropped > 10_000, "{dropped}");
}

fn observed(trace: &Trace, pc: usize) -> InsnFacts {
    let branch = match trace.taken.get(&pc) {
        Some((true, false)) => Some(true),
        Some((false, true)) => Some(false),
        _ => None,
    };
    InsnFacts { reachable: trace.seen.contains_key(&pc), branch, ..InsnFacts::default() }
}
