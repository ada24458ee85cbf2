//! Descriptors handed from process to process over a socket, a byte with each lot.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::check;

/// Descriptors of one message.
pub(super) const MOST: usize = 64;
const SPACE: usize = 512;

/// Control messages are aligned as their header is.
#[repr(C, align(8))]
struct Control([u8; SPACE]);

/// Sends descriptors with a byte; it takes no memory of the heap.
pub(super) fn send(socket: i32, byte: u8, fds: &[i32]) -> io::Result<()> {
    let mut byte = byte;
    let mut control = Control([0; SPACE]);
    let fds = &fds[..fds.len().min(MOST)];
    // SAFETY: all-zero is a valid `msghdr`.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    let mut part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if !fds.is_empty() {
        let len = size_of_val(fds);
        message.msg_control = (&raw mut control).cast();
        // SAFETY: the macros compute sizes; the header lies within `control`, which has room.
        unsafe {
            message.msg_controllen = libc::CMSG_SPACE(len as u32) as usize;
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(len as u32) as usize;
            libc::CMSG_DATA(header).copy_from_nonoverlapping(fds.as_ptr().cast(), len);
        }
    }
    // SAFETY: the message points to locals that outlive the call.
    check(unsafe { libc::sendmsg(socket, &raw const message, libc::MSG_NOSIGNAL) } as i64)?;
    Ok(())
}

/// The next byte and what came with it; `None` when the other end is gone.
pub(in super::super) fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<(u8, Vec<OwnedFd>)>> {
    let mut byte = 0_u8;
    let mut control = Control([0; SPACE]);
    // SAFETY: all-zero is a valid `msghdr`.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    let mut part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = SPACE;
    // SAFETY: the message points to locals that outlive the call.
    let got =
        unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) };
    if check(got as i64)? == 0 {
        return Ok(None);
    }
    let mut fds = Vec::new();
    // SAFETY: the kernel filled the control messages; the macros stay within them, and each
    // descriptor in them is new and ours.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while !header.is_null() {
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS {
                let bytes = (*header).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                let data = libc::CMSG_DATA(header).cast::<i32>();
                for at in 0..bytes / size_of::<i32>() {
                    fds.push(OwnedFd::from_raw_fd(data.add(at).read_unaligned()));
                }
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    Ok(Some((byte, fds)))
}
