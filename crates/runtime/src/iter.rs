//! Iterators: a program run on each object of a kind when its link is read.

mod image;
mod walk;

use std::cell::RefCell;
use std::sync::Arc;

use btf::{Kind, TypeId};
use uapi::{Errno, MapType};
use verifier::Demands;

use crate::attach::link::{IterOver, Link};
use crate::core::Core;
use crate::event::{Event, Process};
use crate::map_obj::{MapObj, User};
use crate::prog::Prog;
use crate::runner::Runner;
use image::Image;

/// Byte offset of a member of a structure, or of one in it without a name.
pub(crate) fn member_offset(btf: &btf::Btf, ty: TypeId, name: &str) -> Option<usize> {
    image::offset(btf, ty, name, 0)
}

/// The iterator through the elements of a map.
pub(crate) const MAP_ELEM: &str = "bpf_map_elem";
/// Iterators that there are something to go through for.
const TARGETS: [&str; 5] = [MAP_ELEM, "bpf_map", "bpf_prog", "bpf_link", "task"];
/// Bytes that one object may write, as in Linux.
const MAX_OBJECT: usize = 8 * 4096;
/// Bytes that one reading gives.
const MAX_OUTPUT: usize = 32 << 20;

/// The name of a function or type of the kernel.
pub(crate) fn function_name(core: &Core, btf_id: u32) -> Option<String> {
    let btf = core.config.kernel_btf.as_ref()?;
    btf.ty(TypeId(btf_id))?.named().map(str::to_owned)
}

/// Whether the kernel has a tracepoint of this name; any without its types.
pub(crate) fn has_tracepoint(core: &Core, name: &str) -> bool {
    let Some(btf) = &core.config.kernel_btf else { return !name.is_empty() };
    btf.find_by_name(&format!("btf_trace_{name}"), Kind::Typedef).is_some()
}

/// What a program goes through; ENOENT for what nobody here can.
pub(crate) fn target(core: &Core, prog: &Prog) -> Result<String, Errno> {
    let name = function_name(core, prog.attach_btf_id).ok_or(Errno::ENOENT)?;
    let target = name.strip_prefix("bpf_iter_").ok_or(Errno::ENOENT)?;
    let known = TARGETS.contains(&target);
    if known { Ok(target.to_owned()) } else { Err(Errno::ENOENT) }
}

/// EINVAL unless the elements of such a map can be gone through, EACCES if the program reaches past
/// the end of a key or value.
pub(crate) fn can_walk(map: &MapObj, demands: Demands) -> Result<(), Errno> {
    use MapType::{Array, Hash, LruHash, LruPercpuHash, PercpuArray, PercpuHash};
    let def = map.map.def();
    let value_size = match def.map_type {
        Array | Hash | LruHash => def.value_size as usize,
        PercpuArray | PercpuHash | LruPercpuHash => map.map.user_value_size(),
        _ => return Err(Errno::EINVAL),
    };
    let fits = demands.rdonly_access <= def.key_size && demands.rdwr_access as usize <= value_size;
    if fits { Ok(()) } else { Err(Errno::EACCES) }
}

/// Everything that the program of `link` writes.
pub(crate) fn read(core: &Arc<Core>, link: &Link) -> Result<Vec<u8>, Errno> {
    let over = link.iter.clone().ok_or(Errno::EINVAL)?;
    let btf = core.config.kernel_btf.clone().ok_or(Errno::ENOENT)?;
    let prog = link.prog.lock().clone();
    let mut reading = Reading {
        runner: Runner::new(core.clone(), prog),
        over: over.map.clone(),
        session: u64::from(link.id),
        number: 0,
        output: Vec::new(),
        image: Image::new(btf)?,
    };
    walk::walk(core, &over, &mut reading)?;
    // The end is told with null pointers.
    reading.end(&over)?;
    Ok(reading.output)
}

/// One reading of an iterator.
struct Reading {
    runner: Runner,
    /// The map whose elements are gone through.
    over: Option<Arc<User>>,
    session: u64,
    number: u64,
    output: Vec<u8>,
    image: Image,
}

impl Reading {
    /// Runs the program on pointers behind `meta`.
    fn object(&mut self, pointers: &[u64]) -> Result<(), Errno> {
        let meta = self.image.object("bpf_iter_meta")?;
        let seq = self.image.object("seq_file")?;
        self.image.put(&meta, "seq", &seq.addr.to_ne_bytes());
        self.image.put(&meta, "session_id", &self.session.to_ne_bytes());
        self.image.put(&meta, "seq_num", &self.number.to_ne_bytes());
        let words = std::iter::once(&meta.addr).chain(pointers);
        let record: Vec<u8> = words.flat_map(|word| word.to_ne_bytes()).collect();
        let here =
            Here { image: &self.image, over: self.over.as_deref(), written: RefCell::default() };
        let event = Event {
            process: &here,
            pid: std::process::id(),
            tgid: std::process::id(),
            cookie: 0,
            func_ip: 0,
            args: 0,
        };
        let ran = self.runner.run_event(&record, &event);
        let written = here.written.into_inner();
        self.number += 1;
        match ran {
            Ok(_) if self.output.len() + written.len() > MAX_OUTPUT => Err(Errno::E2BIG),
            Ok(_) => {
                self.output.extend_from_slice(&written);
                Ok(())
            }
            Err(_) => Err(Errno::EFAULT),
        }
    }

    fn end(&mut self, over: &IterOver) -> Result<(), Errno> {
        self.image.reset();
        match (&*over.target, &over.map) {
            (MAP_ELEM, Some(map)) => {
                let map = walk::map(&mut self.image, map)?;
                self.object(&[map, 0, 0])
            }
            _ => self.object(&[0]),
        }
    }
}

/// This process, with the objects of an iterator as its kernel.
struct Here<'i> {
    image: &'i Image,
    over: Option<&'i User>,
    written: RefCell<Vec<u8>>,
}

impl Here<'_> {
    /// The value in the map around an address.
    fn value(&self, addr: u64) -> Option<(u64, u64)> {
        self.over.and_then(|map| map.map.ops().value_at(addr))
    }
}

impl Process for Here<'_> {
    fn comm(&self) -> [u8; 16] {
        let mut comm = [0; 16];
        comm[..5].copy_from_slice(b"ring3");
        comm
    }
    fn uid_gid(&self) -> (u32, u32) {
        (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw())
    }
    fn read(&self, addr: u64, out: &mut [u8]) -> usize {
        self.image.read(addr, out)
    }
    fn write(&self, _: u64, _: &[u8]) -> Result<(), Errno> {
        Err(Errno::EFAULT)
    }
    fn kernel(&self, addr: u64) -> Option<(u64, u64)> {
        self.image.around(addr).or_else(|| self.value(addr))
    }
    fn may_store(&self, addr: u64) -> bool {
        self.image.is_value(addr) || self.value(addr).is_some()
    }
    fn task(&self) -> u64 {
        0
    }
    fn regs(&self) -> u64 {
        0
    }
    fn stack(&self, _: &mut [u64]) -> usize {
        0
    }
    fn signal(&self, _: u32, _: bool) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }
    fn override_return(&self, _: u64) {}
    fn seq_write(&self, bytes: &[u8]) -> Result<(), Errno> {
        let mut written = self.written.borrow_mut();
        if written.len() + bytes.len() > MAX_OBJECT {
            return Err(Errno(EOVERFLOW));
        }
        written.extend_from_slice(bytes);
        Ok(())
    }
}

/// The buffer of a file is full.
const EOVERFLOW: i32 = 75;
