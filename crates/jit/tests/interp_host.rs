//! One set of helpers, written for the interpreter, behind both engines: the adapter that a
//! runtime needs is the two implementations in the middle of this file.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::ptr;

use interp::{Callback, Host, Limits, Region, Trap, TrapKind};
use isa::{Insn, asm::assemble};
use jit::{Back, Env, Fault, Input, Machine, Options, Program, RunContext, Target};

/// A helper's body: the run, the way back, r1 to r5.
type Body = fn(&mut Run, &mut dyn Callback, [u64; 5]) -> Result<u64, Trap>;

#[derive(Default)]
struct Run {
    log: Vec<u64>,
    /// Why a compiled run ended.
    trap: Option<Trap>,
}

fn note(run: &mut Run, _: &mut dyn Callback, [value, ..]: [u64; 5]) -> Result<u64, Trap> {
    run.log.push(value);
    Ok(run.log.len() as u64)
}

fn repeat(run: &mut Run, vm: &mut dyn Callback, args: [u64; 5]) -> Result<u64, Trap> {
    let [turns, func, ctx, ..] = args;
    for turn in 0..turns {
        if vm.call_back(run, func, [turn, ctx, 0, 0, 0])? != 0 {
            return Ok(turn + 1);
        }
    }
    Ok(turns)
}

fn fail(_: &mut Run, _: &mut dyn Callback, _: [u64; 5]) -> Result<u64, Trap> {
    Err(Trap::here(TrapKind::Helper("it fails")))
}

fn body(id: u32) -> Option<Body> {
    match id {
        5 => Some(note),
        181 => Some(repeat),
        99 => Some(fail),
        _ => None,
    }
}

// For the interpreter.
impl Host for Run {
    fn region(&mut self, _: u64) -> Option<Region> {
        None
    }

    fn call(&mut self, id: u32, args: [u64; 5], vm: &mut dyn Callback) -> Result<u64, Trap> {
        body(id).ok_or(Trap::here(TrapKind::NoHelper(id)))?(self, vm, args)
    }
}

// For machine code.
impl Machine for Run {
    fn helper(&mut self, id: u32, args: [u64; 5], back: &mut Back<'_, Self>) -> Option<u64> {
        let mut vm = Native(back);
        match body(id)?(self, &mut vm, args) {
            Ok(value) => Some(value),
            Err(trap) => {
                self.trap.get_or_insert(trap);
                None
            }
        }
    }
}

struct Native<'b, 'c>(&'b mut Back<'c, Run>);

impl Callback for Native<'_, '_> {
    fn call_back(&mut self, host: &mut dyn Host, func: u64, args: [u64; 5]) -> Result<u64, Trap> {
        // SAFETY: helpers hand on their own run, and functions that the program gave them.
        let value = unsafe { self.0.call_at(ptr::from_mut(host).cast(), func, args) };
        value.ok_or(Trap::here(TrapKind::Helper("the run was ended")))
    }

    fn grant(&mut self, _: Region) {
        // Verified code needs no checks.
    }

    fn tail_call(&mut self, _: u64) -> bool {
        false
    }
}

struct Helpers;

impl Env for Helpers {
    fn helper(&self, id: i32) -> Option<Target> {
        body(id as u32).map(|_| jit::helper::<Run>(id as u32, 4))
    }
}

/// bpf_loop(5, f, 10, 0); f(i, ctx): `inner`, then stops at the fourth.
fn program(inner: &str) -> (Vec<Insn>, [u32; 2]) {
    let main = "r1 = 5\n r2 = 0 ll\n r3 = 10\n r4 = 0\n call 181\n r6 = r0\n \
                r1 = 1000\n call 5\n r0 += r6\n exit";
    let mut insns = assemble(main).unwrap();
    let start = insns.len() as i32;
    insns[1] = Insn::new(0x18, 2, 4, 0, start - 2);
    let callback =
        format!("r6 = r1\n r1 += r2\n {inner}\n r0 = 0\n if r6 < 3 goto out\n r0 = 1\n out: exit");
    insns.extend(assemble(&callback).unwrap());
    (insns, [0, start as u32])
}

/// What a run gave and left.
type Ran<E> = (Result<u64, E>, Run);

fn both(inner: &str) -> (Ran<Trap>, Ran<Fault>) {
    let (insns, starts) = program(inner);
    let (mut one, mut other) = (Run::default(), Run::default());
    let code = interp::Program::new(&insns).unwrap();
    let interpreted = interp::run(&code, 0, &mut one, Limits::default());
    let input = Input { insns: &insns, starts: &starts };
    let program = Program::new(input, &Helpers, &Options::default()).unwrap();
    // SAFETY: the program touches registers only; its helpers are `Run`'s.
    let compiled = unsafe { program.run_with(0, &mut other, &mut RunContext::new()) };
    ((interpreted, one), (compiled, other))
}

#[test]
fn helpers_and_callbacks_do_the_same() {
    let ((interpreted, one), (compiled, other)) = both("call 5");
    assert_eq!((interpreted, compiled), (Ok(9), Ok(9)));
    assert_eq!(one.log, [10, 11, 12, 13, 1000]);
    assert_eq!(other.log, one.log);
}

#[test]
fn a_failing_helper_ends_both() {
    let ((interpreted, one), (compiled, other)) = both("call 99");
    assert_eq!(interpreted.unwrap_err().kind, TrapKind::Helper("it fails"));
    assert!(matches!(compiled, Err(Fault::Stopped { .. })));
    assert_eq!(other.trap.unwrap().kind, TrapKind::Helper("it fails"));
    assert_eq!((one.log.len(), other.log.len()), (0, 0));
}
