//! Programs that take the place of functions of others (freplace).
//!
//! While an extension is attached, runs of its target are runs of another program: the target's code
//! and its extensions' behind it, with calls of the replaced functions led there. A run that is
//! under way keeps the code that it began with.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use isa::Insn;
use parking_lot::{Mutex, RwLock};
use translate::Translated;
use uapi::{Errno, MapType};

use crate::arena;
use crate::core::Core;
use crate::map_obj::MapObj;
use crate::native;
use crate::prog::Prog;

/// Call opcode and load of a function's address, with the source register that says so.
const CALL: (u8, u8) = (0x85, 1);
const FUNC_ADDRESS: (u8, u8) = (0x18, 4);

/// The functions of a program that extensions have taken the place of.
#[derive(Default)]
pub(crate) struct Replaced {
    any: AtomicBool,
    functions: Mutex<Vec<Function>>,
    joined: RwLock<Option<Arc<Prog>>>,
}

/// A replaced function: its type, its first slot as loaded, and what runs instead.
struct Function {
    type_id: u32,
    start: u32,
    by: Arc<Prog>,
}

impl Replaced {
    /// Whether an extension is attached.
    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// What runs in the place of `prog`, whose functions these are.
    pub(crate) fn current(&self, prog: &Arc<Prog>) -> Arc<Prog> {
        match self.any() {
            true => self.joined.read().as_ref().unwrap_or(prog).clone(),
            false => prog.clone(),
        }
    }
}

/// An attached extension. Dropped, it gives the function back.
pub(crate) struct Extension {
    core: Weak<Core>,
    target: Arc<Prog>,
    type_id: u32,
}

impl Extension {
    /// Puts `by` in the place of the function of this type; EBUSY if another one is there, or if
    /// the target is reached by tail calls.
    pub(crate) fn attach(
        core: &Arc<Core>,
        target: Arc<Prog>,
        type_id: u32,
        by: Arc<Prog>,
    ) -> Result<Extension, Errno> {
        let mut functions = target.replaced.functions.lock();
        if functions.iter().any(|f| f.type_id == type_id) || is_in_array(core, target.id) {
            return Err(Errno::EBUSY);
        }
        let info = target.func_info.iter().find(|f| f.type_id == type_id);
        let start = info.ok_or(Errno::EINVAL)?.insn_off;
        functions.push(Function { type_id, start, by });
        if let Err(errno) = rebuild(core, &target, &functions) {
            functions.pop();
            return Err(errno);
        }
        drop(functions);
        Ok(Extension { core: Arc::downgrade(core), target, type_id })
    }
}

impl Drop for Extension {
    fn drop(&mut self) {
        let mut functions = self.target.replaced.functions.lock();
        functions.retain(|f| f.type_id != self.type_id);
        let done = self.core.upgrade().ok_or(Errno::ENOENT);
        let done = done.and_then(|core| rebuild(&core, &self.target, &functions));
        if done.is_err() {
            self.target.replaced.any.store(false, Ordering::Release);
        }
    }
}

/// Whether a program array holds the program.
fn is_in_array(core: &Core, prog: u32) -> bool {
    let mut at = 0;
    while let Ok(id) = core.maps.next(at) {
        at = id;
        let Some(map) = core.maps.get(id) else { continue };
        let is_array = map.map.def().map_type == MapType::ProgArray;
        let refs = map.map.ops().refs().filter(|_| is_array);
        if refs.is_some_and(|refs| refs.all().iter().any(|(_, held)| held.id == u64::from(prog))) {
            return true;
        }
    }
    false
}

/// Makes what runs in the place of `target` from now on.
fn rebuild(core: &Core, target: &Arc<Prog>, functions: &[Function]) -> Result<(), Errno> {
    let joined = match functions {
        [] => None,
        _ => Some(Arc::new(join(core, target, functions).ok_or(Errno::EINVAL)?)),
    };
    let any = joined.is_some();
    let before = std::mem::replace(&mut *target.replaced.joined.write(), joined);
    target.replaced.any.store(any, Ordering::Release);
    drop(before);
    Ok(())
}

fn join(core: &Core, target: &Prog, functions: &[Function]) -> Option<Prog> {
    let mut code = target.translated.clone();
    let mut maps: Vec<Arc<MapObj>> = target.maps.clone();
    let mut hosts = target.host_helpers.clone();
    let mut object_types = target.object_types.clone();
    let by_main = functions.iter().find(|f| f.start == 0);
    let exception_callback = by_main.map_or(target.exception_callback, |f| f.by.exception_callback);
    // The main program last: what is before it moves everything else.
    let (main, others): (Vec<_>, Vec<_>) = functions.iter().partition(|f| f.start == 0);
    for function in others.into_iter().chain(main) {
        code = with(code, &target.translated, function)?;
        maps.extend(function.by.maps.iter().cloned());
        hosts.extend(function.by.host_helpers.iter().cloned());
        object_types.extend(function.by.object_types.iter().cloned());
    }
    let named: Vec<_> = maps.iter().map(|map| (0, map.clone())).collect();
    let native = match &target.native {
        Ok(_) => native::compile(core, &code, &named, &hosts),
        Err(why) => Err(why.clone()),
    };
    let arenas: BTreeSet<u32> =
        maps.iter().filter(|m| m.map.ops().arena().is_some()).map(|m| m.id).collect();
    if arenas.len() > 1 {
        return None;
    }
    let window = arena::window(maps.iter().map(|map| &**map)).unwrap_or_default();
    let decoded = Arc::new(interp::Program::new(&code).ok()?.with_arena(window));
    Some(Prog {
        id: target.id,
        prog_type: target.prog_type,
        attach_type: target.attach_type,
        owner: target.owner,
        name: target.name.clone(),
        tag: target.tag,
        gpl: target.gpl,
        uid: target.uid,
        load_time: target.load_time,
        verified_insns: target.verified_insns,
        translated: code,
        code: decoded,
        native,
        maps,
        bound: Mutex::default(),
        btf: target.btf.clone(),
        func_info: target.func_info.clone(),
        line_info: target.line_info.clone(),
        attach_btf_id: target.attach_btf_id,
        ctx_end: target.ctx_end,
        host_helpers: hosts,
        streams: target.streams.clone(),
        object_types,
        sees_objects: target.sees_objects || functions.iter().any(|f| f.by.sees_objects),
        exception_callback,
        functions: Vec::new(),
        demands: target.demands,
        extends: None,
        target: Mutex::default(),
        replaced: Replaced::default(),
        stats: target.stats.clone(),
    })
}

/// The code with an extension's: behind it, or before it if it takes the main program's place.
fn with(code: Translated, target: &Translated, function: &Function) -> Option<Translated> {
    let own = function.by.translated.clone();
    if function.start == 0 {
        let len = own.insns.len();
        return Some(append(own, code, |insns| {
            (len..insns.len()).for_each(|pc| redirect(insns, pc, len, 0));
        }));
    }
    let starts_there = |at: &&u32| target.origin.get(**at as usize) == Some(&function.start);
    let old = *target.starts.iter().find(starts_there)? as usize;
    let len = code.insns.len();
    Some(append(code, own, |insns| (0..len).for_each(|pc| redirect(insns, pc, old, len))))
}

fn append(
    mut first: Translated,
    mut second: Translated,
    change: impl FnOnce(&mut [Insn]),
) -> Translated {
    let len = first.insns.len() as u32;
    first.insns.append(&mut second.insns);
    first.origin.append(&mut second.origin);
    first.starts.extend(second.starts.iter().map(|at| at + len));
    change(&mut first.insns);
    first
}

/// Leads a reference to slot `from` to slot `to`.
fn redirect(insns: &mut [Insn], pc: usize, from: usize, to: usize) {
    let insn = &mut insns[pc];
    let refers = [CALL, FUNC_ADDRESS].contains(&(insn.code, insn.src().0));
    if refers && pc as i64 + 1 + i64::from(insn.imm) == from as i64 {
        insn.imm = (to as i64 - pc as i64 - 1) as i32;
    }
}
