//! Opening and relocating an object of a megabyte, and parsing the kernel's BTF, beside libbpf.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;

use super::clock::{median, time};

/// Milliseconds of CPU time, medians.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Bytes of the object.
    pub object_bytes: usize,
    /// CO-RE relocations in its programs.
    pub relocations: usize,
    /// From the object's bytes to instructions ready for the kernel.
    pub object_ms: f64,
    /// Bytes of the kernel's BTF.
    pub vmlinux_bytes: usize,
    /// Parsing those.
    pub vmlinux_ms: f64,
    /// What libbpf takes for all of it, where it is installed; bpf(2) is answered at once.
    pub libbpf_ms: Option<f64>,
    /// Ours for all of it over libbpf's.
    pub ratio: Option<f64>,
}

impl Figures {
    /// As lines of text.
    pub fn table(&self) -> String {
        let mut table = format!(
            "vmlinux BTF, {} KiB, parsed: {:.1} ms\nobject, {} KiB, {} relocations: {:.1} ms\n",
            self.vmlinux_bytes >> 10,
            self.vmlinux_ms,
            self.object_bytes >> 10,
            self.relocations,
            self.object_ms
        );
        if let (Some(libbpf), Some(ratio)) = (self.libbpf_ms, self.ratio) {
            let _ = writeln!(table, "both by libbpf: {libbpf:.1} ms; ours over that: {ratio:.2}");
        }
        table
    }
}

const ROUNDS: usize = 9;
/// Programs that make the object about a megabyte.
const PROGRAMS: usize = 615;
/// Members of the kernel's `struct task_struct` that each of them reads.
const FIELDS: &[&str] =
    &["pid", "tgid", "prio", "static_prio", "normal_prio", "policy", "exit_code"];
/// Of the running kernel.
const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Measures; builds what it needs in `work`. `None` without a compiler or the kernel's BTF.
pub fn run(work: &Path) -> Result<Option<Figures>, String> {
    let Ok(vmlinux) = std::fs::read(VMLINUX) else { return Ok(None) };
    let Some(object) = build_object(work)? else { return Ok(None) };
    let bytes = std::fs::read(&object).map_err(|e| format!("{}: {e}", object.display()))?;
    let oracle = build_oracle(work);
    let (mut parse, mut open, mut libbpf) = (Vec::new(), Vec::new(), Vec::new());
    let mut relocations = 0;
    for _ in 0..ROUNDS {
        let (kernel, ns) = time(|| btf::Btf::parse(&vmlinux));
        let kernel = kernel.map_err(|e| e.to_string())?;
        parse.push(ns as f64 / 1e6);
        let (spec, ns) = time(|| relocated(&bytes, &kernel));
        relocations = spec?.programs.iter().map(|program| program.core_relos.len()).sum();
        open.push(ns as f64 / 1e6);
        libbpf.extend(oracle.as_deref().and_then(|oracle| ask(oracle, &object)));
    }
    let (object_ms, vmlinux_ms) = (median(&mut open), median(&mut parse));
    let libbpf_ms = (!libbpf.is_empty()).then(|| median(&mut libbpf));
    Ok(Some(Figures {
        object_bytes: bytes.len(),
        relocations,
        object_ms,
        vmlinux_bytes: vmlinux.len(),
        vmlinux_ms,
        libbpf_ms,
        ratio: libbpf_ms.map(|libbpf| (object_ms + vmlinux_ms) / libbpf),
    }))
}

fn relocated(bytes: &[u8], kernel: &btf::Btf) -> Result<loader::Spec, String> {
    let mut spec = loader::Object::parse_named("large", bytes).map_err(|e| e.to_string())?;
    spec.relocate_core(&[kernel]).map_err(|e| e.to_string())?;
    Ok(spec)
}

/// C that reads members of a kernel struct from many programs.
fn source() -> String {
    let mut c = String::from(
        "struct task_struct {\n\tint pid, tgid, prio, static_prio, normal_prio, policy, exit_code;\n\
         } __attribute__((preserve_access_index));\n\
         static long (*get_task)(void) = (void *)35;\n\
         static long (*read_kernel)(void *, unsigned, const void *) = (void *)113;\n\
         char _license[] __attribute__((section(\"license\"), used)) = \"GPL\";\n",
    );
    for program in 0..PROGRAMS {
        let _ = write!(
            c,
            "__attribute__((section(\"raw_tp/sys_enter\"), used)) int program_{program}(void *ctx)\n\
             {{\n\tstruct task_struct *task = (void *)get_task();\n\tint value = 0, sum = {program};\n"
        );
        for field in FIELDS {
            let _ = write!(
                c,
                "\tread_kernel(&value, sizeof(value), &task->{field});\n\tsum += value;\n"
            );
        }
        c += "\treturn sum;\n}\n";
    }
    c
}

fn build_object(work: &Path) -> Result<Option<PathBuf>, String> {
    let (c, object) = (work.join("large.bpf.c"), work.join("large.bpf.o"));
    std::fs::write(&c, source()).map_err(|e| format!("{}: {e}", c.display()))?;
    for clang in ["clang-19", "clang"] {
        let mut command = Command::new(clang);
        command.args(["-target", "bpf", "-O2", "-g", "-c", "-o"]).arg(&object).arg(&c);
        if command.status().is_ok_and(|status| status.success()) {
            // Without debugging information, as objects are shipped; not all have the tool.
            let strip = clang.replace("clang", "llvm-strip");
            let _ = Command::new(strip).arg("-g").arg(&object).status();
            return Ok(Some(object));
        }
    }
    Ok(None)
}

/// libbpf over a bpf(2) that answers at once.
fn build_oracle(work: &Path) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../loader/tests/support/oracle.c");
    let binary = work.join("oracle");
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-w", "-o"]).arg(&binary).arg(source).args(["-lbpf", "-lelf", "-lz"]);
    cc.status().is_ok_and(|status| status.success()).then_some(binary)
}

/// Milliseconds that opening and loading take.
fn ask(oracle: &Path, object: &Path) -> Option<f64> {
    let output = Command::new(oracle).arg(object).env("ORACLE_TIME", "1").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let times = text.lines().find_map(|line| line.strip_prefix("time "))?;
    let mut ns = 0.0;
    for part in times.split(' ') {
        ns += part.parse::<f64>().ok()?;
    }
    output.status.success().then_some(ns / 1e6)
}
