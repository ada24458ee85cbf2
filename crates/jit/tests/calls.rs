//! Helpers behind a Rust object, and lookups done in place.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use isa::{Insn, asm::assemble};
use jit::{ArrayMap, Back, Env, Fault, Input, Machine, Options, Program, RunContext, Target};

/// Counts what it is asked.
#[derive(Default)]
struct Counter {
    calls: Vec<(u32, [u64; 5])>,
    next: u64,
}

impl Machine for Counter {
    fn helper(&mut self, id: u32, args: [u64; 5], back: &mut Back<'_, Self>) -> Option<u64> {
        self.calls.push((id, args));
        match id {
            // Ends the run.
            9 => None,
            // Calls back, three times.
            181 => {
                let mut sum = 0;
                for i in 0..3 {
                    // SAFETY: the program passed a function.
                    sum += unsafe { back.call(self, args[1], [i, args[2], 0, 0, 0]) }?;
                }
                Some(sum)
            }
            _ => Some(args[0] + 1),
        }
    }

    fn kfunc(&mut self, id: u32, args: [u64; 5], _: &mut Back<'_, Self>) -> Option<u64> {
        Some(u64::from(id) * args[0])
    }

    fn tail_call(&mut self, _: u64, _: u64, _: u64) -> Option<u64> {
        (self.next != 0).then_some(self.next)
    }
}

struct Functions;

impl Env for Functions {
    fn helper(&self, id: i32) -> Option<Target> {
        Some(jit::helper::<Counter>(id as u32, if id == 181 { 4 } else { 5 }))
    }

    fn kfunc(&self, id: i32, _: i16) -> Option<Target> {
        Some(jit::kfunc::<Counter>(id as u32, 1))
    }
}

fn compile(insns: &[Insn], starts: &[u32]) -> Program {
    Program::new(Input { insns, starts }, &Functions, &Options::default()).unwrap()
}

fn run(program: &Program, counter: &mut Counter) -> Result<u64, Fault> {
    // SAFETY: programs of this file touch registers and their stack only.
    unsafe { program.run_with(0, counter, &mut RunContext::new()) }
}

#[test]
fn helpers_and_kernel_functions_are_told_apart() {
    let mut insns = assemble("r1 = 6\n r2 = 2\n r3 = 3\n r4 = 4\n r5 = 5\n call 77\n").unwrap();
    insns.extend([
        Insn::new(0xbf, 1, 0, 0, 0),
        Insn::new(0x85, 0, 2, 0, 6),
        Insn::new(0x95, 0, 0, 0, 0),
    ]);
    let mut counter = Counter::default();
    assert_eq!(run(&compile(&insns, &[0]), &mut counter), Ok(42));
    assert_eq!(counter.calls, [(77, [6, 2, 3, 4, 5])]);
}

#[test]
fn callbacks_call_helpers_too() {
    // bpf_loop(3, f, 100, 0); f(i, ctx) = helper 5(i) + ctx.
    let mut insns = assemble("r1 = 3\n r2 = 0 ll\n r3 = 100\n r4 = 0\n call 181\n exit").unwrap();
    let main = insns.len() as i32;
    insns[1] = Insn::new(0x18, 2, 4, 0, main - 2);
    insns.extend(assemble("r6 = r2\n call 5\n r0 += r6\n exit").unwrap());
    let mut counter = Counter::default();
    assert_eq!(run(&compile(&insns, &[0, main as u32]), &mut counter), Ok(101 + 102 + 103));
    assert_eq!(counter.calls.iter().map(|c| c.0).collect::<Vec<_>>(), [181, 5, 5, 5]);
}

#[test]
fn a_helper_ends_the_run() {
    let insns = assemble("r1 = 1\n call 9\n r1 = 2\n call 5\n exit").unwrap();
    let mut counter = Counter::default();
    let program = compile(&insns, &[0]);
    match run(&program, &mut counter) {
        Err(Fault::Stopped { ip }) => assert_eq!(program.slot_at(ip), Some(1)),
        other => panic!("{other:?}"),
    }
    assert_eq!(counter.calls.len(), 1);
}

#[test]
fn a_tail_called_program_takes_over() {
    let next = compile(&assemble("r0 = 7\n exit").unwrap(), &[0]);
    let insns = assemble("r2 = 0\n r3 = 0\n call 12\n r0 = 1\n exit").unwrap();
    let program = compile(&insns, &[0]);
    let mut counter = Counter::default();
    assert_eq!(run(&program, &mut counter), Ok(1));
    counter.next = next.address();
    assert_eq!(run(&program, &mut counter), Ok(7));
}

/// One array at address 0x1000.
struct Maps(ArrayMap);

impl Env for Maps {
    fn helper(&self, id: i32) -> Option<Target> {
        Some(jit::helper::<Counter>(id as u32, 2))
    }

    fn array(&self, map: u64) -> Option<ArrayMap> {
        (map == 0x1000).then_some(self.0)
    }
}

#[test]
fn array_elements_are_found_in_place() {
    let memory: Vec<u64> = (0..240).collect();
    let text = "*(u32 *)(r10 - 4) = r1\n r1 = 0x1000 ll\n r2 = r10\n r2 += -4\n call 1\n \
                if r0 == 0 goto out\n r0 = *(u64 *)(r0 + 0)\n r0 += 1\n out: exit";
    let insns = assemble(text).unwrap();
    for (stride, cpu_stride) in [(8, 0), (16, 0), (24, 0), (16, 8), (24, 8)] {
        let values = memory.as_ptr() as u64;
        let array = ArrayMap { values, stride, len: 7, cpu_stride };
        let input = Input { insns: &insns, starts: &[0] };
        let program = Program::new(input, &Maps(array), &Options::default()).unwrap();
        for (key, cpu) in [(0, 0), (3, 1), (6, 1), (7, 0), (u64::from(u32::MAX), 0), (1 << 32, 1)] {
            let mut context = RunContext::new();
            context.cpu = cpu;
            let mut counter = Counter::default();
            // SAFETY: elements lie in `memory`.
            let got = unsafe { program.run_with(key, &mut counter, &mut context) };
            let index = key as u32;
            let at = u64::from(index) * u64::from(stride) + u64::from(cpu * cpu_stride);
            let want = if index < 7 { at / 8 + 1 } else { 0 };
            assert_eq!(got, Ok(want), "{array:?} key {key:#x} cpu {cpu}");
            assert!(counter.calls.is_empty(), "nothing is called");
        }
    }
}
