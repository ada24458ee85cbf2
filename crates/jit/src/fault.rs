//! Faults in generated code: guarded loads yield zero, guarded stores are lost, others end the run.
//!
//! The handler may run at any moment on any thread, so it only reads atomics: a list of code
//! ranges whose nodes are reused but never freed. A range is unregistered only when nobody runs
//! its code, so the handler never meets one in change that it has business with.

use std::{
    ffi::{c_int, c_void},
    mem, ptr,
    sync::{
        Mutex, Once, PoisonError,
        atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering},
    },
};

use crate::{call, layout::NO_HOST, program::Tables, touch};

/// Code of one program.
struct Range {
    /// 0: unused.
    base: AtomicU64,
    len: AtomicUsize,
    tables: AtomicPtr<Tables>,
    next: AtomicPtr<Range>,
}

static FIRST: AtomicPtr<Range> = AtomicPtr::new(ptr::null_mut());
/// Held by whoever changes a node.
static WRITER: Mutex<()> = Mutex::new(());
static INSTALLED: Once = Once::new();
/// What had SIGSEGV and SIGBUS before.
static OLD: [AtomicPtr<libc::sigaction>; 2] =
    [AtomicPtr::new(ptr::null_mut()), AtomicPtr::new(ptr::null_mut())];
const SIGNALS: [c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

fn ranges() -> impl Iterator<Item = &'static Range> {
    let mut at = FIRST.load(Ordering::Acquire);
    std::iter::from_fn(move || {
        // SAFETY: nodes are leaked boxes: valid for ever, never borrowed mutably.
        let range: &'static Range = unsafe { at.as_ref() }?;
        at = range.next.load(Ordering::Acquire);
        Some(range)
    })
}

/// Lets faults in `base..base + len` be looked up in `tables`, until unregistered.
pub(crate) fn register(base: u64, len: usize, tables: &Tables) {
    INSTALLED.call_once(install);
    let _guard = WRITER.lock().unwrap_or_else(PoisonError::into_inner);
    let free = ranges().find(|r| r.base.load(Ordering::Acquire) == 0);
    let range = free.unwrap_or_else(|| {
        let next = AtomicPtr::new(FIRST.load(Ordering::Acquire));
        let range = Box::leak(Box::new(Range {
            base: AtomicU64::new(0),
            len: AtomicUsize::new(0),
            tables: AtomicPtr::new(ptr::null_mut()),
            next,
        }));
        FIRST.store(range, Ordering::Release);
        range
    });
    range.len.store(len, Ordering::Release);
    range.tables.store(ptr::from_ref(tables).cast_mut(), Ordering::Release);
    range.base.store(base, Ordering::Release);
}

pub(crate) fn unregister(base: u64) {
    let _guard = WRITER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(range) = ranges().find(|r| r.base.load(Ordering::Acquire) == base) {
        range.base.store(0, Ordering::Release);
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn install() {}

#[cfg(target_arch = "x86_64")]
fn install() {
    for (signal, old) in SIGNALS.into_iter().zip(&OLD) {
        // SAFETY: all-zero is a valid `sigaction`: no flags, empty mask, default action.
        let mut before: libc::sigaction = unsafe { mem::zeroed() };
        // SAFETY: only reads the present action into our own structure.
        unsafe { libc::sigaction(signal, ptr::null(), &mut before) };
        old.store(Box::leak(Box::new(before)), Ordering::Release);
        // SAFETY: as above.
        let mut action: libc::sigaction = unsafe { mem::zeroed() };
        action.sa_sigaction = on_fault as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: `on_fault` has the signature that SA_SIGINFO asks for and is async-signal-safe.
        unsafe { libc::sigaction(signal, &action, ptr::null_mut()) };
    }
}

/// Where a fault at `ip` goes on.
#[cfg(target_arch = "x86_64")]
enum Resume {
    /// After the load, whose register (of this number) is zero, or after the store.
    Zeroed { ip: u64, host: u8 },
    /// At the code that ends the run.
    Stop { ip: u64 },
}

#[cfg(target_arch = "x86_64")]
fn resume(ip: u64) -> Option<Resume> {
    let range = ranges().find(|r| {
        let base = r.base.load(Ordering::Acquire);
        base != 0 && ip.wrapping_sub(base) < r.len.load(Ordering::Acquire) as u64
    })?;
    let base = range.base.load(Ordering::Acquire);
    // SAFETY: set before `base` was, valid until unregistered; the program runs, so it is not.
    let tables = unsafe { range.tables.load(Ordering::Acquire).as_ref() }?;
    let offset = (ip - base) as u32;
    match tables.guards.binary_search_by_key(&offset, |guard| guard.at) {
        Ok(i) => {
            let guard = tables.guards[i];
            Some(Resume::Zeroed { ip: base + u64::from(guard.end), host: guard.host })
        }
        Err(_) => Some(Resume::Stop { ip: base + u64::from(tables.stop) }),
    }
}

/// Indexes of the saved registers, by hardware number.
#[cfg(target_arch = "x86_64")]
const GREGS: [c_int; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];
#[cfg(target_arch = "x86_64")]
const R11: usize = 11;

#[cfg(target_arch = "x86_64")]
extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a `ucontext_t` that is ours for the time of the handler.
    let gregs = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let ip = gregs[libc::REG_RIP as usize] as u64;
    if touch::is_ours(ip) {
        return from_touch(gregs);
    }
    let run = call::current();
    match resume(ip) {
        Some(Resume::Zeroed { ip, host }) => {
            if host != NO_HOST {
                gregs[GREGS[host as usize & 15] as usize] = 0;
            }
            gregs[libc::REG_RIP as usize] = ip as i64;
        }
        Some(Resume::Stop { ip: stop }) if !run.is_null() => {
            // SAFETY: the context of the run on this thread; its code is what faulted, so nobody
            // else looks at it now. `info` is the kernel's.
            unsafe {
                (*run).stop = 1;
                (*run).fault_ip = ip;
                (*run).fault_address = (*info).si_addr() as u64;
            }
            gregs[GREGS[R11] as usize] = run as i64;
            gregs[libc::REG_RIP as usize] = stop as i64;
        }
        _ => hand_on(signal, info, context),
    }
}

/// Makes the function that touched memory return 1.
#[cfg(target_arch = "x86_64")]
fn from_touch(gregs: &mut [libc::greg_t; 23]) {
    let rsp = gregs[libc::REG_RSP as usize];
    // SAFETY: the function has pushed nothing: its return address is on top of the stack.
    gregs[libc::REG_RIP as usize] = unsafe { *(rsp as *const i64) };
    gregs[libc::REG_RSP as usize] = rsp + 8;
    gregs[libc::REG_RAX as usize] = 1;
}

/// To whoever had the signal before us.
#[cfg(target_arch = "x86_64")]
fn hand_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let which = usize::from(signal == libc::SIGBUS);
    // SAFETY: leaked before the handler was installed.
    let Some(old) = (unsafe { OLD[which].load(Ordering::Acquire).as_ref() }) else { return };
    match old.sa_sigaction {
        libc::SIG_DFL | libc::SIG_IGN => {
            // The instruction faults again and the default action takes place.
            // SAFETY: restores an action that the kernel gave us.
            unsafe { libc::sigaction(signal, old, ptr::null_mut()) };
        }
        handler if old.sa_flags & libc::SA_SIGINFO != 0 => {
            type Action = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
            // SAFETY: installed with SA_SIGINFO, so it has this signature.
            let action = unsafe { mem::transmute::<usize, Action>(handler) };
            action(signal, info, context);
        }
        handler => {
            // SAFETY: installed without SA_SIGINFO, so it takes the signal alone.
            let action = unsafe { mem::transmute::<usize, extern "C" fn(c_int)>(handler) };
            action(signal);
        }
    }
}
