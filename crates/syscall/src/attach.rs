//! Links and attached programs through bpf(2).

use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;

use runtime::door::{AttachTo, Fd, LinkCreate, ProgAttach, ProgQuery, Queried, QueriedProg};
use uapi::attr::{
    Field, iter_create, link_create as lc, link_update as lu, prog_attach as pa, prog_query as pq,
    raw_tracepoint as rt,
};
use uapi::{Cmd, Errno};

use crate::linux::{run, simple};
use crate::sys::{self, Call};

/// Programs that one query gives.
const MAX_QUERIED: usize = 1024;

/// What `to` is in the attribute: a number, and the file that it is a descriptor of.
fn target(to: &AttachTo) -> Result<(i64, Option<File>), Errno> {
    let open = |path: &str| {
        let file = File::open(path);
        file.map_err(|error| Errno(error.raw_os_error().unwrap_or(Errno::EBADF.0)))
    };
    let file = match to {
        AttachTo::Nothing | AttachTo::Netfilter { .. } => return Ok((0, None)),
        AttachTo::Device { ifindex } => return Ok(((*ifindex).into(), None)),
        AttachTo::Map { map } => return Ok((map.0.into(), None)),
        AttachTo::Function { prog, .. } => return Ok((prog.0.into(), None)),
        AttachTo::Cgroup { path } => open(path)?,
        AttachTo::Netns {} => open("/proc/self/ns/net")?,
    };
    Ok((file.as_raw_fd().into(), Some(file)))
}

/// BPF_LINK_CREATE.
pub(crate) fn link_create(req: &LinkCreate) -> Result<Fd, Errno> {
    const TRACE_ITER: u32 = 28;
    const IN_LIST: [Field; 2] = [Field { offset: 16, size: 4 }, Field { offset: 24, size: 8 }];
    let (number, _file) = target(&req.to)?;
    let mut call = Call::new(Cmd::LinkCreate)
        .num(lc::PROG_FD, req.prog.0)
        .num(lc::ATTACH_TYPE, req.attach_type)
        .num(lc::FLAGS, req.flags);
    let map;
    match &req.to {
        AttachTo::Map { .. } if req.attach_type == TRACE_ITER => {
            map = (number as u32).to_le_bytes();
            call = call.input(lc::ITER_INFO, &map).num(lc::ITER_INFO_LEN, map.len() as u32);
        }
        AttachTo::Netfilter { pf, hook, priority, flags } => {
            let words = [*pf, *hook, *priority as u32, *flags];
            for (at, word) in words.into_iter().enumerate() {
                call = call.num(Field { offset: 16 + 4 * at, size: 4 }, word);
            }
        }
        AttachTo::Function { btf_id, .. } => {
            call = call
                .num(lc::TARGET_FD, number)
                .num(lc::TARGET_BTF_ID, *btf_id)
                .num64(Field { offset: 24, size: 8 }, req.cookie);
        }
        AttachTo::Device { .. } | AttachTo::Cgroup { .. } => {
            call = call
                .num(lc::TARGET_FD, number)
                .num(IN_LIST[0], req.relative)
                .num64(IN_LIST[1], req.revision);
        }
        AttachTo::Nothing => {
            call = call.num64(Field { offset: 24, size: 8 }, req.cookie);
        }
        _ => call = call.num(lc::TARGET_FD, number),
    }
    simple(call).map(|answer| Fd(answer.ret))
}

/// BPF_LINK_UPDATE.
pub(crate) fn link_update(link: Fd, new: Fd, old: Option<Fd>, flags: u32) -> Result<(), Errno> {
    let call = Call::new(Cmd::LinkUpdate)
        .num(lu::LINK_FD, link.0)
        .num(lu::NEW_PROG_FD, new.0)
        .num(lu::FLAGS, flags)
        .num(lu::OLD_PROG_FD, old.map_or(0, |fd| fd.0));
    simple(call).map(drop)
}

/// BPF_RAW_TRACEPOINT_OPEN.
pub(crate) fn raw_tracepoint_open(name: Option<&str>, prog: Fd) -> Result<Fd, Errno> {
    let name = name.map(CString::new).transpose().map_err(|_| Errno::EINVAL)?;
    let mut call = Call::new(Cmd::RawTracepointOpen).num(rt::PROG_FD, prog.0);
    if let Some(name) = &name {
        call = call.input(rt::NAME, name.as_bytes_with_nul());
    }
    simple(call).map(|answer| Fd(answer.ret))
}

/// BPF_ITER_CREATE, and the file read to its end.
pub(crate) fn iter_read(link: Fd) -> Result<Vec<u8>, Errno> {
    let answer = simple(Call::new(Cmd::IterCreate).num(iter_create::LINK_FD, link.0))?;
    let mut file = sys::own(answer.ret);
    let mut out = Vec::new();
    let read = file.read_to_end(&mut out);
    read.map_err(|error| Errno(error.raw_os_error().unwrap_or(Errno::EIO.0)))?;
    Ok(out)
}

/// BPF_PROG_ATTACH or BPF_PROG_DETACH.
pub(crate) fn prog_attach(cmd: Cmd, req: &ProgAttach) -> Result<(), Errno> {
    let (number, _file) = target(&req.to)?;
    let call = Call::new(cmd)
        .num(pa::TARGET_FD, number)
        .num(pa::ATTACH_BPF_FD, req.prog.map_or(0, |fd| fd.0))
        .num(pa::ATTACH_TYPE, req.attach_type)
        .num(pa::ATTACH_FLAGS, req.flags)
        .num(pa::REPLACE_BPF_FD, req.replace.map_or(0, |fd| fd.0))
        .num(pa::RELATIVE_FD, req.relative)
        .num64(pa::EXPECTED_REVISION, req.revision);
    simple(call).map(drop)
}

/// BPF_PROG_QUERY.
pub(crate) fn prog_query(req: &ProgQuery) -> Result<Queried, Errno> {
    const EFFECTIVE: u32 = 1;
    let (number, _file) = target(&req.to)?;
    let device = matches!(req.to, AttachTo::Device { .. });
    let group = matches!(req.to, AttachTo::Cgroup { .. });
    let mut ids = vec![0; MAX_QUERIED * 4];
    let mut flags = vec![0; MAX_QUERIED * 4];
    let mut links = vec![0; MAX_QUERIED * 4];
    let mut call = Call::new(Cmd::ProgQuery)
        .num(pq::TARGET_FD, number)
        .num(pq::ATTACH_TYPE, req.attach_type)
        .num(pq::QUERY_FLAGS, req.flags)
        .num(pq::PROG_CNT, MAX_QUERIED as u32)
        .output(pq::PROG_IDS, &mut ids);
    if device || (group && req.flags & EFFECTIVE == 0) {
        call = call.output(pq::PROG_ATTACH_FLAGS, &mut flags);
    }
    if device {
        call = call.output(pq::LINK_IDS, &mut links);
    }
    let answer = run(call).ok()?;
    let count = (answer.num(pq::PROG_CNT) as usize).min(MAX_QUERIED);
    let word = |bytes: &[u8], at: usize| {
        bytes[at * 4..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
    };
    let prog =
        |at| QueriedProg { id: word(&ids, at), flags: word(&flags, at), link: word(&links, at) };
    Ok(Queried {
        flags: answer.num(pq::ATTACH_FLAGS) as u32,
        progs: (0..count).map(prog).collect(),
        revision: answer.num(pq::REVISION),
    })
}
