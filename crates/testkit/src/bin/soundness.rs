//! `cargo xtask soundness [--programs N] [--seed S] [--json] [--dump SEED]`: random programs into
//! ring3 and into the running kernel.

use std::process::ExitCode;

use runtime::Runtime;
use syscall::Linux;
use testkit::generate::{MapFds, Shape, program};
use testkit::soundness::{Report, compare};

struct Args {
    programs: u64,
    seed: u64,
    json: bool,
    dump: Option<u64>,
}

fn parse() -> Result<Args, String> {
    let mut args = Args { programs: 20_000, seed: 1, json: false, dump: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || {
            let text = words.next().ok_or(format!("{word} takes a number"))?;
            text.parse::<u64>().map_err(|_| format!("{word}: {text} is no number"))
        };
        match word.as_str() {
            "--programs" => args.programs = number()?,
            "--seed" => args.seed = number()?,
            "--dump" => args.dump = Some(number()?),
            "--json" => args.json = true,
            _ => return Err(format!("unknown argument {word}")),
        }
    }
    Ok(args)
}

fn main() -> ExitCode {
    match parse().and_then(run) {
        Ok(sound) if sound => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("soundness: {message}");
            ExitCode::from(2)
        }
    }
}

fn run(args: Args) -> Result<bool, String> {
    if let Some(seed) = args.dump {
        return Ok(dump(seed));
    }
    let linux = match Linux::probe() {
        Ok(linux) => linux,
        Err(errno) => {
            println!("skipped: no bpf(2) here ({errno})");
            return Ok(true);
        }
    };
    eprintln!("seeds {} to {}", args.seed, args.seed + args.programs.saturating_sub(1));
    let runtime = Runtime::default();
    let report = compare(&runtime, &linux, args.seed, args.programs, |done| {
        if done.is_multiple_of(20_000) {
            eprintln!("{done} programs");
        }
    })
    .map_err(|errno| format!("cannot make the maps: {errno}"))?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report).map_err(|e| e.to_string())?);
    } else {
        print(&report);
    }
    Ok(report.is_sound())
}

fn print(r: &Report) {
    println!(
        "{} programs: both accept {}, both reject {}",
        r.programs, r.both_accept, r.both_reject
    );
    println!("false accepts {}: {:?}", r.false_accepts.len(), head(&r.false_accepts));
    println!(
        "results of {} runs, different {}: {:?}",
        r.runs,
        r.other_result.len(),
        head(&r.other_result)
    );
    let list = |title: &str, rows: &std::collections::BTreeMap<String, Vec<u64>>| {
        println!("{title} {}", rows.values().map(Vec::len).sum::<usize>());
        rows.iter()
            .for_each(|(why, seeds)| println!("{:>8}  {why}  {:?}", seeds.len(), head(seeds)));
    };
    list("false rejects", &r.false_rejects);
    list("other messages (of those asked)", &r.other_message);
}

fn head(seeds: &[u64]) -> &[u64] {
    &seeds[..seeds.len().min(5)]
}

/// The program of a seed as text that assembles again.
fn dump(seed: u64) -> bool {
    let shape = Shape { repeatable: !seed.is_multiple_of(4), ..Shape::default() };
    let insns = program(seed, MapFds { array: 1, hash: 2 }, shape);
    let mut pc = 0;
    while pc < insns.len() {
        println!("{pc}: {}", isa::disasm::kernel(&insns, pc, &isa::disasm::Pseudo));
        pc += if insns[pc].is_ld_imm64() { 2 } else { 1 };
    }
    true
}
