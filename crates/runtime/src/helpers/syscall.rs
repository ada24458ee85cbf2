//! System calls of SYSCALL programs, through the door that the test run came by.
//!
//! Addresses within attributes are the program's own words: each is looked up among the memory
//! that the run may read, and is EFAULT where it is not there.

use btf::Kind;
use interp::Trap;
use isa::Insn;
use uapi::attr::{ATTR_SIZE, raw_tracepoint};
use uapi::attr::{Field, btf_load, get_id, link_create, map_create, map_elem, prog_load};
use uapi::{Cmd, Errno, MapDef, MapType, ProgType};
use verifier::{FuncInfo, LineInfo};

use super::{Call, count, mem};
use crate::door::{AttachTo, Bpf, BtfLoad, Fd, LinkCreate, MapCreate, ObjKind, ProgLoad};

/// Largest attribute that is looked at.
const PAGE: usize = 4096;
/// Bytes of a record of functions and of lines.
const FUNC_INFO: usize = 8;
const LINE_INFO: usize = 16;
/// Bytes of BTF and of names.
const BTF_MAX: u64 = 16 << 20;
const NAME_MAX: usize = 128;

/// An attribute, and the program whose memory it names.
struct Request<'c, 'v, 'r> {
    c: &'c mut Call<'v, 'r>,
    attr: [u8; ATTR_SIZE],
}

type Handler = fn(&mut Request<'_, '_, '_>, &dyn Bpf) -> Result<u64, Errno>;

/// The commands that programs may give, and where their attributes end.
const COMMANDS: &[(Cmd, usize, Handler)] = &[
    (Cmd::MapCreate, map_create::SIZE, make_map),
    (Cmd::MapUpdateElem, map_elem::SIZE, update),
    (Cmd::MapDeleteElem, map_elem::VALUE.offset, delete),
    (Cmd::MapFreeze, map_elem::MAP_FD.size, freeze),
    (Cmd::MapGetFdById, get_id::OPEN_FLAGS.offset + 4, map_by_id),
    (Cmd::ProgLoad, prog_load::SIZE, load_prog),
    (Cmd::BtfLoad, btf_load::SIZE, load_btf),
    (Cmd::LinkCreate, link_create::SIZE, make_link),
    (Cmd::RawTracepointOpen, raw_tracepoint::SIZE, open_tracepoint),
];

pub(super) fn sys_bpf(c: &mut Call<'_, '_>, [cmd, attr, size, ..]: [u64; 5]) -> Result<u64, Trap> {
    let size = size as u32 as usize;
    let known = COMMANDS.iter().find(|(known, ..)| *known as u32 == cmd as u32);
    let Some((_, end, handle)) = known else { return Ok(Errno::EINVAL.as_ret()) };
    let given = mem::copy(attr, size.min(PAGE));
    let done = request(&given, size, *end).and_then(|attr| {
        let door = c.run.world.door.ok_or(Errno::EPERM)?;
        c.run.syscalls = c.run.syscalls.checked_sub(1).ok_or(Errno::EAGAIN)?;
        handle(&mut Request { c, attr }, door)
    });
    Ok(count(done))
}

/// The attribute, if nothing is in it that is not known.
fn request(given: &[u8], size: usize, end: usize) -> Result<[u8; ATTR_SIZE], Errno> {
    let behind = given.get(ATTR_SIZE..).unwrap_or_default();
    if size > PAGE || behind.iter().any(|byte| *byte != 0) {
        return Err(Errno::E2BIG);
    }
    let mut attr = [0; ATTR_SIZE];
    let len = given.len().min(ATTR_SIZE);
    attr[..len].copy_from_slice(&given[..len]);
    if attr[end..].iter().any(|byte| *byte != 0) { Err(Errno::EINVAL) } else { Ok(attr) }
}

impl Request<'_, '_, '_> {
    fn word(&self, field: Field) -> u32 {
        field.get(&self.attr) as u32
    }

    fn fd(&self, field: Field) -> Fd {
        Fd(self.word(field) as i32)
    }

    /// A descriptor, if the field is not 0.
    fn fd_if(&self, field: Field) -> Option<Fd> {
        Some(self.fd(field)).filter(|fd| fd.0 != 0)
    }

    /// The bytes that a field points to.
    fn bytes(&mut self, field: Field, len: u64) -> Result<Vec<u8>, Errno> {
        let len = usize::try_from(len).map_err(|_| Errno::E2BIG)?;
        if len == 0 {
            return Ok(Vec::new());
        }
        let bytes = self.c.probe(field.get(&self.attr), len);
        if bytes.len() == len { Ok(bytes) } else { Err(Errno::EFAULT) }
    }

    fn records(
        &mut self,
        at: Field,
        count: Field,
        size: Field,
        of: usize,
    ) -> Result<Vec<u8>, Errno> {
        let count = u64::from(self.word(count));
        if count != 0 && self.word(size) as usize != of {
            return Err(Errno::EINVAL);
        }
        self.bytes(at, count * of as u64)
    }

    fn text(&mut self, field: Field) -> Result<String, Errno> {
        let text = self.c.probe_str(field.get(&self.attr), NAME_MAX).ok_or(Errno::EFAULT)?;
        String::from_utf8(text).map_err(|_| Errno::EINVAL)
    }

    fn name(&self, field: Field) -> Result<String, Errno> {
        let bytes = &self.attr[field.offset..field.offset + field.size];
        let end = bytes.iter().position(|byte| *byte == 0).ok_or(Errno::EINVAL)?;
        String::from_utf8(bytes[..end].to_vec()).map_err(|_| Errno::EINVAL)
    }
}

fn opened(fd: Fd) -> u64 {
    fd.0 as u64
}

fn make_map(r: &mut Request<'_, '_, '_>, door: &dyn Bpf) -> Result<u64, Errno> {
    use map_create as f;
    let map_type = MapType::from_raw(r.word(f::MAP_TYPE)).ok_or(Errno::EINVAL)?;
    let def = MapDef {
        name: r.name(f::MAP_NAME)?,
        flags: r.word(f::MAP_FLAGS),
        extra: f::MAP_EXTRA.get(&r.attr),
        numa_node: r.word(f::NUMA_NODE),
        btf_key_type_id: r.word(f::BTF_KEY_TYPE_ID),
        btf_value_type_id: r.word(f::BTF_VALUE_TYPE_ID),
        btf_vmlinux_value_type_id: r.word(f::BTF_VMLINUX_VALUE_TYPE_ID),
        ..MapDef::new(map_type, r.word(f::KEY_SIZE), r.word(f::VALUE_SIZE), r.word(f::MAX_ENTRIES))
    };
    let typed = def.btf_key_type_id != 0 || def.btf_value_type_id != 0;
    let req =
        MapCreate { def, btf: typed.then(|| r.fd(f::BTF_FD)), inner_map: r.fd_if(f::INNER_MAP_FD) };
    door.map_create(&req).map(opened)
}

fn key(r: &mut Request<'_, '_, '_>, door: &dyn Bpf, map: Fd) -> Result<(MapDef, Vec<u8>), Errno> {
    let def = door.map_info(map)?.def;
    let key = r.bytes(map_elem::KEY, def.key_size.into())?;
    Ok((def, key))
}

fn update(r: &mut Request<'_, '_, '_>, door: &dyn Bpf) -> Result<u64, Errno> {
    let map = r.fd(map_elem::MAP_FD);
    let (def, key) = key(r, door, map)?;
    let value = r.bytes(map_elem::VALUE, door.user_value_size(&def) as u64)?;
    let flags = map_elem::FLAGS.get(&r.attr);
    door.map_update(map, &key, &value, flags).map(|()| 0)
}

fn delete(r: &mut Request<'_, '_, '_>, door: &dyn Bpf) -> Result<u64, Errno> {
    let map = r.fd(map_elem::MAP_FD);
    let (_, key) = key(r, door, map)?;
    door.map_delete(map, &key).map(|()| 0)
}

fn freeze(r: &mut Request<'_, '_, '_>, door: &dyn Bpf) -> Result<u64, Errno> {
    door.map_freeze(r.fd(map_elem::MAP_FD)).map(|()| 0)
}

fn map_by_id(r: &mut Request<'_, '_, '_>, door: &dyn Bpf) -> Result<u64, Errno> {
    let (id, flags) = (r.word(get_id::MAP_ID), r.word(get_id::OPEN_FLAGS));
    door.fd_by_id(ObjKind::Map, id, flags).map(opened)
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.as_chunks::<4>().0.iter().map(|word| u32::from_ne_bytes(*word))
}

fn load_prog(r: &mut Request<'_, '_, '_>, door: &dyn Bpf) -> Result<u64, Errno> {
    use prog_load as f;
    let slots = r.word(f::INSN_CNT) as usize;
    if slots == 0 || slots > uapi::MAX_INSNS {
        return Err(Errno::E2BIG);
    }
    let slots = r.bytes(f::INSNS, slots as u64 * 8)?;
    let funcs = r.records(f::FUNC_INFO, f::FUNC_INFO_CNT, f::FUNC_INFO_REC_SIZE, FUNC_INFO)?;
    let lines = r.records(f::LINE_INFO, f::LINE_INFO_CNT, f::LINE_INFO_REC_SIZE, LINE_INFO)?;
    let of_funcs: Vec<u32> = words(&funcs).collect();
    let of_lines: Vec<u32> = words(&lines).collect();
    let (funcs, _) = of_funcs.as_chunks::<2>();
    let (lines, _) = of_lines.as_chunks::<4>();
    // The kernel takes descriptors as they are used; their number need not be given.
    let fds = match r.word(f::FD_ARRAY_CNT) {
        0 if f::FD_ARRAY.get(&r.attr) != 0 => named_fds(&slots),
        count => count as usize,
    };
    let fd_array = r.bytes(f::FD_ARRAY, fds as u64 * 4)?;
    let req = ProgLoad {
        name: r.name(f::PROG_NAME)?,
        prog_type: ProgType::from_raw(r.word(f::PROG_TYPE)),
        expected_attach_type: r.word(f::EXPECTED_ATTACH_TYPE),
        flags: r.word(f::PROG_FLAGS),
        license: r.text(f::LICENSE)?,
        insns: slots.as_chunks::<8>().0.iter().map(|slot| Insn::from_bytes(*slot)).collect(),
        btf: r.fd_if(f::PROG_BTF_FD),
        func_info: funcs
            .iter()
            .map(|&[insn_off, type_id]| FuncInfo { insn_off, type_id })
            .collect(),
        line_info: lines
            .iter()
            .map(|&[insn_off, file_name_off, line_off, line_col]| LineInfo {
                insn_off,
                file_name_off,
                line_off,
                line_col,
            })
            .collect(),
        attach_btf_id: r.word(f::ATTACH_BTF_ID),
        attach_prog: r.fd_if(f::ATTACH_PROG_FD),
        fd_array: words(&fd_array).map(|fd| Fd(fd as i32)).collect(),
        ifindex: r.word(f::PROG_IFINDEX),
        ..ProgLoad::default()
    };
    let loaded = door.prog_load(&req).map_err(|error| error.errno)?;
    Ok(opened(loaded.fd))
}

/// How many descriptors the slots index.
fn named_fds(slots: &[u8]) -> usize {
    const LD_IMM64: u8 = 0x18;
    const CALL: u8 = 0x85;
    let index = |slot: &[u8; 8]| {
        let (src, imm) = (slot[1] >> 4, u32::from_le_bytes([slot[4], slot[5], slot[6], slot[7]]));
        match (slot[0], src) {
            (LD_IMM64, 5 | 6) => imm as usize + 1,
            (CALL, 2) => usize::from(u16::from_le_bytes([slot[2], slot[3]])) + 1,
            _ => 0,
        }
    };
    slots.as_chunks::<8>().0.iter().map(index).max().unwrap_or(0)
}

fn load_btf(r: &mut Request<'_, '_, '_>, door: &dyn Bpf) -> Result<u64, Errno> {
    let size = u64::from(r.word(btf_load::BTF_SIZE));
    if size > BTF_MAX {
        return Err(Errno::E2BIG);
    }
    let req = BtfLoad { data: r.bytes(btf_load::BTF, size)?, ..BtfLoad::default() };
    door.btf_load(&req).map(|loaded| opened(loaded.fd)).map_err(|error| error.errno)
}

/// Attach types that name a network interface.
const ON_DEVICES: &[u32] = &[37, 46, 47, 54, 55];

fn make_link(r: &mut Request<'_, '_, '_>, door: &dyn Bpf) -> Result<u64, Errno> {
    use link_create as f;
    let attach_type = r.word(f::ATTACH_TYPE);
    let target = r.word(f::TARGET_IFINDEX);
    let to = match target {
        0 => AttachTo::Nothing,
        ifindex if ON_DEVICES.contains(&attach_type) => AttachTo::Device { ifindex },
        _ => return Err(Errno::EOPNOTSUPP),
    };
    let req = LinkCreate {
        prog: r.fd(f::PROG_FD),
        attach_type,
        flags: r.word(f::FLAGS),
        to,
        ..LinkCreate::default()
    };
    door.link_create(&req).map(opened)
}

fn open_tracepoint(r: &mut Request<'_, '_, '_>, door: &dyn Bpf) -> Result<u64, Errno> {
    let named = raw_tracepoint::NAME.get(&r.attr) != 0;
    let name = if named { Some(r.text(raw_tracepoint::NAME)?) } else { None };
    let prog = r.fd(raw_tracepoint::PROG_FD);
    door.raw_tracepoint_open(name.as_deref(), prog).map(opened)
}

/// The id of a type of the kernel, by name and kind.
pub(super) fn find_type(
    c: &mut Call<'_, '_>,
    [name, size, kind, flags, _]: [u64; 5],
) -> Result<u64, Trap> {
    let (size, flags) = (size as u32 as usize, flags as u32);
    let text = mem::copy(name, size);
    let found = || {
        if flags != 0 || size <= 1 || text.last() != Some(&0) {
            return Err(Errno::EINVAL);
        }
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(0);
        let name = std::str::from_utf8(&text[..end]).map_err(|_| Errno::ENOENT)?;
        let btf = c.run.core.config.kernel_btf.as_ref().ok_or(Errno::EINVAL)?;
        let kind = Kind::from_number(kind as u32).ok_or(Errno::ENOENT)?;
        btf.find_by_name(name, kind).map(|id| u64::from(id.0)).ok_or(Errno::ENOENT)
    };
    Ok(count(found()))
}

pub(super) fn close(c: &mut Call<'_, '_>, [fd, ..]: [u64; 5]) -> Result<u64, Trap> {
    let door = c.run.world.door.ok_or(Errno::EBADF);
    Ok(super::status(door.and_then(|door| door.close(Fd(fd as u32 as i32)))))
}
