//! `cargo xtask`: the developers' entry point. Each command is one row of [`COMMANDS`].

mod attr_table;
mod demo;
mod fuzz;
mod generate;
mod install;
mod layers;
mod prove;
mod run;
mod test;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What a command does with the words after its name.
type Action = fn(&Path, &[String]) -> Result<(), String>;

/// Name, arguments, what it does, how.
const COMMANDS: &[(&str, &str, &str, Action)] = &[
    (
        "demo",
        "",
        "install what is missing, build, and run the hello-world on captured traffic",
        demo::run,
    ),
    ("test", "", "install what the tests need and run them all", test::run),
    ("check", "", "fmt, clippy, docs, layers and generated files, without tests", test::check),
    ("generate", "[--check]", "write the tables made from facts/", generate_all),
    ("layers", "", "check which crate may use which", layers::run),
    ("fuzz", "[SECONDS]", "run each fuzz target from its seed corpus", fuzz::run),
    (
        "oracle",
        "FILE...",
        "compare ring3 with the running kernel: verdict, log, test runs",
        run::oracle,
    ),
    (
        "verdicts",
        "[--dir DIR] [--json] [--bless]",
        "compare with recorded verdicts of Linux",
        run::verdicts,
    ),
    (
        "soundness",
        "[--programs N] [--seed S]",
        "random programs into ring3 and into the running kernel",
        run::soundness,
    ),
    (
        "prove",
        "[CLAIM] [--limit SECONDS] [--jobs N]",
        "prove the verifier's number domain with z3, or the claims whose name holds CLAIM",
        prove::run,
    ),
    (
        "parity",
        "[NAME] [--json] [--check] [--kernel]",
        "count the recorded answers of Linux that ring3 gives; write docs/parity/NAME.md",
        run::parity,
    ),
    ("bench", "[NAME] [--dir DIR] [--json]", "measure, as ratios in one run", run::bench),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = args.split_first() else {
        print!("{}", usage());
        return ExitCode::SUCCESS;
    };
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        print!("{}", usage());
        return ExitCode::SUCCESS;
    }
    let Some((_, _, _, action)) = COMMANDS.iter().find(|c| c.0 == name) else {
        eprintln!("xtask: no command {name}\n\n{}", usage());
        return ExitCode::from(2);
    };
    match action(&root(), rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> String {
    let mut text = String::from("cargo xtask COMMAND\n\n");
    for (name, args, what, _) in COMMANDS {
        text.push_str(&format!("  {:<36}{what}\n", format!("{name} {args}")));
    }
    text
}

fn generate_all(root: &Path, args: &[String]) -> Result<(), String> {
    let check = args.iter().any(|a| a == "--check");
    generate::run(root, check)?;
    attr_table::run(root, check)
}

/// The repository: xtask runs from a checkout only.
fn root() -> PathBuf {
    let mut dir = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    dir.pop();
    dir
}
