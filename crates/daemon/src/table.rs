//! The commands, once: number, name, arguments, answer. Client and server are made from it.

use std::time::Duration;

use runtime::PerfRecord;
use runtime::door::{
    Batch, Bpf, BtfInfo, BtfLoad, Counted, DeviceAdd, DeviceInfo, Fd, FsEntry, Holder, LinkCreate,
    LinkInfo, LoadError, Loaded, MapCreate, MapInfo, Mapping, NetInfo, NetRefused, NetUp, ObjKind,
    Outside, ProgAttach, ProgInfo, ProgLoad, ProgQuery, Queried, TcFilter, TestRun, TestRunOut,
};
use uapi::Errno;

use crate::client::Client;
use crate::frame::MAX_FRAME;
use crate::wire::{Bad, Reader, Wire, wire_struct};

/// The daemon's own command: a map's memory, its files with the answer.
pub(crate) const MMAP: u8 = 250;
/// The daemon's own command: such memory is used no more.
pub(crate) const MUNMAP: u8 = 251;
/// The daemon's own command: show the pins at a folder.
pub(crate) const MOUNT: u8 = 252;
/// The daemon's own command: show them there no more.
pub(crate) const UNMOUNT: u8 = 253;
/// The daemon's own command: how it is.
pub(crate) const STATUS: u8 = 254;
/// The daemon's own command: end.
pub(crate) const STOP: u8 = 255;

/// The command that may take long.
pub(crate) const TEST_RUN: u8 = 13;

/// What a daemon says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its process.
    pub pid: u32,
    /// How long it has been running.
    pub uptime: Duration,
    /// Connections, the asking one included.
    pub clients: u32,
    /// Programs.
    pub progs: u32,
    /// Maps.
    pub maps: u32,
    /// BTF objects.
    pub btfs: u32,
    /// Links.
    pub links: u32,
    /// Pins.
    pub pins: u32,
}

wire_struct! { Status { pid, uptime, clients, progs, maps, btfs, links, pins } }

/// An argument's type in the door: given as it is, borrowed, filled by the answer, or a number of
/// entries of a map.
macro_rules! param {
    (plain $($ty:tt)*) => { $($ty)* };
    (lent $($ty:tt)*) => { &$($ty)* };
    (filled) => { &mut [u8] };
    (entries $map:ident) => { u32 };
}

/// Client: the argument into the request.
macro_rules! put {
    ($out:ident $arg:ident plain $($ty:tt)*) => {
        $arg.put($out)
    };
    ($out:ident $arg:ident lent $($ty:tt)*) => {
        $arg.put($out)
    };
    ($out:ident $arg:ident filled) => {
        ($arg.len() as u32).put($out)
    };
    ($out:ident $arg:ident entries $map:ident) => {
        $arg.put($out)
    };
}

/// Client: the argument from the answer.
macro_rules! fill {
    ($from:ident $arg:ident filled) => {
        let bytes: &[u8] = $from.take()?;
        $arg.get_mut(..bytes.len()).ok_or(Bad)?.copy_from_slice(bytes);
    };
    ($from:ident $arg:ident $($other:tt)*) => {};
}

/// Server: the argument from the request.
macro_rules! take {
    ($door:ident $from:ident $arg:ident plain $($ty:tt)*) => {
        let $arg: $($ty)* = $from.take()?;
    };
    ($door:ident $from:ident $arg:ident lent $($ty:tt)*) => {
        let $arg: $($ty)* = $from.take()?;
    };
    ($door:ident $from:ident $arg:ident filled) => {
        let mut $arg = room($from)?;
    };
    ($door:ident $from:ident $arg:ident entries $map:ident) => {
        let $arg = entries($door, $map, $from.take()?);
    };
}

/// Server: the argument as the door takes it.
macro_rules! pass {
    ($arg:ident lent $($ty:tt)*) => {
        &$arg
    };
    ($arg:ident filled) => {
        &mut $arg
    };
    ($arg:ident $($other:tt)*) => {
        $arg
    };
}

/// Server: what was filled, into the answer.
macro_rules! put_filled {
    ($out:ident $arg:ident filled) => {
        $arg.put($out);
    };
    ($out:ident $arg:ident $($other:tt)*) => {};
}

macro_rules! commands {
    ($($op:literal $name:ident($($arg:ident: $kind:ident ($($ty:tt)*)),*) -> $ok:ty, $err:ty;)*) => {
        /// Number and name of every command of the door.
        pub const COMMANDS: &[(u8, &str)] = &[$(($op, stringify!($name)),)*];

        impl Bpf for Client {
            fn possible_cpus(&self) -> u32 {
                self.cpus()
            }

            fn map_mmap(
                &self,
                map: Fd,
                offset: u64,
                len: usize,
                write: bool,
            ) -> Result<Mapping, Errno> {
                self.mmap(map, offset, len, write)
            }

            $(fn $name(&self, $($arg: param!($kind $($ty)*)),*) -> Result<$ok, $err> {
                let mut line = self.line();
                let out = line.begin($op);
                $(put!(out $arg $kind $($ty)*);)*
                ().put(out);
                let answer = line.exchange(|from| {
                    let answer: Result<$ok, $err> = from.take()?;
                    if answer.is_ok() {
                        $(fill!(from $arg $kind $($ty)*);)*
                    }
                    Ok(answer)
                });
                answer.unwrap_or_else(|errno| Err(errno.into()))
            })*
        }

        /// Does the command `op` and writes its answer; nothing is done if it is no command.
        pub(crate) fn dispatch(
            door: &dyn Bpf,
            op: u8,
            from: &mut Reader<'_>,
            out: &mut Vec<u8>,
        ) -> Result<(), Bad> {
            match op {
                $($op => {
                    $(take!(door from $arg $kind $($ty)*);)*
                    from.end()?;
                    let answer: Result<$ok, $err> = door.$name($(pass!($arg $kind $($ty)*)),*);
                    answer.put(out);
                    if answer.is_ok() {
                        $(put_filled!(out $arg $kind $($ty)*);)*
                    }
                    Ok(())
                })*
                _ => Err(Bad),
            }
        }
    };
}

commands! {
    1 map_create(req: lent(MapCreate)) -> Fd, Errno;
    2 map_lookup(map: plain(Fd), key: plain(&[u8]), value: filled(), flags: plain(u64)) -> (), Errno;
    3 map_update(map: plain(Fd), key: plain(&[u8]), value: plain(&[u8]), flags: plain(u64))
        -> (), Errno;
    4 map_delete(map: plain(Fd), key: plain(&[u8])) -> (), Errno;
    5 map_next_key(map: plain(Fd), key: plain(Option<&[u8]>), next: filled()) -> (), Errno;
    6 map_take(map: plain(Fd), key: plain(&[u8]), value: filled(), flags: plain(u64)) -> (), Errno;
    7 map_freeze(map: plain(Fd)) -> (), Errno;
    8 map_lookup_batch(map: plain(Fd), from_key: plain(Option<&[u8]>), count: entries(map),
        delete: plain(bool), elem_flags: plain(u64)) -> Batch, Errno;
    9 map_update_batch(map: plain(Fd), keys: plain(&[u8]), values: plain(&[u8]), count: plain(u32),
        elem_flags: plain(u64)) -> Batch, Errno;
    10 map_delete_batch(map: plain(Fd), keys: plain(&[u8]), count: plain(u32),
        elem_flags: plain(u64)) -> Batch, Errno;
    11 btf_load(req: lent(BtfLoad)) -> Loaded, LoadError;
    12 prog_load(req: lent(ProgLoad)) -> Loaded, LoadError;
    13 test_run(prog: plain(Fd), req: lent(TestRun)) -> TestRunOut, Errno;
    14 bind_map(prog: plain(Fd), map: plain(Fd)) -> (), Errno;
    15 obj_pin(obj: plain(Fd), path: plain(&str)) -> (), Errno;
    16 obj_get(path: plain(&str), file_flags: plain(u32)) -> Fd, Errno;
    17 next_id(kind: plain(ObjKind), after: plain(u32)) -> u32, Errno;
    18 fd_by_id(kind: plain(ObjKind), id: plain(u32), open_flags: plain(u32)) -> Fd, Errno;
    19 kind(fd: plain(Fd)) -> ObjKind, Errno;
    20 prog_info(prog: plain(Fd)) -> ProgInfo, Errno;
    21 map_info(map: plain(Fd)) -> MapInfo, Errno;
    22 btf_info(btf: plain(Fd)) -> BtfInfo, Errno;
    23 close(fd: plain(Fd)) -> (), Errno;
    24 pins() -> Vec<(String, ObjKind, u32)>, Errno;
    25 fs_list(path: plain(&str)) -> Vec<FsEntry>, Errno;
    26 fs_mkdir(path: plain(&str)) -> (), Errno;
    27 fs_rmdir(path: plain(&str)) -> (), Errno;
    28 fs_unlink(path: plain(&str)) -> (), Errno;
    29 take_trace() -> Vec<String>, Errno;
    30 map_owner(map: plain(Fd)) -> Option<(u32, bool)>, Errno;
    31 take_perf_records(map: plain(Fd)) -> Vec<PerfRecord>, Errno;
    32 link_info(link: plain(Fd)) -> LinkInfo, Errno;
    33 link_detach(link: plain(Fd)) -> (), Errno;
    34 link_create(req: lent(LinkCreate)) -> Fd, Errno;
    35 link_update(link: plain(Fd), new: plain(Fd), old: plain(Option<Fd>), flags: plain(u32))
        -> (), Errno;
    36 raw_tracepoint_open(name: plain(Option<&str>), prog: plain(Fd)) -> Fd, Errno;
    37 iter_read(link: plain(Fd)) -> Vec<u8>, Errno;
    38 prog_attach(req: lent(ProgAttach)) -> (), Errno;
    39 prog_detach(req: lent(ProgAttach)) -> (), Errno;
    40 prog_query(req: lent(ProgQuery)) -> Queried, Errno;
    41 xdp_set(ifindex: plain(u32), prog: plain(Option<Fd>), flags: plain(u32)) -> (), Errno;
    42 device_add(req: lent(DeviceAdd)) -> u32, Errno;
    43 device_del(name: plain(&str)) -> (), Errno;
    44 devices() -> Vec<DeviceInfo>, Errno;
    45 cgroups() -> Vec<String>, Errno;
    46 wait_trace(millis: plain(u32)) -> Vec<String>, Errno;
    47 fs_rename(from_path: plain(&str), to: plain(&str)) -> (), Errno;
    48 fs_read(path: plain(&str)) -> Vec<u8>, Errno;
    49 open_outside(what: lent(Outside)) -> Fd, Errno;
    70 net_up(req: lent(NetUp)) -> NetInfo, NetRefused;
    71 net_down(name: plain(&str)) -> (), Errno;
    72 nets() -> Vec<NetInfo>, Errno;
    73 tc_filter_add(req: lent(TcFilter)) -> (), Errno;
    74 tc_filter_del(req: lent(TcFilter)) -> (), Errno;
    75 tc_filters(ifindex: plain(u32)) -> Vec<TcFilter>, Errno;
    59 stream_read(prog: plain(Fd), stream: plain(u32), len: plain(u32)) -> Vec<u8>, Errno;
    60 enable_stats(what: plain(Counted)) -> Fd, Errno;
    61 holders() -> Vec<Holder>, Errno;
}

/// An answer that only says why not, readable as that of any command.
pub(crate) fn put_failure(errno: Errno, out: &mut Vec<u8>) {
    Err::<(), LoadError>(errno.into()).put(out);
}

/// A buffer as long as the client's.
fn room(from: &mut Reader<'_>) -> Result<Vec<u8>, Bad> {
    let len = from.take::<u32>()? as usize;
    if len > MAX_FRAME / 2 { Err(Bad) } else { Ok(vec![0; len]) }
}

/// As many of `count` entries as an answer has room for; the rest stay for the next call.
fn entries(door: &dyn Bpf, map: Fd, count: u32) -> u32 {
    let Ok(info) = door.map_info(map) else { return count };
    let size = info.def.key_size as usize + door.user_value_size(&info.def);
    let fit = MAX_FRAME / 2 / size.max(1);
    count.min(u32::try_from(fit).unwrap_or(u32::MAX).max(1))
}
