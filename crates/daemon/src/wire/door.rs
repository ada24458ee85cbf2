//! The door's requests and answers.

use std::cell::Cell;
use std::collections::BTreeSet;

use isa::Insn;
use parking_lot::Mutex;
use runtime::PerfRecord;
use runtime::door::{
    AttachTo, Batch, BtfInfo, BtfLoad, Counted, DeviceAdd, DeviceCounts, DeviceInfo, Fd, FsEntry,
    GivenCtx, GivenSysctl, Holder, LinkCreate, LinkInfo, LinkTarget, LoadError, Loaded, LogRequest,
    MapCreate, MapInfo, NetHost, NetInfo, NetRefused, NetUp, ObjKind, Outside, ProgAttach,
    ProgInfo, ProgLoad, ProgQuery, Queried, QueriedProg, SocketKind, TcFilter, TestRun, TestRunOut,
};
use uapi::{Errno, MapDef, MapType, ProgType};
use verifier::{FuncInfo, LineInfo, Rejection, Stats};

use super::{Bad, Reader, Wire, wire_struct};

wire_struct! {
    MapCreate { def, btf, inner_map }
    LogRequest { level, size }
    BtfLoad { data, log }
    ProgLoad {
        name, prog_type, expected_attach_type, flags, license, insns, btf, func_info, line_info,
        attach_btf_id, attach_prog, fd_array, core_relos, ifindex, log,
    }
    Loaded { fd, log, log_true_size, stats }
    LoadError { errno, log, log_true_size, rejection }
    TestRun { data_in, data_out, ctx_in, ctx_out, repeat, flags, cpu, batch_size, given }
    GivenCtx { memory, ctx, pointers, task, cookie, func_ip, socket, message, sysctl, counter }
    GivenSysctl { name, current, new }
    TestRunOut { retval, duration_ns, data_out, data_size_out, ctx_out, ctx_size_out, truncated }
    ProgInfo {
        prog_type, attach_type, id, tag, name, load_time, created_by_uid, map_ids, gpl_compatible, btf_id, xlated,
        jited, jited_ksyms, jited_func_lens, jited_lines, func_info, line_info, verified_insns, run_time_ns,
        run_cnt, run_insns, recursion_misses, attach_btf_id, attach_btf_obj_id, memlock,
    }
    MapInfo { id, def, btf_id, frozen, memlock }
    BtfInfo { id, data, name, kernel_btf }
    LinkInfo { link_type, id, prog_id, target }
    LinkCreate { prog, attach_type, flags, to, cookie, relative, revision }
    ProgAttach { prog, attach_type, flags, to, replace, relative, revision }
    ProgQuery { attach_type, flags, to }
    Queried { flags, progs, revision }
    QueriedProg { id, flags, link }
    DeviceAdd { name, capture, rate, again, out, peer, real }
    DeviceInfo { ifindex, made, xdp_prog, xdp_mode, counts, ended, error }
    DeviceCounts {
        packets, bytes, aborted, drop, pass, tx, redirect, tc_pass, tc_drop, tc_redirect,
        egress_pass, egress_drop, egress_redirect, sent, sent_bytes, lost,
    }
    NetUp { name, hosts, write, points }
    NetInfo { name, pid, own_users, hosts }
    NetHost { name, ifindex, address, mac }
    NetRefused { errno, message }
    TcFilter { ifindex, egress, priority, handle, prog, prog_id, label }
    FsEntry { name, object }
    Holder { kind, id, pid, comm }
    PerfRecord { cpu, time, data }
    Batch { next, keys, values, count, errno }
    FuncInfo { insn_off, type_id }
    LineInfo { insn_off, file_name_off, line_off, line_col }
    Stats { processed_insns, max_states_per_insn, total_states, peak_states, time }
}

/// A number in a wrapper.
macro_rules! wire_newtype {
    ($($name:ident)*) => {$(
        impl Wire<'_> for $name {
            const MIN: usize = 4;
            fn put(&self, out: &mut Vec<u8>) {
                self.0.put(out);
            }
            fn take(from: &mut Reader<'_>) -> Result<$name, Bad> {
                from.take().map($name)
            }
        }
    )*};
}

wire_newtype!(Fd Errno);

/// An enumeration of Linux, by its number.
macro_rules! wire_raw {
    ($($name:ident)*) => {$(
        impl Wire<'_> for $name {
            const MIN: usize = 4;
            fn put(&self, out: &mut Vec<u8>) {
                self.raw().put(out);
            }
            fn take(from: &mut Reader<'_>) -> Result<$name, Bad> {
                $name::from_raw(from.take()?).ok_or(Bad)
            }
        }
    )*};
}

wire_raw!(MapType ProgType);

/// An enumeration: a number of each variant, and its fields.
macro_rules! wire_enum {
    ($name:ident { $($tag:literal $variant:ident { $($field:ident),* })* }) => {
        impl<'a> Wire<'a> for $name {
            fn put(&self, out: &mut Vec<u8>) {
                match self {$(
                    $name::$variant { $($field),* } => {
                        out.push($tag);
                        $($field.put(out);)*
                    }
                )*}
            }
            fn take(from: &mut Reader<'a>) -> Result<$name, Bad> {
                match from.take::<u8>()? {
                    $($tag => Ok($name::$variant { $($field: from.take()?),* }),)*
                    _ => Err(Bad),
                }
            }
        }
    };
}

wire_enum!(Counted { 0 RunTime {} 1 Insns {} });
wire_enum!(ObjKind { 0 Prog {} 1 Map {} 2 Btf {} 3 Link {} });
wire_enum!(AttachTo {
    0 Nothing {}
    1 Device { ifindex }
    2 Cgroup { path }
    3 Netns {}
    4 Netfilter { pf, hook, priority, flags }
    5 Map { map }
    6 Function { prog, btf_id }
});
wire_enum!(LinkTarget {
    0 None {}
    1 RawTracepoint { name }
    2 Tracing { attach_type, obj_id, btf_id }
    3 Cgroup { cgroup_id, attach_type }
    4 Iter { target, map_id }
    5 Netns { inode, attach_type }
    6 Xdp { ifindex }
    7 Device { ifindex, attach_type }
    8 Netfilter { pf, hook, priority, flags }
    9 StructOps { map_id }
});

wire_enum!(SocketKind {
    0 TcpClosed {}
    1 TcpListening {}
    2 TcpConnected {}
    3 Udp {}
    4 UdpReuseport {}
    5 Xdp {}
});

impl Wire<'_> for Outside {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Outside::Socket(kind) => (0_u8, *kind).put(out),
            Outside::Task(pid) => (1_u8, *pid).put(out),
            Outside::File(path) => (2_u8, path.as_str()).put(out),
            Outside::Cgroup(path) => (3_u8, path.as_str()).put(out),
            Outside::PerfEvent(cpu) => (4_u8, *cpu).put(out),
        }
    }
    fn take(from: &mut Reader<'_>) -> Result<Outside, Bad> {
        match from.take::<u8>()? {
            0 => from.take().map(Outside::Socket),
            1 => from.take().map(Outside::Task),
            2 => from.take().map(Outside::File),
            3 => from.take().map(Outside::Cgroup),
            4 => from.take().map(Outside::PerfEvent),
            _ => Err(Bad),
        }
    }
}

impl Wire<'_> for Insn {
    const MIN: usize = 8;
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_bytes());
    }
    fn take(from: &mut Reader<'_>) -> Result<Insn, Bad> {
        from.take::<[u8; 8]>().map(Insn::from_bytes)
    }
}

impl Wire<'_> for MapDef {
    const MIN: usize = 40;
    fn put(&self, out: &mut Vec<u8>) {
        let MapDef {
            name,
            map_type,
            key_size,
            value_size,
            max_entries,
            flags,
            extra,
            numa_node,
            btf_key_type_id,
            btf_value_type_id,
            btf_vmlinux_value_type_id,
            inner,
        } = self;
        name.put(out);
        map_type.put(out);
        for number in [key_size, value_size, max_entries, flags, numa_node] {
            number.put(out);
        }
        extra.put(out);
        for id in [btf_key_type_id, btf_value_type_id, btf_vmlinux_value_type_id] {
            id.put(out);
        }
        inner.is_some().put(out);
        if let Some(inner) = inner {
            inner.put(out);
        }
    }

    fn take(from: &mut Reader<'_>) -> Result<MapDef, Bad> {
        thread_local! {
            /// Maps in maps that are being read: a hostile nest must not become a deep stack.
            static DEPTH: Cell<u32> = const { Cell::new(0) };
        }
        let name = from.take()?;
        let map_type = from.take()?;
        let (key_size, value_size, max_entries) = from.take()?;
        let (flags, numa_node) = from.take()?;
        let extra = from.take()?;
        let (btf_key_type_id, btf_value_type_id, btf_vmlinux_value_type_id) = from.take()?;
        let inner = if from.take()? {
            let depth = DEPTH.get();
            if depth == MAX_DEPTH {
                return Err(Bad);
            }
            DEPTH.set(depth + 1);
            let inner = MapDef::take(from);
            DEPTH.set(depth);
            Some(Box::new(inner?))
        } else {
            None
        };
        Ok(MapDef {
            name,
            map_type,
            key_size,
            value_size,
            max_entries,
            flags,
            extra,
            numa_node,
            btf_key_type_id,
            btf_value_type_id,
            btf_vmlinux_value_type_id,
            inner,
        })
    }
}

/// Maps in maps in a definition.
const MAX_DEPTH: u32 = 4;

impl Wire<'_> for Rejection {
    const MIN: usize = 10;
    fn put(&self, out: &mut Vec<u8>) {
        let Rejection { errno, id, message, reason, insn, needs } = self;
        errno.put(out);
        id.put(out);
        message.put(out);
        reason.put(out);
        insn.map(|i| i as u64).put(out);
        needs.put(out);
    }
    fn take(from: &mut Reader<'_>) -> Result<Rejection, Bad> {
        Ok(Rejection {
            errno: from.take()?,
            id: from.take()?,
            message: from.take()?,
            reason: from.take()?,
            insn: from.take::<Option<u64>>()?.map(|i| i as usize),
            needs: from.take::<Option<&str>>()?.map(kept),
        })
    }
}

impl Wire<'_> for Box<Rejection> {
    const MIN: usize = <Rejection as Wire<'_>>::MIN;
    fn put(&self, out: &mut Vec<u8>) {
        self.as_ref().put(out);
    }
    fn take(from: &mut Reader<'_>) -> Result<Box<Rejection>, Bad> {
        from.take().map(Box::new)
    }
}

/// A name that lives as long as the process. The verifier has few; more than that are not kept.
fn kept(name: &str) -> &'static str {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock();
    if let Some(known) = names.get(name) {
        return known;
    }
    if names.len() == 256 || name.len() > 256 {
        return "a feature";
    }
    let new: &'static str = Box::leak(name.to_owned().into_boxed_str());
    names.insert(new);
    new
}
