//! References: acquired objects that must be released, and pointers into the packet, which die
//! when the packet moves.

use crate::env::Env;
use crate::error::{Checked, reject};
use crate::state::{RefKind, Reference};

impl Env<'_> {
    /// A new reference acquired at this instruction; returns its id.
    pub(crate) fn acquire_reference(&mut self, insn_idx: usize) -> u32 {
        let id = self.new_id();
        self.state.refs.push(Reference { kind: RefKind::Ptr, id, insn_idx: insn_idx as u32 });
        id
    }

    /// Ends a reference: every register that holds it becomes an unknown number.
    pub(crate) fn release_reference(&mut self, ref_obj_id: u32) -> Checked {
        let held = |r: &Reference| r.kind == RefKind::Ptr && r.id == ref_obj_id;
        let Some(at) = self.state.refs.iter().position(held) else {
            return reject!(EINVAL);
        };
        self.state.refs.remove(at);
        let unknown = self.unknown_reg();
        let log = &mut self.log;
        log.scratch_all();
        self.state.for_each_reg_mut(|reg| {
            if reg.ref_obj_id == ref_obj_id {
                *reg = unknown;
            }
        });
        Ok(())
    }

    /// The packet may have moved: pointers into it become unknown numbers.
    pub(crate) fn clear_packet_pointers(&mut self) {
        let unknown = self.unknown_reg();
        self.state.for_each_reg_mut(|reg| {
            if reg.is_packet_any() || is_packet_slice(reg) {
                *reg = unknown;
            }
        });
    }
}

/// A slice of a packet dynptr moves with the packet.
fn is_packet_slice(reg: &crate::state::RegState) -> bool {
    use crate::state::RegFlags;
    reg.kind == crate::state::RegKind::Mem
        && reg.flags.intersects(RegFlags::DYNPTR_SKB | RegFlags::DYNPTR_XDP)
}
