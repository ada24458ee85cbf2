//! The kernel functions that a program calls.

use btf::{Kind, TypeId};
use uapi::{AttachType, Kfunc, KfuncOnly, ProgType, kfunc, kfunc_hooks, kfunc_hooks_of};

use crate::env::Env;
use crate::error::{Checked, reject};
use crate::event::{BadKfunc, BadLoad};

/// Most kernel functions a program calls (`MAX_KFUNC_DESCS`).
const MAX_KFUNCS: usize = 256;

/// A kernel function that the program calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KfuncDesc<'w> {
    /// Its type id in the kernel's BTF.
    pub(crate) id: u32,
    pub(crate) name: &'w str,
    /// Its prototype.
    pub(crate) proto: TypeId,
    /// The row of the table, if programs like this one may call it.
    pub(crate) row: Option<&'static Kfunc>,
    pub(crate) special: Special,
}

impl KfuncDesc<'_> {
    /// Whether it may be called and has any of these flags.
    pub(crate) fn has(&self, flags: u32) -> bool {
        self.row.is_some_and(|row| row.has(flags))
    }
}

macro_rules! special {
    ($($name:ident $text:literal,)+) => {
        /// Functions with rules of their own.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[allow(missing_docs, reason = "the names are Linux's")]
        pub(crate) enum Special {
            /// None of them.
            None,
            $($name,)+
        }

        impl Special {
            fn of(name: &str) -> Special {
                match name {
                    $($text => Special::$name,)+
                    _ => Special::None,
                }
            }
        }
    };
}

special! {
    ObjNew "bpf_obj_new_impl",
    ObjDrop "bpf_obj_drop_impl",
    PercpuObjNew "bpf_percpu_obj_new_impl",
    PercpuObjDrop "bpf_percpu_obj_drop_impl",
    RefcountAcquire "bpf_refcount_acquire_impl",
    ListPushFront "bpf_list_push_front_impl",
    ListPushBack "bpf_list_push_back_impl",
    ListPopFront "bpf_list_pop_front",
    ListPopBack "bpf_list_pop_back",
    ListFront "bpf_list_front",
    ListBack "bpf_list_back",
    RbtreeAdd "bpf_rbtree_add_impl",
    RbtreeRemove "bpf_rbtree_remove",
    RbtreeFirst "bpf_rbtree_first",
    RbtreeRoot "bpf_rbtree_root",
    RbtreeLeft "bpf_rbtree_left",
    RbtreeRight "bpf_rbtree_right",
    CastToKernCtx "bpf_cast_to_kern_ctx",
    RdonlyCast "bpf_rdonly_cast",
    RcuLock "bpf_rcu_read_lock",
    RcuUnlock "bpf_rcu_read_unlock",
    PreemptDisable "bpf_preempt_disable",
    PreemptEnable "bpf_preempt_enable",
    DynptrFromSkb "bpf_dynptr_from_skb",
    DynptrFromSkbMeta "bpf_dynptr_from_skb_meta",
    DynptrFromXdp "bpf_dynptr_from_xdp",
    DynptrSlice "bpf_dynptr_slice",
    DynptrSliceRdwr "bpf_dynptr_slice_rdwr",
    DynptrClone "bpf_dynptr_clone",
    Throw "bpf_throw",
    Trap "__bpf_trap",
    WqSetCallback "bpf_wq_set_callback_impl",
    TaskWorkSignal "bpf_task_work_schedule_signal_impl",
    TaskWorkResume "bpf_task_work_schedule_resume_impl",
    IterCssTaskNew "bpf_iter_css_task_new",
    IterNumNew "bpf_iter_num_new",
    IterNumNext "bpf_iter_num_next",
    IterNumDestroy "bpf_iter_num_destroy",
    SessionCookie "bpf_session_cookie",
    IrqSave "bpf_local_irq_save",
    IrqRestore "bpf_local_irq_restore",
    ResLock "bpf_res_spin_lock",
    ResUnlock "bpf_res_spin_unlock",
    ResLockIrq "bpf_res_spin_lock_irqsave",
    ResUnlockIrq "bpf_res_spin_unlock_irqrestore",
    GetKmemCache "bpf_get_kmem_cache",
    XdpPullData "bpf_xdp_pull_data",
}

impl Special {
    /// Works on a list.
    pub(crate) fn is_list(self) -> bool {
        use Special::{
            ListBack, ListFront, ListPopBack, ListPopFront, ListPushBack, ListPushFront,
        };
        matches!(
            self,
            ListPushFront | ListPushBack | ListPopFront | ListPopBack | ListFront | ListBack
        )
    }

    /// Works on a tree.
    pub(crate) fn is_rbtree(self) -> bool {
        use Special::{RbtreeAdd, RbtreeFirst, RbtreeLeft, RbtreeRemove, RbtreeRight, RbtreeRoot};
        matches!(
            self,
            RbtreeAdd | RbtreeRemove | RbtreeFirst | RbtreeRoot | RbtreeLeft | RbtreeRight
        )
    }

    /// Adds an object to a list or tree.
    pub(crate) fn inserts(self) -> bool {
        matches!(self, Special::ListPushFront | Special::ListPushBack | Special::RbtreeAdd)
    }

    /// Takes or gives back a lock that may fail.
    pub(crate) fn is_res_lock(self) -> bool {
        use Special::{ResLock, ResLockIrq, ResUnlock, ResUnlockIrq};
        matches!(self, ResLock | ResLockIrq | ResUnlock | ResUnlockIrq)
    }

    /// May be called under a lock.
    pub(crate) fn is_allowed_under_lock(self) -> bool {
        use Special::{IterNumDestroy, IterNumNew, IterNumNext, RefcountAcquire};
        self.is_list()
            || self.is_rbtree()
            || self.is_res_lock()
            || matches!(self, RefcountAcquire | IterNumNew | IterNumNext | IterNumDestroy)
    }
}

/// Notes the function that the call at `at` names: rules that need no look at its arguments.
pub(super) fn add<'a>(env: &mut Env<'a>, at: usize) -> Checked {
    if !uapi::gpl_compatible(&env.prog.license) {
        return reject!(EINVAL, BadLoad::KfuncGpl);
    }
    let insn = env.prog.insns[at];
    if insn.imm == 0 && insn.off == 0 {
        return Ok(()); // a weak function that was not found: refused if it is reached
    }
    let id = insn.imm as u32;
    if insn.off != 0 {
        let reason = match () {
            () if insn.off < 0 => BadKfunc::NegativeModule,
            () if env.prog.fd_array.is_empty() => {
                return Err(crate::error::Reject::new(uapi::Errno::EPROTO, BadKfunc::NoModules)
                    .then(BadKfunc::NoBtf));
            }
            () => return Err(crate::error::Reject::needs("modules of the kernel")),
        };
        return Err(crate::error::Reject::new(uapi::Errno::EINVAL, reason).then(BadKfunc::NoBtf));
    }
    if let Some(n) = env.kfuncs.iter().position(|f| f.id == id) {
        env.aux[at].kfunc = Some(n as u16);
        return Ok(());
    }
    if env.kfuncs.len() >= MAX_KFUNCS {
        return reject!(E2BIG, BadLoad::TooManyKfuncs);
    }
    let world = env.world;
    let Some(btf) = &world.kernel_btf else {
        return Err(crate::error::Reject::needs("kernel BTF"));
    };
    let Some(func) = btf.ty(TypeId(id)).filter(|t| t.kind == Kind::Func) else {
        return reject!(EINVAL, BadLoad::KfuncId { id: insn.imm });
    };
    let proto = TypeId(func.size_or_type);
    if btf.kind(proto) != Some(Kind::FuncProto) {
        return reject!(EINVAL, BadKfunc::NoProto { id });
    }
    let row = kfunc(func.name);
    if row.is_some_and(|row| row.only == KfuncOnly::Device) {
        return reject!(EINVAL, BadKfunc::NotBound);
    }
    let row = row.filter(|row| is_allowed(env, row));
    env.aux[at].kfunc = Some(env.kfuncs.len() as u16);
    let special = Special::of(func.name);
    env.kfuncs.push(KfuncDesc { id, name: func.name, proto, row, special });
    Ok(())
}

/// The function is in a set for programs of this type.
fn is_allowed(env: &Env<'_>, row: &Kfunc) -> bool {
    let sets = env.prog_type.map_or(kfunc_hooks::COMMON, kfunc_hooks_of);
    let attach = AttachType::from_raw(env.attach_type);
    row.hooks & sets != 0
        && match row.only {
            KfuncOnly::Any => true,
            KfuncOnly::Lsm => env.prog_type == Some(ProgType::Lsm),
            KfuncOnly::Iterator => attach == Some(AttachType::TraceIter),
            KfuncOnly::Session => matches!(
                attach,
                Some(AttachType::TraceKprobeSession | AttachType::TraceUprobeSession)
            ),
            KfuncOnly::Device => false,
        }
}
