//! `cargo xtask oracle FILE...`: objects (or C sources) into the running kernel and into ring3.

use std::process::ExitCode;

use ring3::Object;
use runtime::Runtime;
use syscall::Linux;
use testkit::oracle::{ask, differences, packets};

fn main() -> ExitCode {
    let files: Vec<String> = std::env::args().skip(1).collect();
    if files.is_empty() {
        eprintln!("oracle: name objects or C sources");
        return ExitCode::from(2);
    }
    let linux = match Linux::probe() {
        Ok(linux) => linux,
        Err(errno) => {
            println!("skipped: no bpf(2) here ({errno})");
            return ExitCode::SUCCESS;
        }
    };
    let mut wrong = 0;
    for file in &files {
        wrong += compare(file, &linux).unwrap_or_else(|message| {
            eprintln!("oracle: {message}");
            1
        });
    }
    println!("{} of {} files differ", wrong, files.len());
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// 1 if any program of the file differs, else 0.
fn compare(file: &str, linux: &Linux) -> Result<u32, String> {
    let object = Object::open(file).map_err(|e| e.to_string())?;
    let mut differs = false;
    for program in &object.spec().programs {
        // A door of its own for each program: maps start empty in both.
        let ours = ask(&Runtime::default(), &object, &program.name, &packets());
        let theirs = ask(linux, &object, &program.name, &packets());
        let lines = match (ours, theirs) {
            (Ok(a), Ok(b)) => differences(&a, &b),
            (Err(a), Err(b)) if a.to_string() == b.to_string() => Vec::new(),
            (a, b) => vec![format!("ring3: {}; Linux: {}", brief(a), brief(b))],
        };
        let verdict = if lines.is_empty() { "same" } else { "differs" };
        println!("{file}: {}: {verdict}", program.name);
        lines.iter().for_each(|line| println!("    {line}"));
        differs |= !lines.is_empty();
    }
    Ok(u32::from(differs))
}

fn brief<T>(answer: Result<T, ring3::Error>) -> String {
    answer.map_or_else(|e| e.to_string(), |_| "loads".into())
}
