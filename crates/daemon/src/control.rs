//! One daemon in a place: started when it is needed, ended when it is asked to.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use btf::Btf;
use runtime::{Config, Runtime};
use rustix::fs::{FlockOperation, Mode, flock};
use rustix::net::sockopt::socket_peercred;
use rustix::process::{Pid, Signal, getuid, kill_process, setsid, umask};

use crate::client::Client;
use crate::error::Error;
use crate::mount;
use crate::place::Place;
use crate::server::{Server, user_limits};
use crate::table::Status;

/// How long a new daemon may take until it listens.
const COMING: Duration = Duration::from_secs(10);
/// How long an ending daemon may take.
const GOING: Duration = Duration::from_secs(5);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(2);

/// A connection, and what it took to get it.
pub struct Found {
    /// The connection.
    pub client: Client,
    /// The daemon was started for it, and is empty.
    pub started: bool,
    /// The process of a daemon that had been killed; what it held is gone.
    pub killed: Option<u32>,
}

/// Connects to the daemon that runs there.
pub fn connect(place: &Place) -> Result<Client, Error> {
    match Client::new(dial(place)?) {
        // One that is being killed still takes a connection; asked again, its socket refuses.
        Err(Error::Protocol) => {
            std::thread::sleep(LOOK);
            Client::new(dial(place)?)
        }
        answer => answer,
    }
}

/// Connects, after starting `program daemon serve` if no daemon runs there.
pub fn connect_or_start(place: &Place, program: &Path) -> Result<Found, Error> {
    match connect(place) {
        Ok(client) => Ok(Found { client, started: false, killed: None }),
        Err(Error::NotRunning | Error::Killed { .. }) => start(place, program),
        Err(error) => Err(error),
    }
}

/// Starts `program daemon serve` as a process of its own unless a daemon runs there already.
pub fn start(place: &Place, program: &Path) -> Result<Found, Error> {
    place.make()?;
    let turn = open(&place.start_lock())?;
    flock(&turn, FlockOperation::LockExclusive)
        .map_err(|error| Error::Folder { path: place.start_lock(), error: error.into() })?;
    let killed = match connect(place) {
        Ok(client) => return Ok(Found { client, started: false, killed: None }),
        Err(Error::NotRunning) => None,
        Err(Error::Killed { pid }) => Some(pid),
        Err(error) => return Err(error),
    };
    let child = spawn(place, program)?;
    let client = await_daemon(place, child)?;
    Ok(Found { client, started: true, killed })
}

/// Ends the daemon that runs there and waits until it is gone.
pub fn stop(place: &Place) -> Result<(), Error> {
    let stream = dial(place)?;
    let peer = socket_peercred(&stream).ok();
    let pid = peer.map(|peer| peer.pid);
    match Client::new(stream) {
        // It may be gone before its answer arrives.
        Ok(client) => drop(client.stop()),
        Err(Error::Version { .. } | Error::Busy(_)) => {
            if let Some(pid) = pid {
                // If it is gone already, so much the better.
                let _ = kill_process(pid, Signal::TERM);
            }
        }
        Err(error) => return Err(error),
    }
    let lock = open(&place.lock())?;
    if !eventually(GOING, || flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()) {
        return Err(Error::Stuck { pid: pid.map_or(0, number) });
    }
    clear(place, &lock);
    Ok(())
}

/// What the daemon that runs there says about itself.
pub fn status(place: &Place) -> Result<Status, Error> {
    connect(place)?.status().map_err(|_| Error::Protocol)
}

/// Is the daemon of this place until one asks it to stop. `types` reads the kernel's types, which
/// the first clients wait for.
pub fn serve(place: &Place, types: impl FnOnce() -> Option<Arc<Btf>>) -> Result<(), Error> {
    place.make()?;
    let mut lock = open(&place.lock())?;
    // Who stops a daemon holds the lock for a moment.
    if !eventually(GOING / 10, || flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()) {
        return Err(Error::Running { pid: place.pid().unwrap_or(0) });
    }
    detach();
    let failed = |error| Error::Socket { path: place.socket(), error };
    lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id())).map_err(failed)?;
    let listener = listen(place).map_err(failed)?;
    let config = Config { kernel_btf: types(), limits: user_limits(), ..Config::default() };
    let runtime = Runtime::new(config);
    runtime.set_feeder(hooks::packet::feeder());
    let name = place.dir().display().to_string();
    mount::clear(&name);
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    runtime.set_net_maker(hooks::packet::live::net_maker());
    let served = Server::at(runtime, &name).serve(&listener);
    clear(place, &lock);
    served.map_err(failed)
}

/// Leaves the terminal and the folder of whoever started it.
fn detach() {
    // A process that already leads a session stays in it.
    let _ = setsid();
    let _ = std::env::set_current_dir("/");
    umask(Mode::RWXG | Mode::RWXO);
}

/// A socket that has its name only once it listens.
fn listen(place: &Place) -> io::Result<UnixListener> {
    let (new, socket) = (place.new_socket(), place.socket());
    remove(&new)?;
    remove(&socket)?;
    let listener = UnixListener::bind(&new)?;
    fs::rename(&new, &socket)?;
    Ok(listener)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Leaves the place as after an orderly end; the lock is held.
fn clear(place: &Place, lock: &File) {
    // What cannot be removed looks like a killed daemon's, which the next start clears.
    let _ = remove(&place.socket());
    let _ = lock.set_len(0);
}

fn dial(place: &Place) -> Result<UnixStream, Error> {
    if !place.check()? {
        return Err(Error::NotRunning);
    }
    let stream = match UnixStream::connect(place.socket()) {
        Ok(stream) => stream,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::NotRunning);
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            return Err(Error::Killed { pid: place.pid().unwrap_or(0) });
        }
        Err(error) => return Err(Error::Socket { path: place.socket(), error }),
    };
    match socket_peercred(&stream) {
        Ok(peer) if peer.uid == getuid() => Ok(stream),
        Ok(peer) => Err(Error::Stranger { uid: peer.uid.as_raw() }),
        Err(error) => Err(Error::Socket { path: place.socket(), error: error.into() }),
    }
}

fn spawn(place: &Place, program: &Path) -> Result<Child, Error> {
    let path = place.log();
    let log = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
    let log = log.map_err(|error| Error::Folder { path, error })?;
    let mut command = Command::new(program);
    command.args(["daemon", "serve"]).arg(place.dir());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().map_err(|error| Error::Spawn { program: program.to_owned(), error })
}

fn await_daemon(place: &Place, mut child: Child) -> Result<Client, Error> {
    let mut outcome = None;
    eventually(COMING, || {
        let ended = child.try_wait().ok().flatten();
        match connect(place) {
            Ok(client) => outcome = Some(Ok(client)),
            Err(Error::NotRunning | Error::Killed { .. }) if ended.is_some() => {
                outcome = Some(Err(Error::Start(last_words(place))));
            }
            Err(Error::NotRunning | Error::Killed { .. }) => {}
            Err(error) => outcome = Some(Err(error)),
        }
        outcome.is_some()
    });
    outcome.unwrap_or_else(|| Err(Error::Start(format!("no answer in {COMING:?}"))))
}

/// What a daemon said before it ended.
fn last_words(place: &Place) -> String {
    let log = fs::read_to_string(place.log()).unwrap_or_default();
    match log.trim() {
        "" => "it ended without a word".into(),
        words => words.into(),
    }
}

fn open(path: &Path) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(path);
    file.map_err(|error| Error::Folder { path: path.to_owned(), error })
}

/// Looks again and again until `done`; whether it was in time.
fn eventually(time: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + time;
    loop {
        if done() {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(LOOK);
    }
}

fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get() as u32
}
