//! Which slots live on, from the verifier's facts.

use isa::Insn;
use verifier::Facts;

/// What happens to a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Dropped: never reached, or without effect.
    Drop,
    /// A conditional jump that is always taken.
    Always,
    /// Translated.
    Keep,
}

/// The fate of each slot of `insns`.
pub(crate) fn fates(insns: &[Insn], facts: &Facts) -> Vec<Fate> {
    let mut fates = vec![Fate::Keep; insns.len()];
    // Facts that do not fit, or that call the entry dead, are none.
    let usable =
        facts.insns.len() == insns.len() && facts.insns.first().is_some_and(|f| f.reachable);
    if usable {
        spend(insns, facts, &mut fates);
    }
    drop_empty_jumps(insns, &mut fates);
    fates
}

fn spend(insns: &[Insn], facts: &Facts, fates: &mut [Fate]) {
    let mut pc = 0;
    while pc < insns.len() {
        let (fact, wide) = (&facts.insns[pc], insns[pc].is_ld_imm64());
        let fate = match fact.branch {
            _ if !fact.reachable => Fate::Drop,
            Some(true) if is_conditional(insns[pc]) => Fate::Always,
            Some(false) if is_conditional(insns[pc]) => Fate::Drop,
            _ => Fate::Keep,
        };
        fates[pc] = fate;
        if let Some(second) = fates.get_mut(pc + 1).filter(|_| wide) {
            *second = fate;
        }
        pc += 1 + usize::from(wide);
    }
}

/// Jumps over nothing but dropped slots; from the back, so that chains vanish too.
fn drop_empty_jumps(insns: &[Insn], fates: &mut [Fate]) {
    // First slot at or after an index that is not dropped.
    let mut live = vec![insns.len(); insns.len() + 1];
    for pc in (0..insns.len()).rev() {
        let second_half = pc > 0 && insns[pc - 1].is_ld_imm64();
        if !second_half && is_empty_jump(insns, fates, &live, pc) {
            fates[pc] = Fate::Drop;
        }
        live[pc] = if fates[pc] == Fate::Drop { live[pc + 1] } else { pc };
    }
}

fn is_empty_jump(insns: &[Insn], fates: &[Fate], live: &[usize], pc: usize) -> bool {
    let insn = insns[pc];
    let off = match (insn.code, fates[pc]) {
        (0x05, Fate::Keep) | (_, Fate::Always) => i64::from(insn.off),
        (0x06, Fate::Keep) => i64::from(insn.imm),
        _ => return false,
    };
    let target = usize::try_from(pc as i64 + 1 + off).ok().filter(|t| *t > pc);
    target.and_then(|t| live.get(t)).is_some_and(|t| *t == live[pc + 1] && *t < insns.len())
}

/// A jump with a condition, in either width.
fn is_conditional(insn: Insn) -> bool {
    matches!(insn.class(), 5 | 6) && !matches!(insn.code & 0xf0, 0x00 | 0x80 | 0x90 | 0xe0)
}

#[cfg(test)]
mod tests {
    use verifier::InsnFacts;

    use super::*;

    fn facts(rows: &[(bool, Option<bool>)]) -> Facts {
        let insns = rows.iter().map(|&(reachable, branch)| InsnFacts {
            reachable,
            branch,
            ..InsnFacts::default()
        });
        Facts { insns: insns.collect(), ..Facts::default() }
    }

    #[test]
    fn a_jump_over_dead_slots_goes_with_them() {
        let program = [
            Insn::new(0xb7, 0, 0, 0, 1),
            Insn::new(0x15, 0, 0, 1, 1), // if r0 == 1 goto +1: always
            Insn::new(0xb7, 0, 0, 0, 2),
            Insn::new(0x95, 0, 0, 0, 0),
        ];
        let facts = facts(&[(true, None), (true, Some(true)), (false, None), (true, None)]);
        assert_eq!(fates(&program, &facts), [Fate::Keep, Fate::Drop, Fate::Drop, Fate::Keep]);
    }

    #[test]
    fn an_endless_jump_stays() {
        let program = [Insn::new(0x05, 0, 0, -1, 0), Insn::new(0x05, 0, 0, 0, 0)];
        assert_eq!(fates(&program, &Facts::default())[0], Fate::Keep);
    }
}
