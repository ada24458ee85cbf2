//! A value's history: from the instruction at fault back along the path to where it was made.

use isa::{AluOp, Callee, Op, Size, Src, Width};

use super::trace::Step;
use crate::state::{RegKind, RegState, SlotByte, slot_of};

/// Where a value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Loc {
    /// Frame and number of a register.
    Reg(usize, usize),
    /// Frame and index of a stack slot.
    Slot(usize, usize),
}

/// Something that happened to the value at step `step`, which made `after` of `before`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hop {
    pub(super) step: usize,
    pub(super) how: How,
    /// Where the value is afterwards.
    pub(super) loc: Loc,
    pub(super) before: Option<RegState>,
    pub(super) after: Option<RegState>,
}

/// What can happen to a value, the youngest first in a history.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum How {
    /// A conditional jump told more about it.
    Refined,
    /// The result of an operation on it.
    Arithmetic,
    /// Copied from another register; the low half only if `half`.
    Copied { half: bool },
    /// Stored to the stack.
    Spilled(Size),
    /// Loaded from the stack.
    Filled(Size),
    /// Passed to a subprogram.
    Passed,
    /// Returned by a subprogram.
    Returned,
    /// A call made what was known of it invalid.
    Invalidated,
    /// Made here: the history ends.
    Made,
    /// The history is known to the start of the path: it was there from the beginning.
    AtStart,
}

/// Steps looked at for one value.
const FAR: usize = 20_000;
/// Hops told of one value.
const MANY: usize = 64;

/// The history of the value at `loc` before the last step of `steps`.
pub(super) fn history(ops: &[Option<Op>], steps: &[Step], loc: Loc, whole: bool) -> Vec<Hop> {
    let mut hops = Vec::new();
    let mut loc = loc;
    let Some(last) = steps.len().checked_sub(1) else { return hops };
    for step in (last.saturating_sub(FAR)..last).rev() {
        let op = ops.get(steps[step].insn).copied().flatten();
        match hop(op, &steps[step], &steps[step + 1], loc) {
            Was::Same => {}
            Was::From(how, from) => {
                let (before, after) = (get(&steps[step], from), get(&steps[step + 1], loc));
                hops.push(Hop { step, how, loc, before, after });
                loc = from;
            }
            Was::Made(how) => {
                let (before, after) = (get(&steps[step], loc), get(&steps[step + 1], loc));
                hops.push(Hop { step, how, loc, before, after });
                return hops;
            }
        }
        if hops.len() >= MANY {
            return hops;
        }
    }
    if whole && last <= FAR {
        let before = get(&steps[0], loc);
        hops.push(Hop { step: 0, how: How::AtStart, loc, before, after: before });
    }
    hops
}

/// What is known about a place before a step.
pub(super) fn get(step: &Step, loc: Loc) -> Option<RegState> {
    match loc {
        Loc::Reg(frame, n) => step.reg(frame, n).copied(),
        Loc::Slot(frame, spi) => {
            let slot = step.frames.get(frame)?.stack.slots().get(spi)?;
            slot.is_spilled().then_some(slot.spilled)
        }
    }
}

/// Where a value was before a step.
enum Was {
    Same,
    From(How, Loc),
    Made(How),
}

fn hop(op: Option<Op>, before: &Step, after: &Step, loc: Loc) -> Was {
    let (depth, new_depth) = (before.depth(), after.depth());
    if new_depth > depth {
        return entered(op, loc, depth);
    }
    if new_depth < depth {
        return left(before, after, loc, new_depth);
    }
    let written = match (op, loc) {
        (Some(op), Loc::Reg(frame, n)) if frame == depth => writes_reg(op, before, depth, n),
        (Some(op), Loc::Slot(frame, spi)) => writes_slot(op, before, depth, frame, spi),
        _ => None,
    };
    written.unwrap_or_else(|| untouched(op, before, after, loc))
}

/// Not the instruction's result: what changed is what is known.
fn untouched(op: Option<Op>, before: &Step, after: &Step, loc: Loc) -> Was {
    let (Some(old), Some(new)) = (get(before, loc), get(after, loc)) else {
        return if get(after, loc).is_none() && get(before, loc).is_some() {
            Was::From(How::Invalidated, loc)
        } else {
            Was::Same
        };
    };
    if old.same_content(&new) {
        return Was::Same;
    }
    match op {
        Some(Op::Jmp { .. }) => Was::From(How::Refined, loc),
        Some(Op::Call(_)) => Was::From(How::Invalidated, loc),
        _ => Was::Same,
    }
}

/// The step entered a frame.
fn entered(op: Option<Op>, loc: Loc, depth: usize) -> Was {
    match loc {
        Loc::Reg(frame, n) if frame == depth + 1 => match op {
            Some(Op::Call(Callee::Subprog(_))) if (1..=5).contains(&n) => {
                Was::From(How::Passed, Loc::Reg(depth, n))
            }
            _ => Was::Made(How::Made),
        },
        Loc::Slot(frame, _) if frame > depth => Was::Made(How::Made),
        _ => Was::Same,
    }
}

/// The step left a frame.
fn left(before: &Step, after: &Step, loc: Loc, depth: usize) -> Was {
    match loc {
        Loc::Reg(frame, 0) if frame == depth => {
            let same = before.reg(depth + 1, 0) == after.reg(depth, 0);
            if same {
                Was::From(How::Returned, Loc::Reg(depth + 1, 0))
            } else {
                Was::Made(How::Made)
            }
        }
        Loc::Reg(frame, 1..=5) if frame == depth => Was::Made(How::Invalidated),
        _ => Was::Same,
    }
}

/// How the instruction makes register `n` of the running frame, if it does.
fn writes_reg(op: Op, before: &Step, depth: usize, n: usize) -> Option<Was> {
    let reg = |n: usize| Loc::Reg(depth, n);
    match op {
        Op::Alu { width, op: AluOp::Mov, dst, src } if dst.index() == n => Some(match src {
            Src::Reg(src) => Was::From(How::Copied { half: width == Width::W32 }, reg(src.index())),
            Src::Imm(_) => Was::Made(How::Made),
        }),
        Op::Alu { dst, src, .. } if dst.index() == n => {
            let other = match src {
                Src::Reg(src) if follows_source(before, depth, n, src.index()) => src.index(),
                _ => n,
            };
            Some(Was::From(How::Arithmetic, reg(other)))
        }
        Op::Neg { dst, .. } | Op::End { dst, .. } if dst.index() == n => {
            Some(Was::From(How::Arithmetic, reg(n)))
        }
        Op::MovSx { dst, src, .. } if dst.index() == n => {
            Some(Was::From(How::Arithmetic, reg(src.index())))
        }
        Op::AddrSpaceCast { dst, src, .. } if dst.index() == n => {
            Some(Was::From(How::Copied { half: false }, reg(src.index())))
        }
        Op::LdImm64 { dst, .. } if dst.index() == n => Some(Was::Made(How::Made)),
        Op::Load { size, dst, base, off, .. } if dst.index() == n => {
            Some(loaded(before, depth, size, base.index(), off))
        }
        Op::LoadAcquire { size, dst, base, off } if dst.index() == n => {
            Some(loaded(before, depth, size, base.index(), off))
        }
        Op::Atomic { op, fetch: true, src, .. } => {
            let result = if op == isa::AtomicOp::Cmpxchg { 0 } else { src.index() };
            (result == n).then_some(Was::Made(How::Made))
        }
        Op::LdAbs { .. } | Op::LdInd { .. } | Op::Call(_) if n == 0 => Some(Was::Made(How::Made)),
        Op::LdAbs { .. } | Op::LdInd { .. } | Op::Call(_) if n <= 5 => {
            Some(Was::Made(How::Invalidated))
        }
        _ => None,
    }
}

/// Of `dst op src` the second operand is the one to tell about: a pointer, or what is not constant.
fn follows_source(before: &Step, depth: usize, dst: usize, src: usize) -> bool {
    let (Some(dst), Some(src)) = (before.reg(depth, dst), before.reg(depth, src)) else {
        return false;
    };
    match (dst.is_pointer(), src.is_pointer()) {
        (true, _) => false,
        (_, true) => true,
        _ => dst.is_const() && !src.is_const(),
    }
}

/// A load: the slot it fills from, or memory, where the history ends.
fn loaded(before: &Step, depth: usize, size: Size, base: usize, off: i16) -> Was {
    match stack_slot(before, depth, base, off) {
        Some((frame, spi)) => {
            let slot = before.frames.get(frame).and_then(|f| f.stack.slots().get(spi));
            match slot.map(|slot| slot.bytes[7]) {
                Some(SlotByte::Spill) => Was::From(How::Filled(size), Loc::Slot(frame, spi)),
                _ => Was::Made(How::Made),
            }
        }
        None => Was::Made(How::Made),
    }
}

/// How the instruction makes a stack slot, if it does.
fn writes_slot(op: Op, before: &Step, depth: usize, frame: usize, spi: usize) -> Option<Was> {
    let (size, base, off, src) = match op {
        Op::Store { size, base, off, src } => (size, base, off, src),
        Op::StoreRelease { size, base, off, src } => (size, base, off, Src::Reg(src)),
        _ => return None,
    };
    if stack_slot(before, depth, base.index(), off)? != (frame, spi) {
        return None;
    }
    Some(match src {
        Src::Reg(src) => Was::From(How::Spilled(size), Loc::Reg(depth, src.index())),
        Src::Imm(_) => Was::Made(How::Made),
    })
}

/// The slot that base and offset name, if the base is a stack pointer with a known offset.
pub(super) fn stack_slot(
    step: &Step,
    depth: usize,
    base: usize,
    off: i16,
) -> Option<(usize, usize)> {
    let reg = step.reg(depth, base)?;
    if reg.kind != RegKind::Stack {
        return None;
    }
    let at = i64::from(reg.off) + reg.v.as_const()? as i64 + i64::from(off);
    let at = i32::try_from(at).ok().filter(|at| (-512..0).contains(at))?;
    Some((usize::from(reg.frameno), slot_of(at)))
}
