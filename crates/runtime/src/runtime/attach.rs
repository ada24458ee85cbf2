//! The commands of links and attached programs.

use std::sync::Arc;

use uapi::{Errno, MapType, ProgType};

use super::Runtime;
use crate::attach::kinds::{self, at, lt};
use crate::attach::link::{IterOver, Link, kernel_function, tracing_type};
use crate::attach::list::{self, Beside, Change};
use crate::attach::{cgroup, flag, xdp};
use crate::device::{Device, Feeder};
use crate::devmap;
use crate::door::{
    AttachTo, DeviceAdd, DeviceInfo, Fd, LinkCreate, ProgAttach, ProgQuery, Queried, QueriedProg,
};
use crate::extend::Extension;
use crate::fds::Object;
use crate::hook::{Entry, Hooks, List, Place, Places, Target};
use crate::iter;
use crate::map_obj::MapObj;
use crate::prog::Prog;
use crate::struct_ops;

/// Programs of sk_lookup in a namespace.
const MAX_SK_LOOKUP: usize = 64;
/// Flags of lists of programs.
const LIST_FLAGS: u32 = flag::BEFORE | flag::AFTER | flag::ID | flag::LINK;

impl Runtime {
    /// What is attached where, for sources of events.
    pub fn hooks(&self) -> Hooks {
        Hooks { registry: self.core.hooks.clone(), core: Arc::downgrade(&self.core) }
    }

    /// What opens captures for interfaces from now on; without it they get no packets.
    pub fn set_feeder(&self, feeder: Feeder) {
        self.devices.set_feeder(feeder);
    }

    /// Ends the packets of all interfaces, and all networks.
    pub fn close_devices(&self) {
        self.nets.close();
        self.devices.close();
    }

    pub(super) fn add_device(&self, req: &DeviceAdd) -> Result<u32, Errno> {
        self.devices.add(req, &self.core.network, self.hooks())
    }

    /// An interface whose packets somebody else carries, by a name of any form; EEXIST if it is
    /// taken.
    pub fn add_live_device(&self, name: &str) -> Result<Arc<Device>, Errno> {
        self.devices.add_live(name, &self.core.network)
    }

    /// Appends a program to the list of a place that bpf(2) knows no attachment for: filters of
    /// clsact and of packet sockets. It stays until the place's target goes.
    pub fn put_program(&self, place: Place, prog: Fd) -> Result<(), Errno> {
        let prog = self.fds.prog(prog)?;
        self.core.hooks.change(|places| {
            let list = places.entry(place).or_default();
            list.revision = list.revision() + 1;
            list.entries.push(plain(prog, 0));
        });
        Ok(())
    }

    pub(super) fn del_device(&self, name: &str) -> Result<(), Errno> {
        for ifindex in self.devices.del(name, &self.core.network)? {
            self.core.hooks.remove_target(&Target::Device(ifindex));
            devmap::forget(&self.core, ifindex);
        }
        Ok(())
    }

    pub(super) fn list_devices(&self) -> Vec<DeviceInfo> {
        let mut devices = self.devices.list();
        let places = self.core.hooks.look();
        for device in &mut devices {
            let target = Target::Device(device.ifindex);
            let list = places.get(&Place { attach_type: at::XDP, target });
            if let Some(entry) = list.and_then(|list| list.entries.first()) {
                (device.xdp_prog, device.xdp_mode) = (entry.prog.id, entry.flags);
            }
        }
        devices
    }

    pub(super) fn list_cgroups(&self) -> Vec<String> {
        let places = self.core.hooks.look();
        let mut paths: Vec<_> = places
            .keys()
            .filter_map(|place| match &place.target {
                Target::Cgroup(path) => Some(path.clone()),
                _ => None,
            })
            .collect();
        paths.sort();
        paths.dedup();
        paths
    }

    /// BPF_LINK_CREATE.
    pub(super) fn create_link(&self, req: &LinkCreate) -> Result<Fd, Errno> {
        if req.attach_type >= at::END {
            return Err(Errno::EINVAL);
        }
        if req.attach_type == at::STRUCT_OPS {
            return self.link_operations(req);
        }
        let prog = self.fds.prog(req.prog)?;
        kinds::check(&prog, req.attach_type)?;
        if kinds::is_cgroup(req.attach_type) && prog.prog_type != ProgType::Ext {
            return self.link_cgroup(req, prog);
        }
        match prog.prog_type {
            ProgType::Tracing if req.attach_type == at::TRACE_ITER => self.link_iter(req, prog),
            ProgType::Tracing if req.attach_type == at::TRACE_RAW_TP => {
                self.open_raw_tracepoint(None, req.prog)
            }
            ProgType::Tracing | ProgType::Ext | ProgType::Lsm => self.link_tracing(req, prog),
            ProgType::FlowDissector | ProgType::SkLookup => self.link_netns(req, prog),
            ProgType::Xdp => self.link_xdp(req, prog),
            ProgType::SchedCls => self.link_tcx(req, prog),
            ProgType::Netfilter => self.link_netfilter(req, prog),
            // There are no perf events.
            ProgType::PerfEvent | ProgType::Tracepoint => Err(Errno::EBADF),
            ProgType::Kprobe if req.attach_type == at::PERF_EVENT => Err(Errno::EBADF),
            ProgType::Kprobe => Err(Errno::EOPNOTSUPP),
            _ => Err(Errno::EINVAL),
        }
    }

    /// A link at `place`, put there by `put`; its descriptor.
    fn link(
        &self,
        new: NewLink,
        put: impl FnOnce(&mut Places, Entry) -> Result<(), Errno>,
    ) -> Result<Fd, Errno> {
        self.core.links.below(self.core.config.limits.objects)?;
        let NewLink { link_type, place, prog, cookie, netfilter, iter, extension, operations } =
            new;
        let mut place = place;
        let link = self.core.links.add(|id| {
            if let Target::Iter(of) = &mut place.target {
                *of = id;
            }
            Link {
                id,
                link_type,
                place,
                prog: prog.clone().into(),
                netfilter,
                iter,
                registry: self.core.hooks.clone(),
                operations: operations.into(),
                _extension: extension,
            }
        });
        let priority = netfilter.0;
        let entry = Entry { prog, link: link.id, flags: 0, cookie, priority, label: "".into() };
        // The link is dropped, if need be, when the lists are free again.
        let done = self.core.hooks.change(|places| put(places, entry));
        done?;
        self.fds.open(Object::Link(link))
    }

    fn link_operations(&self, req: &LinkCreate) -> Result<Fd, Errno> {
        let (map, _) = self.fds.map(req.prog)?;
        if req.flags != 0 {
            return Err(Errno::EINVAL);
        }
        let map: Arc<MapObj> = Arc::clone(&**map);
        let prog = struct_ops::link(&self.core, &map)?;
        let place = Place { attach_type: at::STRUCT_OPS, target: Target::Map(map.id) };
        let operations = Some(map);
        // Nothing here fires it.
        self.link(NewLink { operations, ..NewLink::new(lt::STRUCT_OPS, &place, prog) }, |_, _| {
            Ok(())
        })
    }

    /// BPF_LINK_UPDATE with maps in the place of programs.
    fn update_operations(
        &self,
        link: &Link,
        new: Fd,
        old: Option<Fd>,
        flags: u32,
    ) -> Result<(), Errno> {
        let (new, _) = self.fds.map(new)?;
        if old.is_some() != (flags & flag::REPLACE != 0) {
            return Err(Errno::EINVAL);
        }
        let old = old.map(|fd| self.fds.map(fd)).transpose()?.map(|(map, _)| map.id);
        let mut held = link.operations.lock();
        let now = held.as_ref().ok_or(Errno::ENOLINK)?;
        if old.is_some_and(|old| old != now.id) {
            return Err(Errno::EPERM);
        }
        let new: Arc<MapObj> = Arc::clone(&**new);
        let prog = struct_ops::replace(&self.core, now, &new)?;
        let before = held.replace(new);
        drop(held);
        *link.prog.lock() = prog;
        drop(before);
        Ok(())
    }

    fn device(&self, to: &AttachTo) -> Result<Target, Errno> {
        match to {
            AttachTo::Device { ifindex } if self.devices.has(*ifindex) => {
                Ok(Target::Device(*ifindex))
            }
            _ => Err(Errno::ENODEV),
        }
    }

    fn link_xdp(&self, req: &LinkCreate, prog: Arc<Prog>) -> Result<Fd, Errno> {
        // Not ENODEV, as for the others.
        let target = self.device(&req.to).map_err(|_| Errno::EINVAL)?;
        let place = Place { attach_type: at::XDP, target };
        let new = NewLink { cookie: req.cookie, ..NewLink::new(lt::XDP, &place, prog) };
        self.link(new, |places, entry| {
            let list = places.entry(place).or_default();
            let before = xdp::set(list, Some(entry), None, req.flags)?;
            list.revision = list.revision() + 1;
            drop(before);
            Ok(())
        })
    }

    fn link_tcx(&self, req: &LinkCreate, prog: Arc<Prog>) -> Result<Fd, Errno> {
        let target = self.device(&req.to)?;
        if matches!(req.attach_type, at::NETKIT_PRIMARY | at::NETKIT_PEER) {
            // None of our interfaces is one of netkit.
            return Err(Errno::ENXIO);
        }
        if req.flags & !LIST_FLAGS != 0 {
            return Err(Errno::EINVAL);
        }
        let place = Place { attach_type: req.attach_type, target };
        let beside = self.beside(req.flags, req.relative);
        let change = Change { flags: req.flags, beside, revision: req.revision };
        let new = NewLink { cookie: req.cookie, ..NewLink::new(lt::TCX, &place, prog) };
        self.link(new, |places, entry| {
            list::attach(places.entry(place).or_default(), entry, &change, None).map(drop)
        })
    }

    /// The program or link that `relative` names.
    fn beside(&self, flags: u32, relative: u32) -> Result<Beside, Errno> {
        let by_id = flags & flag::ID != 0;
        if flags & flag::LINK != 0 {
            let id = match by_id {
                true => self.core.links.get(relative).ok_or(Errno::ENOENT)?.id,
                false => self.fds.link(Fd(relative as i32))?.id,
            };
            return Ok(Beside::Link(id));
        }
        match (by_id, relative) {
            (false, 0) => Ok(Beside::Nothing),
            (true, id) => {
                let prog = self.core.progs.get(id).ok_or(Errno::ENOENT)?;
                of_type(&prog, ProgType::SchedCls)?;
                Ok(Beside::Prog(prog.id))
            }
            (false, fd) => {
                let prog = self.fds.prog(Fd(fd as i32))?;
                of_type(&prog, ProgType::SchedCls)?;
                Ok(Beside::Prog(prog.id))
            }
        }
    }

    fn link_cgroup(&self, req: &LinkCreate, prog: Arc<Prog>) -> Result<Fd, Errno> {
        if req.flags & !LIST_FLAGS != 0 {
            return Err(Errno::EINVAL);
        }
        let place = Place { attach_type: req.attach_type, target: group(&req.to)? };
        let new = NewLink { cookie: req.cookie, ..NewLink::new(lt::CGROUP, &place, prog) };
        let flags = req.flags | flag::ALLOW_MULTI;
        self.link(new, |places, entry| cgroup::attach(places, &place, entry, flags, None).map(drop))
    }

    fn link_netns(&self, req: &LinkCreate, prog: Arc<Prog>) -> Result<Fd, Errno> {
        if req.flags != 0 {
            return Err(Errno::EINVAL);
        }
        if req.to != (AttachTo::Netns {}) {
            return Err(Errno::EBADF);
        }
        let place = Place { attach_type: req.attach_type, target: Target::Netns };
        let max = if req.attach_type == at::SK_LOOKUP { MAX_SK_LOOKUP } else { 1 };
        self.link(NewLink::new(lt::NETNS, &place, prog), |places, entry| {
            let list = places.entry(place).or_default();
            if list.entries.iter().any(|known| known.link == 0) {
                return Err(Errno::EEXIST);
            }
            if list.entries.len() >= max {
                return Err(Errno::E2BIG);
            }
            list.entries.push(entry);
            list.revision = list.revision() + 1;
            Ok(())
        })
    }

    fn link_netfilter(&self, req: &LinkCreate, prog: Arc<Prog>) -> Result<Fd, Errno> {
        const IPV4: u32 = 2;
        const IPV6: u32 = 10;
        const HOOKS: u32 = 5;
        const DEFRAG: u32 = 1;
        /// Priority above which packets are whole again.
        const AFTER_DEFRAG: i32 = -400;
        if req.flags != 0 {
            return Err(Errno::EINVAL);
        }
        let AttachTo::Netfilter { pf, hook, priority, flags } = req.to else {
            return Err(Errno::EAFNOSUPPORT);
        };
        match pf {
            IPV4 | IPV6 if hook >= HOOKS => return Err(Errno::EPROTO),
            IPV4 | IPV6 => {}
            _ => return Err(Errno::EAFNOSUPPORT),
        }
        if flags & !DEFRAG != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        if matches!(priority, i32::MIN | i32::MAX) {
            return Err(Errno::ERANGE);
        }
        if flags & DEFRAG != 0 && priority <= AFTER_DEFRAG {
            return Err(Errno::ERANGE);
        }
        let place = Place { attach_type: at::NETFILTER, target: Target::Netfilter(pf, hook) };
        let new =
            NewLink { netfilter: (priority, flags), ..NewLink::new(lt::NETFILTER, &place, prog) };
        self.link(new, |places, entry| {
            let list = places.entry(place).or_default();
            let at = list.entries.partition_point(|known| known.priority < entry.priority);
            if list.entries.get(at).is_some_and(|known| known.priority == entry.priority) {
                return Err(Errno::EBUSY);
            }
            list.entries.insert(at, entry);
            Ok(())
        })
    }

    fn link_tracing(&self, req: &LinkCreate, prog: Arc<Prog>) -> Result<Fd, Errno> {
        let link_type = tracing_type(&prog)?;
        let given = match req.to {
            AttachTo::Nothing => None,
            AttachTo::Function { prog: of, btf_id } if btf_id != 0 => Some((of, btf_id)),
            _ => return Err(Errno::EINVAL),
        };
        if prog.prog_type == ProgType::Ext {
            let given = given.map(|(fd, id)| Ok((self.fds.prog(fd)?, id))).transpose()?;
            return self.link_extension(req, prog, given);
        }
        if given.is_some() {
            return Err(Errno::EINVAL);
        }
        let place = Place { attach_type: prog.attach_type, target: kernel_function(&prog) };
        let new = NewLink { cookie: req.cookie, ..NewLink::new(link_type, &place, prog) };
        self.link(new, |places, entry| {
            places.entry(place).or_default().entries.push(entry);
            Ok(())
        })
    }

    /// An extension goes where it was loaded for, once, or where it is told.
    fn link_extension(
        &self,
        req: &LinkCreate,
        prog: Arc<Prog>,
        given: Option<(Arc<Prog>, u32)>,
    ) -> Result<Fd, Errno> {
        let mut loaded_for = prog.target.lock();
        let (target, id) = match (given, &*loaded_for) {
            (Some(given), _) => given,
            (None, Some(target)) => (target.clone(), prog.attach_btf_id),
            (None, None) => return Err(Errno::EINVAL),
        };
        if prog.extends != Some((target.prog_type, target.attach_type)) {
            return Err(Errno::EINVAL);
        }
        let btf = prog.btf.as_ref().map(|b| &*b.btf);
        verifier::extends(btf, &prog.func_info, &prog.functions, &target.as_target(), id)?;
        let place = Place { attach_type: 0, target: Target::Function(target.id, id) };
        let extension = Some(Extension::attach(&self.core, target, id, prog.clone())?);
        let new = NewLink { cookie: req.cookie, ..NewLink::new(lt::TRACING, &place, prog.clone()) };
        let fd = self.link(NewLink { extension, ..new }, |places, entry| {
            places.entry(place).or_default().entries.push(entry);
            Ok(())
        })?;
        let before = loaded_for.take();
        drop(loaded_for);
        drop(before);
        Ok(fd)
    }

    fn link_iter(&self, req: &LinkCreate, prog: Arc<Prog>) -> Result<Fd, Errno> {
        if req.flags != 0 {
            return Err(Errno::EINVAL);
        }
        let target = iter::target(&self.core, &prog)?;
        let map = match req.to {
            AttachTo::Map { map } => Some(self.fds.map(map)?.0),
            _ => None,
        };
        let map = if target == iter::MAP_ELEM {
            let map = map.ok_or(Errno::EBADF)?;
            iter::can_walk(&map, prog.demands)?;
            Some(map)
        } else {
            None
        };
        let place = Place { attach_type: at::TRACE_ITER, target: Target::Iter(0) };
        let iter = Some(IterOver { target, map });
        // Nothing fires it: it is run when it is read.
        self.link(NewLink { iter, ..NewLink::new(lt::ITER, &place, prog) }, |_, _| Ok(()))
    }

    /// BPF_RAW_TRACEPOINT_OPEN.
    pub(super) fn open_raw_tracepoint(&self, name: Option<&str>, prog: Fd) -> Result<Fd, Errno> {
        let prog = self.fds.prog(prog)?;
        let name = match (prog.prog_type, name) {
            (ProgType::RawTracepoint | ProgType::RawTracepointWritable, Some(name)) => {
                name.to_owned()
            }
            (ProgType::RawTracepoint | ProgType::RawTracepointWritable, None) => {
                return Err(Errno::EFAULT);
            }
            (ProgType::Tracing | ProgType::Ext | ProgType::Lsm, Some(_)) => {
                return Err(Errno::EINVAL);
            }
            (ProgType::Tracing, None) if prog.attach_type == at::TRACE_RAW_TP => {
                iter::function_name(&self.core, prog.attach_btf_id)
                    .and_then(|name| name.strip_prefix("btf_trace_").map(str::to_owned))
                    .ok_or(Errno::EINVAL)?
            }
            (ProgType::Tracing | ProgType::Ext | ProgType::Lsm, None) => {
                let req = LinkCreate { attach_type: prog.attach_type, ..LinkCreate::default() };
                return self.link_tracing(&req, prog);
            }
            _ => return Err(Errno::EINVAL),
        };
        if !iter::has_tracepoint(&self.core, &name) {
            return Err(Errno::ENOENT);
        }
        let place = Place { attach_type: at::TRACE_RAW_TP, target: Target::Tracepoint(name) };
        self.link(NewLink::new(lt::RAW_TRACEPOINT, &place, prog), |places, entry| {
            places.entry(place).or_default().entries.push(entry);
            Ok(())
        })
    }

    /// BPF_LINK_UPDATE.
    pub(super) fn update_link(
        &self,
        link: Fd,
        new: Fd,
        old: Option<Fd>,
        flags: u32,
    ) -> Result<(), Errno> {
        if flags & !flag::REPLACE != 0 {
            return Err(Errno::EINVAL);
        }
        let link = self.fds.link(link)?;
        if link.link_type == lt::STRUCT_OPS {
            return self.update_operations(&link, new, old, flags);
        }
        let new = self.fds.prog(new)?;
        if old.is_some() != (flags & flag::REPLACE != 0) {
            return Err(Errno::EINVAL);
        }
        let old = old.map(|fd| self.fds.prog(fd)).transpose()?;
        link.update(new, old)
    }

    /// IFLA_XDP.
    pub(super) fn set_xdp(&self, ifindex: u32, prog: Option<Fd>, flags: u32) -> Result<(), Errno> {
        let target = self.device(&AttachTo::Device { ifindex })?;
        let prog = prog.map(|fd| self.fds.prog(fd)).transpose()?;
        if let Some(prog) = &prog {
            of_type(prog, ProgType::Xdp)?;
        }
        let place = Place { attach_type: at::XDP, target };
        let before = self.core.hooks.change(|places| {
            let list = places.entry(place).or_default();
            let entry = prog.map(|prog| plain(prog, 0));
            let before = xdp::set(list, entry, None, flags);
            list.revision = list.revision() + 1;
            before
        })?;
        drop(before);
        Ok(())
    }

    /// BPF_PROG_ATTACH.
    pub(super) fn attach_prog(&self, req: &ProgAttach) -> Result<(), Errno> {
        let wanted = kinds::prog_type(req.attach_type).ok_or(Errno::EINVAL)?;
        let prog = self.fds.prog(req.prog.ok_or(Errno::EBADF)?)?;
        of_type(&prog, wanted)?;
        kinds::check(&prog, req.attach_type)?;
        if kinds::is_cgroup(req.attach_type) {
            return self.attach_cgroup(req, prog);
        }
        match wanted {
            ProgType::SchedCls => self.attach_tcx(req, prog),
            ProgType::FlowDissector => self.attach_flow_dissector(req, prog),
            ProgType::SkSkb | ProgType::SkMsg => self.attach_sockets(req, prog),
            _ => Err(Errno::EINVAL),
        }
    }

    fn attach_cgroup(&self, req: &ProgAttach, prog: Arc<Prog>) -> Result<(), Errno> {
        let place = Place { attach_type: req.attach_type, target: group(&req.to)? };
        let old = req.replace.map(|fd| self.fds.prog(fd)).transpose()?;
        let entry = plain(prog, 0);
        let change =
            |places: &mut Places| cgroup::attach(places, &place, entry, req.flags, old.as_ref());
        self.core.hooks.change(change).map(drop)
    }

    fn attach_tcx(&self, req: &ProgAttach, prog: Arc<Prog>) -> Result<(), Errno> {
        if req.flags & !(LIST_FLAGS | flag::REPLACE) != 0 {
            return Err(Errno::EINVAL);
        }
        let target = self.device(&req.to)?;
        if req.attach_type > at::TCX_EGRESS {
            return Err(Errno::ENXIO);
        }
        let place = Place { attach_type: req.attach_type, target };
        let old = req.replace.map(|fd| self.fds.prog(fd)).transpose()?;
        let beside = self.beside(req.flags, req.relative);
        let change = Change { flags: req.flags, beside, revision: req.revision };
        let put = |places: &mut Places| {
            let list = places.entry(place).or_default();
            list::attach(list, plain(prog, 0), &change, old.as_deref())
        };
        self.core.hooks.change(put).map(drop)
    }

    fn attach_flow_dissector(&self, req: &ProgAttach, prog: Arc<Prog>) -> Result<(), Errno> {
        if req.flags != 0 || req.replace.is_some() || req.to != AttachTo::Nothing {
            return Err(Errno::EINVAL);
        }
        let place = Place { attach_type: at::FLOW_DISSECTOR, target: Target::Netns };
        let before = self.core.hooks.change(|places| {
            let list = places.entry(place).or_default();
            match list.entries.first() {
                Some(entry) if entry.link != 0 => return Err(Errno::EEXIST),
                Some(entry) if entry.prog.id == prog.id => return Err(Errno::EINVAL),
                _ => {}
            }
            list.revision = list.revision() + 1;
            Ok(std::mem::replace(&mut list.entries, vec![plain(prog, 0)]))
        });
        before.map(drop)
    }

    fn attach_sockets(&self, req: &ProgAttach, prog: Arc<Prog>) -> Result<(), Errno> {
        if req.flags != 0 || req.replace.is_some() {
            return Err(Errno::EINVAL);
        }
        let place = self.sockets(req)?;
        let before = self.core.hooks.change(|places| {
            let list = places.entry(place).or_default();
            list.revision = list.revision() + 1;
            std::mem::replace(&mut list.entries, vec![plain(prog, 0)])
        });
        drop(before);
        Ok(())
    }

    /// A map of sockets.
    fn sockets(&self, req: &ProgAttach) -> Result<Place, Errno> {
        let AttachTo::Map { map } = req.to else { return Err(Errno::EBADF) };
        let (map, _) = self.fds.map(map)?;
        match map.map.def().map_type {
            MapType::Sockmap | MapType::Sockhash => {
                Ok(Place { attach_type: req.attach_type, target: Target::Map(map.id) })
            }
            _ => Err(Errno::EOPNOTSUPP),
        }
    }

    /// BPF_PROG_DETACH.
    pub(super) fn detach_prog(&self, req: &ProgAttach) -> Result<(), Errno> {
        let wanted = kinds::prog_type(req.attach_type).ok_or(Errno::EINVAL)?;
        if kinds::is_cgroup(req.attach_type) {
            let place = Place { attach_type: req.attach_type, target: group(&req.to)? };
            // As in Linux, a program that cannot be opened is as good as none.
            let prog = req.prog.and_then(|fd| self.fds.prog(fd).ok());
            let prog = prog.filter(|prog| prog.prog_type == wanted);
            let take = |places: &mut Places| cgroup::detach(places, &place, prog.as_ref());
            return self.core.hooks.change(take).map(drop);
        }
        let prog = req.prog.map(|fd| self.fds.prog(fd)).transpose()?;
        if let Some(prog) = &prog {
            of_type(prog, wanted)?;
        }
        match wanted {
            ProgType::SchedCls => self.detach_tcx(req, prog),
            ProgType::FlowDissector => {
                let place = Place { attach_type: at::FLOW_DISSECTOR, target: Target::Netns };
                self.detach_only(&place, prog)
            }
            ProgType::SkSkb | ProgType::SkMsg => self.detach_only(&self.sockets(req)?, prog),
            _ => Err(Errno::EINVAL),
        }
    }

    fn detach_tcx(&self, req: &ProgAttach, prog: Option<Arc<Prog>>) -> Result<(), Errno> {
        if req.flags & !LIST_FLAGS != 0 {
            return Err(Errno::EINVAL);
        }
        let target = self.device(&req.to)?;
        let place = Place { attach_type: req.attach_type, target };
        let beside = self.beside(req.flags, req.relative);
        let change = Change { flags: req.flags, beside, revision: req.revision };
        let take = |places: &mut Places| {
            let list = places.get_mut(&place).ok_or(Errno::ENOENT)?;
            list::detach(list, prog.as_ref(), &change)
        };
        self.core.hooks.change(take).map(drop)
    }

    /// Where there is one program at most.
    fn detach_only(&self, place: &Place, prog: Option<Arc<Prog>>) -> Result<(), Errno> {
        let taken = self.core.hooks.change(|places| {
            let list = places.get_mut(place).ok_or(Errno::ENOENT)?;
            let entry = list.entries.first().ok_or(Errno::ENOENT)?;
            if entry.link != 0 {
                return Err(Errno::EINVAL);
            }
            if Some(entry.prog.id) != prog.map(|prog| prog.id) {
                return Err(Errno::ENOENT);
            }
            list.revision = list.revision() + 1;
            Ok(std::mem::take(&mut list.entries))
        });
        taken.map(drop)
    }

    /// BPF_PROG_QUERY.
    pub(super) fn query_progs(&self, req: &ProgQuery) -> Result<Queried, Errno> {
        if kinds::is_cgroup(req.attach_type) {
            return self.query_cgroup(req);
        }
        let target = match req.attach_type {
            at::FLOW_DISSECTOR | at::SK_LOOKUP if req.flags == 0 => Target::Netns,
            at::TCX_INGRESS | at::TCX_EGRESS if req.flags == 0 => self.device(&req.to)?,
            _ => return Err(Errno::EINVAL),
        };
        let places = self.core.hooks.look();
        let list = places.get(&Place { attach_type: req.attach_type, target });
        let revision = list.map_or(1, List::revision);
        let progs = list.map(|list| list.entries.iter().map(queried).collect());
        Ok(Queried { flags: 0, progs: progs.unwrap_or_default(), revision })
    }

    fn query_cgroup(&self, req: &ProgQuery) -> Result<Queried, Errno> {
        if req.flags & !flag::EFFECTIVE != 0 {
            return Err(Errno::EINVAL);
        }
        let place = Place { attach_type: req.attach_type, target: group(&req.to)? };
        let places = self.core.hooks.look();
        if req.flags & flag::EFFECTIVE != 0 {
            let progs = cgroup::effective(&places, &place);
            let progs = progs.iter().map(|entry| QueriedProg { flags: 0, ..queried(entry) });
            return Ok(Queried { flags: 0, progs: progs.collect(), revision: 0 });
        }
        let Some(list) = places.get(&place) else {
            return Ok(Queried { revision: 1, ..Queried::default() });
        };
        // Groups do not tell which programs a link holds.
        let progs = list.entries.iter().map(|entry| QueriedProg { link: 0, ..queried(entry) });
        Ok(Queried { flags: list.flags, progs: progs.collect(), revision: list.revision() })
    }
}

/// What a link is made of.
struct NewLink {
    link_type: u32,
    place: Place,
    prog: Arc<Prog>,
    cookie: u64,
    netfilter: (i32, u32),
    iter: Option<IterOver>,
    operations: Option<Arc<MapObj>>,
    extension: Option<Extension>,
}

impl NewLink {
    fn new(link_type: u32, place: &Place, prog: Arc<Prog>) -> NewLink {
        let place = place.clone();
        NewLink {
            link_type,
            place,
            prog,
            cookie: 0,
            netfilter: (0, 0),
            iter: None,
            operations: None,
            extension: None,
        }
    }
}

fn plain(prog: Arc<Prog>, flags: u32) -> Entry {
    Entry { prog, link: 0, flags, cookie: 0, priority: 0, label: "".into() }
}

fn queried(entry: &Entry) -> QueriedProg {
    QueriedProg { id: entry.prog.id, flags: entry.flags, link: entry.link }
}

fn of_type(prog: &Prog, wanted: ProgType) -> Result<(), Errno> {
    if prog.prog_type == wanted { Ok(()) } else { Err(Errno::EINVAL) }
}

/// A control group by its path; EBADF for what is none.
fn group(to: &AttachTo) -> Result<Target, Errno> {
    let AttachTo::Cgroup { path } = to else { return Err(Errno::EBADF) };
    cgroup::normal(path).map(Target::Cgroup).ok_or(Errno::EBADF)
}
