//! Each operation on each kind of map, from inside a program: ring3 beside the running kernel, on
//! one thread and on two.
//!
//! A program does an operation 32 times a run, on keys that look random; what the same program
//! takes without the operation is subtracted. Short rounds of both sides follow each other, and the
//! quarter that nothing disturbed counts.

use std::sync::Barrier;

use isa::Insn;
use runtime::door::{Bpf, Fd, ProgLoad, TestRun};
use serde::Serialize;
use uapi::{Errno, MapDef, MapType, ProgType, map_flags};

/// Operations of a run, runs of a round, rounds.
const OPS: i32 = 32;
const REPEAT: u32 = 60;
const ROUNDS: usize = 41;

/// One operation.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Kind of map.
    pub map: &'static str,
    /// What is done.
    pub op: &'static str,
    /// Threads at once, each with a program of its own on the one map.
    pub threads: usize,
    /// Nanoseconds an operation in ring3.
    pub ring3: f64,
    /// In the kernel; none without bpf(2).
    pub kernel: Option<f64>,
    /// The ratio.
    pub ratio: Option<f64>,
    /// The ratio to be reached, where one is set.
    pub goal: Option<f64>,
}

/// What a program does with a key and a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Op {
    Nothing,
    Lookup,
    Update,
    /// Inserts a key and deletes it.
    Cycle,
    PushPop,
    Submit,
    Output,
}

/// A kind of map: its type, flags, elements, and how many of them are set before.
struct Kind {
    name: &'static str,
    def: MapDef,
    filled: u32,
}

/// Kind, operation, what it is called, ratio to be reached, how many keys it may meet.
type Plan = (&'static str, Op, &'static str, Option<f64>, i32);

const KEYS: u32 = 1024;
/// Elements that no cache holds beside other work.
const LARGE: u32 = 65536;
const ROUTES: u32 = 100_000;

const PLANS: &[Plan] = &[
    ("array", Op::Lookup, "lookup", None, 1024),
    ("array", Op::Update, "update", None, 1024),
    ("per-CPU array", Op::Lookup, "lookup", None, 1024),
    ("per-CPU array", Op::Update, "update", None, 1024),
    ("hash", Op::Lookup, "lookup", Some(0.35), 1024),
    ("hash", Op::Update, "update", Some(0.5), 1024),
    ("hash", Op::Cycle, "insert+delete", None, -1024),
    ("large hash", Op::Lookup, "lookup", Some(0.35), 65536),
    ("large hash", Op::Update, "update", Some(0.5), 65536),
    ("per-CPU hash", Op::Lookup, "lookup", None, 1024),
    ("per-CPU hash", Op::Update, "update", None, 1024),
    ("LRU hash", Op::Lookup, "lookup", Some(0.5), 1024),
    ("LRU hash", Op::Update, "update", Some(0.5), 1024),
    ("LRU hash", Op::Update, "insert, evict", Some(0.5), 8192),
    ("LPM trie", Op::Lookup, "lookup", Some(0.7), 0),
    ("LPM trie", Op::Update, "update", None, 0),
    ("queue", Op::PushPop, "push+pop", None, 1024),
    ("stack", Op::PushPop, "push+pop", None, 1024),
    ("ring buffer", Op::Submit, "reserve+submit", Some(1.0), 1024),
    ("ring buffer", Op::Output, "output", Some(1.0), 1024),
];

fn kind(name: &'static str) -> Kind {
    use MapType::*;
    let (t, key, value, max, filled) = match name {
        "array" => (Array, 4, 8, KEYS, 0),
        "per-CPU array" => (PercpuArray, 4, 8, KEYS, 0),
        "hash" => (Hash, 4, 8, 2 * KEYS, KEYS),
        "large hash" => (Hash, 4, 8, 2 * LARGE, LARGE),
        "per-CPU hash" => (PercpuHash, 4, 8, 2 * KEYS, KEYS),
        "LRU hash" => (LruHash, 4, 8, 2 * KEYS, KEYS),
        "LPM trie" => (LpmTrie, 8, 8, 1 << 20, ROUTES),
        "queue" => (Queue, 0, 8, KEYS, 16),
        "stack" => (Stack, 0, 8, KEYS, 16),
        _ => (Ringbuf, 0, 0, 1 << 20, 0),
    };
    let mut def = MapDef::new(t, key, value, max);
    if t == LpmTrie {
        def.flags = map_flags::NO_PREALLOC;
    }
    Kind { name, def, filled }
}

/// The network of route `n`, 16 to 24 bits in sixteen of the largest blocks.
fn route(n: u32) -> [u8; 8] {
    let random = n.wrapping_mul(0x9e37_79b1) ^ n.wrapping_mul(0x85eb_ca6b) >> 13;
    let bits = 24 - (n % 16).saturating_sub(8);
    let address = (random & 0x0fff_ffff).to_be_bytes();
    let mut key = [0; 8];
    key[..4].copy_from_slice(&bits.to_ne_bytes());
    key[4..].copy_from_slice(&address);
    key
}

fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
    Insn::new(code, dst, src, off, imm)
}

/// `ld_imm64` of a map, or with `value` of the first byte of its value.
fn map_address(dst: u8, map: Fd, value: bool) -> [Insn; 2] {
    [insn(0x18, dst, if value { 2 } else { 1 }, 0, map.0), insn(0, 0, 0, 0, 0)]
}

const LOOKUP: i32 = 1;
const UPDATE: i32 = 2;
const DELETE: i32 = 3;
const PUSH: i32 = 87;
const POP: i32 = 88;
const OUTPUT: i32 = 130;
const RESERVE: i32 = 131;
const SUBMIT: i32 = 132;

/// Where key and value are on the stack.
const KEY: i32 = -8;
const VALUE: i32 = -16;

fn call(helper: i32) -> Insn {
    insn(0x85, 0, 0, 0, helper)
}

/// `dst` = r10 + `off`.
fn stack(dst: u8, off: i32) -> [Insn; 2] {
    [insn(0xbf, dst, 10, 0, 0), insn(0x07, dst, 0, 0, off)]
}

fn mov(dst: u8, imm: i32) -> Insn {
    insn(0xb7, dst, 0, 0, imm)
}

fn body(op: Op, map: Fd) -> Vec<Insn> {
    let mut out = Vec::new();
    let update = |out: &mut Vec<Insn>| {
        out.extend(map_address(1, map, false));
        out.extend(stack(2, KEY).into_iter().chain(stack(3, VALUE)));
        out.extend([mov(4, 0), call(UPDATE)]);
    };
    match op {
        Op::Nothing => {}
        Op::Lookup => {
            out.extend(map_address(1, map, false).into_iter().chain(stack(2, KEY)));
            out.extend([call(LOOKUP), insn(0x15, 0, 0, 1, 0), insn(0x79, 0, 0, 0, 0)]);
        }
        Op::Update => update(&mut out),
        Op::Cycle => {
            update(&mut out);
            out.extend(map_address(1, map, false).into_iter().chain(stack(2, KEY)));
            out.push(call(DELETE));
        }
        Op::PushPop => {
            out.extend(map_address(1, map, false).into_iter().chain(stack(2, VALUE)));
            out.extend([mov(3, 0), call(PUSH)]);
            out.extend(map_address(1, map, false).into_iter().chain(stack(2, VALUE)));
            out.push(call(POP));
        }
        Op::Submit => {
            out.extend(map_address(1, map, false));
            out.extend([mov(2, 8), mov(3, 0), call(RESERVE), insn(0x15, 0, 0, 4, 0)]);
            out.extend([insn(0x7b, 0, 6, 0, 0), insn(0xbf, 1, 0, 0, 0), mov(2, 0), call(SUBMIT)]);
        }
        Op::Output => {
            out.extend(map_address(1, map, false).into_iter().chain(stack(2, VALUE)));
            out.extend([mov(3, 8), mov(4, 0), call(OUTPUT)]);
        }
    }
    out
}

/// r6 is a number that looks random, kept in `seed` from run to run; it makes the keys.
fn program(op: Op, map: Fd, seed: Fd, keys: i32) -> Vec<Insn> {
    const FACTOR: u64 = 0x5851_f42d_4c95_7f2d;
    let mut out = Vec::from(map_address(9, seed, true));
    out.extend([insn(0x79, 6, 9, 0, 0), mov(7, 0)]);
    out.extend([insn(0x18, 8, 0, 0, FACTOR as i32), insn(0, 0, 0, 0, (FACTOR >> 32) as i32)]);
    out.push(insn(0x7b, 10, 6, VALUE as i16, 0));
    let start = out.len();
    out.extend([insn(0x2f, 6, 8, 0, 0), insn(0x07, 6, 0, 0, 12345)]);
    out.extend([insn(0xbf, 1, 6, 0, 0), insn(0x77, 1, 0, 0, 33)]);
    match keys {
        // A whole address, within the blocks that have routes.
        0 => {
            out.extend([insn(0x57, 1, 0, 0, 0x0fff_ffff), insn(0xdc, 1, 0, 0, 32)]);
            out.push(insn(0x63, 10, 1, KEY as i16 + 4, 0));
            out.push(insn(0x62, 10, 0, KEY as i16, if op == Op::Update { 24 } else { 32 }));
        }
        // Behind the keys that are there.
        ..0 => {
            out.extend([insn(0x57, 1, 0, 0, -keys - 1), insn(0x07, 1, 0, 0, -keys)]);
            out.push(insn(0x63, 10, 1, KEY as i16, 0));
        }
        _ => {
            out.extend([insn(0x57, 1, 0, 0, keys - 1), insn(0x63, 10, 1, KEY as i16, 0)]);
        }
    }
    out.extend(body(op, map));
    out.push(insn(0x07, 7, 0, 0, 1));
    let back = start as i16 - out.len() as i16 - 1;
    out.push(insn(0xa5, 7, 0, back, OPS));
    out.extend([insn(0x7b, 9, 6, 0, 0), mov(0, 2), insn(0x95, 0, 0, 0, 0)]);
    out
}

/// One side: a map, and for each thread a program on it and one that does nothing.
struct Side<'d> {
    door: &'d dyn Bpf,
    map: Fd,
    ring: Option<maps::Mapping>,
    programs: Vec<[Fd; 2]>,
    open: Vec<Fd>,
    samples: Vec<f64>,
}

impl Drop for Side<'_> {
    fn drop(&mut self) {
        for fd in &self.open {
            let _ = self.door.close(*fd);
        }
    }
}

impl<'d> Side<'d> {
    fn new(door: &'d dyn Bpf, kind: &Kind, plan: &Plan, threads: usize) -> Result<Self, String> {
        let say = |e: Errno| format!("{}: {e}", kind.name);
        let map = door.map_create(&kind.def.clone().into()).map_err(say)?;
        let ring = match kind.def.map_type {
            MapType::Ringbuf => Some(door.map_mmap(map, 0, 4096, true).map_err(say)?),
            _ => None,
        };
        let samples = Vec::with_capacity(ROUNDS);
        let mut side = Side { door, map, ring, programs: Vec::new(), open: vec![map], samples };
        side.fill(kind).map_err(say)?;
        for thread in 0..threads {
            let seed =
                door.map_create(&MapDef::new(MapType::Array, 4, 8, 1).into()).map_err(say)?;
            side.open.push(seed);
            let first = (thread as u64 + 1).wrapping_mul(0x1234_5678_9abc_def1);
            door.map_update(seed, &[0; 4], &first.to_ne_bytes(), 0).map_err(say)?;
            let pair = [side.load(plan.1, seed, plan.4)?, side.load(Op::Nothing, seed, plan.4)?];
            side.programs.push(pair);
        }
        Ok(side)
    }

    fn load(&mut self, op: Op, seed: Fd, keys: i32) -> Result<Fd, String> {
        let req = ProgLoad {
            prog_type: Some(ProgType::Xdp),
            license: "GPL".into(),
            insns: program(op, self.map, seed, keys),
            ..ProgLoad::default()
        };
        let loaded = self.door.prog_load(&req).map_err(|e| format!("{e}\n{}", e.log))?;
        self.open.push(loaded.fd);
        Ok(loaded.fd)
    }

    fn fill(&self, kind: &Kind) -> Result<(), Errno> {
        let size = self.door.user_value_size(&kind.def);
        for n in 0..kind.filled {
            let key = match kind.def.map_type {
                MapType::LpmTrie => route(n).to_vec(),
                _ => n.to_ne_bytes()[..kind.def.key_size as usize].to_vec(),
            };
            self.door.map_update(self.map, &key, &vec![1; size], 0)?;
        }
        Ok(())
    }

    /// Nanoseconds a run of a program.
    fn run(&self, program: Fd) -> Result<f64, String> {
        let data_in = Some(vec![0; 64]);
        let req = TestRun { data_in, repeat: REPEAT, ..TestRun::default() };
        let out = self.door.test_run(program, &req).map_err(|e| format!("test run: {e}"))?;
        Ok(f64::from(out.duration_ns))
    }

    /// The reader has read everything.
    fn drain(&self) {
        let Some(ring) = &self.ring else { return };
        let mut end = [0; 8];
        let Ok(producer) = self.door.map_mmap(self.map, 4096, 4096, false) else { return };
        if producer.read(0, &mut end).is_ok() {
            let _ = ring.write(0, &end);
        }
    }

    /// Nanoseconds an operation, by the slowest of the threads.
    fn round(&mut self) -> Result<(), String> {
        self.drain();
        let barrier = Barrier::new(self.programs.len());
        let this = &*self;
        let one = |pair: &[Fd; 2]| -> Result<f64, String> {
            barrier.wait();
            let busy = this.run(pair[0])?;
            barrier.wait();
            Ok((busy - this.run(pair[1])?) / f64::from(OPS))
        };
        let all = std::thread::scope(|scope| {
            let others: Vec<_> =
                this.programs[1..].iter().map(|pair| scope.spawn(|| one(pair))).collect();
            let mut all = vec![one(&this.programs[0])];
            let join = |t: std::thread::ScopedJoinHandle<'_, _>| t.join();
            all.extend(others.into_iter().map(join).map(|r| r.unwrap_or(Err("a panic".into()))));
            all.into_iter().collect::<Result<Vec<f64>, String>>()
        })?;
        self.samples.push(all.into_iter().fold(0.0, f64::max));
        Ok(())
    }

    /// What the undisturbed quarter of the rounds took at most.
    fn figure(&mut self) -> f64 {
        self.samples.sort_by(f64::total_cmp);
        self.samples.get(self.samples.len() / 4).copied().unwrap_or(0.0)
    }
}

/// All operations, on one thread and two; `only` picks those of maps whose name holds it.
pub fn run(
    ours: &dyn Bpf,
    linux: Option<&dyn Bpf>,
    only: Option<&str>,
) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for threads in [1, 2] {
        for plan in PLANS.iter().filter(|plan| only.is_none_or(|only| plan.0.contains(only))) {
            let kind = kind(plan.0);
            let mut mine = Side::new(ours, &kind, plan, threads)?;
            let mut theirs =
                linux.map(|linux| Side::new(linux, &kind, plan, threads)).transpose()?;
            for _ in 0..ROUNDS {
                mine.round()?;
                theirs.as_mut().map(Side::round).transpose()?;
            }
            let (ring3, kernel) = (mine.figure(), theirs.as_mut().map(Side::figure));
            let ratio = kernel.map(|kernel| ring3 / kernel);
            let goal = plan.3.filter(|_| threads == 1);
            rows.push(Row { map: plan.0, op: plan.2, threads, ring3, kernel, ratio, goal });
        }
    }
    Ok(rows)
}

/// The figures as a table.
pub fn table(rows: &[Row]) -> String {
    let mut out = format!(
        "{:<14}{:<16}{:>8}{:>10}{:>11}{:>8}{:>7}\n",
        "map", "operation", "threads", "ring3 ns", "kernel ns", "ratio", "goal"
    );
    let cell = |v: Option<f64>, digits: usize| v.map_or("-".into(), |v| format!("{v:.digits$}"));
    for r in rows {
        out += &format!(
            "{:<14}{:<16}{:>8}{:>10.1}{:>11}{:>8}{:>7}\n",
            r.map,
            r.op,
            r.threads,
            r.ring3,
            cell(r.kernel, 1),
            cell(r.ratio, 2),
            cell(r.goal, 2)
        );
    }
    out
}
