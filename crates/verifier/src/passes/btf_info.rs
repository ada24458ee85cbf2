//! The program's BTF: that function and line records fit the instructions.

use btf::{Btf, Kind, Type, TypeId};

use crate::env::Env;
use crate::error::{Checked, reject};
use crate::event::BadLoad;

/// The declaration tags on a type.
pub(crate) fn decl_tags(btf: &Btf, on: u32) -> impl Iterator<Item = Type<'_>> {
    btf.decl_tags(TypeId(on)).filter_map(|id| btf.ty(id))
}

/// Before subprograms are known: offsets and types of the function records.
pub(super) fn check_early(env: &mut Env<'_>) -> Checked {
    let prog = env.prog;
    if prog.func_info.is_empty() {
        return Ok(()); // no subprogram exists yet that could have LD_ABS
    }
    let Some(btf) = &prog.btf else { return reject!(EINVAL) };
    let mut prev = 0;
    for (n, info) in prog.func_info.iter().enumerate() {
        if n == 0 && info.insn_off != 0 {
            return reject!(EINVAL, BadLoad::FirstFuncInfo { insn_off: info.insn_off });
        }
        if n > 0 && info.insn_off <= prev {
            return reject!(
                EINVAL,
                BadLoad::FuncInfoOrder { insn_off: info.insn_off, before: prev }
            );
        }
        let func = btf.ty(TypeId(info.type_id)).filter(|t| t.kind == Kind::Func);
        let Some(func) = func else {
            return reject!(EINVAL, BadLoad::FuncInfoType { id: info.type_id as i32 });
        };
        if btf.kind(TypeId(func.size_or_type)) != Some(Kind::FuncProto) {
            return reject!(EINVAL);
        }
        prev = info.insn_off;
    }
    Ok(())
}

/// With subprograms known.
pub(super) fn check(env: &mut Env<'_>) -> Checked {
    let prog = env.prog;
    if prog.func_info.is_empty() {
        check_without_btf(env)?;
    } else if let Some(btf) = &prog.btf {
        check_functions(env, btf)?;
    }
    match (&prog.btf, prog.line_info.is_empty()) {
        (_, true) => Ok(()),
        (Some(btf), false) => check_lines(env, btf),
        (None, false) => reject!(EINVAL),
    }
}

fn check_without_btf(env: &Env<'_>) -> Checked {
    for sub in env.subprogs.iter().skip(1) {
        if sub.has_ld_abs {
            return reject!(EINVAL, BadLoad::LdAbsWithoutBtf);
        }
        if sub.has_tail_call {
            return reject!(EINVAL, BadLoad::TailCallWithoutBtf);
        }
    }
    Ok(())
}

fn check_functions(env: &mut Env<'_>, btf: &Btf) -> Checked {
    let infos = &env.prog.func_info;
    if infos.len() != env.subprogs.len() {
        return reject!(EINVAL, BadLoad::FuncInfoCount);
    }
    for (n, (info, sub)) in infos.iter().zip(&mut env.subprogs).enumerate() {
        if sub.start != info.insn_off as usize {
            return reject!(EINVAL, BadLoad::FuncInfoLayout);
        }
        let Some(func) = btf.ty(TypeId(info.type_id)) else { return reject!(EINVAL) };
        let scalar = btf
            .ty(TypeId(func.size_or_type))
            .and_then(|proto| btf.resolved(TypeId(proto.size_or_type)))
            .is_some_and(|ret| returns_scalar(&ret));
        if n > 0 && !scalar && sub.has_ld_abs {
            return reject!(EINVAL, BadLoad::LdAbsResult);
        }
        if n > 0 && !scalar && sub.has_tail_call {
            return reject!(EINVAL, BadLoad::TailCallResult);
        }
        sub.name = func.name.to_string();
        sub.func_id = info.type_id;
        sub.is_global = func.vlen == 1;
    }
    Ok(())
}

/// An integer of at most eight bytes, or an enum.
fn returns_scalar(ret: &Type<'_>) -> bool {
    ret.kind.is_enum() || (ret.kind == Kind::Int && ret.size_or_type <= 8)
}

fn check_lines(env: &Env<'_>, btf: &Btf) -> Checked {
    let prog = env.prog;
    let (mut prev, mut sub) = (0, 0);
    for (n, line) in prog.line_info.iter().enumerate() {
        let at = line.insn_off as usize;
        if (n > 0 && line.insn_off <= prev) || at >= prog.insns.len() {
            return reject!(
                EINVAL,
                BadLoad::LineOffset {
                    line: n,
                    insn_off: line.insn_off,
                    before: prev,
                    len: prog.insns.len()
                }
            );
        }
        if prog.insns[at].code == 0 {
            return reject!(EINVAL, BadLoad::LineInsn { line: n });
        }
        if btf.string_bytes(line.line_off).is_none()
            || btf.string_bytes(line.file_name_off).is_none()
        {
            return reject!(EINVAL, BadLoad::LineText { line: n });
        }
        if let Some(s) = env.subprogs.get(sub) {
            if at == s.start {
                sub += 1;
            } else if s.start < at {
                return reject!(EINVAL, BadLoad::LineOfFunc { func: sub });
            }
        }
        prev = line.insn_off;
    }
    if sub != env.subprogs.len() {
        return reject!(
            EINVAL,
            BadLoad::LineOfFuncs { count: env.subprogs.len() - sub, func: sub }
        );
    }
    Ok(())
}
