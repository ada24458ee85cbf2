//! Jumps, calls, helpers, callbacks, tail calls, and the limits on each.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::{collections::HashMap, sync::Arc};

use common::{Buffers, asm::*};
use interp::{Callback, Host, Limits, Observer, Program, Region, Trap, TrapKind, Vm};
use isa::Insn;

const LIMITS: Limits = Limits { fuel: 100_000_000 };

fn program(insns: &[Insn]) -> Program {
    Program::new(insns).unwrap()
}

fn run(insns: &[Insn]) -> Result<u64, Trap> {
    interp::run(&program(insns), 0, &mut Buffers::default(), LIMITS)
}

fn kind(result: Result<u64, Trap>) -> TrapKind {
    result.unwrap_err().kind
}

#[test]
fn jumps_count_from_the_next_slot() {
    assert_eq!(run(&[mov(0, 1), ja(1), mov(0, 2), EXIT]), Ok(1));
    assert_eq!(run(&[mov(0, 1), gotol(1), mov(0, 2), EXIT]), Ok(1));
    let [low, high] = ld_imm64(1, 0x1122_3344_5566_7788);
    assert_eq!(run(&[low, high, mov_reg(0, 1), EXIT]), Ok(0x1122_3344_5566_7788));
}

#[test]
fn leaving_the_program_is_a_trap() {
    let out = |pc| Err(Trap { pc, kind: TrapKind::BadTarget });
    assert_eq!(run(&[]), out(0));
    assert_eq!(run(&[mov(0, 1)]), out(1));
    assert_eq!(kind(run(&[ja(5), EXIT])), TrapKind::BadTarget);
    assert_eq!(kind(run(&[ja(-2), EXIT])), TrapKind::BadTarget);
    assert_eq!(kind(run(&[gotol(i32::MAX), EXIT])), TrapKind::BadTarget);
    assert_eq!(kind(run(&[subprog(i32::MIN), EXIT])), TrapKind::BadTarget);
    let [low, high] = ld_imm64(1, 0);
    assert_eq!(run(&[ja(1), low, high, EXIT]), Err(Trap { pc: 2, kind: TrapKind::BadInsn }));
}

#[test]
fn what_is_no_instruction_is_refused_with_its_slot() {
    let bad = Insn::new(0xff, 0, 0, 0, 0);
    let trap = Program::new(&[mov(0, 0), bad]).unwrap_err();
    assert_eq!(trap, Trap { pc: 1, kind: TrapKind::BadInsn });
    // Half a 64-bit immediate, a map by descriptor, a register that does not exist.
    assert!(Program::new(&ld_imm64(0, 0)[..1]).is_err());
    assert!(Program::new(&[Insn::new(0x18, 1, 1, 0, 3), Insn::default()]).is_err());
    assert!(Program::new(&[mov(11, 0)]).is_err());
}

#[test]
fn subprograms_have_frames_of_their_own_and_keep_r6_to_r9() {
    // main: r6 = 6; *(fp-8) = 1; r1 = fp; call f; r0 += r6 (6) + *(fp-8) (1)
    // f: *(fp-8) = 2 (its own); r6 = 100; r0 = r1 - fp (one frame)
    let insns = [
        mov(6, 6),
        mov(2, 1),
        stx(10, -8, 2),
        mov_reg(1, 10),
        subprog(4),
        add_reg(0, 6),
        ldx(2, 10, -8),
        add_reg(0, 2),
        EXIT,
        mov(2, 2),
        stx(10, -8, 2),
        mov(6, 100),
        mov_reg(0, 1),
        Insn::new(0x1f, 0, 10, 0, 0),
        EXIT,
    ];
    assert_eq!(run(&insns), Ok(512 + 6 + 1));
}

#[test]
fn the_ninth_frame_is_refused() {
    // Recursion: f(n) = n == 0 ? 0 : 1 + f(n - 1)
    let depth = |n| {
        run(&[
            mov(1, n),
            mov(0, 0),
            subprog(1),
            EXIT,
            jne(1, 0, 1),
            EXIT,
            add(1, -1),
            subprog(-4),
            add(0, 1),
            EXIT,
        ])
    };
    assert_eq!(depth(6), Ok(6)); // main and seven
    assert_eq!(depth(7), Err(Trap { pc: 7, kind: TrapKind::CallDepth }));
}

#[test]
fn fuel_ends_an_endless_loop() {
    let looped = program(&[add(0, 1), ja(-2), EXIT]);
    let mut vm = Vm::new();
    let result = vm.run(&looped, 0, &mut Buffers::default(), Limits { fuel: 1000 });
    assert_eq!(kind(result), TrapKind::Fuel);
    assert_eq!(vm.fuel_used(), 1000);
    let forever = program(&[subprog(1), EXIT, subprog(-1), EXIT]);
    assert_eq!(
        kind(interp::run(&forever, 0, &mut Buffers::default(), LIMITS)),
        TrapKind::CallDepth
    );
}

#[test]
fn fuel_counts_instructions() {
    // 2 + 10 * 2 + 1
    let insns = [mov(0, 0), mov(1, 10), add(1, -1), jne(1, 0, -2), EXIT];
    let mut vm = Vm::new();
    vm.run(&program(&insns), 0, &mut Buffers::default(), LIMITS).unwrap();
    assert_eq!(vm.fuel_used(), 23);
    let exactly = vm.run(&program(&insns), 0, &mut Buffers::default(), Limits { fuel: 23 });
    assert_eq!(exactly, Ok(0));
    let short = vm.run(&program(&insns), 0, &mut Buffers::default(), Limits { fuel: 22 });
    assert_eq!(kind(short), TrapKind::Fuel);
}

#[test]
fn may_goto_falls_through_eight_million_times() {
    let insns = [mov(0, 0), may_goto(2), add(0, 1), ja(-3), EXIT];
    assert_eq!(run(&insns), Ok(8 << 20));
}

/// Helpers for tests: 1 = r1 + r2; 2 calls r1 back r2 times with (i, r3); 3 tail-calls r2;
/// 4 counts; 5 grants eight bytes of its own to callback r1.
#[derive(Default)]
struct Helpers {
    programs: HashMap<u64, Arc<Program>>,
    count: u64,
    regions: Vec<Region>,
    secret: Box<[u64; 1]>,
    /// Which program runs, and which wait.
    running: Vec<u64>,
    log: Vec<u64>,
}

impl Host for Helpers {
    fn region(&mut self, addr: u64) -> Option<Region> {
        self.regions.iter().copied().find(|r| r.start <= addr && addr < r.end)
    }

    fn call(&mut self, id: u32, args: [u64; 5], vm: &mut dyn Callback) -> Result<u64, Trap> {
        let [r1, r2, r3, ..] = args;
        match id {
            1 => Ok(r1 + r2),
            2 => (0..r2).try_fold(0, |sum, i| Ok(sum + vm.call_back(self, r1, [i, r3, 0, 0, 0])?)),
            3 => Ok(if vm.tail_call(r2) { 0 } else { u64::MAX }),
            4 => {
                self.log.extend(self.running.last());
                self.count += 1;
                Ok(self.count)
            }
            5 => {
                let start = self.secret.as_mut_ptr().expose_provenance() as u64;
                vm.grant(Region { start, end: start + 8, writable: false });
                vm.call_back(self, r1, [start, 0, 0, 0, 0])?;
                Ok(start)
            }
            _ => Err(Trap::here(TrapKind::NoHelper(id))),
        }
    }

    fn kfunc(
        &mut self,
        id: i32,
        _: i16,
        args: [u64; 5],
        _: &mut dyn Callback,
    ) -> Result<u64, Trap> {
        Ok(args[0] * id as u64)
    }

    fn program(&mut self, prog: u64) -> Option<Arc<Program>> {
        if let Some(running) = self.running.last_mut() {
            *running = prog;
        }
        self.programs.get(&prog).cloned()
    }

    fn suspend(&mut self) {
        self.running.extend(self.running.last().copied());
    }

    fn resume(&mut self) {
        self.running.pop();
    }
}

fn run_with(host: &mut Helpers, insns: &[Insn]) -> Result<u64, Trap> {
    interp::run(&program(insns), 0, host, LIMITS)
}

#[test]
fn helpers_and_kernel_functions_get_their_arguments() {
    let mut host = Helpers::default();
    assert_eq!(run_with(&mut host, &[mov(1, 30), mov(2, 12), helper(1), EXIT]), Ok(42));
    assert_eq!(run_with(&mut host, &[mov(1, 6), kfunc(7), EXIT]), Ok(42));
    let missing = run_with(&mut host, &[mov(1, 6), helper(99), EXIT]);
    assert_eq!(missing, Err(Trap { pc: 1, kind: TrapKind::NoHelper(99) }));
    let missing = interp::run(&program(&[kfunc(7), EXIT]), 0, &mut Buffers::default(), LIMITS);
    assert_eq!(missing, Err(Trap { pc: 0, kind: TrapKind::NoKfunc(7) }));
}

#[test]
fn callbacks_run_in_the_program_and_may_call_helpers() {
    // r0 = loop(f, 5, &stack); r0 += *(fp-8). f(i, p): *p += i; call 4; r0 = 1.
    let [low, high] = func(1, 9);
    let insns = [
        mov(2, 0),
        stx(10, -8, 2),
        low,
        high,
        mov(2, 5),
        mov_reg(3, 10),
        add(3, -8),
        helper(2),
        ldx(1, 10, -8),
        add_reg(0, 1),
        EXIT,
        EXIT,
        ldx(3, 2, 0),
        add_reg(3, 1),
        stx(2, 0, 3),
        helper(4),
        mov(0, 1),
        EXIT,
    ];
    let mut host = Helpers::default();
    assert_eq!(run_with(&mut host, &insns), Ok(5 + 10));
    assert_eq!(host.count, 5);
}

#[test]
fn endless_callbacks_end() {
    // f calls the looping helper on itself.
    let [low, high] = func(1, -1);
    let mut host = Helpers::default();
    let result = run_with(&mut host, &[low, high, mov(2, 1), helper(2), EXIT]);
    assert_eq!(kind(result), TrapKind::CallDepth);
    let bad = run_with(&mut host, &[mov(1, 77), mov(2, 1), helper(2), EXIT]);
    assert_eq!(kind(bad), TrapKind::BadTarget);
}

#[test]
fn callbacks_share_the_fuel() {
    let [low, high] = func(1, 6);
    let insns = [low, high, mov(2, 1000), mov(3, 0), helper(2), EXIT, EXIT, mov(0, 0), EXIT];
    let mut vm = Vm::new();
    vm.run(&program(&insns), 0, &mut Helpers::default(), LIMITS).unwrap();
    assert_eq!(vm.fuel_used(), 6 + 1000 * 2);
    let short = vm.run(&program(&insns), 0, &mut Helpers::default(), Limits { fuel: 1000 });
    assert_eq!(kind(short), TrapKind::Fuel);
}

#[test]
fn a_grant_ends_with_its_helper() {
    let [low, high] = func(1, 5);
    let insns = [low, high, helper(5), mov_reg(1, 0), ldx(0, 1, 0), EXIT, ldx(0, 1, 0), EXIT];
    let mut host = Helpers::default();
    let trap = run_with(&mut host, &insns).unwrap_err();
    assert_eq!(trap.pc, 4);
    assert!(matches!(trap.kind, TrapKind::Memory { size: 8, write: false, .. }));
}

#[test]
fn tail_calls_replace_the_program_33_times() {
    // Program 7: count; tail-call 7; r0 = 55 if that failed.
    let body = [mov_reg(6, 1), helper(4), mov_reg(1, 6), mov(2, 7), helper(3), mov(0, 55), EXIT];
    let mut host = Helpers::default();
    host.programs.insert(7, Arc::new(program(&body)));
    assert_eq!(run_with(&mut host, &body), Ok(55));
    assert_eq!(host.count, 34);
    let unknown = run_with(&mut host, &[mov(2, 8), helper(3), EXIT]);
    assert_eq!(unknown, Err(Trap { pc: 1, kind: TrapKind::NoProgram(8) }));
}

#[test]
fn a_tail_call_out_of_a_subprogram_returns_to_its_caller() {
    let mut host = Helpers::default();
    // Program 7 returns its context plus 1000; its frame is the subprogram's.
    let other = [stx(10, -8, 1), ldx(0, 10, -8), add(0, 1000), EXIT];
    host.programs.insert(7, Arc::new(program(&other)));
    let insns = [
        mov(6, 3),
        stx(10, -8, 6),
        mov(1, 5),
        subprog(4),
        add_reg(0, 6),
        ldx(1, 10, -8),
        add_reg(0, 1),
        EXIT,
        mov(2, 7),
        helper(3),
        mov(0, 0),
        EXIT,
    ];
    assert_eq!(run_with(&mut host, &insns), Ok(5 + 1000 + 3 + 3));
}

#[test]
fn the_host_knows_which_program_calls_it() {
    let mut host = Helpers { running: vec![1], ..Helpers::default() };
    // 1: f tail-calls 2, which tail-calls 3; then main of 1 goes on.
    let first = [helper(4), subprog(3), helper(4), mov(0, 0), EXIT, mov(2, 2), helper(3), EXIT];
    let second = [helper(4), mov(2, 3), helper(3), EXIT];
    let third = [helper(4), mov(0, 0), EXIT];
    host.programs.insert(2, Arc::new(program(&second)));
    host.programs.insert(3, Arc::new(program(&third)));
    assert_eq!(run_with(&mut host, &first), Ok(0));
    assert_eq!(host.log, [1, 2, 3, 1]);
}

#[test]
fn an_observer_sees_every_instruction() {
    struct Trace(Vec<(usize, u64)>);
    impl Observer for Trace {
        fn step(&mut self, pc: usize, regs: &[u64; 11]) {
            self.0.push((pc, regs[0]));
        }
    }
    let mut trace = Trace(Vec::new());
    let insns = [mov(0, 1), subprog(1), EXIT, mov(0, 2), EXIT];
    interp::run_observed(&program(&insns), 0, &mut Buffers::default(), LIMITS, &mut trace).unwrap();
    assert_eq!(trace.0, [(0, 0), (1, 1), (3, 1), (4, 2), (2, 2)]);
}
