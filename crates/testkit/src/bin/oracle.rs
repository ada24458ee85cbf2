//! `cargo xtask oracle [--verdicts] FILE...`: objects (or C sources) into the running kernel and
//! into ring3. `--verdicts` compares the verifiers alone, without running anything.

use std::process::ExitCode;

use ring3::{Kernel, Object, ProgramSpec, Verifier};
use runtime::Runtime;
use syscall::Linux;
use testkit::oracle::{Answer, ask, differences, packets, verdict};
use uapi::Errno;

#[derive(Default)]
struct Count {
    programs: u32,
    same: u32,
    /// Linux refuses the type of program here before it verifies.
    unjudged: u32,
}

fn main() -> ExitCode {
    let (flags, files): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|a| a.starts_with("--"));
    if files.is_empty() || flags.iter().any(|f| f != "--verdicts") {
        eprintln!("oracle: [--verdicts] and objects or C sources");
        return ExitCode::from(2);
    }
    let linux = match Linux::probe() {
        Ok(linux) => linux,
        Err(errno) => {
            println!("skipped: no bpf(2) here ({errno})");
            return ExitCode::SUCCESS;
        }
    };
    let kernel = Kernel::running();
    let mut count = Count::default();
    let mut failed = false;
    for file in &files {
        if let Err(error) = compare(file, &kernel, &linux, !flags.is_empty(), &mut count) {
            eprintln!("oracle: {error}");
            failed = true;
        }
    }
    println!(
        "{} programs: {} same, {} differ, {} that Linux does not judge here",
        count.programs,
        count.same,
        count.programs - count.same - count.unjudged,
        count.unjudged
    );
    let all = count.same + count.unjudged == count.programs && !failed;
    if all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn compare(
    file: &str,
    kernel: &Kernel,
    linux: &Linux,
    verdicts: bool,
    count: &mut Count,
) -> Result<(), ring3::Error> {
    let mut object = Object::open_for(file, kernel)?;
    object.resolve(kernel)?;
    let verifier = Verifier { kernel_btf: kernel.types().ok(), ..Verifier::default() };
    for program in &object.spec().programs {
        let packets = if verdicts { Vec::new() } else { packets() };
        let theirs = ask(linux, &object, &program.name, &packets);
        let ours = verdict(&verifier, &object, program);
        let lines = match theirs {
            Ok(theirs) if is_unjudged(&theirs) => {
                count.unjudged += 1;
                vec!["Linux refuses this type of program here".into()]
            }
            Ok(theirs) if verdicts || ours.errno.is_some() => differences(&ours, &theirs, false),
            Ok(theirs) => ran(&object, program, &packets, &theirs),
            Err(error) => vec![format!("Linux: {error}")],
        };
        count.programs += 1;
        count.same += u32::from(lines.is_empty());
        let word = if lines.is_empty() { "same" } else { "differs" };
        println!("{file}: {}: {word}", program.name);
        lines.iter().for_each(|line| println!("    {line}"));
    }
    Ok(())
}

/// EPERM without a word is a policy of this kernel, not a verdict.
fn is_unjudged(theirs: &Answer) -> bool {
    theirs.errno == Some(Errno::EPERM) && !theirs.message.contains("not allowed")
}

/// A door of its own for each program: maps start empty in both.
fn ran(
    object: &Object,
    program: &ProgramSpec,
    packets: &[Vec<u8>],
    theirs: &Answer,
) -> Vec<String> {
    match ask(&Runtime::default(), object, &program.name, packets) {
        Ok(ours) => differences(&ours, theirs, true),
        Err(error) => vec![format!("ring3: {error}")],
    }
}
