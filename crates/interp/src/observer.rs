//! Watching a run from outside: debugger, coverage, soundness checks.

/// Sees each instruction before it runs.
pub trait Observer {
    /// `false` removes every trace of the observer from the loop.
    const ACTIVE: bool = true;

    /// The instruction at slot `pc` of the running program is next; `regs` are r0 to r10.
    fn step(&mut self, pc: usize, regs: &[u64; 11]);
}

/// Nobody watches.
impl Observer for () {
    const ACTIVE: bool = false;

    fn step(&mut self, _pc: usize, _regs: &[u64; 11]) {}
}
