//! Network interfaces of ring3's own: names, indexes, counters; packets come from a [`Feed`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use parking_lot::{Mutex, RwLock};
use uapi::Errno;

use crate::door::{DeviceAdd, DeviceCounts, DeviceInfo};
use crate::hook::Hooks;

/// Longest name.
const NAME_MAX: usize = 15;
/// Interfaces of one runtime.
const MAX: usize = 64;
/// The loopback interface has the first number.
const FIRST: u32 = 2;

/// What brings packets to an interface. It ends when it is dropped.
pub trait Feed: Send {}

/// What takes the packets that leave an interface.
pub trait Sink: Send {
    /// Takes one; the message says why it cannot, and it is not asked again.
    fn send(&mut self, packet: &[u8]) -> Result<(), String>;
    /// Hands on what it has gathered.
    fn flush(&mut self) -> Result<(), String>;
}

/// Opens the captures of new interfaces.
pub type Feeder =
    Arc<dyn Fn(&Arc<Device>, &DeviceAdd, Hooks) -> Result<Box<dyn Feed>, Errno> + Send + Sync>;

/// An interface as its feed sees it.
#[derive(Default)]
pub struct Device {
    /// Its index.
    pub ifindex: u32,
    /// The interface at the other end of its wire; 0 for none.
    pub peer: u32,
    counts: [AtomicU64; COUNTS],
    ended: AtomicBool,
    error: Mutex<String>,
    sink: Mutex<Option<Box<dyn Sink>>>,
    sinks: AtomicBool,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// XDP_ABORTED, or no verdict at all.
    Aborted,
    /// XDP_DROP.
    Drop,
    /// XDP_PASS, or no program.
    Pass,
    /// XDP_TX.
    Tx,
    /// XDP_REDIRECT.
    Redirect,
    /// It passed the programs of tcx.
    TcPass,
    /// They dropped it.
    TcDrop,
    /// They sent it to an interface.
    TcRedirect,
    /// On its way out it passed the programs of tcx.
    EgressPass,
    /// They dropped it.
    EgressDrop,
    /// They sent it to an interface.
    EgressRedirect,
    /// Where a program sent it, it could not go.
    Lost,
}

const PACKETS: usize = 12;
const BYTES: usize = 13;
const SENT: usize = 14;
const SENT_BYTES: usize = 15;
const COUNTS: usize = 16;

impl Device {
    /// An interface that is nobody's: what it counts is lost with it.
    pub(crate) fn nowhere(ifindex: u32) -> Device {
        Device { ifindex, ..Device::default() }
    }

    /// A packet of so many bytes has come.
    pub fn received(&self, bytes: usize) {
        self.add(PACKETS, BYTES, bytes);
    }

    /// A packet leaves.
    pub fn sent(&self, packet: &[u8]) {
        self.add(SENT, SENT_BYTES, packet.len());
        if self.sinks.load(Relaxed) {
            self.tell_sink(|sink| sink.send(packet));
        }
    }

    /// A packet of so many bytes leaves by somebody else's hand.
    pub fn left(&self, bytes: usize) {
        self.add(SENT, SENT_BYTES, bytes);
    }

    /// Hands on the packets that have left.
    pub fn flush(&self) {
        if self.sinks.load(Relaxed) {
            self.tell_sink(|sink| sink.flush());
        }
    }

    /// What takes the packets that leave from now on.
    pub fn set_sink(&self, sink: Box<dyn Sink>) {
        *self.sink.lock() = Some(sink);
        self.sinks.store(true, Relaxed);
    }

    fn tell_sink(&self, tell: impl FnOnce(&mut Box<dyn Sink>) -> Result<(), String>) {
        let mut sink = self.sink.lock();
        if let Some(Err(error)) = sink.as_mut().map(tell) {
            *sink = None;
            *self.error.lock() = error;
        }
    }

    fn add(&self, packets: usize, total: usize, bytes: usize) {
        self.counts[packets].fetch_add(1, Relaxed);
        self.counts[total].fetch_add(bytes as u64, Relaxed);
    }

    /// What became of it.
    pub fn count(&self, fate: Fate) {
        self.counts[fate as usize].fetch_add(1, Relaxed);
    }

    /// No more packets come; why, if something failed.
    pub fn end(&self, error: Option<String>) {
        *self.error.lock() = error.unwrap_or_default();
        self.ended.store(true, Relaxed);
    }

    /// Its counters.
    pub fn counts(&self) -> DeviceCounts {
        let of = |fate: Fate| self.counts[fate as usize].load(Relaxed);
        let at = |index: usize| self.counts[index].load(Relaxed);
        DeviceCounts {
            packets: at(PACKETS),
            bytes: at(BYTES),
            aborted: of(Fate::Aborted),
            drop: of(Fate::Drop),
            pass: of(Fate::Pass),
            tx: of(Fate::Tx),
            redirect: of(Fate::Redirect),
            tc_pass: of(Fate::TcPass),
            tc_drop: of(Fate::TcDrop),
            tc_redirect: of(Fate::TcRedirect),
            egress_pass: of(Fate::EgressPass),
            egress_drop: of(Fate::EgressDrop),
            egress_redirect: of(Fate::EgressRedirect),
            sent: at(SENT),
            sent_bytes: at(SENT_BYTES),
            lost: of(Fate::Lost),
        }
    }
}

/// The interfaces that packets go between.
#[derive(Default)]
pub(crate) struct Network {
    devices: RwLock<BTreeMap<u32, Arc<Device>>>,
}

impl Network {
    pub(crate) fn get(&self, ifindex: u32) -> Option<Arc<Device>> {
        self.devices.read().get(&ifindex).cloned()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.devices.read().is_empty()
    }
}

struct Made {
    device: Arc<Device>,
    made: DeviceAdd,
    /// A network's, which takes it away itself.
    live: bool,
    /// `None` without a capture.
    feed: Option<Box<dyn Feed>>,
}

#[derive(Default)]
struct Table {
    devices: Vec<Made>,
    last: u32,
}

/// The interfaces of one runtime.
#[derive(Default)]
pub(crate) struct Devices {
    table: Mutex<Table>,
    feeder: Mutex<Option<Feeder>>,
}

impl Devices {
    pub(crate) fn set_feeder(&self, feeder: Feeder) {
        *self.feeder.lock() = Some(feeder);
    }

    pub(crate) fn add(&self, req: &DeviceAdd, net: &Network, hooks: Hooks) -> Result<u32, Errno> {
        let mut table = self.table.lock();
        let names = std::iter::once(&req.name).chain(&req.peer);
        for name in names.clone() {
            check_name(name)?;
            let known = |known: &Made| known.made.name == *name;
            if name == "lo" || table.devices.iter().any(known) {
                return Err(Errno::EEXIST);
            }
        }
        if req.peer.as_ref() == Some(&req.name) {
            return Err(Errno::EEXIST);
        }
        if table.devices.len() + names.count() > MAX {
            return Err(Errno::ENFILE);
        }
        let ifindex = table.last.max(FIRST - 1) + 1;
        let peer = if req.peer.is_some() { ifindex + 1 } else { 0 };
        let device = Arc::new(Device { ifindex, peer, ..Device::default() });
        let wants = req.capture.is_some() || req.out.is_some() || req.real.is_some();
        let feed = match (wants, &*self.feeder.lock()) {
            (false, _) => None,
            (true, None) => return Err(Errno::EOPNOTSUPP),
            (true, Some(feeder)) => Some(feeder(&device, req, hooks)?),
        };
        table.last = ifindex.max(peer);
        let mut devices = net.devices.write();
        devices.insert(ifindex, device.clone());
        table.devices.push(Made { device, made: req.clone(), live: false, feed });
        if let Some(name) = &req.peer {
            let device = Arc::new(Device { ifindex: peer, peer: ifindex, ..Device::default() });
            devices.insert(peer, device.clone());
            let (name, peer) = (name.clone(), Some(req.name.clone()));
            let made = DeviceAdd { name, peer, ..DeviceAdd::default() };
            table.devices.push(Made { device, made, live: false, feed: None });
        }
        Ok(ifindex)
    }

    /// An interface whose packets somebody else carries; EEXIST for a name that is taken.
    pub(crate) fn add_live(&self, name: &str, net: &Network) -> Result<Arc<Device>, Errno> {
        let mut table = self.table.lock();
        if table.devices.iter().any(|known| known.made.name == name) {
            return Err(Errno::EEXIST);
        }
        let ifindex = table.last.max(FIRST - 1) + 1;
        table.last = ifindex;
        let device = Arc::new(Device { ifindex, ..Device::default() });
        net.devices.write().insert(ifindex, device.clone());
        let made = DeviceAdd { name: name.to_owned(), ..DeviceAdd::default() };
        table.devices.push(Made { device: device.clone(), made, live: true, feed: None });
        Ok(device)
    }

    /// Its index and that of its peer, which goes with it; their feeds have ended. EBUSY for a
    /// network's.
    pub(crate) fn del(&self, name: &str, net: &Network) -> Result<Vec<u32>, Errno> {
        if self.table.lock().devices.iter().any(|known| known.live && known.made.name == name) {
            return Err(Errno::EBUSY);
        }
        self.del_live(name, net)
    }

    /// The same for any interface.
    pub(crate) fn del_live(&self, name: &str, net: &Network) -> Result<Vec<u32>, Errno> {
        let mut gone = Vec::new();
        {
            let mut table = self.table.lock();
            let at = table.devices.iter().position(|known| known.made.name == name);
            let first = table.devices.remove(at.ok_or(Errno::ENODEV)?);
            let peer = first.device.peer;
            gone.push(first);
            let at = table.devices.iter().position(|known| known.device.ifindex == peer);
            gone.extend(at.map(|at| table.devices.remove(at)));
            let mut devices = net.devices.write();
            gone.iter().for_each(|made| drop(devices.remove(&made.device.ifindex)));
        }
        let indexes: Vec<u32> = gone.iter().map(|made| made.device.ifindex).collect();
        // Waits for the feeds' threads, which may need other locks.
        gone.into_iter().for_each(|made| drop(made.feed));
        Ok(indexes)
    }

    /// Ends all feeds.
    pub(crate) fn close(&self) {
        let all = std::mem::take(&mut self.table.lock().devices);
        drop(all);
    }

    pub(crate) fn has(&self, ifindex: u32) -> bool {
        self.table.lock().devices.iter().any(|known| known.device.ifindex == ifindex)
    }

    pub(crate) fn list(&self) -> Vec<DeviceInfo> {
        let info = |made: &Made| DeviceInfo {
            ifindex: made.device.ifindex,
            made: made.made.clone(),
            counts: made.device.counts(),
            ended: made.device.ended.load(Relaxed),
            error: made.device.error.lock().clone(),
            ..DeviceInfo::default()
        };
        self.table.lock().devices.iter().map(info).collect()
    }
}

/// EINVAL for what is no interface's name.
fn check_name(name: &str) -> Result<(), Errno> {
    let plain = |c: char| c.is_ascii_graphic() && c != '/' && c != ':';
    let bad = name.is_empty() || name.len() > NAME_MAX || name == "." || name == "..";
    if bad || !name.chars().all(plain) { Err(Errno::EINVAL) } else { Ok(()) }
}
