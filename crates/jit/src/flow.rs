//! Functions, basic blocks, and which registers are live where.

use isa::{Callee, Imm64, Op};

use crate::{
    JitError,
    ins::{ARGS, Code, Ins, Set},
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
    /// Has `may_goto` in it.
    pub(crate) may_goto: bool,
    /// Has divisions in it.
    pub(crate) divides: bool,
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
    /// Its jump is replaced by a copy of the block it goes to.
    pub(crate) copies: bool,
    /// Other blocks copy it.
    pub(crate) copied: bool,
    reads: Set,
    writes: Set,
    /// `live_in` is known.
    solved: bool,
}

/// The program's shape.
#[derive(Default)]
pub(crate) struct Flow {
    pub(crate) funcs: Vec<Func>,
    pub(crate) blocks: Vec<Block>,
    /// For the first slot of a block, its number.
    block_at: Vec<u32>,
    /// Calls of subprograms: slot and function.
    calls: Vec<(u32, u32)>,
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
            copies: false,
            copied: false,
            reads: 0,
            writes: 0,
            solved: false,
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
    let func = |(start, end)| Func {
        start,
        end,
        first_block: 0,
        last_block: 0,
        may_goto: false,
        divides: false,
    };
    Ok(starts.iter().copied().zip(ends).map(func).collect())
}

/// Every function that is named exists; the calls.
fn find_calls(code: &[Ins], funcs: &[Func]) -> Result<Vec<(u32, u32)>, JitError> {
    let mut calls = Vec::new();
    for (pc, ins) in code.iter().enumerate() {
        let (rel, call) = match ins {
            Ins::Op { op: Op::Call(Callee::Subprog(rel)), .. } => (*rel, true),
            Ins::Op { op: Op::LdImm64 { imm: Imm64::Func(rel), .. }, .. } => (*rel, false),
            _ => continue,
        };
        let target = pc as i64 + 1 + i64::from(rel);
        let callee = funcs.binary_search_by_key(&target, |f| i64::from(f.start));
        let callee = callee.map_err(|_| JitError::Call { pc, target })?;
        if call {
            calls.push((pc as u32, callee as u32));
        }
    }
    Ok(calls)
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

fn divides(ins: &Ins) -> bool {
    use isa::AluOp::{Div, Mod, Sdiv, Smod};
    matches!(ins, Ins::Op { op: Op::Alu { op: Div | Mod | Sdiv | Smod, .. }, .. })
}

impl Flow {
    /// Splits `code` at `starts` (ascending, the first is 0) and at jumps.
    pub(crate) fn new(code: &[Ins], starts: &[u32]) -> Result<Flow, JitError> {
        let mut flow = Flow { block_at: vec![NONE; code.len()], ..Flow::default() };
        flow.funcs = functions(code.len(), starts)?;
        flow.calls = find_calls(code, &flow.funcs)?;
        flow.leaders(code)?;
        flow.split(code)?;
        flow.reach();
        flow.copy_latches(code);
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
                let Some(exits) = exits(&code[pc], pc) else {
                    self.funcs[f].divides |= divides(&code[pc]);
                    continue;
                };
                self.funcs[f].may_goto |=
                    matches!(code[pc], Ins::Op { op: Op::MayGoto { .. }, .. });
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
        self.blocks.reserve(self.block_at.iter().filter(|b| **b != NONE).count());
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
        let mut todo = Vec::with_capacity(16);
        for f in 0..self.funcs.len() {
            todo.push(self.funcs[f].first_block);
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

    /// Jumps back to a few instructions and another jump take those along: one jump less a round.
    fn copy_latches(&mut self, code: &[Ins]) {
        const MAX_COPY: u32 = 5;
        for f in 0..self.funcs.len() {
            let Func { first_block, last_block, .. } = self.funcs[f];
            for b in first_block..last_block {
                let Block { end, jump, next, reached, .. } = self.blocks[b as usize];
                if !reached || next != NONE || jump == NONE || jump >= b {
                    continue;
                }
                let last = &code[end as usize - 1];
                let latch = self.blocks[jump as usize];
                let short = latch.end - latch.start <= MAX_COPY && latch.preds > 1;
                let ends = &code[latch.end as usize - 1];
                let fits = short
                    && matches!(last, Ins::Op { op: Op::Ja { .. }, .. })
                    && matches!(ends, Ins::Op { op: Op::Jmp { .. }, .. })
                    && latch.next < last_block;
                if fits {
                    self.blocks[b as usize].copies = true;
                    self.blocks[jump as usize].preds -= 1;
                    self.blocks[jump as usize].copied = true;
                    self.blocks[latch.jump as usize].preds += 1;
                    self.blocks[latch.next as usize].preds += 1;
                }
            }
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
    pub(crate) fn liveness(&mut self, code: &mut Code) {
        for f in self.callees_first() {
            for i in self.calls_of(f) {
                let (pc, callee) = self.calls[i];
                code.effects[pc as usize].reads = self.arguments(callee as usize);
            }
            self.summarise(code, f);
            self.solve(f);
        }
    }

    /// What function `f` reads of r1 to r5, as far as known.
    pub(crate) fn arguments(&self, f: usize) -> Set {
        let block = self.blocks[self.funcs[f].first_block as usize];
        if block.solved { block.live_in & ARGS } else { ARGS }
    }

    /// Slots of calls with the function called.
    pub(crate) fn calls(&self) -> impl Iterator<Item = (usize, usize)> {
        self.calls.iter().map(|&(pc, callee)| (pc as usize, callee as usize))
    }

    /// Pairs of caller and callee.
    pub(crate) fn call_pairs(&self) -> Vec<(usize, usize)> {
        let mut pairs = Vec::new();
        for f in 0..self.funcs.len() {
            pairs.extend(self.calls_of(f).map(|i| (f, self.calls[i].1 as usize)));
        }
        pairs.dedup();
        pairs
    }

    /// Functions so that, without recursion, each follows those it calls.
    fn callees_first(&self) -> Vec<usize> {
        if self.calls.is_empty() {
            return (0..self.funcs.len()).collect();
        }
        let mut order = Vec::with_capacity(self.funcs.len());
        let mut seen = vec![false; self.funcs.len()];
        for root in 0..self.funcs.len() {
            let mut stack = vec![(root, 0)];
            while let Some((f, at)) = stack.pop() {
                if at == 0 && std::mem::replace(&mut seen[f], true) {
                    continue;
                }
                let calls = self.calls_of(f);
                match self.calls[calls].get(at) {
                    Some(&(_, callee)) => {
                        stack.push((f, at + 1));
                        stack.push((callee as usize, 0));
                    }
                    None => order.push(f),
                }
            }
        }
        order
    }

    /// Where in `calls` those of function `f` are.
    fn calls_of(&self, f: usize) -> std::ops::Range<usize> {
        let Func { start, end, .. } = self.funcs[f];
        let first = self.calls.partition_point(|(pc, _)| *pc < start);
        let last = self.calls.partition_point(|(pc, _)| *pc < end);
        first..last
    }

    /// What each block of `f` reads before it writes, and what it writes.
    fn summarise(&mut self, code: &Code, f: usize) {
        let Func { first_block, last_block, .. } = self.funcs[f];
        for block in &mut self.blocks[first_block as usize..last_block as usize] {
            let (mut used, mut set) = (0, 0);
            for effect in code.effects[block.start as usize..block.end as usize].iter().rev() {
                used = used & !effect.writes | effect.reads;
                set |= effect.writes;
            }
            (block.reads, block.writes, block.solved) = (used & VARIABLE, set, true);
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
    pub(crate) fn live_after(&self, code: &Code, block: &Block, out: &mut Vec<Set>) {
        out.clear();
        out.resize((block.end - block.start) as usize, 0);
        let mut live = self.live_out(block);
        let slots = block.start as usize..block.end as usize;
        for ((pc, effect), after) in
            slots.clone().zip(&code.effects[slots]).zip(out.iter_mut()).rev()
        {
            *after = live;
            if live & effect.writes == 0 && code.slots[pc].is_pure() {
                continue;
            }
            live = (live & !effect.writes | effect.reads) & VARIABLE;
        }
    }
}
