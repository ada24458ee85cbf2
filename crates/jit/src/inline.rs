//! Small subprograms become part of their callers.
//!
//! Those of a single block that touch neither the stack nor r6 to r9 and call nothing: their
//! instructions are written where the call was, with values as symbolic as any others.

use isa::{AluOp, Callee, Op};

use crate::{
    flow::{Block, Flow},
    ins::{Code, Ins, SCRATCH, Set},
};

/// Slots of a subprogram, its exit included.
const MAX: u32 = 16;

/// Replaces calls of such subprograms.
pub(crate) fn rewrite(code: &mut Code, flow: &Flow) {
    if flow.funcs.len() < 2 {
        return;
    }
    let small: Vec<bool> = flow.funcs.iter().map(|f| is_small(code, flow, f.first_block)).collect();
    for (pc, callee) in flow.calls() {
        if small[callee]
            && matches!(code.slots[pc], Ins::Op { op: Op::Call(Callee::Subprog(_)), .. })
        {
            let block = flow.funcs[callee].first_block;
            let regs = registers(code, &flow.blocks[block as usize]);
            code.slots[pc] = Ins::Inlined { block, regs };
        }
    }
}

/// Registers that the block has to do with.
fn registers(code: &Code, block: &Block) -> Set {
    let effects = &code.effects[block.start as usize..block.end as usize];
    effects.iter().fold(0, |set, effect| set | effect.reads | effect.writes)
}

/// Whether the function that starts with this block is all of it, and simple.
fn is_small(code: &Code, flow: &Flow, first: u32) -> bool {
    let block = &flow.blocks[first as usize];
    let slots = &code.slots[block.start as usize..block.end as usize];
    let Some((Ins::Op { op: Op::Exit, .. }, body)) = slots.split_last() else { return false };
    block.end - block.start <= MAX
        && registers(code, block) & !SCRATCH == 0
        && body.iter().all(is_simple)
}

fn is_simple(ins: &Ins) -> bool {
    use AluOp::{Div, Mod, Sdiv, Smod};
    match ins {
        Ins::Op { op: Op::Alu { op: Div | Mod | Sdiv | Smod, .. }, .. } => false,
        Ins::Op {
            op: Op::Call(_) | Op::Jmp { .. } | Op::Ja { .. } | Op::MayGoto { .. }, ..
        } => false,
        Ins::Op { .. } | Ins::CountBits { .. } | Ins::Second => true,
        Ins::Arena(_) => false,
        Ins::Native(_) | Ins::OnMap(..) | Ins::TailCall | Ins::Inlined { .. } => false,
    }
}
