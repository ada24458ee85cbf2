//! Reading and writing what memory arguments name.
//!
//! The addresses come out of argument registers of verified calls, so the memory is there and of
//! the size that the contract gives; nothing else may call these functions.
//!
//! But for null: where it will do, Linux lets a pointer that may be null pass beside a size that is
//! not zero. Null is no bytes here, whatever the size.

use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::atomic::{
    Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};

use maps::View;

/// `len` bytes at `addr`.
pub(super) fn view(addr: u64, len: usize) -> View<'static> {
    let len = if addr == 0 { 0 } else { len };
    // SAFETY: a verified memory argument, or none; the view is used within the call.
    unsafe { View::new(addr, len) }
}

/// Copies `bytes` to `addr`.
pub(crate) fn write(addr: u64, bytes: &[u8]) {
    if addr == 0 {
        return;
    }
    let to = std::ptr::with_exposed_provenance_mut::<u8>(addr as usize);
    // SAFETY: a verified writable memory argument of at least that size, which no Rust reference
    // covers.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) }
}

/// Moves `len` bytes between two places of one packet, which may overlap.
pub(super) fn shift(from: u64, to: u64, len: usize) {
    let source = std::ptr::with_exposed_provenance::<u8>(from as usize);
    let target = std::ptr::with_exposed_provenance_mut::<u8>(to as usize);
    // SAFETY: the callers keep both ranges within the packet's buffer.
    unsafe { std::ptr::copy(source, target, len) }
}

/// Zeroes `len` bytes at `addr`.
pub(super) fn zero(addr: u64, len: usize) {
    if addr == 0 {
        return;
    }
    let to = std::ptr::with_exposed_provenance_mut::<u8>(addr as usize);
    // SAFETY: as in `write`.
    unsafe { std::ptr::write_bytes(to, 0, len) }
}

/// The bytes at `addr`, copied.
pub(crate) fn copy(addr: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    view(addr, len).copy_to(&mut out);
    out
}

fn lock_word(addr: u64) -> &'static AtomicU32 {
    // SAFETY: the verifier has checked that a spin lock of a map value is there, aligned; it is
    // only ever touched through this.
    unsafe { AtomicU32::from_ptr(std::ptr::with_exposed_provenance_mut(addr as usize)) }
}

/// Takes the spin lock at `addr`, if it is free.
pub(super) fn try_lock(addr: u64) -> bool {
    lock_word(addr).compare_exchange(0, 1, Acquire, Relaxed).is_ok()
}

/// Gives the spin lock at `addr` back.
pub(crate) fn unlock(addr: u64) {
    lock_word(addr).store(0, Release);
}

/// Sets or clears bits of the word at `addr`, in one step; the word before.
pub(super) fn change_bits(addr: u64, bits: u64, on: bool) -> u64 {
    // SAFETY: the callers have checked that the program may write the eight aligned bytes there;
    // all of us touch such words as atomics.
    let word = unsafe { AtomicU64::from_ptr(std::ptr::with_exposed_provenance_mut(addr as usize)) };
    if on { word.fetch_or(bits, AcqRel) } else { word.fetch_and(!bits, AcqRel) }
}

/// Puts `value` in the place of the aligned word at `addr`; what was there.
pub(super) fn swap(addr: u64, value: u64) -> u64 {
    // SAFETY: as in `change_bits`.
    let word = unsafe { AtomicU64::from_ptr(std::ptr::with_exposed_provenance_mut(addr as usize)) };
    word.swap(value, AcqRel)
}
