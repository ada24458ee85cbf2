//! `cargo xtask bench [NAME] [--dir DIR] [--json]`: figures, as ratios in one run.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde_json::{Value, json};
use testkit::bench::{interp, packets, programs};

struct Args {
    name: Option<String>,
    dir: PathBuf,
    json: bool,
}

/// A benchmark gives its figures as JSON and as a table.
type Bench = fn(&Args) -> Result<(Value, String), String>;

const BENCHES: &[(&str, Bench)] = &[("interp", bench_interp), ("packets", bench_packets)];

fn parse() -> Result<Args, String> {
    let mut args = Args { name: None, dir: programs::folder(), json: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--json" => args.json = true,
            "--dir" => args.dir = words.next().ok_or("--dir takes a folder")?.into(),
            name if BENCHES.iter().any(|b| b.0 == name) => args.name = Some(word),
            _ => {
                let known: Vec<&str> = BENCHES.iter().map(|b| b.0).collect();
                return Err(format!("no benchmark {word}; there are {}", known.join(", ")));
            }
        }
    }
    Ok(args)
}

fn main() -> ExitCode {
    match parse().and_then(|args| run(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("bench: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let mut all = serde_json::Map::new();
    for (name, bench) in BENCHES {
        if args.name.as_deref().is_some_and(|wanted| wanted != *name) {
            continue;
        }
        let (figures, table) = bench(args)?;
        if args.json {
            all.insert((*name).into(), figures);
        } else {
            println!("{name}\n{table}");
        }
    }
    if args.json {
        let figures = match &args.name {
            Some(name) => all.remove(name).unwrap_or_default(),
            None => Value::Object(all),
        };
        println!("{}", serde_json::to_string_pretty(&figures).map_err(|e| e.to_string())?);
    }
    Ok(())
}

fn bench_interp(args: &Args) -> Result<(Value, String), String> {
    let rows = interp::run(&args.dir)?;
    let mut table = format!(
        "{:<12}{:>10}{:>14}{:>13}{:>8}\n",
        "", "insns", "ring3 ns/insn", "rbpf ns/insn", "ratio"
    );
    for r in &rows {
        table += &format!(
            "{:<12}{:>10}{:>14.2}{:>13.2}{:>8.2}\n",
            r.name, r.insns, r.ring3_ns, r.rbpf_ns, r.ratio
        );
    }
    Ok((json!({ "programs": rows }), table))
}

fn bench_packets(_args: &Args) -> Result<(Value, String), String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let ring3 = build_command(&root)?;
    let work = std::env::temp_dir().join(format!("ring3-bench-{}", std::process::id()));
    std::fs::create_dir_all(&work).map_err(|e| format!("{}: {e}", work.display()))?;
    let object = work.join("protocols.bpf.o");
    let result = compile(&ring3, &root.join("examples/protocols.bpf.c"), &object)
        .and_then(|()| packets::run(&ring3, &object, &work));
    let _ = std::fs::remove_dir_all(&work);
    let f = result?;
    let table = format!(
        "{} packets: {:.2} million packets a second; one packet from process start to end: {:.1} ms\n",
        f.packets,
        f.packets_per_second / 1e6,
        f.start_ms
    );
    Ok((json!(f), table))
}

/// The optimised command, built now.
fn build_command(root: &Path) -> Result<PathBuf, String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--release", "--bin", "ring3"])
        .current_dir(root)
        .status()
        .map_err(|e| format!("cargo: {e}"))?;
    let here = std::env::current_exe().map_err(|e| e.to_string())?;
    let built = here.with_file_name("ring3");
    if status.success() && built.exists() { Ok(built) } else { Err("cannot build ring3".into()) }
}

fn compile(ring3: &Path, source: &Path, object: &Path) -> Result<(), String> {
    let status = Command::new(ring3)
        .arg("compile")
        .arg(source)
        .arg("-o")
        .arg(object)
        .status()
        .map_err(|e| e.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("cannot compile {}", source.display())) }
}
