//! The interpreter beside rbpf's, on the same bytecode and the same bytes.

use std::path::Path;

use interp::{Callback, Host, Limits, Observer, Program, Region, Trap, TrapKind, Vm};
use isa::Insn;
use serde::Serialize;
use translate::{Input, MapAddr, TranslateError, translate};
use verifier::Facts;

use super::clock::{median, time};
use super::programs::{self, Flavour};

/// The programs that issue figures name: no calls, no maps.
pub const PROGRAMS: &[&str] = &["fib", "siphash", "prime", "crc32"];
const ROUNDS: usize = 15;

/// One program's figures.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The program.
    pub name: String,
    /// Instructions in one run.
    pub insns: u64,
    /// Nanoseconds an instruction.
    pub ring3_ns: f64,
    /// Nanoseconds an instruction.
    pub rbpf_ns: f64,
    /// ring3's time over rbpf's.
    pub ratio: f64,
}

/// Memory of a run: the two-pointer context, the packet, the object's data.
#[derive(Clone)]
struct RawHost(Vec<Region>);

fn region(bytes: &[u8], writable: bool) -> Region {
    let start = bytes.as_ptr() as u64;
    Region { start, end: start + bytes.len() as u64, writable }
}

impl Host for RawHost {
    fn region(&mut self, addr: u64) -> Option<Region> {
        self.0.iter().copied().find(|r| (r.start..r.end).contains(&addr))
    }

    fn call(&mut self, id: u32, _: [u64; 5], _: &mut dyn Callback) -> Result<u64, Trap> {
        Err(Trap { pc: 0, kind: TrapKind::NoHelper(id) })
    }
}

/// Counts instructions.
struct Count(u64);

impl Observer for Count {
    fn step(&mut self, _pc: usize, _regs: &[u64; 11]) {
        self.0 += 1;
    }
}

/// The program's slots with map values' addresses in place.
fn link(program: &loader::ProgramSpec, data: &[Vec<u8>]) -> Result<Vec<Insn>, TranslateError> {
    let fds: Vec<i32> = (1..=data.len() as i32).collect();
    let maps: Vec<MapAddr> = fds
        .iter()
        .zip(data)
        .map(|(&fd, d)| MapAddr { fd, object: 0, value: d.as_ptr() as u64 })
        .collect();
    let input = Input {
        insns: &program.link(&fds),
        facts: &Facts::default(),
        prog_type: None,
        attach_type: 0,
        maps: &maps,
        fd_array: &[],
        vars: &[],
        kfuncs: &[],
        user_casts: false,
    };
    translate(input).map(|t| t.insns)
}

/// Measures every program of [`PROGRAMS`] in `dir`.
pub fn run(dir: &Path) -> Result<Vec<Row>, String> {
    PROGRAMS.iter().map(|name| measure(dir, name)).collect()
}

fn measure(dir: &Path, name: &str) -> Result<Row, String> {
    let object = programs::compile(dir, name, Flavour::Raw)?;
    let spec = loader::Object::parse(&object).map_err(|e| format!("{name}: {e}"))?;
    let program = spec.programs.first().ok_or(format!("{name}: no program"))?;
    // The sections behind `.rodata` and so on, at the addresses the program gets.
    let data: Vec<Vec<u8>> =
        spec.maps.iter().map(|m| m.initial.clone().unwrap_or_default()).collect();
    let insns = link(program, &data).map_err(|e| format!("{name}: {e}"))?;
    let bytes: Vec<u8> = insns.iter().flat_map(|i| i.to_bytes()).collect();
    let mut packet = programs::packet();
    let ends = packet.as_ptr_range();
    let mut ctx = [ends.start as u64, ends.end as u64].map(u64::to_le_bytes).concat();

    let program = Program::new(&insns).map_err(|e| format!("{name}: {e}"))?;
    let mut regions = vec![region(&ctx, false), region(&packet, true)];
    regions.extend(data.iter().map(|d| region(d, false)));
    let mut host = RawHost(regions);
    let mut host2 = host.clone();
    let mut vm = Vm::new();
    let entry = ctx.as_ptr() as u64;
    let mut count = Count(0);
    let mut ours = |vm: &mut Vm| {
        vm.run(&program, entry, &mut host, Limits::default()).map_err(|e| format!("{name}: {e}"))
    };
    let mut rival = rbpf::EbpfVmMbuff::new(Some(&bytes)).map_err(|e| format!("rbpf: {e}"))?;
    rival.register_allowed_memory(packet.as_ptr_range().start as u64..ends.end as u64);

    for d in &data {
        let range = d.as_ptr_range();
        rival.register_allowed_memory(range.start as u64..range.end as u64);
    }

    let expected = rival.execute_program(&packet, &ctx).map_err(|e| format!("rbpf: {e}"))?;
    let got = ours(&mut vm)?;
    if got != expected {
        return Err(format!("{name}: ring3 gives {got:#x}, rbpf {expected:#x}"));
    }
    Vm::new()
        .run_observed(&program, entry, &mut host2, Limits::default(), &mut count)
        .map_err(|e| format!("{name}: {e}"))?;

    // As many runs as make a round long enough for the clock.
    let runs = (2_000_000 / count.0.max(1)).max(1);
    let (mut ring3, mut rbpf) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (result, ns) = time(|| (0..runs).try_for_each(|_| ours(&mut vm).map(drop)));
        result?;
        ring3.push(ns as f64 / (runs * count.0) as f64);
        let (result, ns) =
            time(|| (0..runs).try_for_each(|_| rival.execute_program(&packet, &ctx).map(drop)));
        result.map_err(|e| format!("rbpf: {e}"))?;
        rbpf.push(ns as f64 / (runs * count.0) as f64);
    }
    // Both were lent out by address only: the buffers must live to here.
    packet.clear();
    ctx.clear();
    let (ring3_ns, rbpf_ns) = (median(&mut ring3), median(&mut rbpf));
    Ok(Row { name: name.into(), insns: count.0, ring3_ns, rbpf_ns, ratio: ring3_ns / rbpf_ns })
}
