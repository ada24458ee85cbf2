//! The door at the other end of a socket.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use runtime::door::{Fd, Mapping};
use uapi::Errno;

use crate::eager;
use crate::error::Error;
use crate::frame::{Incoming, Outgoing, Received, VERSION};
use crate::lend;
use crate::table::{MOUNT, STATUS, STOP, Status, UNMOUNT};
use crate::wire::{Bad, Reader, Wire, wire_struct};

/// First word of a client.
pub(crate) const MAGIC: &str = "ring3";
/// How long an answer to the greeting may take; the daemon may be reading the kernel's types.
const GREETING: Duration = Duration::from_secs(20);
/// The daemon went away: ECONNRESET.
const LOST: Errno = Errno(104);

/// The first frame of a client, the same in all versions.
#[derive(Debug)]
pub(crate) struct Greeting {
    pub(crate) magic: String,
    pub(crate) version: u32,
}

/// The first frame of a server, the same in all versions.
#[derive(Debug)]
pub(crate) struct Welcome {
    pub(crate) magic: String,
    pub(crate) version: u32,
    pub(crate) pid: u32,
    /// Why the connection ends here; 0 if it does not.
    pub(crate) refused: Errno,
    pub(crate) cpus: u32,
}

wire_struct! {
    Greeting { magic, version }
    Welcome { magic, version, pid, refused, cpus }
}

/// A connection to a daemon; a descriptor is good on the connection that it came through.
///
/// When the daemon goes, every call answers ECONNRESET and [`Client::is_lost`] is true.
pub struct Client {
    line: Arc<Mutex<Line>>,
    cpus: u32,
    pid: u32,
}

impl Client {
    /// Greets what is at the other end of `stream`.
    pub fn new(stream: UnixStream) -> Result<Client, Error> {
        let mut line =
            Line { stream, out: Outgoing::default(), come: Incoming::default(), lost: false };
        let limit = |line: &Line, time| line.stream.set_read_timeout(time);
        limit(&line, Some(GREETING)).map_err(|_| Error::Protocol)?;
        let out = line.out.begin();
        Greeting { magic: MAGIC.into(), version: VERSION }.put(out);
        let welcome = line.exchange(|from| from.take::<Welcome>());
        let welcome = welcome.map_err(|_| Error::Protocol)?;
        limit(&line, None).map_err(|_| Error::Protocol)?;
        match welcome {
            Welcome { magic, .. } if magic != MAGIC => Err(Error::Protocol),
            Welcome { version, pid, .. } if version != VERSION => {
                Err(Error::Version { pid, theirs: version, ours: VERSION })
            }
            Welcome { refused: Errno(0), cpus, pid, .. } => {
                Ok(Client { line: Arc::new(Mutex::new(line)), cpus, pid })
            }
            Welcome { refused, .. } => Err(Error::Busy(refused)),
        }
    }

    /// The daemon's process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether the daemon has gone.
    pub fn is_lost(&self) -> bool {
        self.line.lock().lost
    }

    /// What the daemon says about itself.
    pub fn status(&self) -> Result<Status, Errno> {
        self.command(STATUS)
    }

    /// Shows the pins at a folder of the machine, by its absolute path, until the daemon ends.
    pub fn mount(&self, dir: &str) -> Result<(), String> {
        self.ask(MOUNT, dir)
    }

    /// Shows them there no more.
    pub fn unmount(&self, dir: &str) -> Result<(), String> {
        self.ask(UNMOUNT, dir)
    }

    fn ask(&self, op: u8, dir: &str) -> Result<(), String> {
        let mut line = self.line();
        dir.put(line.begin(op));
        let answer = line.exchange(|from| from.take::<Result<(), String>>());
        answer.map_err(|errno| errno.to_string())?
    }

    /// Asks the daemon to end.
    pub(crate) fn stop(&self) -> Result<(), Errno> {
        self.command(STOP)
    }

    fn command<T: for<'a> Wire<'a>>(&self, op: u8) -> Result<T, Errno> {
        let mut line = self.line();
        line.begin(op);
        line.exchange(|from| from.take::<Result<T, Errno>>())?
    }

    pub(crate) fn cpus(&self) -> u32 {
        self.cpus
    }

    pub(crate) fn mmap(
        &self,
        map: Fd,
        offset: u64,
        len: usize,
        write: bool,
    ) -> Result<Mapping, Errno> {
        lend::mmap(&self.line, map, offset, len, write)
    }

    pub(crate) fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock()
    }
}

/// One question and its answer at a time.
pub(crate) struct Line {
    stream: UnixStream,
    out: Outgoing,
    come: Incoming,
    lost: bool,
}

impl Line {
    /// A request; arguments go behind the command.
    pub(crate) fn begin(&mut self, op: u8) -> &mut Vec<u8> {
        let out = self.out.begin();
        op.put(out);
        out
    }

    /// Sends the request and reads the answer.
    pub(crate) fn exchange<T>(
        &mut self,
        read: impl FnOnce(&mut Reader<'_>) -> Result<T, Bad>,
    ) -> Result<T, Errno> {
        self.exchange_over(|stream| stream, |from, _| read(from))
    }

    /// The same; the answer comes through what `over` makes of the socket.
    pub(crate) fn exchange_over<'l, T, R: Read>(
        &'l mut self,
        over: impl FnOnce(&'l UnixStream) -> R,
        read: impl FnOnce(&mut Reader<'_>, &mut R) -> Result<T, Bad>,
    ) -> Result<T, Errno> {
        if self.lost {
            return Err(LOST);
        }
        if !self.out.fits() {
            return Err(Errno::E2BIG);
        }
        let Line { stream, out, come, lost } = self;
        let stream = &*stream;
        let mut from = over(stream);
        let answer = ask(stream, out, come, &mut from);
        let answer = answer.and_then(|bytes| {
            read(&mut Reader::new(bytes), &mut from).map_err(|_| io::ErrorKind::InvalidData.into())
        });
        answer.map_err(|_| {
            // What comes later would answer another question.
            *lost = true;
            LOST
        })
    }
}

fn ask<'a>(
    mut stream: &UnixStream,
    out: &mut Outgoing,
    come: &'a mut Incoming,
    from: &mut impl Read,
) -> io::Result<&'a [u8]> {
    out.send(&mut stream)?;
    eager::look(stream);
    match come.receive(from)? {
        Received::Frame(bytes) => Ok(bytes),
        Received::TooLong => Err(io::ErrorKind::InvalidData.into()),
        Received::End => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
