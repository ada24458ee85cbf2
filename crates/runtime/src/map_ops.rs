//! Maps of struct_ops: the value's type is the kernel's, its functions are programs.

use std::sync::Arc;

use btf::{Btf, Kind, Member, Type, TypeId};
use maps::{Perms, StructOps};
use uapi::{Errno, MapDef, MapType, ProgType};

use crate::core::Core;
use crate::map_obj::MapObj;
use crate::prog::Prog;

/// What the kernel's map values are named: this, then the interface's own name.
const PREFIX: &str = "bpf_struct_ops_";
/// Bytes of a function's place.
const WORD: usize = 8;

/// The interface that values of this type carry, and where it starts.
fn interface(kernel: &Btf, value: u32) -> Option<(Type<'_>, usize)> {
    let value = kernel.ty(TypeId(value)).filter(|ty| ty.kind == Kind::Struct)?;
    let name = value.name.strip_prefix(PREFIX)?;
    let data = value.members().nth(1).filter(|data| data.name == "data")?;
    let ty = kernel.resolved(data.type_id).filter(|ty| ty.kind == Kind::Struct)?;
    (ty.name == name).then_some((ty, data.bit_offset as usize / 8))
}

/// ENOTSUPP if the kernel has no such interface, EINVAL if its value is of another size.
pub(crate) fn check(def: &MapDef, kernel: Option<&Btf>) -> Result<(), Errno> {
    if def.map_type != MapType::StructOps {
        return Ok(());
    }
    let (kernel, id) = (kernel.ok_or(Errno::ENOTSUPP)?, def.btf_vmlinux_value_type_id);
    interface(kernel, id).ok_or(Errno::ENOTSUPP)?;
    let fits = kernel.size_of(TypeId(id)).is_ok_and(|size| size == def.value_size);
    if fits { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Whether a member is a pointer, and to a function.
fn pointer(kernel: &Btf, member: &Member<'_>) -> Option<bool> {
    let ptr = kernel.resolved(member.type_id).filter(|ty| ty.kind == Kind::Ptr)?;
    let to = kernel.resolved(TypeId(ptr.size_or_type));
    Some(to.is_some_and(|to| to.kind == Kind::FuncProto))
}

/// BPF_MAP_UPDATE_ELEM: descriptors in the value stand for programs made for their place; EINVAL
/// for others. Who looks the value up finds their ids. `prog` finds a descriptor's program.
pub(crate) fn update(
    core: &Core,
    map: &MapObj,
    ops: &StructOps,
    (perms, key, value, flags): (Perms, &[u8], &[u8], u64),
    prog: impl Fn(i32) -> Result<Arc<Prog>, Errno>,
) -> Result<(), Errno> {
    let kernel = core.config.kernel_btf.as_deref().ok_or(Errno::ENOTSUPP)?;
    let of = interface(kernel, map.map.def().btf_vmlinux_value_type_id);
    let (ty, start) = of.ok_or(Errno::ENOTSUPP)?;
    let mut value = value.get(..map.value_size()).ok_or(Errno::EFAULT)?.to_vec();
    let key = key.get(..map.key_size()).ok_or(Errno::EFAULT)?;
    if !perms.write {
        return Err(Errno::EPERM);
    }
    ops.check(key, &value, flags)?;
    let mut found = Vec::new();
    for (index, member) in ty.members().enumerate() {
        let Some(function) = pointer(kernel, &member) else { continue };
        let at = start + member.bit_offset as usize / 8;
        let place = value.get_mut(at..at + WORD).ok_or(Errno::EINVAL)?;
        let word = place.first_chunk().map_or(0, |word| u64::from_ne_bytes(*word));
        if word == 0 {
            continue;
        }
        let prog = if function { prog(word as i32)? } else { return Err(Errno::EINVAL) };
        let made_for_it = prog.prog_type == ProgType::StructOps
            && prog.attach_btf_id == ty.id.0
            && prog.attach_type == index as u32;
        if !made_for_it {
            return Err(Errno::EINVAL);
        }
        place.copy_from_slice(&u64::from(prog.id).to_ne_bytes());
        found.push((at, prog));
    }
    map.map.update(perms, key, &value, flags)?;
    for (at, prog) in found {
        map.set_entry_prog(&at.to_ne_bytes(), Some(prog));
    }
    Ok(())
}
