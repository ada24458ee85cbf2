//! An XDP program on one packet after the other.

use runtime::{PacketBuf, Runner};
use thiserror::Error;
use uapi::Errno;

/// Why a packet was not run to its verdict.
#[derive(Debug, Error)]
pub enum RunError {
    /// The packet does not fit into memory.
    #[error("a packet of {len} bytes: {errno}")]
    TooLarge {
        /// Its size in bytes.
        len: usize,
        /// Linux's error.
        errno: Errno,
    },
    /// The program was stopped.
    #[error("stopped at {0}")]
    Stopped(String),
}

/// A program with a packet buffer that is used again and again.
pub struct XdpRunner {
    runner: Runner,
    buf: PacketBuf,
    out: Vec<u8>,
}

impl XdpRunner {
    /// Takes over a runner of an XDP program; ENOMEM without room for a page.
    pub fn new(runner: Runner) -> Result<XdpRunner, Errno> {
        let mut buf = PacketBuf::new()?;
        // As in Linux's test runs: packets come in by the loopback interface.
        buf.ingress_ifindex = 1;
        Ok(XdpRunner { runner, buf, out: Vec::new() })
    }

    /// Runs the program on a packet; the value is its verdict.
    pub fn run(&mut self, packet: &[u8]) -> Result<u32, RunError> {
        let len = packet.len();
        self.buf.set(packet).map_err(|errno| RunError::TooLarge { len, errno })?;
        self.runner.run_xdp(&mut self.buf).map_err(|trap| RunError::Stopped(trap.to_string()))
    }

    /// The last packet as the program left it.
    pub fn packet(&mut self) -> &[u8] {
        self.out.clear();
        self.buf.append_to(&mut self.out);
        &self.out
    }
}
