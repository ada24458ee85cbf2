//! The program's BTF: that function and line records fit the instructions.

use btf::{Btf, Kind, Type, TypeId};

use crate::env::Env;
use crate::error::{Checked, reject};

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
            return reject!(
                EINVAL,
                "nonzero insn_off {} for the first func info record",
                info.insn_off
            );
        }
        if n > 0 && info.insn_off <= prev {
            return reject!(
                EINVAL,
                "same or smaller insn offset ({}) than previous func info record ({prev})",
                info.insn_off
            );
        }
        let func = btf.ty(TypeId(info.type_id)).filter(|t| t.kind == Kind::Func);
        let Some(func) = func else {
            return reject!(EINVAL, "invalid type id {} in func info", info.type_id as i32);
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
            return reject!(EINVAL, "LD_ABS is not allowed in subprogs without BTF");
        }
        if sub.has_tail_call {
            return reject!(EINVAL, "tail_call is not allowed in subprogs without BTF");
        }
    }
    Ok(())
}

fn check_functions(env: &mut Env<'_>, btf: &Btf) -> Checked {
    let infos = &env.prog.func_info;
    if infos.len() != env.subprogs.len() {
        return reject!(EINVAL, "number of funcs in func_info doesn't match number of subprogs");
    }
    for (n, (info, sub)) in infos.iter().zip(&mut env.subprogs).enumerate() {
        if sub.start != info.insn_off as usize {
            return reject!(
                EINVAL,
                "func_info BTF section doesn't match subprog layout in BPF program"
            );
        }
        let Some(func) = btf.ty(TypeId(info.type_id)) else { return reject!(EINVAL) };
        let scalar = btf
            .ty(TypeId(func.size_or_type))
            .and_then(|proto| btf.resolved(TypeId(proto.size_or_type)))
            .is_some_and(|ret| returns_scalar(&ret));
        if n > 0 && !scalar && sub.has_ld_abs {
            return reject!(EINVAL, "LD_ABS is only allowed in functions that return 'int'.");
        }
        if n > 0 && !scalar && sub.has_tail_call {
            return reject!(EINVAL, "tail_call is only allowed in functions that return 'int'.");
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
                "Invalid line_info[{n}].insn_off:{} (prev_offset:{prev} prog->len:{})",
                line.insn_off,
                prog.insns.len()
            );
        }
        if prog.insns[at].code == 0 {
            return reject!(EINVAL, "Invalid insn code at line_info[{n}].insn_off");
        }
        if btf.string_bytes(line.line_off).is_none()
            || btf.string_bytes(line.file_name_off).is_none()
        {
            return reject!(EINVAL, "Invalid line_info[{n}].line_off or .file_name_off");
        }
        if let Some(s) = env.subprogs.get(sub) {
            if at == s.start {
                sub += 1;
            } else if s.start < at {
                return reject!(EINVAL, "missing bpf_line_info for func#{sub}");
            }
        }
        prev = line.insn_off;
    }
    if sub != env.subprogs.len() {
        return reject!(
            EINVAL,
            "missing bpf_line_info for {} funcs starting from func#{sub}",
            env.subprogs.len() - sub
        );
    }
    Ok(())
}
