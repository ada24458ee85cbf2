//! The commands of networks, and of the filters of their interfaces.

use std::sync::Arc;

use uapi::{Errno, ProgType};

use super::Runtime;
use crate::device::Device;
use crate::devmap;
use crate::door::{NetInfo, NetRefused, NetUp, TcFilter};
use crate::hook::{Entry, Place, Target};
use crate::nets::NetMaker;

/// Attach types of our own: classifiers of clsact, which bpf(2) does not attach.
const CLSACT: [u32; 2] = [0x1_0001, 0x1_0002];
/// The priority that Linux gives the first filter that asks for none.
const FIRST_PRIORITY: i32 = 0xc000;

impl Runtime {
    /// What makes networks from now on; without it there are none.
    pub fn set_net_maker(&self, maker: NetMaker) {
        self.nets.set_maker(maker);
    }

    pub(super) fn bring_up(&self, req: &NetUp) -> Result<NetInfo, NetRefused> {
        self.nets.may_add(&req.name)?;
        let mut devices: Vec<Arc<Device>> = Vec::new();
        let mut names = Vec::new();
        let undo = |names: &[String]| names.iter().for_each(|name| self.take_device(name));
        for host in &req.hosts {
            let name = format!("{host}/eth0");
            match self.add_live_device(&name) {
                Ok(device) => devices.push(device),
                Err(Errno::EEXIST) => {
                    undo(&names);
                    let why = format!("there is an interface {name} already: name another host");
                    return Err(NetRefused::because(Errno::EEXIST, why));
                }
                Err(errno) => {
                    undo(&names);
                    return Err(errno.into());
                }
            }
            names.push(name);
        }
        self.nets.add(req, &devices, self.hooks()).inspect_err(|_| undo(&names))
    }

    pub(super) fn take_down(&self, name: &str) -> Result<(), Errno> {
        for host in self.nets.del(name)?.hosts {
            self.take_device(&format!("{}/eth0", host.name));
        }
        Ok(())
    }

    /// Takes an interface of a network away.
    fn take_device(&self, name: &str) {
        // It is there: only networks take theirs away.
        for ifindex in self.devices.del_live(name, &self.core.network).unwrap_or_default() {
            self.core.hooks.remove_target(&Target::Device(ifindex));
            devmap::forget(&self.core, ifindex);
        }
    }

    pub(super) fn add_filter(&self, req: &TcFilter) -> Result<(), Errno> {
        let prog = self.fds.prog(req.prog.ok_or(Errno::EBADF)?)?;
        if !matches!(prog.prog_type, ProgType::SchedCls | ProgType::SchedAct) {
            return Err(Errno::EINVAL);
        }
        let place = self.clsact(req)?;
        self.core.hooks.change(|places| {
            let entries = &mut places.entry(place.clone()).or_default().entries;
            let lowest = entries.iter().map(|entry| entry.priority).min();
            let priority = match i32::try_from(req.priority).map_err(|_| Errno::EINVAL)? {
                0 => lowest.map_or(FIRST_PRIORITY, |lowest| lowest - 1).max(1),
                given => given,
            };
            let same = entries.iter().filter(|entry| entry.priority == priority);
            let highest = same.clone().map(|entry| entry.flags).max().unwrap_or(0);
            let handle = if req.handle == 0 { highest + 1 } else { req.handle };
            if same.clone().any(|entry| entry.flags == handle) {
                return Err(Errno::EEXIST);
            }
            // The newest of a priority is the first of it, as Linux has it.
            let at = entries.iter().position(|entry| entry.priority >= priority);
            let entry = Entry {
                prog,
                link: 0,
                flags: handle,
                cookie: 0,
                priority,
                label: req.label.as_str().into(),
            };
            entries.insert(at.unwrap_or(entries.len()), entry);
            Ok(())
        })
    }

    /// Takes those away that are meant; ENOENT if there are none.
    pub(super) fn del_filter(&self, req: &TcFilter) -> Result<(), Errno> {
        let place = self.clsact(req)?;
        let gone = self.core.hooks.change(|places| {
            let list = places.get_mut(&place).ok_or(Errno::ENOENT)?;
            let meant = |entry: &Entry| {
                (req.priority == 0 || entry.priority as u32 == req.priority)
                    && (req.handle == 0 || entry.flags == req.handle)
            };
            let (gone, kept): (Vec<_>, Vec<_>) =
                std::mem::take(&mut list.entries).into_iter().partition(meant);
            list.entries = kept;
            if gone.is_empty() { Err(Errno::ENOENT) } else { Ok(gone) }
        })?;
        drop(gone);
        Ok(())
    }

    pub(super) fn list_filters(&self, ifindex: u32) -> Result<Vec<TcFilter>, Errno> {
        let mut rows = Vec::new();
        for egress in [false, true] {
            let place = self.clsact(&TcFilter { ifindex, egress, ..TcFilter::default() })?;
            let places = self.core.hooks.look();
            let entries = places.get(&place).map(|list| &list.entries[..]).unwrap_or_default();
            rows.extend(entries.iter().map(|entry| TcFilter {
                ifindex,
                egress,
                priority: entry.priority as u32,
                handle: entry.flags,
                prog: None,
                prog_id: entry.prog.id,
                label: entry.label.to_string(),
            }));
        }
        Ok(rows)
    }

    fn clsact(&self, req: &TcFilter) -> Result<Place, Errno> {
        if !self.devices.has(req.ifindex) {
            return Err(Errno::ENODEV);
        }
        let attach_type = CLSACT[usize::from(req.egress)];
        Ok(Place { attach_type, target: Target::Device(req.ifindex) })
    }
}
