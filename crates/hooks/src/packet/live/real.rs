//! Packets of an interface that is the system's: copies come in, what programs send leaves by it.
//!
//! The system's own stack keeps its packets whatever a program says of the copies.

use std::io::{self, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use runtime::{Device, Feed, Hooks, Path, Sink};
use uapi::Errno;

use super::ring::{Kind, Ring};
use super::sys::packet;

/// Packets between two looks at what is attached.
const BURST: usize = 256;

/// The thread of one interface; it ends with this.
struct RealFeed {
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Feed for RealFeed {}

impl Drop for RealFeed {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed; the interface goes either way.
            let _ = thread.join();
        }
    }
}

fn errno(error: io::Error) -> Errno {
    Errno(error.raw_os_error().unwrap_or(Errno::EIO.0))
}

/// Brings an interface's packets to `device`, and those that leave `device` to the interface.
/// EPERM without CAP_NET_RAW, ENODEV without such an interface.
pub(in crate::packet) fn feed(
    device: &Arc<Device>,
    name: &str,
    hooks: Hooks,
) -> Result<Box<dyn Feed>, Errno> {
    let ifindex = packet::index(name).map_err(errno)?;
    let open = || packet::socket().map_err(errno);
    let (short, long) = (open()?, open()?);
    let rings = [
        Ring::new(short.as_fd(), Kind::Short, 1).map_err(errno)?,
        Ring::new(long.as_fd(), Kind::Long, 1).map_err(errno)?,
    ];
    let sockets = [short, long];
    for socket in &sockets {
        packet::bind(socket.as_fd(), ifindex).map_err(errno)?;
    }
    let out = open()?;
    packet::bind_to_send(out.as_fd(), ifindex).map_err(errno)?;
    device.set_sink(Box::new(RealSink { socket: out }));
    let (stopped, stop) = io::pipe().map_err(errno)?;
    let mut playing = Playing { device: device.clone(), sockets, rings, bytes: Vec::new() };
    let thread = std::thread::Builder::new().name(format!("dev-{name}"));
    let thread = thread.spawn(move || {
        let ended = playing.run(hooks, stopped.as_fd());
        playing.device.end(ended.err().map(|error| error.to_string()));
    });
    let thread = thread.map_err(|_| Errno::EAGAIN)?;
    Ok(Box::new(RealFeed { stop: Some(stop), thread: Some(thread) }))
}

/// Sends what leaves.
struct RealSink {
    socket: OwnedFd,
}

impl Sink for RealSink {
    fn send(&mut self, packet: &[u8]) -> Result<(), String> {
        // One that cannot go (too long, no room) is lost, as on a wire.
        let _ = rustix::net::send(&self.socket, packet, rustix::net::SendFlags::DONTWAIT);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), String> {
        Ok(())
    }
}

struct Playing {
    device: Arc<Device>,
    sockets: [OwnedFd; 2],
    rings: [Ring; 2],
    bytes: Vec<u8>,
}

impl Playing {
    fn run(&mut self, hooks: Hooks, stop: BorrowedFd<'_>) -> io::Result<()> {
        let mut way = Path::new(hooks).map_err(|errno| io::Error::from_raw_os_error(errno.0))?;
        loop {
            let carried = self.burst(&mut way);
            // Programs that are attached meanwhile count from the next burst on.
            way.rest();
            if carried > 0 {
                if packet::wait(&[stop], 0)? {
                    return Ok(());
                }
                continue;
            }
            let [short, long] = &self.sockets;
            packet::wait(&[short.as_fd(), long.as_fd(), stop], -1)?;
            if packet::wait(&[stop], 0)? {
                return Ok(());
            }
        }
    }

    fn burst(&mut self, way: &mut Path) -> usize {
        let mut carried = 0;
        for at in 0..self.rings.len() {
            let ring = &mut self.rings[at];
            while carried < BURST && ring.peek().is_some() {
                let slot = ring.take();
                ring.look_at(&slot);
                self.bytes.clear();
                ring.buf.append_to(&mut self.bytes);
                // Nobody else will do it.
                slot.vnet.complete(&mut self.bytes);
                way.receive(&self.device, &self.bytes);
                carried += 1;
            }
            ring.give_back();
        }
        carried
    }
}
