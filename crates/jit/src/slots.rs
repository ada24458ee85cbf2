//! Stack slots that only plain loads and stores touch become registers.
//!
//! Such a slot is always accessed at the same offset with the same size, and the frame pointer
//! of its function goes nowhere else: nobody can hold the slot's address.

use isa::{AluOp, Op, Reg, Size, Src, Width};

use crate::{
    flow::Func,
    ins::{Code, Effect, Ins, SCRATCH},
};

/// Number of the first register that stands for a slot.
pub(crate) const FIRST: u8 = 11;
const FP_BIT: u16 = 1 << 10;

/// Slots of one function that can become registers.
pub(crate) const MAX: usize = 5;

#[derive(Clone, Copy)]
struct Slot {
    off: i16,
    /// 4 or 8 bytes; 0: not to be moved.
    size: u8,
    weight: u32,
}

/// Rewrites the accesses of `func` to its busiest slots; the number of slots moved.
pub(crate) fn promote(code: &mut Code, func: &Func) -> usize {
    let range = func.start as usize..func.end as usize;
    let effects = &mut code.effects[range.clone()];
    let Some(room) = room(effects) else { return 0 };
    let code = &mut code.slots[range];
    let Some(mut slots) = slots(code, effects) else { return 0 };
    slots.retain(|s| matches!(s.size, 4 | 8));
    slots.sort_by_key(|s| (u32::MAX - s.weight, s.off));
    slots.truncate(room.min(MAX));
    if slots.is_empty() {
        return 0;
    }
    for (ins, effect) in code.iter_mut().zip(effects) {
        let moved = if effect.reads & FP_BIT != 0 { rewrite(ins, &slots) } else { None };
        if let Some(op) = moved {
            *ins = Ins::Op { op, guarded: false };
            *effect = ins.effect();
        }
    }
    slots.len()
}

/// All slots of the function; `None` where the frame pointer escapes.
fn slots(code: &[Ins], effects: &[Effect]) -> Option<Vec<Slot>> {
    let depth = loop_depth(code);
    let mut slots: Vec<Slot> = Vec::new();
    let mut accesses = Vec::new();
    for pc in 0..code.len() {
        if effects[pc].reads & FP_BIT == 0 {
            continue;
        }
        let Some((off, size)) = access(&code[pc])? else { continue };
        accesses.push((off, size));
        let weight = 1u32 << (3 * depth[pc].min(6));
        match slots.binary_search_by_key(&off, |s| s.off) {
            Ok(i) => {
                let slot = &mut slots[i];
                slot.weight = slot.weight.saturating_add(weight);
                if slot.size != size {
                    slot.size = 0;
                }
            }
            // Many slots mean a large frame: nothing to gain there.
            Err(_) if slots.len() >= 256 => return None,
            Err(i) => slots.insert(i, Slot { off, size, weight }),
        }
    }
    accesses.sort_unstable();
    accesses.dedup();
    drop_overlaps(&accesses, &mut slots);
    Some(slots)
}

/// How many jumps backwards go around each slot.
fn loop_depth(code: &[Ins]) -> Vec<u8> {
    let mut change = vec![0i32; code.len() + 1];
    for (pc, ins) in code.iter().enumerate() {
        let Ins::Op { op, .. } = ins else { continue };
        let off = match *op {
            Op::Ja { off, .. } => off,
            Op::Jmp { off, .. } | Op::MayGoto { off } => off.into(),
            _ => continue,
        };
        let target = pc as i64 + 1 + i64::from(off);
        if off < 0 && target >= 0 {
            change[target as usize] += 1;
            change[pc + 1] -= 1;
        }
    }
    let mut depth = 0;
    change[..code.len()]
        .iter()
        .map(|c| {
            depth += c;
            depth.clamp(0, 255) as u8
        })
        .collect()
}

/// A slot stays where it is if another access reaches into it.
fn drop_overlaps(sizes: &[(i16, u8)], slots: &mut [Slot]) {
    for slot in slots {
        let (start, end) = (i32::from(slot.off), i32::from(slot.off) + 8);
        let first = sizes.partition_point(|&(off, _)| i32::from(off) + 8 <= start);
        let reaches = |&&(off, _): &&(i16, u8)| i32::from(off) < end;
        let clash = sizes[first..].iter().take_while(reaches).any(|&(off, size)| {
            let (a, b) = (i32::from(off), i32::from(off) + i32::from(size & 15));
            off != slot.off && a < start + i32::from(slot.size) && b > start
        });
        if clash {
            slot.size = 0;
        }
    }
}

/// Offset and size of a slot access (size 0 with the real size in the high half of nothing: an
/// access that keeps its slot in memory); outer `None` where the frame pointer escapes.
fn access(ins: &Ins) -> Option<Option<(i16, u8)>> {
    const FP: Reg = Reg::R10;
    let (Ins::Op { op, .. } | Ins::Arena(op)) = ins else { return Some(None) };
    let keep = |size: Size| 0x40 | size.bytes() as u8;
    Some(match *op {
        Op::Load { size, signed, dst, base: FP, off } if dst != FP => match (size, signed) {
            (Size::W | Size::DW, false) => Some((off, size.bytes() as u8)),
            _ => Some((off, keep(size))),
        },
        Op::Store { src: Src::Reg(FP), .. } => return None,
        Op::Store { size: size @ (Size::W | Size::DW), base: FP, off, .. } => {
            Some((off, size.bytes() as u8))
        }
        Op::Store { size, base: FP, off, .. } => Some((off, keep(size))),
        Op::Alu { dst, src, .. } if dst == FP || src == Src::Reg(FP) => return None,
        Op::Jmp { dst, src, .. } if dst == FP || src == Src::Reg(FP) => return None,
        Op::MovSx { dst, src, .. } | Op::AddrSpaceCast { dst, src, .. }
            if dst == FP || src == FP =>
        {
            return None;
        }
        Op::Neg { dst: FP, .. } | Op::End { dst: FP, .. } | Op::LdImm64 { dst: FP, .. } => {
            return None;
        }
        Op::Load { dst: FP, .. } | Op::LoadAcquire { dst: FP, .. } => return None,
        Op::Atomic { size, base: FP, off, src, .. } if src != FP => Some((off, keep(size))),
        Op::LoadAcquire { size, base: FP, off, .. } => Some((off, keep(size))),
        Op::StoreRelease { size, base: FP, off, src } if src != FP => Some((off, keep(size))),
        Op::Atomic { src: FP, .. } | Op::StoreRelease { src: FP, .. } => return None,
        _ => None,
    })
}

/// The move that takes the place of a slot access.
fn rewrite(ins: &Ins, slots: &[Slot]) -> Option<Op> {
    let (off, size) = access(ins)??;
    let at = slots.iter().position(|s| s.off == off && s.size == size)?;
    let slot = Reg(FIRST + at as u8);
    let width = if size == 8 { Width::W64 } else { Width::W32 };
    let (dst, src) = match ins {
        Ins::Op { op: Op::Load { dst, .. }, .. } => (*dst, Src::Reg(slot)),
        Ins::Op { op: Op::Store { src, .. }, .. } => (slot, *src),
        _ => return None,
    };
    Some(Op::Alu { width, op: AluOp::Mov, dst, src })
}

/// How many slots of a function with these effects can be in registers: enough others must stay
/// free. `None` if it uses no stack.
fn room(effects: &[Effect]) -> Option<usize> {
    let (mut regs, mut calls) = (1u16, false);
    for effect in effects {
        calls |= effect.writes == SCRATCH;
        regs |= effect.reads | effect.writes;
    }
    if regs & FP_BIT == 0 {
        return None;
    }
    let saved = (regs & 0x3c0).count_ones() as usize;
    let used = (regs & 0x3ff).count_ones() as usize;
    let others = 11usize.saturating_sub(used);
    Some(if calls { 6usize.saturating_sub(saved).min(others) } else { others })
}
