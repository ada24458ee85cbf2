//! What can go wrong with networks.

use std::io;

use thiserror::Error;
use uapi::Errno;

/// Why there is no network, or a command does not run in it.
#[derive(Debug, Error)]
pub enum NetError {
    /// The system lets this user make no namespaces.
    #[error(
        "no namespaces for a network: {source} (this user may not make any: see \
         /proc/sys/user/max_user_namespaces, kernel.unprivileged_userns_clone, \
         kernel.apparmor_restrict_unprivileged_userns; captures work without: --pcap)"
    )]
    NoNamespaces {
        /// The system's answer.
        source: io::Error,
    },
    /// A part of a network cannot be made.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// An interface or an address of a host is refused.
    #[error("host '{host}': {what}: {source}")]
    Host {
        /// The host.
        host: String,
        /// What was tried.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The names or the number of hosts are none.
    #[error("{0}")]
    Unusable(String),
    /// The command cannot be started.
    #[error("{command}: {why}")]
    Command {
        /// What was to be run.
        command: String,
        /// Why it cannot.
        why: String,
        /// As a shell has it: 127 if there is no such command, 126 if it cannot be run.
        status: u8,
    },
    /// The capture of a network.
    #[error(transparent)]
    Capture(#[from] crate::packet::CaptureError),
    /// Interfaces are refused by the runtime.
    #[error("interface '{name}': {errno}")]
    Device {
        /// The interface.
        name: String,
        /// The answer.
        errno: Errno,
    },
}

impl NetError {
    pub(super) fn system(what: &'static str) -> impl Fn(io::Error) -> NetError {
        move |source| NetError::System { what, source }
    }
}
