//! What the compiler expects to find, and copies word by word.

use core::arch::asm;

/// C's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    // SAFETY: the caller's word; the direction flag is clear.
    unsafe {
        asm!("rep movsb", inout("rcx") len => _, inout("rdi") to => _, inout("rsi") from => _,
             options(nostack, preserves_flags));
    }
    to
}

/// C's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memset(to: *mut u8, value: i32, len: usize) -> *mut u8 {
    // SAFETY: as above.
    unsafe {
        asm!("rep stosb", inout("rcx") len => _, inout("rdi") to => _, in("al") value as u8,
             options(nostack, preserves_flags));
    }
    to
}

/// Copies `len` bytes, whole words in one access each where the target is aligned.
pub unsafe fn copy(to: *mut u8, from: *const u8, len: usize) {
    let words = if to as usize % 8 == 0 { len / 8 } else { 0 };
    for i in 0..words {
        // SAFETY: both are `len` bytes, the target is aligned.
        unsafe {
            to.cast::<u64>().add(i).write_volatile(from.cast::<u64>().add(i).read_unaligned())
        }
    }
    for i in 8 * words..len {
        // SAFETY: as above.
        unsafe { to.add(i).write_volatile(from.add(i).read()) }
    }
}

/// Zeroes `len` bytes.
pub unsafe fn zero(to: *mut u8, len: usize) {
    // SAFETY: the caller's word; the direction flag is clear.
    unsafe {
        asm!("rep stosb", inout("rcx") len => _, inout("rdi") to => _, in("al") 0_u8,
             options(nostack, preserves_flags));
    }
}

/// Whether `len` bytes are the same.
pub unsafe fn same(a: *const u8, b: *const u8, len: usize) -> bool {
    let mut at = 0;
    while len - at >= 8 {
        // SAFETY: both are `len` bytes.
        if unsafe {
            a.add(at).cast::<u64>().read_unaligned() != b.add(at).cast::<u64>().read_unaligned()
        } {
            return false;
        }
        at += 8;
    }
    while at < len {
        // SAFETY: as above.
        if unsafe { *a.add(at) != *b.add(at) } {
            return false;
        }
        at += 1;
    }
    true
}
