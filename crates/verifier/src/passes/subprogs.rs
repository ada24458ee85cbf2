//! Subprograms: where they start, and that no jump leaves one.

use btf::Kind;

use super::btf_info::decl_tags;
use super::kfuncs;
use crate::env::{Env, Subprog};
use crate::error::{Checked, reject};
use crate::event::{BadFlow, BadFunc, BadLoad, Note};
use crate::log::say2;

/// Most subprograms of a program (`BPF_MAX_SUBPROGS`).
const MAX_SUBPROGS: usize = 256;

const CALL: u8 = 0x85;
const LD_IMM64: u8 = 0x18;
const PSEUDO_CALL: u8 = 1;
const PSEUDO_KFUNC: u8 = 2;
const PSEUDO_FUNC: u8 = 4;
const TAIL_CALL: i32 = 12;

/// Finds the targets of calls and of function addresses.
pub(super) fn add(env: &mut Env<'_>) -> Checked {
    let prog = env.prog;
    let mut starts = vec![0];
    for (at, insn) in prog.insns.iter().enumerate() {
        let src = insn.src().0;
        let to_subprog = (insn.code == CALL && src == PSEUDO_CALL)
            || (insn.code == LD_IMM64 && src == PSEUDO_FUNC);
        let to_kernel = insn.code == CALL && src == PSEUDO_KFUNC;
        if !to_subprog && !to_kernel {
            continue;
        }
        if !env.caps.bpf_capable {
            return reject!(EPERM, BadLoad::CallsForPrivileged);
        }
        if to_subprog {
            add_start(&mut starts, at as i64 + i64::from(insn.imm) + 1, prog.insns.len())?;
        } else {
            kfuncs::add(env, at)?;
        }
    }
    let exception = exception_callback(env)?;
    if let Some(start) = exception {
        add_start(&mut starts, start as i64, prog.insns.len())?;
    }
    for (n, &start) in starts.iter().enumerate() {
        let end = starts.get(n + 1).copied().unwrap_or(prog.insns.len());
        let is_exception_cb = exception == Some(start) && n != 0;
        if is_exception_cb {
            env.exception_callback = Some(n);
        }
        env.subprogs.push(Subprog {
            start,
            end,
            is_cb: is_exception_cb,
            is_async_cb: is_exception_cb,
            is_exception_cb,
            ..Subprog::default()
        });
        say2!(env, Note::Func { func: n, start });
    }
    Ok(())
}

/// Keeps `starts` sorted and without doubles.
fn add_start(starts: &mut Vec<usize>, at: i64, len: usize) -> Checked {
    let Some(at) = usize::try_from(at).ok().filter(|at| *at < len) else {
        return reject!(EINVAL, BadFlow::CallTarget);
    };
    if let Err(place) = starts.binary_search(&at) {
        if starts.len() >= MAX_SUBPROGS {
            return reject!(E2BIG, BadFlow::TooManySubprogs);
        }
        starts.insert(place, at);
    }
    Ok(())
}

/// First slot of the function that a tag on the main program names as exception callback.
fn exception_callback(env: &Env<'_>) -> Checked<Option<usize>> {
    let (Some(btf), Some(main)) = (&env.prog.btf, env.prog.func_info.first()) else {
        return Ok(None);
    };
    let mut tags = decl_tags(btf, main.type_id).filter_map(|t| {
        (t.decl_tag() == Some(-1)).then(|| t.name.strip_prefix("exception_callback:"))?
    });
    let Some(name) = tags.next() else { return Ok(None) };
    if tags.next().is_some() {
        return reject!(EEXIST, BadFunc::ExceptionCallbackTags);
    }
    let Some(id) = btf.find_by_name(name, Kind::Func) else {
        return reject!(ENOENT, BadFunc::ExceptionCallbackMissing { name: name.into() });
    };
    if btf.ty(id).is_none_or(|t| t.vlen != 1) {
        return reject!(EINVAL, BadFunc::ExceptionCallbackStatic { name: name.into() });
    }
    match env.prog.func_info.iter().find(|f| f.type_id == id.0) {
        Some(f) if f.insn_off == 0 => {
            reject!(EINVAL, BadFunc::ExceptionCallbackIsMain)
        }
        Some(f) => Ok(Some(f.insn_off as usize)),
        None => reject!(ENOENT, BadFunc::ExceptionCallbackMissing { name: name.into() }),
    }
}

/// Every jump stays in its subprogram, and none runs into the next.
pub(super) fn check(env: &mut Env<'_>) -> Checked {
    let insns = &env.prog.insns;
    let mut cur = 0;
    for (at, insn) in insns.iter().enumerate() {
        let sub = &mut env.subprogs[cur];
        let (class, op) = (insn.class(), insn.code & 0xf0);
        if insn.code == CALL && insn.src().0 == 0 && insn.imm == TAIL_CALL {
            sub.has_tail_call = true;
            sub.tail_call_reachable = true;
        }
        if class == 0 && matches!(insn.code & 0xe0, 0x20 | 0x40) {
            sub.has_ld_abs = true;
        }
        if matches!(class, 5 | 6) && !matches!(op, 0x80 | 0x90) {
            let rel = if insn.code == 0x06 { insn.imm } else { i32::from(insn.off) };
            let to = (at as i32).wrapping_add(rel).wrapping_add(1);
            if to < sub.start as i32 || to >= sub.end as i32 {
                return reject!(EINVAL, BadFlow::JumpRange { from: at, to: to.into() });
            }
        }
        if at + 1 == sub.end {
            if !matches!(insn.code, 0x95 | 0x05 | 0x06) {
                return reject!(EINVAL, BadFlow::NoExit);
            }
            cur += 1;
        }
    }
    Ok(())
}
