//! BPF_PROG_LOAD: verify, translate, decode, compile.

use std::sync::Arc;
use std::time::Instant;

use isa::{Imm64, Op};
use translate::KfuncCall;
use uapi::{Errno, MapType, OBJ_NAME_LEN, ProgType};
use verifier::{LogOptions, Outcome, Program, Rejection, World};

use crate::arena;
use crate::btf_obj::BtfObj;
use crate::clock::ClockKind;
use crate::core::{Core, HostHelper};
use crate::door::{Fd, LoadError, LogRequest, ProgLoad};
use crate::engine::{self, Engine};
use crate::fds::Fds;
use crate::heap::ObjectType;
use crate::helpers;
use crate::log::{self, Log};
use crate::map_obj::{MapObj, Owner};
use crate::map_types;
use crate::native;
use crate::prog::{Prog, tag};

/// Bytes of log that are made at most; callers take less.
const LOG_SIZE: usize = 64 << 20;

/// `BPF_F_XDP_HAS_FRAGS`.
const HAS_FRAGS: u32 = 1 << 5;

/// Bytes of constants that the verifier is shown; loads from larger values are just not constant.
const MAX_CONSTANT: usize = 16 << 20;

/// Opcode of calls, and the source register of those of kernel functions.
const CALL: u8 = 0x85;
const PSEUDO_KFUNC_CALL: u8 = 2;

/// Whether a name is one that Linux takes.
pub(crate) fn check_name(name: &str) -> Result<(), Errno> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'.';
    if name.len() < OBJ_NAME_LEN && name.bytes().all(good) { Ok(()) } else { Err(Errno::EINVAL) }
}

/// An accepted program, its log, and the verifier's work.
pub(crate) struct Accepted {
    pub(crate) prog: Arc<Prog>,
    pub(crate) log: Log,
    pub(crate) stats: verifier::Stats,
}

/// Loads a program whose descriptors are `fds`'.
pub(crate) fn load(
    core: &Core,
    fds: &Fds,
    req: &ProgLoad,
    engine: Engine,
) -> Result<Accepted, LoadError> {
    check_name(&req.name)?;
    log::check(req.log)?;
    if req.insns.is_empty() || req.insns.len() > uapi::MAX_INSNS {
        return Err(Errno::E2BIG.into());
    }
    if req.ifindex != 0 || !req.core_relos.is_empty() {
        return Err(missing("offload and in-kernel relocation"));
    }
    let target = target(fds, req)?;
    let btf = req.btf.map(|fd| fds.btf(fd)).transpose()?;
    let maps = named_maps(fds, req);
    let hosts = core.host_helpers.read().clone();
    let extended = target.as_ref().map(|prog| Arc::new(prog.as_target()));
    let program = program(req, btf.as_ref().map(|b| b.btf.clone()), extended);
    let world = World {
        maps: maps.iter().map(|(fd, m)| map_info(*fd, m)).collect(),
        kernel_btf: core.config.kernel_btf.clone(),
        host_helpers: hosts.iter().map(|h| h.proto.clone()).collect(),
    };
    let start = Instant::now();
    let mut outcome = verify(core, req.log, &program, &world);
    outcome.stats.time = start.elapsed();
    let facts = match outcome.verdict {
        Ok(facts) => facts,
        Err(rejection) => return Err(refused(rejection, log::finish(outcome.log, req.log))),
    };
    let log = log::finish(outcome.log, req.log);
    if let Err(errno) = log.fits {
        let (log, log_true_size) = (log.text, log.true_size);
        return Err(LoadError { errno, log, log_true_size, rejection: None });
    }
    let mut types = ObjectTypes::default();
    let kfuncs = kfuncs(core, req, &facts, btf.as_deref(), &mut types)?;
    let missing_body = facts.used_helpers.iter().find(|id| !has_body(**id, &hosts));
    if let Some(&id) = missing_body {
        return Err(missing(&format!("helper {}", helper_name(id))));
    }
    let (translated, code) =
        translate(req, target.as_deref(), &facts, &maps, &kfuncs).map_err(|why| broken(&why))?;
    let native = match engine {
        Engine::Jit => native::compile(core, &translated, &maps, &hosts),
        Engine::Interp => Err("the interpreter was asked for".to_owned()),
    };
    if let (true, Ok(code)) = (core.config.jit_dump, &native) {
        let text = engine::dump(&req.name, translated.insns.len(), code.base(), code.code());
        core.jit_dumps.lock().push_str(&text);
    }
    let used = facts.used_maps.iter().filter_map(|i| maps.get(*i)).map(|(_, m)| m.clone());
    let used: Vec<_> = if facts.insns.is_empty() {
        maps.iter().map(|(_, m)| m.clone()).collect()
    } else {
        used.collect()
    };
    let prog_type = req.prog_type.ok_or(Errno::EINVAL)?;
    let owner = Owner {
        prog_type: target.as_ref().map_or(prog_type, |prog| prog.prog_type),
        attach_type: req.expected_attach_type,
        frags: req.flags & HAS_FRAGS != 0,
        proto: facts.attach_proto,
    };
    for map in used.iter().filter(|m| m.map.def().map_type == MapType::ProgArray) {
        map.owned_by(owner)?;
    }
    core.progs.below(core.config.limits.objects)?;
    let holds = |map: &Arc<MapObj>| {
        let inner = map.inner.as_ref().is_some_and(|inner| !inner.fields.is_empty());
        !map.fields.is_empty() || inner
    };
    // Kernel functions look after themselves.
    let sees_objects = used.iter().any(holds);
    let exception_callback = exception_callback(&facts, &translated);
    let prog = core.progs.add(|id| Prog {
        id,
        prog_type,
        attach_type: req.expected_attach_type,
        owner,
        name: req.name.clone(),
        tag: tag(&req.insns),
        gpl: uapi::gpl_compatible(&req.license),
        uid: rustix::process::getuid().as_raw(),
        load_time: core.clock.ns(ClockKind::Boot),
        verified_insns: outcome.stats.processed_insns,
        translated,
        code: Arc::new(code),
        native,
        maps: used,
        bound: Default::default(),
        btf,
        func_info: req.func_info.clone(),
        line_info: req.line_info.clone(),
        attach_btf_id: req.attach_btf_id,
        ctx_end: ctx_end(req, &facts),
        host_helpers: hosts,
        functions: facts.subprogs,
        demands: facts.demands,
        extends: target.as_ref().map(|prog| (prog.prog_type, prog.attach_type)),
        target: target.into(),
        replaced: Default::default(),
        streams: Default::default(),
        object_types: types.types.into_iter().map(|(_, ty)| ty).collect(),
        sees_objects,
        exception_callback,
        stats: Default::default(),
    });
    Ok(Accepted { prog, log, stats: outcome.stats })
}

/// Bytes that a load or store of this code touches.
fn access_size(code: u8) -> i64 {
    match code & 0x18 {
        0x00 => 4,
        0x08 => 2,
        0x10 => 1,
        _ => 8,
    }
}

/// The byte after the last one of the context that the program touches.
fn ctx_end(req: &ProgLoad, facts: &verifier::Facts) -> u32 {
    let of_ctx = |fact: &verifier::InsnFacts| fact.access == verifier::Access::Ctx;
    let slots = req.insns.iter().zip(&facts.insns).filter(|(_, fact)| of_ctx(fact));
    let ends = slots.map(|(insn, _)| i64::from(insn.off) + access_size(insn.code));
    ends.max().and_then(|end| u32::try_from(end).ok()).unwrap_or(0)
}

/// The calls of kernel functions in live code; refused where one has no body.
fn kfuncs(
    core: &Core,
    req: &ProgLoad,
    facts: &verifier::Facts,
    own: Option<&BtfObj>,
    types: &mut ObjectTypes,
) -> Result<Vec<KfuncCall>, LoadError> {
    let live = |pc: usize| facts.insns.get(pc).is_none_or(|fact| fact.reachable);
    let is_call = |insn: &isa::Insn| insn.code == CALL && insn.src().0 == PSEUDO_KFUNC_CALL;
    let calls = req.insns.iter().enumerate().filter(|(pc, insn)| is_call(insn) && live(*pc));
    let btf = core.config.kernel_btf.as_deref();
    let mut body = |(insn, call): (usize, &isa::Insn)| {
        let id = btf::TypeId(call.imm as u32);
        let name = btf.filter(|_| call.off == 0).map_or("", |btf| btf.name_of(id));
        let number = helpers::kfunc::number(name).and_then(|number| i32::try_from(number).ok());
        let missing = || missing(&format!("kernel function {name}#{}", call.imm));
        let number = number.ok_or_else(missing)?;
        let fact = facts.kfuncs.iter().find(|fact| fact.insn == insn);
        let made = fact.filter(|_| helpers::kfunc::allocates(name));
        let load = match made {
            Some(fact) => Some((R2, types.number(core, own, &fact.object)?)),
            None => None,
        };
        Ok(KfuncCall { insn, number, loads: [load, None] })
    };
    calls.map(&mut body).collect()
}

/// The register that tells a body of an object's type.
const R2: u8 = 2;

/// Types of the objects that a program allocates, each once.
#[derive(Default)]
struct ObjectTypes {
    types: Vec<(u32, Arc<ObjectType>)>,
    metas: Option<btf::fields::StructMetas>,
}

impl ObjectTypes {
    fn number(
        &mut self,
        core: &Core,
        own: Option<&BtfObj>,
        object: &verifier::KfuncObject,
    ) -> Result<u64, LoadError> {
        if object.type_id == 0 {
            return Err(missing("an object of unknown type"));
        }
        if let Some((_, known)) = self.types.iter().find(|(id, _)| *id == object.type_id) {
            return Ok(Arc::as_ptr(known).addr() as u64);
        }
        let btf = &own.ok_or(Errno::EINVAL)?.btf;
        let metas = match self.metas.take() {
            Some(metas) => metas,
            None => map_types::metas(btf, core.config.kernel_btf.as_deref())?,
        };
        let record = metas.get(btf::TypeId(object.type_id)).cloned().unwrap_or_default();
        self.metas = Some(metas);
        let ty = Arc::new(ObjectType { size: object.size as usize, record });
        let number = Arc::as_ptr(&ty).addr() as u64;
        self.types.push((object.type_id, ty));
        Ok(number)
    }
}

/// The function that exceptions end in, among those of the translated program.
fn exception_callback(facts: &verifier::Facts, code: &translate::Translated) -> Option<usize> {
    let start = facts.subprogs.get(facts.exception_callback?)?.start;
    let origin = |slot: &u32| code.origin.get(*slot as usize).map(|origin| *origin as usize);
    code.starts.iter().position(|slot| origin(slot) == Some(start))
}

fn verify(core: &Core, log: LogRequest, program: &Program, world: &World) -> Outcome {
    let options =
        LogOptions { level: log.level, capacity: LOG_SIZE, clock: Some(crate::clock::monotonic) };
    verifier::verify(program, world, &core.config.policy, &options)
}

/// The loaded program that a program attaches to.
fn target(fds: &Fds, req: &ProgLoad) -> Result<Option<Arc<Prog>>, Errno> {
    let Some(fd) = req.attach_prog else { return Ok(None) };
    let takes = matches!(req.prog_type, Some(ProgType::Tracing | ProgType::Ext));
    // The types of a module would do too, were there any.
    let prog = fds.prog(fd).map_err(|_| Errno::EINVAL)?;
    if takes { Ok(Some(prog)) } else { Err(Errno::EINVAL) }
}

fn translate(
    req: &ProgLoad,
    target: Option<&Prog>,
    facts: &verifier::Facts,
    maps: &[(i32, Arc<MapObj>)],
    kfuncs: &[KfuncCall],
) -> Result<(translate::Translated, interp::Program), String> {
    let addrs: Vec<_> = maps.iter().map(|(fd, m)| address(*fd, m)).collect();
    let window = arena::window(maps.iter().map(|(_, map)| &**map));
    if window.is_some() && facts.insns.is_empty() {
        return Err("arenas need what the verifier proves of each instruction".into());
    }
    let fd_array: Vec<i32> = req.fd_array.iter().map(|fd| fd.0).collect();
    let translated = translate::translate(translate::Input {
        insns: &req.insns,
        facts,
        prog_type: target.map_or(req.prog_type, |prog| Some(prog.prog_type)),
        attach_type: target.map_or(req.expected_attach_type, |prog| prog.attach_type),
        maps: &addrs,
        fd_array: &fd_array,
        vars: &[],
        kfuncs,
        user_casts: window.is_some_and(|window| window.user_high != 0),
    })
    .map_err(|e| e.to_string())?;
    let code = interp::Program::new(&translated).map_err(|e| e.to_string())?;
    Ok((
        translated,
        match window {
            Some(window) => code.with_arena(window),
            None => code,
        },
    ))
}

fn address(fd: i32, map: &MapObj) -> translate::MapAddr {
    let value = map.map.ops().direct_value(0).unwrap_or(0);
    translate::MapAddr { fd, object: map.handle(), value }
}

fn program(
    req: &ProgLoad,
    btf: Option<Arc<btf::Btf>>,
    target: Option<Arc<verifier::Target>>,
) -> Program {
    Program {
        name: req.name.clone(),
        prog_type: req.prog_type,
        expected_attach_type: req.expected_attach_type,
        flags: req.flags,
        license: req.license.clone(),
        insns: req.insns.clone(),
        btf,
        func_info: req.func_info.clone(),
        line_info: req.line_info.clone(),
        attach_btf_id: req.attach_btf_id,
        target,
        fd_array: req.fd_array.iter().map(|fd| fd.0).collect(),
    }
}

/// The maps that the slots name, each once; a descriptor that is no map is left to the verifier.
fn named_maps(fds: &Fds, req: &ProgLoad) -> Vec<(i32, Arc<MapObj>)> {
    let mut maps: Vec<(i32, Arc<MapObj>)> = Vec::new();
    for pc in 0..req.insns.len() {
        let Some(fd) = named_fd(req, pc) else { continue };
        if maps.iter().all(|(known, _)| *known != fd)
            && let Ok((map, _)) = fds.map(Fd(fd))
        {
            maps.push((fd, Arc::clone(&map)));
        }
    }
    maps
}

fn named_fd(req: &ProgLoad, pc: usize) -> Option<i32> {
    if !req.insns[pc].is_ld_imm64() {
        return None;
    }
    let at = |idx: i32| {
        let idx = usize::try_from(idx).ok()?;
        req.fd_array.get(idx).map(|fd| fd.0)
    };
    match isa::decode(&req.insns, pc).ok()? {
        Op::LdImm64 { imm: Imm64::MapFd(fd) | Imm64::MapValue { fd, .. }, .. } => Some(fd),
        Op::LdImm64 { imm: Imm64::MapIdx(i) | Imm64::MapIdxValue { idx: i, .. }, .. } => at(i),
        _ => None,
    }
}

fn map_info(fd: i32, map: &MapObj) -> verifier::MapInfo {
    let frozen = map.map.is_frozen();
    let constant = frozen
        && map.map.def().map_type == MapType::Array
        && map.map.def().flags & uapi::map_flags::RDONLY_PROG != 0;
    let mut def = map.map.def().clone();
    if let Some(arena) = map.map.ops().arena() {
        // The verifier asks whether user space has given it an address.
        def.extra = if arena.is_placed() { arena.start() } else { 0 };
    }
    verifier::MapInfo {
        fd,
        def,
        btf: map.btf.as_ref().map(|b| b.btf.clone()),
        inner_btf: map.inner.as_ref().and_then(|i| i.btf.as_ref()).map(|b| b.btf.clone()),
        frozen,
        value: if constant { constant_value(map) } else { None },
    }
}

fn constant_value(map: &MapObj) -> Option<Vec<u8>> {
    if map.map.def().max_entries != 1 || map.value_size() > MAX_CONSTANT {
        return None;
    }
    let mut value = vec![0; map.map.user_value_size()];
    map.map.ops().user_lookup(&[0; 4], &mut value).ok()?;
    Some(value)
}

fn has_body(id: u32, hosts: &[HostHelper]) -> bool {
    helpers::body(id).is_some() || hosts.iter().any(|h| h.proto.id == id)
}

fn helper_name(id: u32) -> String {
    match uapi::helper(id) {
        Some(proto) => format!("{}#{id}", proto.name),
        None => format!("#{id}"),
    }
}

fn refused(rejection: Rejection, log: Log) -> LoadError {
    LoadError {
        errno: log.fits.err().unwrap_or(rejection.errno),
        log_true_size: log.true_size,
        log: log.text,
        rejection: Some(Box::new(rejection)),
    }
}

/// Something that this runtime lacks, said as a rejection.
fn missing(what: &str) -> LoadError {
    broken(&format!("{what}: not available in this runtime"))
}

fn broken(why: &str) -> LoadError {
    let message = why.to_owned();
    let rejection = Rejection {
        errno: Errno::EINVAL,
        id: String::new(),
        message: message.clone(),
        reason: message.clone(),
        insn: None,
        needs: None,
    };
    LoadError {
        errno: Errno::EINVAL,
        log: format!("{message}\n"),
        log_true_size: message.len() as u32 + 2,
        rejection: Some(Box::new(rejection)),
    }
}
