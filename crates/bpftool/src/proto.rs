//! Functions' names and prototypes out of a program's BTF.

use std::fmt::Write;
use std::sync::Arc;

use btf::{Btf, Kind, TypeId};
use runtime::door::{Bpf, ObjKind, ProgInfo};

/// Longest name that the kernel keeps; a longer one is cut to this.
const KERNEL_NAME: usize = 15;
/// Types that a prototype follows at most.
const MAX_DEPTH: u32 = 64;

/// The BTF with this id.
pub(crate) fn btf_of(door: &dyn Bpf, id: u32) -> Option<Arc<Btf>> {
    if id == 0 {
        return None;
    }
    let fd = door.fd_by_id(ObjKind::Btf, id, 0).ok()?;
    let info = door.btf_info(fd);
    let _ = door.close(fd);
    let info = info.ok()?;
    if info.kernel_btf && info.name != "vmlinux" {
        let base = btf_of(door, 1)?;
        return Btf::parse_split(&info.data, base).ok().map(Arc::new);
    }
    Btf::parse(&info.data).ok().map(Arc::new)
}

/// A program's name: its function's where the kernel cut it.
pub(crate) fn full_name(door: &dyn Bpf, info: &ProgInfo) -> String {
    let whole = info.name.len() < KERNEL_NAME;
    let named = || {
        let btf = btf_of(door, info.btf_id)?;
        let id = TypeId(info.func_info.first()?.type_id);
        let name = btf.ty(id).filter(|ty| ty.kind == Kind::Func)?.name.to_owned();
        name.starts_with(&info.name).then_some(name)
    };
    if whole { info.name.clone() } else { named().unwrap_or_else(|| info.name.clone()) }
}

/// `int count(struct xdp_md * ctx)`.
pub(crate) fn prototype(btf: &Btf, func: TypeId) -> Option<String> {
    let ty = btf.ty(func).filter(|ty| ty.kind == Kind::Func)?;
    let proto = btf.ty(TypeId(ty.size_or_type)).filter(|ty| ty.kind == Kind::FuncProto)?;
    let mut out = String::new();
    type_only(btf, TypeId(proto.size_or_type), &mut out, 0)?;
    write!(out, "{}(", ty.name).ok()?;
    let params = proto.params();
    let last = params.len().wrapping_sub(1);
    for (at, param) in params.enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        if param.type_id.0 == 0 && at == last {
            out.push_str("...");
            continue;
        }
        type_only(btf, param.type_id, &mut out, 0)?;
        out.push_str(param.name);
    }
    out.push(')');
    Some(out)
}

/// `void (struct sock *, u32)`.
pub(crate) fn signature(btf: &Btf, proto: TypeId) -> Option<String> {
    let mut out = String::new();
    type_only(btf, proto, &mut out, 0)?;
    Some(out)
}

/// A type as it stands before a name, with a blank where one is needed.
fn type_only(btf: &Btf, id: TypeId, out: &mut String, depth: u32) -> Option<()> {
    if id.0 == 0 {
        out.push_str("void ");
        return Some(());
    }
    if depth > MAX_DEPTH {
        return None;
    }
    let ty = btf.ty(id)?;
    let target = TypeId(ty.size_or_type);
    let word = match ty.kind {
        Kind::Int | Kind::Typedef | Kind::Float => "",
        Kind::Struct => "struct ",
        Kind::Union => "union ",
        Kind::Enum | Kind::Enum64 => "enum ",
        Kind::Fwd if ty.kind_flag => "union ",
        Kind::Fwd => "struct ",
        Kind::Ptr => {
            type_only(btf, target, out, depth + 1)?;
            out.push_str("* ");
            return Some(());
        }
        Kind::Array => {
            let array = ty.array()?;
            type_only(btf, array.elem, out, depth + 1)?;
            write!(out, "[{}]", array.count).ok()?;
            return Some(());
        }
        Kind::Const | Kind::Volatile | Kind::Restrict | Kind::TypeTag => {
            out.push_str(match ty.kind {
                Kind::Const => "const ",
                Kind::Volatile => "volatile ",
                Kind::Restrict => "restrict ",
                _ => "",
            });
            return type_only(btf, target, out, depth + 1);
        }
        Kind::FuncProto => {
            type_only(btf, target, out, depth + 1)?;
            out.push('(');
            let last = ty.params().len().wrapping_sub(1);
            for (at, param) in ty.params().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                if param.type_id.0 == 0 && at == last {
                    out.push_str("...");
                } else {
                    type_only(btf, param.type_id, out, depth + 1)?;
                    out.push_str(param.name);
                    if param.name.is_empty() && out.ends_with(' ') {
                        out.pop();
                    }
                }
            }
            out.push(')');
            return Some(());
        }
        Kind::Func | Kind::Var | Kind::Datasec | Kind::DeclTag => return None,
        #[allow(unreachable_patterns, reason = "kinds that a later BTF may have")]
        _ => return None,
    };
    write!(out, "{word}{} ", ty.name).ok()
}
