//! Linux's bpf(2) behind the door.

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::{Arc, Mutex, PoisonError};

use isa::Insn;
use runtime::Mapping;
use runtime::door::{
    Batch, Bpf, BtfInfo, BtfLoad, Counted, Fd, Holder, LinkCreate, LinkInfo, LoadError, Loaded,
    LogRequest, MapCreate, MapInfo, ObjKind, Outside, ProgAttach, ProgInfo, ProgLoad, ProgQuery,
    Queried, TestRun, TestRunOut,
};
use uapi::attr::{
    self, btf_load, enable_stats, get_id, info, link_detach, map_batch, map_create, map_elem, obj,
    prog_bind_map, prog_load, test_run,
};
use uapi::{Cmd, Errno, MapDef, MapType};
use verifier::{FuncInfo, LineInfo};

use crate::sys::{self, Answer, Call};
use crate::{attach, fdinfo, holders, link, outside};

const FUNC_INFO_SIZE: u32 = 8;
const LINE_INFO_SIZE: u32 = 16;
const DEFAULT_LOG: u32 = 16 << 20;

/// The running kernel.
pub struct Linux {
    cpus: u32,
    /// What keys and values of our maps measure: the kernel believes our buffers.
    maps: Mutex<HashMap<i32, MapDef>>,
}

impl Default for Linux {
    fn default() -> Linux {
        Linux::new()
    }
}

/// Runs a call whose every buffer has its length in a field beside it.
pub(crate) fn run(call: Call<'_>) -> Answer {
    // SAFETY: this module writes the length of a buffer in the same expression as its address,
    // or has checked it against the map's sizes (`Linux::sized`).
    unsafe { call.run() }
}

pub(crate) fn simple(call: Call<'_>) -> Result<Answer, Errno> {
    run(call).ok()
}

impl Linux {
    /// The door; opens nothing yet.
    pub fn new() -> Linux {
        Linux { cpus: fdinfo::possible_cpus(), maps: Mutex::default() }
    }

    /// The door if this process may load programs, or why not: EPERM, ENOSYS.
    pub fn probe() -> Result<Linux, Errno> {
        let linux = Linux::new();
        let req = ProgLoad {
            prog_type: Some(uapi::ProgType::SocketFilter),
            license: "GPL".into(),
            insns: vec![Insn::new(0xb7, 0, 0, 0, 0), Insn::new(0x95, 0, 0, 0, 0)],
            ..ProgLoad::default()
        };
        let loaded = linux.prog_load(&req).map_err(|e| e.errno)?;
        linux.close(loaded.fd)?;
        Ok(linux)
    }

    fn def(&self, map: Fd) -> Result<MapDef, Errno> {
        let mut known = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(def) = known.get(&map.0) {
            return Ok(def.clone());
        }
        let def = self.map_info(map)?.def;
        known.insert(map.0, def.clone());
        Ok(def)
    }

    /// EFAULT unless the buffers have room for what the kernel reads and writes.
    fn sized(&self, map: Fd, key: Option<usize>, value: Option<usize>) -> Result<MapDef, Errno> {
        let def = self.def(map)?;
        // Nothing at all goes to the kernel as a null pointer.
        let short = key.is_some_and(|k| k != 0 && k < def.key_size as usize)
            || value.is_some_and(|v| v != 0 && v < (self as &dyn Bpf).user_value_size(&def));
        if short { Err(Errno::EFAULT) } else { Ok(def) }
    }

    fn batch(
        &self,
        cmd: Cmd,
        map: Fd,
        input: BatchInput<'_>,
        count: u32,
        elem_flags: u64,
    ) -> Result<Batch, Errno> {
        let def = self.def(map)?;
        let n = count as usize;
        let key_size = def.key_size as usize;
        let value_size = (self as &dyn Bpf).user_value_size(&def);
        let room = |given: &[u8], size: usize| -> Result<Vec<u8>, Errno> {
            let len = size.checked_mul(n).ok_or(Errno::ENOMEM)?;
            let mut buffer = given.to_vec();
            if !given.is_empty() && given.len() < len {
                return Err(Errno::EFAULT);
            }
            buffer.resize(len, 0);
            Ok(buffer)
        };
        let (mut keys, mut values) = (room(input.keys, key_size)?, room(input.values, value_size)?);
        // Hash maps write a bucket number here, whatever their key.
        let mut next = vec![0; key_size.max(4)];
        let mut call = Call::new(cmd)
            .num(map_batch::MAP_FD, map.0)
            .num(map_batch::COUNT, count)
            .num64(map_batch::ELEM_FLAGS, elem_flags)
            .output(map_batch::OUT_BATCH, &mut next)
            .output(map_batch::KEYS, &mut keys)
            .output(map_batch::VALUES, &mut values);
        if let Some(from) = input.from {
            if from.len() < key_size.max(4) {
                return Err(Errno::EFAULT);
            }
            call = call.input(map_batch::IN_BATCH, from);
        }
        let answer = run(call);
        let errno = answer.errno;
        let done = (answer.num(map_batch::COUNT) as u32).min(count);
        if let Some(errno) = errno.filter(|e| *e != Errno::ENOENT) {
            return Err(errno);
        }
        keys.truncate(done as usize * key_size);
        values.truncate(done as usize * value_size);
        Ok(Batch { next, keys, values, count: done, errno })
    }

    /// The bytes of an info struct; `room` is its length.
    fn info_bytes(&self, fd: Fd, mut bytes: Vec<u8>) -> Result<Vec<u8>, Errno> {
        let len = bytes.len() as u32;
        simple(
            Call::new(Cmd::ObjGetInfoByFd)
                .num(info::BPF_FD, fd.0)
                .num(info::INFO_LEN, len)
                .output(info::INFO, &mut bytes),
        )?;
        Ok(bytes)
    }
}

/// What a batch command is given.
#[derive(Default)]
struct BatchInput<'a> {
    from: Option<&'a [u8]>,
    keys: &'a [u8],
    values: &'a [u8],
}

impl Bpf for Linux {
    fn possible_cpus(&self) -> u32 {
        self.cpus
    }

    fn map_create(&self, req: &MapCreate) -> Result<Fd, Errno> {
        let def = &req.def;
        let answer = simple(
            Call::new(Cmd::MapCreate)
                .num(map_create::MAP_TYPE, def.map_type.raw())
                .num(map_create::KEY_SIZE, def.key_size)
                .num(map_create::VALUE_SIZE, def.value_size)
                .num(map_create::MAX_ENTRIES, def.max_entries)
                .num(map_create::MAP_FLAGS, def.flags)
                .num(map_create::NUMA_NODE, def.numa_node)
                .num(map_create::INNER_MAP_FD, req.inner_map.map_or(0, |fd| fd.0))
                .num(map_create::BTF_FD, req.btf.map_or(0, |fd| fd.0))
                .num(map_create::BTF_KEY_TYPE_ID, def.btf_key_type_id)
                .num(map_create::BTF_VALUE_TYPE_ID, def.btf_value_type_id)
                .num(map_create::BTF_VMLINUX_VALUE_TYPE_ID, def.btf_vmlinux_value_type_id)
                .num64(map_create::MAP_EXTRA, def.extra)
                .text(map_create::MAP_NAME, &def.name),
        )?;
        let mut known = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(answer.ret, def.clone());
        Ok(Fd(answer.ret))
    }

    fn map_lookup(&self, map: Fd, key: &[u8], value: &mut [u8], flags: u64) -> Result<(), Errno> {
        self.sized(map, Some(key.len()), Some(value.len()))?;
        simple(
            Call::new(Cmd::MapLookupElem)
                .num(map_elem::MAP_FD, map.0)
                .input(map_elem::KEY, key)
                .output(map_elem::VALUE, value)
                .num64(map_elem::FLAGS, flags),
        )
        .map(drop)
    }

    fn map_update(&self, map: Fd, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.sized(map, Some(key.len()), Some(value.len()))?;
        simple(
            Call::new(Cmd::MapUpdateElem)
                .num(map_elem::MAP_FD, map.0)
                .input(map_elem::KEY, key)
                .input(map_elem::VALUE, value)
                .num64(map_elem::FLAGS, flags),
        )
        .map(drop)
    }

    fn map_delete(&self, map: Fd, key: &[u8]) -> Result<(), Errno> {
        self.sized(map, Some(key.len()), None)?;
        let call = Call::new(Cmd::MapDeleteElem).num(map_elem::MAP_FD, map.0);
        simple(call.input(map_elem::KEY, key)).map(drop)
    }

    fn map_next_key(&self, map: Fd, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        let def = self.sized(map, key.map(<[u8]>::len), None)?;
        if next.len() < def.key_size as usize {
            return Err(Errno::EFAULT);
        }
        simple(
            Call::new(Cmd::MapGetNextKey)
                .num(map_elem::MAP_FD, map.0)
                .input(map_elem::KEY, key.unwrap_or_default())
                .output(map_elem::NEXT_KEY, next),
        )
        .map(drop)
    }

    fn map_take(&self, map: Fd, key: &[u8], value: &mut [u8], flags: u64) -> Result<(), Errno> {
        self.sized(map, Some(key.len()), Some(value.len()))?;
        simple(
            Call::new(Cmd::MapLookupAndDeleteElem)
                .num(map_elem::MAP_FD, map.0)
                .input(map_elem::KEY, key)
                .output(map_elem::VALUE, value)
                .num64(map_elem::FLAGS, flags),
        )
        .map(drop)
    }

    fn map_mmap(&self, map: Fd, offset: u64, len: usize, write: bool) -> Result<Mapping, Errno> {
        Mapping::file(crate::sys::borrowed(map.0)?, offset, len, write)
    }

    fn open_outside(&self, what: &Outside) -> Result<Fd, Errno> {
        outside::open(what)
    }

    fn map_freeze(&self, map: Fd) -> Result<(), Errno> {
        simple(Call::new(Cmd::MapFreeze).num(map_elem::MAP_FD, map.0)).map(drop)
    }

    fn map_lookup_batch(
        &self,
        map: Fd,
        from: Option<&[u8]>,
        count: u32,
        delete: bool,
        elem_flags: u64,
    ) -> Result<Batch, Errno> {
        let cmd = if delete { Cmd::MapLookupAndDeleteBatch } else { Cmd::MapLookupBatch };
        self.batch(cmd, map, BatchInput { from, ..BatchInput::default() }, count, elem_flags)
    }

    fn map_update_batch(
        &self,
        map: Fd,
        keys: &[u8],
        values: &[u8],
        count: u32,
        elem_flags: u64,
    ) -> Result<Batch, Errno> {
        let input = BatchInput { from: None, keys, values };
        self.batch(Cmd::MapUpdateBatch, map, input, count, elem_flags)
    }

    fn map_delete_batch(
        &self,
        map: Fd,
        keys: &[u8],
        count: u32,
        elem_flags: u64,
    ) -> Result<Batch, Errno> {
        let input = BatchInput { keys, ..BatchInput::default() };
        self.batch(Cmd::MapDeleteBatch, map, input, count, elem_flags)
    }

    fn btf_load(&self, req: &BtfLoad) -> Result<Loaded, LoadError> {
        let mut log = LogBuffer::new(req.log);
        let call = Call::new(Cmd::BtfLoad)
            .num(btf_load::BTF_SIZE, req.data.len() as u32)
            .input(btf_load::BTF, &req.data)
            .num(btf_load::BTF_LOG_LEVEL, req.log.level)
            .num(btf_load::BTF_LOG_SIZE, log.size())
            .output(btf_load::BTF_LOG_BUF, &mut log.bytes);
        let result = run(call);
        log.finish(result, btf_load::BTF_LOG_TRUE_SIZE)
    }

    fn prog_load(&self, req: &ProgLoad) -> Result<Loaded, LoadError> {
        let mut log = LogBuffer::new(req.log);
        let mut license = req.license.clone().into_bytes();
        license.push(0);
        let buffers = LoadBuffers::new(req);
        let call = Call::new(Cmd::ProgLoad)
            .num(prog_load::PROG_TYPE, req.prog_type.map_or(u32::MAX, |t| t.raw()))
            .num(prog_load::EXPECTED_ATTACH_TYPE, req.expected_attach_type)
            .num(prog_load::PROG_FLAGS, req.flags)
            .text(prog_load::PROG_NAME, &req.name)
            .input(prog_load::LICENSE, &license)
            .num(prog_load::INSN_CNT, req.insns.len() as u32)
            .input(prog_load::INSNS, &buffers.insns)
            .num(prog_load::PROG_BTF_FD, req.btf.map_or(0, |fd| fd.0))
            .num(prog_load::FUNC_INFO_REC_SIZE, FUNC_INFO_SIZE)
            .num(prog_load::FUNC_INFO_CNT, req.func_info.len() as u32)
            .input(prog_load::FUNC_INFO, &buffers.func_info)
            .num(prog_load::LINE_INFO_REC_SIZE, LINE_INFO_SIZE)
            .num(prog_load::LINE_INFO_CNT, req.line_info.len() as u32)
            .input(prog_load::LINE_INFO, &buffers.line_info)
            .num(prog_load::ATTACH_BTF_ID, req.attach_btf_id)
            .num(prog_load::ATTACH_PROG_FD, req.attach_prog.map_or(0, |fd| fd.0))
            .num(prog_load::PROG_IFINDEX, req.ifindex)
            .input(prog_load::FD_ARRAY, &buffers.fd_array)
            .num(prog_load::CORE_RELO_CNT, (req.core_relos.len() / 16) as u32)
            .num(prog_load::CORE_RELO_REC_SIZE, if req.core_relos.is_empty() { 0 } else { 16 })
            .input(prog_load::CORE_RELOS, &req.core_relos)
            .num(prog_load::LOG_LEVEL, req.log.level)
            .num(prog_load::LOG_SIZE, log.size())
            .output(prog_load::LOG_BUF, &mut log.bytes);
        let result = run(call);
        log.finish(result, prog_load::LOG_TRUE_SIZE)
    }

    fn test_run(&self, prog: Fd, req: &TestRun) -> Result<TestRunOut, Errno> {
        if req.given.is_some() {
            return Err(Errno::ENOTSUPP);
        }
        let data_in = req.data_in.as_deref().unwrap_or_default();
        // A context of no bytes is a pointer all the same, which Linux refuses.
        let ctx_size_in = req.ctx_in.as_ref().map_or(0, Vec::len) as u32;
        let ctx_in = req.ctx_in.as_deref().map(|b| if b.is_empty() { &[0] } else { b });
        let mut data_out = vec![0; req.data_out.unwrap_or(0) as usize];
        let ctx_size_out = req.ctx_out.unwrap_or(0);
        let mut ctx_out = vec![0; req.ctx_out.map_or(0, |n| n.max(1)) as usize];
        let call = Call::new(Cmd::ProgTestRun)
            .num(test_run::PROG_FD, prog.0)
            .num(test_run::DATA_SIZE_IN, data_in.len() as u32)
            .input(test_run::DATA_IN, data_in)
            .num(test_run::DATA_SIZE_OUT, data_out.len() as u32)
            .output(test_run::DATA_OUT, &mut data_out)
            .num(test_run::CTX_SIZE_IN, ctx_size_in)
            .input(test_run::CTX_IN, ctx_in.unwrap_or_default())
            .num(test_run::CTX_SIZE_OUT, ctx_size_out)
            .output(test_run::CTX_OUT, &mut ctx_out)
            .num(test_run::REPEAT, req.repeat)
            .num(test_run::FLAGS, req.flags)
            .num(test_run::CPU, req.cpu)
            .num(test_run::BATCH_SIZE, req.batch_size);
        let answer = run(call);
        let truncated = match answer.errno {
            None => false,
            Some(Errno::ENOSPC) => true,
            Some(errno) => return Err(errno),
        };
        let data_size_out = answer.num(test_run::DATA_SIZE_OUT) as u32;
        let ctx_size_out = answer.num(test_run::CTX_SIZE_OUT) as u32;
        data_out.truncate(data_size_out as usize);
        ctx_out.truncate(ctx_size_out as usize);
        Ok(TestRunOut {
            retval: answer.num(test_run::RETVAL) as u32,
            duration_ns: answer.num(test_run::DURATION) as u32,
            data_out,
            data_size_out,
            ctx_out,
            ctx_size_out,
            truncated,
        })
    }

    fn bind_map(&self, prog: Fd, map: Fd) -> Result<(), Errno> {
        let call = Call::new(Cmd::ProgBindMap).num(prog_bind_map::PROG_FD, prog.0);
        simple(call.num(prog_bind_map::MAP_FD, map.0)).map(drop)
    }

    fn stream_read(&self, prog: Fd, stream: u32, len: u32) -> Result<Vec<u8>, Errno> {
        use uapi::attr::prog_stream_read as attr;
        let mut out = vec![0; len as usize];
        let read = simple(
            Call::new(Cmd::ProgStreamReadByFd)
                .output(attr::STREAM_BUF, &mut out)
                .num(attr::STREAM_BUF_LEN, len as i32)
                .num(attr::STREAM_ID, stream as i32)
                .num(attr::PROG_FD, prog.0),
        )?;
        out.truncate(usize::try_from(read.ret).unwrap_or(0));
        Ok(out)
    }

    fn obj_pin(&self, object: Fd, path: &str) -> Result<(), Errno> {
        let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
        let call = Call::new(Cmd::ObjPin).num(obj::BPF_FD, object.0);
        simple(call.input(obj::PATHNAME, path.as_bytes_with_nul())).map(drop)
    }

    fn obj_get(&self, path: &str, file_flags: u32) -> Result<Fd, Errno> {
        let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
        let call = Call::new(Cmd::ObjGet).num(obj::FILE_FLAGS, file_flags);
        simple(call.input(obj::PATHNAME, path.as_bytes_with_nul())).map(|a| Fd(a.ret))
    }

    fn next_id(&self, kind: ObjKind, after: u32) -> Result<u32, Errno> {
        let cmd = match kind {
            ObjKind::Prog => Cmd::ProgGetNextId,
            ObjKind::Map => Cmd::MapGetNextId,
            ObjKind::Btf => Cmd::BtfGetNextId,
            ObjKind::Link => Cmd::LinkGetNextId,
        };
        let answer = simple(Call::new(cmd).num(get_id::START_ID, after))?;
        Ok(answer.num(get_id::NEXT_ID) as u32)
    }

    fn fd_by_id(&self, kind: ObjKind, id: u32, open_flags: u32) -> Result<Fd, Errno> {
        let cmd = match kind {
            ObjKind::Prog => Cmd::ProgGetFdById,
            ObjKind::Map => Cmd::MapGetFdById,
            ObjKind::Btf => Cmd::BtfGetFdById,
            ObjKind::Link => Cmd::LinkGetFdById,
        };
        let call = Call::new(cmd).num(get_id::PROG_ID, id).num(get_id::OPEN_FLAGS, open_flags);
        simple(call).map(|answer| Fd(answer.ret))
    }

    fn kind(&self, fd: Fd) -> Result<ObjKind, Errno> {
        fdinfo::kind(fd.0).ok_or(Errno::EBADF)
    }

    fn prog_info(&self, prog: Fd) -> Result<ProgInfo, Errno> {
        use attr::prog_info as f;
        let lens = self.info_bytes(prog, vec![0; f::SIZE])?;
        // A second call with room for the arrays whose lengths the first one told.
        let mut xlated = vec![0; f::XLATED_PROG_LEN.get(&lens) as usize];
        let mut jited = vec![0; f::JITED_PROG_LEN.get(&lens) as usize];
        let mut ids = vec![0; f::NR_MAP_IDS.get(&lens) as usize * 4];
        let mut funcs = vec![0; f::NR_FUNC_INFO.get(&lens) as usize * FUNC_INFO_SIZE as usize];
        let mut lines = vec![0; f::NR_LINE_INFO.get(&lens) as usize * LINE_INFO_SIZE as usize];
        let mut ksyms = vec![0; f::NR_JITED_KSYMS.get(&lens) as usize * 8];
        let mut func_lens = vec![0; f::NR_JITED_FUNC_LENS.get(&lens) as usize * 4];
        let mut jited_lines = vec![0; f::NR_JITED_LINE_INFO.get(&lens) as usize * 8];
        let mut ask = vec![0; f::SIZE];
        let arrays: [(_, _, &mut Vec<u8>, usize); 8] = [
            (f::JITED_KSYMS, f::NR_JITED_KSYMS, &mut ksyms, 8),
            (f::JITED_FUNC_LENS, f::NR_JITED_FUNC_LENS, &mut func_lens, 4),
            (f::JITED_LINE_INFO, f::NR_JITED_LINE_INFO, &mut jited_lines, 8),
            (f::XLATED_PROG_INSNS, f::XLATED_PROG_LEN, &mut xlated, 1),
            (f::JITED_PROG_INSNS, f::JITED_PROG_LEN, &mut jited, 1),
            (f::MAP_IDS, f::NR_MAP_IDS, &mut ids, 4),
            (f::FUNC_INFO, f::NR_FUNC_INFO, &mut funcs, FUNC_INFO_SIZE as usize),
            (f::LINE_INFO, f::NR_LINE_INFO, &mut lines, LINE_INFO_SIZE as usize),
        ];
        for (address, count, buffer, each) in arrays {
            address.set(&mut ask, buffer.as_mut_ptr() as u64);
            count.set(&mut ask, (buffer.len() / each) as u64);
        }
        f::FUNC_INFO_REC_SIZE.set(&mut ask, FUNC_INFO_SIZE.into());
        f::JITED_LINE_INFO_REC_SIZE.set(&mut ask, 8);
        f::LINE_INFO_REC_SIZE.set(&mut ask, LINE_INFO_SIZE.into());
        let got = self.info_bytes(prog, ask)?;
        Ok(ProgInfo {
            attach_type: 0,
            prog_type: f::TYPE.get(&got) as u32,
            id: f::ID.get(&got) as u32,
            tag: f::TAG.get(&got).to_le_bytes(),
            name: text(&got, f::NAME),
            load_time: f::LOAD_TIME.get(&got),
            created_by_uid: f::CREATED_BY_UID.get(&got) as u32,
            map_ids: words(&ids),
            gpl_compatible: f::GPL_COMPATIBLE.get(&got) & 1 == 1,
            btf_id: f::BTF_ID.get(&got) as u32,
            xlated: Insn::slots(&xlated).unwrap_or_default(),
            jited,
            jited_ksyms: addresses(&ksyms),
            jited_func_lens: words(&func_lens),
            jited_lines: addresses(&jited_lines),
            func_info: words(&funcs)
                .chunks_exact(2)
                .map(|r| FuncInfo { insn_off: r[0], type_id: r[1] })
                .collect(),
            line_info: words(&lines).chunks_exact(4).map(line_info).collect(),
            verified_insns: f::VERIFIED_INSNS.get(&got) as u32,
            run_time_ns: f::RUN_TIME_NS.get(&got),
            run_cnt: f::RUN_CNT.get(&got),
            run_insns: 0,
            recursion_misses: f::RECURSION_MISSES.get(&got),
            attach_btf_id: f::ATTACH_BTF_ID.get(&got) as u32,
            attach_btf_obj_id: f::ATTACH_BTF_OBJ_ID.get(&got) as u32,
            memlock: fdinfo::number(prog.0, "memlock").unwrap_or(0),
        })
    }

    fn map_info(&self, map: Fd) -> Result<MapInfo, Errno> {
        use attr::map_info as f;
        let got = self.info_bytes(map, vec![0; f::SIZE])?;
        let word = |field: attr::Field| field.get(&got) as u32;
        let map_type = MapType::from_raw(word(f::TYPE)).ok_or(Errno::EOPNOTSUPP)?;
        let mut def =
            MapDef::new(map_type, word(f::KEY_SIZE), word(f::VALUE_SIZE), word(f::MAX_ENTRIES));
        def.name = text(&got, f::NAME);
        def.flags = word(f::MAP_FLAGS);
        def.extra = f::MAP_EXTRA.get(&got);
        def.btf_key_type_id = word(f::BTF_KEY_TYPE_ID);
        def.btf_value_type_id = word(f::BTF_VALUE_TYPE_ID);
        def.btf_vmlinux_value_type_id = word(f::BTF_VMLINUX_VALUE_TYPE_ID);
        Ok(MapInfo {
            id: word(f::ID),
            def,
            btf_id: word(f::BTF_ID),
            frozen: fdinfo::number(map.0, "frozen") == Some(1),
            memlock: fdinfo::number(map.0, "memlock").unwrap_or(0),
        })
    }

    fn btf_info(&self, btf: Fd) -> Result<BtfInfo, Errno> {
        use attr::btf_info as f;
        let lens = self.info_bytes(btf, vec![0; f::SIZE])?;
        let mut data = vec![0; f::BTF_SIZE.get(&lens) as usize];
        let mut name = vec![0; f::NAME_LEN.get(&lens) as usize + 1];
        let mut ask = vec![0; f::SIZE];
        f::BTF.set(&mut ask, data.as_mut_ptr() as u64);
        f::BTF_SIZE.set(&mut ask, data.len() as u64);
        f::NAME.set(&mut ask, name.as_mut_ptr() as u64);
        f::NAME_LEN.set(&mut ask, name.len() as u64);
        let got = self.info_bytes(btf, ask)?;
        let end = name.iter().position(|b| *b == 0).unwrap_or(name.len());
        Ok(BtfInfo {
            id: f::ID.get(&got) as u32,
            data: Arc::from(data),
            name: String::from_utf8_lossy(&name[..end]).into_owned(),
            kernel_btf: f::KERNEL_BTF.get(&got) != 0,
        })
    }

    fn close(&self, fd: Fd) -> Result<(), Errno> {
        self.maps.lock().unwrap_or_else(PoisonError::into_inner).remove(&fd.0);
        sys::close(fd.0)
    }

    fn holders(&self) -> Result<Vec<Holder>, Errno> {
        Ok(holders::holders())
    }

    fn enable_stats(&self, what: Counted) -> Result<Fd, Errno> {
        match what {
            Counted::RunTime => simple(Call::new(Cmd::EnableStats).num(enable_stats::TYPE, 0))
                .map(|answer| Fd(answer.ret)),
            Counted::Insns => Err(Errno::EINVAL),
        }
    }

    fn map_owner(&self, map: Fd) -> Result<Option<(u32, bool)>, Errno> {
        let owner = fdinfo::number(map.0, "owner_prog_type");
        let jited = fdinfo::number(map.0, "owner_jited") == Some(1);
        Ok(owner.map(|prog_type| (prog_type as u32, jited)))
    }

    fn link_info(&self, fd: Fd) -> Result<LinkInfo, Errno> {
        use attr::link_info as f;
        let mut got = self.info_bytes(fd, vec![0; f::SIZE])?;
        let mut name = vec![0; link::NAME_SIZE];
        if link::wants_name(&got) {
            let mut ask = vec![0; f::SIZE];
            ask[16..24].copy_from_slice(&(name.as_mut_ptr() as u64).to_le_bytes());
            ask[24..28].copy_from_slice(&(name.len() as u32).to_le_bytes());
            got = self.info_bytes(fd, ask)?;
        }
        Ok(link::read(&got, &name))
    }

    fn link_detach(&self, link: Fd) -> Result<(), Errno> {
        simple(Call::new(Cmd::LinkDetach).num(link_detach::LINK_FD, link.0)).map(|_| ())
    }

    fn link_create(&self, req: &LinkCreate) -> Result<Fd, Errno> {
        attach::link_create(req)
    }

    fn link_update(&self, link: Fd, new: Fd, old: Option<Fd>, flags: u32) -> Result<(), Errno> {
        attach::link_update(link, new, old, flags)
    }

    fn raw_tracepoint_open(&self, name: Option<&str>, prog: Fd) -> Result<Fd, Errno> {
        attach::raw_tracepoint_open(name, prog)
    }

    fn iter_read(&self, link: Fd) -> Result<Vec<u8>, Errno> {
        attach::iter_read(link)
    }

    fn prog_attach(&self, req: &ProgAttach) -> Result<(), Errno> {
        attach::prog_attach(Cmd::ProgAttach, req)
    }

    fn prog_detach(&self, req: &ProgAttach) -> Result<(), Errno> {
        attach::prog_attach(Cmd::ProgDetach, req)
    }

    fn prog_query(&self, req: &ProgQuery) -> Result<Queried, Errno> {
        attach::prog_query(req)
    }
}

/// The arrays of a load as the kernel reads them.
struct LoadBuffers {
    insns: Vec<u8>,
    func_info: Vec<u8>,
    line_info: Vec<u8>,
    fd_array: Vec<u8>,
}

impl LoadBuffers {
    fn new(req: &ProgLoad) -> LoadBuffers {
        let bytes = |words: Vec<u32>| words.into_iter().flat_map(u32::to_le_bytes).collect();
        LoadBuffers {
            insns: req.insns.iter().flat_map(|i| i.to_bytes()).collect(),
            func_info: bytes(req.func_info.iter().flat_map(|r| [r.insn_off, r.type_id]).collect()),
            line_info: bytes(
                req.line_info
                    .iter()
                    .flat_map(|r| [r.insn_off, r.file_name_off, r.line_off, r.line_col])
                    .collect(),
            ),
            fd_array: bytes(req.fd_array.iter().map(|fd| fd.0 as u32).collect()),
        }
    }
}

/// The buffer that a load logs into.
struct LogBuffer {
    bytes: Vec<u8>,
}

impl LogBuffer {
    fn new(log: LogRequest) -> LogBuffer {
        let size = match (log.level, log.size) {
            (0, _) => 0,
            (_, 0) => DEFAULT_LOG,
            (_, size) => size,
        };
        LogBuffer { bytes: vec![0; size as usize] }
    }

    fn size(&self) -> u32 {
        self.bytes.len() as u32
    }

    fn finish(self, answer: Answer, true_size: attr::Field) -> Result<Loaded, LoadError> {
        let end = self.bytes.iter().position(|b| *b == 0).unwrap_or(self.bytes.len());
        let log = String::from_utf8_lossy(&self.bytes[..end]).into_owned();
        let log_true_size = answer.num(true_size) as u32;
        match answer.errno {
            None => Ok(Loaded { fd: Fd(answer.ret), log, log_true_size, stats: None }),
            Some(errno) => Err(LoadError { errno, log, log_true_size, rejection: None }),
        }
    }
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks::<4>().0.iter().map(|w| u32::from_le_bytes(*w)).collect()
}

fn addresses(bytes: &[u8]) -> Vec<u64> {
    bytes.as_chunks::<8>().0.iter().map(|w| u64::from_le_bytes(*w)).collect()
}

fn line_info(r: &[u32]) -> LineInfo {
    LineInfo { insn_off: r[0], file_name_off: r[1], line_off: r[2], line_col: r[3] }
}

/// A zero-terminated name inside an info struct.
fn text(bytes: &[u8], field: attr::Field) -> String {
    let name = &bytes[field.offset..field.offset + field.size];
    let end = name.iter().position(|b| *b == 0).unwrap_or(name.len());
    String::from_utf8_lossy(&name[..end]).into_owned()
}
