//! Functions, basic blocks, and which registers are live where.

use isa::{Callee, Imm64, Op};

use crate::{
    JitError,
    ins::{ARGS, Ins, Set},
};

/// No block.
pub(crate) const NONE: u32 = u32::MAX;

/// A function of the program: its slots and its blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Func {
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) first_block: u32,
    pub(crate) last_block: u32,
}

/// A run of instructions entered at the top and left at the bottom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// Where a jump at the end goes.
    pub(crate) jump: u32,
    /// Where control falls through to.
    pub(crate) next: u32,
    /// Edges into it from blocks that are reached.
    pub(crate) preds: u32,
    pub(crate) reached: bool,
    /// Some edge comes from this block or a later one.
    pub(crate) is_loop: bool,
    pub(crate) live_in: Set,
    reads: Set,
    writes: Set,
}

/// The program's shape.
#[derive(Default)]
pub(crate) struct Flow {
    pub(crate) funcs: Vec<Func>,
    pub(crate) blocks: Vec<Block>,
    /// For the first slot of a block, its number.
    block_at: Vec<u32>,
    /// For each function the arguments it reads.
    reads_of: Vec<Set>,
}

/// Rounds over a function's blocks before everything counts as live.
const MAX_ROUNDS: u32 = 16;

/// The frame pointer is a constant of the function, never live.
const VARIABLE: Set = !(1 << 10);

impl Block {
    fn new(start: u32, end: u32) -> Block {
        Block {
            start,
            end,
            jump: NONE,
            next: NONE,
            preds: 0,
            reached: false,
            is_loop: false,
            live_in: 0,
            reads: 0,
            writes: 0,
        }
    }
}

fn functions(len: usize, starts: &[u32]) -> Result<Vec<Func>, JitError> {
    let ascending = starts.windows(2).all(|w| w[0] < w[1]);
    let last = starts.last().is_some_and(|&s| (s as usize) < len);
    if starts.first() != Some(&0) || !ascending || !last {
        return Err(JitError::Starts);
    }
    let ends = starts.iter().skip(1).copied().chain([len as u32]);
    let func = |(start, end)| Func { start, end, first_block: 0, last_block: 0 };
    Ok(starts.iter().copied().zip(ends).map(func).collect())
}

/// Every function that is named exists.
fn check_calls(code: &[Ins], funcs: &[Func]) -> Result<(), JitError> {
    for (pc, ins) in code.iter().enumerate() {
        let rel = match ins {
            Ins::Op { op: Op::Call(Callee::Subprog(rel)), .. } => *rel,
            Ins::Op { op: Op::LdImm64 { imm: Imm64::Func(rel), .. }, .. } => *rel,
            _ => continue,
        };
        let target = pc as i64 + 1 + i64::from(rel);
        if funcs.binary_search_by_key(&target, |f| i64::from(f.start)).is_err() {
            return Err(JitError::Call { pc, target });
        }
    }
    Ok(())
}

/// Where control goes from one slot.
struct Exits {
    jump: Option<i64>,
    falls: bool,
}

fn exits(ins: &Ins, pc: usize) -> Option<Exits> {
    let Ins::Op { op, .. } = ins else { return None };
    let to = |off: i32| Some(pc as i64 + 1 + i64::from(off));
    match *op {
        Op::Ja { off, .. } => Some(Exits { jump: to(off), falls: false }),
        Op::Jmp { off, .. } | Op::MayGoto { off } => {
            Some(Exits { jump: to(off.into()), falls: true })
        }
        Op::Exit => Some(Exits { jump: None, falls: false }),
        _ => None,
    }
}

impl Flow {
    /// Splits `code` at `starts` (ascending, the first is 0) and at jumps.
    pub(crate) fn new(code: &[Ins], starts: &[u32]) -> Result<Flow, JitError> {
        let mut flow = Flow { block_at: vec![NONE; code.len()], ..Flow::default() };
        flow.funcs = functions(code.len(), starts)?;
        check_calls(code, &flow.funcs)?;
        flow.leaders(code)?;
        flow.split(code)?;
        flow.reach();
        Ok(flow)
    }

    pub(crate) fn block_of(&self, slot: i64) -> u32 {
        self.block_at[slot as usize]
    }

    /// Marks first slots of blocks.
    fn leaders(&mut self, code: &[Ins]) -> Result<(), JitError> {
        for f in 0..self.funcs.len() {
            let Func { start, end, .. } = self.funcs[f];
            self.block_at[start as usize] = 0;
            for pc in start as usize..end as usize {
                let Some(exits) = exits(&code[pc], pc) else { continue };
                if let Some(target) = exits.jump {
                    let inside = target >= i64::from(start) && target < i64::from(end);
                    if !inside || matches!(code[target as usize], Ins::Second) {
                        return Err(JitError::Jump { pc, target });
                    }
                    self.block_at[target as usize] = 0;
                }
                if pc + 1 < end as usize {
                    self.block_at[pc + 1] = 0;
                }
            }
        }
        Ok(())
    }

    fn split(&mut self, code: &[Ins]) -> Result<(), JitError> {
        for f in 0..self.funcs.len() {
            let Func { start, end, .. } = self.funcs[f];
            let first = self.blocks.len() as u32;
            for pc in start..end {
                if self.block_at[pc as usize] == NONE {
                    continue;
                }
                if let Some(last) = self.blocks.last_mut().filter(|_| pc != start) {
                    last.end = pc;
                }
                self.block_at[pc as usize] = self.blocks.len() as u32;
                self.blocks.push(Block::new(pc, end));
            }
            self.funcs[f].first_block = first;
            self.funcs[f].last_block = self.blocks.len() as u32;
        }
        for b in 0..self.blocks.len() {
            self.link(code, b)?;
        }
        Ok(())
    }

    fn link(&mut self, code: &[Ins], b: usize) -> Result<(), JitError> {
        let last = self.blocks[b].end as usize - 1;
        let exits = exits(&code[last], last).unwrap_or(Exits { jump: None, falls: true });
        if let Some(target) = exits.jump {
            self.blocks[b].jump = self.block_of(target);
        }
        if exits.falls {
            self.blocks[b].next = b as u32 + 1;
        }
        Ok(())
    }

    /// Counts edges from what can be reached.
    fn reach(&mut self) {
        for f in 0..self.funcs.len() {
            let mut todo = vec![self.funcs[f].first_block];
            while let Some(b) = todo.pop() {
                let block = &mut self.blocks[b as usize];
                if std::mem::replace(&mut block.reached, true) {
                    continue;
                }
                let (jump, next, last) = (block.jump, block.next, self.funcs[f].last_block);
                for to in [jump, next] {
                    if to == NONE || to >= last {
                        continue;
                    }
                    self.blocks[to as usize].preds += 1;
                    self.blocks[to as usize].is_loop |= to <= b;
                    todo.push(to);
                }
            }
            // The entry has an edge from outside.
            self.blocks[self.funcs[f].first_block as usize].preds += 1;
        }
    }

    /// The function that starts at slot `start`.
    pub(crate) fn func_at(&self, start: i64) -> Option<usize> {
        self.funcs.binary_search_by_key(&start, |f| i64::from(f.start)).ok()
    }

    /// Errors for a reached block that runs out of its function.
    pub(crate) fn check_ends(&self) -> Result<(), JitError> {
        for func in &self.funcs {
            let last = &self.blocks[func.last_block as usize - 1];
            if last.reached && last.next == func.last_block {
                return Err(JitError::FallsThrough(func.end as usize));
            }
        }
        Ok(())
    }

    /// Fills in `live_in` of all blocks, callees before callers.
    pub(crate) fn liveness(&mut self, code: &[Ins]) {
        let mut reads = vec![ARGS; self.funcs.len()];
        for f in self.callees_first(code) {
            self.summarise(code, f, &reads);
            self.solve(f);
            let entry = self.funcs[f].first_block as usize;
            reads[f] = self.blocks[entry].live_in & ARGS;
        }
        self.reads_of = reads;
    }

    fn callees_first(&self, code: &[Ins]) -> Vec<usize> {
        let calls: Vec<Vec<usize>> = self.funcs.iter().map(|f| self.calls_of(code, f)).collect();
        let mut order = Vec::with_capacity(calls.len());
        let mut seen = vec![false; calls.len()];
        for root in 0..calls.len() {
            let mut stack = vec![(root, 0)];
            while let Some((f, at)) = stack.pop() {
                if at == 0 && std::mem::replace(&mut seen[f], true) {
                    continue;
                }
                match calls[f].get(at) {
                    Some(&callee) => {
                        stack.push((f, at + 1));
                        stack.push((callee, 0));
                    }
                    None => order.push(f),
                }
            }
        }
        order
    }

    fn calls_of(&self, code: &[Ins], func: &Func) -> Vec<usize> {
        let slots = func.start as usize..func.end as usize;
        let callee = |pc: usize| match code[pc] {
            Ins::Op { op: Op::Call(Callee::Subprog(rel)), .. } => {
                self.func_at(pc as i64 + 1 + i64::from(rel))
            }
            _ => None,
        };
        let mut calls: Vec<usize> = slots.filter_map(callee).collect();
        calls.sort_unstable();
        calls.dedup();
        calls
    }

    /// What each block of `f` reads before it writes, and what it writes.
    fn summarise(&mut self, code: &[Ins], f: usize, reads: &[Set]) {
        let Func { first_block, last_block, .. } = self.funcs[f];
        for b in first_block..last_block {
            let Block { start, end, .. } = self.blocks[b as usize];
            let (mut used, mut set) = (0, 0);
            for pc in (start..end).rev() {
                let callee = |rel: i32| {
                    let at = self.func_at(i64::from(pc) + 1 + i64::from(rel));
                    at.map_or(ARGS, |f| reads[f])
                };
                let (r, w) = code[pc as usize].effect(callee);
                used = used & !w | r;
                set |= w;
            }
            let block = &mut self.blocks[b as usize];
            (block.reads, block.writes) = (used & VARIABLE, set);
        }
    }

    fn solve(&mut self, f: usize) {
        let Func { first_block, last_block, .. } = self.funcs[f];
        for _ in 0..MAX_ROUNDS {
            let mut changed = false;
            for b in (first_block..last_block).rev() {
                let block = self.blocks[b as usize];
                let live = block.reads | self.live_out(&block) & !block.writes;
                changed |= live != block.live_in;
                self.blocks[b as usize].live_in = live;
            }
            if !changed {
                return;
            }
        }
        for b in first_block..last_block {
            self.blocks[b as usize].live_in = VARIABLE;
        }
    }

    pub(crate) fn live_out(&self, block: &Block) -> Set {
        let live_in = |b: u32| self.blocks.get(b as usize).map_or(0, |b| b.live_in);
        live_in(block.jump) | live_in(block.next)
    }

    /// For each slot of `block`, what is live after it; `out` is overwritten.
    pub(crate) fn live_after(&self, code: &[Ins], block: &Block, out: &mut Vec<Set>) {
        out.clear();
        out.resize((block.end - block.start) as usize, 0);
        let mut live = self.live_out(block);
        for pc in (block.start..block.end).rev() {
            out[(pc - block.start) as usize] = live;
            let ins = &code[pc as usize];
            let (reads, writes) = self.effect(ins, pc);
            if ins.is_pure() && live & writes == 0 {
                continue;
            }
            live = (live & !writes | reads) & VARIABLE;
        }
    }

    /// What the instruction at `pc` reads and writes.
    pub(crate) fn effect(&self, ins: &Ins, pc: u32) -> (Set, Set) {
        ins.effect(|rel| {
            let at = self.func_at(i64::from(pc) + 1 + i64::from(rel));
            at.and_then(|f| self.reads_of.get(f)).copied().unwrap_or(ARGS)
        })
    }
}
