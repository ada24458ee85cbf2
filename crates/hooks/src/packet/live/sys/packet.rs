//! Packet sockets: rings that the kernel writes frames into, and sending.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::check;

/// `struct virtio_net_hdr` as the kernel lays it out before a frame, in bytes.
pub(in super::super) const VNET_LEN: usize = 10;

/// Shape of a ring.
#[derive(Clone, Copy)]
pub(in super::super) struct Shape {
    pub(in super::super) block: u32,
    pub(in super::super) blocks: u32,
    pub(in super::super) frame: u32,
    /// Room kept before each frame.
    pub(in super::super) reserve: u32,
}

impl Shape {
    pub(in super::super) fn per_block(&self) -> u32 {
        self.block / self.frame
    }

    pub(in super::super) fn frames(&self) -> u32 {
        self.per_block() * self.blocks
    }
}

fn set<T>(socket: BorrowedFd<'_>, level: i32, name: i32, value: &T) -> io::Result<()> {
    let len = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel reads `len` bytes of a plain value.
    let done = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const *value).cast(), len)
    };
    check(done.into()).map(drop)
}

/// A packet socket in this namespace that gets nothing yet.
pub(in super::super) fn socket() -> io::Result<OwnedFd> {
    // SAFETY: takes numbers; the descriptor is new.
    unsafe {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        let fd = check(libc::socket(libc::AF_PACKET, kind, 0).into())?;
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

/// The index of an interface of this namespace; ENODEV if there is none.
pub(in super::super) fn index(name: &str) -> io::Result<u32> {
    let name = std::ffi::CString::new(name).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: a C string.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::from_raw_os_error(libc::ENODEV)),
        index => Ok(index),
    }
}

/// Frames with a header about checksums and segments, none of those that we send.
pub(in super::super) fn prepare(socket: BorrowedFd<'_>) -> io::Result<()> {
    let one = 1_i32;
    set(socket, libc::SOL_PACKET, libc::PACKET_VERSION, &(TPACKET_V2))?;
    set(socket, libc::SOL_PACKET, libc::PACKET_VNET_HDR, &one)?;
    set(socket, libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, &one)?;
    // Only spares work.
    let _ = set(socket, libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, &one);
    // As much as the system lets us have.
    let _ = set(socket, libc::SOL_SOCKET, libc::SO_SNDBUF, &(8 << 20));
    Ok(())
}

const TPACKET_V2: i32 = 1;
const PACKET_IGNORE_OUTGOING: i32 = 23;

/// Gives the socket a ring; it is mapped by whoever asked.
pub(in super::super) fn ring(socket: BorrowedFd<'_>, shape: Shape) -> io::Result<()> {
    let reserve = shape.reserve;
    set(socket, libc::SOL_PACKET, libc::PACKET_RESERVE, &reserve)?;
    let request = libc::tpacket_req {
        tp_block_size: shape.block,
        tp_block_nr: shape.blocks,
        tp_frame_size: shape.frame,
        tp_frame_nr: shape.frames(),
    };
    set(socket, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)
}

/// Only frames whose length is above `more` and at most `most` come to it.
pub(in super::super) fn only(socket: BorrowedFd<'_>, more: u32, most: u32) -> io::Result<()> {
    let insn = |code: u16, jt: u8, jf: u8, k: u32| libc::sock_filter { code, jt, jf, k };
    const LD_LEN: u16 = 0x80;
    const JGT: u16 = 0x25;
    const RET: u16 = 0x06;
    let mut code = [
        insn(LD_LEN, 0, 0, 0),
        insn(JGT, 0, 2, more),
        insn(JGT, 1, 0, most),
        insn(RET, 0, 0, u32::MAX),
        insn(RET, 0, 0, 0),
    ];
    let program = libc::sock_fprog { len: code.len() as u16, filter: code.as_mut_ptr() };
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

/// Frames of one interface come from now on.
pub(in super::super) fn bind(socket: BorrowedFd<'_>, ifindex: u32) -> io::Result<()> {
    bind_for(socket, ifindex, libc::ETH_P_ALL as u16)
}

/// What is sent leaves by an interface, of which nothing comes.
pub(in super::super) fn bind_to_send(socket: BorrowedFd<'_>, ifindex: u32) -> io::Result<()> {
    bind_for(socket, ifindex, 0)
}

fn bind_for(socket: BorrowedFd<'_>, ifindex: u32, protocol: u16) -> io::Result<()> {
    // SAFETY: all-zero is a valid address.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol.to_be();
    address.sll_ifindex = ifindex as i32;
    let len = size_of_val(&address) as libc::socklen_t;
    // SAFETY: a local of its size.
    let done = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) };
    check(done.into()).map(drop)
}

/// Frames that the kernel had no room for since the last call.
pub(in super::super) fn lost(socket: BorrowedFd<'_>) -> u64 {
    let mut stats = [0_u32; 2];
    let mut len = size_of_val(&stats) as libc::socklen_t;
    // SAFETY: two numbers, as `struct tpacket_stats` has.
    let got = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut stats).cast(),
            &raw mut len,
        )
    };
    if got == 0 { stats[1].into() } else { 0 }
}

/// A frame to be sent: its header, and where its bytes are.
#[derive(Clone, Copy)]
pub(in super::super) struct Out {
    pub(in super::super) header: [u8; VNET_LEN],
    addr: u64,
    len: usize,
}

impl Out {
    /// The bytes must stay where they are until they are sent.
    pub(in super::super) fn new(header: [u8; VNET_LEN], addr: u64, len: usize) -> Out {
        Out { header, addr, len }
    }
}

/// Frames of one call.
pub(in super::super) const MOST: usize = 64;

/// Sends frames; how many went. What cannot be sent is dropped, as a full wire does.
pub(in super::super) fn send(socket: BorrowedFd<'_>, frames: &[Out]) -> usize {
    let mut parts: [[libc::iovec; 2]; MOST] =
        [[libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; 2]; MOST];
    // SAFETY: all-zero is a valid `mmsghdr`.
    let mut messages: [libc::mmsghdr; MOST] = unsafe { std::mem::zeroed() };
    let mut sent = 0;
    for chunk in frames.chunks(MOST) {
        for ((frame, part), message) in chunk.iter().zip(&mut parts).zip(&mut messages) {
            part[0].iov_base = frame.header.as_ptr().cast_mut().cast();
            part[0].iov_len = VNET_LEN;
            part[1].iov_base = std::ptr::with_exposed_provenance_mut(frame.addr as usize);
            part[1].iov_len = frame.len;
            message.msg_hdr.msg_iov = part.as_mut_ptr();
            message.msg_hdr.msg_iovlen = 2;
        }
        let mut done = 0;
        while done < chunk.len() {
            let left = (chunk.len() - done) as u32;
            // SAFETY: the messages are ours; bytes that are not there are the kernel's EFAULT.
            let got = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    messages[done..].as_mut_ptr(),
                    left,
                    libc::MSG_DONTWAIT,
                )
            };
            if got > 0 {
                done += got as usize;
                sent += got as usize;
            } else {
                // This one cannot go.
                done += 1;
            }
        }
    }
    sent
}

/// This thread's short sleeps are not made longer to save wakeups.
pub(in super::super) fn short_sleeps() {
    // SAFETY: takes numbers.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_u64) };
}

/// Waits until one of the files has something, at most so long; `false` if none has.
pub(in super::super) fn wait(files: &[BorrowedFd<'_>], millis: i32) -> io::Result<bool> {
    let mut polled: Vec<libc::pollfd> = files
        .iter()
        .map(|file| libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 })
        .collect();
    // SAFETY: an array of so many.
    let got = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, millis) };
    match check(got.into()) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
        other => other.map(|ready| ready > 0),
    }
}
