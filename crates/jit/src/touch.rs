//! Whether memory is there: for helpers, before they use an address that a program gave them.
//!
//! A fault in the middle of Rust code cannot be recovered from: locks would stay taken, values half
//! built. So what a helper is to read or write is touched beforehand, by functions of a few
//! instructions that the fault handler knows: a fault in one of them makes it return 1.

#[cfg(target_arch = "x86_64")]
use std::arch::naked_asm;

/// Bytes of either function, so that nobody else's instructions count as theirs.
#[cfg(target_arch = "x86_64")]
const LEN: u64 = 16;
const PAGE: u64 = 4096;

/// 0; 1 if the byte at `addr` cannot be read.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
extern "C" fn read(addr: u64) -> u64 {
    naked_asm!("xor eax, eax", "mov cl, [rdi]", "ret", ".fill 16, 1, 0xcc")
}

/// 0; 1 if the byte at `addr` cannot be written.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
extern "C" fn write(addr: u64) -> u64 {
    // Others may write the byte: it is changed in one step, to itself.
    naked_asm!("xor eax, eax", "lock or byte ptr [rdi], 0", "ret", ".fill 16, 1, 0xcc")
}

/// Whether a fault at `ip` is one of these functions' own: it returns 1 to its caller.
#[cfg(target_arch = "x86_64")]
pub(crate) fn is_ours(ip: u64) -> bool {
    [read, write].iter().any(|f| ip.wrapping_sub(*f as usize as u64) < LEN)
}

#[cfg(not(target_arch = "x86_64"))]
extern "C" fn read(_: u64) -> u64 {
    0
}

#[cfg(not(target_arch = "x86_64"))]
use read as write;

/// The first address of the `len` bytes at `addr` that cannot be read, or written with
/// `writes`. Asks once a page: it is for memory that stays while it is used. Programs must have
/// been compiled before.
pub fn missing(addr: u64, len: u64, writes: bool) -> Option<u64> {
    let touch = if writes { write } else { read };
    let last = len.checked_sub(1)?;
    let Some(last) = addr.checked_add(last) else { return Some(addr) };
    let mut at = addr;
    loop {
        if touch(at) != 0 {
            return Some(at);
        }
        match (at & !(PAGE - 1)).checked_add(PAGE) {
            Some(next) if next <= last => at = next,
            _ => return None,
        }
    }
}
