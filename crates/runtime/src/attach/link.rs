//! Links: objects that hold a program at its place.

use std::sync::Arc;

use parking_lot::Mutex;
use uapi::Errno;

use super::kinds::{at, lt};
use crate::door::{LinkInfo, LinkTarget};
use crate::extend::Extension;
use crate::hook::{Place, Registry, Target};
use crate::iter;
use crate::map_obj::MapObj;
use crate::prog::Prog;

/// Inode of the network namespace that all interfaces are in.
pub(crate) const NETNS_INODE: u32 = 4_026_531_840;
/// Id of the kernel's own types.
const KERNEL_BTF: u32 = 1;

/// A link object. Dropped with its last holder, it takes its program away.
pub(crate) struct Link {
    pub(crate) id: u32,
    pub(crate) link_type: u32,
    pub(crate) place: Place,
    pub(crate) prog: Mutex<Arc<Prog>>,
    /// Priority and flags of netfilter.
    pub(crate) netfilter: (i32, u32),
    /// What an iterator goes through.
    pub(crate) iter: Option<IterOver>,
    pub(crate) registry: Arc<Registry>,
    /// The map of struct_ops that it holds registered.
    pub(crate) operations: Mutex<Option<Arc<MapObj>>>,
    /// The function that its program takes the place of.
    pub(crate) _extension: Option<Extension>,
}

/// An iterator's target.
#[derive(Clone)]
pub(crate) struct IterOver {
    pub(crate) target: String,
    /// The map whose elements it goes through.
    pub(crate) map: Option<Arc<crate::map_obj::User>>,
}

impl Link {
    /// Whether its program is at its place.
    pub(crate) fn is_attached(&self) -> bool {
        let places = self.registry.look();
        let list = places.get(&self.place);
        list.is_some_and(|list| list.entries.iter().any(|entry| entry.link == self.id))
    }

    /// BPF_LINK_DETACH: a second time is no error.
    pub(crate) fn detach(&self) -> Result<(), Errno> {
        if self.link_type == lt::STRUCT_OPS {
            self.let_go();
            return Ok(());
        }
        let can = [lt::CGROUP, lt::NETNS, lt::XDP, lt::NETFILTER, lt::TCX];
        if !can.contains(&self.link_type) {
            return Err(Errno::EOPNOTSUPP);
        }
        self.registry.remove_link(&self.place, self.id);
        Ok(())
    }

    /// The structure that it held is no longer registered.
    fn let_go(&self) {
        let held = self.operations.lock().take();
        if let Some(operations) = held.as_ref().and_then(|map| map.operations.as_ref()) {
            operations.let_go();
        }
    }

    /// BPF_LINK_UPDATE.
    pub(crate) fn update(&self, new: Arc<Prog>, old: Option<Arc<Prog>>) -> Result<(), Errno> {
        match self.link_type {
            lt::CGROUP | lt::NETNS | lt::XDP | lt::TCX | lt::ITER => {}
            lt::NETFILTER => return Err(Errno::EOPNOTSUPP),
            _ => return Err(Errno::EINVAL),
        }
        let mut prog = self.prog.lock();
        let iter = self.link_type == lt::ITER;
        if !iter && !self.is_attached() {
            return Err(Errno::ENOLINK);
        }
        if old.is_some_and(|old| old.id != prog.id) {
            return Err(Errno::EPERM);
        }
        let alike = prog.prog_type == new.prog_type
            && prog.attach_type == new.attach_type
            && (!iter || prog.attach_btf_id == new.attach_btf_id);
        if !alike {
            return Err(Errno::EINVAL);
        }
        if let Some(map) = self.iter.as_ref().and_then(|iter| iter.map.as_ref()) {
            // Linux forgets to look, and lets it read past the element.
            iter::can_walk(map, new.demands)?;
        }
        let taken = self.registry.change(|places| {
            let list = places.get_mut(&self.place)?;
            list.revision = list.revision() + 1;
            let entry = list.entries.iter_mut().find(|entry| entry.link == self.id)?;
            Some(std::mem::replace(&mut entry.prog, new.clone()))
        });
        drop(taken);
        *prog = new;
        Ok(())
    }

    /// BPF_OBJ_GET_INFO_BY_FD.
    pub(crate) fn info(&self) -> LinkInfo {
        let attached = self.is_attached();
        let attach_type = self.place.attach_type;
        let target = match &self.place.target {
            Target::Device(index) => {
                let ifindex = if attached { *index } else { 0 };
                match self.link_type {
                    lt::XDP => LinkTarget::Xdp { ifindex },
                    _ => LinkTarget::Device { ifindex, attach_type },
                }
            }
            Target::Netns => {
                let inode = if attached { NETNS_INODE } else { 0 };
                LinkTarget::Netns { inode, attach_type }
            }
            Target::Cgroup(path) => {
                let cgroup_id = if attached { cgroup_id(path) } else { 0 };
                LinkTarget::Cgroup { cgroup_id, attach_type }
            }
            Target::Tracepoint(name) => LinkTarget::RawTracepoint { name: name.clone() },
            Target::Function(obj_id, btf_id) => {
                LinkTarget::Tracing { attach_type, obj_id: *obj_id, btf_id: *btf_id }
            }
            Target::Netfilter(pf, hook) => {
                let (priority, flags) = self.netfilter;
                LinkTarget::Netfilter { pf: *pf, hook: *hook, priority, flags }
            }
            Target::Map(_) => {
                let map_id = self.operations.lock().as_ref().map_or(0, |map| map.id);
                LinkTarget::StructOps { map_id }
            }
            Target::Iter(_) => {
                let target = self.iter.as_ref().map(|iter| iter.target.clone());
                let map_id = self.iter.as_ref().and_then(|iter| iter.map.as_ref());
                let map_id = map_id.map_or(0, |map| map.id);
                LinkTarget::Iter { target: target.unwrap_or_default(), map_id }
            }
        };
        // A structure's programs are in its map.
        let whole = self.link_type == lt::STRUCT_OPS;
        let prog_id = if whole { 0 } else { self.prog.lock().id };
        LinkInfo { link_type: self.link_type, id: self.id, prog_id, target }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.registry.remove_link(&self.place, self.id);
        self.let_go();
    }
}

/// The number of a group: FNV-1a of its path, as there is no inode.
pub(crate) fn cgroup_id(path: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    path.bytes().fold(0xcbf2_9ce4_8422_2325, step) >> 32
}

/// The kernel's function that a program was loaded for.
pub(crate) fn kernel_function(prog: &Prog) -> Target {
    Target::Function(KERNEL_BTF, prog.attach_btf_id)
}

/// The type of link that a program of tracing gets; EINVAL for what is not attached so.
pub(crate) fn tracing_type(prog: &Prog) -> Result<u32, Errno> {
    use uapi::ProgType::{Ext, Lsm, Tracing};
    let fits = match prog.prog_type {
        Tracing => (at::TRACE_FENTRY..=at::MODIFY_RETURN).contains(&prog.attach_type),
        Ext => prog.attach_type == 0,
        Lsm => prog.attach_type == at::LSM_MAC,
        _ => false,
    };
    if fits { Ok(lt::TRACING) } else { Err(Errno::EINVAL) }
}
