//! `cargo xtask bench [NAME] [--dir DIR] [--json]`: figures, as ratios in one run.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use runtime::door::Bpf;
use runtime::{Config, Runtime};
use serde_json::{Value, json};
use syscall::Linux;
use testkit::bench::{
    daemon, hooks, interp, jit, live, loader, maps, maps_table, packets, programs, verifier,
};

struct Args {
    name: Option<String>,
    dir: Option<PathBuf>,
    json: bool,
}

/// A benchmark gives its figures as JSON and as a table.
type Bench = fn(&Args) -> Result<(Value, String), String>;

const BENCHES: &[(&str, Bench)] = &[
    ("daemon", bench_daemon),
    ("hooks", bench_hooks),
    ("interp", bench_interp),
    ("jit", bench_jit),
    ("live", bench_live),
    ("loader", bench_loader),
    ("maps", bench_maps),
    ("packets", bench_packets),
    ("verifier", bench_verifier),
];

fn parse() -> Result<Args, String> {
    let mut args = Args { name: None, dir: None, json: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--json" => args.json = true,
            "--dir" => args.dir = Some(words.next().ok_or("--dir takes a folder")?.into()),
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

fn bench_daemon(_: &Args) -> Result<(Value, String), String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let ring3 = build_command(&root)?;
    let work = std::env::temp_dir().join(format!("ring3-bench-daemon-{}", std::process::id()));
    std::fs::create_dir_all(&work).map_err(|e| format!("{}: {e}", work.display()))?;
    let result = daemon::run(&ring3, &work, Linux::probe().ok().as_ref());
    let _ = std::fs::remove_dir_all(&work);
    let f = result?;
    let beside = match (f.bpftool_dump_ms, f.dump_ratio) {
        (Some(ms), Some(ratio)) => format!("; bpftool on the kernel {ms:.0} ms, ratio {ratio:.2}"),
        _ => "; skipped: bpftool on the kernel (no bpf(2) or no bpftool here)".into(),
    };
    let table = format!(
        "map lookup, whole process {:.1} ms; update through the socket {:.1} us, as a line of a \
         batch file {:.1} us\nmap dump -j of {} elements {:.0} ms{beside}\n",
        f.lookup_ms, f.update_us, f.batch_line_us, f.elements, f.dump_ms
    );
    Ok((json!(f), table))
}

fn bench_hooks(_: &Args) -> Result<(Value, String), String> {
    let figures = hooks::run()?;
    let rows = [
        ("getppid, nobody watches", figures.native),
        ("getppid, other calls are watched", figures.untraced),
        ("program at its entry", figures.enter),
        ("programs at entry and end", figures.enter_exit),
        ("function with a program at its entry", figures.uprobe),
        ("the same, the program in the command", figures.uprobe_inside),
        ("getppid under strace", figures.strace),
    ];
    let row = |(what, time): &(&str, hooks::Time)| {
        format!("  {what:<38}{:>9.0} ns, best {:.0} ns\n", time.median, time.best)
    };
    let tree = &figures.tree;
    let mut table: String = rows.iter().map(row).collect();
    table += &format!(
        "  a tree of eight, 20,000 execs: {} told of {} processes in {:.0} s; memory at 5,000, 10,000, \
         20,000: {:?} KiB\n",
        tree.told, tree.processes, tree.seconds, tree.memory
    );
    Ok((json!(figures), table))
}

fn bench_live(_: &Args) -> Result<(Value, String), String> {
    let f = live::run()?;
    let (million, giga) = (|rate: f64| rate / 1e6, |bits: f64| bits / 1e9);
    let table = format!(
        "frames of 60 bytes: {:.2} million a second sent, {:.2} carried; XDP_DROP {:.2} million a \
         second of one core, XDP_PASS into the stack {:.2}\n\
         TCP: {:.1} Gbit/s with XDP and tc, {:.1} without programs, {:.1} over a plain veth: ratio \
         {:.2}\nping: {:.0} us, over a plain veth {:.0} us\n",
        million(f.generated),
        million(f.carried),
        million(f.per_core),
        million(f.passed_per_core),
        giga(f.bits),
        giga(f.bare_bits),
        giga(f.veth_bits),
        f.ratio,
        f.ping,
        f.veth_ping,
    );
    Ok((json!(f), table))
}

fn bench_interp(args: &Args) -> Result<(Value, String), String> {
    let rows = interp::run(&args.dir.clone().unwrap_or_else(programs::folder))?;
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

fn bench_loader(_args: &Args) -> Result<(Value, String), String> {
    let work = std::env::temp_dir().join(format!("ring3-bench-loader-{}", std::process::id()));
    std::fs::create_dir_all(&work).map_err(|e| format!("{}: {e}", work.display()))?;
    let result = loader::run(&work);
    let _ = std::fs::remove_dir_all(&work);
    let Some(f) = result? else {
        let table = "skipped: no clang, or no BTF of the running kernel\n".into();
        return Ok((Value::Null, table));
    };
    Ok((json!(f), f.table()))
}

/// Writes the chart beside the table; with another folder of programs, only the table.
fn bench_jit(args: &Args) -> Result<(Value, String), String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let dir = args.dir.clone().unwrap_or_else(programs::folder);
    let dir = dir.canonicalize().map_err(|e| format!("{}: {e}", dir.display()))?;
    let linux = Linux::probe();
    if let Err(errno) = &linux {
        eprintln!("skipped: Linux's column: no bpf(2) here ({errno})");
    }
    let figures = jit::run(&root, &dir, linux.as_ref().ok())?;
    if args.dir.is_none() {
        let chart = root.join("docs/bench-jit.svg");
        std::fs::write(&chart, jit::chart(&figures))
            .map_err(|e| format!("{}: {e}", chart.display()))?;
    }
    let table = jit::table(&figures);
    match figures["failed"].as_u64() {
        Some(1..) => Err(format!("{table}not every program could be measured")),
        _ => Ok((figures, table)),
    }
}

fn bench_maps(args: &Args) -> Result<(Value, String), String> {
    let linux = Linux::probe();
    if let Err(errno) = &linux {
        eprintln!("skipped: Linux's column: no bpf(2) here ({errno})");
    }
    let (objects, _) = programs::objects(&args.dir.clone().unwrap_or_else(programs::folder))?;
    let system = objects.iter().filter(|(_, object)| maps::needs_system(object));
    let rows =
        maps::run(system.map(|(name, object)| (name.as_str(), object)), linux.as_ref().ok())?;
    let mut table = format!("{:<12}{:>12}{:>12}{:>8}\n", "", "ring3 ns", "kernel ns", "ratio");
    let cell = |value: Option<f64>, digits| value.map_or("-".into(), |v| format!("{v:.digits$}"));
    for r in &rows {
        let (kernel, ratio) = (cell(r.kernel, 0), cell(r.ratio, 2));
        table += &format!("{:<12}{:>12.0}{kernel:>12}{ratio:>8}\n", r.name, r.ring3);
    }
    let ours = Runtime::new(Config { cpus: 2, ..Config::default() });
    let theirs = linux.as_ref().ok().map(|linux| linux as &dyn Bpf);
    let operations = maps_table::run(&ours, theirs, None)?;
    table += &format!("\n{}", maps_table::table(&operations));
    Ok((json!({ "programs": rows, "operations": operations }), table))
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
    let million = |rate: f64| rate / 1e6;
    let table = format!(
        "{} packets: {:.2} million packets a second, {:.2} interpreted; from memory {:.2}; \
         one packet from process start to end: {:.1} ms\n",
        f.packets,
        million(f.packets_per_second),
        million(f.interpreted_per_second),
        million(f.memory_packets_per_second),
        f.start_ms
    );
    Ok((json!(f), table))
}

fn bench_verifier(args: &Args) -> Result<(Value, String), String> {
    let recorded = args.dir.clone().or_else(|| testkit::shared("verdicts"));
    let Some(dir) = recorded else {
        return Ok((
            Value::Null,
            "skipped: no recorded verdicts here (--dir names a folder)\n".into(),
        ));
    };
    let linux = match Linux::probe() {
        Ok(linux) => linux,
        Err(errno) => return Ok((Value::Null, format!("skipped: no bpf(2) here ({errno})\n"))),
    };
    let figures = verifier::run(&dir, &linux)?;
    let mut table = format!(
        "{:<28}{:<28}{:>10}{:>12}{:>12}{:>8}{:>10}\n",
        "file", "program", "insns", "ring3 us", "kernel us", "ratio", "M insn/s"
    );
    for r in figures.programs.iter().filter(|r| r.processed > 1000 || r.ratio > 1.0) {
        table += &format!(
            "{:<28}{:<28}{:>10}{:>12.0}{:>12.0}{:>8.2}{:>10.2}\n",
            r.file, r.program, r.processed, r.ring3_us, r.kernel_us, r.ratio, r.million_per_second
        );
    }
    table += &format!(
        "{} programs: geometric mean {:.2} of the kernel's time, worst {:.2}\n",
        figures.programs.len(),
        figures.geomean_vs_kernel,
        figures.worst
    );
    Ok((json!(figures), table))
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
