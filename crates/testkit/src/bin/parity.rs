//! `cargo xtask parity [NAME] [--json] [--check] [--kernel]`: rows of `facts/` that ring3 answers
//! as Linux did; writes docs/parity/NAME.md, or with `--check` compares it. With `--kernel` the
//! running Linux is asked instead, and nothing is written.

use std::process::ExitCode;

use testkit::parity::{self, Asked, Case, TABLES, Table};

#[derive(Default)]
struct Args {
    name: Option<String>,
    json: bool,
    check: bool,
    kernel: bool,
}

fn parse() -> Result<Args, String> {
    let mut args = Args::default();
    for word in std::env::args().skip(1) {
        match word.as_str() {
            "--json" => args.json = true,
            "--check" => args.check = true,
            "--kernel" => args.kernel = true,
            name if TABLES.iter().any(|t| t.name == name) => args.name = Some(word),
            _ => {
                let known: Vec<&str> = TABLES.iter().map(|t| t.name).collect();
                return Err(format!("no table {word}; there are {}", known.join(", ")));
            }
        }
    }
    Ok(args)
}

fn main() -> ExitCode {
    match parse().and_then(|args| run(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("parity: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let mut all = Vec::new();
    for table in TABLES.iter().filter(|t| args.name.as_deref().is_none_or(|name| name == t.name)) {
        let cases = ask(table, args)?;
        if args.json {
            all.push(parity::json(table, &cases));
        } else {
            tell(table, &cases, args)?;
        }
    }
    if args.json {
        let text = serde_json::to_string_pretty(&all).map_err(|e| e.to_string())?;
        println!("{text}");
    }
    Ok(())
}

fn ask(table: &Table, args: &Args) -> Result<Vec<Case>, String> {
    if !args.kernel {
        return (table.replay)(&Asked::ring3(&parity::ours())?);
    }
    let linux = syscall::Linux::probe().map_err(|errno| format!("no bpf(2) here ({errno})"))?;
    (table.replay)(&Asked::linux(&linux)?)
}

fn tell(table: &Table, cases: &[Case], args: &Args) -> Result<(), String> {
    let passing = cases.iter().filter(|case| case.passes()).count();
    println!("{}: {passing} / {}", table.name, cases.len());
    for case in cases.iter().filter(|case| !case.passes()) {
        println!("  {}: {}: {} for {}", case.subject, case.what, case.got, case.want);
    }
    if args.kernel {
        return Ok(());
    }
    let (path, text) = (parity::document(&parity::root(), table), parity::markdown(table, cases));
    if args.check {
        let known = std::fs::read_to_string(&path).unwrap_or_default();
        let stale = format!("{} is out of date: cargo xtask parity", path.display());
        return if known == text { Ok(()) } else { Err(stale) };
    }
    std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))
}
