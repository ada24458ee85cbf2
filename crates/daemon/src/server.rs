//! Answers: a thread and a table of descriptors for each connection.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use runtime::door::{Bpf, Fd, ObjKind, TestRun};
use runtime::{Limits, Runtime};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{Shutdown, shutdown, sockopt};
use uapi::Errno;

use crate::client::{Greeting, MAGIC, Welcome};
use crate::eager;
use crate::frame::{Incoming, Outgoing, Received, VERSION};
use crate::lend::{self, Lent};
use crate::mount::Mount;
use crate::table::{
    COMMANDS, MMAP, MOUNT, MUNMAP, STATUS, STOP, Status, TEST_RUN, UNMOUNT, dispatch, put_failure,
};
use crate::wire::{Reader, Wire};

/// Connections at a time.
const MAX_CLIENTS: u32 = 256;
/// How long a connection may be silent before its first word.
const GREETING: Duration = Duration::from_secs(5);
/// Stack of a connection's thread in bytes: the verifier works on it.
const STACK: usize = 16 << 20;

/// Folders that may show the pins.
const MAX_MOUNTS: usize = 8;

/// Runs that are over before anybody could go away.
const FEW_RUNS: u32 = 1000;

/// What one user's commands may take of a daemon together.
pub fn user_limits() -> Limits {
    Limits { fds: 1024, objects: 1 << 16, pins: 1 << 16, map_memory: 4 << 30 }
}

/// A runtime for everybody of the same user.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    runtime: Runtime,
    started: Instant,
    clients: AtomicU32,
    stopping: AtomicBool,
    /// Folders that show the pins.
    mounts: Mutex<Vec<Mount>>,
    /// Tells whose they are.
    place: String,
}

impl Server {
    /// Serves this runtime.
    pub fn new(runtime: Runtime) -> Server {
        Server::at(runtime, "")
    }

    /// The same; `place` is what its mounts are known by after it was killed.
    pub(crate) fn at(runtime: Runtime, place: &str) -> Server {
        Server {
            shared: Arc::new(Shared {
                runtime,
                started: Instant::now(),
                clients: AtomicU32::new(0),
                stopping: AtomicBool::new(false),
                mounts: Mutex::default(),
                place: place.to_owned(),
            }),
        }
    }

    /// Answers who connects, until one asks to stop.
    pub fn serve(&self, listener: &UnixListener) -> io::Result<()> {
        loop {
            let stream = match listener.accept() {
                _ if self.shared.stopping.load(SeqCst) => {
                    self.shared.mounts.lock().clear();
                    self.shared.runtime.close_devices();
                    return Ok(());
                }
                Ok((stream, _)) => stream,
                Err(error) => match error.raw_os_error().map(Errno) {
                    // No descriptors or memory left: some will be given back.
                    Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::ENOBUFS) => {
                        std::thread::sleep(Duration::from_millis(10));
                        continue;
                    }
                    Some(Errno::EINTR | Errno(ECONNABORTED)) => continue,
                    _ => return Err(error),
                },
            };
            let server = self.clone();
            let waker = listener.try_clone()?;
            let thread = std::thread::Builder::new().name("client".into()).stack_size(STACK);
            // Without a thread the connection is closed, which its client sees.
            let _ = thread.spawn(move || {
                if server.answer(stream) {
                    // Wakes `accept`.
                    let _ = shutdown(&waker, Shutdown::Both);
                }
            });
        }
    }

    /// Answers one connection to its end, then closes its descriptors; whether it asked to stop.
    pub fn answer(&self, stream: UnixStream) -> bool {
        let clients = Counted::new(&self.shared.clients);
        let peer = sockopt::socket_peercred(&stream).ok();
        let pid = peer.map_or(0, |peer| peer.pid.as_raw_nonzero().get() as u32);
        let mut conversation = Conversation {
            shared: &self.shared,
            door: self.shared.runtime.process_of(pid),
            stream,
            out: Outgoing::default(),
            lent: Lent::default(),
            files: Vec::new(),
        };
        // The connection is closed either way; its client sees that.
        conversation.run(clients.number).unwrap_or(false)
    }
}

/// Linux's number for a connection that ended before it was taken.
const ECONNABORTED: i32 = 103;

/// A connection that counts while it lives.
struct Counted<'a> {
    count: &'a AtomicU32,
    number: u32,
}

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicU32) -> Counted<'a> {
        Counted { count, number: count.fetch_add(1, SeqCst) + 1 }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, SeqCst);
    }
}

/// One connection.
struct Conversation<'a> {
    shared: &'a Shared,
    door: Runtime,
    stream: UnixStream,
    out: Outgoing,
    lent: Lent,
    /// Go with the next answer.
    files: Vec<OwnedFd>,
}

impl Conversation<'_> {
    fn run(&mut self, number: u32) -> io::Result<bool> {
        let mut come = Incoming::default();
        if !self.greet(&mut come, number)? {
            return Ok(false);
        }
        loop {
            eager::look(&self.stream);
            let request = match come.receive(&mut self.stream)? {
                Received::Frame(bytes) => bytes,
                Received::TooLong => {
                    put_failure(Errno::E2BIG, self.out.begin());
                    self.out.send(&mut self.stream)?;
                    return Ok(false);
                }
                Received::End => return Ok(false),
            };
            let op = request.first().copied().unwrap_or(STOP);
            let stop = self.command(request);
            if let Err(error) = self.send() {
                self.give_back(op);
                return Err(error);
            }
            if stop {
                self.shared.stopping.store(true, SeqCst);
                return Ok(true);
            }
        }
    }

    fn send(&mut self) -> io::Result<()> {
        if self.files.is_empty() {
            return self.out.send(&mut self.stream);
        }
        let files = std::mem::take(&mut self.files);
        let bytes = self.out.whole();
        let sent = lend::send(&self.stream, bytes, &files)?;
        self.stream.write_all(bytes.get(sent..).unwrap_or_default())
    }

    /// What a client that is gone did not read of the trace, others shall.
    fn give_back(&self, op: u8) {
        let trace = ["take_trace", "wait_trace"];
        if !COMMANDS.iter().any(|(number, name)| *number == op && trace.contains(name)) {
            return;
        }
        let answer = Reader::new(self.out.frame()).take::<Result<Vec<String>, Errno>>();
        if let Ok(Ok(lines)) = answer {
            self.door.give_back_trace(lines);
        }
    }

    /// Whether the client may go on.
    fn greet(&mut self, come: &mut Incoming, number: u32) -> io::Result<bool> {
        let peer = sockopt::socket_peercred(&self.stream)?;
        let stranger = peer.uid != rustix::process::getuid();
        if !stranger {
            self.stream.set_read_timeout(Some(GREETING))?;
            let Received::Frame(bytes) = come.receive(&mut self.stream)? else { return Ok(false) };
            match Reader::new(bytes).take::<Greeting>() {
                Ok(greeting) if greeting.magic == MAGIC => {}
                _ => return Ok(false),
            }
            self.stream.set_read_timeout(None)?;
        }
        let refused = match () {
            () if stranger => Errno::EPERM,
            () if number > MAX_CLIENTS => Errno::EMFILE,
            () => Errno(0),
        };
        let welcome = Welcome {
            magic: MAGIC.into(),
            version: VERSION,
            pid: std::process::id(),
            refused,
            cpus: self.door.possible_cpus(),
        };
        welcome.put(self.out.begin());
        self.out.send(&mut self.stream)?;
        Ok(refused == Errno(0))
    }

    /// Does what is asked and prepares the answer; whether the daemon is to end.
    fn command(&mut self, request: &[u8]) -> bool {
        let mut from = Reader::new(request);
        let op = from.take::<u8>();
        let out = self.out.begin();
        match op {
            Ok(STATUS) => Ok::<_, Errno>(self.shared.status()).put(out),
            Ok(STOP) => Ok::<_, Errno>(()).put(out),
            Ok(MMAP) => self.files = self.lent.map(&self.door, &mut from, out),
            Ok(MUNMAP) => self.lent.unmap(&mut from, out),
            Ok(op @ (MOUNT | UNMOUNT)) => {
                let done = match from.take::<&str>() {
                    Ok(dir) if op == MOUNT => self.shared.mount(dir),
                    Ok(dir) => self.shared.unmount(dir),
                    Err(_) => Err("no folder".into()),
                };
                done.put(out);
            }
            Ok(op) => {
                let long = op == TEST_RUN && runs(request) > FEW_RUNS;
                let watch = long.then(|| Watch::new(&self.stream, &self.door));
                let done = dispatch(&self.door, op, &mut from, out);
                drop(watch);
                if done.is_err() {
                    put_failure(Errno::EINVAL, self.out.begin());
                }
            }
            Err(_) => put_failure(Errno::EINVAL, out),
        }
        if !self.out.fits() {
            put_failure(Errno::E2BIG, self.out.begin());
        }
        op == Ok(STOP)
    }
}

/// Ends test runs of a client that went away.
struct Watch {
    over: Arc<AtomicBool>,
}

impl Watch {
    fn new(stream: &UnixStream, door: &Runtime) -> Watch {
        let over = Arc::new(AtomicBool::new(false));
        let (seen, stop) = (over.clone(), door.stop_flag());
        if let Ok(stream) = stream.try_clone() {
            // Without a thread, runs go on to their end.
            let _ = std::thread::Builder::new().name("watch".into()).spawn(move || {
                while !seen.load(SeqCst) {
                    if hung_up(&stream) {
                        stop.store(true, SeqCst);
                        return;
                    }
                }
            });
        }
        Watch { over }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, SeqCst);
    }
}

/// Runs that a request for a test run asks for.
fn runs(request: &[u8]) -> u32 {
    let mut from = Reader::new(request);
    let read = from.take::<(u8, Fd)>().and_then(|_| from.take::<TestRun>());
    read.map_or(0, |run| run.repeat)
}

/// Waits a moment for the other side to go.
fn hung_up(stream: &UnixStream) -> bool {
    let moment = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
    let mut polled = [PollFd::new(stream, PollFlags::RDHUP)];
    let gone = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
    match poll(&mut polled, Some(&moment)) {
        Ok(_) => polled[0].revents().intersects(gone),
        // Interrupted, or no memory: look again later.
        Err(_) => false,
    }
}

impl Shared {
    fn mount(&self, dir: &str) -> Result<(), String> {
        let mut mounts = self.mounts.lock();
        if mounts.iter().any(|mount| mount.dir() == Path::new(dir)) {
            return Err(format!("{dir} shows the pins already"));
        }
        if mounts.len() >= MAX_MOUNTS {
            return Err(format!("{MAX_MOUNTS} folders show the pins already"));
        }
        mounts.push(Mount::new(self.runtime.process(), Path::new(dir), &self.place)?);
        self.runtime.show_pins_at(dir, true);
        Ok(())
    }

    fn unmount(&self, dir: &str) -> Result<(), String> {
        let mut mounts = self.mounts.lock();
        let at = mounts.iter().position(|mount| mount.dir() == Path::new(dir));
        let mount = mounts.remove(at.ok_or_else(|| format!("{dir} does not show the pins"))?);
        self.runtime.show_pins_at(dir, false);
        drop(mount);
        Ok(())
    }

    fn status(&self) -> Status {
        Status {
            pid: std::process::id(),
            uptime: self.started.elapsed(),
            clients: self.clients.load(SeqCst),
            progs: self.count(ObjKind::Prog),
            maps: self.count(ObjKind::Map),
            btfs: self.count(ObjKind::Btf),
            links: self.count(ObjKind::Link),
            pins: Bpf::pins(&self.runtime).map_or(0, |pins| pins.len() as u32),
        }
    }

    fn count(&self, kind: ObjKind) -> u32 {
        let next = |id: &u32| self.runtime.next_id(kind, *id).ok();
        let ids = std::iter::successors(next(&0), next);
        ids.count() as u32
    }
}
