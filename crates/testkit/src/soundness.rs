//! Random programs into ring3 and into the running kernel: verdicts, and results of those that
//! both accept.

use std::collections::BTreeMap;

use runtime::door::{Bpf, Fd, LoadError, LogRequest, MapCreate, ProgLoad, TestRun};
use serde::Serialize;
use uapi::{Errno, MapDef, MapType, ProgType};

use crate::generate::{MapFds, Shape, VALUE_SIZE, program};
use crate::oracle::Run;
use crate::verdicts::last_message;

/// What a comparison of many programs found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Programs tried.
    pub programs: u64,
    /// Accepted by both.
    pub both_accept: u64,
    /// Rejected by both.
    pub both_reject: u64,
    /// Seeds that ring3 alone accepts: a security bug each.
    pub false_accepts: Vec<u64>,
    /// Seeds that ring3 alone rejects, by its message with numbers struck out.
    pub false_rejects: BTreeMap<String, Vec<u64>>,
    /// Rejected by both, with another errno or last message line.
    pub other_message: BTreeMap<String, Vec<u64>>,
    /// Programs whose results were compared.
    pub runs: u64,
    /// Seeds whose results differ.
    pub other_result: Vec<u64>,
}

impl Report {
    /// Nothing that must not happen.
    pub fn is_sound(&self) -> bool {
        self.false_accepts.is_empty() && self.other_result.is_empty()
    }
}

/// A door with the two maps that programs refer to.
struct Side<'a> {
    door: &'a dyn Bpf,
    array: Fd,
    hash: Fd,
}

impl<'a> Side<'a> {
    fn new(door: &'a dyn Bpf) -> Result<Side<'a>, Errno> {
        let map =
            |kind, key| door.map_create(&MapCreate::from(MapDef::new(kind, key, VALUE_SIZE, 8)));
        Ok(Side { door, array: map(MapType::Array, 4)?, hash: map(MapType::Hash, 8)? })
    }

    fn load(&self, seed: u64, level: u32) -> Result<Fd, LoadError> {
        let maps = MapFds { array: self.array.0, hash: self.hash.0 };
        let req = ProgLoad {
            prog_type: Some(ProgType::Xdp),
            license: "GPL".into(),
            insns: program(seed, maps, shape(seed)),
            log: LogRequest { level, size: 0 },
            ..ProgLoad::default()
        };
        self.door.prog_load(&req).map(|loaded| loaded.fd)
    }

    /// The last line that a refusal says.
    fn message(&self, seed: u64) -> String {
        match self.load(seed, 1) {
            Ok(fd) => {
                let _ = self.door.close(fd);
                String::new()
            }
            Err(error) => match &error.rejection {
                Some(r) if !r.message.is_empty() => r.message.trim_end().to_owned(),
                _ => last_message(&error.log).unwrap_or_default().to_owned(),
            },
        }
    }

    /// Runs on a fixed packet with maps in a fixed state; the maps' contents come along.
    fn run(&self, prog: Fd) -> Result<(Run, Vec<u8>), Errno> {
        for index in 0..8u32 {
            let value = [index as u8 + 1; VALUE_SIZE as usize];
            self.door.map_update(self.array, &index.to_le_bytes(), &value, 0)?;
            let key = u64::from(index).to_le_bytes();
            if index % 2 == 0 {
                self.door.map_update(self.hash, &key, &value, 0)?;
            }
        }
        let packet: Vec<u8> = (0..64).map(|n: u8| n.wrapping_mul(37)).collect();
        let req = TestRun { data_in: Some(packet), data_out: Some(512), ..TestRun::default() };
        let out = self.door.test_run(prog, &req)?;
        let mut contents = Vec::new();
        for index in 0..8u32 {
            let mut value = [0; VALUE_SIZE as usize];
            self.door.map_lookup(self.array, &index.to_le_bytes(), &mut value, 0)?;
            contents.extend(value);
            if index % 2 == 0 {
                self.door.map_lookup(self.hash, &u64::from(index).to_le_bytes(), &mut value, 0)?;
                contents.extend(value);
            }
        }
        Ok((Run { retval: out.retval, data_out: out.data_out }, contents))
    }
}

impl Drop for Side<'_> {
    fn drop(&mut self) {
        let _ = self.door.close(self.array);
        let _ = self.door.close(self.hash);
    }
}

/// Three of four seeds are repeatable, so that their results can be compared.
fn shape(seed: u64) -> Shape {
    Shape { repeatable: !seed.is_multiple_of(4), ..Shape::default() }
}

/// Compares the programs of `count` seeds from `first` on. `progress` hears of each seed done.
pub fn compare(
    ours: &dyn Bpf,
    kernel: &dyn Bpf,
    first: u64,
    count: u64,
    mut progress: impl FnMut(u64),
) -> Result<Report, Errno> {
    let (ours, kernel) = (Side::new(ours)?, Side::new(kernel)?);
    let mut report = Report::default();
    for seed in first..first.saturating_add(count) {
        judge(&ours, &kernel, seed, &mut report);
        progress(seed - first + 1);
    }
    Ok(report)
}

fn judge(ours: &Side<'_>, kernel: &Side<'_>, seed: u64, report: &mut Report) {
    report.programs += 1;
    match (ours.load(seed, 0), kernel.load(seed, 0)) {
        (Ok(a), Ok(b)) => {
            report.both_accept += 1;
            if shape(seed).repeatable {
                report.runs += 1;
                if ours.run(a) != kernel.run(b) {
                    report.other_result.push(seed);
                }
            }
            let _ = (ours.door.close(a), kernel.door.close(b));
        }
        (Ok(a), Err(_)) => {
            report.false_accepts.push(seed);
            let _ = ours.door.close(a);
        }
        (Err(_), Ok(b)) => {
            let cause = digits_struck_out(&ours.message(seed));
            report.false_rejects.entry(cause).or_default().push(seed);
            let _ = kernel.door.close(b);
        }
        (Err(a), Err(b)) => {
            report.both_reject += 1;
            // Asking for the messages costs more than the verdict: a share of them will do.
            if a.errno != b.errno || seed.is_multiple_of(8) {
                let (mine, theirs) = (ours.message(seed), kernel.message(seed));
                if mine != theirs || a.errno != b.errno {
                    let pair =
                        format!("{} | {}", digits_struck_out(&mine), digits_struck_out(&theirs));
                    report.other_message.entry(pair).or_default().push(seed);
                }
            }
        }
    }
}

fn digits_struck_out(message: &str) -> String {
    message.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect()
}
