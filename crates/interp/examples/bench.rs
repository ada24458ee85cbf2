//! Nanoseconds an instruction, next to rbpf's interpreter on the same bytecode.
//!
//! `cargo run --release -p ring3-interp --example bench -- DIR [NAME…]`: DIR holds NAME.bpf.c
//! programs with a raw context `{ u64 data, data_end }`; clang-19 compiles them.

use std::{path::Path, process::Command, time::Instant};

use interp::{Callback, Host, Limits, Program, Region, Trap, TrapKind, Vm};
use isa::Insn;
use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget};

const NAMES: [&str; 4] = ["fib", "siphash", "prime", "crc32"];

fn main() {
    let mut args = std::env::args().skip(1);
    let Some(dir) = args.next() else {
        eprintln!("usage: bench DIR [NAME…]");
        std::process::exit(2);
    };
    let mut names: Vec<String> = args.collect();
    if names.is_empty() {
        names = NAMES.map(String::from).to_vec();
    }
    for name in names {
        if let Err(why) = measure(Path::new(&dir), &name) {
            println!("{name:10} {why}");
        }
    }
}

fn measure(dir: &Path, name: &str) -> Result<(), Box<dyn std::error::Error>> {
    let object = std::env::temp_dir().join(format!("ring3-bench-{}.o", std::process::id()));
    let status = Command::new("clang-19")
        .args(["-O2", "-target", "bpf", "-mcpu=v3", "-DRAW", "-w", "-c", "-o"])
        .arg(&object)
        .arg(dir.join(format!("{name}.bpf.c")))
        .status()?;
    if !status.success() {
        return Err("does not compile".into());
    }
    let bytes = std::fs::read(&object)?;
    std::fs::remove_file(&object)?;
    let (code, rodata) = link(&bytes)?;
    let mut data: Vec<u8> =
        (0..4096_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let start = data.as_mut_ptr() as u64;
    let ctx = [start, start + data.len() as u64];
    let region = |p: *const u8, len: usize, writable| {
        let start = p as u64;
        Region { start, end: start + len as u64, writable }
    };
    let mut host = Buffers(vec![
        region(ctx.as_ptr().cast(), 16, false),
        region(data.as_ptr(), data.len(), true),
        region(rodata.as_ptr(), rodata.len(), false),
    ]);

    let insns = Insn::slots(&code).ok_or("odd code")?;
    let program = Program::new(&insns)?;
    let mut vm = Vm::new();
    let ctx_addr = ctx.as_ptr() as u64;
    let ours = vm.run(&program, ctx_addr, &mut host, Limits::default())?;
    let steps = vm.fuel_used();

    let mut rbpf_vm = rbpf::EbpfVmRaw::new(None)?;
    rbpf_vm.set_verifier(|_| Ok(()))?;
    rbpf_vm.set_program(&code)?;
    rbpf_vm.register_allowed_memory(start..ctx[1]);
    rbpf_vm.register_allowed_memory(
        rodata.as_ptr() as u64..rodata.as_ptr() as u64 + rodata.len() as u64,
    );
    let mut raw_ctx: Vec<u8> = ctx.iter().flat_map(|w| w.to_le_bytes()).collect();
    let theirs = rbpf_vm.execute_program(&mut raw_ctx)?;
    if ours != theirs {
        return Err(format!("results differ: {ours:#x}, rbpf {theirs:#x}").into());
    }

    let repeats = (4_000_000 / steps.max(1)).max(1);
    let mut best = [f64::MAX; 2];
    for _ in 0..9 {
        let begin = Instant::now();
        for _ in 0..repeats {
            let _ = std::hint::black_box(vm.run(&program, ctx_addr, &mut host, Limits::default()));
        }
        best[0] = best[0].min(begin.elapsed().as_nanos() as f64);
        let begin = Instant::now();
        for _ in 0..repeats {
            let _ = std::hint::black_box(rbpf_vm.execute_program(&mut raw_ctx));
        }
        best[1] = best[1].min(begin.elapsed().as_nanos() as f64);
    }
    let [ours, theirs] = best.map(|ns| ns / (repeats * steps) as f64);
    println!(
        "{name:10} {steps:8} insns  ring3 {ours:5.2} ns/insn  rbpf {theirs:5.2} ns/insn  ratio {:.2}",
        ours / theirs
    );
    Ok(())
}

/// The entry's code with `.text` behind it and addresses of read-only data in place.
fn link(bytes: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Box<dyn std::error::Error>> {
    let file = object::File::parse(bytes)?;
    let section = file.section_by_name("xdp").ok_or("no section xdp")?;
    let mut code = section.data()?.to_vec();
    // Functions before `prog` in the section would run first.
    let entry = file.symbols().find(|s| s.name() == Ok("prog")).ok_or("no symbol prog")?.address();
    if entry != 0 {
        return Err("entry is not first".into());
    }
    let rodata = match file.section_by_name(".rodata") {
        Some(section) => section.data()?.to_vec(),
        None => Vec::new(),
    };
    for (at, relocation) in section.relocations() {
        let RelocationTarget::Symbol(symbol) = relocation.target() else { continue };
        let symbol = file.symbol_by_index(symbol)?;
        let name = symbol.section_index().and_then(|i| file.section_by_index(i).ok());
        let is_rodata = name.is_some_and(|s| s.name() == Ok(".rodata"));
        let at = at as usize;
        if is_rodata {
            let off = u32::from_le_bytes(code[at + 4..at + 8].try_into()?) as u64;
            let address = rodata.as_ptr() as u64 + symbol.address() + off;
            code[at + 4..at + 8].copy_from_slice(&(address as u32).to_le_bytes());
            code[at + 12..at + 16].copy_from_slice(&((address >> 32) as u32).to_le_bytes());
        } else {
            return Err("unknown relocation".into());
        }
    }
    Ok((code, rodata))
}

struct Buffers(Vec<Region>);

impl Host for Buffers {
    fn region(&mut self, addr: u64) -> Option<Region> {
        self.0.iter().copied().find(|r| r.start <= addr && addr < r.end)
    }

    fn call(&mut self, id: u32, _: [u64; 5], _: &mut dyn Callback) -> Result<u64, Trap> {
        Err(Trap::here(TrapKind::NoHelper(id)))
    }
}
