//! References: acquired objects that must be released, and pointers into the packet, which die
//! when the packet moves.

use crate::env::Env;
use crate::error::{Checked, Reject, reject};
use crate::event::BadExit;
use crate::state::{LockHome, RefKind, Reference, RegFlags, RegKind, RegState};

impl Env<'_> {
    /// A new reference acquired at this instruction; returns its id.
    pub(crate) fn acquire_reference(&mut self, insn_idx: usize) -> u32 {
        let id = self.new_id();
        self.state.refs.push(Reference {
            kind: RefKind::Ptr,
            id,
            insn_idx: insn_idx as u32,
            home: LockHome::None,
        });
        id
    }

    /// Ends a reference: every register that holds it becomes an unknown number.
    pub(crate) fn release_reference(&mut self, ref_obj_id: u32) -> Checked {
        let held = |r: &Reference| r.kind == RefKind::Ptr && r.id == ref_obj_id;
        let Some(at) = self.state.refs.iter().position(held) else {
            return reject!(EINVAL);
        };
        self.state.refs.remove(at);
        let unknown = self.invalid_reg();
        self.state.for_each_reg_where(|reg| reg.ref_obj_id == ref_obj_id, |reg| *reg = unknown);
        Ok(())
    }

    /// A reference goes where readers find it: per-CPU objects stay readable for as long as a read
    /// section lasts. Whether there was one.
    pub(crate) fn hand_over(&mut self, ref_obj_id: u32) -> bool {
        let held = |r: &Reference| r.kind == RefKind::Ptr && r.id == ref_obj_id;
        let Some(at) = self.state.refs.iter().position(held) else { return false };
        self.state.refs.remove(at);
        let (unknown, readable) = (self.invalid_reg(), self.in_rcu_section());
        self.state.for_each_reg_where(
            |reg| reg.ref_obj_id == ref_obj_id,
            |reg| {
                if readable && reg.flags.contains(RegFlags::ALLOC | RegFlags::PERCPU) {
                    reg.ref_obj_id = 0;
                    reg.flags -= RegFlags::ALLOC;
                    reg.flags |= RegFlags::RCU;
                } else {
                    *reg = unknown;
                }
            },
        );
        true
    }

    /// Nothing may be held where the program may end. `check_lock`: locks and such count too;
    /// `what` could not be done otherwise.
    pub(crate) fn check_resource_leak(
        &mut self,
        exception_exit: bool,
        check_lock: bool,
        what: &'static str,
    ) -> Checked {
        if check_lock && self.state.active_locks != 0 {
            return reject!(EINVAL, BadExit::LockHeld { what });
        }
        if exception_exit || self.state.curframe() == 0 {
            self.check_reference_leak(exception_exit, what)?;
        }
        let open = [
            (self.state.active_irq_id != 0, "bpf_local_irq_save-ed"),
            (self.state.active_rcu_lock, "bpf_rcu_read_lock-ed"),
            (self.state.active_preempt_locks != 0, "bpf_preempt_disable-ed"),
        ];
        match open.iter().find(|(open, _)| *open) {
            Some((_, region)) if check_lock => {
                reject!(EINVAL, BadExit::RegionOpen { what, region })
            }
            _ => Ok(()),
        }
    }

    fn check_reference_leak(&self, exception_exit: bool, what: &'static str) -> Checked {
        // An operation may give a reference back to the kernel; of which type is checked later.
        let returns = self.prog_type == Some(uapi::ProgType::StructOps) && !exception_exit;
        let returned = if returns { self.reg(0).ref_obj_id } else { 0 };
        let mut leaked: Option<Reject> = None;
        let left = |r: &&Reference| r.kind == RefKind::Ptr && r.id != returned;
        for r in self.state.refs.iter().filter(left) {
            let reason = BadExit::ReferenceLeft { id: r.id, insn: r.insn_idx as usize };
            leaked = Some(match leaked {
                None => Reject::new(uapi::Errno::EINVAL, reason),
                Some(before) => before.then(reason),
            });
        }
        match leaked {
            Some(reject) => Err(reject.then(BadExit::ReferenceLeak { what })),
            None => Ok(()),
        }
    }

    /// What was pointed to is gone: nothing is known, and without CAP_PERFMON nothing readable.
    pub(crate) fn invalid_reg(&self) -> RegState {
        if self.caps.allow_ptr_leaks { self.unknown_reg() } else { RegState::NOT_INIT }
    }

    /// The packet may have moved: pointers into it become unknown numbers.
    pub(crate) fn clear_packet_pointers(&mut self) {
        let unknown = self.invalid_reg();
        let moves = |reg: &RegState| reg.is_packet_any() || is_packet_slice(reg);
        self.state.for_each_reg_where(moves, |reg| *reg = unknown);
    }
}

/// A slice of a packet dynptr moves with the packet.
fn is_packet_slice(reg: &RegState) -> bool {
    let packet = RegFlags::DYNPTR_SKB | RegFlags::DYNPTR_XDP | RegFlags::DYNPTR_SKB_META;
    reg.kind == RegKind::Mem && reg.flags.intersects(packet)
}
