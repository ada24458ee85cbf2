//! Control flow, calls out and back in, faults, and what the code's pages allow.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::fs;

use isa::{Insn, asm::assemble};
use jit::{Env, Fault, Input, JitError, Options, Program, RunContext, Target};
use support::Helpers;

const EXIT: Insn = Insn::new(0x95, 0, 0, 0, 0);
const PROBE_DW: u8 = 0x39;

fn compile(insns: &[Insn], starts: &[u32]) -> Program {
    Program::new(Input { insns, starts }, &Helpers, &Options::default()).unwrap()
}

fn run(insns: &[Insn], ctx: u64) -> Result<u64, Fault> {
    let program = compile(insns, &[0]);
    // SAFETY: programs of this file touch what `ctx` points at, their stack, or fault on purpose.
    unsafe { program.run(ctx, &mut RunContext::new()) }
}

#[test]
fn a_guarded_load_of_nothing_is_zero() {
    for bad in [8, 0xdead_0000_0000, 0xdead_beef_dead_beef] {
        let insns = [
            Insn::new(0xb7, 0, 0, 0, 5),
            Insn::new(PROBE_DW, 0, 1, 0, 0),
            Insn::new(0x07, 0, 0, 0, 7),
            EXIT,
        ];
        assert_eq!(run(&insns, bad), Ok(7), "{bad:#x}");
    }
    let value = 35u64;
    let insns = [Insn::new(PROBE_DW, 0, 1, 0, 0), Insn::new(0x07, 0, 0, 0, 7), EXIT];
    assert_eq!(run(&insns, &raw const value as u64), Ok(42));
}

#[test]
fn any_other_fault_ends_the_run_with_its_instruction() {
    let insns = assemble("r6 = r1\n r0 = 1\n r0 = *(u64 *)(r6 + 16)\n r0 += 1\n exit").unwrap();
    assert_eq!(run(&insns, 0x1000), Err(Fault::Memory { pc: 2, address: 0x1010 }));
    let insns = assemble("r0 = 0\n *(u8 *)(r1 + 0) = r0\n exit").unwrap();
    assert_eq!(run(&insns, 0x2000), Err(Fault::Memory { pc: 1, address: 0x2000 }));
}

#[test]
fn a_fault_in_a_callback_ends_the_whole_run() {
    // main: repeat(f, ctx, 0); f: load from its second argument.
    let mut insns = vec![
        Insn::new(0xbf, 2, 1, 0, 0),
        Insn::new(0x18, 1, 4, 0, 4),
        Insn::default(),
        Insn::new(0xb7, 3, 0, 0, 0),
        Insn::new(0x85, 0, 0, 0, 202),
        EXIT,
    ];
    insns[1].imm = 4;
    insns.extend([Insn::new(0x79, 0, 2, 0, 0), Insn::new(0x07, 0, 0, 0, 1), EXIT]);
    let program = compile(&insns, &[0, 6]);
    let mut context = RunContext::new();
    // SAFETY: as above.
    let result = unsafe { program.run(0x3000, &mut context) };
    assert_eq!(result, Err(Fault::Memory { pc: 6, address: 0x3000 }));
    let value = 0u64;
    // SAFETY: as above.
    let result = unsafe { program.run(&raw const value as u64, &mut context) };
    assert_eq!(result, Ok(1), "the callback says 1 at once");
}

#[test]
fn may_goto_goes_on_for_a_while() {
    let insns = [
        Insn::new(0xb7, 0, 0, 0, 0),
        Insn::new(0xe5, 0, 0, 2, 0),
        Insn::new(0x07, 0, 0, 0, 1),
        Insn::new(0x05, 0, 0, -3, 0),
        EXIT,
    ];
    assert_eq!(run(&insns, 0), Ok(8 << 20));
}

extern "C" fn again(_: u64, map: u64, _: u64, _: u64, _: u64, _: *mut RunContext) -> u64 {
    map
}

#[test]
fn tail_calls_end_after_33() {
    // *ctx += 1; tail_call(ctx, *(ctx + 8), 0); r0 is -ENOENT where it fails; r0 += *ctx.
    let text = "r6 = r1\n r2 = *(u64 *)(r1 + 0)\n r2 += 1\n *(u64 *)(r1 + 0) = r2\n \
                r2 = *(u64 *)(r1 + 8)\n r3 = 0\n call 12\n r1 = *(u64 *)(r6 + 0)\n r0 += r1\n exit";
    let insns = assemble(text).unwrap();
    let program = compile(&insns, &[0]);
    let mut ctx = [0, program.address()];
    let mut context = RunContext::new();
    context.resolve_tail = Some(again);
    // SAFETY: the program reads and writes `ctx` only.
    let value = unsafe { program.run(ctx.as_mut_ptr() as u64, &mut context) };
    assert_eq!(value, Ok(34 - 2));
    ctx = [0, 0];
    // SAFETY: as above.
    let value = unsafe { program.run(ctx.as_mut_ptr() as u64, &mut context) };
    assert_eq!(value, Ok((1u64).wrapping_sub(2)), "no program there");
}

#[test]
fn a_stopped_loop_ends() {
    let insns = [Insn::new(0xb7, 0, 0, 0, 0), Insn::new(0x05, 0, 0, -1, 0)];
    let options = Options { interruptible: true, ..Options::default() };
    let program = Program::new(Input { insns: &insns, starts: &[0] }, &(), &options).unwrap();
    let mut context = RunContext::new();
    let stop = (&raw mut context.stop) as usize;
    let result = std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            // SAFETY: the context lives until the scope ends; the run reads this word only.
            unsafe { (stop as *mut u32).write_volatile(1) };
        });
        // SAFETY: the program touches no memory.
        unsafe { program.run(0, &mut context) }
    });
    assert_eq!(result, Err(Fault::Stopped { ip: 0 }));
}

#[test]
fn programs_are_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    let program = compile(&assemble("r0 = 1\n exit").unwrap(), &[0]);
    shared(&program);
    let run = || {
        // SAFETY: the program touches no memory.
        (0..1000).all(|_| unsafe { program.run(0, &mut RunContext::new()) } == Ok(1))
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        assert!(threads.into_iter().all(|t| t.join().unwrap()));
    });
}

#[test]
fn faults_on_many_threads_stay_apart() {
    let insns = assemble("r0 = *(u64 *)(r1 + 0)\n r0 += 1\n exit").unwrap();
    let program = compile(&insns, &[0]);
    let run = |thread: u64| {
        let good = thread;
        (0..2000u64).all(|i| {
            let bad = 0x1000 + 8 * (thread * 10_000 + i) % 0x8000;
            let mut context = RunContext::new();
            // SAFETY: reads `good`, or faults on purpose.
            let (a, b) = unsafe {
                (program.run(bad, &mut context), program.run(&raw const good as u64, &mut context))
            };
            a == Err(Fault::Memory { pc: 0, address: bad }) && b == Ok(thread + 1)
        })
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|t| scope.spawn(move || run(t))).collect();
        assert!(threads.into_iter().all(|t| t.join().unwrap()));
    });
}

#[test]
fn code_is_never_writable() {
    let program = compile(&assemble("r0 = 1\n exit").unwrap(), &[0]);
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    // Neighbours with the same rights are shown as one mapping.
    let base = program.base();
    let holds = |line: &&str| {
        let range = line.split(' ').next().and_then(|r| r.split_once('-'));
        let number = |text| u64::from_str_radix(text, 16).ok();
        range.and_then(|(a, b)| Some(number(a)?..number(b)?)).is_some_and(|r| r.contains(&base))
    };
    let line = maps.lines().find(holds).unwrap();
    assert!(line.contains(" r-xp "), "{line}");
}

#[test]
fn blinded_code_shows_no_constant() {
    let text = "r0 = *(u64 *)(r1 + 0)\n r0 += 0x11223344\n r1 = 0x1122334455667788 ll\n r0 += r1\n r0 ^= 0x55667788\n \
                *(u32 *)(r10 - 8) = 0x12345678\n r2 = *(u32 *)(r10 - 8)\n r0 += r2\n \
                r0 &= 0x7badcafe\n if r0 == 0x7eadbeef goto +1\n r0 *= 0x13579bdf\n exit";
    let insns = assemble(text).unwrap();
    let blind = Options { blind: Some(42), ..Options::default() };
    let compile = |options: &Options| {
        Program::new(Input { insns: &insns, starts: &[0] }, &(), options).unwrap()
    };
    let (open, hidden) = (compile(&Options::default()), compile(&blind));
    let shows =
        |program: &Program, value: u32| program.code().windows(4).any(|w| w == value.to_le_bytes());
    for value in [0x1122_3344, 0x5566_7788, 0x1234_5678, 0x7bad_cafe, 0x7ead_beef, 0x1357_9bdf] {
        assert!(!shows(&hidden, value), "{value:#x}");
    }
    assert!(shows(&open, 0x7bad_cafe), "the search finds what is there");
    let mut context = RunContext::new();
    let value = 0x1234_5678_9abc_def0_u64;
    let ctx = &raw const value as u64;
    // SAFETY: the programs read the context and touch their stack.
    let (a, b) = unsafe { (open.run(ctx, &mut context), hidden.run(ctx, &mut context)) };
    assert_eq!(a, b);
}

#[test]
fn bad_programs_are_refused() {
    let compile = |insns: &[Insn], starts: &[u32]| {
        Program::new(Input { insns, starts }, &(), &Options::default()).map(|_| ()).unwrap_err()
    };
    let mov = Insn::new(0xb7, 0, 0, 0, 0);
    assert_eq!(compile(&[], &[0]), JitError::Length(0));
    assert_eq!(compile(&[mov], &[0]), JitError::FallsThrough(1));
    assert_eq!(compile(&[mov, EXIT], &[]), JitError::Starts);
    assert_eq!(compile(&[mov, EXIT], &[0, 2]), JitError::Starts);
    let far = [mov, Insn::new(0x05, 0, 0, 7, 0), EXIT];
    assert_eq!(compile(&far, &[0]), JitError::Jump { pc: 1, target: 9 });
    let into = [Insn::new(0x05, 0, 0, 1, 0), Insn::new(0x18, 0, 0, 0, 0), Insn::default(), EXIT];
    assert_eq!(compile(&into, &[0]), JitError::Jump { pc: 0, target: 2 });
    let helper = [Insn::new(0x85, 0, 0, 0, 5), EXIT];
    assert_eq!(compile(&helper, &[0]), JitError::Helper { pc: 0, id: 5 });
    let call = [Insn::new(0x85, 0, 1, 0, 0), EXIT];
    assert_eq!(compile(&call, &[0]), JitError::Call { pc: 0, target: 1 });
    let fp = [Insn::new(0xb7, 10, 0, 0, 0), EXIT];
    assert!(matches!(compile(&fp, &[0]), JitError::Untranslated { pc: 0, .. }));
}

#[test]
fn any_bytes_compile_or_fail() {
    let mut rng = support::generator::Rng(99);
    for _ in 0..20_000 {
        let count = 1 + rng.below(12) as usize;
        let insns: Vec<Insn> = (0..count)
            .map(|_| {
                let code =
                    rng.pick(&[0x07, 0x0f, 0xb7, 0xbf, 0x18, 0x05, 0x55, 0x61, 0x7b, 0x85, 0xdb]);
                let code = if rng.chance(20) { rng.next() as u8 } else { code };
                let off = rng.below(9) as i16 - 4;
                Insn::new(code, rng.below(11) as u8, rng.below(11) as u8, off, rng.below(5) as i32)
            })
            .chain([EXIT])
            .collect();
        let _ =
            jit::machine_code(Input { insns: &insns, starts: &[0] }, &Helpers, &Options::default());
    }
}

struct OneHelper(usize);

impl Env for OneHelper {
    fn helper(&self, _: i32) -> Option<Target> {
        Some(Target { addr: self.0, args: 1, may_stop: false, tag: None })
    }
}

extern "C" fn user(a: u64, _: u64, _: u64, _: u64, _: u64, context: *mut RunContext) -> u64 {
    // SAFETY: the run's context, whose owner put a number there.
    a + unsafe { *(*context).user.cast::<u64>() }
}

#[test]
fn helpers_find_their_owner_in_the_context() {
    let insns = assemble("r1 = 40\n call 7\n exit").unwrap();
    let env = OneHelper(user as *const () as usize);
    let input = Input { insns: &insns, starts: &[0] };
    let program = Program::new(input, &env, &Options::default()).unwrap();
    let mut number = 2u64;
    let mut context = RunContext::new();
    context.user = (&raw mut number).cast();
    // SAFETY: the helper reads the number.
    assert_eq!(unsafe { program.run(0, &mut context) }, Ok(42));
}

/// The end of a loop that a jump back takes along is also where two constants meet: what is
/// computed with them there may not go to where they are loaded, for the third way in has neither.
#[test]
fn constants_that_meet_in_a_copied_block_stay_what_they_are() {
    let text = "
        r0 = 0
        r3 = 10
        r4 = *(u64 *)(r1 + 0)
        r1 = 1
        if r4 != 0 goto join
        r1 = 0
    join:
        r1 <<= 4
        r0 += r1
        r3 += -1
        if r3 == 0 goto out
        r1 = r0
        r1 &= 3
        r1 += r3
        goto join
    out:
        exit";
    let insns = assemble(text).unwrap();
    for first in [0, 1_u64] {
        let (mut sum, mut part) = (0_u64, first);
        for left in (0..10).rev() {
            part <<= 4;
            sum += part;
            part = (sum & 3) + left;
        }
        for (plain, scarce) in [(false, false), (true, false), (false, true)] {
            let options = Options { plain, scarce, ..Options::default() };
            let input = Input { insns: &insns, starts: &[0] };
            let program = Program::new(input, &Helpers, &options).unwrap();
            // SAFETY: the program reads the eight bytes at its context.
            let got = unsafe { program.run(&raw const first as u64, &mut RunContext::new()) };
            assert_eq!(got, Ok(sum), "{first} {options:?}");
        }
    }
}
