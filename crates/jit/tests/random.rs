//! Interpreter and machine code agree on random programs.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};

use jit::Options;
use support::{
    BUFFER, Bench, disassemble,
    generator::{Generated, Rng, Shape, program},
    setting,
};

fn shape(rng: &mut Rng) -> Shape {
    Shape {
        calls: rng.chance(40),
        helpers: rng.chance(40),
        escape: rng.chance(40),
        linux: false,
        size: match setting("RING3_SIZE", 0) {
            0 => [12, 40, 120][rng.below(3) as usize],
            size => size,
        },
    }
}

fn options(rng: &mut Rng) -> Options {
    Options {
        arena: None,
        blind: rng.chance(15).then(|| rng.next()),
        bmi: Options::default().bmi && !rng.chance(20),
        interruptible: rng.chance(15),
        plain: rng.chance(10),
        scarce: rng.chance(20),
    }
}

fn explain(seed: u64, generated: &Generated, options: &Options, what: &str) -> String {
    let mut text = String::new();
    for (pc, insn) in generated.insns.iter().enumerate() {
        if insn.code != 0 {
            let line = isa::disasm::kernel(&generated.insns, pc, &isa::disasm::Plain);
            text += &format!("{pc:4}: {line}\n");
        }
    }
    let input = jit::Input { insns: &generated.insns, starts: &generated.starts };
    let code = jit::Program::new(input, &support::Helpers, options)
        .map(|p| disassemble(p.code(), p.base()))
        .unwrap_or_default();
    format!("seed {seed:#x}: {what}\n{options:?}\n{text}\n{code}")
}

/// What differs for this seed.
fn check(bench: &mut Bench, seed: u64) -> Result<(), String> {
    let mut rng = Rng(seed);
    let shape = shape(&mut rng);
    let generated = program(&mut rng, shape);
    let options = options(&mut rng);
    let memory: Vec<u8> = (0..BUFFER).map(|_| rng.next() as u8).collect();
    let expected = match bench.interpret(&generated.insns, &memory) {
        Ok(outcome) => outcome,
        // Calls in loops in calls: too long to be of use.
        Err(trap) if trap.kind == interp::TrapKind::Fuel => return Ok(()),
        Err(trap) => return Err(explain(seed, &generated, &options, &trap.to_string())),
    };
    let run = || bench.run(&generated.insns, &generated.starts, &memory, &options);
    let got = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err("panic".into()));
    match got {
        Ok(got) if got == expected => Ok(()),
        Ok(got) => {
            let what = format!("{:#x}, expected {:#x}", got.value, expected.value);
            Err(explain(seed, &generated, &options, &what))
        }
        Err(error) => Err(explain(seed, &generated, &options, &error)),
    }
}

#[test]
fn interpreter_and_machine_code_agree() {
    let seed = setting("RING3_SEED", 1);
    let count = setting("RING3_PROGRAMS", 20_000);
    eprintln!("{count} programs from seed {seed:#x}");
    let mut bench = Bench::default();
    for i in 0..count {
        if let Err(report) = check(&mut bench, seed.wrapping_add(i)) {
            panic!("{report}");
        }
    }
}
