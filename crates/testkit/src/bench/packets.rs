//! The command `ring3` on a capture of 100,000 packets, and its start-up.

use std::io::Cursor;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use ring3::packet::CaptureReader;
use ring3::{Machine, Object};

use super::clock::{median, time};

/// Figures of the whole command.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// Packets in the capture.
    pub packets: u32,
    /// Packets a second, reading and writing included, start-up excluded.
    pub packets_per_second: f64,
    /// The same in the interpreter.
    pub interpreted_per_second: f64,
    /// Packets a second of CPU time through machine code, a capture in memory read as it goes,
    /// nothing written.
    pub memory_packets_per_second: f64,
    /// Milliseconds from process start to the end of a run over one packet.
    pub start_ms: f64,
}

const PACKETS: u32 = 100_000;
const ROUNDS: usize = 9;

/// A capture of `count` small UDP packets from changing sources.
pub fn capture(count: u32) -> Vec<u8> {
    let mut out = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65535, 1] {
        out.extend(word.to_le_bytes());
    }
    for n in 0..count {
        let frame = frame(n);
        for word in [n / 1000, n % 1000 * 1000, frame.len() as u32, frame.len() as u32] {
            out.extend(word.to_le_bytes());
        }
        out.extend(frame);
    }
    out
}

/// One UDP datagram of 18 bytes over IPv4 over Ethernet: 60 bytes.
fn frame(n: u32) -> Vec<u8> {
    let mut f = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    f.extend([0x45, 0, 0, 46, (n >> 8) as u8, n as u8, 0, 0, 64, 17, 0, 0]);
    f.extend([10, (n >> 16) as u8, (n >> 8) as u8, n as u8, 192, 0, 2, 1]);
    let sum = f[14..].chunks(2).map(|b| u32::from(b[0]) << 8 | u32::from(b[1])).sum::<u32>();
    let folded = (sum & 0xffff) + (sum >> 16);
    let check = !(folded + (folded >> 16)) as u16;
    f[24..26].copy_from_slice(&check.to_be_bytes());
    f.extend([0x30, 0x39, 0, 53, 0, 26, 0, 0]);
    f.extend([0; 18]);
    f
}

/// Packets of the capture in memory.
const MILLION: u32 = 1_000_000;

/// Reads and runs a capture of a million packets that lies in memory.
fn from_memory(object: &Path) -> Result<f64, String> {
    let object = Object::open(object).map_err(|e| e.to_string())?;
    let machine = Machine::new();
    let loaded = machine.load(&object).map_err(|e| e.to_string())?;
    let program = object.only_program().map_err(|e| e.to_string())?;
    let program = loaded.program(&program.name).map_err(|e| e.to_string())?;
    let mut runner = program.runner().map_err(|e| e.to_string())?;
    let capture: Arc<[u8]> = capture(MILLION).into();
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let (packets, ns) = time(|| -> Result<u32, String> {
            let mut reader = {
                let source = Box::new(Cursor::new(capture.clone()));
                CaptureReader::new("memory", source).map_err(|e| e.to_string())?
            };
            let mut packets = 0;
            while let Some(packet) = reader.next_packet().map_err(|e| e.to_string())? {
                runner.run(packet.data)?;
                packets += 1;
            }
            Ok(packets)
        });
        rates.push(f64::from(packets?) / ns as f64 * 1e9);
    }
    Ok(median(&mut rates))
}

/// Measures the binary at `ring3` on the object at `object`.
pub fn run(ring3: &Path, object: &Path, work: &Path) -> Result<Figures, String> {
    let io = |e: std::io::Error| format!("{}: {e}", work.display());
    let (one, many, out) = (work.join("one.pcap"), work.join("many.pcap"), work.join("out.pcap"));
    std::fs::write(&one, capture(1)).map_err(io)?;
    std::fs::write(&many, capture(PACKETS)).map_err(io)?;
    let once = |pcap: &Path, engine: &str| -> Result<f64, String> {
        let start = Instant::now();
        let status = Command::new(ring3)
            .arg("run")
            .arg(object)
            .args(["--engine", engine, "--json", "--pcap"])
            .arg(pcap)
            .arg("--write")
            .arg(&out)
            .stdout(Stdio::null())
            .status()
            .map_err(|e| format!("{}: {e}", ring3.display()))?;
        if !status.success() {
            return Err(format!("ring3 run {} failed", object.display()));
        }
        Ok(start.elapsed().as_secs_f64())
    };
    let (mut starts, mut runs, mut interpreted) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        starts.push(once(&one, "jit")?);
        runs.push(once(&many, "jit")?);
        interpreted.push(once(&many, "interp")?);
    }
    let start = median(&mut starts);
    let rate = |mut runs: Vec<f64>| f64::from(PACKETS) / (median(&mut runs) - start);
    Ok(Figures {
        packets: PACKETS,
        packets_per_second: rate(runs),
        interpreted_per_second: rate(interpreted),
        memory_packets_per_second: from_memory(object)?,
        start_ms: start * 1e3,
    })
}
