//! Every access is compared with a region first.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::sync::atomic::{AtomicU64, Ordering};

use common::{Buffers, Random, asm::*};
use interp::{Limits, PROBE_MEM, Program, Region, Trap, TrapKind, Vm};
use isa::Insn;

/// Load, register store, immediate store, atomic add, load-acquire and store-release: opcode,
/// immediate, bytes, whether it writes; all with r1 as base and r2 as the other register.
const ACCESSES: [(u8, i32, u32, bool); 26] = [
    (0x71, 0, 1, false),
    (0x69, 0, 2, false),
    (0x61, 0, 4, false),
    (0x79, 0, 8, false),
    (0x91, 0, 1, false),
    (0x89, 0, 2, false),
    (0x81, 0, 4, false),
    (0x73, 0, 1, true),
    (0x6b, 0, 2, true),
    (0x63, 0, 4, true),
    (0x7b, 0, 8, true),
    (0x72, 0, 1, true),
    (0x6a, 0, 2, true),
    (0x62, 0, 4, true),
    (0x7a, 0, 8, true),
    (0xc3, 0, 4, true),
    (0xdb, 0, 8, true),
    (0xdb, 0xf1, 8, true),
    (0xd3, 0x100, 1, false),
    (0xcb, 0x100, 2, false),
    (0xc3, 0x100, 4, false),
    (0xdb, 0x100, 8, false),
    (0xd3, 0x110, 1, true),
    (0xcb, 0x110, 2, true),
    (0xc3, 0x110, 4, true),
    (0xdb, 0x110, 8, true),
];

fn access(code: u8, imm: i32, write: bool, off: i16) -> Program {
    let (dst, src) = if write { (1, 2) } else { (2, 1) };
    let src = if code & 7 == 2 { 0 } else { src };
    Program::new(&[mov(0, 0), Insn::new(code, dst, src, off, imm), EXIT]).unwrap()
}

fn run(program: &Program, ctx: u64, host: &mut Buffers) -> Result<u64, Trap> {
    Vm::new().run(program, ctx, host, Limits::default())
}

#[test]
fn accesses_stop_at_both_ends_of_a_region() {
    for length in [1_u64, 2, 3, 4, 7, 8, 9, 16, 64] {
        let mut backing = [0_u64; 12];
        let start = backing.as_mut_ptr().expose_provenance() as u64 + 8;
        let end = start + length;
        for (code, imm, size, write) in ACCESSES {
            for off in -9..=length as i16 + 1 {
                for writable in [true, false] {
                    let mut host = Buffers(vec![Region { start, end, writable }]);
                    let addr = start.wrapping_add_signed(off.into());
                    let inside = addr >= start && addr + u64::from(size) <= end;
                    let want = if inside && (writable || !write) {
                        Ok(0)
                    } else {
                        Err(Trap { pc: 1, kind: TrapKind::Memory { addr, size, write } })
                    };
                    let got = run(&access(code, imm, write, off), start, &mut host);
                    assert_eq!(got, want, "{code:#x} {imm:#x} off {off} of {length}");
                }
            }
        }
    }
}

#[test]
fn wild_addresses_are_traps() {
    let mut random = Random::new(0xbad);
    let wild = [0, 1, 7, 8, u64::MAX, u64::MAX - 7, u64::MAX - 8, 1 << 63, (1 << 47) - 1];
    let more: Vec<u64> = std::iter::repeat_with(|| random.next() | 1 << 62).take(200).collect();
    for addr in wild.into_iter().chain(more) {
        for (code, imm, size, write) in ACCESSES {
            let got = run(&access(code, imm, write, 0), addr, &mut Buffers::default());
            assert_eq!(got, Err(Trap { pc: 1, kind: TrapKind::Memory { addr, size, write } }));
        }
    }
}

#[test]
fn a_region_that_lies_or_is_empty_gives_nothing() {
    for (start, end) in [(16, 16), (32, 16), (0, 0), (u64::MAX, 0)] {
        struct Liar(Region);
        impl interp::Host for Liar {
            fn region(&mut self, _: u64) -> Option<Region> {
                Some(self.0)
            }
            fn call(
                &mut self,
                _: u32,
                _: [u64; 5],
                _: &mut dyn interp::Callback,
            ) -> Result<u64, Trap> {
                Ok(0)
            }
        }
        let mut host = Liar(Region { start, end, writable: true });
        for addr in [0, 15, 16, 17, 31, 32, u64::MAX] {
            let program = access(0x71, 0, false, 0);
            assert!(interp::run(&program, addr, &mut host, Limits::default()).is_err());
        }
    }
}

#[test]
fn the_stack_is_512_bytes_a_frame() {
    let store = |off| [mov(0, 0), mov(1, 1), stx(10, off, 1), EXIT];
    let result = |off| run(&Program::new(&store(off)).unwrap(), 0, &mut Buffers::default());
    assert_eq!(result(-8), Ok(0));
    assert_eq!(result(-512), Ok(0));
    for off in [-513, -520, -7, 0, 8, i16::MIN, i16::MAX] {
        assert!(
            matches!(result(off).unwrap_err().kind, TrapKind::Memory { write: true, .. }),
            "{off}"
        );
    }
}

#[test]
fn a_frame_is_gone_after_its_exit() {
    // f returns a pointer into its frame; main loads through it.
    let insns = [
        subprog(3),
        mov_reg(1, 0),
        ldx(0, 1, -8),
        EXIT,
        mov(0, 1),
        stx(10, -8, 0),
        mov_reg(0, 10),
        EXIT,
    ];
    let trap = run(&Program::new(&insns).unwrap(), 0, &mut Buffers::default()).unwrap_err();
    assert_eq!(trap.pc, 2);
}

#[test]
fn many_regions_at_once() {
    // More regions than are remembered, interleaved, reads and writes.
    let mut words = [0_u64; 20];
    let base = words.as_mut_ptr().expose_provenance() as u64;
    let region = |i: u64| {
        let start = base + 16 * i;
        Region { start, end: start + 8, writable: i.is_multiple_of(2) }
    };
    let mut host = Buffers((0..10).map(region).collect());
    let mut insns = vec![mov(3, 3)];
    for round in 0..3 {
        for i in 0..10 {
            insns.push(ldx(2, 1, 16 * i));
            if i % 2 == 0 {
                insns.push(add_reg(2, 3));
                insns.push(stx(1, 16 * i, 2));
            }
        }
        insns.push(add(3, round));
    }
    insns.extend([mov(0, 0), EXIT]);
    assert_eq!(run(&Program::new(&insns).unwrap(), base, &mut host), Ok(0));
    for (i, word) in words.iter().enumerate() {
        assert_eq!(*word, if i % 4 == 0 { 3 + 3 + 4 } else { 0 }, "word {i}");
    }
    // The gaps between them belong to nobody.
    let gap = Program::new(&[ldx(0, 1, 0), ldx(0, 1, 8), EXIT]).unwrap();
    assert_eq!(run(&gap, base, &mut host).unwrap_err().pc, 1);
}

#[test]
fn guarded_loads_read_zero_where_nothing_is() {
    let load = |size: u8| {
        let guarded = Insn::new(1 | size | PROBE_MEM, 0, 1, 0, 0);
        Program::new(&[mov(0, -1), guarded, EXIT]).unwrap()
    };
    let mut words = [0xffee_ddcc_bbaa_9988_u64];
    let (mut host, start) = Buffers::of(&mut words);
    for (size, value) in [(0x10, 0x88), (0x08, 0x9988), (0x00, 0xbbaa_9988), (0x18, words[0])] {
        assert_eq!(run(&load(size), start, &mut host), Ok(value));
        assert_eq!(run(&load(size), 0, &mut host), Ok(0));
    }
}

#[test]
fn atomic_additions_of_two_threads_all_count() {
    let counter = AtomicU64::new(0);
    let start = counter.as_ptr().expose_provenance() as u64;
    // Ten thousand times: *(u64 *)(r1 + 0) += 1, atomically.
    let insns = [
        mov(2, 1),
        mov(3, 10_000),
        Insn::new(0xdb, 1, 2, 0, 0),
        add(3, -1),
        jne(3, 0, -3),
        mov(0, 0),
        EXIT,
    ];
    let program = Program::new(&insns).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut host = Buffers(vec![Region { start, end: start + 8, writable: true }]);
                run(&program, start, &mut host).unwrap();
            });
        }
    });
    assert_eq!(counter.load(Ordering::SeqCst), 20_000);
}

#[test]
fn unaligned_atomics_do_what_aligned_ones_do() {
    let mut words = [0x1111_1111_1111_1111_u64; 2];
    let (mut host, start) = Buffers::of(&mut words);
    for (imm, want) in [(0, 0x1112), (0x40, 0x1112), (0x50, 2), (0xa0, 0)] {
        let operand = if imm == 0 { 1 } else { 2 };
        let insns =
            [mov(2, operand), Insn::new(0xdb, 1, 2, 3, imm), Insn::new(0x69, 0, 1, 3, 0), EXIT];
        assert_eq!(run(&Program::new(&insns).unwrap(), start, &mut host), Ok(want), "{imm:#x}");
    }
}
