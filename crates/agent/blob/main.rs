//! Machine code that runs programs in other processes.
//!
//! It has no allocator, no start-up, no threads' storage, and nothing in it needs to be moved when it
//! is loaded. It never panics: what it works on is checked, and indexes are masked or compared. All
//! of it is unsafe by nature: it runs on a stack of its own in memory that others may write.
#![no_std]
#![no_main]

#[path = "../src/abi.rs"]
#[allow(dead_code)]
mod abi;
mod enter;
mod hash;
mod helpers;
mod memory;
mod ring;
mod sys;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: an instruction that is none: the tracer ends the program's run.
    unsafe { core::arch::asm!("ud2", options(noreturn)) }
}
