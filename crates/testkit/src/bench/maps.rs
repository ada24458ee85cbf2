//! Programs with maps behind two doors: ring3's and the running kernel's, in turns.

use ring3::load::{Fds, close, load};
use ring3::{Machine, Object};
use runtime::door::{Bpf, TestRun};
use serde::Serialize;
use syscall::Linux;
use uapi::{Errno, MapType};

use super::clock::median;
use super::programs::{self, Flavour};

/// One program.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Nanoseconds a run in ring3, the empty program's subtracted.
    pub ring3: f64,
    /// Nanoseconds a run in the kernel, the empty program's subtracted; none without bpf(2).
    pub kernel: Option<f64>,
    /// The ratio.
    pub ratio: Option<f64>,
}

/// Bytes of packet: the most that the programs ask for.
const PACKET: usize = 2048;
const ROUNDS: usize = 15;
/// Nanoseconds of one round, about.
const ROUND_NS: f64 = 4e6;
const MOST: u32 = 20_000;

struct Side<'d> {
    door: &'d dyn Bpf,
    fds: Fds,
    samples: Vec<f64>,
}

impl<'d> Side<'d> {
    fn new(door: &'d dyn Bpf, object: &Object) -> Result<Side<'d>, String> {
        let fds = load(door, object, None).map_err(|e| e.to_string())?;
        let side = Side { door, fds, samples: Vec::new() };
        side.fill(object).map_err(|e| format!("filling a map: {e}"))?;
        Ok(side)
    }

    /// Three of four keys are in a hash of numbers: lookups hit and miss.
    fn fill(&self, object: &Object) -> Result<(), Errno> {
        for (map, fd) in object.spec().maps.iter().zip(&self.fds.maps) {
            let def = &map.def;
            if (def.map_type, def.key_size, def.value_size) != (MapType::Hash, 4, 8) {
                continue;
            }
            for key in 0..def.max_entries / 4 * 3 {
                let value = u64::from(key).to_ne_bytes();
                self.door.map_update(*fd, &key.to_ne_bytes(), &value, 0)?;
            }
        }
        Ok(())
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

/// How often a round runs a program that takes so long.
fn repeats(ns: f64) -> u32 {
    ((ROUND_NS / ns.max(1.0)) as u32).clamp(1, MOST)
}

/// Nanoseconds a run behind both doors.
fn measure(object: &Object, linux: Option<&Linux>) -> Result<(f64, Option<f64>), String> {
    let (machine, data) = (Machine::new(), packet(PACKET));
    let mut ours = Side::new(machine.door(), object)?;
    let mut theirs = linux.map(|linux| Side::new(linux, object)).transpose()?;
    ours.round(&data, 1)?;
    let repeat = repeats(ours.samples.pop().unwrap_or(1.0));
    for _ in 0..ROUNDS {
        let a = ours.round(&data, repeat)?;
        let Some(theirs) = &mut theirs else { continue };
        let b = theirs.round(&data, repeat)?;
        if a != b {
            return Err(format!("ring3 returns {a}, the kernel {b}"));
        }
    }
    close(ours.door, &ours.fds);
    let theirs = theirs.map(|mut theirs| {
        close(theirs.door, &theirs.fds);
        median(&mut theirs.samples)
    });
    Ok((median(&mut ours.samples), theirs))
}

/// Whether only a whole system can run the program: it has maps, or calls other programs.
pub fn needs_system(object: &Object) -> bool {
    let spec = object.spec();
    let own =
        |map: &loader::MapSpec| !map.name.starts_with(".rodata") && !map.name.ends_with(".rodata");
    spec.programs.len() != 1 || spec.maps.iter().any(own)
}

/// Runs these programs, behind `linux` too.
pub fn run<'o>(
    objects: impl Iterator<Item = (&'o str, &'o Object)>,
    linux: Option<&Linux>,
) -> Result<Vec<Row>, String> {
    let empty = programs::compile(&programs::folder(), "empty", Flavour::Kernel)?;
    let empty = Object::parse("empty", &empty).map_err(|e| e.to_string())?;
    let empty = measure(&empty, linux)?;
    let row = |(name, object): (&str, &Object)| {
        let (ours, theirs) = measure(object, linux).map_err(|e| format!("{name}: {e}"))?;
        let ring3 = ours - empty.0;
        let kernel = theirs.zip(empty.1).map(|(theirs, empty)| theirs - empty);
        let ratio = kernel.map(|kernel| ring3 / kernel);
        Ok(Row { name: name.to_owned(), ring3, kernel, ratio })
    };
    objects.map(row).collect()
}
