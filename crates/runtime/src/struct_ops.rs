//! Maps of struct_ops: a structure of the kernel's whose functions are programs.
//!
//! An update puts the programs in and registers the structure, or makes it ready for links that
//! do. Nothing here calls the functions: what they are for is the machine's.

use std::sync::Arc;

use btf::{Btf, Kind, TypeId};
use parking_lot::Mutex;
use uapi::{Errno, MapDef, MapType, ProgType, map_flags};

use crate::core::Core;
use crate::map_obj::MapObj;
use crate::prog::Prog;

/// Before the structure's name in its value's.
const PREFIX: &str = "bpf_struct_ops_";
/// Congestion control of TCP, the one kind that can be registered here.
const CONGESTION: &str = "tcp_congestion_ops";
/// A structure of the kernel's own tests.
const DUMMY: &str = "bpf_dummy_ops";
/// Algorithms that the kernel has of its own.
const BUILT_IN: [&str; 2] = ["reno", "cubic"];
/// `TCP_CONG_*` that user space may give.
const CONGESTION_FLAGS: u32 = 0x1 | 0x2;

/// The structure is being taken out of use.
const EINPROGRESS: Errno = Errno(115);

/// `enum bpf_struct_ops_state`.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Init = 0,
    InUse = 1,
    ToBeFree = 2,
    Ready = 3,
}

/// A member of the structure.
struct Member {
    name: String,
    at: usize,
    size: usize,
    /// It points to a function.
    function: bool,
}

/// The structure that a map holds.
pub(crate) struct Operations {
    structure: String,
    type_id: u32,
    members: Vec<Member>,
    /// Where the structure is in the map's value.
    data: usize,
    /// Bytes of the value between members, which are zero.
    holes: Vec<std::ops::Range<usize>>,
    now: Mutex<Now>,
}

#[derive(Default)]
struct Now {
    state: State,
    value: Vec<u8>,
    progs: Vec<Arc<Prog>>,
    /// Who holds it registered: links, or the kernel itself.
    holders: u32,
}

impl Operations {
    /// ENOTSUPP for a structure that programs cannot implement, EINVAL if the value's size is not
    /// the map's.
    pub(crate) fn of(def: &MapDef, kernel: Option<&Btf>) -> Result<Operations, Errno> {
        let btf = kernel.ok_or(Errno::ENOTSUPP)?;
        let known = |ty: &btf::Type<'_>| ty.kind == Kind::Struct;
        let value = btf.ty(TypeId(def.btf_vmlinux_value_type_id)).filter(known);
        let value = value.ok_or(Errno::ENOTSUPP)?;
        let structure = value.name.strip_prefix(PREFIX).ok_or(Errno::ENOTSUPP)?;
        if value.size_or_type != def.value_size {
            return Err(Errno::EINVAL);
        }
        let data = value.members().find(|member| member.name == "data").ok_or(Errno::ENOTSUPP)?;
        let at = data.bit_offset as usize / 8;
        let type_id = btf.resolve(data.type_id).map_err(|_| Errno::ENOTSUPP)?;
        let ty = btf.ty(type_id).ok_or(Errno::ENOTSUPP)?;
        let size = |id| btf.size_of(id).map(|size| size as usize).map_err(|_| Errno::ENOTSUPP);
        let member = |member: btf::Member<'_>| {
            let pointee = btf.resolved(member.type_id).filter(|ty| ty.kind == Kind::Ptr);
            let pointee = pointee.and_then(|ty| btf.resolved(TypeId(ty.size_or_type)));
            Ok(Member {
                name: member.name.to_owned(),
                at: member.bit_offset as usize / 8,
                size: size(member.type_id)?,
                function: pointee.is_some_and(|ty| ty.kind == Kind::FuncProto),
            })
        };
        let members = ty.members().map(member).collect::<Result<Vec<_>, Errno>>()?;
        let of_value = value.members().map(member).collect::<Result<Vec<_>, Errno>>()?;
        let mut gaps = holes(&of_value, 0, value.size_or_type as usize);
        gaps.extend(holes(&members, at, ty.size_or_type as usize));
        Ok(Operations {
            structure: structure.to_owned(),
            type_id: type_id.0,
            members,
            data: at,
            holes: gaps,
            now: Mutex::default(),
        })
    }

    /// EINVAL for bytes in holes, and for a state that user space makes up.
    fn check(&self, value: &[u8]) -> Result<(), Errno> {
        let filled = |range: std::ops::Range<usize>| {
            value.get(range).is_none_or(|bytes| bytes.iter().any(|byte| *byte != 0))
        };
        let wrong = filled(0..8) || self.holes.iter().any(|hole| filled(hole.clone()));
        if wrong { Err(Errno::EINVAL) } else { Ok(()) }
    }

    /// The value with its programs, which are given by descriptors.
    fn fill(
        &self,
        value: &[u8],
        prog: impl Fn(i32) -> Result<Arc<Prog>, Errno>,
    ) -> Result<Now, Errno> {
        let mut now = Now { value: value.to_vec(), ..Now::default() };
        for (index, member) in self.members.iter().enumerate() {
            let range = self.data + member.at..self.data + member.at + member.size;
            let slot = now.value.get_mut(range).ok_or(Errno::EFAULT)?;
            if self.takes(member, slot)? {
                continue;
            }
            if !member.function {
                if slot.iter().any(|byte| *byte != 0) {
                    return Err(Errno::EINVAL);
                }
                continue;
            }
            let fd = slot.first_chunk().map_or(0, |word| i32::from_ne_bytes(*word));
            if fd == 0 {
                continue;
            }
            let prog = prog(fd)?;
            let fits = prog.prog_type == ProgType::StructOps
                && prog.attach_btf_id == self.type_id
                && prog.attach_type == index as u32;
            if !fits {
                return Err(Errno::EINVAL);
            }
            let id = u64::from(prog.id).to_ne_bytes();
            slot.copy_from_slice(id.get(..slot.len()).ok_or(Errno::EINVAL)?);
            now.progs.push(prog);
        }
        self.validate(&now.value)?;
        Ok(now)
    }

    /// Whether the structure's owner takes a member that is no function.
    fn takes(&self, member: &Member, slot: &[u8]) -> Result<bool, Errno> {
        match (&*self.structure, &*member.name) {
            (CONGESTION, "flags") => {
                let flags = slot.first_chunk().map_or(0, |word| u32::from_ne_bytes(*word));
                if flags & !CONGESTION_FLAGS == 0 { Ok(true) } else { Err(Errno::EINVAL) }
            }
            (CONGESTION, "name") => {
                let end = slot.iter().position(|byte| *byte == 0).ok_or(Errno::EINVAL)?;
                let fine = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.".contains(byte);
                let fine = end > 0 && slot.iter().take(end).all(fine);
                if fine { Ok(true) } else { Err(Errno::EINVAL) }
            }
            (DUMMY, _) => Err(Errno::EOPNOTSUPP),
            _ => Ok(false),
        }
    }

    /// What must be there.
    fn validate(&self, value: &[u8]) -> Result<(), Errno> {
        let has = |name: &str| {
            let member = self.members.iter().find(|member| member.name == name);
            let at = member.map(|member| self.data + member.at);
            at.and_then(|at| value.get(at..at + 8)).is_some_and(|word| word != [0; 8])
        };
        let whole =
            has("ssthresh") && has("undo_cwnd") && (has("cong_avoid") || has("cong_control"));
        if self.structure != CONGESTION || whole { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// The name that it is registered under.
    fn name(&self, now: &Now) -> String {
        let member = self.members.iter().find(|member| member.name == "name");
        let slot = member.and_then(|member| {
            let at = self.data + member.at;
            now.value.get(at..at + member.size)
        });
        let bytes: Vec<u8> = slot.unwrap_or(&[]).iter().copied().take_while(|b| *b != 0).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What the element reads: programs by their ids, the state, the holders besides user space.
    pub(crate) fn read(&self, out: &mut [u8]) {
        let now = self.now.lock();
        if now.state == State::Init {
            return;
        }
        let mut value = now.value.clone();
        let head = [now.holders, now.state as u32].map(u32::to_ne_bytes).concat();
        if let Some(start) = value.get_mut(..head.len()) {
            start.copy_from_slice(&head);
        }
        let len = out.len().min(value.len());
        out[..len].copy_from_slice(&value[..len]);
    }

    /// The first of its programs, which stands for all in a link.
    fn first(&self) -> Option<Arc<Prog>> {
        self.now.lock().progs.first().cloned()
    }

    /// One holder less.
    pub(crate) fn let_go(&self) {
        let mut now = self.now.lock();
        now.holders = now.holders.saturating_sub(1);
    }
}

/// What lies between and behind the members of a structure at `base`.
fn holes(members: &[Member], base: usize, size: usize) -> Vec<std::ops::Range<usize>> {
    let mut end = 0;
    let mut found = Vec::new();
    for member in members {
        if member.at > end {
            found.push(base + end..base + member.at);
        }
        end = member.at + member.size;
    }
    if size > end {
        found.push(base + end..base + size);
    }
    found
}

impl Operations {
    /// EEXIST if another algorithm of this name is registered, or this one itself; EOPNOTSUPP for
    /// structures that nobody here takes.
    fn is_free(&self, core: &Core, name: &str) -> Result<(), Errno> {
        if self.structure != CONGESTION {
            return Err(Errno::EOPNOTSUPP);
        }
        if BUILT_IN.contains(&name) {
            return Err(Errno::EEXIST);
        }
        let mut id = 0;
        while let Ok(next) = core.maps.next(id) {
            id = next;
            let Some(map) = core.maps.get(id) else { continue };
            let Some(ops) = &map.operations else { continue };
            let now = ops.now.lock();
            if now.holders > 0 && ops.name(&now) == name {
                return Err(Errno::EEXIST);
            }
        }
        Ok(())
    }
}

/// BPF_MAP_UPDATE_ELEM.
pub(crate) fn update(
    core: &Core,
    map: &Arc<MapObj>,
    key: &[u8],
    value: &[u8],
    flags: u64,
    prog: impl Fn(i32) -> Result<Arc<Prog>, Errno>,
) -> Result<(), Errno> {
    let ops = map.operations.as_ref().ok_or(Errno::EINVAL)?;
    let key = key.first_chunk().map(|key| u32::from_ne_bytes(*key)).ok_or(Errno::EFAULT)?;
    let value = value.get(..map.value_size()).ok_or(Errno::EFAULT)?;
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    if key != 0 {
        return Err(Errno::E2BIG);
    }
    // One at a time, for the sake of names.
    let mut registered = core.registered.lock();
    ops.check(value)?;
    if ops.now.lock().state != State::Init {
        return Err(Errno::EBUSY);
    }
    let mut new = ops.fill(value, prog)?;
    if map.map.def().flags & map_flags::LINK != 0 {
        new.state = State::Ready;
    } else {
        ops.is_free(core, &ops.name(&new))?;
        (new.state, new.holders) = (State::InUse, 1);
        registered.push(map.clone());
    }
    *ops.now.lock() = new;
    Ok(())
}

/// BPF_MAP_DELETE_ELEM: the structure is no longer registered.
pub(crate) fn delete(core: &Core, map: &Arc<MapObj>, key: &[u8]) -> Result<(), Errno> {
    let ops = map.operations.as_ref().ok_or(Errno::EINVAL)?;
    let key = key.first_chunk().map(|key| u32::from_ne_bytes(*key)).ok_or(Errno::EFAULT)?;
    if map.map.def().flags & map_flags::LINK != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    if key != 0 {
        return Err(Errno::ENOENT);
    }
    let mut now = ops.now.lock();
    match now.state {
        State::InUse => (now.state, now.holders) = (State::ToBeFree, 0),
        State::ToBeFree => return Err(EINPROGRESS),
        State::Init | State::Ready => return Err(Errno::ENOENT),
    }
    drop(now);
    let mut registered = core.registered.lock();
    let at = registered.iter().position(|known| known.id == map.id);
    let held = at.map(|at| registered.swap_remove(at));
    drop(registered);
    drop(held);
    Ok(())
}

/// Registers what a link holds from now on; the program that stands for it.
pub(crate) fn link(core: &Core, map: &Arc<MapObj>) -> Result<Arc<Prog>, Errno> {
    let ops = ready(map)?;
    let _one_at_a_time = core.registered.lock();
    let name = ops.name(&ops.now.lock());
    ops.is_free(core, &name)?;
    let first = ops.first().ok_or(Errno::EINVAL)?;
    ops.now.lock().holders += 1;
    Ok(first)
}

/// Puts another map of the same name in the place of the one that a link holds.
pub(crate) fn replace(core: &Core, old: &MapObj, new: &Arc<MapObj>) -> Result<Arc<Prog>, Errno> {
    let (ops, before) = (ready(new)?, old.operations.as_ref().ok_or(Errno::EINVAL)?);
    let _one_at_a_time = core.registered.lock();
    let first = ops.first().ok_or(Errno::EINVAL)?;
    let names = (ops.name(&ops.now.lock()), before.name(&before.now.lock()));
    if ops.type_id != before.type_id || names.0 != names.1 {
        return Err(Errno::EINVAL);
    }
    ops.now.lock().holders += 1;
    before.let_go();
    Ok(first)
}

/// EINVAL for a map that a link cannot register.
fn ready(map: &MapObj) -> Result<&Operations, Errno> {
    let ops = map.operations.as_ref().filter(|_| map.map.def().map_type == MapType::StructOps);
    let ops = ops.filter(|ops| ops.now.lock().state == State::Ready);
    ops.filter(|_| map.map.def().flags & map_flags::LINK != 0).ok_or(Errno::EINVAL)
}
