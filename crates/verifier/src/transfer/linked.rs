//! Numbers that are copies of each other, or a constant apart: what a jump teaches about one
//! holds for all.

use smallvec::SmallVec;

use crate::domain::Bounds;
use crate::env::InsnAux;
use crate::state::{ADD_CONST, ADD_CONST32, RegState, VerifierState};

/// Most places that one jump may update.
const MAX_LINKED: usize = 6;

/// Where a linked number lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) frame: u8,
    /// Register number, or stack slot.
    pub(crate) index: u8,
    pub(crate) is_reg: bool,
}

/// The places that shared an id at a jump.
pub(crate) type LinkedSet = SmallVec<[Place; MAX_LINKED]>;

/// Packs a set into the history: 10 bits a place, the count in the low 4.
pub(crate) fn pack(set: &LinkedSet) -> u64 {
    let places = set.iter().rev().fold(0, |packed, place| {
        packed << 10
            | u64::from(place.is_reg) << 9
            | u64::from(place.index) << 3
            | u64::from(place.frame)
    });
    places << 4 | set.len() as u64
}

/// The reverse of [`pack`].
pub(crate) fn unpack(packed: u64) -> LinkedSet {
    let place = |n: u64| {
        let bits = packed >> (4 + 10 * n);
        Place { frame: (bits & 7) as u8, index: (bits >> 3 & 63) as u8, is_reg: bits >> 9 & 1 != 0 }
    };
    (0..packed & 15).map(place).collect()
}

impl VerifierState {
    /// Adds every number with this id, dead registers aside; those for which there is no room lose
    /// it.
    pub(super) fn collect_linked(&mut self, id: u32, aux: &[InsnAux], set: &mut LinkedSet) {
        let id = id & !ADD_CONST;
        for frame in (0..self.frames.len()).rev() {
            let has = |reg: &RegState| reg.is_scalar() && reg.id & !ADD_CONST == id;
            let live = aux[self.frame_insn(frame)].live_regs;
            for index in (0..10).filter(|n| live & 1 << n != 0) {
                if has(&self.frame(frame).regs[index]) && !add(set, frame, index, true) {
                    clear(&mut self.frame_mut(frame).regs[index]);
                }
            }
            for index in 0..self.frame(frame).stack.slots().len() {
                let slot = self.frame(frame).stack.slot(index);
                if slot.is_spilled() && has(&slot.spilled) && !add(set, frame, index, false) {
                    clear(&mut self.frame_mut(frame).stack.slot_mut(index).spilled);
                }
            }
        }
    }

    /// Carries what is known of `known` to the other places of the set that still share its id.
    pub(super) fn sync_linked(
        &mut self,
        known_at: Option<usize>,
        known: &RegState,
        set: &LinkedSet,
    ) {
        let frame = self.frames.len() - 1;
        for place in set {
            let is_known = place.is_reg
                && usize::from(place.frame) == frame
                && known_at == Some(place.index.into());
            if is_known {
                continue;
            }
            let owner = self.frame(place.frame.into());
            let reg = match place.is_reg {
                true => &owner.regs[usize::from(place.index)],
                false => &owner.stack.slot(place.index.into()).spilled,
            };
            if !reg.is_scalar() || reg.id & !ADD_CONST != known.id & !ADD_CONST {
                continue;
            }
            if (reg.id ^ known.id) & ADD_CONST == ADD_CONST {
                // One was moved by 32-bit arithmetic, the other by 64-bit: no common distance.
                continue;
            }
            let updated = follow(reg, known);
            let owner = self.frame_mut(place.frame.into());
            match place.is_reg {
                true => owner.regs[usize::from(place.index)] = updated,
                false => owner.stack.slot_mut(place.index.into()).spilled = updated,
            }
        }
    }
}

fn add(set: &mut LinkedSet, frame: usize, index: usize, is_reg: bool) -> bool {
    let room = set.len() < MAX_LINKED;
    if room {
        set.push(Place { frame: frame as u8, index: index as u8, is_reg });
    }
    room
}

fn clear(reg: &mut RegState) {
    (reg.id, reg.off) = (0, 0);
}

/// `reg` as `known` at its own distance.
fn follow(reg: &RegState, known: &RegState) -> RegState {
    if (reg.id | known.id) & ADD_CONST == 0 || reg.off == known.off {
        return *known;
    }
    let mut moved = RegState { off: reg.off, id: reg.id, ..*known };
    let delta = i64::from(reg.off) - i64::from(known.off);
    moved.v.add(&Bounds::constant(delta as u64));
    if (reg.id | known.id) & ADD_CONST32 != 0 {
        moved.v.zero_extend32();
    }
    moved.v.sync();
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_keeps_places_in_order() {
        let set: LinkedSet = [(0, 9, true), (7, 63, false), (3, 0, true), (1, 2, false)]
            .into_iter()
            .map(|(frame, index, is_reg)| Place { frame, index, is_reg })
            .collect();
        assert_eq!(unpack(pack(&set)), set);
    }
}
