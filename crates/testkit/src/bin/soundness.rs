//! `cargo xtask soundness [--source generated|mutated|wild|wild-mutated|recorded] [--programs N] [--seed S]
//! [--json] [--minimize] [--show SEED] [--runs N]`: random programs into ring3 and into the running
//! kernel. With `--runs` no kernel is asked: accepted programs run in the interpreter, so many runs
//! in all, and every register is compared with the verifier's states. `--show` prints one with both verdicts and the first line where the logs part;
//! `--minimize` cuts one program of each cause down to what is needed.

use std::collections::BTreeMap;
use std::process::ExitCode;

use runtime::Runtime;
use syscall::Linux;
use testkit::soundness::{
    Contained, Judged, Kernel, Report, Results, Source, Subject, check_runs, compare, judge,
    minimize, subject_of,
};
use testkit::verdicts::Corpus;

struct Args {
    source: String,
    programs: u64,
    seed: u64,
    json: bool,
    minimize: bool,
    show: Option<u64>,
    runs: Option<u64>,
}

fn parse() -> Result<Args, String> {
    let mut args = Args {
        source: "generated".into(),
        programs: 20_000,
        seed: 1,
        json: false,
        minimize: false,
        show: None,
        runs: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} takes a value"));
        let number =
            |text: String| text.parse::<u64>().map_err(|_| format!("{word}: {text} is no number"));
        match word.as_str() {
            "--source" => args.source = value()?,
            "--programs" => args.programs = number(value()?)?,
            "--seed" => args.seed = number(value()?)?,
            "--show" => args.show = Some(number(value()?)?),
            "--runs" => args.runs = Some(number(value()?)?),
            "--json" => args.json = true,
            "--minimize" => args.minimize = true,
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
    if let Some(runs) = args.runs {
        return contained(&args, runs);
    }
    let linux = match Linux::probe() {
        Ok(linux) => linux,
        Err(errno) => {
            println!("skipped: no bpf(2) here ({errno})");
            return Ok(true);
        }
    };
    let source = source(&args.source, &mut Kernel::new(&linux))?;
    if let Some(seed) = args.show {
        return show(&source, seed, &linux);
    }
    if let Some(count) = source.len() {
        eprintln!("{count} programs to start from");
    }
    eprintln!("seeds {} to {}", args.seed, args.seed + args.programs.saturating_sub(1));
    let runtime = Runtime::default();
    let results = Results::new(&runtime, &linux).map_err(|e| format!("cannot make maps: {e}"))?;
    let report = compare(&source, &linux, Some(&results), args.seed, args.programs, |done| {
        if done.is_multiple_of(20_000) {
            eprintln!("{done} programs");
        }
    })
    .map_err(|errno| format!("cannot make the maps: {errno}"))?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report).map_err(|e| e.to_string())?);
    } else {
        print!("{}", report.text());
    }
    if args.minimize {
        print_smallest(&source, &report, &mut Kernel::new(&linux));
    }
    Ok(report.is_sound())
}

/// Inputs for each accepted program.
const INPUTS: u64 = 16;

/// Checked runs of generated and mutated programs in turn, until there were so many.
fn contained(args: &Args, runs: u64) -> Result<bool, String> {
    let sources = match args.source.as_str() {
        "generated" => vec![Source::generated(false), Source::generated(true)],
        "mutated" => vec![Source::generated(true)],
        "wild" => vec![Source::wild(false), Source::wild(true)],
        other => return Err(format!("no checked runs of {other} programs")),
    };
    let mut found = Contained::default();
    let mut seed = args.seed;
    eprintln!("seeds from {seed}");
    while found.runs < runs && found.failures.len() < 20 {
        for source in &sources {
            if let Some(subject) = subject_of(source, seed) {
                check_runs(&subject, seed, INPUTS, &mut found);
            }
        }
        seed += 1;
    }
    println!(
        "{} programs, {} accepted ({} not run), {} runs, {} instructions compared, seeds to {}",
        found.programs,
        found.accepted,
        found.not_run,
        found.runs,
        found.instructions,
        seed - 1
    );
    found.failures.iter().for_each(|(seed, why)| println!("seed {seed}: {why}"));
    Ok(found.failures.is_empty())
}

fn source(name: &str, kernel: &mut Kernel<'_>) -> Result<Source, String> {
    match name {
        "generated" => Ok(Source::generated(false)),
        "mutated" => Ok(Source::generated(true)),
        "wild" => Ok(Source::wild(false)),
        "wild-mutated" => Ok(Source::wild(true)),
        "recorded" => {
            let dir = testkit::shared("verdicts").ok_or("no recorded verdicts here")?;
            let corpus = Corpus::open(&dir).map_err(|e| e.to_string())?;
            Ok(Source::recorded(&corpus, kernel))
        }
        _ => Err(format!("no source {name}")),
    }
}

/// One program of each cause, as small as it gets.
fn print_smallest(source: &Source, report: &Report, kernel: &mut Kernel<'_>) {
    let mut rows = |rows: &BTreeMap<String, Vec<u64>>, wanted: Judged| {
        for (cause, seeds) in rows {
            let Some(subject) = seeds.first().and_then(|seed| subject_of(source, *seed)) else {
                continue;
            };
            println!("\n{wanted:?}, seed {}: {cause}", seeds[0]);
            let small = minimize(&subject, wanted, kernel);
            print_program(&small);
            print_verdicts(&small, kernel);
        }
    };
    rows(&report.false_accepts, Judged::FalseAccept);
    rows(&report.false_rejects, Judged::FalseReject);
}

fn print_program(subject: &Subject) {
    let insns = &subject.program.insns;
    let mut pc = 0;
    println!("# {:?}", subject.program.prog_type);
    while pc < insns.len() {
        println!("{pc}: {}", isa::disasm::kernel(insns, pc, &isa::disasm::Pseudo));
        pc += if insns[pc].is_ld_imm64() { 2 } else { 1 };
    }
}

fn print_verdicts(subject: &Subject, kernel: &mut Kernel<'_>) {
    let (ours, our_log) = subject.judge(2);
    let (theirs, their_log) = kernel.judge(subject, 2);
    println!("ring3: {:?} {}", ours.errno.map(|e| e.to_string()), ours.message);
    println!("Linux: {:?} {}", theirs.errno.map(|e| e.to_string()), theirs.message);
    let mut last = String::new();
    let mut theirs = their_log.lines().filter(|l| !is_statistic(l));
    for mine in our_log.lines().filter(|l| !is_statistic(l)) {
        let other = theirs.next().unwrap_or("(end)");
        if mine.trim_end() != other.trim_end() && !(mine.contains("0x") && other.contains("0xffff"))
        {
            println!("logs part after {last}\n  ring3: {mine}\n  Linux: {other}");
            return;
        }
        last = mine.to_owned();
    }
    if let Some(more) = theirs.next() {
        println!("logs part after {last}\n  ring3: (end)\n  Linux: {more}");
    }
}

fn is_statistic(line: &str) -> bool {
    ["processed ", "verification time ", "stack depth ", "mark_precise"]
        .iter()
        .any(|s| line.starts_with(s))
}

fn show(source: &Source, seed: u64, linux: &Linux) -> Result<bool, String> {
    let mut kernel = Kernel::new(linux);
    let subject = subject_of(source, seed).ok_or("no such program")?;
    print_program(&subject);
    let (judged, _, _) = judge(&subject, &mut kernel);
    println!("{judged:?}");
    print_verdicts(&subject, &mut kernel);
    let runtime = Runtime::default();
    if matches!(source, Source::Generated(_))
        && let Ok(results) = Results::new(&runtime, linux)
    {
        println!("{}", results.show(seed));
    }
    Ok(matches!(judged, Judged::BothAccept | Judged::BothReject))
}
