//! A run of bytes that others may write meanwhile: a key or value as a program passes it.

use std::marker::PhantomData;

/// Borrowed bytes, read without promising that nobody writes them.
#[derive(Clone, Copy)]
pub struct View<'a> {
    ptr: *const u8,
    len: usize,
    life: PhantomData<&'a [u8]>,
}

impl<'a> From<&'a [u8]> for View<'a> {
    #[inline]
    fn from(bytes: &'a [u8]) -> View<'a> {
        View { ptr: bytes.as_ptr(), len: bytes.len(), life: PhantomData }
    }
}

impl<'a> View<'a> {
    /// The `len` bytes at a program's address.
    ///
    /// # Safety
    /// They must stay readable for `'a`: the verifier or the interpreter has checked the argument.
    #[inline]
    pub unsafe fn new(addr: u64, len: usize) -> View<'a> {
        View { ptr: addr as *const u8, len, life: PhantomData }
    }

    /// Bytes.
    #[inline]
    pub fn len(self) -> usize {
        self.len
    }

    /// No bytes.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The part from `off` on, `len` bytes; cut to what there is.
    #[inline]
    pub fn part(self, off: usize, len: usize) -> View<'a> {
        let off = off.min(self.len);
        // SAFETY: `off` is at most the length, so the pointer stays within or at the end.
        View { ptr: unsafe { self.ptr.add(off) }, len: len.min(self.len - off), life: PhantomData }
    }

    /// The byte at `i`, zero past the end.
    #[inline]
    pub fn byte(self, i: usize) -> u8 {
        if i >= self.len {
            return 0;
        }
        // SAFETY: `i` is within the view, which its maker vouched is readable.
        unsafe { self.ptr.add(i).read_volatile() }
    }

    /// Four bytes at `i`, little-endian, zeroes past the end.
    #[inline]
    pub fn u32(self, i: usize) -> u32 {
        if i + 4 <= self.len {
            // SAFETY: the four bytes lie within the view.
            return unsafe { self.ptr.add(i).cast::<u32>().read_unaligned() };
        }
        (0..4).fold(0, |w, k| w | (u32::from(self.byte(i + k)) << (8 * k)))
    }

    /// Eight bytes at `i`, little-endian, zeroes past the end.
    #[inline]
    pub fn u64(self, i: usize) -> u64 {
        if i + 8 <= self.len {
            // SAFETY: the eight bytes lie within the view.
            return unsafe { self.ptr.add(i).cast::<u64>().read_unaligned() };
        }
        (0..8).fold(0, |w, k| w | (u64::from(self.byte(i + k)) << (8 * k)))
    }

    /// A copy of the bytes into `out`, as many as fit.
    #[inline]
    pub fn copy_to(self, out: &mut [u8]) {
        let n = out.len().min(self.len);
        // SAFETY: both hold `n` bytes; `out` is exclusive, so they do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(self.ptr, out.as_mut_ptr(), n) }
    }

    /// The same bytes as `other`.
    pub fn same(self, other: &[u8]) -> bool {
        self.len == other.len() && (0..self.len).all(|i| self.byte(i) == other[i])
    }
}
