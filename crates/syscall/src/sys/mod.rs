//! The system call itself, behind a builder that keeps its buffers alive.

use std::marker::PhantomData;

use uapi::attr::{ATTR_SIZE, Field};
use uapi::{Cmd, Errno};

/// One call of bpf(2) in the making. Buffers that the kernel reads or writes are borrowed for as
/// long as the call lives.
pub(crate) struct Call<'a> {
    cmd: Cmd,
    attr: [u8; ATTR_SIZE],
    buffers: PhantomData<&'a mut [u8]>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(cmd: Cmd) -> Call<'a> {
        Call { cmd, attr: [0; ATTR_SIZE], buffers: PhantomData }
    }

    /// A number.
    pub(crate) fn num(mut self, field: Field, value: impl Into<i64>) -> Call<'a> {
        field.set(&mut self.attr, value.into() as u64);
        self
    }

    /// A 64-bit number.
    pub(crate) fn num64(mut self, field: Field, value: u64) -> Call<'a> {
        field.set(&mut self.attr, value);
        self
    }

    /// A name inside the attribute itself.
    pub(crate) fn text(mut self, field: Field, value: &str) -> Call<'a> {
        field.set_bytes(&mut self.attr, value.as_bytes());
        self
    }

    /// The address of bytes that the kernel reads.
    pub(crate) fn input(mut self, field: Field, bytes: &'a [u8]) -> Call<'a> {
        let address = if bytes.is_empty() { 0 } else { bytes.as_ptr() as u64 };
        field.set(&mut self.attr, address);
        self
    }

    /// The address of bytes that the kernel writes.
    pub(crate) fn output(mut self, field: Field, bytes: &'a mut [u8]) -> Call<'a> {
        let address = if bytes.is_empty() { 0 } else { bytes.as_mut_ptr() as u64 };
        field.set(&mut self.attr, address);
        self
    }

    /// Calls the kernel; what it returned and wrote back is in [`Answer`].
    ///
    /// # Safety
    /// Every buffer must be as long as the kernel takes it to be: as the length field beside it
    /// says, or as the key and value sizes of the map say.
    pub(crate) unsafe fn run(mut self) -> Answer {
        // SAFETY: `attr` is ATTR_SIZE bytes; the buffers it points to live through the borrow 'a
        // and have the lengths that the caller vouches for.
        let ret = unsafe {
            libc::syscall(libc::SYS_bpf, self.cmd.raw(), self.attr.as_mut_ptr(), ATTR_SIZE)
        };
        let errno = (ret < 0).then(last_errno);
        Answer { ret: ret as i32, errno, attr: self.attr }
    }
}

/// What a call gave back.
pub(crate) struct Answer {
    /// The return value: a descriptor, or 0.
    pub(crate) ret: i32,
    /// Why it failed; the kernel may have written numbers all the same.
    pub(crate) errno: Option<Errno>,
    attr: [u8; ATTR_SIZE],
}

impl Answer {
    /// The answer of a call that succeeded.
    pub(crate) fn ok(self) -> Result<Answer, Errno> {
        self.errno.map_or(Ok(self), Err)
    }

    /// A number that the kernel wrote into the attribute.
    pub(crate) fn num(&self, field: Field) -> u64 {
        field.get(&self.attr)
    }
}

fn last_errno() -> Errno {
    Errno(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
}

/// close(2) of a descriptor that bpf(2) gave.
pub(crate) fn close(fd: i32) -> Result<(), Errno> {
    // SAFETY: closing takes no memory; a number that is no descriptor answers EBADF.
    if unsafe { libc::close(fd) } == 0 { Ok(()) } else { Err(last_errno()) }
}

/// A descriptor that bpf(2) just gave, as a file.
pub(crate) fn own(fd: i32) -> std::fs::File {
    use std::os::fd::FromRawFd;
    // SAFETY: the kernel made the descriptor for this call, and nobody else has its number.
    unsafe { std::fs::File::from_raw_fd(fd) }
}

/// A descriptor of this process for the time of a call; EBADF for a number that is none.
pub(crate) fn borrowed<'a>(fd: i32) -> Result<std::os::fd::BorrowedFd<'a>, Errno> {
    if fd < 0 {
        return Err(Errno::EBADF);
    }
    // SAFETY: not -1; a number that is not open makes the call fail.
    Ok(unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) })
}

fn opened(fd: i64) -> Result<i32, Errno> {
    if fd < 0 { Err(last_errno()) } else { Ok(fd as i32) }
}

/// pidfd_open(2).
pub(crate) fn pidfd_open(pid: u32) -> Result<i32, Errno> {
    // SAFETY: takes numbers only.
    opened(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
}

/// socket(2), closed on exec.
pub(crate) fn socket(family: i32, kind: i32) -> Result<i32, Errno> {
    // SAFETY: takes numbers only.
    opened(i64::from(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, 0) }))
}

/// A UDP socket with SO_REUSEPORT, bound to a free port of 127.0.0.1.
pub(crate) fn reuseport_udp() -> Result<i32, Errno> {
    let fd = socket(libc::AF_INET, libc::SOCK_DGRAM)?;
    let one = 1_i32;
    // SAFETY: an address of all zeroes is one.
    let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    address.sin_family = libc::AF_INET as u16;
    address.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
    // SAFETY: the option and the address are live and as long as said.
    let failed = unsafe {
        let size = size_of::<i32>() as u32;
        let option = (&raw const one).cast();
        let length = size_of::<libc::sockaddr_in>() as u32;
        libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, option, size) < 0
            || libc::bind(fd, (&raw const address).cast(), length) < 0
    };
    if failed { Err(last_errno()) } else { Ok(fd) }
}

/// perf_event_open(2) of an event that bpf_perf_event_output writes to, of all processes on `cpu`.
pub(crate) fn bpf_output_event(cpu: u32) -> Result<i32, Errno> {
    /// PERF_TYPE_SOFTWARE with PERF_COUNT_SW_BPF_OUTPUT, sampled raw.
    const TYPE: u32 = 1;
    const CONFIG: u64 = 10;
    const SAMPLE_RAW: u64 = 1 << 10;
    let mut attr = [0_u64; 16];
    attr[0] = u64::from(TYPE) | (size_of_val(&attr) as u64) << 32;
    attr[1] = CONFIG;
    attr[2] = 1;
    attr[3] = SAMPLE_RAW;
    // PERF_FLAG_FD_CLOEXEC.
    let flag = 1_u64 << 3;
    // SAFETY: the attributes are live and say their size.
    opened(unsafe { libc::syscall(libc::SYS_perf_event_open, attr.as_ptr(), -1, cpu, -1, flag) })
}
