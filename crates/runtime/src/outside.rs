//! What is not of bpf(2) but goes into maps: sockets, processes, files, control groups, events.

use std::any::Any;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Weak};

use maps::View;
use parking_lot::Mutex;
use uapi::{Errno, MapType};

use crate::attach::cgroup;
use crate::attach::link::cgroup_id;
use crate::door::{Outside, SocketKind};
use crate::map_obj::MapObj;
use crate::socket::{Socket, SocketInfo};

/// Such a thing, with the number that it has in maps.
pub struct OutsideObj {
    what: Outside,
    /// The socket, as programs see it.
    socket: Option<Arc<Socket>>,
    /// A socket's cookie, a process's number, an inode's, a group's id; an event's CPU.
    id: u64,
    /// Where something is stored for it.
    stores: Mutex<Vec<Weak<MapObj>>>,
}

impl Drop for OutsideObj {
    fn drop(&mut self) {
        // Storage of a socket ends with it; the others live on without a descriptor.
        if let Outside::Socket(_) = self.what {
            for map in self.stores.lock().drain(..).filter_map(|map| map.upgrade()) {
                let _ = map.map.ops().delete(View::from(&self.id.to_ne_bytes()[..]));
            }
        }
    }
}

impl OutsideObj {
    /// ESRCH for a process that is none, ENOENT for a file, EBADF for a group.
    pub(crate) fn open(what: &Outside) -> Result<OutsideObj, Errno> {
        let socket = match what {
            Outside::Socket(kind) => Some(Socket::new(info(*kind), None)?),
            _ => None,
        };
        let id = match what {
            Outside::Socket(_) => socket.as_ref().map_or(0, |socket| socket.cookie()),
            Outside::Task(pid) => {
                let known = std::path::Path::new(&format!("/proc/{pid}")).exists();
                if known { u64::from(*pid) } else { return Err(Errno::ESRCH) }
            }
            Outside::File(path) => std::fs::metadata(path).map_err(|_| Errno::ENOENT)?.ino(),
            Outside::Cgroup(path) => cgroup_id(&cgroup::normal(path).ok_or(Errno::EBADF)?),
            Outside::PerfEvent(cpu) => u64::from(*cpu),
        };
        Ok(OutsideObj { what: what.clone(), socket, id, stores: Mutex::default() })
    }

    /// The number that it has in maps.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What goes into a map for it.
    pub(crate) fn object(self: &Arc<OutsideObj>) -> Arc<dyn Any + Send + Sync> {
        match &self.socket {
            Some(socket) => socket.clone(),
            None => self.clone(),
        }
    }

    /// What it is.
    pub fn what(&self) -> &Outside {
        &self.what
    }

    /// What a map of sockets, groups or events says to it; EBADF for another kind of thing.
    pub(crate) fn fits(&self, map: MapType) -> Result<(), Errno> {
        use SocketKind as S;
        match (map, &self.what) {
            (MapType::CgroupArray, Outside::Cgroup(_)) => Ok(()),
            (MapType::PerfEventArray, Outside::PerfEvent(_)) => Ok(()),
            (MapType::CgroupArray | MapType::PerfEventArray, _) => Err(Errno::EBADF),
            (MapType::Xskmap, Outside::Socket(S::Xdp)) => Ok(()),
            (MapType::Xskmap, Outside::Socket(_)) => Err(Errno::EOPNOTSUPP),
            (MapType::Sockmap | MapType::Sockhash, Outside::Socket(kind)) => match kind {
                S::TcpListening | S::TcpConnected | S::Udp | S::UdpReuseport => Ok(()),
                S::TcpClosed | S::Xdp => Err(Errno::EOPNOTSUPP),
            },
            (MapType::ReuseportSockarray, Outside::Socket(kind)) => match kind {
                S::UdpReuseport => Ok(()),
                S::Xdp => Err(Errno::ENOTSUPP),
                _ => Err(Errno::EINVAL),
            },
            _ => Err(Errno::ENOTSOCK),
        }
    }

    /// Its key in a map of storage of its kind; EBADF for another kind of thing.
    pub(crate) fn key(&self, map: MapType) -> Result<u64, Errno> {
        let own = match self.what {
            Outside::Socket(_) => MapType::SkStorage,
            Outside::Task(_) => MapType::TaskStorage,
            Outside::File(_) => MapType::InodeStorage,
            Outside::Cgroup(_) => MapType::CgrpStorage,
            Outside::PerfEvent(_) => return Err(Errno::EBADF),
        };
        match own == map {
            true => Ok(self.id),
            // A group's folder has an inode as well.
            false if map == MapType::InodeStorage => Ok(self.id),
            false if map == MapType::SkStorage => Err(Errno::ENOTSOCK),
            false => Err(Errno::EBADF),
        }
    }

    /// Something is stored for it in `map` from now on.
    pub(crate) fn stored_in(&self, map: Weak<MapObj>) {
        let mut stores = self.stores.lock();
        if !stores.iter().any(|known| known.ptr_eq(&map)) {
            stores.retain(|known| known.strong_count() > 0);
            stores.push(map);
        }
    }
}

/// Fields of a new socket: `AF_INET` and `AF_XDP`, kinds, protocols and states of TCP by number.
fn info(kind: SocketKind) -> SocketInfo {
    use SocketKind as S;
    const LOCALHOST: u32 = u32::from_ne_bytes([127, 0, 0, 1]);
    let (family, kind, protocol, state) = match kind {
        S::TcpClosed => (2, 1, 6, 7),
        S::TcpListening => (2, 1, 6, 10),
        S::TcpConnected => (2, 1, 6, 1),
        S::Udp | S::UdpReuseport => (2, 2, 17, 7),
        S::Xdp => (44, 3, 0, 0),
    };
    let src_ip4 = if family == 2 { LOCALHOST } else { 0 };
    SocketInfo { family, kind, protocol, state, src_ip4, ..SocketInfo::default() }
}
