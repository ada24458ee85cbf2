//! `x = 1; if c goto t; x = 0; t: x <<= 4`: what happens to a choice of two constants happens to
//! the constants instead.

use isa::{AluOp, Op, Reg, Src, Width};

use crate::{
    flow::{Block, Flow, NONE},
    fold::fold,
    generate::width,
    ins::{Code, Effect, Ins},
};

/// A move of a constant: its slot, register and value.
struct Load {
    at: usize,
    reg: Reg,
    value: u64,
}

/// Computes with the constants of all such choices.
pub(crate) fn rewrite(code: &mut Code, flow: &Flow) {
    for pair in flow.blocks.windows(3) {
        let [first, second, join] = pair else { continue };
        let at = |block: &Block| flow.block_of(block.start.into());
        let join_at = at(join);
        let shape = first.reached
            && second.preds == 1
            && second.end - second.start == 1
            && (first.jump, first.next) == (join_at, at(second))
            && (second.jump, second.next) == (NONE, join_at)
            && join.preds == 2
            && !join.copied;
        if shape && let Some((one, other)) = constants(code, first, second) {
            compute(code, one, other, join);
        }
    }
}

/// The constants of the two ways into the join, if nothing looks at the first one before.
fn constants(code: &Code, first: &Block, second: &Block) -> Option<(Load, Load)> {
    let other = load(code, second.start as usize)?;
    let bit = 1 << other.reg.0;
    for at in (first.start as usize..first.end as usize).rev() {
        let Effect { reads, writes } = code.effects[at];
        if reads & bit != 0 {
            return None;
        }
        if writes & bit != 0 {
            return Some((load(code, at)?, other));
        }
    }
    None
}

fn load(code: &Code, at: usize) -> Option<Load> {
    match code.slots[at] {
        Ins::Op { op: Op::Alu { width, op: AluOp::Mov, dst, src: Src::Imm(imm) }, .. } => {
            let value = match width {
                Width::W32 => imm as u32 as u64,
                Width::W64 => imm as i64 as u64,
            };
            Some(Load { at, reg: dst, value })
        }
        _ => None,
    }
}

/// Takes operations on the register at the start of `join` into the two constants.
fn compute(code: &mut Code, mut one: Load, mut other: Load, join: &Block) {
    for at in join.start as usize..join.end as usize {
        let Ins::Op { op: Op::Alu { width: w, op, dst, src: Src::Imm(imm) }, .. } = code.slots[at]
        else {
            return;
        };
        let operand = width(w).cut(imm as i64 as u64);
        let [a, b] = [&one, &other].map(|l| fold(width(w), op, l.value, operand));
        let (Some(first), Some(second)) = (moved(one.reg, a), moved(other.reg, b)) else { return };
        if dst != one.reg || op == AluOp::Mov {
            return;
        }
        code.slots[one.at] = first;
        code.slots[other.at] = second;
        (one.value, other.value) = (a, b);
        code.slots[at] = Ins::Second;
        code.effects[at] = Effect::default();
    }
}

/// The move of `value`, if it takes one slot.
fn moved(dst: Reg, value: u64) -> Option<Ins> {
    let (width, imm) = match (u32::try_from(value), i32::try_from(value as i64)) {
        (Ok(low), _) => (Width::W32, low as i32),
        (_, Ok(imm)) => (Width::W64, imm),
        _ => return None,
    };
    let op = Op::Alu { width, op: AluOp::Mov, dst, src: Src::Imm(imm) };
    Some(Ins::Op { op, guarded: false })
}
