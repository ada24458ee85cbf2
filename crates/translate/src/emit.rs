//! The translated program as it grows, and its jumps once all places are known.

use isa::Insn;

use crate::{TranslateError, Translated};

/// Where an instruction keeps the relative slot of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In `off`: jumps, `may_goto`.
    Off,
    /// In `imm`: `gotol`, calls, function addresses.
    Imm,
}

struct Fixup {
    /// Translated slot of the instruction.
    at: usize,
    /// Original slot of its target.
    target: i64,
    place: Place,
}

/// Emitted slots, and what is still open.
pub(crate) struct Output {
    insns: Vec<Insn>,
    origin: Vec<u32>,
    /// For each original slot, the translated slot of what it became or of what follows it.
    places: Vec<usize>,
    fixups: Vec<Fixup>,
}

impl Output {
    pub(crate) fn new(slots: usize) -> Output {
        Output {
            insns: Vec::with_capacity(slots),
            origin: Vec::with_capacity(slots),
            places: Vec::with_capacity(slots),
            fixups: Vec::new(),
        }
    }

    /// The next original slot begins here.
    pub(crate) fn begin(&mut self) {
        self.places.push(self.insns.len());
    }

    /// Appends `insns` as what original slot `from` became.
    pub(crate) fn push(&mut self, insns: &[Insn], from: usize) {
        self.insns.extend_from_slice(insns);
        self.origin.resize(self.insns.len(), from as u32);
    }

    /// Appends an instruction that names original slot `target`.
    pub(crate) fn push_to(&mut self, insn: Insn, from: usize, target: i64, place: Place) {
        self.fixups.push(Fixup { at: self.insns.len(), target, place });
        self.push(&[insn], from);
    }

    /// The program with all targets resolved; a function that nobody calls may start at `also`.
    pub(crate) fn finish(mut self, also: Option<usize>) -> Result<Translated, TranslateError> {
        if u32::try_from(self.insns.len()).is_err() {
            return Err(TranslateError::TooLarge);
        }
        let mut starts = vec![0];
        for fixup in &self.fixups {
            let from = self.origin[fixup.at] as usize;
            let place = usize::try_from(fixup.target).ok().and_then(|t| self.places.get(t));
            let Some(&place) = place.filter(|p| **p < self.insns.len()) else {
                let insn = &mut self.insns[fixup.at];
                if insn.code == LD_IMM64 {
                    // The address of a function that no path calls (a loop of no turns).
                    *insn = Insn::new(LD_IMM64, insn.dst().0, 0, 0, 0);
                    continue;
                }
                return Err(TranslateError::Target { insn: from, target: fixup.target });
            };
            let insn = &mut self.insns[fixup.at];
            let relative = place as i64 - fixup.at as i64 - 1;
            let too_long = TranslateError::JumpTooLong { insn: from };
            match fixup.place {
                Place::Off => insn.off = i16::try_from(relative).map_err(|_| too_long)?,
                Place::Imm => insn.imm = i32::try_from(relative).map_err(|_| too_long)?,
            }
            if matches!(insn.code, CALL | LD_IMM64) {
                starts.push(place as u32);
            }
        }
        let also = also.and_then(|slot| self.places.get(slot));
        starts.extend(also.filter(|p| **p < self.insns.len()).map(|p| *p as u32));
        starts.sort_unstable();
        starts.dedup();
        Ok(Translated { insns: self.insns, origin: self.origin, starts })
    }
}

const CALL: u8 = 0x85;
const LD_IMM64: u8 = 0x18;
