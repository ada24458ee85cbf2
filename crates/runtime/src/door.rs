//! The door: the commands of bpf(2) as typed calls.
//!
//! The in-process [`crate::Runtime`], Linux's own bpf(2) and a daemon's client all implement
//! [`Bpf`]; loading code, command line and tests know nothing else. Requests and answers are
//! plain data, errors are Linux's numbers.

mod attach;
mod given;
mod net;

use std::sync::Arc;

pub use attach::{
    AttachTo, DeviceAdd, DeviceCounts, DeviceInfo, LinkCreate, ProgAttach, ProgQuery, Queried,
    QueriedProg,
};
pub use given::{GivenCtx, GivenSysctl};
use isa::Insn;
pub use maps::{Batch, Hold, Mapping, Part};
pub use net::{NetHost, NetInfo, NetRefused, NetUp, TcFilter};
use uapi::{Errno, MapDef, ProgType};
use verifier::{FuncInfo, LineInfo, Rejection, Stats};

/// A descriptor of an object behind one door; negative for none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Fd(pub i32);

impl Default for Fd {
    /// None.
    fn default() -> Fd {
        Fd(-1)
    }
}

/// Kinds of objects with ids.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ObjKind {
    /// A program.
    Prog,
    /// A map.
    Map,
    /// A BTF blob.
    Btf,
    /// A link.
    Link,
}

/// A process that holds an object by a descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The object's kind.
    pub kind: ObjKind,
    /// Its id.
    pub id: u32,
    /// The process.
    pub pid: u32,
    /// Its name.
    pub comm: String,
}

/// What is counted of every run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Counted {
    /// Runs and their time, as Linux's BPF_STATS_RUN_TIME.
    RunTime,
    /// Instructions too; programs are interpreted meanwhile. Linux has no such thing.
    Insns,
}

/// Something that is not of bpf(2), whose descriptor goes into maps as key or value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outside {
    /// A new socket.
    Socket(SocketKind),
    /// A process, by its number.
    Task(u32),
    /// A file or folder.
    File(String),
    /// A control group, by the path of its folder.
    Cgroup(String),
    /// A software event that programs write records to, of this CPU.
    PerfEvent(u32),
}

/// What a new socket is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SocketKind {
    /// TCP, neither connected nor listening.
    TcpClosed,
    /// TCP, listening on a free port of the loopback address.
    TcpListening,
    /// TCP, connected to itself or a peer that is kept with it.
    TcpConnected,
    /// UDP, bound to a free port of the loopback address.
    Udp,
    /// UDP, bound with SO_REUSEPORT.
    UdpReuseport,
    /// AF_XDP.
    Xdp,
}

/// BPF_MAP_CREATE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapCreate {
    /// Type, sizes, flags, name; `def.inner` is ignored, `inner_map` counts.
    pub def: MapDef,
    /// BTF that the type ids of `def` refer to.
    pub btf: Option<Fd>,
    /// The model of the maps inside a map of maps.
    pub inner_map: Option<Fd>,
}

impl From<MapDef> for MapCreate {
    fn from(def: MapDef) -> MapCreate {
        MapCreate { def, btf: None, inner_map: None }
    }
}

/// What a load is to log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogRequest {
    /// Bits 1 (failing path), 2 (every path), 4 (statistics); 0 logs nothing.
    pub level: u32,
    /// Bytes of the log buffer; 0 takes 16 MiB.
    pub size: u32,
}

/// BPF_BTF_LOAD.
#[derive(Clone, Debug, Default)]
pub struct BtfLoad {
    /// The blob.
    pub data: Vec<u8>,
    /// What to log.
    pub log: LogRequest,
}

/// BPF_PROG_LOAD.
#[derive(Clone, Debug, Default)]
pub struct ProgLoad {
    /// At most 15 bytes.
    pub name: String,
    /// `None` for a number that is no program type.
    pub prog_type: Option<ProgType>,
    /// `enum bpf_attach_type`, 0 where the type has none.
    pub expected_attach_type: u32,
    /// `BPF_F_*` flags of the load.
    pub flags: u32,
    /// Decides whether GPL-only helpers may be called.
    pub license: String,
    /// The slots; map loads hold descriptors of this door.
    pub insns: Vec<Insn>,
    /// The program's own BTF.
    pub btf: Option<Fd>,
    /// One record a subprogram.
    pub func_info: Vec<FuncInfo>,
    /// Source lines.
    pub line_info: Vec<LineInfo>,
    /// Target in the kernel's BTF, or in `attach_prog`'s.
    pub attach_btf_id: u32,
    /// The program to replace or trace.
    pub attach_prog: Option<Fd>,
    /// Descriptors that index loads and kfunc calls index.
    pub fd_array: Vec<Fd>,
    /// `struct bpf_core_relo` records for the kernel to apply, raw.
    pub core_relos: Vec<u8>,
    /// Interface of device-bound programs.
    pub ifindex: u32,
    /// What to log.
    pub log: LogRequest,
}

/// A successful load.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The new object.
    pub fd: Fd,
    /// The log, empty at level 0.
    pub log: String,
    /// Bytes that the whole log takes, its closing zero included (`log_true_size`).
    pub log_true_size: u32,
    /// The verifier's work, where the door knows it.
    pub stats: Option<Stats>,
}

/// A refused load.
#[derive(Clone, Debug)]
pub struct LoadError {
    /// What the call returns.
    pub errno: Errno,
    /// The log so far, empty at level 0.
    pub log: String,
    /// Bytes that the whole log takes, its closing zero included.
    pub log_true_size: u32,
    /// The verifier's reason, where the door knows it.
    pub rejection: Option<Box<Rejection>>,
}

impl From<Errno> for LoadError {
    fn from(errno: Errno) -> LoadError {
        LoadError { errno, log: String::new(), log_true_size: 0, rejection: None }
    }
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.errno)?;
        let last = match &self.rejection {
            Some(r) if !r.message.is_empty() => r.message.as_str(),
            _ => self.log.lines().rfind(|l| !l.starts_with("processed ")).unwrap_or(""),
        };
        if last.is_empty() { Ok(()) } else { write!(f, ": {last}") }
    }
}

impl std::error::Error for LoadError {}

/// BPF_PROG_TEST_RUN.
#[derive(Clone, Debug, Default)]
pub struct TestRun {
    /// The packet or buffer; `None` is Linux's null pointer of size 0.
    pub data_in: Option<Vec<u8>>,
    /// Room for the output; `None` asks for none, as a null `data_out` does.
    pub data_out: Option<u32>,
    /// The context (`struct xdp_md`, `struct __sk_buff`, …).
    pub ctx_in: Option<Vec<u8>>,
    /// Room for the context afterwards.
    pub ctx_out: Option<u32>,
    /// Runs; 0 counts as 1.
    pub repeat: u32,
    /// `BPF_F_TEST_*`.
    pub flags: u32,
    /// CPU to run on, with BPF_F_TEST_RUN_ON_CPU.
    pub cpu: u32,
    /// Packets in a batch of a live-frames run.
    pub batch_size: u32,
    /// A context of the caller's making, which Linux takes from no one; the fields of contexts
    /// above do not count then.
    pub given: Option<GivenCtx>,
}

/// The answer to a test run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestRunOut {
    /// What the program returned.
    pub retval: u32,
    /// Mean time of one run in nanoseconds.
    pub duration_ns: u32,
    /// The packet afterwards, cut to the room given.
    pub data_out: Vec<u8>,
    /// Its full size in bytes.
    pub data_size_out: u32,
    /// The context afterwards, cut to the room given.
    pub ctx_out: Vec<u8>,
    /// Its full size in bytes.
    pub ctx_size_out: u32,
    /// The room was too small: the call itself answers ENOSPC.
    pub truncated: bool,
}

/// BPF_OBJ_GET_INFO_BY_FD of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgInfo {
    /// Number of the type.
    pub prog_type: u32,
    /// `enum bpf_attach_type` that it was loaded with; 0 where the door does not tell, as Linux.
    pub attach_type: u32,
    /// Its id.
    pub id: u32,
    /// Hash of the instructions as loaded.
    pub tag: [u8; 8],
    /// Its name.
    pub name: String,
    /// Nanoseconds since boot.
    pub load_time: u64,
    /// Who loaded it.
    pub created_by_uid: u32,
    /// Ids of the maps it uses.
    pub map_ids: Vec<u32>,
    /// Its licence is GPL-compatible.
    pub gpl_compatible: bool,
    /// Id of its BTF, 0 for none.
    pub btf_id: u32,
    /// Translated bytecode.
    pub xlated: Vec<Insn>,
    /// Machine code; empty without a JIT.
    pub jited: Vec<u8>,
    /// Addresses of its functions.
    pub jited_ksyms: Vec<u64>,
    /// Bytes of each function's code, which follow each other in `jited`.
    pub jited_func_lens: Vec<u32>,
    /// Address of the code of each record of `line_info`.
    pub jited_lines: Vec<u64>,
    /// One record a subprogram.
    pub func_info: Vec<FuncInfo>,
    /// Source lines, by translated instruction.
    pub line_info: Vec<LineInfo>,
    /// Instructions the verifier walked.
    pub verified_insns: u32,
    /// Time spent running, with statistics on.
    pub run_time_ns: u64,
    /// Runs, with statistics on.
    pub run_cnt: u64,
    /// Instructions of those runs that were interpreted to count them.
    pub run_insns: u64,
    /// Runs refused because the program was already running.
    pub recursion_misses: u64,
    /// Target in the kernel's BTF.
    pub attach_btf_id: u32,
    /// BTF object of the target.
    pub attach_btf_obj_id: u32,
    /// Bytes charged for it (`memlock` of fdinfo).
    pub memlock: u64,
}

/// BPF_OBJ_GET_INFO_BY_FD of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapInfo {
    /// Its id.
    pub id: u32,
    /// Its attributes.
    pub def: MapDef,
    /// Id of its BTF, 0 for none.
    pub btf_id: u32,
    /// User space can no longer write it.
    pub frozen: bool,
    /// Bytes charged for it (`memlock` of fdinfo).
    pub memlock: u64,
}

/// BPF_OBJ_GET_INFO_BY_FD of BTF.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BtfInfo {
    /// Its id.
    pub id: u32,
    /// The blob as loaded.
    pub data: Arc<[u8]>,
    /// `vmlinux`, a module's name, or empty.
    pub name: String,
    /// It describes the kernel.
    pub kernel_btf: bool,
}

/// BPF_OBJ_GET_INFO_BY_FD of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkInfo {
    /// `enum bpf_link_type`.
    pub link_type: u32,
    /// Its id.
    pub id: u32,
    /// Id of its program.
    pub prog_id: u32,
    /// What it is attached to.
    pub target: LinkTarget,
}

/// What a link attaches its program to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LinkTarget {
    /// Nothing that is told.
    #[default]
    None,
    /// A raw tracepoint.
    RawTracepoint {
        /// Its name.
        name: String,
    },
    /// A function of the kernel or of another program.
    Tracing {
        /// `enum bpf_attach_type`.
        attach_type: u32,
        /// The BTF object or program that the target is in.
        obj_id: u32,
        /// The target's type there.
        btf_id: u32,
    },
    /// A control group.
    Cgroup {
        /// Its inode.
        cgroup_id: u64,
        /// `enum bpf_attach_type`.
        attach_type: u32,
    },
    /// An iterator.
    Iter {
        /// What it goes through.
        target: String,
        /// The map whose elements those are; 0 for none.
        map_id: u32,
    },
    /// A network namespace.
    Netns {
        /// Its inode.
        inode: u32,
        /// `enum bpf_attach_type`.
        attach_type: u32,
    },
    /// An interface, by XDP.
    Xdp {
        /// Its index.
        ifindex: u32,
    },
    /// An interface, by tcx or netkit.
    Device {
        /// Its index.
        ifindex: u32,
        /// `enum bpf_attach_type`.
        attach_type: u32,
    },
    /// A hook of netfilter.
    Netfilter {
        /// `NFPROTO_*`.
        pf: u32,
        /// `NF_*`, the hook.
        hook: u32,
        /// Order among the hook's users.
        priority: i32,
        /// `BPF_F_NETFILTER_*`.
        flags: u32,
    },
    /// A map of struct_ops.
    StructOps {
        /// Its id.
        map_id: u32,
    },
}

/// A name in a folder of the file system of pins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FsEntry {
    /// The last part of its path.
    pub name: String,
    /// Kind and id of the object; `None` for a folder.
    pub object: Option<(ObjKind, u32)>,
}

/// The commands of bpf(2).
///
/// Keys and values are in user layout: a value of a per-CPU map is `round_up(value_size, 8)` bytes
/// for each possible CPU. A buffer shorter than the map's size is EFAULT, as a bad pointer is.
pub trait Bpf: Send + Sync {
    /// CPUs that a per-CPU value has room for.
    fn possible_cpus(&self) -> u32;

    /// BPF_MAP_CREATE.
    fn map_create(&self, req: &MapCreate) -> Result<Fd, Errno>;
    /// BPF_MAP_LOOKUP_ELEM into `value`.
    fn map_lookup(&self, map: Fd, key: &[u8], value: &mut [u8], flags: u64) -> Result<(), Errno>;
    /// BPF_MAP_UPDATE_ELEM.
    fn map_update(&self, map: Fd, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno>;
    /// BPF_MAP_DELETE_ELEM.
    fn map_delete(&self, map: Fd, key: &[u8]) -> Result<(), Errno>;
    /// BPF_MAP_GET_NEXT_KEY: the key after `key` into `next`, the first for `None`; ENOENT ends.
    fn map_next_key(&self, map: Fd, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno>;
    /// BPF_MAP_LOOKUP_AND_DELETE_ELEM; queues and stacks take an empty key.
    fn map_take(&self, map: Fd, key: &[u8], value: &mut [u8], flags: u64) -> Result<(), Errno>;
    /// BPF_MAP_FREEZE.
    fn map_freeze(&self, map: Fd) -> Result<(), Errno>;
    /// BPF_MAP_LOOKUP_BATCH, and BPF_MAP_LOOKUP_AND_DELETE_BATCH with `delete`: up to `count`
    /// elements from `from` on, which is a former [`Batch::next`].
    fn map_lookup_batch(
        &self,
        map: Fd,
        from: Option<&[u8]>,
        count: u32,
        delete: bool,
        elem_flags: u64,
    ) -> Result<Batch, Errno>;
    /// BPF_MAP_UPDATE_BATCH of `count` keys and values, one after the other.
    fn map_update_batch(
        &self,
        map: Fd,
        keys: &[u8],
        values: &[u8],
        count: u32,
        elem_flags: u64,
    ) -> Result<Batch, Errno>;
    /// BPF_MAP_DELETE_BATCH of `count` keys, one after the other.
    fn map_delete_batch(
        &self,
        map: Fd,
        keys: &[u8],
        count: u32,
        elem_flags: u64,
    ) -> Result<Batch, Errno>;

    /// BPF_BTF_LOAD.
    fn btf_load(&self, req: &BtfLoad) -> Result<Loaded, LoadError>;
    /// BPF_PROG_LOAD.
    fn prog_load(&self, req: &ProgLoad) -> Result<Loaded, LoadError>;
    /// BPF_PROG_TEST_RUN.
    fn test_run(&self, prog: Fd, req: &TestRun) -> Result<TestRunOut, Errno>;
    /// BPF_PROG_BIND_MAP.
    fn bind_map(&self, prog: Fd, map: Fd) -> Result<(), Errno>;
    /// BPF_PROG_STREAM_READ_BY_FD: up to `len` bytes of what the program has printed, 1 being its
    /// output and 2 its errors; ENOENT for another stream.
    fn stream_read(&self, prog: Fd, stream: u32, len: u32) -> Result<Vec<u8>, Errno>;

    /// BPF_OBJ_PIN.
    fn obj_pin(&self, obj: Fd, path: &str) -> Result<(), Errno>;
    /// BPF_OBJ_GET, with `file_flags` BPF_F_RDONLY or BPF_F_WRONLY for maps.
    fn obj_get(&self, path: &str, file_flags: u32) -> Result<Fd, Errno>;
    /// BPF_{PROG,MAP,BTF,LINK}_GET_NEXT_ID: the smallest id above `after`; ENOENT ends.
    fn next_id(&self, kind: ObjKind, after: u32) -> Result<u32, Errno>;
    /// BPF_{PROG,MAP,BTF,LINK}_GET_FD_BY_ID.
    fn fd_by_id(&self, kind: ObjKind, id: u32, open_flags: u32) -> Result<Fd, Errno>;
    /// What a descriptor stands for.
    fn kind(&self, fd: Fd) -> Result<ObjKind, Errno>;
    /// BPF_OBJ_GET_INFO_BY_FD of a program.
    fn prog_info(&self, prog: Fd) -> Result<ProgInfo, Errno>;
    /// BPF_OBJ_GET_INFO_BY_FD of a map.
    fn map_info(&self, map: Fd) -> Result<MapInfo, Errno>;
    /// BPF_OBJ_GET_INFO_BY_FD of BTF.
    fn btf_info(&self, btf: Fd) -> Result<BtfInfo, Errno>;
    /// close(2): the object goes when nothing else holds it.
    fn close(&self, fd: Fd) -> Result<(), Errno>;

    /// mmap(2), shared, of a map's memory.
    fn map_mmap(
        &self,
        _map: Fd,
        _offset: u64,
        _len: usize,
        _write: bool,
    ) -> Result<maps::Mapping, Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// A descriptor of something that is not of bpf(2).
    fn open_outside(&self, _what: &Outside) -> Result<Fd, Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// Every pin, where the door has a file system of its own: path, kind and id of the object.
    fn pins(&self) -> Result<Vec<(String, ObjKind, u32)>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// The names in a folder of the door's own file system, in order.
    fn fs_list(&self, _path: &str) -> Result<Vec<FsEntry>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// mkdir(2) there.
    fn fs_mkdir(&self, _path: &str) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// rmdir(2) there.
    fn fs_rmdir(&self, _path: &str) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// unlink(2) there: the object goes when nothing else holds it.
    fn fs_unlink(&self, _path: &str) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// rename(2) there.
    fn fs_rename(&self, _from: &str, _to: &str) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// What reading a pin gives: the elements of a map with types, what an iterator writes; EIO for
    /// others.
    fn fs_read(&self, _path: &str) -> Result<Vec<u8>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// The lines that programs printed since the last call, as trace_pipe shows them.
    fn take_trace(&self) -> Result<Vec<String>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// The same, waiting up to `millis` milliseconds (at most 1000) where there is none yet.
    fn wait_trace(&self, millis: u32) -> Result<Vec<String>, Errno> {
        let _ = millis;
        self.take_trace()
    }
    /// Number of the type of the programs in a program array, and whether they are compiled; `None`
    /// before the first one.
    fn map_owner(&self, _map: Fd) -> Result<Option<(u32, bool)>, Errno> {
        Ok(None)
    }
    /// What programs have sent through a perf event array since the last call.
    fn take_perf_records(&self, _map: Fd) -> Result<Vec<crate::PerfRecord>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// The other processes that hold objects, in order of kind, id and process.
    fn holders(&self) -> Result<Vec<Holder>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// BPF_ENABLE_STATS: runs are counted until the descriptor is closed.
    fn enable_stats(&self, _what: Counted) -> Result<Fd, Errno> {
        Err(Errno::EINVAL)
    }
    /// BPF_OBJ_GET_INFO_BY_FD of a link.
    fn link_info(&self, _link: Fd) -> Result<LinkInfo, Errno> {
        Err(Errno::EBADF)
    }
    /// BPF_LINK_DETACH.
    fn link_detach(&self, _link: Fd) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// BPF_LINK_CREATE.
    fn link_create(&self, _req: &LinkCreate) -> Result<Fd, Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// BPF_LINK_UPDATE: another program in the link's place; if `old` is given, only instead of it.
    fn link_update(&self, _link: Fd, _new: Fd, _old: Option<Fd>, _flags: u32) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// BPF_RAW_TRACEPOINT_OPEN: of the tracepoint `name`, or of what the program was loaded for.
    fn raw_tracepoint_open(&self, _name: Option<&str>, _prog: Fd) -> Result<Fd, Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// BPF_ITER_CREATE and reading to the end: what the iterator writes.
    fn iter_read(&self, _link: Fd) -> Result<Vec<u8>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// BPF_PROG_ATTACH.
    fn prog_attach(&self, _req: &ProgAttach) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// BPF_PROG_DETACH.
    fn prog_detach(&self, _req: &ProgAttach) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// BPF_PROG_QUERY.
    fn prog_query(&self, _req: &ProgQuery) -> Result<Queried, Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// What rtnetlink's IFLA_XDP does: a program for an interface, none with `None`; `flags` are
    /// `XDP_FLAGS_*`.
    fn xdp_set(&self, _ifindex: u32, _prog: Option<Fd>, _flags: u32) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// Makes an interface of the door's own; its index.
    fn device_add(&self, _req: &DeviceAdd) -> Result<u32, Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// Removes it; links to it stay, detached.
    fn device_del(&self, _name: &str) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// The door's own interfaces.
    fn devices(&self) -> Result<Vec<DeviceInfo>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// Makes a network of hosts.
    fn net_up(&self, _req: &NetUp) -> Result<NetInfo, NetRefused> {
        Err(Errno::EOPNOTSUPP.into())
    }
    /// Ends it, and all that runs in it.
    fn net_down(&self, _name: &str) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// Running networks.
    fn nets(&self) -> Result<Vec<NetInfo>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// Adds a classifier of clsact.
    fn tc_filter_add(&self, _req: &TcFilter) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// Removes those of a direction, a priority, a handle.
    fn tc_filter_del(&self, _req: &TcFilter) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// Those of an interface.
    fn tc_filters(&self, _ifindex: u32) -> Result<Vec<TcFilter>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// Paths of the control groups that something was attached to, where the door has its own.
    fn cgroups(&self) -> Result<Vec<String>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }
}

impl dyn Bpf + '_ {
    /// Bytes that a value of this map takes in user layout.
    pub fn user_value_size(&self, def: &MapDef) -> usize {
        maps::user_value_size(def, self.possible_cpus())
    }
}
