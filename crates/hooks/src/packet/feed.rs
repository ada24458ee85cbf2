//! Packets of a capture brought to an interface: XDP first, then tcx on what it lets pass.
//!
//! A thread for each interface. A capture that is played once waits for the first program.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use runtime::door::DeviceAdd;
use runtime::{Attached, Device, Fate, Feed, Feeder, Hooks, PacketBuf, Place, Target, Task};
use uapi::Errno;

use super::{CaptureReader, LinkType};

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
/// Verdicts of tcx that end the list.
const TCX_PASS: u32 = 0;
const TCX_DROP: u32 = 2;
const TCX_REDIRECT: u32 = 7;

/// What opens captures for interfaces.
pub fn feeder() -> Feeder {
    Arc::new(|device, made, hooks| {
        let feed: Box<dyn Feed> = Box::new(CaptureFeed::start(device, made, hooks)?);
        Ok(feed)
    })
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
    fn start(device: &Arc<Device>, made: &DeviceAdd, hooks: Hooks) -> Result<CaptureFeed, Errno> {
        let file = PathBuf::from(made.capture.as_deref().unwrap_or_default());
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
    let errno = |error: std::io::Error| Errno(error.raw_os_error().unwrap_or(Errno::EIO.0));
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
        let mut buf = PacketBuf::new().map_err(|errno| errno.to_string())?;
        buf.ingress_ifindex = self.device.ifindex;
        loop {
            let mut reader = CaptureReader::open(&self.file).map_err(|e| e.to_string())?;
            while !self.stopped() {
                let due = pace.due();
                if due == 0 {
                    std::thread::park_timeout(TICK);
                } else if !self.burst(&mut reader, &mut buf, due)? {
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
    fn burst(
        &self,
        reader: &mut CaptureReader,
        buf: &mut PacketBuf,
        count: u64,
    ) -> Result<bool, String> {
        let mut programs = self.places.each_ref().map(|place| self.hooks.attached(place));
        for attached in programs.iter_mut().flatten() {
            // Packets come while no process runs.
            let task = Task { comm: "<idle>".into(), ..Task::default() };
            attached.runner.set_task(task);
        }
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
            self.packet(packet.data, buf, &mut programs);
        }
        Ok(true)
    }

    fn packet(&self, data: &[u8], buf: &mut PacketBuf, programs: &mut [Vec<Attached>; 2]) {
        self.device.received(data.len());
        let [xdp, tcx] = programs;
        if buf.set(data).is_err() {
            return self.device.count(Fate::Aborted);
        }
        let fate = xdp
            .first_mut()
            .map_or(Fate::Pass, |attached| verdict(attached.runner.run_xdp(buf).unwrap_or(0)));
        self.device.count(fate);
        if fate == Fate::Pass && !tcx.is_empty() {
            self.device.count(ingress(tcx, buf, self.device.ifindex));
        }
    }
}

/// `enum xdp_action`.
fn verdict(value: u32) -> Fate {
    const FATES: [Fate; 5] = [Fate::Aborted, Fate::Drop, Fate::Pass, Fate::Tx, Fate::Redirect];
    FATES.get(value as usize).copied().unwrap_or(Fate::Aborted)
}

/// The programs of tcx, until one has decided.
fn ingress(tcx: &mut [Attached], buf: &mut PacketBuf, ifindex: u32) -> Fate {
    for attached in tcx {
        match attached.runner.run_skb(buf, ifindex) {
            Ok(TCX_PASS) => break,
            Ok(TCX_DROP | TCX_REDIRECT) => return Fate::TcDrop,
            // TCX_NEXT, and what is no verdict.
            Ok(_) => {}
            Err(_) => return Fate::TcDrop,
        }
    }
    Fate::TcPass
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
