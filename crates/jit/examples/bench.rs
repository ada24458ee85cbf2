//! Machine code against the kernel's, rbpf's and clang's for the same C.
//!
//! `cargo run --release -p ring3-jit --example bench [-- [--json] [--dir DIR] [--dump] PROGRAM…]`
//! needs clang and, for the
//! kernel's column, bpf(2). Each round runs every engine once, interleaved; figures are medians of
//! thread CPU time per run.

use std::{
    collections::HashMap,
    ffi::{CString, c_void},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use isa::Insn;
use jit::{Env, Input, Options, Program, RunContext, Target};
use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget};

const ROUNDS: usize = 15;
const SAMPLE_NS: f64 = 400_000.0;
const DATA: usize = 2048;

#[repr(C)]
struct RawContext {
    data: u64,
    data_end: u64,
}

/// A linked object: slots, function starts, read-only data.
struct Linked {
    insns: Vec<Insn>,
    starts: Vec<u32>,
    /// Where slots load an address in the read-only data: slot and offset.
    rodata_at: Vec<(usize, u64)>,
    rodata: Vec<u8>,
}

fn main() {
    let mut args = std::env::args().skip(1);
    let mut dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bench/programs");
    let (mut wanted, mut json) = (Vec::<String>::new(), false);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--dir" => dir = args.next().expect("a folder after --dir").into(),
            "--json" => json = true,
            "--dump" => {}
            _ => wanted.push(arg),
        }
    }
    let work = std::env::temp_dir().join(format!("ring3-bench-{}", std::process::id()));
    fs::create_dir_all(&work).expect("a directory for objects");
    if !wanted.iter().any(|name| name == "empty") {
        wanted.push("empty".into());
    }
    let mut benches: Vec<Bench> =
        wanted.iter().filter_map(|n| Bench::new(&dir, &work, n)).collect();
    for _ in 0..ROUNDS {
        for bench in &mut benches {
            bench.round();
        }
    }
    let summary = Summary::of(&benches);
    if json {
        summary.print_json()
    } else {
        summary.print_table()
    }
    let _ = fs::remove_dir_all(&work);
}

struct Engine {
    name: &'static str,
    run: Box<dyn FnMut(u64) -> (f64, u64)>,
    samples: Vec<f64>,
    count: u64,
    value: u64,
}

struct Bench {
    name: String,
    engines: Vec<Engine>,
    compile_ns: f64,
    slots: usize,
    call_free: bool,
}

impl Bench {
    /// `None` for a program that cannot be measured alone, which is told.
    fn new(dir: &Path, work: &Path, name: &str) -> Option<Bench> {
        let mut source = dir.join(format!("{name}.bpf.c"));
        if name == "empty" && !source.exists() {
            source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bench/programs/empty.bpf.c");
        }
        let raw = link(&compile(
            &source,
            &work.join(format!("{name}.raw.o")),
            &["-target", "bpf", "-mcpu=v3"],
        )?);
        let kern = link(&compile(
            &source,
            &work.join(format!("{name}.kern.o")),
            &["-target", "bpf", "-mcpu=v3", "-DKERN"],
        )?);
        let so = |flags: &[&str], tag: &str| {
            let all = [&["-shared", "-fPIC", "-DNATIVE"], flags].concat();
            compile(&source, &work.join(format!("{name}.{tag}.so")), &all)
        };
        let mut engines = vec![ring3(&raw, name)];
        engines.push(ring3_interp(&raw, name));
        engines.extend(kernel(&kern, name));
        engines.push(native("native_o2", &so(&["-O2"], "o2")?, name));
        engines.push(native("native_o3m", &so(&["-O3", "-march=native"], "o3")?, name));
        engines.extend(rbpf(&raw, name, true));
        engines.extend(rbpf(&raw, name, false));
        for engine in &mut engines {
            calibrate(engine);
        }
        let (compile_ns, slots) = compile_time(&raw);
        let call_free = name != "empty" && raw.insns.iter().all(|insn| insn.code != 0x85);
        Some(Bench { name: name.into(), engines, compile_ns, slots, call_free })
    }

    fn round(&mut self) {
        for engine in &mut self.engines {
            let (ns, value) = (engine.run)(engine.count);
            engine.samples.push(ns / engine.count as f64);
            engine.value = value;
        }
    }
}

fn calibrate(engine: &mut Engine) {
    let mut count = 1;
    loop {
        let (ns, value) = (engine.run)(count);
        engine.value = value;
        if ns > SAMPLE_NS / 4.0 || count > 1 << 22 {
            let per = (ns / count as f64).max(0.5);
            engine.count = ((SAMPLE_NS / per) as u64).max(1);
            return;
        }
        count *= 4;
    }
}

fn compile_time(linked: &Linked) -> (f64, usize) {
    let insns = placed(linked);
    let mut times = Vec::new();
    for _ in 0..31 {
        let start = thread_ns();
        for _ in 0..8 {
            let input = Input { insns: &insns, starts: &linked.starts };
            std::hint::black_box(
                jit::machine_code(input, &NoMaps, &Options::default()).expect("compiles"),
            );
        }
        times.push((thread_ns() - start) / 8.0);
    }
    times.sort_by(f64::total_cmp);
    (times[15], insns.len())
}

fn compile(source: &Path, out: &Path, flags: &[&str]) -> Option<PathBuf> {
    let status = Command::new("clang-19")
        .args(["-O2", "-w", "-c"].iter().take(if flags.contains(&"-shared") { 2 } else { 3 }))
        .args(flags)
        .arg(source)
        .arg("-o")
        .arg(out)
        .status()
        .expect("clang-19");
    if !status.success() {
        eprintln!("clang-19 refuses {} {}", flags.join(" "), source.display());
        return None;
    }
    Some(out.into())
}

fn link(path: &Path) -> Linked {
    let bytes = fs::read(path).expect("an object");
    let file = object::File::parse(&*bytes).expect("an ELF object");
    let section = file.section_by_name("xdp").expect("section xdp");
    let mut insns = Insn::slots(section.data().expect("code")).expect("whole slots");
    let mut rodata = Vec::new();
    let mut bases = HashMap::new();
    for s in file.sections().filter(|s| s.name().is_ok_and(|n| n.starts_with(".rodata"))) {
        bases.insert(s.index(), rodata.len() as u64);
        rodata.extend_from_slice(s.data().expect("data"));
    }
    let mut rodata_at = Vec::new();
    for (at, relocation) in section.relocations() {
        let RelocationTarget::Symbol(index) = relocation.target() else { continue };
        let symbol = file.symbol_by_index(index).expect("a symbol");
        let slot = (at / 8) as usize;
        let home = symbol.section_index().expect("a section");
        if let Some(base) = bases.get(&home) {
            let low = insns[slot].imm as u32 as u64;
            rodata_at.push((slot, base + symbol.address() + low));
        } else if insns[slot].code == 0x85 && home == section.index() {
            let rel = symbol.address() as i64 / 8 + i64::from(insns[slot].imm) + 1;
            insns[slot].imm = (rel - slot as i64 - 1) as i32;
        }
    }
    let mut starts = vec![0];
    for (pc, insn) in insns.iter().enumerate() {
        if insn.code == 0x85 && insn.src().0 == 1 {
            starts.push((pc as i64 + 1 + i64::from(insn.imm)) as u32);
        }
    }
    starts.sort_unstable();
    starts.dedup();
    Linked { insns, starts, rodata_at, rodata }
}

/// Slots with addresses of a copy of the read-only data that lives for ever.
fn placed(linked: &Linked) -> Vec<Insn> {
    let data: &'static [u8] = Box::leak(linked.rodata.clone().into_boxed_slice());
    let mut insns = linked.insns.clone();
    for &(slot, offset) in &linked.rodata_at {
        let address = data.as_ptr() as u64 + offset;
        insns[slot].imm = address as u32 as i32;
        insns[slot + 1].imm = (address >> 32) as u32 as i32;
    }
    insns
}

/// Programs here call nothing.
struct NoMaps;

impl Env for NoMaps {
    fn helper(&self, _: i32) -> Option<Target> {
        None
    }
}

/// Packet bytes for a program.
fn data(name: &str) -> Vec<u8> {
    let mut state = 0x1234_5678_9abc_def0u64;
    let mut bytes: Vec<u8> = (0..DATA)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8 | 1 << (state % 7)
        })
        .collect();
    let (first, second) = bytes.split_at_mut(DATA / 2);
    second.copy_from_slice(first);
    if name == "pktparse" {
        for (i, frame) in bytes.chunks_mut(128).enumerate() {
            let mut at = 12;
            if i % 4 == 1 {
                frame[at..at + 2].copy_from_slice(&[0x81, 0]);
                at += 4;
            }
            if i % 5 == 2 {
                frame[at..at + 2].copy_from_slice(&[0x86, 0xdd]);
                frame[at + 8] = if i % 2 == 0 { 6 } else { 17 };
            } else {
                frame[at..at + 3].copy_from_slice(&[8, 0, 0x45]);
                frame[at + 11] = if i % 3 == 0 { 17 } else { 6 };
            }
        }
    }
    bytes
}

fn thread_ns() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills our own structure.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

fn context(name: &str) -> &'static RawContext {
    let data: &'static mut [u8] = Box::leak(data(name).into_boxed_slice());
    let start = data.as_mut_ptr() as u64;
    Box::leak(Box::new(RawContext { data: start, data_end: start + DATA as u64 }))
}

fn engine(name: &'static str, run: Box<dyn FnMut(u64) -> (f64, u64)>) -> Engine {
    Engine { name, run, samples: Vec::new(), count: 1, value: 0 }
}

fn ring3(linked: &Linked, name: &str) -> Engine {
    let insns = placed(linked);
    let input = Input { insns: &insns, starts: &linked.starts };
    let program = Program::new(input, &NoMaps, &Options::default()).expect("compiles");
    if std::env::args().any(|a| a == "--dump") {
        dump(&program);
    }
    let ctx = std::ptr::from_ref(context(name)) as u64;
    let mut run = RunContext::new();
    engine(
        "ring3_jit",
        Box::new(move |count| {
            let start = thread_ns();
            let mut value = 0;
            for _ in 0..count {
                // SAFETY: the benchmark's programs stay inside their packet.
                value = unsafe { program.run(ctx, &mut run) }.expect("no fault");
            }
            (thread_ns() - start, value)
        }),
    )
}

/// All the memory there is: the engines are compared on trusted programs.
struct Everything;

impl interp::Host for Everything {
    fn region(&mut self, addr: u64) -> Option<interp::Region> {
        let start = addr & !0xfff;
        Some(interp::Region {
            start: start.saturating_sub(1 << 20),
            end: start + (1 << 20),
            writable: true,
        })
    }

    fn call(
        &mut self,
        id: u32,
        _: [u64; 5],
        _: &mut dyn interp::Callback,
    ) -> Result<u64, interp::Trap> {
        Err(interp::Trap::here(interp::TrapKind::NoHelper(id)))
    }
}

fn ring3_interp(linked: &Linked, name: &str) -> Engine {
    let program = interp::Program::new(&placed(linked)).expect("decodes");
    let ctx = std::ptr::from_ref(context(name)) as u64;
    let mut vm = interp::Vm::new();
    engine(
        "ring3_interp",
        Box::new(move |count| {
            let start = thread_ns();
            let mut value = 0;
            for _ in 0..count {
                let limits = interp::Limits::default();
                value = vm.run(&program, ctx, &mut Everything, limits).expect("no trap");
            }
            (thread_ns() - start, value)
        }),
    )
}

fn dump(program: &Program) {
    use iced_x86::Formatter;
    let code = program.code();
    let mut decoder = iced_x86::Decoder::with_ip(64, code, 0, 0);
    let mut formatter = iced_x86::GasFormatter::new();
    let mut lines = program.lines().iter().peekable();
    for instruction in &mut decoder {
        while lines.peek().is_some_and(|l| u64::from(l.offset) <= instruction.ip()) {
            print!("[{}] ", lines.next().map_or(0, |l| l.pc));
        }
        let mut text = String::new();
        formatter.format(&instruction, &mut text);
        println!("\t{:4x}  {text}", instruction.ip());
    }
}

fn native(name: &'static str, library: &Path, program: &str) -> Engine {
    type Entry = extern "C" fn(u64) -> u64;
    let path = CString::new(library.to_str().expect("UTF-8")).expect("no NUL");
    // SAFETY: a library that clang has just made from our own source; it has no constructors.
    let entry: Entry = unsafe {
        let handle = libc::dlopen(path.as_ptr(), libc::RTLD_NOW);
        assert!(!handle.is_null(), "dlopen {}", library.display());
        let symbol = libc::dlsym(handle, c"prog".as_ptr());
        assert!(!symbol.is_null(), "symbol prog");
        std::mem::transmute::<*mut c_void, Entry>(symbol)
    };
    let ctx = std::ptr::from_ref(context(program)) as u64;
    engine(
        name,
        Box::new(move |count| {
            let start = thread_ns();
            let mut value = 0;
            for _ in 0..count {
                value = std::hint::black_box(entry(ctx));
            }
            (thread_ns() - start, value)
        }),
    )
}

fn rbpf(linked: &Linked, name: &str, jit: bool) -> Option<Engine> {
    let bytes: &'static [u8] =
        Box::leak(placed(linked).iter().flat_map(|i| i.to_bytes()).collect::<Vec<u8>>().into());
    let mut vm = rbpf::EbpfVmRaw::new(Some(bytes)).ok()?;
    vm.register_allowed_memory(0..u64::MAX);
    if jit {
        vm.jit_compile().ok()?;
    }
    let ctx = context(name);
    // SAFETY: the context is leaked and nobody else has it.
    let memory = unsafe {
        std::slice::from_raw_parts_mut(std::ptr::from_ref(ctx).cast_mut().cast::<u8>(), 16)
    };
    Some(engine(
        if jit { "rbpf_jit" } else { "rbpf_interp" },
        Box::new(move |count| {
            let start = thread_ns();
            let mut value = 0;
            for _ in 0..count {
                value = match jit {
                    // SAFETY: the same programs as above.
                    true => unsafe { vm.execute_program_jit(memory) }.expect("runs"),
                    false => vm.execute_program(memory).expect("runs"),
                };
            }
            (thread_ns() - start, value)
        }),
    ))
}

// --- the kernel -------------------------------------------------------------------------------

fn bpf(command: u32, attr: &mut [u64; 18]) -> i64 {
    // SAFETY: the attribute's pointers point at live buffers of the sizes given.
    unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_mut_ptr(), size_of_val(attr)) }
}

fn kernel(linked: &Linked, name: &str) -> Option<Engine> {
    let mut insns = linked.insns.clone();
    if !linked.rodata.is_empty() {
        let map = rodata_map(&linked.rodata)?;
        for &(slot, offset) in &linked.rodata_at {
            insns[slot] = Insn::new(0x18, insns[slot].dst().0, 2, 0, map);
            insns[slot + 1].imm = offset as i32;
        }
    }
    let mut log = vec![0u8; 1 << 20];
    let mut attr = [0u64; 18];
    attr[0] = 6 | (insns.len() as u64) << 32;
    attr[1] = insns.as_ptr() as u64;
    attr[2] = c"GPL".as_ptr() as u64;
    let fd = bpf(5, &mut attr);
    if fd < 0 {
        attr[3] = 1 | (log.len() as u64) << 32;
        attr[4] = log.as_mut_ptr() as u64;
        bpf(5, &mut attr);
        let text: Vec<u8> = log.into_iter().take_while(|b| *b != 0).collect();
        let text = String::from_utf8_lossy(&text).into_owned();
        let tail: Vec<&str> = text.lines().rev().take(3).collect();
        eprintln!("{name}: the kernel refuses: {tail:?}");
        return None;
    }
    let bytes = data(name);
    let mut out = vec![0u8; DATA + 256];
    Some(engine(
        "kernel_jit",
        Box::new(move |count| {
            let mut attr = [0u64; 18];
            attr[0] = fd as u64;
            attr[1] = DATA as u64 | (out.len() as u64) << 32;
            attr[2] = bytes.as_ptr() as u64;
            attr[3] = out.as_mut_ptr() as u64;
            attr[4] = count.min(1 << 20);
            let result = bpf(10, &mut attr);
            assert!(result >= 0, "BPF_PROG_TEST_RUN");
            let duration = attr[4] >> 32;
            (duration as f64 * count as f64, attr[0] >> 32)
        }),
    ))
}

fn rodata_map(bytes: &[u8]) -> Option<i32> {
    let mut attr = [0u64; 18];
    attr[0] = 2 | 4 << 32;
    attr[1] = bytes.len() as u64 | 1 << 32;
    attr[2] = 1 << 7;
    let fd = bpf(0, &mut attr);
    let key = 0u32;
    let mut update = [0u64; 18];
    update[0] = fd as u64;
    update[1] = std::ptr::from_ref(&key) as u64;
    update[2] = bytes.as_ptr() as u64;
    let done = fd >= 0 && bpf(2, &mut update) >= 0;
    let mut freeze = [0u64; 18];
    freeze[0] = fd as u64;
    (done && bpf(22, &mut freeze) >= 0).then_some(fd as i32)
}

// --- the table --------------------------------------------------------------------------------

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// One line of the table.
struct Row {
    name: String,
    /// Engine and nanoseconds a run; the kernel's without those of the empty program.
    ns: Vec<(&'static str, f64)>,
    compile_ns: f64,
    slots: usize,
    call_free: bool,
    differ: bool,
}

struct Summary(Vec<Row>);

const ENGINES: [&str; 7] = [
    "ring3_jit",
    "kernel_jit",
    "native_o2",
    "native_o3m",
    "rbpf_jit",
    "ring3_interp",
    "rbpf_interp",
];

impl Row {
    fn get(&self, engine: &str) -> f64 {
        self.ns.iter().find(|(name, _)| *name == engine).map_or(f64::NAN, |(_, ns)| *ns)
    }

    fn ratio(&self, engine: &str) -> f64 {
        self.get("ring3_jit") / self.get(engine)
    }
}

impl Summary {
    fn of(benches: &[Bench]) -> Summary {
        let ns = |bench: &Bench, engine: &str| {
            bench.engines.iter().find(|e| e.name == engine).map(|e| median(&e.samples))
        };
        let empty = benches.iter().find(|b| b.name == "empty");
        let kernel_empty = empty.and_then(|b| ns(b, "kernel_jit")).unwrap_or(0.0);
        let row = |bench: &Bench| {
            let take = |engine: &Engine| {
                let whole = engine.name != "kernel_jit" || bench.name == "empty";
                (engine.name, median(&engine.samples) - if whole { 0.0 } else { kernel_empty })
            };
            let values: Vec<u32> = bench.engines.iter().map(|e| e.value as u32).collect();
            Row {
                name: bench.name.clone(),
                ns: bench.engines.iter().map(take).collect(),
                compile_ns: bench.compile_ns,
                slots: bench.slots,
                call_free: bench.call_free,
                differ: values.windows(2).any(|w| w[0] != w[1]),
            }
        };
        Summary(benches.iter().map(row).collect())
    }

    /// Geometric mean of our time by `engine`'s, over the call-free programs.
    fn mean(&self, engine: &str) -> f64 {
        let ratios = self.0.iter().filter(|r| r.call_free).map(|r| r.ratio(engine).ln());
        let logs: Vec<f64> = ratios.filter(|l| !l.is_nan()).collect();
        (logs.iter().sum::<f64>() / logs.len() as f64).exp()
    }

    fn compile_ns(&self) -> f64 {
        let rows = || self.0.iter().filter(|r| r.call_free);
        rows().map(|r| r.compile_ns).sum::<f64>() / rows().map(|r| r.slots as f64).sum::<f64>()
    }

    fn print_table(&self) {
        print!("{:10}", "program");
        ENGINES.iter().for_each(|engine| print!(" {engine:>12}"));
        println!(" | /kernel /native | compile ns/insn");
        for row in &self.0 {
            print!("{:10}", row.name);
            ENGINES.iter().for_each(|engine| print!(" {:12.1}", row.get(engine)));
            let (kernel, native) = (row.ratio("kernel_jit"), row.ratio("native_o2"));
            println!(" | {kernel:7.2} {native:7.2} | {:6.0}", row.compile_ns / row.slots as f64);
            if row.differ {
                println!("  the engines' results differ");
            }
        }
        println!(
            "geometric means: ring3/kernel {:.3}, ring3/native {:.3}, ring3/rbpf {:.3}; compile {:.0} ns/insn",
            self.mean("kernel_jit"),
            self.mean("native_o2"),
            self.mean("rbpf_jit"),
            self.compile_ns()
        );
    }

    fn print_json(&self) {
        let program = |row: &Row| {
            let ns: serde_json::Map<String, serde_json::Value> =
                row.ns.iter().map(|(name, ns)| (name.to_string(), (*ns).into())).collect();
            serde_json::json!({ "name": row.name, "ns": ns })
        };
        let all = serde_json::json!({
            "programs": self.0.iter().map(program).collect::<Vec<_>>(),
            "geomean_vs_kernel": self.mean("kernel_jit"),
            "geomean_vs_native": self.mean("native_o2"),
            "compile_ns_per_insn": self.compile_ns(),
        });
        println!("{all:#}");
    }
}
