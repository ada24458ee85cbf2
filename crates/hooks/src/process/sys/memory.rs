//! Reading and writing the memory of another process.

use super::check;

const PAGE: u64 = 4096;
/// Pieces of one call; Linux takes up to 1024.
const PIECES: usize = 64;

/// Copies memory of `pid` from `addr` on; how many bytes could be read.
pub(crate) fn read(pid: i32, addr: u64, out: &mut [u8]) -> usize {
    let mut done = 0;
    while done < out.len() {
        let Some(at) = addr.checked_add(done as u64) else { break };
        let (remote, len) = pieces(at, out.len() - done);
        let rest = &mut out[done..done + len];
        let local = libc::iovec { iov_base: rest.as_mut_ptr().cast(), iov_len: len };
        // SAFETY: the local piece is `rest`; the kernel checks the remote ones.
        let read = unsafe {
            libc::process_vm_readv(pid, &local, 1, remote.as_ptr(), remote.len() as u64, 0)
        };
        let Ok(read) = check(read as i64) else { break };
        done += read as usize;
        if (read as usize) < len {
            break;
        }
    }
    done
}

/// Remote pieces that each lie in one page: a piece is copied whole or not at all. With their
/// length in bytes.
fn pieces(addr: u64, len: usize) -> (Vec<libc::iovec>, usize) {
    let mut all = Vec::with_capacity((len / PAGE as usize + 2).min(PIECES));
    let mut done = 0;
    while done < len && all.len() < PIECES {
        let Some(at) = addr.checked_add(done as u64) else { break };
        let size = ((PAGE - at % PAGE) as usize).min(len - done);
        all.push(libc::iovec { iov_base: at as usize as *mut libc::c_void, iov_len: size });
        done += size;
    }
    (all, done)
}

/// Writes memory of `pid` that it could write itself; whether all of it was written.
pub(crate) fn write(pid: i32, addr: u64, bytes: &[u8]) -> bool {
    let local = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let remote = libc::iovec { iov_base: addr as usize as *mut libc::c_void, iov_len: bytes.len() };
    // SAFETY: the local piece is `bytes`, which is only read; the kernel checks the remote one.
    let written = unsafe { libc::process_vm_writev(pid, &local, 1, &remote, 1, 0) };
    written as usize == bytes.len()
}
