//! 64-bit immediates: which map, variable or function each one names; and opcodes at all.

use btf::{Btf, Kind, TypeId};
use isa::Insn;

use super::maps;
use crate::env::Env;
use crate::error::{Checked, reject};
use crate::event::{BadLoad, BadMap};
use crate::state::{RegFlags, RegKind, RegState};

/// `src` of a 64-bit immediate.
mod pseudo {
    pub(super) const VALUE: u8 = 0;
    pub(super) const MAP_FD: u8 = 1;
    pub(super) const MAP_VALUE: u8 = 2;
    pub(super) const BTF_ID: u8 = 3;
    pub(super) const FUNC: u8 = 4;
    pub(super) const MAP_IDX: u8 = 5;
    pub(super) const MAP_IDX_VALUE: u8 = 6;
}

/// The kernel lists addresses of variables (CONFIG_KALLSYMS_ALL); that of the facts does not.
const DATA_SYMBOLS: bool = false;

/// Every slot, in order: the first fault decides the message.
pub(super) fn resolve(env: &mut Env<'_>) -> Checked {
    const LDX: u8 = 1;
    let insns = &env.prog.insns;
    let mut at = 0;
    while at < insns.len() {
        let insn = insns[at];
        let mode = insn.code & 0xe0;
        if insn.class() == LDX && ((mode != 0x60 && mode != 0x80) || insn.imm != 0) {
            return reject!(EINVAL, BadLoad::LdxReserved);
        }
        if insn.is_ld_imm64() {
            resolve_imm64(env, at)?;
            at += 2;
            continue;
        }
        if !isa::is_known_opcode(insn.code) {
            return reject!(EINVAL, BadLoad::Opcode { code: insn.code });
        }
        at += 1;
    }
    Ok(())
}

fn resolve_imm64(env: &mut Env<'_>, at: usize) -> Checked {
    let insn = env.prog.insns[at];
    let second = match env.prog.insns.get(at + 1) {
        Some(s) if s.code == 0 && s.regs == 0 && s.off == 0 => *s,
        _ => return reject!(EINVAL, BadLoad::Imm64),
    };
    match insn.src().0 {
        pseudo::VALUE | pseudo::FUNC => Ok(()),
        pseudo::BTF_ID => {
            env.aux[at].kernel_var = Some(kernel_variable(env, insn, second)?);
            Ok(())
        }
        pseudo::MAP_VALUE | pseudo::MAP_IDX_VALUE => resolve_map(env, at, insn, Some(second.imm)),
        pseudo::MAP_FD | pseudo::MAP_IDX if second.imm == 0 => resolve_map(env, at, insn, None),
        _ => reject!(EINVAL, BadLoad::Imm64Source),
    }
}

/// `value_off`: the immediate names a byte of the map's value.
fn resolve_map(env: &mut Env<'_>, at: usize, insn: Insn, value_off: Option<i32>) -> Checked {
    let by_index = matches!(insn.src().0, pseudo::MAP_IDX | pseudo::MAP_IDX_VALUE);
    let fd = if by_index {
        if env.prog.fd_array.is_empty() {
            return reject!(EPROTO, BadMap::FdArray);
        }
        match usize::try_from(insn.imm).ok().and_then(|n| env.prog.fd_array.get(n)) {
            Some(fd) => *fd,
            None => return reject!(EFAULT),
        }
    } else {
        insn.imm
    };
    let (index, is_new) = maps::use_map(env, fd)?;
    if is_new {
        maps::check_compatible(env, index)?;
        maps::check_new(env, index)?;
    }
    let aux = &mut env.aux[at];
    aux.map = Some(index as u32);
    if let Some(off) = value_off {
        aux.map_off = off as u32;
        maps::check_direct_value(env, index, off as u32)?;
    }
    Ok(())
}

/// What a register holds that is loaded with the address of a kernel symbol.
fn kernel_variable(env: &Env<'_>, insn: Insn, second: Insn) -> Checked<RegState> {
    let id = insn.imm;
    if second.imm != 0 {
        return reject!(EINVAL, BadLoad::ModuleBtf);
    }
    let Some(btf) = &env.world.kernel_btf else {
        return reject!(EINVAL, BadLoad::NoKernelBtf);
    };
    let Some(symbol) = btf.ty(TypeId(id as u32)) else {
        return reject!(ENOENT, BadLoad::TypeId { id });
    };
    match symbol.kind {
        Kind::Func => Ok(memory(0)),
        Kind::Var if !DATA_SYMBOLS => {
            reject!(ENOENT, BadLoad::KernelSymbol { name: symbol.name.into() })
        }
        Kind::Var => variable(btf, symbol.id, TypeId(symbol.size_or_type)),
        _ => reject!(EINVAL, BadLoad::NotSymbol { id }),
    }
}

fn variable(btf: &Btf, var: TypeId, ty: TypeId) -> Checked<RegState> {
    let pointer = RegState { data: ty.0, ..RegState::pointer(RegKind::BtfId) };
    if is_percpu(btf, var) {
        return Ok(pointer.with(RegFlags::PERCPU));
    }
    if btf.resolved(ty).is_some_and(|t| t.kind.is_composite()) {
        return Ok(pointer);
    }
    match btf.size_of(ty) {
        Ok(size) => Ok(memory(size)),
        Err(_) => {
            reject!(EINVAL, BadLoad::SymbolSize { name: btf.name_of(ty).into() })
        }
    }
}

fn memory(size: u32) -> RegState {
    RegState { data: size, ..RegState::pointer(RegKind::Mem) }.with(RegFlags::RDONLY)
}

fn is_percpu(btf: &Btf, var: TypeId) -> bool {
    let section = btf.find_by_name(".data..percpu", Kind::Datasec).and_then(|id| btf.ty(id));
    section.is_some_and(|s| s.datasec().any(|v| v.type_id == var))
}
