//! What a command on a running daemon costs, beside bpftool on the kernel.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use daemon::Place;
use runtime::door::{Bpf, Fd, ObjKind};
use serde::Serialize;
use syscall::Linux;
use uapi::{MapDef, MapType};

use super::clock::median;

/// Elements of the map that is dumped.
const ELEMENTS: u32 = 100_000;
/// Elements in one batch while it is filled.
const STEP: u32 = 10_000;
/// Starts of the command that are measured.
const STARTS: usize = 51;
/// Updates that are measured.
const UPDATES: u32 = 20_000;
/// Dumps of either side, in turns.
const DUMPS: usize = 5;
/// Where the map is pinned.
const PIN: &str = "/sys/fs/bpf/bench";

/// Medians.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// Milliseconds of `ring3 map lookup`, from start to end of the process.
    pub lookup_ms: f64,
    /// Microseconds of a map update through the socket.
    pub update_us: f64,
    /// Microseconds of a line `map update` of a batch file.
    pub batch_line_us: f64,
    /// Elements dumped.
    pub elements: u32,
    /// Milliseconds of `ring3 -j map dump`.
    pub dump_ms: f64,
    /// Milliseconds of `bpftool -j map dump` of the same map in the kernel.
    pub bpftool_dump_ms: Option<f64>,
    /// The former by the latter.
    pub dump_ratio: Option<f64>,
}

/// Measures `ring3` with a daemon of its own in `work`.
pub fn run(ring3: &Path, work: &Path, linux: Option<&Linux>) -> Result<Figures, String> {
    let place = Place::at(work.join("ring3"));
    let found = daemon::start(&place, ring3).map_err(|e| e.to_string())?;
    let result = measure(ring3, work, &found.client, linux);
    daemon::stop(&place).map_err(|e| e.to_string())?;
    result
}

fn measure(
    ring3: &Path,
    work: &Path,
    client: &dyn Bpf,
    linux: Option<&Linux>,
) -> Result<Figures, String> {
    let map = filled(client)?;
    client.obj_pin(map, PIN).map_err(|e| format!("{PIN}: {e}"))?;
    let here = |args: &[&str]| command(ring3, work, args);
    let lookup = ["map", "lookup", "pinned", PIN, "key", "1", "0", "0", "0"];
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        starts.push(millis(here(&lookup))?);
    }
    let update_us = updates(client, map)?;
    let batch_line_us = batch_line(ring3, work)?;
    let kernel = linux.map(|linux| filled(linux).map(|fd| (linux, fd))).transpose()?;
    let (mut own, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..DUMPS {
        own.push(millis(here(&["-j", "map", "dump", "pinned", PIN]))?);
        if let Some((linux, fd)) = kernel {
            theirs.extend(bpftool_dump(linux, fd));
        }
    }
    if let Some((linux, fd)) = kernel {
        linux.close(fd).map_err(|e| e.to_string())?;
    }
    let dump_ms = median(&mut own);
    let bpftool_dump_ms = (!theirs.is_empty()).then(|| median(&mut theirs));
    Ok(Figures {
        lookup_ms: median(&mut starts),
        update_us,
        batch_line_us,
        elements: ELEMENTS,
        dump_ms,
        bpftool_dump_ms,
        dump_ratio: bpftool_dump_ms.map(|theirs| dump_ms / theirs),
    })
}

/// A hash of four bytes to eight with all its elements.
fn filled(door: &dyn Bpf) -> Result<Fd, String> {
    let mut def = MapDef::new(MapType::Hash, 4, 8, ELEMENTS);
    def.name = "bench".into();
    let map = door.map_create(&def.into());
    let map = map.map_err(|e| format!("map: {e}"))?;
    for from in (0..ELEMENTS).step_by(STEP as usize) {
        let range = from..from + STEP;
        let keys: Vec<u8> = range.clone().flat_map(u32::to_le_bytes).collect();
        let values: Vec<u8> = range.flat_map(|n| (u64::from(n) << 20).to_le_bytes()).collect();
        let done = door.map_update_batch(map, &keys, &values, STEP, 0);
        done.map_err(|e| format!("update: {e}"))?;
    }
    Ok(map)
}

fn updates(client: &dyn Bpf, map: Fd) -> Result<f64, String> {
    let mut times = Vec::new();
    for n in 0..UPDATES {
        let start = Instant::now();
        let done = client.map_update(map, &n.to_le_bytes(), &[0; 8], 0);
        times.push(start.elapsed().as_secs_f64() * 1e6);
        done.map_err(|e| format!("update: {e}"))?;
    }
    Ok(median(&mut times))
}

/// A file of many lines against a file of one.
fn batch_line(ring3: &Path, work: &Path) -> Result<f64, String> {
    let time = |lines: u32| -> Result<f64, String> {
        let file = work.join("updates");
        let line = format!("map update pinned {PIN} key 1 0 0 0 value 2 0 0 0 0 0 0 0\n");
        std::fs::write(&file, line.repeat(lines as usize)).map_err(|e| e.to_string())?;
        millis(command(ring3, work, &["batch", "file", &file.to_string_lossy()]))
    };
    time(1)?;
    let (one, many) = (time(1)?, time(UPDATES)?);
    Ok((many - one) * 1e3 / f64::from(UPDATES - 1))
}

/// `bpftool` of the system, if there is one.
fn bpftool_dump(linux: &Linux, map: Fd) -> Option<f64> {
    let id = linux.map_info(map).ok()?.id;
    linux.fd_by_id(ObjKind::Map, id, 0).and_then(|fd| linux.close(fd)).ok()?;
    let mut tool = Command::new("bpftool");
    tool.args(["-j", "map", "dump", "id", &id.to_string()]);
    millis(tool).ok()
}

fn command(ring3: &Path, work: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(ring3);
    command.args(args).env("XDG_RUNTIME_DIR", work);
    command
}

/// Milliseconds from start to end of a process whose output is read.
fn millis(mut command: Command) -> Result<f64, String> {
    let start = Instant::now();
    let out = command.stdin(Stdio::null()).output().map_err(|e| e.to_string())?;
    let time = start.elapsed().as_secs_f64() * 1e3;
    if out.status.success() {
        Ok(time)
    } else {
        Err(format!("{command:?}: {}", String::from_utf8_lossy(&out.stderr)))
    }
}
