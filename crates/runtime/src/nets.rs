//! Networks of hosts: what makes them is given by who holds the runtime.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use uapi::Errno;

use crate::device::Device;
use crate::door::{NetInfo, NetRefused, NetUp};
use crate::hook::Hooks;

/// Networks of one runtime.
const MAX: usize = 16;

/// Makes networks.
pub type NetMaker = Arc<
    dyn Fn(&NetUp, &[Arc<Device>], Hooks) -> Result<Box<dyn RunningNet>, NetRefused> + Send + Sync,
>;

/// A network; it ends when it is dropped.
pub trait RunningNet: Send {
    /// What there is to know of it.
    fn info(&self) -> NetInfo;
}

/// The networks of one runtime.
#[derive(Default)]
pub(crate) struct Nets {
    maker: Mutex<Option<NetMaker>>,
    running: Mutex<BTreeMap<String, Box<dyn RunningNet>>>,
}

impl Nets {
    pub(crate) fn set_maker(&self, maker: NetMaker) {
        *self.maker.lock() = Some(maker);
    }

    /// Whether one more may be made under this name.
    pub(crate) fn may_add(&self, name: &str) -> Result<(), NetRefused> {
        let running = self.running.lock();
        if running.contains_key(name) {
            let why = format!("there is a network '{name}' already; ring3 net down {name} ends it");
            return Err(NetRefused::because(Errno::EEXIST, why));
        }
        if running.len() >= MAX {
            return Err(NetRefused::because(Errno::ENFILE, format!("there are {MAX} networks")));
        }
        Ok(())
    }

    /// Makes it between interfaces that are there.
    pub(crate) fn add(
        &self,
        req: &NetUp,
        devices: &[Arc<Device>],
        hooks: Hooks,
    ) -> Result<NetInfo, NetRefused> {
        let maker = self.maker.lock().clone().ok_or(Errno::EOPNOTSUPP)?;
        let net = maker(req, devices, hooks)?;
        let info = net.info();
        let mut running = self.running.lock();
        if running.contains_key(&req.name) {
            // Somebody was faster; what was made ends when nobody has to wait for it.
            drop(running);
            drop(net);
            return Err(Errno::EEXIST.into());
        }
        running.insert(req.name.clone(), net);
        Ok(info)
    }

    /// Ends it; what it was.
    pub(crate) fn del(&self, name: &str) -> Result<NetInfo, Errno> {
        let net = self.running.lock().remove(name).ok_or(Errno::ENOENT)?;
        Ok(net.info())
    }

    pub(crate) fn list(&self) -> Vec<NetInfo> {
        self.running.lock().values().map(|net| net.info()).collect()
    }

    /// Ends all.
    pub(crate) fn close(&self) {
        let all = std::mem::take(&mut *self.running.lock());
        drop(all);
    }
}
