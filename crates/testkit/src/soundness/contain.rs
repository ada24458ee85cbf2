//! Checked runs: every register of an accepted program lies in a state that the verifier walked
//! at that instruction, and no access leaves its region.

use std::rc::Rc;

use interp::{Limits, Observer, Program as Code, TrapKind, Vm};
use isa::{Imm64, Insn, Op};
use serde::Serialize;
use uapi::ProgType;
use verifier::{Access, Known, LogOptions, Pointer, PointsTo, Policy, States};

use super::Subject;
use super::world::{Context, MAP_HANDLE, TestWorld};
use crate::generate::{Rng, VALUE_SIZE};

/// Instructions that one run may take.
const FUEL: u64 = 1 << 18;

/// What many checked runs found.
#[derive(Debug, Default, Serialize)]
pub struct Contained {
    /// Programs tried, accepted or not.
    pub programs: u64,
    /// Accepted programs that were run.
    pub accepted: u64,
    /// Accepted, but their states are too many or their helpers have no body here.
    pub not_run: u64,
    /// Runs.
    pub runs: u64,
    /// Instructions whose registers were compared.
    pub instructions: u64,
    /// Seeds and what went wrong: each a bug of the verifier (or of the interpreter).
    pub failures: Vec<(u64, String)>,
}

/// Runs the XDP program `subject` on `runs` inputs, if ring3 accepts it.
pub fn check_runs(subject: &Subject, seed: u64, runs: u64, found: &mut Contained) {
    if subject.program.prog_type != Some(ProgType::Xdp) {
        return;
    }
    found.programs += 1;
    let options = LogOptions::default();
    let policy = Policy::default();
    let outcome = verifier::verify(&subject.program, &subject.world, &policy, &options);
    let Ok(facts) = outcome.verdict else { return };
    found.accepted += 1;
    let states = verifier::states(&subject.program, &subject.world, &policy);
    let mut world = TestWorld::new();
    let code = states.as_ref().and_then(|_| code(subject, &facts.insns, &world));
    let (Some(states), Some(code)) = (states, code) else {
        found.not_run += 1;
        return;
    };
    let mut vm = Vm::new();
    let mut rng = Rng::new(seed ^ 0x7275_6e73);
    for _ in 0..runs {
        world.shuffle(rng.next());
        let mut watch = Watch::new(&states, View::of(&world));
        let ctx = world.ctx();
        let end = vm.run_observed(&code, ctx, &mut world, Limits { fuel: FUEL }, &mut watch);
        found.instructions += watch.steps;
        found.runs += 1;
        let failure = match (watch.failure, end) {
            (Some(failure), _) => failure,
            (None, Err(trap)) => match trap.kind {
                TrapKind::Fuel => continue,
                TrapKind::NoHelper(_) | TrapKind::NoProgram(_) | TrapKind::NoKfunc(_) => {
                    found.not_run += 1;
                    return;
                }
                _ => trap.to_string(),
            },
            (None, Ok(_)) => continue,
        };
        found.failures.push((seed, failure));
        return;
    }
}

/// The program with context fields, maps and their values as plain memory, slot by slot.
fn code(subject: &Subject, facts: &[verifier::InsnFacts], world: &TestWorld) -> Option<Code> {
    let mut insns = subject.program.insns.clone();
    let index = |fd: i32| subject.world.maps.iter().position(|m| m.fd == fd);
    let mut pc = 0;
    while pc < insns.len() {
        let at = pc;
        let insn = insns[at];
        pc += if insn.is_ld_imm64() { 2 } else { 1 };
        if !facts.get(at)?.reachable {
            insns[at] = Insn::new(0x05, 0, 0, -1, 0);
            if insn.is_ld_imm64() {
                insns[at + 1] = insns[at];
            }
            continue;
        }
        let value = match isa::decode(&subject.program.insns, at).ok()? {
            Op::LdImm64 { imm: Imm64::MapFd(fd), .. } => MAP_HANDLE + index(fd)? as u64,
            Op::LdImm64 { imm: Imm64::MapValue { fd, off }, .. } => {
                world.values(index(fd)?).0 + u64::from(off)
            }
            Op::Load { .. } if facts[at].access == Access::Ctx => {
                if insn.code != 0x61 || insn.off % 4 != 0 {
                    return None;
                }
                insns[at] = Insn { code: 0x79, off: insn.off * 2, ..insn };
                continue;
            }
            Op::Store { .. } if facts[at].access == Access::Ctx => return None,
            _ => continue,
        };
        insns[at] = Insn::new(0x18, insn.dst().0, 0, 0, value as i32);
        insns[at + 1].imm = (value >> 32) as i32;
    }
    Code::new(&insns).ok()
}

/// Where the regions of a run lie. The packet is read off the context, which helpers change.
struct View {
    ctx: Rc<Context>,
    values: [(u64, u64); 2],
}

impl View {
    fn of(world: &TestWorld) -> View {
        View { ctx: world.context(), values: [world.values(0), world.values(1)] }
    }
}

struct Watch<'s> {
    states: &'s States,
    world: View,
    /// Frame pointers, the main program's first.
    frames: Vec<u64>,
    /// Index of the state that last fitted at each slot.
    last: Vec<u32>,
    steps: u64,
    failure: Option<String>,
}

impl<'s> Watch<'s> {
    fn new(states: &'s States, world: View) -> Watch<'s> {
        let last = vec![0; states.insns.len()];
        Watch { states, world, frames: Vec::new(), last, steps: 0, failure: None }
    }

    fn enter(&mut self, fp: u64) {
        while self.frames.last().is_some_and(|top| *top < fp) {
            self.frames.pop();
        }
        if self.frames.last() != Some(&fp) {
            self.frames.push(fp);
        }
    }

    fn fits(&self, known: &[Known; 11], regs: &[u64; 11]) -> bool {
        known.iter().zip(regs).all(|(known, value)| self.holds(known, *value))
    }

    fn holds(&self, known: &Known, value: u64) -> bool {
        match known {
            Known::Any => true,
            Known::Number(numbers) => numbers.holds(value),
            Known::Pointer(p) => p.maybe_null && value == 0 || self.points(p, value),
        }
    }

    fn points(&self, p: &Pointer, value: u64) -> bool {
        let from = |base: u64| {
            let var = value.wrapping_sub(base).wrapping_sub(i64::from(p.off) as u64);
            p.var.holds(var)
        };
        match p.region {
            PointsTo::Ctx => from(self.world.ctx.addr()),
            PointsTo::MapValue(map) => {
                let Some((start, count)) = self.world.values.get(map as usize) else { return true };
                (0..*count).any(|n| from(start + n * u64::from(VALUE_SIZE)))
            }
            PointsTo::Map(map) => value == MAP_HANDLE + u64::from(map),
            PointsTo::Stack(up) => {
                let at = self.frames.len().checked_sub(1 + usize::from(up));
                at.is_some_and(|at| from(self.frames[at]))
            }
            PointsTo::Packet => {
                let [start, end, _] = self.world.ctx.packet();
                let there = value.wrapping_sub(i64::from(p.off) as u64);
                from(start) && (p.range <= 0 || there.wrapping_add(p.range as u64) <= end)
            }
            PointsTo::PacketEnd => from(self.world.ctx.packet()[1]),
            PointsTo::PacketMeta => from(self.world.ctx.packet()[2]),
            PointsTo::Other => true,
        }
    }
}

impl Observer for Watch<'_> {
    fn step(&mut self, pc: usize, regs: &[u64; 11]) {
        if self.failure.is_some() {
            return;
        }
        self.steps += 1;
        self.enter(regs[10]);
        let all = &self.states.insns[pc];
        let last = self.last[pc] as usize;
        if all.get(last).is_some_and(|known| self.fits(known, regs)) {
            return;
        }
        match all.iter().position(|known| self.fits(known, regs)) {
            Some(found) => self.last[pc] = found as u32,
            None => {
                let best = all.iter().max_by_key(|known| {
                    known.iter().zip(regs).filter(|(k, v)| self.holds(k, **v)).count()
                });
                let wrong = best.map(|known| {
                    let wrong = |n: &usize| !self.holds(&known[*n], regs[*n]);
                    let regs: Vec<_> =
                        (0..11).filter(wrong).map(|n| (n, known[n], regs[n])).collect();
                    format!("{regs:x?}")
                });
                self.failure = Some(format!(
                    "instruction {pc}: registers {regs:x?} lie in none of {} states; nearest: {}",
                    all.len(),
                    wrong.unwrap_or_else(|| "never walked".into())
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soundness::{Source, subject_of};

    /// `r0 = packet bytes & mask`, then 20 idle instructions' worth of comparisons.
    fn masked(mask: i32) -> Subject {
        let mut subject = subject_of(&Source::generated(false), 1).expect("a generated program");
        subject.program.insns = [
            Insn::new(0x61, 2, 1, 0, 0),
            Insn::new(0x61, 3, 1, 4, 0),
            Insn::new(0xb7, 0, 0, 0, 0),
            Insn::new(0xbf, 4, 2, 0, 0),
            Insn::new(0x07, 4, 0, 0, 1),
            Insn::new(0x2d, 4, 3, 2, 0),
            Insn::new(0x71, 0, 2, 0, 0),
            Insn::new(0x57, 0, 0, 0, mask),
            Insn::new(0x95, 0, 0, 0, 0),
        ]
        .to_vec();
        subject
    }

    /// The states of one program do not hold another one's registers: the check can fail.
    #[test]
    fn finds_a_register_outside_its_states() {
        let policy = Policy::default();
        let (narrow, wide) = (masked(3), masked(255));
        let states = verifier::states(&narrow.program, &narrow.world, &policy).expect("accepted");
        let outcome = verifier::verify(&wide.program, &wide.world, &policy, &LogOptions::default());
        let facts = outcome.verdict.expect("accepted");
        let mut world = TestWorld::new();
        let code = code(&wide, &facts.insns, &world).expect("runs here");
        let mut vm = Vm::new();
        let mut failures = 0;
        for seed in 0..64 {
            world.shuffle(seed);
            let mut watch = Watch::new(&states, View::of(&world));
            let ctx = world.ctx();
            let end = vm.run_observed(&code, ctx, &mut world, Limits { fuel: FUEL }, &mut watch);
            assert!(end.is_ok(), "{end:?}");
            failures += u32::from(watch.failure.is_some());
        }
        assert!(failures > 0, "no run of the wider program left the narrow one's states");
    }
}
