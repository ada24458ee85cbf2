//! `cargo xtask verdicts [--dir DIR] [--json] [--bless] [--rows FILE] [--only FILE]
//! [--log PROGRAM]`:
//! recorded verdicts of Linux, replayed. `--bless` holds the level reached, `--rows` writes each
//! comparison as a line of JSON, `--only` takes one source file, `--log` prints both logs of one program.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use testkit::verdicts::{Case, Corpus, Row, Totals, judge};
use verifier::LogOptions;

#[derive(Default)]
struct Args {
    dir: Option<PathBuf>,
    json: bool,
    bless: bool,
    rows: Option<PathBuf>,
    only: Option<String>,
    log: Option<String>,
}

fn parse() -> Result<Args, String> {
    let mut args = Args::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} takes a value"));
        match word.as_str() {
            "--dir" => args.dir = Some(value()?.into()),
            "--rows" => args.rows = Some(value()?.into()),
            "--only" => args.only = Some(value()?),
            "--log" => args.log = Some(value()?),
            "--json" => args.json = true,
            "--bless" => args.bless = true,
            _ => return Err(format!("unknown argument {word}")),
        }
    }
    Ok(args)
}

fn main() -> ExitCode {
    match parse().and_then(run) {
        Ok(code) => code,
        Err(message) => {
            eprintln!("verdicts: {message}");
            ExitCode::from(2)
        }
    }
}

fn run(args: Args) -> Result<ExitCode, String> {
    let dir = args
        .dir
        .or_else(|| testkit::shared("verdicts"))
        .ok_or("no recorded verdicts here; name a folder with --dir")?;
    let corpus = Corpus::open(&dir).map_err(|e| e.to_string())?;
    for label in corpus.belied_labels() {
        eprintln!(
            "caps {label}: its records show kernel addresses, so they were loaded with CAP_PERFMON"
        );
    }
    let wanted = |file: &str| args.only.as_deref().is_none_or(|only| only == file);
    if let Some(name) = &args.log {
        let mut cases = corpus.cases.iter().filter(|c| wanted(&c.file) && c.program == *name);
        let case = cases.next().ok_or("there is no such program")?;
        return print_logs(&corpus, case);
    }
    let rows: Vec<Row> = corpus
        .cases
        .iter()
        .filter(|case| wanted(&case.file))
        .filter_map(|case| judge(&corpus, case))
        .collect();
    let mut totals = Totals::default();
    let mut files: BTreeMap<&str, Totals> = BTreeMap::new();
    for row in &rows {
        totals.add(row);
        files.entry(&row.file).or_default().add(row);
    }
    if let Some(path) = args.rows {
        let lines: Vec<String> =
            rows.iter().filter_map(|r| serde_json::to_string(r).ok()).collect();
        std::fs::write(&path, lines.join("\n")).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    if args.bless {
        let path =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/parity/verdicts.json");
        let text = serde_json::to_string_pretty(&totals).map_err(|e| e.to_string())?;
        std::fs::write(&path, text + "\n").map_err(|e| format!("{}: {e}", path.display()))?;
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&totals).map_err(|e| e.to_string())?);
    } else {
        print_table(&files, &totals);
    }
    Ok(if totals.false_accept == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_logs(corpus: &Corpus, case: &Case) -> Result<ExitCode, String> {
    let (program, world) =
        corpus.program(case).zip(corpus.world(case)).ok_or("unknown map type")?;
    let log = LogOptions { level: 2, ..LogOptions::default() };
    let outcome = verifier::verify(&program, &world, &corpus.policy(case), &log);
    println!("{}", case.log_level2.as_ref().or(case.log.as_ref()).map_or("", String::as_str));
    println!("--- {}: {}; ring3:\n{}", case.file, case.verdict, outcome.log);
    Ok(ExitCode::SUCCESS)
}

fn print_table(files: &BTreeMap<&str, Totals>, totals: &Totals) {
    println!(
        "{:<40}{:>7}{:>7}{:>8}{:>8}{:>7}{:>7}{:>7}{:>7}",
        "file", "cases", "same", "f.acc", "f.rej", "needs", "errno", "line", "insns"
    );
    let line = |name: &str, t: &Totals| {
        println!(
            "{name:<40}{:>7}{:>7}{:>8}{:>8}{:>7}{:>7}{:>7}{:>7}",
            t.cases,
            t.same_verdict,
            t.false_accept,
            t.false_reject,
            t.needs,
            format!("{}/{}", t.same_errno, t.both_reject),
            format!("{}/{}", t.same_last_line, t.both_reject),
            format!("{}/{}", t.processed_within_10pct, t.both_accept),
        );
    };
    files.iter().for_each(|(name, t)| line(name, t));
    line("total", totals);
}
