//! The thread that carries a network's frames: out of one host's wire, past the programs, into
//! another's.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use runtime::{Device, Hooks, PacketBuf, Routes, Runner};
use rustix::time::{ClockId, clock_gettime};

use super::NetError;
use super::network::{Network, SOCKETS};
use super::path::{At, Packet};
use super::plan::HostPlan;
use super::points::Capture;
use super::programs::{Hook, Programs, Tally};
use super::ring::{Kind, Ring};
use super::routes::HostRoutes;
use super::sys::packet::{self, Out};

/// Frames of one host's wire that are carried before the others' turn, and before they are sent.
const BURST: usize = 64;
/// How long programs stay ready while no frame comes, in milliseconds: they hold a CPU.
const READY: i32 = 20;
/// Bursts after which they give it back for a moment, while frames come.
const BURSTS: u32 = 1000;
/// Time over which frames are counted, and how many of them in it make a rush.
const WINDOW: Duration = Duration::from_millis(1);
const RUSH: u64 = 150;
/// In a rush frames are let gather for so long, as waking up for each costs more than carrying it.
const GATHER: Duration = Duration::from_micros(100);
/// Hardware addresses that are learned.
const MAX_LEARNED: usize = 4096;

/// What the programs of one interface returned, by hook and program id.
pub type Tallies = BTreeMap<(u32, Hook, u32), Tally>;

/// What became of all frames.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// By index of the interface, hook and program id.
    pub tallies: Tallies,
    /// Frames that hosts sent.
    pub frames: u64,
    /// Frames that the system had no room for, or that could not go where they were sent.
    pub lost: u64,
    /// CPU time that carrying took.
    pub cpu: Duration,
    /// Frames in the capture.
    pub captured: u64,
}

/// How fast frames have come lately.
struct Pace {
    since: Instant,
    frames: u64,
    rush: bool,
}

impl Pace {
    fn new() -> Pace {
        Pace { since: Instant::now(), frames: 0, rush: false }
    }

    /// Whether many come, by their number so far.
    fn is_rush(&mut self, frames: u64) -> bool {
        let now = Instant::now();
        let time = now - self.since;
        if time >= WINDOW {
            let windows = (time.as_micros() / WINDOW.as_micros()) as u64;
            self.rush = (frames - self.frames) / windows.max(1) >= RUSH;
            (self.since, self.frames) = (now, frames);
        }
        self.rush
    }
}

/// One host's end of the wire.
pub(super) struct Port {
    pub(super) plan: HostPlan,
    pub(super) device: Arc<Device>,
    pub(super) routes: Arc<HostRoutes>,
    /// The same, as programs ask it.
    pub(super) asked: Arc<dyn Routes>,
    sockets: [OwnedFd; SOCKETS],
    pub(super) out: Vec<Out>,
}

/// All of a network's frames on their way.
pub(super) struct Engine {
    pub(super) ports: Vec<Port>,
    pub(super) rings: Vec<[Ring; SOCKETS]>,
    pub(super) programs: Vec<Programs>,
    /// Copies of frames, until they are sent; the first `used` are.
    pub(super) pool: Vec<PacketBuf>,
    pub(super) used: usize,
    /// Bytes of them.
    pub(super) held: usize,
    pub(super) learned: HashMap<[u8; 6], usize>,
    pub(super) hooks: Hooks,
    /// Programs of maps' entries, by their ids.
    pub(super) entries: HashMap<u32, Runner>,
    pub(super) capture: Option<Capture>,
    /// The number of changes to the hooks that the programs are of.
    seen: Option<u64>,
    pub(super) report: Report,
}

impl Engine {
    /// Takes over a network's wires.
    pub(super) fn new(
        network: &mut Network,
        devices: &[Arc<Device>],
        hooks: Hooks,
        mut capture: Option<Capture>,
    ) -> Result<Engine, NetError> {
        if let Some(capture) = &mut capture {
            capture.describe(network.hosts.iter().map(|host| &*host.plan.name))?;
        }
        let count = network.hosts.len();
        let (mut ports, mut rings, mut programs) = (Vec::new(), Vec::new(), Vec::new());
        for (host, device) in network.hosts.drain(..).zip(devices) {
            let fail = NetError::system("the ring of a wire");
            let [short, long] = &host.sockets;
            let pair = [
                Ring::new(short.as_fd(), Kind::Short, count).map_err(&fail)?,
                Ring::new(long.as_fd(), Kind::Long, count).map_err(&fail)?,
            ];
            for socket in &host.sockets {
                packet::bind(socket.as_fd(), host.plan.ifindex).map_err(&fail)?;
            }
            rings.push(pair);
            programs.push(Programs::default());
            let routes = Arc::new(HostRoutes::new(host.netlink));
            ports.push(Port {
                plan: host.plan,
                device: device.clone(),
                asked: routes.clone(),
                routes,
                sockets: host.sockets,
                out: Vec::new(),
            });
        }
        Ok(Engine {
            ports,
            rings,
            programs,
            pool: Vec::new(),
            used: 0,
            held: 0,
            learned: HashMap::new(),
            hooks,
            entries: HashMap::new(),
            capture,
            seen: None,
            report: Report::default(),
        })
    }

    /// Carries frames until `stop` has something to say.
    pub(super) fn run(mut self, stop: BorrowedFd<'_>) -> Result<Report, NetError> {
        let begun = cpu_time();
        let mut pace = Pace::new();
        packet::short_sleeps();
        let mut bursts = 0;
        loop {
            self.refresh();
            let mut carried = 0;
            for port in 0..self.ports.len() {
                carried += self.burst(port);
            }
            if carried > 0 {
                bursts += 1;
                if bursts < BURSTS {
                    continue;
                }
                self.put_away();
            }
            bursts = 0;
            if carried == 0 && pace.is_rush(self.report.frames) {
                std::thread::sleep(GATHER);
            }
            let rested = self.rest(stop, carried > 0);
            if rested.map_err(NetError::system("carrying frames"))? {
                break;
            }
        }
        self.put_away();
        for port in &self.ports {
            self.report.lost += port.sockets.iter().map(|s| packet::lost(s.as_fd())).sum::<u64>();
        }
        self.report.cpu = cpu_time().saturating_sub(begun);
        if let Some(capture) = self.capture.take() {
            self.report.captured = capture.end()?;
        }
        Ok(self.report)
    }

    /// Waits for frames; `true` at the end.
    fn rest(&mut self, stop: BorrowedFd<'_>, busy: bool) -> io::Result<bool> {
        let wait = |engine: &Engine, millis| {
            let sockets = engine.ports.iter().flat_map(|port| &port.sockets);
            let files: Vec<_> = sockets.map(|s| s.as_fd()).chain([stop]).collect();
            packet::wait(&files, millis)
        };
        if busy {
            return packet::wait(&[stop], 0);
        }
        if !wait(self, READY)? {
            self.put_away();
            if let Some(capture) = &mut self.capture {
                // Who reads it while the network is idle sees all.
                capture.flush();
            }
            wait(self, -1)?;
        }
        packet::wait(&[stop], 0)
    }

    /// Makes the programs ready that are attached now.
    fn refresh(&mut self) {
        let now = self.hooks.changes();
        if self.seen == Some(now) {
            return;
        }
        self.put_away();
        self.seen = Some(now);
        for (programs, port) in self.programs.iter_mut().zip(&self.ports) {
            *programs = Programs::of(&self.hooks, port.plan.ifindex, &port.asked);
        }
    }

    /// Programs give back their CPU.
    fn put_away(&mut self) {
        self.seen = None;
        self.entries.clear();
        for (programs, port) in self.programs.iter_mut().zip(&self.ports) {
            for ((hook, prog), tally) in programs.take() {
                let key = (port.plan.ifindex, hook, prog);
                self.report.tallies.entry(key).or_default().add(&tally);
            }
        }
    }

    /// Carries frames that one host has sent; how many.
    fn burst(&mut self, port: usize) -> usize {
        let mut carried = 0;
        while carried < BURST {
            let Some(ring) = earlier(&self.rings[port]) else { break };
            let slot = self.rings[port][ring].take();
            self.rings[port][ring].look_at(&slot);
            self.leave(port, At::Ring(port, ring), Packet::new(&slot));
            carried += 1;
        }
        if carried > 0 {
            self.report.frames += carried as u64;
            self.send();
            self.rings[port].iter_mut().for_each(Ring::give_back);
        }
        carried
    }

    /// Sends what has gathered.
    fn send(&mut self) {
        for port in &mut self.ports {
            if port.out.is_empty() {
                continue;
            }
            let [socket, _] = &port.sockets;
            // Their places in rings and in the pool are given back only after this.
            let sent = packet::send(socket.as_fd(), &port.out);
            self.report.lost += (port.out.len() - sent) as u64;
            port.out.clear();
        }
        (self.used, self.held) = (0, 0);
    }

    pub(super) fn learn(&mut self, mac: [u8; 6], port: usize) {
        if mac == self.ports[port].plan.mac || mac[0] & 1 != 0 {
            return;
        }
        if self.learned.len() < MAX_LEARNED || self.learned.contains_key(&mac) {
            self.learned.insert(mac, port);
        }
    }

    /// A copy's place.
    pub(super) fn spare(&mut self) -> Option<usize> {
        if self.used == self.pool.len() {
            self.pool.push(PacketBuf::new().ok()?);
        }
        self.used += 1;
        Some(self.used - 1)
    }
}

/// Of this thread.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The ring whose next frame came first.
fn earlier([short, long]: &[Ring; SOCKETS]) -> Option<usize> {
    // What came to the one before it came to the other is seen, as the other is looked at later.
    let (mut first, second) = (short.peek(), long.peek());
    if second.is_some() && first.is_none() {
        first = short.peek();
    }
    match (first, second) {
        (None, None) => None,
        (Some(_), None) => Some(0),
        (None, Some(_)) => Some(1),
        (Some(first), Some(second)) => Some(usize::from(second < first)),
    }
}
