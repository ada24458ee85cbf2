//! Helpers that read memory the verifier does not vouch for: only what the run may touch.

use interp::{Host, Trap};
use uapi::Errno;

use super::{Call, mem};

impl Call<'_, '_> {
    /// Up to `len` bytes at `addr`, fewer where the program's memory ends.
    pub(super) fn probe(&mut self, addr: u64, len: usize) -> Vec<u8> {
        let region = self.vm.region(addr).or_else(|| self.run.region(addr));
        let Some(region) = region else { return Vec::new() };
        let room = usize::try_from(region.end - addr).unwrap_or(0);
        mem::copy(addr, len.min(room))
    }

    /// The string at `addr`, without its zero; `None` if its first byte cannot be read.
    pub(super) fn probe_str(&mut self, addr: u64, max: usize) -> Option<Vec<u8>> {
        let mut bytes = self.probe(addr, max);
        if bytes.is_empty() && max != 0 {
            return None;
        }
        if let Some(end) = bytes.iter().position(|b| *b == 0) {
            bytes.truncate(end);
        }
        Some(bytes)
    }
}

pub(super) fn read(c: &mut Call<'_, '_>, [dst, size, src, ..]: [u64; 5]) -> Result<u64, Trap> {
    let size = size as u32 as usize;
    let bytes = c.probe(src, size);
    if bytes.len() == size {
        mem::write(dst, &bytes);
        return Ok(0);
    }
    mem::zero(dst, size);
    Ok(Errno::EFAULT.as_ret())
}

pub(super) fn read_str(c: &mut Call<'_, '_>, [dst, size, src, ..]: [u64; 5]) -> Result<u64, Trap> {
    let size = size as u32 as usize;
    if size == 0 {
        return Ok(0);
    }
    let Some(mut text) = c.probe_str(src, size) else {
        mem::zero(dst, size);
        return Ok(Errno::EFAULT.as_ret());
    };
    text.truncate(size - 1);
    text.push(0);
    mem::write(dst, &text);
    Ok(text.len() as u64)
}
