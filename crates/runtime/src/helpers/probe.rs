//! Helpers that read memory the verifier does not vouch for: what the run may touch, and the memory
//! of the process that an event happened in.

use interp::{Host, Trap};
use uapi::Errno;

use super::{Call, mem, status};

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

/// Whose memory an address is of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    User,
    Kernel,
    /// The older helpers take either: Linux tells by the address, here the program's own memory
    /// comes first.
    Either,
}

impl Call<'_, '_> {
    /// Like [`Call::probe`], of the event's process where there is one.
    pub(super) fn probe_side(&mut self, side: Side, addr: u64, len: usize) -> Vec<u8> {
        let Some(event) = self.run.event.filter(|_| side != Side::Kernel) else {
            return self.probe(addr, len);
        };
        if side == Side::Either {
            let own = self.probe(addr, len);
            if !own.is_empty() {
                return own;
            }
        }
        let mut bytes = vec![0; len];
        let found = event.process.read(addr, &mut bytes);
        bytes.truncate(found);
        bytes
    }

    fn read_side(&mut self, side: Side, [dst, size, src, ..]: [u64; 5]) -> u64 {
        let size = size as u32 as usize;
        let bytes = self.probe_side(side, src, size);
        if bytes.len() == size {
            mem::write(dst, &bytes);
            return 0;
        }
        mem::zero(dst, size);
        Errno::EFAULT.as_ret()
    }

    /// The bytes of a string without its zero, at most `max`; `None` where memory ends before.
    pub(super) fn str_side(&mut self, side: Side, addr: u64, max: usize) -> Option<Vec<u8>> {
        if side == Side::Kernel || self.run.event.is_none() {
            return self.probe_str(addr, max);
        }
        // Most strings are short, and what lies behind them need not be read.
        const PAGE: u64 = 4096;
        const FIRST: usize = 256;
        let mut text = Vec::new();
        while text.len() < max {
            let at = addr.wrapping_add(text.len() as u64);
            let in_page = (PAGE - at % PAGE) as usize;
            let step = if text.is_empty() { in_page.min(FIRST) } else { in_page };
            let want = step.min(max - text.len());
            let part = self.probe_side(side, at, want);
            if let Some(end) = part.iter().position(|byte| *byte == 0) {
                text.extend_from_slice(&part[..end]);
                return Some(text);
            }
            if part.len() < want {
                return None;
            }
            text.extend_from_slice(&part);
        }
        Some(text)
    }

    fn read_str_side(&mut self, side: Side, [dst, size, src, ..]: [u64; 5]) -> u64 {
        let size = size as u32 as usize;
        if size == 0 {
            return 0;
        }
        let Some(mut text) = self.str_side(side, src, size) else {
            mem::zero(dst, size);
            return Errno::EFAULT.as_ret();
        };
        text.truncate(size - 1);
        text.push(0);
        mem::write(dst, &text);
        text.len() as u64
    }
}

pub(super) fn read(c: &mut Call<'_, '_>, args: [u64; 5]) -> Result<u64, Trap> {
    Ok(c.read_side(Side::Either, args))
}

pub(super) fn read_user(c: &mut Call<'_, '_>, args: [u64; 5]) -> Result<u64, Trap> {
    Ok(c.read_side(Side::User, args))
}

pub(super) fn read_kernel(c: &mut Call<'_, '_>, args: [u64; 5]) -> Result<u64, Trap> {
    Ok(c.read_side(Side::Kernel, args))
}

pub(super) fn read_str(c: &mut Call<'_, '_>, args: [u64; 5]) -> Result<u64, Trap> {
    Ok(c.read_str_side(Side::Either, args))
}

pub(super) fn read_user_str(c: &mut Call<'_, '_>, args: [u64; 5]) -> Result<u64, Trap> {
    Ok(c.read_str_side(Side::User, args))
}

pub(super) fn read_kernel_str(c: &mut Call<'_, '_>, args: [u64; 5]) -> Result<u64, Trap> {
    Ok(c.read_str_side(Side::Kernel, args))
}

/// `bpf_probe_write_user`.
pub(super) fn write_user(c: &mut Call<'_, '_>, [dst, src, len, ..]: [u64; 5]) -> Result<u64, Trap> {
    let Some(event) = c.run.event else { return Ok(Errno::EPERM.as_ret()) };
    let bytes = mem::copy(src, len as u32 as usize);
    Ok(status(event.process.write(dst, &bytes)))
}
