//! Random instruction streams end, one way or another.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::Buffers;
use interp::{Limits, Program, Vm};
use isa::Insn;
use proptest::prelude::*;

/// Mostly opcodes that exist, short jumps, and registers that may hold pointers.
fn insn() -> impl Strategy<Value = Insn> {
    let code = prop_oneof![
        1 => any::<u8>(),
        8 => prop::sample::select((0..=255).filter(|c| isa::is_known_opcode(*c)).collect::<Vec<_>>()),
    ];
    let off = prop_oneof![4 => Just(0), 3 => -12_i16..12, 1 => any::<i16>()];
    let imm = prop_oneof![
        4 => Just(0),
        2 => prop::sample::select(vec![1, 16, 32, 64, 0xe1, 0xf1, 0x100, 0x110]),
        2 => -12_i32..12,
        1 => any::<i32>(),
    ];
    (code, 0_u8..12, 0_u8..12, off, imm)
        .prop_map(|(code, dst, src, off, imm)| Insn::new(code, dst, src, off, imm))
}

/// Streams that decode: what does not is left out, or the first bad slot would end most.
fn stream() -> impl Strategy<Value = Vec<Insn>> {
    prop::collection::vec(insn(), 0..60).prop_map(|insns| {
        let mut out = Vec::new();
        for insn in insns {
            let slots = [insn, Insn { imm: insn.imm, ..Insn::default() }];
            let len = if insn.is_ld_imm64() { 2 } else { 1 };
            if Program::new(&slots[..len]).is_ok() {
                out.extend(&slots[..len]);
            }
        }
        out
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hostile_streams_end(insns in stream()) {
        let mut words = [0_u64; 16];
        let (mut host, start) = Buffers::of(&mut words);
        let program = Program::new(&insns).unwrap();
        let mut vm = Vm::new();
        let _ = vm.run(&program, start, &mut host, Limits { fuel: 20_000 });
        prop_assert!(vm.fuel_used() <= 20_000);
    }

    #[test]
    fn hostile_bytes_are_refused_or_run(bytes in prop::collection::vec(any::<[u8; 8]>(), 0..20)) {
        let insns: Vec<Insn> = bytes.into_iter().map(Insn::from_bytes).collect();
        if let Ok(program) = Program::new(&insns) {
            let _ = interp::run(&program, 0, &mut Buffers::default(), Limits { fuel: 1000 });
        }
    }
}
