//! The oracle: what libbpf hands to bpf(2) for an object.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use loader::{MapKind, Object, ProgramSpec, Slot, Spec};

/// One BPF_PROG_LOAD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) name: String,
    pub(crate) prog_type: u32,
    pub(crate) attach_type: u32,
    pub(crate) flags: u32,
    pub(crate) attach_btf_id: u32,
    pub(crate) insns: String,
    pub(crate) func_info: String,
    pub(crate) line_info: String,
}

/// What libbpf did with an object.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// Of libbpf, 107 for 1.7.
    pub(crate) version: u32,
    pub(crate) open_error: Option<i32>,
    pub(crate) load_error: Option<i32>,
    /// Maps after opening, as `name type key value entries flags extra numa pinned`.
    pub(crate) maps: Vec<String>,
    /// As `name section autoload`.
    pub(crate) programs: Vec<String>,
    /// As `name type key value entries flags extra numa key_type value_type`.
    pub(crate) creates: Vec<String>,
    pub(crate) updates: Vec<String>,
    /// Descriptors of the programs, `.text` left out.
    pub(crate) fds: Vec<i64>,
    pub(crate) frozen: Vec<usize>,
    pub(crate) loads: Vec<Load>,
    pub(crate) btf: String,
    /// What BPF_BTF_LOAD took, trials too; only of [`ask_lacking`].
    pub(crate) types: Vec<String>,
}

/// The program that asks libbpf; `None`, with a visible line, where it cannot be built.
///
/// `RING3_LIBBPF_ORACLE` names one that is built already, say against another libbpf.
pub(crate) fn oracle() -> Option<&'static Path> {
    static ORACLE: OnceLock<Option<PathBuf>> = OnceLock::new();
    ORACLE.get_or_init(build).as_deref()
}

fn build() -> Option<PathBuf> {
    if let Some(built) = std::env::var_os("RING3_LIBBPF_ORACLE") {
        return Some(built.into());
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/oracle.c");
    let binary =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("oracle-{}", std::process::id()));
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-w", "-o"]).arg(&binary).arg(source).args(["-lbpf", "-lelf", "-lz"]);
    let status = cc.status();
    if status.is_ok_and(|status| status.success()) {
        return Some(binary);
    }
    eprintln!("skipped: no C compiler or libbpf-dev here (comparison with libbpf)");
    None
}

/// Asks libbpf; `None` without it.
pub(crate) fn ask(object: &Path, name: &str) -> Option<Answer> {
    ask_with(object, name, None)
}

/// Asks libbpf to relocate against the types of another file.
pub(crate) fn ask_with(object: &Path, name: &str, target: Option<&Path>) -> Option<Answer> {
    let mut command = Command::new(oracle()?);
    command.arg(object).arg(name).args(target);
    run(command, object)
}

/// Asks libbpf on a kernel that lacks these features of BTF.
pub(crate) fn ask_lacking(object: &Path, name: &str, features: &[&str]) -> Option<Answer> {
    let mut command = Command::new(oracle()?);
    command.arg(object).arg(name).env("ORACLE_LACKS", features.join(" "));
    run(command, object)
}

fn run(mut command: Command, object: &Path) -> Option<Answer> {
    let output = command.output().expect("the oracle runs");
    if !output.status.success() {
        eprintln!("oracle on {}: {}", object.display(), output.status);
        return None;
    }
    let mut answer = parse(&String::from_utf8_lossy(&output.stdout));
    let own: Vec<String> = answer
        .programs
        .iter()
        .map(|line| cut(line.split(' ').next().unwrap_or_default()))
        .collect();
    // What remains are libbpf's own trials of the kernel.
    answer.loads.retain(|load| own.contains(&load.name));
    let maps: Vec<String> =
        answer.maps.iter().map(|line| cut(line.split(' ').next().unwrap_or_default())).collect();
    answer.creates.retain(|line| maps.iter().any(|map| line.split(' ').next() == Some(map)));
    Some(answer)
}

fn cut(name: &str) -> String {
    name.chars().take(15).collect()
}

fn parse(text: &str) -> Answer {
    let mut answer = Answer::default();
    for line in text.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "map" => answer.maps.push(rest.into()),
            "program" => answer.programs.push(rest.into()),
            "create" => answer.creates.push(rest.into()),
            "update" => answer.updates.push(rest.into()),
            "fd" => {
                let (_, fd) = rest.split_once(' ').expect("index and descriptor");
                answer.fds.push(fd.parse().expect("descriptor"));
            }
            "freeze" => answer.frozen.push(rest.parse().expect("index")),
            "version" => answer.version = rest.parse().expect("version"),
            "open-error" => answer.open_error = rest.parse().ok(),
            "load-error" => answer.load_error = rest.parse().ok(),
            "btf" => answer.btf = rest.into(),
            "types" => answer.types.push(rest.into()),
            "prog" => {
                let part: Vec<&str> = rest.split(' ').collect();
                let number = |at: usize| part[at].parse().expect("number");
                answer.loads.push(Load {
                    name: part[0].into(),
                    prog_type: number(1),
                    attach_type: number(2),
                    flags: number(3),
                    attach_btf_id: number(4),
                    insns: part[5].into(),
                    func_info: part[6].into(),
                    line_info: part[7].into(),
                });
            }
            other => panic!("the oracle says {other:?}"),
        }
    }
    answer
}

/// What ring3 would hand over for a program.
pub(crate) fn load_of(program: &ProgramSpec) -> Load {
    let insns = program.insns.iter().flat_map(|insn| insn.to_bytes());
    let funcs = program.func_info.iter().flat_map(|info| [info.insn_off, info.type_id.0]);
    let lines = program
        .line_info
        .iter()
        .flat_map(|info| [info.insn_off, info.file_name_off, info.line_off, info.line_col]);
    Load {
        name: cut(&program.name),
        prog_type: program.prog_type.map_or(0, |prog_type| prog_type.raw()),
        attach_type: program.expected_attach_type,
        flags: program.flags,
        attach_btf_id: program.attach_btf_id,
        insns: hex(insns),
        func_info: hex(funcs.flat_map(u32::to_le_bytes)),
        line_info: hex(lines.flat_map(u32::to_le_bytes)),
    }
}

pub(crate) fn hex(bytes: impl IntoIterator<Item = u8>) -> String {
    let text: String = bytes.into_iter().map(|byte| format!("{byte:02x}")).collect();
    if text.is_empty() { "-".into() } else { text }
}

/// A map as the oracle prints it.
pub(crate) fn map_line(map: &loader::MapSpec) -> String {
    let def = &map.def;
    format!(
        "{} {} {} {} {} {} {} {} {}",
        map.name,
        def.map_type.raw(),
        def.key_size,
        def.value_size,
        def.max_entries,
        def.flags,
        def.extra,
        def.numa_node,
        u8::from(map.pin == loader::Pin::ByName)
    )
}

/// The differences between libbpf's answer and ring3's, as lines; empty if there are none.
///
/// `opened` is the spec before it was resolved.
pub(crate) fn differences(opened: &Spec, spec: &Spec, answer: &Answer) -> Vec<String> {
    let mut found = Vec::new();
    if answer.open_error.is_some() {
        return found;
    }
    let maps: Vec<String> = opened.maps.iter().map(map_line).collect();
    if maps != answer.maps {
        found.push(format!("maps\n  ours   {maps:?}\n  libbpf {:?}", answer.maps));
    }
    let programs: Vec<String> = opened
        .programs
        .iter()
        .map(|p| format!("{} {} {}", p.name, p.section, u8::from(p.autoload)))
        .collect();
    let theirs: Vec<&String> =
        answer.programs.iter().filter(|line| line.split(' ').nth(1) != Some(".text")).collect();
    if programs.iter().collect::<Vec<_>>() != theirs {
        found.push(format!("programs\n  ours   {programs:?}\n  libbpf {theirs:?}"));
    }
    for (program, line) in spec.programs.iter().zip(&answer.programs) {
        if program.flags & !0x30 != 0 {
            found.push(format!("flags of {line}: {:#x}", program.flags));
        }
    }
    let loaded: Vec<&ProgramSpec> = spec.programs.iter().filter(|p| p.autoload).collect();
    if answer.load_error.is_none() && loaded.len() != answer.loads.len() {
        found.push(format!("{} loads, libbpf {}", loaded.len(), answer.loads.len()));
    }
    for (program, theirs) in loaded.iter().zip(&answer.loads) {
        compare_load(&load_of(program), theirs, &mut found);
    }
    compare_creates(spec, answer, &mut found);
    compare_updates(spec, answer, &mut found);
    if let Some(btf) = &spec.btf {
        let btf = hex(btf.bytes().iter().copied());
        if btf != answer.btf {
            let at = btf.bytes().zip(answer.btf.bytes()).position(|(a, b)| a != b);
            let lens = (btf.len() / 2, answer.btf.len() / 2);
            found.push(format!("BTF differs at byte {:?} (lengths {lens:?})", at.map(|at| at / 2)));
        }
    }
    found
}

fn compare_load(ours: &Load, theirs: &Load, found: &mut Vec<String>) {
    if ours == theirs {
        return;
    }
    let head = |load: &Load| {
        (load.name.clone(), load.prog_type, load.attach_type, load.flags, load.attach_btf_id)
    };
    if head(ours) != head(theirs) {
        found.push(format!("load {:?}, libbpf {:?}", head(ours), head(theirs)));
    }
    let name = &ours.name;
    if ours.insns.len() != theirs.insns.len() {
        let lens = (ours.insns.len() / 16, theirs.insns.len() / 16);
        found.push(format!("{name}: {} instructions, libbpf {}", lens.0, lens.1));
    }
    for at in 0..ours.insns.len().min(theirs.insns.len()) / 16 {
        let insn = |load: &Load| load.insns[at * 16..at * 16 + 16].to_owned();
        if insn(ours) != insn(theirs) {
            found.push(format!("{name}: slot {at} {}, libbpf {}", insn(ours), insn(theirs)));
        }
    }
    if ours.func_info != theirs.func_info {
        found.push(format!("{name}: func_info\n {}\n {}", ours.func_info, theirs.func_info));
    }
    if ours.line_info != theirs.line_info {
        found.push(format!("{name}: line_info\n {}\n {}", ours.line_info, theirs.line_info));
    }
}

/// Map creation adds type ids, which the map's own line does not have.
fn compare_creates(spec: &Spec, answer: &Answer, found: &mut Vec<String>) {
    for (map, theirs) in spec.maps.iter().zip(&answer.creates) {
        let def = &map.def;
        let ids = format!("{} {}", def.btf_key_type_id, def.btf_value_type_id);
        let theirs_ids: Vec<&str> = theirs.rsplitn(3, ' ').take(2).collect();
        if [theirs_ids[1], theirs_ids[0]].join(" ") != ids {
            found.push(format!("map {} types {ids}, libbpf: {theirs}", map.name));
        }
    }
}

fn compare_updates(spec: &Spec, answer: &Answer, found: &mut Vec<String>) {
    let mut ours = Vec::new();
    for (index, map) in spec.maps.iter().enumerate() {
        if map.kind == MapKind::StructOps {
            let mut value = map.initial.clone().unwrap_or_default();
            for (offset, slot) in &map.slots {
                let Slot::Program(program) = slot else { continue };
                let at = *offset as usize;
                // A program that failed to load has no descriptor, and then nothing is compared.
                let fd = answer.fds.get(*program).copied().unwrap_or(-1);
                value[at..at + 8].copy_from_slice(&fd.to_le_bytes());
            }
            ours.push(format!("{index} 00000000 {}", hex(value)));
            continue;
        }
        if matches!(map.kind, MapKind::Btf | MapKind::Legacy) {
            ours.extend(map.slots.iter().map(|(slot, target)| {
                let target = match target {
                    Slot::Map(map) => format!("map:{map}"),
                    Slot::Program(program) => format!("prog:{program}"),
                };
                format!("{index} {} {target}", hex(slot.to_le_bytes()))
            }));
        } else {
            let zeroes = || vec![0; map.def.value_size as usize];
            let value = map.initial.clone().unwrap_or_else(zeroes);
            ours.push(format!("{index} 00000000 {}", hex(value)));
        }
    }
    let mut theirs = answer.updates.clone();
    ours.sort();
    theirs.sort();
    // libbpf of old leaves out what is all zeroes.
    let is_zero = |line: &String| line.ends_with(&"0".repeat(16));
    ours.retain(|line| theirs.contains(line) || !is_zero(line));
    if ours != theirs && answer.load_error.is_none() {
        found.push(format!("contents\n  ours   {ours:?}\n  libbpf {theirs:?}"));
    }
    let frozen: Vec<usize> =
        (0..spec.maps.len()).filter(|index| spec.maps[*index].frozen).collect();
    if frozen != answer.frozen && answer.load_error.is_none() {
        found.push(format!("frozen {frozen:?}, libbpf {:?}", answer.frozen));
    }
}

/// Compiles a C file for BPF, with the flags of `RING3_CFLAGS` besides; `None`, with a visible line, without clang.
pub(crate) fn compile(source: &Path, object: &Path) -> Option<()> {
    let clang = ["clang-19", "clang"].into_iter().find(|clang| {
        Command::new(clang).arg("--version").output().is_ok_and(|output| output.status.success())
    });
    let Some(clang) = clang else {
        eprintln!("skipped: no clang here ({})", source.display());
        return None;
    };
    let extra = std::env::var("RING3_CFLAGS").unwrap_or_default();
    let status = Command::new(clang)
        .args(["-O2", "-g", "-w", "-target", "bpf", "-I/usr/include/x86_64-linux-gnu", "-c"])
        .args(extra.split_whitespace())
        .arg(source)
        .arg("-o")
        .arg(object)
        .status()
        .expect("clang runs");
    if !status.success() {
        eprintln!("skipped: {} does not compile here (libbpf-dev?)", source.display());
    }
    status.success().then_some(())
}

/// Parses an object as libbpf would under this name.
pub(crate) fn parse_file(path: &Path) -> Result<Spec, loader::LoadError> {
    let bytes = std::fs::read(path).expect("readable");
    Object::parse_named(Object::name_of(&path.to_string_lossy()), &bytes)
}

/// A folder of objects beside the repository; `None`, with a visible line, where it is missing.
pub(crate) fn shared(folder: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(folder);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("skipped: no {folder} here");
    None
}

/// The files of a folder with this ending, sorted.
pub(crate) fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("readable folder");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("entry").path()).collect();
    files.retain(|path| path.to_string_lossy().ends_with(ending));
    files.sort();
    files
}

/// The running kernel's BTF; `None`, with a visible line, where it is missing.
pub(crate) fn kernel() -> Option<&'static btf::Btf> {
    static KERNEL: OnceLock<Option<btf::Btf>> = OnceLock::new();
    KERNEL
        .get_or_init(|| {
            let Ok(bytes) = std::fs::read("/sys/kernel/btf/vmlinux") else {
                eprintln!("skipped: no /sys/kernel/btf/vmlinux here");
                return None;
            };
            Some(btf::Btf::parse(&bytes).expect("the kernel's BTF"))
        })
        .as_ref()
}

/// The BPF objects embedded in a binary: libbpf's skeletons hold theirs whole.
pub(crate) fn embedded(binary: &[u8]) -> Vec<&[u8]> {
    const MAGIC: &[u8] = b"\x7fELF\x02\x01\x01";
    let mut found = Vec::new();
    let mut at = 1;
    while let Some(next) = binary.get(at..).and_then(|rest| memfind(rest, MAGIC)) {
        at += next;
        let object = &binary[at..];
        at += 1;
        let number = |at: usize, len: usize| {
            let bytes = object.get(at..at + len).unwrap_or(&[0]);
            bytes.iter().rev().fold(0_usize, |value, byte| value << 8 | usize::from(*byte))
        };
        // Relocatable, BPF; the section headers come last.
        let end = number(40, 8) + number(58, 2) * number(60, 2);
        if number(16, 2) == 1 && number(18, 2) == 247 && end <= object.len() {
            found.push(&object[..end]);
        }
    }
    found
}

fn memfind(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += bytes.get(at..)?.iter().position(|byte| *byte == wanted[0])?;
        if bytes[at..].starts_with(wanted) {
            return Some(at);
        }
        at += 1;
    }
}

/// Resolves all that the running kernel decides; programs whose target it lacks are not loaded.
pub(crate) fn resolve(spec: &mut Spec, kernel: &btf::Btf) -> Result<(), loader::LoadError> {
    for program in spec.programs.iter_mut().filter(|program| program.autoload) {
        program.autoload = program.resolve_attach(kernel).is_ok();
    }
    spec.resolve_struct_ops(kernel, &[])?;
    spec.relocate_core(&[kernel])?;
    spec.resolve_kconfig(&loader::KernelFacts {
        version: kernel_version(),
        // libbpf finds out by a kprobe, which not every kernel has.
        has_syscall_wrapper: Path::new("/sys/bus/event_source/devices/kprobe/type").exists(),
        has_bpf_cookie: true,
        config: &|name| loader::config_value(&kernel_config(), name).map(str::to_owned),
    })?;
    let kallsyms = std::fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    spec.resolve_ksyms(kernel, &[], &|name| {
        let found = kallsyms.lines().find(|line| line.split(' ').nth(2) == Some(name))?;
        u64::from_str_radix(found.split(' ').next()?, 16).ok()
    })
}

/// As `KERNEL_VERSION` counts: the patch level stops at 255.
fn kernel_version() -> u32 {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    let mut part = || parts.next().and_then(|part| part.parse::<u32>().ok()).unwrap_or(0);
    let (major, minor, patch) = (part(), part(), part());
    major << 16 | minor << 8 | patch.min(255)
}

fn kernel_config() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    if let Ok(config) = std::fs::read_to_string(format!("/boot/config-{}", release.trim())) {
        return config;
    }
    let zcat = Command::new("zcat").arg("/proc/config.gz").output();
    zcat.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

/// Writes the objects that installed tools hold (package libbpf-tools, xdp-tools) to a folder; none,
/// with a visible line, where there are no such tools.
pub(crate) fn tool_objects(out: &Path) -> Vec<PathBuf> {
    let mut objects = Vec::new();
    for folder in ["/usr/sbin", "/usr/bin"] {
        for tool in files(Path::new(folder), "") {
            // Larger binaries are compilers and the like.
            if !tool.metadata().is_ok_and(|file| file.is_file() && file.len() < 16 << 20) {
                continue;
            }
            let Ok(bytes) = std::fs::read(&tool) else { continue };
            for (number, object) in embedded(&bytes).into_iter().enumerate() {
                let name = tool.file_name().expect("file name").to_string_lossy();
                let path = out.join(format!("{name}_{number}.o"));
                std::fs::write(&path, object).expect("written");
                objects.push(path);
            }
        }
    }
    let installed = Path::new("/usr/lib/x86_64-linux-gnu/bpf");
    if installed.is_dir() {
        objects.extend(files(installed, ".o"));
    }
    if objects.is_empty() {
        eprintln!("skipped: no tools with BPF objects here (package libbpf-tools)");
    }
    objects
}
