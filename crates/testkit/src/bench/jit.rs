//! Machine code beside Linux's, clang's and rbpf's: the table and the chart of its figures.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use syscall::Linux;

use super::{maps, programs as sources};

/// Engines in the order of columns: key in the figures, heading.
const ENGINES: &[(&str, &str)] = &[
    ("ring3_jit", "ring3 JIT"),
    ("kernel_jit", "Linux JIT"),
    ("native_o2", "clang -O2"),
    ("native_o3_native", "-O3 native"),
    ("rbpf_jit", "rbpf JIT"),
    ("ring3_interp", "ring3 interp"),
    ("rbpf_interp", "rbpf interp"),
];

/// Figures of the programs in `dir`: engines in turns, the median of 15 rounds.
///
/// Programs without maps are measured alone by the JIT's own benchmark (thread CPU time); those
/// with maps or tail calls as a whole system runs them, by test runs behind both doors.
pub fn run(root: &Path, dir: &Path, linux: Option<&Linux>) -> Result<Value, String> {
    let (objects, failed) = sources::objects(dir)?;
    let (system, alone): (Vec<_>, Vec<_>) =
        objects.iter().partition(|(_, object)| maps::needs_system(object));
    let names: Vec<&str> = alone.iter().map(|(name, _)| name.as_str()).collect();
    let mut figures = run_alone(root, dir, &names)?;
    let system = system.iter().map(|(name, object)| (name.as_str(), object));
    let rows = maps::run(system, linux)?;
    let whole = rows.iter().map(|row| {
        json!({ "name": row.name, "ns": { "ring3_jit": row.ring3, "kernel_jit": row.kernel } })
    });
    if let Some(all) = figures["programs"].as_array_mut() {
        all.extend(whole);
    }
    figures["failed"] = failed.into();
    Ok(figures)
}

fn run_alone(root: &Path, dir: &Path, names: &[&str]) -> Result<Value, String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let words = ["run", "--quiet", "--release", "-p", "ring3-jit", "--example", "bench", "--"];
    let out = Command::new(cargo)
        .args(words)
        .args(["--json", "--dir"])
        .arg(dir)
        .args(names)
        .current_dir(root)
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|e| format!("cargo: {e}"))?;
    if !out.status.success() {
        return Err("the benchmark of the JIT failed".into());
    }
    let figures: Value =
        serde_json::from_slice(&out.stdout).map_err(|e| format!("its figures: {e}"))?;
    Ok(renamed(figures))
}

/// `-O3 -march=native` by its full name.
fn renamed(mut figures: Value) -> Value {
    for row in figures["programs"].as_array_mut().into_iter().flatten() {
        if let Some(ns) = row["ns"].as_object_mut()
            && let Some(value) = ns.remove("native_o3m")
        {
            ns.insert("native_o3_native".into(), value);
        }
    }
    figures
}

fn programs(figures: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let rows = figures["programs"].as_array().into_iter().flatten();
    rows.filter_map(|row| Some((row["name"].as_str()?, &row["ns"])))
}

fn ratio(ns: &Value, engine: &str, base: &str) -> Option<f64> {
    let (a, b) = (ns[engine].as_f64()?, ns[base].as_f64()?);
    Some(a / b).filter(|r| r.is_finite() && *r > 0.0)
}

/// Nanoseconds a run, and the ratios that count.
pub fn table(figures: &Value) -> String {
    let mut out = format!("{:<12}", "ns a run");
    ENGINES.iter().for_each(|(_, head)| out += &format!("{head:>13}"));
    out += &format!("{:>10}{:>10}\n", "/Linux", "/clang");
    for (name, ns) in programs(figures) {
        out += &format!("{name:<12}");
        for (key, _) in ENGINES {
            let cell = ns[*key].as_f64().map_or("-".into(), |ns| format!("{ns:.1}"));
            out += &format!("{cell:>13}");
        }
        for base in ["kernel_jit", "native_o2"] {
            let cell = ratio(ns, "ring3_jit", base).map_or("-".into(), |r| format!("{r:.2}"));
            out += &format!("{cell:>10}");
        }
        out.push('\n');
    }
    let mean = |key: &str| figures[key].as_f64().unwrap_or(f64::NAN);
    let (kernel, native) = (mean("geomean_vs_kernel"), mean("geomean_vs_native"));
    let compile = mean("compile_ns_per_insn");
    out + &format!(
        "geometric means over the programs without calls: {kernel:.2} of Linux, {native:.2} of \
         clang -O2; {compile:.0} ns of compile time an instruction\n"
    )
}

/// Colours of bars, and the engines that they are for.
const BARS: &[(&str, &str, &str)] = &[
    ("ring3_jit", "ring3", "#0969da"),
    ("native_o2", "clang -O2", "#57606a"),
    ("rbpf_jit", "rbpf", "#bc4c00"),
];
const LEFT: f64 = 90.0;
const WIDTH: f64 = 720.0;
/// Pixels of a ratio of 1, and the largest ratio that is drawn.
const UNIT: f64 = 260.0;
const MOST: f64 = 2.2;
const BAR: f64 = 8.0;

/// A bar chart: time a run relative to Linux's JIT, shorter is better.
pub fn chart(figures: &Value) -> String {
    let base = "kernel_jit";
    let shown = |(_, ns): &(&str, &Value)| ratio(ns, "ring3_jit", base).is_some();
    let rows: Vec<_> = programs(figures).filter(shown).filter(|row| row.0 != "empty").collect();
    let step = BAR * BARS.len() as f64 + 8.0;
    let height = 64.0 + step * rows.len() as f64;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"18\" fill=\"#1f2328\">Time a run, the Linux JIT = 1 (shorter is \
         better)</text>\n"
    );
    for (at, (_, name, colour)) in BARS.iter().enumerate() {
        let x = LEFT + 110.0 * at as f64;
        out += &format!(
            "<rect x=\"{x}\" y=\"28\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\n\
             <text x=\"{}\" y=\"37\" fill=\"#1f2328\">{name}</text>\n",
            x + 14.0
        );
    }
    let top = 48.0;
    for (at, (name, ns)) in rows.iter().enumerate() {
        let y = top + step * at as f64;
        out += &format!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"#1f2328\">{name}</text>\n",
            LEFT - 8.0,
            y + step / 2.0
        );
        for (bar, (key, _, colour)) in BARS.iter().enumerate() {
            let Some(ratio) = ratio(ns, key, base) else { continue };
            let (y, width) = (y + BAR * bar as f64, ratio.min(MOST) * UNIT);
            out += &format!(
                "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{}\" \
                 fill=\"{colour}\"/>\n<text x=\"{:.1}\" y=\"{}\" font-size=\"8\" \
                 fill=\"#57606a\">{ratio:.2}</text>\n",
                BAR - 1.0,
                LEFT + width + 4.0,
                y + 7.0
            );
        }
    }
    let one = LEFT + UNIT;
    out + &format!(
        "<line x1=\"{one}\" x2=\"{one}\" y1=\"{}\" y2=\"{}\" stroke=\"#cf222e\" \
         stroke-dasharray=\"4 3\"/>\n</svg>\n",
        top - 4.0,
        height - 8.0
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bars_are_as_long_as_ratios() {
        let ns = json!({ "ring3_jit": 50.0, "kernel_jit": 100.0, "native_o2": 75.0 });
        let figures = json!({
            "programs": [{ "name": "fib", "ns": ns }, { "name": "alone", "ns": { "ring3_jit": 1.0 } }],
            "geomean_vs_kernel": 0.5, "geomean_vs_native": 0.67, "compile_ns_per_insn": 40.0,
        });
        let svg = chart(&figures);
        assert!(svg.contains("width=\"130.0\"") && svg.contains("width=\"195.0\""), "{svg}");
        assert!(!svg.contains("alone"));
        let table = table(&figures);
        assert!(table.lines().any(|l| l.starts_with("fib") && l.ends_with("0.50      0.67")));
        assert!(table.lines().any(|l| l.starts_with("alone") && l.ends_with("-         -")));
    }
}
