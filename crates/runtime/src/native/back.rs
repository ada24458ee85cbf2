//! The way back from a helper into machine code.

use interp::{Callback, Host, Region, Trap, TrapKind};
use jit::Back;

use super::STOPPED;
use crate::run::Run;

/// A helper's view of the machine code that called it.
pub(super) struct Reentry<'b, 'c, 'r> {
    back: &'b mut Back<'c, Run<'r>>,
    /// An address above the stacks of all of the run's functions.
    top: u64,
    grants: Vec<Region>,
}

impl<'b, 'c, 'r> Reentry<'b, 'c, 'r> {
    pub(super) fn new(back: &'b mut Back<'c, Run<'r>>, top: u64) -> Reentry<'b, 'c, 'r> {
        Reentry { back, top, grants: Vec::new() }
    }
}

impl<'r> Callback for Reentry<'_, '_, 'r> {
    fn call_back(&mut self, host: &mut dyn Host, func: u64, args: [u64; 5]) -> Result<u64, Trap> {
        // SAFETY: a helper passes its own host, which is the `Run` that `Machine::helper` was
        // called on: the only one that knows of this callback.
        let run = unsafe { &mut *std::ptr::from_mut(host).cast::<Run<'r>>() };
        run.callbacks = run.callbacks.checked_sub(1).ok_or(Trap::here(TrapKind::Fuel))?;
        run.granted.extend_from_slice(&self.grants);
        // SAFETY: the verifier lets programs pass only their own functions, of that signature.
        let value = unsafe { self.back.call(run, func, args) };
        if !self.grants.is_empty() {
            run.granted.retain(|region| !self.grants.contains(region));
        }
        self.grants.clear();
        value.ok_or_else(|| run.trap.take().unwrap_or(STOPPED))
    }

    fn grant(&mut self, region: Region) {
        self.grants.push(region);
    }

    /// The machine's stack from here up to where the run began, to read.
    fn region(&self, addr: u64) -> Option<Region> {
        let here = 0_u8;
        let start = &raw const here as u64;
        (start..self.top).contains(&addr).then_some(Region {
            start,
            end: self.top,
            writable: false,
        })
    }

    /// Tail calls of machine code do not come through helpers.
    fn tail_call(&mut self, _: u64) -> bool {
        false
    }
}
