//! Kernel pointers in map values and allocated objects: loads, stores and `bpf_kptr_xchg`.

use btf::fields::{Field, FieldKind};
use btf::{Btf, TypeId};

use super::btf_ids;
use super::helper::Meta;
use crate::check::AccessKind;
use crate::env::Env;
use crate::error::{Checked, reject};
use crate::event::{BadArg, BadKptr, Reg, RegType};
use crate::passes::KERNEL_BTF;
use crate::state::{RegFlags, RegKind, RegState};

/// Structures of the kernel that outlive a read section when their last reference goes.
const RCU_PROTECTED: &[&str] =
    &["prog_test_ref_kfunc", "cgroup", "bpf_cpumask", "task_struct", "bpf_crypto_ctx"];

/// A field that holds a pointer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kptr {
    field: Field,
    /// The BTF of what it points to, by number, and the type in it.
    btf: u32,
    id: TypeId,
}

impl Kptr {
    /// `home`: the BTF of the structure that the field is in.
    fn of(field: Field, home: u32) -> Option<Kptr> {
        let (id, kernel) = field.pointee()?;
        Some(Kptr { field, btf: if kernel { KERNEL_BTF } else { home }, id })
    }

    /// A register that points to what the field does.
    fn register(&self, flags: RegFlags) -> RegState {
        RegState { data: self.id.0, data2: self.btf, ..RegState::pointer(RegKind::BtfId) }
            .with(flags)
    }

    /// What `bpf_kptr_xchg` takes out.
    pub(super) fn taken(&self, mut flags: RegFlags) -> RegState {
        if self.btf != KERNEL_BTF {
            flags |= RegFlags::ALLOC;
            flags.set(RegFlags::PERCPU, self.field.kind == FieldKind::KptrPercpu);
        }
        self.register(flags)
    }
}

/// The destination of `bpf_kptr_xchg`.
pub(super) fn check_destination(env: &Env<'_>, regno: usize, meta: &mut Meta) -> Checked {
    let reg = *env.reg(regno);
    let is_value = reg.kind == RegKind::MapValue;
    if is_value {
        if !env.has_value_btf(&reg) {
            let map = env.map_def(&reg).name.as_str().into();
            return reject!(EINVAL, BadArg::FieldWithoutBtf { map, field: "bpf_kptr_xchg" });
        }
        meta.map = Some(reg);
    }
    let Some(var) = reg.v.as_const() else {
        return reject!(EINVAL, BadArg::KptrOffset { reg: Reg(regno) });
    };
    let own = |f: &&Field| f.kind.is_kptr() && f.kind != FieldKind::Uptr;
    let record = env.record_of(&reg).filter(|r| r.iter().any(|f| own(&f)));
    let Some(record) = record else {
        return reject!(EINVAL, BadArg::NoKptr { reg: Reg(regno) });
    };
    let off = (reg.off as u32).wrapping_add(var as u32);
    let home = if is_value { env.fields_of(&reg).btf } else { reg.data2 };
    let field = record.iter().filter(own).find(|f| f.off == off);
    let Some(kptr) = field.and_then(|f| Kptr::of(*f, home)) else {
        return reject!(EACCES, BadKptr::NotAtKptr { off });
    };
    if !matches!(kptr.field.kind, FieldKind::KptrRef | FieldKind::KptrPercpu) {
        return reject!(EACCES, BadKptr::NotReferenced { off });
    }
    meta.kptr = Some(kptr);
    Ok(())
}

/// The register holds a pointer that the field may keep.
pub(super) fn check_source(env: &Env<'_>, kptr: &Kptr, reg: &RegState, regno: usize) -> Checked {
    let unref = kptr.field.kind == FieldKind::KptrUnref;
    let percpu = kptr.field.kind == FieldKind::KptrPercpu;
    let mut may = RegFlags::MAYBE_NULL;
    if reg.data2 == KERNEL_BTF {
        may |= RegFlags::TRUSTED | RegFlags::RCU;
        may.set(RegFlags::UNTRUSTED, unref);
    } else {
        may |= RegFlags::ALLOC;
        may.set(RegFlags::PERCPU, percpu);
    }
    let fits = reg.kind == RegKind::BtfId
        && (reg.flags - may).is_empty()
        && percpu == reg.flags.contains(RegFlags::PERCPU);
    if !fits {
        return reject!(EACCES, mismatch(env, kptr, reg, regno, ""));
    }
    env.check_ptr_off(reg, regno, true).map_err(|r| r.with_errno(uapi::Errno::EACCES))?;
    let own = env.btf_of(reg);
    let id = TypeId(reg.btf_id());
    let id = own.and_then(|btf| btf.resolve(id).ok()).unwrap_or(id);
    let same = own.is_some_and(|btf| {
        reg.data2 == kptr.btf && btf_ids::matches_id(btf, id, reg.off, kptr.id, !unref)
    });
    if same {
        return Ok(());
    }
    reject!(EACCES, mismatch(env, kptr, reg, regno, own.map_or("", |btf| btf.name_of(id))))
}

fn mismatch(env: &Env<'_>, kptr: &Kptr, reg: &RegState, regno: usize, name: &str) -> BadKptr {
    let expected = env.btf_numbered(kptr.btf).map_or("", |btf| btf.name_of(kptr.id));
    let or = match kptr.field.kind {
        FieldKind::KptrUnref => format!(" or untrusted_ptr_{expected}"),
        _ => String::new(),
    };
    BadKptr::Type {
        reg: Reg(regno),
        is: RegType::of(reg),
        name: name.into(),
        expected: expected.into(),
        or: or.into(),
    }
}

impl Env<'_> {
    /// The pointer at this place of a map's value, if one is there.
    pub(crate) fn kptr_at(&self, reg: &RegState, at: i64) -> Option<Kptr> {
        let fields = self.fields_of(reg);
        if fields.record.is_empty() {
            return None;
        }
        let field = fields.record.iter().find(|f| f.kind.is_kptr() && i64::from(f.off) == at)?;
        Kptr::of(*field, fields.btf)
    }

    /// A load or store of a whole pointer in a map's value.
    pub(crate) fn access_kptr(
        &mut self,
        kptr: Kptr,
        value: Option<usize>,
        kind: AccessKind,
        insn_idx: usize,
    ) -> Checked {
        /// `mode` bits of an opcode, and that of plain loads and stores.
        const MODE: u8 = 0xe0;
        const MEM: u8 = 0x60;
        let insn = self.prog.insns[insn_idx];
        if insn.code & MODE != MEM {
            return reject!(EACCES, BadKptr::Mode);
        }
        let write = kind == AccessKind::Write;
        match kptr.field.kind {
            FieldKind::KptrRef | FieldKind::KptrPercpu if write => {
                return reject!(EACCES, BadKptr::StoreReferenced);
            }
            FieldKind::Uptr if write => return reject!(EACCES, BadKptr::StoreUptr),
            _ => {}
        }
        match (write, value) {
            (false, Some(value)) => {
                let loaded = self.loaded_kptr(&kptr);
                *self.reg_mut(value) = loaded;
                Ok(())
            }
            (true, Some(value)) if self.reg(value).is_null() => self.mark_chain_precision(value),
            (true, Some(value)) => check_source(self, &kptr, self.reg(value), value),
            (true, None) if insn.imm != 0 => {
                reject!(EACCES, BadKptr::StoreNumber { off: kptr.field.off })
            }
            _ => Ok(()),
        }
    }

    fn loaded_kptr(&mut self, kptr: &Kptr) -> RegState {
        let id = self.new_id();
        if kptr.field.kind == FieldKind::Uptr {
            let btf = self.btf_numbered(kptr.btf);
            let size = btf.and_then(|b| b.ty(kptr.id)).map_or(0, |t| t.size_or_type);
            return RegState { data: size, id, ..RegState::pointer(RegKind::Mem) }
                .with(RegFlags::MAYBE_NULL);
        }
        RegState { id, ..kptr.register(self.kptr_flags(kptr)) }
    }

    /// How far a pointer that is loaded may be trusted.
    fn kptr_flags(&self, kptr: &Kptr) -> RegFlags {
        let kernel = kptr.btf == KERNEL_BTF;
        let outlives = |btf: &Btf| RCU_PROTECTED.contains(&btf.name_of(kptr.id));
        let protected = match kptr.field.kind {
            FieldKind::KptrPercpu => true,
            FieldKind::KptrRef => !kernel || self.btf_numbered(kptr.btf).is_some_and(outlives),
            _ => false,
        };
        if !protected || !self.in_rcu_section() {
            return RegFlags::MAYBE_NULL | RegFlags::UNTRUSTED;
        }
        let mut flags = RegFlags::MAYBE_NULL | RegFlags::RCU;
        if kptr.field.kind == FieldKind::KptrPercpu {
            flags |= RegFlags::PERCPU;
        } else if !kernel {
            flags |= RegFlags::ALLOC;
        }
        let record = if kernel { None } else { self.struct_metas(kptr.btf).get(kptr.id) };
        let linked = record.is_some_and(|r| r.iter().any(|f| f.kind.is_graph_node()));
        flags.set(RegFlags::NON_OWN_REF, linked);
        flags
    }
}
