//! Helpers as methods of a Rust object: the adapter between generated code and whoever keeps the
//! helpers' bodies.
//!
//! The object's address is [`RunContext::user`]; one `extern "C"` function for each type of object
//! stands between, told by [`RunContext::tag`] which helper is meant. While a helper runs it has
//! the object for itself, and hands it on when it calls back into the program.

use std::{ffi::c_void, marker::PhantomData};

use crate::{Fault, Program, RunContext, Target};

/// What programs call: helpers, kernel functions, the table of tail calls.
pub trait Machine: Sized {
    /// Calls helper `id`. `None` ends the run.
    fn helper(&mut self, id: u32, args: [u64; 5], back: &mut Back<'_, Self>) -> Option<u64>;

    /// Calls kernel function `id`, any number that [`kfunc`] was given. `None` ends the run.
    fn kfunc(&mut self, id: u32, args: [u64; 5], back: &mut Back<'_, Self>) -> Option<u64> {
        let _ = (id, args, back);
        None
    }

    /// The address of the program at `index` of the array at `map` ([`Program::address`]); the
    /// program must stay alive until the run ends.
    fn tail_call(&mut self, ctx: u64, map: u64, index: u64) -> Option<u64> {
        let _ = (ctx, map, index);
        None
    }
}

/// The way back into the program from a helper.
pub struct Back<'c, M> {
    context: &'c mut RunContext,
    machine: PhantomData<fn(&mut M)>,
}

impl<M: Machine> Back<'_, M> {
    /// Calls the function at `func` of the running program. `None`: the run has ended, and the
    /// helper returns `None` too.
    ///
    /// # Safety
    /// `func` must be an address that the program passed as a function.
    pub unsafe fn call(&mut self, machine: &mut M, func: u64, args: [u64; 5]) -> Option<u64> {
        // SAFETY: handed on to the caller; the address is that of a machine lent to us.
        unsafe { self.call_at(std::ptr::from_mut(machine).cast(), func, args) }
    }

    /// Like [`Back::call`] where the machine's type is hidden behind a trait object.
    ///
    /// # Safety
    /// As for [`Back::call`]; `machine` must come from a mutable reference to the `M` of this run
    /// that nobody else uses meanwhile.
    pub unsafe fn call_at(
        &mut self,
        machine: *mut c_void,
        func: u64,
        args: [u64; 5],
    ) -> Option<u64> {
        let outer = std::mem::replace(&mut self.context.user, machine);
        // SAFETY: handed on to the caller.
        let value = unsafe { self.context.call_back(func, args) };
        self.context.user = outer;
        value
    }

    /// The run's context.
    pub fn context(&mut self) -> &mut RunContext {
        self.context
    }
}

const KFUNC: u32 = 1 << 31;

/// How to reach helper `id` of a machine of type `M`; it takes `args` arguments.
pub fn helper<M: Machine>(id: u32, args: u8) -> Target {
    let addr = enter::<M> as *const () as usize;
    Target { addr, args, may_stop: true, tag: Some(id & !KFUNC) }
}

/// How to reach kernel function `id` (less than 2^31) of a machine of type `M`.
pub fn kfunc<M: Machine>(id: u32, args: u8) -> Target {
    Target { tag: Some(id | KFUNC), ..helper::<M>(0, args) }
}

extern "C" fn enter<M: Machine>(
    a: u64,
    b: u64,
    c: u64,
    d: u64,
    e: u64,
    context: *mut RunContext,
) -> u64 {
    // SAFETY: generated code passes the context of the run, which nobody else uses while we do.
    let context = unsafe { &mut *context };
    // SAFETY: `run_with` and `Back::call` put a machine of type `M` there, borrowed until they
    // return, and do not touch it meanwhile.
    let machine = unsafe { &mut *context.user.cast::<M>() };
    let (tag, args) = (context.tag, [a, b, c, d, e]);
    let mut back = Back { context, machine: PhantomData };
    let value = match tag & KFUNC {
        0 => machine.helper(tag, args, &mut back),
        _ => machine.kfunc(tag & !KFUNC, args, &mut back),
    };
    value.unwrap_or_else(|| {
        back.context.stop = 1;
        0
    })
}

extern "C" fn resolve<M: Machine>(
    ctx: u64,
    map: u64,
    index: u64,
    _: u64,
    _: u64,
    context: *mut RunContext,
) -> u64 {
    // SAFETY: as in `enter`.
    let machine = unsafe { &mut *(*context).user.cast::<M>() };
    machine.tail_call(ctx, map, index).unwrap_or(0)
}

impl Program {
    /// Like [`Program::run`], with the helpers of `machine`.
    ///
    /// # Safety
    /// As for [`Program::run`]; all targets with a tag must be of type `M`.
    pub unsafe fn run_with<M: Machine>(
        &self,
        ctx: u64,
        machine: &mut M,
        context: &mut RunContext,
    ) -> Result<u64, Fault> {
        context.user = std::ptr::from_mut(machine).cast();
        context.resolve_tail = Some(resolve::<M>);
        // SAFETY: handed on to the caller.
        unsafe { self.run(ctx, context) }
    }

    /// Like [`Program::call`], with the helpers of `machine`.
    ///
    /// # Safety
    /// As for [`Program::call`] and [`Program::run_with`].
    pub unsafe fn call_with<M: Machine>(
        &self,
        index: usize,
        args: [u64; 5],
        machine: &mut M,
        context: &mut RunContext,
    ) -> Result<u64, Fault> {
        context.user = std::ptr::from_mut(machine).cast();
        context.resolve_tail = Some(resolve::<M>);
        // SAFETY: handed on to the caller.
        unsafe { self.call(index, args, context) }
    }
}
