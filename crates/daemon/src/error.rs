//! Why there is no daemon to talk to.

use std::io;
use std::path::PathBuf;

/// What keeps a daemon from being reached, started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder of the socket cannot be made or looked at.
    #[error("{}: {error}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The folder of the socket could be another's.
    #[error("{}: {why}; the daemon's socket is kept only in a folder of yours alone", path.display())]
    NotOurs {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No daemon runs.
    #[error("no daemon is running (`ring3 daemon start` starts one)")]
    NotRunning,
    /// A daemon went without being stopped.
    #[error(
        "the daemon (process {pid}) was killed; its programs, maps and pins are gone \
         (`ring3 daemon start` starts an empty one)"
    )]
    Killed {
        /// Its process.
        pid: u32,
    },
    /// The socket cannot be used.
    #[error("{}: {error}", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// What answers belongs to another user.
    #[error("the daemon's socket is answered by user {uid}")]
    Stranger {
        /// Its user.
        uid: u32,
    },
    /// The daemon is of another ring3.
    #[error(
        "the running daemon (process {pid}) speaks version {theirs} of the protocol, this command \
         {ours}: `ring3 daemon stop` ends it, and what it holds"
    )]
    Version {
        /// The daemon's process.
        pid: u32,
        /// Its version.
        theirs: u32,
        /// Ours.
        ours: u32,
    },
    /// The daemon takes no more connections.
    #[error("the daemon refuses more connections ({0})")]
    Busy(uapi::Errno),
    /// The answer to the greeting is no answer.
    #[error("what answers at the daemon's socket is no ring3 daemon")]
    Protocol,
    /// The daemon's process cannot be started.
    #[error("{}: {error}", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The daemon ended or said nothing in time.
    #[error("the daemon did not come up: {0}")]
    Start(String),
    /// Another daemon holds the lock.
    #[error("a daemon (process {pid}) is already running")]
    Running {
        /// Its process, 0 if it has not said so yet.
        pid: u32,
    },
    /// The daemon does not end.
    #[error("the daemon (process {pid}) does not end")]
    Stuck {
        /// Its process.
        pid: u32,
    },
}
