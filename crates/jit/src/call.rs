//! Into the code and back.

use std::{cell::Cell, mem, ptr};

use crate::{Program, RunContext};

type Enter = extern "C" fn(u64, u64, u64, u64, u64, *mut RunContext) -> u64;

thread_local! {
    /// Context of the innermost run on this thread, for the fault handler.
    static CURRENT: Cell<*mut RunContext> = const { Cell::new(ptr::null_mut()) };
}

/// Why a run ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// An access to memory that is not there.
    #[error("instruction {pc}: access to {address:#x}, where no memory is")]
    Memory {
        /// Slot in translated bytecode.
        pc: u32,
        /// The address.
        address: u64,
    },
    /// A fault in another program's code, reached by tail calls.
    #[error("access to {address:#x} in a tail-called program")]
    Elsewhere {
        /// Where the code is that did it ([`Program::slot_at`] of that program).
        ip: u64,
        /// The address.
        address: u64,
    },
    /// [`RunContext::stop`] was set.
    #[error("the run was stopped")]
    Stopped {
        /// Where the code is whose call set it ([`Program::slot_at`]); 0 if it was not a call.
        ip: u64,
    },
}

/// The context of the innermost run on this thread; null outside runs.
pub(crate) fn current() -> *mut RunContext {
    CURRENT.get()
}

impl Program {
    /// Runs the main program with r1 = `ctx`; the value is its r0.
    ///
    /// # Safety
    /// The bytecode must have passed the verifier for what `ctx` points at, maps and helpers must
    /// be what the verifier took them for, and `context.user` what helpers expect.
    #[inline]
    pub unsafe fn run(&self, ctx: u64, context: &mut RunContext) -> Result<u64, Fault> {
        if self.harmless {
            return Ok(jump(self.enter_main, [ctx, 0, 0, 0, 0], context));
        }
        context.stop = 0;
        context.tail_calls = 0;
        self.through(self.enter_main, [ctx, 0, 0, 0, 0], context)
    }

    /// Runs function `index` (in the order of the input's starts) with `args`.
    ///
    /// # Safety
    /// As for [`Program::run`], and the function must take such arguments.
    #[inline]
    pub unsafe fn call(
        &self,
        index: usize,
        args: [u64; 5],
        context: &mut RunContext,
    ) -> Result<u64, Fault> {
        context.target = self.function_address(index).unwrap_or(self.address());
        self.through(self.enter, args, context)
    }

    #[inline]
    fn through(&self, stub: u64, args: [u64; 5], context: &mut RunContext) -> Result<u64, Fault> {
        let outer = mem::replace(&mut context.enter, self.enter);
        let value = enter(stub, args, context);
        context.enter = outer;
        if context.stop == 0 { Ok(value) } else { Err(self.why(context)) }
    }

    #[cold]
    fn why(&self, context: &mut RunContext) -> Fault {
        let ip = mem::take(&mut context.fault_ip);
        let stopped_at = mem::take(&mut context.stop_ip);
        let address = context.fault_address;
        match ip {
            0 => Fault::Stopped { ip: stopped_at },
            _ => match self.slot_at(ip) {
                Some(pc) => Fault::Memory { pc, address },
                None => Fault::Elsewhere { ip, address },
            },
        }
    }

    /// The slot whose code is at this address.
    pub fn slot_at(&self, ip: u64) -> Option<u32> {
        let offset = u32::try_from(ip.checked_sub(self.base())?).ok()?;
        let lines = self.lines();
        let after = lines.partition_point(|line| line.offset <= offset);
        let inside = offset < self.tables.text;
        lines.get(after.checked_sub(1)?).filter(|_| inside).map(|line| line.pc)
    }
}

impl RunContext {
    /// Calls a function of the running program from a helper: `func` is the address that the
    /// program loaded. `None` if the run is to end; the helper then returns at once.
    ///
    /// # Safety
    /// `func` must be an address that a program of this run loaded with `ld_imm64`, and take such
    /// arguments.
    pub unsafe fn call_back(&mut self, func: u64, args: [u64; 5]) -> Option<u64> {
        let stub = self.enter;
        if self.stop != 0 || stub == 0 {
            return None;
        }
        self.target = func;
        let value = enter(stub, args, self);
        (self.stop == 0).then_some(value)
    }
}

/// Calls the code at `stub`, known to the fault handler as this thread's innermost run.
#[inline]
fn enter(stub: u64, args: [u64; 5], context: &mut RunContext) -> u64 {
    let outer = CURRENT.replace(ptr::from_mut(context));
    let outer_rsp = context.entry_rsp;
    let value = jump(stub, args, context);
    context.entry_rsp = outer_rsp;
    CURRENT.set(outer);
    value
}

#[inline]
fn jump(code: u64, [a, b, c, d, e]: [u64; 5], context: &mut RunContext) -> u64 {
    // SAFETY: `code` is a stub or function of a program that the caller keeps alive: sealed code
    // of this signature that preserves what the C ABI asks for.
    let function = unsafe { mem::transmute::<usize, Enter>(code as usize) };
    function(a, b, c, d, e, ptr::from_mut(context))
}
