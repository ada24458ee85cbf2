//! Sockets of ring3's own, as programs of hooks see them.
//!
//! A [`Socket`] is memory in the layout of `struct bpf_sock` and `struct bpf_tcp_sock`, which
//! contexts point to, and a table of options. A hook that follows a real socket brings a
//! [`SocketWorld`], which then answers in place of the table.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use interp::Region;
use maps::View;
use maps::raw::Slab;
use parking_lot::Mutex;
use uapi::Errno;

/// A real socket behind a [`Socket`].
pub trait SocketWorld: Send + Sync {
    /// getsockopt(2) for a program: how many bytes of `out` it filled.
    fn option(&self, level: i32, name: i32, out: &mut [u8]) -> Result<usize, Errno>;
    /// setsockopt(2) for a program.
    fn set_option(&self, level: i32, name: i32, value: &[u8]) -> Result<(), Errno>;
    /// bind(2) to the address in a `struct sockaddr_in` or `sockaddr_in6`, any port of it.
    fn bind(&self, address: &[u8]) -> Result<(), Errno>;
    /// Its number in Linux (`SO_COOKIE`), if it is known.
    fn cookie(&self) -> Option<u64> {
        None
    }
}

/// What programs read of a socket: the fields of `struct bpf_sock`, in its units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the UAPI")]
pub struct SocketInfo {
    pub bound_dev_if: u32,
    pub family: u32,
    /// `type`: SOCK_STREAM and so on.
    pub kind: u32,
    pub protocol: u32,
    pub mark: u32,
    pub priority: u32,
    /// In network byte order, as all addresses.
    pub src_ip4: u32,
    pub src_ip6: [u32; 4],
    /// In the host's byte order.
    pub src_port: u32,
    /// In network byte order.
    pub dst_port: u16,
    pub dst_ip4: u32,
    pub dst_ip6: [u32; 4],
    /// `enum bpf_tcp_state`.
    pub state: u32,
    pub rx_queue_mapping: i32,
    /// Owner.
    pub uid: u32,
    /// Id of its control group.
    pub cgroup: u64,
}

impl SocketInfo {
    /// Out of a `struct bpf_sock`.
    pub(crate) fn from_bytes(bytes: &[u8; BPF_SOCK]) -> SocketInfo {
        let (words, _) = bytes.as_chunks::<4>();
        let word = |at: usize| u32::from_ne_bytes(words[at]);
        SocketInfo {
            bound_dev_if: word(0),
            family: word(1),
            kind: word(2),
            protocol: word(3),
            mark: word(4),
            priority: word(5),
            src_ip4: word(6),
            src_ip6: [word(7), word(8), word(9), word(10)],
            src_port: word(11),
            dst_port: word(12) as u16,
            dst_ip4: word(13),
            dst_ip6: [word(14), word(15), word(16), word(17)],
            state: word(18),
            rx_queue_mapping: word(19) as i32,
            uid: 0,
            cgroup: 0,
        }
    }

    /// `struct bpf_sock`.
    fn to_bytes(self) -> [u8; BPF_SOCK] {
        let mut out = [0; BPF_SOCK];
        let [s0, s1, s2, s3] = self.src_ip6;
        let [d0, d1, d2, d3] = self.dst_ip6;
        let words = [
            self.bound_dev_if,
            self.family,
            self.kind,
            self.protocol,
            self.mark,
            self.priority,
            self.src_ip4,
            s0,
            s1,
            s2,
            s3,
            self.src_port,
            u32::from(self.dst_port),
            self.dst_ip4,
            d0,
            d1,
            d2,
            d3,
            self.state,
            self.rx_queue_mapping as u32,
        ];
        for (at, word) in words.iter().enumerate() {
            out[4 * at..4 * at + 4].copy_from_slice(&word.to_ne_bytes());
        }
        out
    }
}

pub(crate) const BPF_SOCK: usize = 80;
/// `struct bpf_tcp_sock` is behind it.
const TCP_SOCK: usize = 128;
const MEMORY: usize = 256;

const MARK: usize = 16;
const PRIORITY: usize = 20;

/// A socket.
pub struct Socket {
    info: SocketInfo,
    memory: Slab,
    cookie: u64,
    options: Mutex<BTreeMap<(i32, i32), Vec<u8>>>,
    /// Callbacks that a program of its connection asked for.
    pub(crate) callbacks: AtomicU32,
    world: Option<Box<dyn SocketWorld>>,
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket").field("info", &self.info).field("cookie", &self.cookie).finish()
    }
}

/// Cookies of sockets without a real one behind them.
static COOKIES: AtomicU64 = AtomicU64::new(1);

impl Socket {
    /// A socket of ring3's own; `world` is the real one behind it. ENOMEM without memory.
    pub fn new(
        info: SocketInfo,
        world: Option<Box<dyn SocketWorld>>,
    ) -> Result<Arc<Socket>, Errno> {
        let memory = Slab::new(MEMORY)?;
        memory.write(0, View::from(info.to_bytes().as_slice()));
        let cookie = world.as_ref().and_then(|world| world.cookie());
        Ok(Arc::new(Socket {
            info,
            memory,
            cookie: cookie.unwrap_or_else(|| COOKIES.fetch_add(1, Relaxed)),
            options: Mutex::default(),
            callbacks: AtomicU32::new(0),
            world,
        }))
    }

    /// What it was made with.
    pub fn info(&self) -> &SocketInfo {
        &self.info
    }

    /// Address of its `struct bpf_sock`, for contexts that point to it.
    pub fn addr(&self) -> u64 {
        self.memory.addr(0)
    }

    /// Its `struct bpf_sock` as it is now: programs may have set mark, priority and device.
    pub fn bytes(&self) -> [u8; BPF_SOCK] {
        let mut out = [0; BPF_SOCK];
        self.memory.read(0, &mut out);
        out
    }

    /// Sets the fields of its `struct bpf_tcp_sock`, at most 128 bytes.
    pub fn set_tcp(&self, fields: &[u8]) {
        self.memory.write(TCP_SOCK, View::from(&fields[..fields.len().min(MEMORY - TCP_SOCK)]));
    }

    /// A number that no other socket has.
    pub fn cookie(&self) -> u64 {
        self.cookie
    }

    /// Callbacks that a program asked for (`BPF_SOCK_OPS_*_CB_FLAG`).
    pub fn callbacks(&self) -> u32 {
        self.callbacks.load(Relaxed)
    }

    /// Sets them, where a program of the connection asked before.
    pub fn set_callbacks(&self, flags: u32) {
        self.callbacks.store(flags, Relaxed);
    }

    /// Address of the fields of TCP.
    pub(crate) fn tcp_addr(&self) -> u64 {
        self.memory.addr(TCP_SOCK)
    }

    /// The memory that holds `addr`, if it is the socket's.
    pub(crate) fn region(&self, addr: u64) -> Option<Region> {
        let start = self.memory.addr(0);
        let end = start + MEMORY as u64;
        (start..end).contains(&addr).then_some(Region { start, end, writable: true })
    }

    /// An option as the program reads it.
    pub(crate) fn option(&self, level: i32, name: i32, out: &mut [u8]) -> Result<usize, Errno> {
        if let Some(world) = &self.world {
            return world.option(level, name, out);
        }
        let known = self.options.lock().get(&(level, name)).cloned();
        let value = known.unwrap_or_else(|| self.preset(level, name));
        let len = value.len().min(out.len());
        out[..len].copy_from_slice(&value[..len]);
        Ok(len)
    }

    /// Sets an option; two of them are fields of its memory, too.
    pub(crate) fn set_option(&self, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
        let field = match (level, name) {
            (SOL_SOCKET, SO_MARK) => Some(MARK),
            (SOL_SOCKET, SO_PRIORITY) => Some(PRIORITY),
            _ => None,
        };
        if let Some(world) = &self.world {
            world.set_option(level, name, value)?;
        } else {
            let kept = kept(level, name, value)?;
            self.options.lock().insert((level, name), kept);
        }
        if let (Some(at), Some(word)) = (field, value.first_chunk::<4>()) {
            self.memory.write(at, View::from(word.as_slice()));
        }
        Ok(())
    }

    /// The value of an option that nobody has set.
    fn preset(&self, level: i32, name: i32) -> Vec<u8> {
        let word = |value: u32| value.to_ne_bytes().to_vec();
        let field = |at: usize| self.bytes()[at..at + 4].to_vec();
        match (level, name) {
            (SOL_SOCKET, SO_MARK) => field(MARK),
            (SOL_SOCKET, SO_PRIORITY) => field(PRIORITY),
            (SOL_SOCKET, SO_SNDBUF | SO_RCVBUF) => word(MEM_DEFAULT),
            (SOL_SOCKET, SO_RCVLOWAT) => word(1),
            (SOL_TCP, TCP_CONGESTION) => b"cubic\0".to_vec(),
            (SOL_TCP, TCP_MAXSEG) => word(MSS_DEFAULT),
            (SOL_TCP, TCP_KEEPIDLE) => word(7200),
            (SOL_TCP, TCP_KEEPINTVL) => word(75),
            (SOL_TCP, TCP_KEEPCNT) => word(9),
            (SOL_TCP, TCP_SYNCNT) => word(6),
            _ => word(0),
        }
    }

    /// Binds it; without a real socket behind it the address is only checked.
    pub(crate) fn bind(&self, address: &[u8]) -> Result<(), Errno> {
        self.world.as_ref().map_or(Ok(()), |world| world.bind(address))
    }
}

pub(crate) const SOL_IP: i32 = 0;
pub(crate) const SOL_SOCKET: i32 = 1;
pub(crate) const SOL_TCP: i32 = 6;
pub(crate) const SOL_IPV6: i32 = 41;
const SO_SNDBUF: i32 = 7;
const SO_RCVBUF: i32 = 8;
const SO_KEEPALIVE: i32 = 9;
const SO_PRIORITY: i32 = 12;
const SO_RCVLOWAT: i32 = 18;
const SO_MARK: i32 = 36;
const TCP_MAXSEG: i32 = 2;
const TCP_KEEPIDLE: i32 = 4;
const TCP_KEEPINTVL: i32 = 5;
const TCP_KEEPCNT: i32 = 6;
const TCP_SYNCNT: i32 = 7;
const TCP_CONGESTION: i32 = 13;

/// Linux's usual buffer, and the most that may be asked for (`wmem_default`, `wmem_max`).
const MEM_DEFAULT: u32 = 212_992;
const MEM_MAX: u32 = 212_992;
/// The least that a send and a receive buffer have.
const SEND_MIN: u32 = 4608;
const RECEIVE_MIN: u32 = 2304;
const MSS_DEFAULT: u32 = 536;
/// Names of congestion controls are shorter.
const NAME_MAX: usize = 16;

/// The value that an option then has.
fn kept(level: i32, name: i32, value: &[u8]) -> Result<Vec<u8>, Errno> {
    if (level, name) == (SOL_TCP, TCP_CONGESTION) {
        let mut name = value[..value.len().min(NAME_MAX - 1)].to_vec();
        if let Some(end) = name.iter().position(|byte| *byte == 0) {
            name.truncate(end);
        }
        name.push(0);
        return Ok(name);
    }
    let word = u32::from_ne_bytes(*value.first_chunk().ok_or(Errno::EINVAL)?);
    let least = |min: u32| (word.min(MEM_MAX) * 2).max(min);
    let now = match (level, name) {
        (SOL_SOCKET, SO_SNDBUF) => least(SEND_MIN),
        (SOL_SOCKET, SO_RCVBUF) => least(RECEIVE_MIN),
        (SOL_SOCKET, SO_KEEPALIVE) => u32::from(word != 0),
        (SOL_SOCKET, SO_RCVLOWAT) => word.max(1),
        _ => word,
    };
    Ok(now.to_ne_bytes().to_vec())
}
