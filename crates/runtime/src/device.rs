//! Network interfaces of ring3's own: names, indexes, counters; packets come from a [`Feed`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
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

/// Opens the captures of new interfaces.
pub type Feeder =
    Arc<dyn Fn(&Arc<Device>, &DeviceAdd, Hooks) -> Result<Box<dyn Feed>, Errno> + Send + Sync>;

/// An interface as its feed sees it.
#[derive(Default)]
pub struct Device {
    /// Its index.
    pub ifindex: u32,
    counts: [AtomicU64; 9],
    ended: AtomicBool,
    error: Mutex<String>,
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
}

const PACKETS: usize = 7;
const BYTES: usize = 8;

impl Device {
    /// A packet of so many bytes has come.
    pub fn received(&self, bytes: usize) {
        self.counts[PACKETS].fetch_add(1, Relaxed);
        self.counts[BYTES].fetch_add(bytes as u64, Relaxed);
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
        let [aborted, drop, pass, tx, redirect, tc_pass, tc_drop, packets, bytes] =
            [0, 1, 2, 3, 4, 5, 6, 7, 8].map(|at: usize| self.counts[at].load(Relaxed));
        DeviceCounts { packets, bytes, aborted, drop, pass, tx, redirect, tc_pass, tc_drop }
    }
}

struct Made {
    device: Arc<Device>,
    made: DeviceAdd,
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

    pub(crate) fn add(&self, req: &DeviceAdd, hooks: Hooks) -> Result<u32, Errno> {
        let plain = |c: char| c.is_ascii_graphic() && c != '/' && c != ':';
        let name = req.name.as_str();
        if name.is_empty() || name.len() > NAME_MAX || name == "." || name == ".." {
            return Err(Errno::EINVAL);
        }
        if !name.chars().all(plain) {
            return Err(Errno::EINVAL);
        }
        let mut table = self.table.lock();
        if name == "lo" || table.devices.iter().any(|known| known.made.name == name) {
            return Err(Errno::EEXIST);
        }
        if table.devices.len() >= MAX {
            return Err(Errno::ENFILE);
        }
        let ifindex = table.last.max(FIRST - 1) + 1;
        let device = Arc::new(Device { ifindex, ..Device::default() });
        let feed = match (&req.capture, &*self.feeder.lock()) {
            (None, _) => None,
            (Some(_), None) => return Err(Errno::EOPNOTSUPP),
            (Some(_), Some(feeder)) => Some(feeder(&device, req, hooks)?),
        };
        table.last = ifindex;
        table.devices.push(Made { device, made: req.clone(), feed });
        Ok(ifindex)
    }

    /// Its index; its feed has ended.
    pub(crate) fn del(&self, name: &str) -> Result<u32, Errno> {
        let gone = {
            let mut table = self.table.lock();
            let at = table.devices.iter().position(|known| known.made.name == name);
            table.devices.remove(at.ok_or(Errno::ENODEV)?)
        };
        // Waits for the feed's thread, which may need other locks.
        drop(gone.feed);
        Ok(gone.device.ifindex)
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
