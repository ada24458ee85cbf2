//! Packets of a capture brought to an interface, and those that leave it written to another.
//!
//! A thread for each interface. A capture that is played once waits for the first program.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use runtime::door::DeviceAdd;
use runtime::{Device, Feed, Feeder, Hooks, Path as Way, Place, Sink, Target};
use uapi::Errno;

use super::{CaptureReader, CaptureWriter, LinkType, Packet, Precision, Timestamp};

/// Packets a second unless the interface asks for another rate.
const RATE: u32 = 100;
const MAX_RATE: u32 = 10_000_000;
/// Time between two bursts.
const TICK: Duration = Duration::from_millis(10);
/// Packets of one burst; programs give their CPU back between bursts.
const MAX_BURST: u64 = 1024;
/// Time between two looks for the first program.
const LOOK: Duration = Duration::from_millis(100);

/// `enum bpf_attach_type`.
const XDP: u32 = 37;
const TCX_INGRESS: u32 = 46;
/// What opens captures for interfaces.
pub fn feeder() -> Feeder {
    Arc::new(|device, made, hooks| {
        if let Some(file) = &made.out {
            device.set_sink(Box::new(CaptureSink::create(Path::new(file))?));
        }
        if let Some(name) = &made.real {
            #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
            return super::live::real_feed(device, name, hooks);
            #[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
            {
                let _ = name;
                return Err(Errno::EOPNOTSUPP);
            }
        }
        let feed: Box<dyn Feed> = match &made.capture {
            Some(file) => Box::new(CaptureFeed::start(device, made, Path::new(file), hooks)?),
            None => Box::new(NoFeed),
        };
        Ok(feed)
    })
}

/// An interface whose packets come from others only.
struct NoFeed;

impl Feed for NoFeed {}

/// A capture of the packets that leave.
struct CaptureSink(CaptureWriter);

impl CaptureSink {
    fn create(file: &Path) -> Result<CaptureSink, Errno> {
        // Nothing but a file is emptied.
        match fs::metadata(file) {
            Ok(kind) if !kind.is_file() => return Err(Errno::EACCES),
            _ => {}
        }
        let out = fs::File::create(file).map_err(errno)?;
        let name = file.display().to_string();
        let writer = CaptureWriter::new(&name, Box::new(out), LinkType::ETHERNET, Precision::Nanos);
        let mut sink = CaptureSink(writer.map_err(|_| Errno::EIO)?);
        // Who opens the file at once finds a capture.
        sink.flush().map_err(|_| Errno::EIO)?;
        Ok(sink)
    }
}

impl Sink for CaptureSink {
    fn send(&mut self, packet: &[u8]) -> Result<(), String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = Timestamp { secs: now.as_secs(), nanos: now.subsec_nanos() };
        let orig_len = packet.len() as u32;
        let packet = Packet { time, orig_len, data: packet, link_type: LinkType::ETHERNET };
        self.0.write(&packet).map_err(|error| error.to_string())
    }

    fn flush(&mut self) -> Result<(), String> {
        self.0.flush().map_err(|error| error.to_string())
    }
}

fn errno(error: std::io::Error) -> Errno {
    Errno(error.raw_os_error().unwrap_or(Errno::EIO.0))
}

/// The thread of one interface; it ends with this.
struct CaptureFeed {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Feed for CaptureFeed {}

impl Drop for CaptureFeed {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic there has been printed; the interface goes either way.
            let _ = thread.join();
        }
    }
}

impl CaptureFeed {
    fn start(
        device: &Arc<Device>,
        made: &DeviceAdd,
        file: &Path,
        hooks: Hooks,
    ) -> Result<CaptureFeed, Errno> {
        let file = file.to_owned();
        // Opened once now, so that who makes the interface hears of a wrong file.
        open(&file)?;
        let rate = if made.rate == 0 { RATE } else { made.rate.min(MAX_RATE) };
        let stop = Arc::new(AtomicBool::new(false));
        let place = |attach_type| Place { attach_type, target: Target::Device(device.ifindex) };
        let mut playing = Playing {
            device: device.clone(),
            places: [place(XDP), place(TCX_INGRESS)],
            hooks,
            stop: stop.clone(),
            file,
            rate,
            again: made.again,
        };
        let thread = std::thread::Builder::new().name(format!("dev-{}", made.name));
        let thread = thread.spawn(move || playing.run()).map_err(|_| Errno::EAGAIN)?;
        Ok(CaptureFeed { stop, thread: Some(thread) })
    }
}

/// A capture file; EINVAL for what is none, EACCES for what is no file.
fn open(file: &Path) -> Result<CaptureReader, Errno> {
    let kind = fs::metadata(file).map_err(errno)?;
    if !kind.is_file() {
        return Err(Errno::EACCES);
    }
    fs::File::open(file).map_err(errno)?;
    CaptureReader::open(file).map_err(|_| Errno::EINVAL)
}

struct Playing {
    device: Arc<Device>,
    places: [Place; 2],
    hooks: Hooks,
    stop: Arc<AtomicBool>,
    file: PathBuf,
    rate: u32,
    again: bool,
}

impl Playing {
    fn run(&mut self) {
        let mut seen = 0;
        while !self.again && !self.stopped() && !self.places.iter().any(|p| self.hooks.is_used(p)) {
            seen = self.hooks.wait(seen, LOOK);
        }
        let mut pace = Pace { rate: self.rate, begun: Instant::now(), sent: 0 };
        let error = self.play(&mut pace).err();
        self.device.end(error);
    }

    fn stopped(&self) -> bool {
        self.stop.load(SeqCst)
    }

    /// Plays the capture to its end, again and again if it is to be.
    fn play(&self, pace: &mut Pace) -> Result<(), String> {
        let mut way = Way::new(self.hooks.clone()).map_err(|errno| errno.to_string())?;
        loop {
            let mut reader = CaptureReader::open(&self.file).map_err(|e| e.to_string())?;
            while !self.stopped() {
                let due = pace.due();
                if due == 0 {
                    std::thread::park_timeout(TICK);
                    continue;
                }
                let more = self.burst(&mut reader, &mut way, due);
                // Programs that are attached meanwhile count from the next burst on.
                way.rest();
                if !more? {
                    break;
                }
                pace.sent += due;
            }
            if self.stopped() || !self.again {
                return Ok(());
            }
            if reader.packets() == 0 {
                return Err("the capture has no packets".into());
            }
        }
    }

    /// Brings up to `count` packets; `false` at the end of the file.
    fn burst(&self, reader: &mut CaptureReader, way: &mut Way, count: u64) -> Result<bool, String> {
        for _ in 0..count {
            if self.stopped() {
                break;
            }
            let Some(packet) = reader.next_packet().map_err(|e| e.to_string())? else {
                return Ok(false);
            };
            if packet.link_type != LinkType::ETHERNET {
                return Err(format!("{} packets are none of Ethernet", packet.link_type));
            }
            way.receive(&self.device, packet.data);
        }
        Ok(true)
    }
}

/// When the next packets are due.
struct Pace {
    rate: u32,
    begun: Instant,
    sent: u64,
}

impl Pace {
    /// Packets that are due now; what could not be sent in time is not made up for.
    fn due(&mut self) -> u64 {
        let nanos = self.begun.elapsed().as_nanos();
        let all = (nanos * u128::from(self.rate) / 1_000_000_000 + 1) as u64;
        let due = all.saturating_sub(self.sent);
        if due > MAX_BURST {
            self.sent = all - MAX_BURST;
        }
        due.min(MAX_BURST)
    }
}
