//! A whole path: frames from the main program down, references, locks, and where it came from.

use std::rc::Rc;

use smallvec::SmallVec;

use super::{FuncState, RegState};

/// A stored state, by its place in the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub(crate) struct StateId(pub(crate) u32);

/// What a reference is to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RefKind {
    /// An object that must be released.
    Ptr,
    /// A held `bpf_spin_lock`.
    Lock,
    /// Interrupts were switched off.
    Irq,
    /// A held `bpf_res_spin_lock`, taken with or without interrupts off.
    ResLock,
    ResLockIrq,
}

impl RefKind {
    pub(crate) fn is_res_lock(self) -> bool {
        matches!(self, RefKind::ResLock | RefKind::ResLockIrq)
    }

    pub(crate) fn is_lock(self) -> bool {
        self == RefKind::Lock || self.is_res_lock()
    }
}

/// Where a lock lies, besides the id of the register that points there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum LockHome {
    #[default]
    None,
    /// In a value of this map: [`RegState::data`] of its registers.
    Map(u32),
    /// In an object of this BTF: [`RegState::data2`].
    Btf(u32),
}

/// Something acquired that must be given back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reference {
    pub(crate) kind: RefKind,
    pub(crate) id: u32,
    /// Where it was acquired.
    pub(crate) insn_idx: u32,
    /// Of a lock.
    pub(crate) home: LockHome,
}

bitflags::bitflags! {
    /// What a step in the history did to the stack.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub(crate) struct HistFlags: u16 {
        /// A slot was spilled to or filled from: see [`HistEntry`].
        const STACK_ACCESS = 1 << 0;
        /// The operand of a jump was a stack pointer: it has no precision.
        const SRC_IS_STACK = 1 << 1;
        const DST_IS_STACK = 1 << 2;
    }
}

/// One remembered step: a jump, or a stack access that precision tracking must find again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct HistEntry {
    pub(crate) idx: u32,
    pub(crate) prev_idx: u32,
    pub(crate) flags: HistFlags,
    /// Frame of the stack access.
    pub(crate) frame: u8,
    /// Slot of the stack access.
    pub(crate) spi: u8,
    /// Registers and slots that shared a scalar id when a jump refined them; six packed entries.
    pub(crate) linked: u64,
}

/// State of one path at one instruction.
#[derive(Clone, Debug)]
pub(crate) struct VerifierState {
    /// From the main program (or global function) to the current frame; never empty.
    pub(crate) frames: SmallVec<[Rc<FuncState>; 4]>,
    pub(crate) refs: SmallVec<[Reference; 2]>,
    /// Locks held, and which was taken last.
    pub(crate) active_locks: u32,
    pub(crate) active_lock_id: u32,
    pub(crate) active_lock_home: LockHome,
    pub(crate) active_preempt_locks: u32,
    pub(crate) active_irq_id: u32,
    pub(crate) active_rcu_lock: bool,
    pub(crate) in_sleepable: bool,
    /// Walked as the CPU might by mistake.
    pub(crate) speculative: bool,
    /// Dead registers and slots were cleared (stored states only).
    pub(crate) cleaned: bool,
    /// Paths from here that are not finished.
    pub(crate) branches: u32,
    pub(crate) insn_idx: u32,
    pub(crate) first_insn_idx: u32,
    pub(crate) last_insn_idx: u32,
    /// The stored state this one came from.
    pub(crate) parent: Option<StateId>,
    /// Stored states between the start and here.
    pub(crate) dfs_depth: u32,
    pub(crate) callback_unroll_depth: u32,
    pub(crate) may_goto_depth: u32,
    /// Steps since `parent`.
    pub(crate) hist: Rc<Vec<HistEntry>>,
}

impl VerifierState {
    /// A path that starts with this frame.
    pub(crate) fn new(first: FuncState, start: u32, in_sleepable: bool) -> VerifierState {
        VerifierState {
            frames: SmallVec::from_elem(Rc::new(first), 1),
            refs: SmallVec::new(),
            active_locks: 0,
            active_lock_id: 0,
            active_lock_home: LockHome::None,
            active_preempt_locks: 0,
            active_irq_id: 0,
            active_rcu_lock: false,
            in_sleepable,
            speculative: false,
            cleaned: false,
            branches: 1,
            insn_idx: start,
            first_insn_idx: start,
            last_insn_idx: u32::MAX,
            parent: None,
            dfs_depth: 0,
            callback_unroll_depth: 0,
            may_goto_depth: 0,
            hist: Rc::default(),
        }
    }

    /// Index of the current frame.
    pub(crate) fn curframe(&self) -> usize {
        self.frames.len() - 1
    }

    /// The current frame.
    pub(crate) fn cur(&self) -> &FuncState {
        &self.frames[self.frames.len() - 1]
    }

    /// The current frame for writing.
    pub(crate) fn cur_mut(&mut self) -> &mut FuncState {
        let last = self.frames.len() - 1;
        Rc::make_mut(&mut self.frames[last])
    }

    pub(crate) fn frame(&self, n: usize) -> &FuncState {
        &self.frames[n]
    }

    pub(crate) fn frame_mut(&mut self, n: usize) -> &mut FuncState {
        Rc::make_mut(&mut self.frames[n])
    }

    pub(crate) fn reg(&self, n: usize) -> &RegState {
        &self.cur().regs[n]
    }

    pub(crate) fn reg_mut(&mut self, n: usize) -> &mut RegState {
        &mut self.cur_mut().regs[n]
    }

    /// Where a frame stands: at the current instruction, or at the call it waits for.
    pub(crate) fn frame_insn(&self, frame: usize) -> usize {
        match self.frames.get(frame + 1) {
            Some(callee) => callee.callsite as usize,
            None => self.insn_idx as usize,
        }
    }

    /// Ends the reference without touching registers.
    pub(crate) fn forget_reference(&mut self, id: u32) {
        self.refs.retain(|r| !(r.kind == RefKind::Ptr && r.id == id));
    }

    /// Runs `f` on every register and every spilled register of all frames for which `which` holds;
    /// frames without any stay shared.
    pub(crate) fn for_each_reg_where(
        &mut self,
        which: impl Fn(&RegState) -> bool,
        mut f: impl FnMut(&mut RegState),
    ) {
        for frame in &mut self.frames {
            let in_stack = frame.stack.slots().iter().any(|s| s.is_spilled() && which(&s.spilled));
            if in_stack || frame.regs.iter().any(&which) {
                let frame = Rc::make_mut(frame);
                frame.regs.iter_mut().filter(|reg| which(reg)).for_each(&mut f);
                if in_stack {
                    let spilled = frame.stack.slots_mut().iter_mut().filter(|s| s.is_spilled());
                    spilled.map(|s| &mut s.spilled).filter(|reg| which(reg)).for_each(&mut f);
                }
            }
        }
    }
}
