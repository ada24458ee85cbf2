//! Lists and trees of allocated objects.
//!
//! What is inserted stays in sight as a non-owning reference, until the lock is given back.

use btf::TypeId;
use btf::fields::FieldKind;

use super::Meta;
use super::param::PtrParam;
use crate::calls::btf_ids;
use crate::calls::lock::check_locked;
use crate::env::Env;
use crate::error::{Checked, reject};
use crate::event::{BadArg, BadGraph, BadKfunc, Reg};
use crate::passes::Special;
use crate::state::{FuncState, RefKind, RegFlags, RegKind, RegState};

/// The head of a list or root of a tree: what it contains.
#[derive(Clone, Copy, Debug)]
pub(super) struct Root {
    kind: FieldKind,
    /// BTF and type of its objects, and where their node is.
    btf: u32,
    value: TypeId,
    pub(super) node_off: u32,
    /// Its place in the value that holds it.
    pub(super) off: u32,
}

/// The BTF that types of these fields are in.
fn btf_of_fields(env: &Env<'_>, reg: &RegState) -> u32 {
    if reg.kind == RegKind::MapValue { env.fields_of(reg).btf } else { reg.data2 }
}

/// The root at this offset of what the register points to.
fn root_at(env: &Env<'_>, reg: &RegState, off: u32, kind: FieldKind) -> Option<Root> {
    let record = env.record_of(reg)?;
    let field = record.iter().find(|f| f.kind == kind && f.off == off)?;
    let (value, node_off) = field.contains()?;
    Some(Root { kind, btf: btf_of_fields(env, reg), value, node_off, off })
}

/// A head or root: in a map's value or in an allocated object, its lock held.
pub(super) fn check_root(env: &Env<'_>, meta: &mut Meta<'_>, n: usize, kind: PtrParam) -> Checked {
    let reg = *env.reg(n + 1);
    let allocated = reg.kind == RegKind::BtfId && reg.flags == RegFlags::ALLOC;
    if !reg.is_kind(RegKind::MapValue) && !allocated {
        return reject!(EINVAL, BadGraph::NoPlace { arg: n });
    }
    if allocated && reg.ref_obj_id == 0 {
        return reject!(EINVAL, BadGraph::NotReferenced);
    }
    let kind = if kind == PtrParam::ListHead { FieldKind::ListHead } else { FieldKind::RbRoot };
    let field = kind.name();
    let Some(var) = reg.v.as_const() else {
        return reject!(EINVAL, BadArg::NoConstantOffset { reg: Reg(n + 1), field });
    };
    let off = (reg.off as u32).wrapping_add(var as u32);
    let Some(root) = root_at(env, &reg, off, kind) else {
        return reject!(EINVAL, BadGraph::NotFound { field, off });
    };
    if let Err(reject) = check_locked(env, &reg) {
        let lock = env.record_of(&reg).and_then(|r| r.lock().map(|f| (f.kind, f.off)));
        // Linux tells where a plain lock is.
        let at = match lock {
            Some((FieldKind::SpinLock, off)) => off as i32,
            _ => -22,
        };
        return Err(reject.then(BadGraph::LockNotHeld { at, field }));
    }
    meta.root = Some(root);
    Ok(())
}

/// An object to be put into a list.
pub(super) fn check_list_node(env: &Env<'_>, meta: &mut Meta<'_>, n: usize) -> Checked {
    check_owned(env, n)?;
    check_node(env, meta, n, FieldKind::ListNode)
}

/// An object to be put into a tree, or one that is in it.
pub(super) fn check_rb_node(env: &Env<'_>, meta: &mut Meta<'_>, n: usize) -> Checked {
    let reg = env.reg(n + 1);
    if meta.func.special == Special::RbtreeAdd {
        check_owned(env, n)?;
    } else {
        if !reg.flags.contains(RegFlags::NON_OWN_REF) && reg.ref_obj_id == 0 {
            return reject!(EINVAL, BadGraph::NodeReference { func: meta.name() });
        }
        if in_less_callback(env) {
            return reject!(EINVAL, BadGraph::InCallback { func: meta.name() });
        }
    }
    check_node(env, meta, n, FieldKind::RbNode)
}

/// The program owns the object.
fn check_owned(env: &Env<'_>, n: usize) -> Checked {
    let reg = env.reg(n + 1);
    if reg.kind != RegKind::BtfId || reg.flags != RegFlags::ALLOC {
        return reject!(EINVAL, BadGraph::NotAllocated { arg: n });
    }
    if reg.ref_obj_id == 0 {
        return reject!(EINVAL, BadGraph::NotReferenced);
    }
    Ok(())
}

/// The register points to the node of an object that the root takes.
fn check_node(env: &Env<'_>, meta: &mut Meta<'_>, n: usize, kind: FieldKind) -> Checked {
    let reg = *env.reg(n + 1);
    let node = kind.name();
    let Some(var) = reg.v.as_const() else {
        return reject!(EINVAL, BadArg::NoConstantOffset { reg: Reg(n + 1), field: node });
    };
    let off = (reg.off as u32).wrapping_add(var as u32);
    let found = env
        .record_of(&reg)
        .is_some_and(|record| record.iter().any(|f| f.kind == kind && f.off == off));
    if !found {
        return reject!(EINVAL, BadGraph::NotFound { field: node, off });
    }
    let Some(root) = meta.root else { return reject!(EFAULT) };
    let (Some(own), Some(theirs)) = (env.btf_of(&reg), env.btf_numbered(root.btf)) else {
        return reject!(EFAULT);
    };
    let id = TypeId(reg.btf_id());
    let same = root.btf == reg.data2 && btf_ids::matches_id(own, id, 0, root.value, true);
    let (wanted, is) = (theirs.name_of(root.value), own.name_of(id));
    let node_off = root.node_off as i32;
    if !same {
        return reject!(
            EINVAL,
            BadGraph::WrongObject {
                root: root.kind.name(),
                node,
                node_off,
                wanted: wanted.into(),
                off: off as i32,
                is: is.into(),
            }
        );
    }
    meta.object = Some((reg.data2, reg.btf_id()));
    if off != root.node_off {
        let (off, wanted) = (off as i32, wanted.into());
        return reject!(EINVAL, BadGraph::WrongNode { off, node, node_off, wanted });
    }
    Ok(())
}

/// What the program put into a list or tree is no longer its own.
pub(super) fn insert(env: &mut Env<'_>, insn_idx: usize, meta: &Meta<'_>) -> Checked {
    let _ = insn_idx;
    let id = env.reg(2).ref_obj_id;
    let held = |r: &crate::state::Reference| r.kind == RefKind::Ptr && r.id == id;
    if !env.state.refs.iter().any(held) {
        return reject!(EINVAL, BadKfunc::NotAcquired { func: meta.name(), id: meta.func.id });
    }
    let counted = env.record_of(env.reg(2)).is_some_and(|r| r.has(FieldKind::Refcount));
    env.state.for_each_reg_where(
        |reg| reg.ref_obj_id == id,
        |reg| {
            reg.ref_obj_id = 0;
            set_non_owning(reg, counted);
        },
    );
    env.release_reference(id)
}

fn set_non_owning(reg: &mut RegState, counted: bool) {
    reg.flags |= RegFlags::NON_OWN_REF;
    if counted {
        reg.flags |= RegFlags::RCU;
    }
}

/// An object of a list or tree, at its node.
pub(super) fn node_of(root: &Root) -> RegState {
    RegState {
        data: root.value.0,
        data2: root.btf,
        off: root.node_off as i32,
        ..RegState::pointer(RegKind::BtfId)
    }
    .with(RegFlags::ALLOC)
}

/// The same, of which the list or tree keeps the ownership.
pub(super) fn borrowed_node(env: &Env<'_>, root: &Root) -> RegState {
    let mut reg = node_of(root);
    let counted = env.record_of(&reg).is_some_and(|r| r.has(FieldKind::Refcount));
    set_non_owning(&mut reg, counted);
    reg
}

/// The function that orders the objects of a tree: it sees two of them.
pub(super) fn push_less(env: &mut Env<'_>, insn_idx: usize, meta: &Meta<'_>) -> Checked {
    let (Some(subprog), Some(root)) = (meta.subprog, meta.root) else { return reject!(EFAULT) };
    let node = borrowed_node(env, &root);
    env.push_sync_callback(insn_idx, subprog, (0, 1), &move |_: &FuncState, callee| {
        callee.regs[1] = node;
        callee.regs[2] = node;
        callee.regs[3..=5].fill(RegState::NOT_INIT);
        Ok(())
    })
}

/// The path is inside a function that orders a tree.
pub(crate) fn in_less_callback(env: &Env<'_>) -> bool {
    env.state.frames.iter().skip(1).any(|frame| {
        frame.in_callback()
            && usize::try_from(frame.callsite).is_ok_and(|at| env.special_at(at).is_rbtree())
    })
}
