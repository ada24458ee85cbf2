//! Descriptors that are not of bpf(2), opened for the running kernel's maps.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::IntoRawFd;

use runtime::door::{Fd, Outside, SocketKind};
use uapi::Errno;

use crate::sys;

fn errno(e: std::io::Error) -> Errno {
    Errno(e.raw_os_error().unwrap_or(Errno::EIO.0))
}

/// The caller closes it.
pub(crate) fn open(what: &Outside) -> Result<Fd, Errno> {
    let raw = match what {
        Outside::Socket(kind) => socket(*kind)?,
        Outside::Task(pid) => sys::pidfd_open(*pid)?,
        Outside::File(path) | Outside::Cgroup(path) => {
            File::open(path).map_err(errno)?.into_raw_fd()
        }
        Outside::PerfEvent(cpu) => sys::bpf_output_event(*cpu)?,
    };
    Ok(Fd(raw))
}

fn socket(kind: SocketKind) -> Result<i32, Errno> {
    let here = (Ipv4Addr::LOCALHOST, 0);
    match kind {
        SocketKind::TcpClosed => sys::socket(libc::AF_INET, libc::SOCK_STREAM),
        SocketKind::TcpListening => {
            TcpListener::bind(here).map(IntoRawFd::into_raw_fd).map_err(errno)
        }
        SocketKind::TcpConnected => {
            let server = TcpListener::bind(here).map_err(errno)?;
            let address = server.local_addr().map_err(errno)?;
            TcpStream::connect(address).map(IntoRawFd::into_raw_fd).map_err(errno)
        }
        SocketKind::Udp => UdpSocket::bind(here).map(IntoRawFd::into_raw_fd).map_err(errno),
        SocketKind::UdpReuseport => sys::reuseport_udp(),
        SocketKind::Xdp => sys::socket(libc::AF_XDP, libc::SOCK_RAW),
    }
}
