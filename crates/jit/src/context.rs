//! What a run carries along: the last argument of every function of a program and of every helper.

use std::ffi::c_void;

use crate::host::Host;

/// Where functions expect the run's context: the sixth argument.
pub(crate) const REGISTER: Host = Host::R9;

/// Linux's limit on tail calls in one run.
pub(crate) const MAX_TAIL_CALLS: i32 = 33;

/// Finds the program at `index` of the array `map` for a tail call: the address of its code
/// ([`crate::Program::address`]), which must stay alive until the run ends, or 0.
pub type ResolveTail =
    extern "C" fn(ctx: u64, map: u64, index: u64, u64, u64, *mut RunContext) -> u64;

/// One run's state, shared by generated code, helpers and the fault handler.
///
/// The address of a run's context is r1 to r5's companion: helpers get it as their sixth argument.
#[repr(C)]
#[derive(Debug)]
pub struct RunContext {
    /// Stack pointer to return to when the run is stopped.
    pub(crate) entry_rsp: u64,
    /// Function that the entry stub calls.
    pub(crate) target: u64,
    /// Not 0: the run ends at the next look (after helpers that may stop, at jumps backwards).
    pub stop: u32,
    /// Tail calls so far.
    pub tail_calls: u32,
    /// The program's context during a tail call.
    pub(crate) tail_context: u64,
    /// Finds tail-called programs.
    pub resolve_tail: Option<ResolveTail>,
    /// Which helper is called ([`crate::Target::tag`]).
    pub tag: u32,
    /// The logical CPU of the run.
    pub cpu: u32,
    /// Where the code is that found [`RunContext::stop`] set after a call, 0 if elsewhere.
    pub(crate) stop_ip: u64,
    /// Address in generated code that faulted.
    pub(crate) fault_ip: u64,
    /// Address whose access faulted.
    pub(crate) fault_address: u64,
    /// The owner's own.
    pub user: *mut c_void,
    /// The entry stub of the code that runs, for callbacks.
    pub(crate) enter: u64,
}

/// Offsets for generated code.
pub(crate) const ENTRY_RSP: i32 = std::mem::offset_of!(RunContext, entry_rsp) as i32;
pub(crate) const ENTER: i32 = std::mem::offset_of!(RunContext, enter) as i32;
pub(crate) const TARGET: i32 = std::mem::offset_of!(RunContext, target) as i32;
pub(crate) const STOP: i32 = std::mem::offset_of!(RunContext, stop) as i32;
pub(crate) const STOP_IP: i32 = std::mem::offset_of!(RunContext, stop_ip) as i32;
pub(crate) const TAIL_CALLS: i32 = std::mem::offset_of!(RunContext, tail_calls) as i32;
pub(crate) const TAIL_CONTEXT: i32 = std::mem::offset_of!(RunContext, tail_context) as i32;
pub(crate) const TAG: i32 = std::mem::offset_of!(RunContext, tag) as i32;
pub(crate) const CPU: i32 = std::mem::offset_of!(RunContext, cpu) as i32;
pub(crate) const RESOLVE_TAIL: i32 = std::mem::offset_of!(RunContext, resolve_tail) as i32;

impl RunContext {
    /// A context without a way to find tail-called programs.
    pub const fn new() -> RunContext {
        RunContext {
            entry_rsp: 0,
            target: 0,
            stop: 0,
            tail_calls: 0,
            tail_context: 0,
            resolve_tail: None,
            tag: 0,
            cpu: 0,
            stop_ip: 0,
            fault_ip: 0,
            fault_address: 0,
            user: std::ptr::null_mut(),
            enter: 0,
        }
    }
}

impl Default for RunContext {
    fn default() -> RunContext {
        RunContext::new()
    }
}
