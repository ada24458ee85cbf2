//! The smallest program on which the two sides still disagree the same way.

use isa::Insn;

use super::mutate::remove;
use super::{Judged, Kernel, Subject, judge};

/// Takes instructions out of `subject` as long as it stays `wanted`.
pub fn minimize(subject: &Subject, wanted: Judged, kernel: &mut Kernel<'_>) -> Subject {
    let mut best = subject.clone();
    let (_, first, _) = judge(&best, kernel);
    let cause = super::report::without_numbers(&first.message);
    let same = |candidate: &Subject, kernel: &mut Kernel<'_>| {
        let (judged, ours, _) = judge(candidate, kernel);
        judged == wanted && super::report::without_numbers(&ours.message) == cause
    };
    let mut size = best.program.insns.len() / 2;
    while size > 0 {
        let mut at = best.program.insns.len();
        while at > 0 {
            at = at.saturating_sub(size);
            let mut candidate = best.clone();
            for slot in (at..at + size).rev() {
                let insns = &candidate.program.insns;
                if slot < insns.len() && !(slot > 0 && insns[slot - 1].is_ld_imm64()) {
                    remove(&mut candidate.program, slot);
                }
            }
            let smaller = candidate.program.insns.len() < best.program.insns.len();
            if smaller && same(&candidate, kernel) {
                best = candidate;
            }
        }
        size = if size > 1 && best.program.insns.len() < size { 1 } else { size / 2 };
    }
    simplify(&mut best, |candidate| same(candidate, kernel));
    best
}

/// Smaller immediates, plain moves of zero.
fn simplify(best: &mut Subject, mut same: impl FnMut(&Subject) -> bool) {
    for at in 0..best.program.insns.len() {
        let insn = best.program.insns[at];
        let starts_pair = insn.is_ld_imm64();
        let in_pair = at > 0 && best.program.insns[at - 1].is_ld_imm64();
        if starts_pair || in_pair || matches!(insn.code, 0x85 | 0x95 | 0x05 | 0x06) {
            continue;
        }
        let zero = Insn::new(0xb7, insn.dst().0, 0, 0, 0);
        for simpler in [zero, Insn { imm: 0, ..insn }, Insn { imm: 1, ..insn }] {
            if simpler == insn {
                break;
            }
            let mut candidate = best.clone();
            candidate.program.insns[at] = simpler;
            if same(&candidate) {
                *best = candidate;
                break;
            }
        }
    }
}
