//! A process's socket, as helpers of programs reach it.

use std::io;

use runtime::SocketWorld;
use uapi::Errno;

use crate::process::sys::socket::Borrowed;

/// The socket itself: options that programs set are set.
pub(super) struct Real {
    pub(super) socket: Borrowed,
    pub(super) cookie: u64,
}

fn answer<T>(result: io::Result<T>) -> Result<T, Errno> {
    result.map_err(|error| error.raw_os_error().map_or(Errno::EINVAL, Errno))
}

impl SocketWorld for Real {
    fn option(&self, level: i32, name: i32, out: &mut [u8]) -> Result<usize, Errno> {
        answer(self.socket.option(level, name, out))
    }

    fn set_option(&self, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
        answer(self.socket.set_option(level, name, value))
    }

    fn bind(&self, address: &[u8]) -> Result<(), Errno> {
        answer(self.socket.bind(address))
    }

    fn cookie(&self) -> Option<u64> {
        Some(self.cookie)
    }
}

/// A socket's number (`SO_COOKIE`); 0 if there is none.
pub(super) fn cookie(socket: &Borrowed) -> u64 {
    const SO_COOKIE: i32 = 57;
    let mut bytes = [0; 8];
    let told = socket.option(libc::SOL_SOCKET, SO_COOKIE, &mut bytes);
    told.map_or(0, |_| u64::from_ne_bytes(bytes))
}
