//! The door's part about networks and the filters of their interfaces.

use uapi::Errno;

use super::Fd;

/// A network of hosts to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetUp {
    /// Its name.
    pub name: String,
    /// Names of its hosts, each of which gets an interface `HOST/eth0`.
    pub hosts: Vec<String>,
    /// A capture of its frames, by absolute path.
    pub write: Option<String>,
    /// Points that are captured, between commas; all of them if it is empty.
    pub points: String,
}

/// A running network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetInfo {
    /// Its name.
    pub name: String,
    /// The process that holds its namespaces.
    pub pid: u32,
    /// They belong to a user namespace of their own.
    pub own_users: bool,
    /// Its hosts, in the order in which they were named.
    pub hosts: Vec<NetHost>,
}

/// A host of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetHost {
    /// Its name.
    pub name: String,
    /// Index of its interface.
    pub ifindex: u32,
    /// Address of its interface, as text.
    pub address: String,
    /// The interface's hardware address, as text.
    pub mac: String,
}

/// Why there is no such network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetRefused {
    /// The error's number.
    pub errno: Errno,
    /// What is wrong; empty where the number says all.
    pub message: String,
}

impl NetRefused {
    /// A refusal in words.
    pub fn because(errno: Errno, message: impl Into<String>) -> NetRefused {
        NetRefused { errno, message: message.into() }
    }
}

impl From<Errno> for NetRefused {
    fn from(errno: Errno) -> NetRefused {
        NetRefused { errno, message: String::new() }
    }
}

impl std::fmt::Display for NetRefused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.message.is_empty() { self.errno.fmt(f) } else { f.write_str(&self.message) }
    }
}

/// A classifier of clsact with its own verdict (direct action).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TcFilter {
    /// The interface.
    pub ifindex: u32,
    /// For packets that leave; otherwise for those that come in.
    pub egress: bool,
    /// Its place among the others, from 1 on; 0 for one before them all, or any.
    pub priority: u32,
    /// Its number at that priority; 0 for the next one, or any.
    pub handle: u32,
    /// The program; only for adding.
    pub prog: Option<Fd>,
    /// Id of the program; only in answers.
    pub prog_id: u32,
    /// What it is listed as, as tc(8) has it: `FILE:[SECTION]`.
    pub label: String,
}
