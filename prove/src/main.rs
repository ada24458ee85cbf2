//! Proofs that the verifier's number domain is sound: for every number in the operands, the true
//! result is in what the domain computes; a jump decided one way never goes the other; what a
//! branch learns keeps every number that takes it.
//!
//! `prove IR [CLAIM] [--quick] [--limit SECONDS] [--jobs N]` reads the LLVM IR that `subject`
//! compiles to (the domain's own source files), runs it on terms, and asks z3 for a
//! counter-example to each claim. Mistakes made on purpose must be found. Usually started by
//! `cargo xtask prove`.

mod claims;
mod contract;
mod exec;
mod intrinsic;
mod ir;
mod memory;
mod product;
mod proof;
mod run;
mod smt;
mod solve;
mod views;

use std::process::ExitCode;

use run::Limits;

const USAGE: &str = "prove IR [CLAIM] [--quick] [--limit SECONDS] [--jobs N]";

struct Options {
    ir: String,
    only: Option<String>,
    quick: bool,
    limits: Limits,
}

fn options() -> Option<Options> {
    let (mut words, mut quick) = (Vec::new(), false);
    let jobs = std::thread::available_parallelism().map_or(1, |n| n.get());
    let mut limits = Limits { seconds: 60, jobs };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--quick" => quick = true,
            "--limit" => limits.seconds = args.next()?.parse().ok().filter(|n| *n > 0)?,
            "--jobs" => limits.jobs = args.next()?.parse().ok().filter(|n| *n > 0)?,
            other if other.starts_with("--") => return None,
            _ => words.push(arg),
        }
    }
    let mut words = words.into_iter();
    let (ir, only) = (words.next()?, words.next());
    words.next().is_none().then_some(Options { ir, only, quick, limits })
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let text = match std::fs::read_to_string(&options.ir) {
        Ok(text) => text,
        Err(e) => {
            eprintln!("prove: {}: {e}", options.ir);
            return ExitCode::from(2);
        }
    };
    let module = ir::parse(&text);
    let mut claims = claims::all();
    claims.retain(|claim| options.only.as_ref().is_none_or(|only| claim.name.contains(only)));
    claims.retain(|claim| !options.quick || claim.quick);
    let totals = run::run(&module, &claims, &options.limits);
    println!(
        "{} claims settled, {} refuted, {} unknown",
        totals.proven, totals.refuted, totals.unknown
    );
    if totals.refuted == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
