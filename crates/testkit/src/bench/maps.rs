//! Programs with maps behind two doors: ring3's and the running kernel's, in turns.

use std::path::Path;

use ring3::load::{Fds, close, load};
use ring3::{Machine, Object};
use runtime::door::{Bpf, TestRun};
use serde::Serialize;
use syscall::Linux;

use super::clock::median;
use super::programs::{self, Flavour};

/// One program.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// Nanoseconds a run in ring3.
    pub ring3: f64,
    /// Nanoseconds a run in the kernel, the test run's own subtracted.
    pub kernel: f64,
    /// The ratio.
    pub ratio: f64,
}

/// Program, bytes of packet, keys put into its map beforehand, repetitions a round.
type Program = (&'static str, usize, u32, u32);
const PROGRAMS: &[Program] = &[
    ("empty", 256, 0, 20_000),
    ("m_array", 256, 0, 4_000),
    ("m_percpu", 256, 0, 4_000),
    ("m_hash_look", 256, 768, 1_000),
    ("k_look", 2048, 1 << 16, 60),
    ("k_upd", 2048, 0, 20),
    ("k_insdel", 2048, 0, 20),
];
const ROUNDS: usize = 15;

struct Side<'d> {
    door: &'d dyn Bpf,
    fds: Fds,
    samples: Vec<f64>,
}

impl<'d> Side<'d> {
    fn new(door: &'d dyn Bpf, object: &Object, keys: u32) -> Result<Side<'d>, String> {
        let fds = load(door, object, None).map_err(|e| e.to_string())?;
        for key in 0..keys {
            let value = u64::from(key).to_ne_bytes();
            let done = door.map_update(fds.maps[0], &key.to_ne_bytes(), &value, 0);
            done.map_err(|e| format!("filling the map: {e}"))?;
        }
        Ok(Side { door, fds, samples: Vec::new() })
    }

    fn round(&mut self, data: &[u8], repeat: u32) -> Result<u32, String> {
        let fd = self.fds.programs.iter().flatten().next().copied().ok_or("no program")?;
        let data_out = Some(data.len() as u32 + 256);
        let data_in = Some(data.to_vec());
        let req = TestRun { data_in, data_out, repeat, ..TestRun::default() };
        let out = self.door.test_run(fd, &req).map_err(|e| format!("test run: {e}"))?;
        self.samples.push(f64::from(out.duration_ns));
        Ok(out.retval)
    }
}

/// Bytes that look random, the same for both.
fn packet(len: usize) -> Vec<u8> {
    let mut state = 0x1234_5678_9abc_def0_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn measure(dir: &Path, linux: &Linux, program: Program) -> Result<(f64, f64), String> {
    let (name, len, keys, repeat) = program;
    let object = programs::compile(dir, name, Flavour::Kernel)?;
    let object = Object::parse(name, &object).map_err(|e| e.to_string())?;
    let (machine, data) = (Machine::new(), packet(len));
    let mut ours = Side::new(machine.door(), &object, keys)?;
    let mut theirs = Side::new(linux, &object, keys)?;
    for _ in 0..ROUNDS {
        let (a, b) = (ours.round(&data, repeat)?, theirs.round(&data, repeat)?);
        if a != b {
            return Err(format!("{name}: ring3 returns {a}, the kernel {b}"));
        }
    }
    close(ours.door, &ours.fds);
    close(theirs.door, &theirs.fds);
    Ok((median(&mut ours.samples), median(&mut theirs.samples)))
}

/// Runs all programs of `dir` that use maps, behind `linux` too.
pub fn run(dir: &Path, linux: &Linux) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    let mut empty = (0.0, 0.0);
    for &program in PROGRAMS {
        let (ours, theirs) = measure(dir, linux, program)?;
        if program.0 == "empty" {
            empty = (ours, theirs);
            continue;
        }
        let (ring3, kernel) = (ours - empty.0, theirs - empty.1);
        rows.push(Row { name: program.0, ring3, kernel, ratio: ring3 / kernel });
    }
    Ok(rows)
}
