//! The in-process kernel: objects behind descriptors.

mod attach;
mod net;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use btf::Btf;
use btf::fields::Record;
use maps::{Held, Hold, Map, Part, Perms};
use parking_lot::Mutex;
use uapi::{Errno, HelperProto, MapDef, MapType, map_flags};

use crate::bpffs::{Bpffs, Entry};
use crate::btf_obj::BtfObj;
use crate::core::{Config, Core, HostFn, HostHelper};
use crate::device::Devices;
use crate::devmap;
use crate::door::{
    Batch, Bpf, BtfInfo, BtfLoad, Counted, DeviceAdd, DeviceInfo, Fd, FsEntry, Holder, LinkCreate,
    LinkInfo, LoadError, Loaded, MapCreate, MapInfo, NetInfo, NetRefused, NetUp, ObjKind, Outside,
    ProgAttach, ProgInfo, ProgLoad, ProgQuery, Queried, TcFilter, TestRun, TestRunOut,
};
use crate::engine::Engine;
use crate::fds::{Fds, Object};
use crate::iter;
use crate::load;
use crate::log::{self, Log};
use crate::machine_code::{MachineInsn, machine_code};
use crate::map_obj::{InnerTypes, MapObj, PerfRecord};
use crate::map_text;
use crate::map_types;
use crate::nets::Nets;
use crate::outside::OutsideObj;
use crate::route_table::RouteTable;
use crate::runner::Runner;
use crate::socket::Socket;
use crate::struct_ops::{self, Operations};
use crate::test_run::test_run;
use crate::trace::TraceSink;

/// Longest wait for a printed line, in milliseconds.
const MAX_WAIT_MS: u32 = 1000;

/// Numbers of host helpers start here; Linux's own end far below.
pub const HOST_HELPER_BASE: u32 = 4096;

/// eBPF's objects in this process; many may exist side by side.
pub struct Runtime {
    core: Arc<Core>,
    fds: Arc<Fds>,
    pins: Arc<Mutex<Bpffs>>,
    devices: Arc<Devices>,
    nets: Arc<Nets>,
    /// Its test runs are to end.
    stop: Arc<AtomicBool>,
}

impl Default for Runtime {
    fn default() -> Runtime {
        Runtime::new(Config::default())
    }
}

impl Runtime {
    /// An empty runtime.
    pub fn new(config: Config) -> Runtime {
        let limits = config.limits;
        let core = Core::shared(config);
        let fds = core.processes.add(limits.fds, std::process::id());
        Runtime {
            core,
            fds,
            pins: Arc::new(Mutex::new(Bpffs::new(limits.pins))),
            devices: Arc::default(),
            nets: Arc::default(),
            stop: Arc::default(),
        }
    }

    /// The same objects and pins behind an empty table of descriptors, as another process has it;
    /// what only its descriptors hold goes when it is dropped.
    pub fn process(&self) -> Runtime {
        self.process_of(std::process::id())
    }

    /// [`Runtime::process`] for the process `pid`.
    pub fn process_of(&self, pid: u32) -> Runtime {
        let fds = self.core.processes.add(self.core.config.limits.fds, pid);
        Runtime {
            core: self.core.clone(),
            fds,
            pins: self.pins.clone(),
            devices: self.devices.clone(),
            nets: self.nets.clone(),
            stop: Arc::default(),
        }
    }

    /// What ends the repeated test runs of this process with EINTR, once it is true, as a deadly
    /// signal does.
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        self.stop.clone()
    }

    /// Its settings, with the machine's filled in.
    pub fn config(&self) -> &Config {
        &self.core.config
    }

    /// Registers a function that programs loaded from now on may call by the number in its
    /// contract, [`HOST_HELPER_BASE`] or above; a second one of that number replaces the first.
    pub fn register_helper(&self, proto: HelperProto, body: HostFn) {
        let mut helpers = self.core.host_helpers.write();
        helpers.retain(|h| h.proto.id != proto.id);
        helpers.push(HostHelper { proto, body });
    }

    /// The routes, interfaces and neighbours that programs look up from now on.
    pub fn set_routes(&self, routes: RouteTable) {
        *self.core.routes.write() = Some(Arc::new(routes));
    }

    /// The sockets that programs find from now on.
    pub fn set_sockets(&self, sockets: Vec<Arc<Socket>>) {
        *self.core.sockets.write() = sockets;
    }

    /// The lines that programs printed since the last call, as trace_pipe shows them.
    pub fn take_trace(&self) -> Vec<String> {
        self.core.trace.take()
    }

    /// Lines taken and not read by anyone: they come first again.
    pub fn give_back_trace(&self, lines: Vec<String>) {
        self.core.trace.give_back(lines);
    }

    /// Sends each printed line to `sink` from now on, or back to the buffer.
    pub fn set_trace_sink(&self, sink: Option<TraceSink>) {
        self.core.trace.set_sink(sink);
    }

    /// Whether a folder of the machine, by its absolute path, shows what is pinned below
    /// /sys/fs/bpf: paths into it mean pins from now on.
    pub fn show_pins_at(&self, dir: &str, shown: bool) {
        self.pins.lock().show_at(dir, shown);
    }

    /// Removes a pin, as unlink(2) in bpffs does.
    pub fn unpin(&self, path: &str) -> Result<(), Errno> {
        let pin = self.pins.lock().unlink(path);
        pin.map(drop)
    }

    /// Paths of the pins, in order.
    pub fn pins(&self) -> Vec<String> {
        self.pins.lock().pins().map(|(path, _)| path.to_owned()).collect()
    }

    /// A program made ready to run many times on this thread.
    pub fn runner(&self, prog: Fd) -> Result<Runner, Errno> {
        Ok(Runner::new(self.core.clone(), self.fds.prog(prog)?))
    }

    /// Hands the finished records of a ring buffer to `take` until it answers `false`; how many.
    pub fn ringbuf_consume(
        &self,
        map: Fd,
        take: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<usize, Errno> {
        let (map, _) = self.fds.map(map)?;
        Ok(map.map.ops().ringbuf().ok_or(Errno::EINVAL)?.consume(take))
    }

    /// Waits until a ring buffer may have something to read, at most `time`.
    pub fn ringbuf_wait(&self, map: Fd, time: std::time::Duration) -> Result<(), Errno> {
        let (map, _) = self.fds.map(map)?;
        map.map.ops().ringbuf().ok_or(Errno::EINVAL)?.wait(time);
        Ok(())
    }

    /// What [`Bpf::map_mmap`] maps, as files for another process, and what counts as mapped while
    /// it is held.
    pub fn map_lend(
        &self,
        map: Fd,
        offset: u64,
        len: usize,
        write: bool,
    ) -> Result<(Vec<Part>, Hold), Errno> {
        let (map, perms) = self.fds.map(map)?;
        map.map.lend(perms, offset, len, write)
    }

    /// What programs have sent through a perf event array since the last call.
    pub fn take_perf(&self, map: Fd) -> Result<Vec<PerfRecord>, Errno> {
        let (map, _) = self.fds.map(map)?;
        match map.map.def().map_type {
            MapType::PerfEventArray => Ok(map.take_records()),
            _ => Err(Errno::EINVAL),
        }
    }

    /// [`Bpf::prog_load`] for an engine of choice.
    pub fn prog_load_for(&self, req: &ProgLoad, engine: Engine) -> Result<Loaded, LoadError> {
        let accepted = load::load(&self.core, &self.fds, req, engine)?;
        let fd = self.fds.open(Object::Prog(accepted.prog))?;
        let (log, log_true_size) = (accepted.log.text, accepted.log.true_size);
        Ok(Loaded { fd, log, log_true_size, stats: Some(accepted.stats) })
    }

    /// The dumps of machine code since the last call, as Linux logs them with `bpf_jit_enable` 2.
    pub fn take_jit_dump(&self) -> String {
        std::mem::take(&mut *self.core.jit_dumps.lock())
    }

    /// The machine instructions of a program; for one that is interpreted, why it is.
    pub fn machine_code(&self, prog: Fd) -> Result<Vec<MachineInsn>, String> {
        machine_code(&*self.fds.prog(prog).map_err(|errno| errno.to_string())?)
    }

    /// Why the program does not run as machine code, if it does not.
    pub fn interpreted_because(&self, prog: Fd) -> Result<Option<String>, Errno> {
        Ok(self.fds.prog(prog)?.native.as_ref().err().cloned())
    }

    /// The key of a map as the map has it: local storage is asked for by a descriptor.
    fn stored_key(&self, map: &Arc<MapObj>, key: &[u8]) -> Result<Option<[u8; 8]>, Errno> {
        if map.map.ops().local().is_none() {
            return Ok(None);
        }
        let owner = self.owner(map.map.def().map_type, key)?;
        owner.1.stored_in(Arc::downgrade(map));
        Ok(Some(owner.0.to_ne_bytes()))
    }

    fn owner(&self, t: MapType, key: &[u8]) -> Result<(u64, Arc<OutsideObj>), Errno> {
        let fd = key.first_chunk::<4>().ok_or(Errno::EFAULT)?;
        let owner = self.fds.outside(Fd(i32::from_ne_bytes(*fd)))?;
        Ok((owner.key(t)?, owner))
    }

    /// What maps inside a map of maps have to look like.
    fn inner_model(&self, fd: Fd) -> Result<(Box<MapDef>, Box<InnerTypes>), Errno> {
        let (map, _) = self.fds.map(fd)?;
        let types = InnerTypes { btf: map.btf.clone(), fields: map.fields.clone() };
        Ok((Box::new(map.map.def().clone()), Box::new(types)))
    }

    /// The object behind the descriptor in a value of a map of objects.
    fn held(&self, map: &MapObj, value: &[u8]) -> Result<Held, Errno> {
        let fd = value.first_chunk::<4>().ok_or(Errno::EFAULT)?;
        let fd = Fd(i32::from_ne_bytes(*fd));
        match map.map.def().map_type {
            MapType::ProgArray => {
                let prog = self.fds.prog(fd)?;
                map.owned_by(prog.owner)?;
                if prog.replaced.any() {
                    return Err(Errno::EBUSY);
                }
                Ok(Held { id: prog.id.into(), object: prog })
            }
            MapType::ArrayOfMaps | MapType::HashOfMaps => {
                let (inner, _) = self.fds.map(fd)?;
                let model = map.map.def().inner.as_deref().ok_or(Errno::EINVAL)?;
                let fields = map.inner.as_ref().map(|types| &types.fields);
                if !fits(inner.map.def(), model) || Some(&inner.fields) != fields {
                    return Err(Errno::EINVAL);
                }
                let object: Arc<MapObj> = Arc::clone(&**inner);
                Ok(Held { id: inner.id.into(), object })
            }
            t => {
                let what = self.fds.outside(fd)?;
                what.fits(t)?;
                Ok(Held { id: what.id(), object: what.object() })
            }
        }
    }

    fn object(&self, kind: ObjKind, id: u32, perms: Perms) -> Option<Object> {
        match kind {
            ObjKind::Prog => self.core.progs.get(id).map(Object::Prog),
            ObjKind::Map => self.core.maps.get(id).map(|m| Object::Map(m.user(), perms)),
            ObjKind::Btf => self.core.btfs.get(id).map(Object::Btf),
            ObjKind::Link => self.core.links.get(id).map(Object::Link),
        }
    }
}

/// Whether a map may take the place of the model: the verifier relies on all it compares.
fn fits(map: &MapDef, model: &MapDef) -> bool {
    let alike = map.map_type == model.map_type
        && map.key_size == model.key_size
        && map.value_size == model.value_size
        && map.flags == model.flags;
    let array = matches!(map.map_type, MapType::Array | MapType::PercpuArray);
    let any_size = !array || map.flags & map_flags::INNER_MAP != 0;
    alike && (any_size || map.max_entries == model.max_entries)
}

/// What open flags allow; EINVAL for others.
fn perms(flags: u32) -> Result<Perms, Errno> {
    const BOTH: u32 = map_flags::RDONLY | map_flags::WRONLY;
    match flags & BOTH {
        BOTH => Err(Errno::EINVAL),
        _ => Ok(Perms {
            read: flags & map_flags::WRONLY == 0,
            write: flags & map_flags::RDONLY == 0,
        }),
    }
}

impl Bpf for Runtime {
    fn possible_cpus(&self) -> u32 {
        self.core.config.cpus
    }

    fn map_create(&self, req: &MapCreate) -> Result<Fd, Errno> {
        let perms = perms(req.def.flags)?;
        map_types::allowed(req.def.map_type, &self.core.config.policy)?;
        load::check_name(&req.def.name)?;
        let mut def = req.def.clone();
        let of_maps = matches!(def.map_type, MapType::ArrayOfMaps | MapType::HashOfMaps);
        let inner = req.inner_map.filter(|_| of_maps).map(|fd| self.inner_model(fd)).transpose()?;
        let (model, inner) = inner.unzip();
        def.inner = model;
        maps::check(&def, &self.core.env)?;
        let operations = match def.map_type {
            MapType::StructOps => {
                Some(Operations::of(&def, self.core.config.kernel_btf.as_deref())?)
            }
            _ => None,
        };
        let btf = req.btf.map(|fd| self.fds.btf(fd)).transpose()?;
        if def.btf_vmlinux_value_type_id != 0 && btf.is_none() {
            return Err(Errno::EBADF);
        }
        let fields = if req.def.btf_key_type_id != 0 || req.def.btf_value_type_id != 0 {
            let config = &self.core.config;
            let kernel =
                map_types::Kernel { btf: config.kernel_btf.as_deref(), policy: &config.policy };
            map_types::check(&req.def, &btf.as_ref().ok_or(Errno::EBADF)?.btf, &kernel)?
        } else {
            Record::default()
        };
        let limits = &self.core.config.limits;
        self.core.maps.below(limits.objects)?;
        let map = Map::with_fields(&def, &self.core.env, map_types::special(&fields))?;
        let charge = self.core.map_bytes.charge(map.memlock(), map.def(), limits.map_memory)?;
        let map = self.core.maps.add(|id| {
            let map = MapObj::new(id, map, charge).of_types(btf, fields, inner);
            map.guarded(self.core.config.cpus, self.core.owners()).of_operations(operations)
        });
        self.fds.open(Object::Map(map.user(), perms))
    }

    fn map_lookup(&self, map: Fd, key: &[u8], value: &mut [u8], flags: u64) -> Result<(), Errno> {
        let (map, perms) = self.fds.map(map)?;
        let stored = self.stored_key(&map, key)?;
        map.map.lookup(perms, stored.as_ref().map_or(key, |k| k), value, flags)?;
        if let Some(operations) = &map.operations {
            operations.read(value);
        }
        Ok(())
    }

    fn map_update(&self, map: Fd, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        let (map, perms) = self.fds.map(map)?;
        if map.map.ops().refs().is_some() {
            return map.map.update_ref(perms, key, flags, || self.held(&map, value));
        }
        if devmap::takes(&map) {
            let prog = |fd| self.fds.prog(Fd(fd));
            return devmap::update(&self.core, &map, perms, key, value, flags, prog);
        }
        if map.operations.is_some() {
            if !perms.write {
                return Err(Errno::EPERM);
            }
            let prog = |fd| self.fds.prog(Fd(fd));
            return struct_ops::update(&self.core, &map, key, value, flags, prog);
        }
        let stored = self.stored_key(&map, key)?;
        map.map.update(perms, stored.as_ref().map_or(key, |k| k), value, flags)
    }

    fn map_delete(&self, map: Fd, key: &[u8]) -> Result<(), Errno> {
        let (map, perms) = self.fds.map(map)?;
        if map.operations.is_some() {
            if !perms.write {
                return Err(Errno::EPERM);
            }
            return struct_ops::delete(&self.core, &map, key);
        }
        let stored = self.stored_key(&map, key)?;
        map.map.delete(perms, stored.as_ref().map_or(key, |k| k))?;
        map.set_entry_prog(key, None);
        Ok(())
    }

    fn map_next_key(&self, map: Fd, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        let (map, perms) = self.fds.map(map)?;
        map.map.next_key(perms, key, next)
    }

    fn map_take(&self, map: Fd, key: &[u8], value: &mut [u8], flags: u64) -> Result<(), Errno> {
        let (map, perms) = self.fds.map(map)?;
        let stored = self.stored_key(&map, key)?;
        map.map.take(perms, stored.as_ref().map_or(key, |k| k), value, flags)
    }

    fn map_mmap(
        &self,
        map: Fd,
        offset: u64,
        len: usize,
        write: bool,
    ) -> Result<maps::Mapping, Errno> {
        let (map, perms) = self.fds.map(map)?;
        map.map.mmap(perms, offset, len, write)
    }

    fn open_outside(&self, what: &Outside) -> Result<Fd, Errno> {
        self.fds.open(Object::Outside(Arc::new(OutsideObj::open(what)?)))
    }

    fn map_freeze(&self, map: Fd) -> Result<(), Errno> {
        let (map, perms) = self.fds.map(map)?;
        map.map.freeze(perms)
    }

    fn map_lookup_batch(
        &self,
        map: Fd,
        from: Option<&[u8]>,
        count: u32,
        delete: bool,
        elem_flags: u64,
    ) -> Result<Batch, Errno> {
        let (map, perms) = self.fds.map(map)?;
        map.map.lookup_batch(perms, from, count, delete, elem_flags)
    }

    fn map_update_batch(
        &self,
        map: Fd,
        keys: &[u8],
        values: &[u8],
        count: u32,
        elem_flags: u64,
    ) -> Result<Batch, Errno> {
        let (map, perms) = self.fds.map(map)?;
        if map.map.ops().refs().is_some() {
            let held = |value: &[u8]| self.held(&map, value);
            return map.map.update_batch_refs(perms, (keys, values), count, elem_flags, held);
        }
        map.map.update_batch(perms, keys, values, count, elem_flags)
    }

    fn map_delete_batch(
        &self,
        map: Fd,
        keys: &[u8],
        count: u32,
        elem_flags: u64,
    ) -> Result<Batch, Errno> {
        let (map, perms) = self.fds.map(map)?;
        map.map.delete_batch(perms, keys, count, elem_flags)
    }

    fn btf_load(&self, req: &BtfLoad) -> Result<Loaded, LoadError> {
        let policy = &self.core.config.policy;
        if !policy.cap_bpf && !policy.cap_sys_admin {
            return Err(Errno::EPERM.into());
        }
        log::check(req.log)?;
        let (btf, log) = match req.log.level {
            0 => (Btf::load(&req.data, None), String::new()),
            _ => Btf::load_logged(&req.data, None),
        };
        let log = log::finish(log, req.log);
        let fail = |errno, log: &Log| LoadError {
            errno,
            log: log.text.clone(),
            log_true_size: log.true_size,
            rejection: None,
        };
        log.fits.map_err(|errno| fail(errno, &log))?;
        self.core.btfs.below(self.core.config.limits.objects)?;
        let btf = btf.map_err(|why| fail(Errno(why.errno()), &log))?;
        map_types::metas(&btf, self.core.config.kernel_btf.as_deref())
            .map_err(|errno| fail(errno, &log))?;
        let object = self.core.btfs.add(|id| BtfObj {
            id,
            btf: Arc::new(btf),
            data: req.data.as_slice().into(),
        });
        let fd = self.fds.open(Object::Btf(object))?;
        Ok(Loaded { fd, log: log.text, log_true_size: log.true_size, stats: None })
    }

    fn prog_load(&self, req: &ProgLoad) -> Result<Loaded, LoadError> {
        self.prog_load_for(req, self.core.config.engine)
    }

    fn test_run(&self, prog: Fd, req: &TestRun) -> Result<TestRunOut, Errno> {
        test_run(&self.core, &self.fds.prog(prog)?, req, &self.stop, self)
    }

    fn bind_map(&self, prog: Fd, map: Fd) -> Result<(), Errno> {
        let prog = self.fds.prog(prog)?;
        let (map, _) = self.fds.map(map)?;
        let mut bound = prog.bound.lock();
        if prog.maps.iter().chain(bound.iter()).all(|m| m.id != map.id) {
            bound.push(Arc::clone(&map));
        }
        Ok(())
    }

    fn stream_read(&self, prog: Fd, stream: u32, len: u32) -> Result<Vec<u8>, Errno> {
        self.fds.prog(prog)?.streams.read(stream, len as usize)
    }

    fn obj_pin(&self, obj: Fd, path: &str) -> Result<(), Errno> {
        let object = self.fds.get(obj)?;
        if matches!(object, Object::Btf(_) | Object::Stats(_) | Object::Outside(_)) {
            return Err(Errno::EINVAL);
        }
        self.pins.lock().pin(path, object)
    }

    fn obj_get(&self, path: &str, file_flags: u32) -> Result<Fd, Errno> {
        let asked = perms(file_flags)?;
        let pinned = self.pins.lock().get(path)?;
        let object = match pinned {
            Object::Map(map, _) => Object::Map(map, asked),
            other => other,
        };
        self.fds.open(object)
    }

    fn next_id(&self, kind: ObjKind, after: u32) -> Result<u32, Errno> {
        match kind {
            ObjKind::Prog => self.core.progs.next(after),
            ObjKind::Map => self.core.maps.next(after),
            ObjKind::Btf => self.core.btfs.next(after),
            ObjKind::Link => self.core.links.next(after),
        }
    }

    fn fd_by_id(&self, kind: ObjKind, id: u32, open_flags: u32) -> Result<Fd, Errno> {
        const KNOWN: u32 = map_flags::RDONLY | map_flags::WRONLY;
        let known = if kind == ObjKind::Map { KNOWN } else { 0 };
        if open_flags & !known != 0 {
            return Err(Errno::EINVAL);
        }
        let object = self.object(kind, id, perms(open_flags)?).ok_or(Errno::ENOENT)?;
        self.fds.open(object)
    }

    fn kind(&self, fd: Fd) -> Result<ObjKind, Errno> {
        self.fds.get(fd)?.kind().ok_or(Errno::EINVAL)
    }

    fn prog_info(&self, prog: Fd) -> Result<ProgInfo, Errno> {
        Ok(self.fds.prog(prog)?.info())
    }

    fn map_info(&self, map: Fd) -> Result<MapInfo, Errno> {
        let (map, _) = self.fds.map(map)?;
        Ok(MapInfo {
            id: map.id,
            def: map.map.def().clone(),
            btf_id: map.btf.as_ref().map_or(0, |b| b.id),
            frozen: map.map.is_frozen(),
            memlock: map.map.memlock(),
        })
    }

    fn btf_info(&self, btf: Fd) -> Result<BtfInfo, Errno> {
        let btf = self.fds.btf(btf)?;
        Ok(BtfInfo { id: btf.id, data: btf.data.clone(), name: String::new(), kernel_btf: false })
    }

    fn close(&self, fd: Fd) -> Result<(), Errno> {
        self.fds.close(fd)
    }

    fn pins(&self) -> Result<Vec<(String, ObjKind, u32)>, Errno> {
        let pins = self.pins.lock();
        Ok(pins
            .pins()
            .filter_map(|(path, object)| Some((path.to_owned(), object.kind()?, object.id())))
            .collect())
    }

    fn fs_list(&self, path: &str) -> Result<Vec<FsEntry>, Errno> {
        let pins = self.pins.lock();
        let entries = pins.list(path)?.into_iter().map(|(name, entry)| FsEntry {
            name: name.to_owned(),
            object: match entry {
                Entry::Dir => None,
                Entry::Pin(object) => object.kind().map(|kind| (kind, object.id())),
            },
        });
        Ok(entries.collect())
    }

    fn fs_mkdir(&self, path: &str) -> Result<(), Errno> {
        self.pins.lock().mkdir(path)
    }

    fn fs_rmdir(&self, path: &str) -> Result<(), Errno> {
        self.pins.lock().rmdir(path)
    }

    fn fs_rename(&self, from: &str, to: &str) -> Result<(), Errno> {
        let before = self.pins.lock().rename(from, to);
        before.map(drop)
    }

    fn fs_read(&self, path: &str) -> Result<Vec<u8>, Errno> {
        let pinned = self.pins.lock().get(path)?;
        match pinned {
            Object::Map(map, _) => map_text::text(&map),
            Object::Link(link) if link.iter.is_some() => iter::read(&self.core, &link),
            _ => Err(Errno::EIO),
        }
    }

    fn fs_unlink(&self, path: &str) -> Result<(), Errno> {
        self.unpin(path)
    }

    fn take_trace(&self) -> Result<Vec<String>, Errno> {
        Ok(Runtime::take_trace(self))
    }

    fn wait_trace(&self, millis: u32) -> Result<Vec<String>, Errno> {
        // A caller that asks again loses nothing by a bound, and a thread is not held for ever.
        let millis = millis.min(MAX_WAIT_MS);
        Ok(self.core.trace.take_within(std::time::Duration::from_millis(millis.into())))
    }

    fn map_owner(&self, map: Fd) -> Result<Option<(u32, bool)>, Errno> {
        let (map, _) = self.fds.map(map)?;
        Ok(map.owner().map(|prog_type| (prog_type.raw(), false)))
    }

    fn link_info(&self, link: Fd) -> Result<LinkInfo, Errno> {
        Ok(self.fds.link(link)?.info())
    }

    fn link_detach(&self, link: Fd) -> Result<(), Errno> {
        self.fds.link(link)?.detach()
    }

    fn link_create(&self, req: &LinkCreate) -> Result<Fd, Errno> {
        self.create_link(req)
    }

    fn link_update(&self, link: Fd, new: Fd, old: Option<Fd>, flags: u32) -> Result<(), Errno> {
        self.update_link(link, new, old, flags)
    }

    fn raw_tracepoint_open(&self, name: Option<&str>, prog: Fd) -> Result<Fd, Errno> {
        self.open_raw_tracepoint(name, prog)
    }

    fn iter_read(&self, link: Fd) -> Result<Vec<u8>, Errno> {
        iter::read(&self.core, &*self.fds.link(link)?)
    }

    fn prog_attach(&self, req: &ProgAttach) -> Result<(), Errno> {
        self.attach_prog(req)
    }

    fn prog_detach(&self, req: &ProgAttach) -> Result<(), Errno> {
        self.detach_prog(req)
    }

    fn prog_query(&self, req: &ProgQuery) -> Result<Queried, Errno> {
        self.query_progs(req)
    }

    fn xdp_set(&self, ifindex: u32, prog: Option<Fd>, flags: u32) -> Result<(), Errno> {
        self.set_xdp(ifindex, prog, flags)
    }

    fn device_add(&self, req: &DeviceAdd) -> Result<u32, Errno> {
        self.add_device(req)
    }

    fn device_del(&self, name: &str) -> Result<(), Errno> {
        self.del_device(name)
    }

    fn devices(&self) -> Result<Vec<DeviceInfo>, Errno> {
        Ok(self.list_devices())
    }

    fn net_up(&self, req: &NetUp) -> Result<NetInfo, NetRefused> {
        self.bring_up(req)
    }

    fn net_down(&self, name: &str) -> Result<(), Errno> {
        self.take_down(name)
    }

    fn nets(&self) -> Result<Vec<NetInfo>, Errno> {
        Ok(self.nets.list())
    }

    fn tc_filter_add(&self, req: &TcFilter) -> Result<(), Errno> {
        self.add_filter(req)
    }

    fn tc_filter_del(&self, req: &TcFilter) -> Result<(), Errno> {
        self.del_filter(req)
    }

    fn tc_filters(&self, ifindex: u32) -> Result<Vec<TcFilter>, Errno> {
        self.list_filters(ifindex)
    }

    fn cgroups(&self) -> Result<Vec<String>, Errno> {
        Ok(self.list_cgroups())
    }

    fn holders(&self) -> Result<Vec<Holder>, Errno> {
        Ok(self.core.processes.holders(&self.fds))
    }

    fn enable_stats(&self, what: Counted) -> Result<Fd, Errno> {
        self.fds.open(Object::Stats(Arc::new(self.core.counting.ask(what))))
    }

    fn take_perf_records(&self, map: Fd) -> Result<Vec<PerfRecord>, Errno> {
        self.take_perf(map)
    }
}
