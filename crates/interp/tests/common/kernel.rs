//! Linux's bpf(2), just enough to load a program and test-run it.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use isa::Insn;

const PROG_LOAD: u32 = 5;
const PROG_TEST_RUN: u32 = 10;
const PROG_TYPE_SYSCALL: u32 = 31;
const F_SLEEPABLE: u32 = 1 << 4;

/// `union bpf_attr` as a run of 32-bit words.
#[repr(C, align(8))]
struct Attr([u32; 30]);

impl Attr {
    fn set_u64(&mut self, word: usize, value: u64) {
        self.0[word] = value as u32;
        self.0[word + 1] = (value >> 32) as u32;
    }
}

fn bpf(cmd: u32, attr: &mut Attr) -> io::Result<i64> {
    // SAFETY: `attr` is a whole bpf_attr whose addresses point into live buffers of the caller.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, cmd, attr.0.as_mut_ptr(), size_of_val(&attr.0) as libc::c_uint)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A loaded program.
pub(crate) struct Loaded(OwnedFd);

/// Loads a program; on a refusal the log's end is in the error.
pub(crate) fn load(prog_type: u32, flags: u32, insns: &[Insn]) -> Result<Loaded, String> {
    let code: Vec<u8> = insns.iter().flat_map(|i| i.to_bytes()).collect();
    let mut log = vec![0_u8; 1 << 16];
    let mut attr = Attr([0; 30]);
    attr.0[0] = prog_type;
    attr.0[1] = insns.len() as u32;
    attr.set_u64(2, code.as_ptr() as u64);
    attr.set_u64(4, c"GPL".as_ptr() as u64);
    attr.0[11] = flags;
    if let Ok(fd) = bpf(PROG_LOAD, &mut attr) {
        // SAFETY: a new descriptor that nobody else owns.
        return Ok(Loaded(unsafe { OwnedFd::from_raw_fd(fd as i32) }));
    }
    attr.0[6] = 1;
    attr.0[7] = log.len() as u32;
    attr.set_u64(8, log.as_mut_ptr() as u64);
    match bpf(PROG_LOAD, &mut attr) {
        // SAFETY: as above.
        Ok(fd) => Ok(Loaded(unsafe { OwnedFd::from_raw_fd(fd as i32) })),
        Err(error) => {
            let text = String::from_utf8_lossy(&log).trim_end_matches('\0').to_owned();
            let tail: Vec<&str> = text.lines().rev().take(6).collect();
            Err(format!("{error}: {}", tail.into_iter().rev().collect::<Vec<_>>().join(" | ")))
        }
    }
}

/// Loads a program of type SYSCALL.
pub(crate) fn load_syscall(insns: &[Insn]) -> Result<Loaded, String> {
    load(PROG_TYPE_SYSCALL, F_SLEEPABLE, insns)
}

impl Loaded {
    /// Runs a SYSCALL program on `ctx`, which it may change; its r0.
    pub(crate) fn run_syscall(&self, ctx: &mut [u64]) -> io::Result<u32> {
        let mut attr = Attr([0; 30]);
        attr.0[0] = self.0.as_raw_fd() as u32;
        attr.0[10] = size_of_val(ctx) as u32;
        attr.set_u64(12, ctx.as_mut_ptr() as u64);
        bpf(PROG_TEST_RUN, &mut attr)?;
        Ok(attr.0[1])
    }

    /// Runs a program on a packet; its r0 and the packet afterwards.
    pub(crate) fn run_packet(&self, packet: &[u8]) -> io::Result<(u32, Vec<u8>)> {
        self.run_packet_with(packet, &mut [])
    }

    /// Like [`Loaded::run_packet`] with a context, which the program may change.
    pub(crate) fn run_packet_with(
        &self,
        packet: &[u8],
        ctx: &mut [u8],
    ) -> io::Result<(u32, Vec<u8>)> {
        let mut out = vec![0_u8; packet.len() + 256];
        let mut attr = Attr([0; 30]);
        attr.0[0] = self.0.as_raw_fd() as u32;
        attr.0[2] = packet.len() as u32;
        attr.0[3] = out.len() as u32;
        attr.set_u64(4, packet.as_ptr() as u64);
        attr.set_u64(6, out.as_mut_ptr() as u64);
        if !ctx.is_empty() {
            attr.0[10] = ctx.len() as u32;
            attr.0[11] = ctx.len() as u32;
            attr.set_u64(12, ctx.as_mut_ptr() as u64);
            attr.set_u64(14, ctx.as_mut_ptr() as u64);
        }
        bpf(PROG_TEST_RUN, &mut attr)?;
        out.truncate(attr.0[3] as usize);
        Ok((attr.0[1], out))
    }
}

/// Whether this machine lets us; prints the one line if not.
pub(crate) fn available() -> bool {
    let trivial = [Insn::new(0xb7, 0, 0, 0, 0), Insn::new(0x95, 0, 0, 0, 0)];
    match load_syscall(&trivial) {
        Ok(_) => true,
        Err(why) => {
            eprintln!("skipped: no bpf(2) here ({why})");
            false
        }
    }
}
