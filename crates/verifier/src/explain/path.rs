//! How the program gets to the instruction at fault: what happened to the values involved, and
//! the last branches.

use isa::{AluOp, Cond, Op, Src, Width};

use super::case::{Case, callee_name};
use super::chase::{Hop, How, Loc, get, history};
use super::data::{Event, EventKind};
use super::origin::made;
use super::place::place;
use super::words;
use crate::state::{RegKind, RegState};

/// Events told at most.
const MOST: usize = 6;
/// Branches told that do not touch a value involved.
const BRANCHES: usize = 3;

/// A value's history with the name that it has at the end.
pub(super) struct Past {
    pub(super) name: String,
    pub(super) hops: Vec<Hop>,
}

/// An event at a step of the path, and how many younger ones its value has.
struct Found {
    step: usize,
    age: usize,
    event: Event,
}

/// Events along the path, in the order they happen.
pub(super) fn events(case: &Case<'_>, mut pasts: Vec<Past>) -> Vec<Event> {
    add_offsets(case, &mut pasts);
    let mut found: Vec<Found> = Vec::new();
    for past in &pasts {
        for (age, hop) in past.hops.iter().enumerate() {
            if is_half_of_shift(case, past, age) {
                continue;
            }
            if let Some(event) = event(case, &past.name, hop)
                && !found.iter().any(|f| f.step == hop.step && f.event.text == event.text)
            {
                found.push(Found { step: hop.step, age, event });
            }
        }
    }
    add_branches(case, &pasts, &mut found);
    found.sort_by_key(|f| f.step);
    collapse(&mut found);
    while found.len() > MOST {
        // The least telling goes: plain branches first, then what happened longest ago.
        let least = (0..found.len()).max_by_key(|&n| {
            let Found { step, age, event } = &found[n];
            (dullness(event.kind), *age, usize::MAX - step)
        });
        found.remove(least.unwrap_or(0));
    }
    found.into_iter().map(|f| f.event).collect()
}

/// The histories of numbers that were added to the pointers involved.
fn add_offsets(case: &Case<'_>, pasts: &mut Vec<Past>) {
    let mut more = Vec::new();
    for hop in pasts.iter().flat_map(|past| &past.hops) {
        let Some(src) = varying_operand(case, hop) else { continue };
        let steps = &case.steps[..=hop.step];
        let loc = Loc::Reg(steps[hop.step].depth(), src);
        let hops = history(&case.env.ops, steps, loc, case.whole);
        more.push(Past { name: format!("R{src}"), hops });
    }
    pasts.append(&mut more);
}

/// The register with the varying number that this step added to a pointer.
fn varying_operand(case: &Case<'_>, hop: &Hop) -> Option<usize> {
    let step = &case.steps[hop.step];
    let Some(Op::Alu { dst, src: Src::Reg(src), .. }) = case.env.ops[step.insn] else {
        return None;
    };
    let is_moved = hop.how == How::Arithmetic && hop.after.is_some_and(|reg| reg.is_pointer());
    let varies =
        |n: usize| step.reg(step.depth(), n).is_some_and(|reg| reg.is_scalar() && !reg.is_const());
    [src.index(), dst.index()].into_iter().find(|&n| is_moved && varies(n))
}

/// The first of two shifts that together cut or extend a number.
fn is_half_of_shift(case: &Case<'_>, past: &Past, age: usize) -> bool {
    let shift = |hop: &Hop| match case.env.ops[case.steps[hop.step].insn]? {
        Op::Alu { op, src: Src::Imm(by), .. } => Some((op, by)),
        _ => None,
    };
    let younger = age.checked_sub(1).and_then(|age| past.hops.get(age));
    match (shift(&past.hops[age]), younger.and_then(shift)) {
        (Some((AluOp::Lsh, by)), Some((AluOp::Rsh | AluOp::Arsh, back))) => by == back,
        _ => false,
    }
}

fn dullness(kind: EventKind) -> u8 {
    match kind {
        EventKind::Lost => 0,
        EventKind::Created => 1,
        EventKind::Bounded => 2,
        EventKind::Taken | EventKind::NotTaken => 3,
        _ => 4,
    }
}

/// The last conditional jumps before the end that are not told already.
fn add_branches(case: &Case<'_>, pasts: &[Past], found: &mut Vec<Found>) {
    let mut added = 0;
    for step in (0..case.steps.len().saturating_sub(1)).rev() {
        let insn = case.steps[step].insn;
        let Some(op @ Op::Jmp { .. }) = case.env.ops[insn] else { continue };
        if found.iter().any(|f| f.event.place.insn == insn) {
            continue;
        }
        let Some(taken) = taken(case, step) else { continue };
        let mut kind = if taken { EventKind::Taken } else { EventKind::NotTaken };
        let mut text = condition(op, taken);
        if let Some(note) = limits_copy(case, op, step, pasts) {
            kind = EventKind::Bounded;
            text = format!("{text}: {note}");
        }
        let event = Event { place: place(case.env, insn), kind, subject: None, text };
        found.push(Found { step, age: 0, event });
        added += 1;
        if added == BRANCHES {
            return;
        }
    }
}

/// The jump limits a number that was made of the same value as one involved, and tells nothing
/// about that one.
fn limits_copy(case: &Case<'_>, op: Op, step: usize, pasts: &[Past]) -> Option<String> {
    let Op::Jmp { dst, .. } = op else { return None };
    let loc = Loc::Reg(case.steps[step].depth(), dst.index());
    let before = get(&case.steps[step], loc).filter(|reg| reg.is_scalar() && !reg.is_const())?;
    let after = get(case.steps.get(step + 1)?, loc)?;
    if before.v == after.v {
        return None;
    }
    let hops = history(&case.env.ops, &case.steps[..=step], loc, case.whole);
    let source = hops.last().filter(|hop| hop.how == How::Made && hop.step < step)?;
    let past = pasts.iter().find(|past| {
        past.hops.last().is_some_and(|hop| {
            let number = hop.after.is_some_and(|reg| reg.is_scalar());
            (hop.how, hop.step, hop.loc) == (How::Made, source.step, source.loc) && number
        })
    })?;
    let changed =
        hops.iter().any(|hop| matches!(hop.how, How::Arithmetic | How::Copied { half: true }));
    let copy = if changed { "a changed copy" } else { "a copy" };
    Some(format!("limits R{}, {copy}, not {}", dst.index(), past.name))
}

/// One event an instruction, the last time it happens; of a calculation in one line the result.
fn collapse(found: &mut Vec<Found>) {
    let line = |event: &Event| event.place.source.as_ref().map(|s| (s.file.clone(), s.line));
    let mut n = 0;
    while n < found.len() {
        let event = &found[n].event;
        let again = found[n + 1..].iter().map(|later| &later.event).any(|later| {
            let same_insn = later.place.insn == event.place.insn;
            let same_line = event.kind == EventKind::Arithmetic
                && later.subject == event.subject
                && line(later).is_some_and(|at| line(event) == Some(at));
            later.kind == event.kind && (same_insn || same_line)
        });
        if again {
            found.remove(n);
        } else {
            n += 1;
        }
    }
}

/// Whether the conditional jump at this step was taken; `None` where both ways lead to one place.
fn taken(case: &Case<'_>, step: usize) -> Option<bool> {
    let (insn, next) = (case.steps[step].insn, case.steps.get(step + 1)?.insn);
    let Some(Op::Jmp { off, .. }) = case.env.ops[insn] else { return None };
    let target = insn as i64 + 1 + i64::from(off);
    match (next == insn + 1, next as i64 == target) {
        (true, false) => Some(false),
        (false, true) => Some(true),
        _ => None,
    }
}

/// What held at the last conditional jump of the path.
pub(super) fn last_condition(case: &Case<'_>) -> Option<String> {
    let steps = 0..case.steps.len().saturating_sub(1);
    steps.rev().find_map(|step| {
        let op = case.env.ops[case.steps[step].insn]?;
        taken(case, step).map(|taken| condition(op, taken))
    })
}

/// What holds after the jump: `r2 <= 100`.
fn condition(op: Op, taken: bool) -> String {
    let Op::Jmp { width, cond, dst, src, .. } = op else { return String::new() };
    let prefix = if width == Width::W32 { 'w' } else { 'r' };
    let left = format!("{prefix}{}", dst.index());
    let right = match src {
        Src::Reg(src) => format!("{prefix}{}", src.index()),
        Src::Imm(imm) => words::signed(imm.into()),
    };
    let (symbol, note) = relation(cond, taken);
    match cond {
        Cond::Set => format!("{left} & {right} {symbol} 0"),
        _ => format!("{left} {symbol} {right}{note}"),
    }
}

fn relation(cond: Cond, taken: bool) -> (&'static str, &'static str) {
    let (holds, fails) = match cond {
        Cond::Eq => ("==", "!="),
        Cond::Ne => ("!=", "=="),
        Cond::Set => ("!=", "=="),
        Cond::Gt | Cond::Sgt => (">", "<="),
        Cond::Ge | Cond::Sge => (">=", "<"),
        Cond::Lt | Cond::Slt => ("<", ">="),
        Cond::Le | Cond::Sle => ("<=", ">"),
    };
    let signed = matches!(cond, Cond::Sgt | Cond::Sge | Cond::Slt | Cond::Sle);
    (if taken { holds } else { fails }, if signed { " (signed)" } else { "" })
}

fn event(case: &Case<'_>, name: &str, hop: &Hop) -> Option<Event> {
    let insn = case.steps[hop.step].insn;
    let op = case.env.ops[insn]?;
    let here = loc_name(case, hop.loc, hop.step + 1);
    let after = hop.after.map(|reg| words::register(case.env, &reg)).unwrap_or_default();
    let (kind, text) = match hop.how {
        How::Refined => {
            let taken = taken(case, hop.step)?;
            if hop.before.is_some_and(|before| words::register(case.env, &before) == after) {
                return None;
            }
            (EventKind::Bounded, refined(op, taken, &here, hop, &after))
        }
        How::Arithmetic if is_lost(hop) => {
            (EventKind::Lost, format!("here the limit is lost: {here} becomes {after}"))
        }
        How::Arithmetic => (EventKind::Arithmetic, arithmetic(case, hop, &here, &after)?),
        How::Copied { half: true } if is_lost(hop) || was_pointer(hop) => {
            (EventKind::Lost, format!("only the low 32 bits are kept: {here} becomes {after}"))
        }
        How::Copied { .. } => return None,
        How::Spilled(size) if size.bytes() < 8 => {
            let size = words::bytes(size.bytes());
            (EventKind::Moved, format!("the low {size} go to the stack ({here})"))
        }
        How::Filled(size) if size.bytes() < 8 => {
            let size = words::bytes(size.bytes());
            (EventKind::Moved, format!("{size} come back from the stack: {here} becomes {after}"))
        }
        How::Spilled(_) | How::Filled(_) => return None,
        How::Passed => (EventKind::Call, format!("passed to {}", callee_name(case.env, op, insn))),
        How::Returned => (EventKind::Call, "returned to the caller".into()),
        How::Invalidated | How::Made => {
            let kind = if hop.how == How::Made { EventKind::Created } else { EventKind::Lost };
            (kind, format!("{here}: {}", made(case, hop)?))
        }
        How::AtStart => return None,
    };
    Some(Event { place: place(case.env, insn), kind, subject: Some(name.to_owned()), text })
}

/// What an operation made of a value; `None` where that says nothing.
fn arithmetic(case: &Case<'_>, hop: &Hop, here: &str, after: &str) -> Option<String> {
    let (old, new) = hop.before.zip(hop.after)?;
    if old.v == new.v && old.off == new.off {
        return None;
    }
    if !new.is_pointer() {
        return Some(format!("{here} becomes {after}"));
    }
    if new.kind == RegKind::Stack && new.v.as_const().is_some() {
        return None;
    }
    let by = varying_operand(case, hop).map_or(String::new(), |n| format!(" by R{n}"));
    let to = words::position(&new);
    let to = to.trim_start_matches(", at ").trim_start_matches(" at ");
    Some(format!("{here} moves{by} to {}", if to.is_empty() { "its start" } else { to }))
}

fn was_pointer(hop: &Hop) -> bool {
    hop.before.is_some_and(|reg| reg.is_pointer())
}

/// What a conditional jump tells of a value.
fn refined(op: Op, taken: bool, here: &str, hop: &Hop, after: &str) -> String {
    let condition = condition(op, taken);
    match hop.before.zip(hop.after) {
        Some((before, now)) if before.may_be_null() && now.is_null() => {
            format!("{condition}: {here} is NULL")
        }
        Some((before, now)) if before.may_be_null() && !now.may_be_null() => {
            format!("{condition}: {here} is not NULL")
        }
        Some((_, now)) if now.is_packet() => {
            format!("{condition}: the packet is checked up to offset {}", now.range().max(0))
        }
        _ => format!("{condition}: {here} becomes {after}"),
    }
}

/// After the operation the value has no useful limit any more, and before it had one.
fn is_lost(hop: &Hop) -> bool {
    const NARROW: u64 = u32::MAX as u64;
    let Some((before, after)) = hop.before.zip(hop.after) else { return false };
    let limited = |reg: &RegState| reg.v.smin >= 0 && reg.v.umax < NARROW;
    let number = |reg: &RegState| reg.is_scalar() && reg.v.as_const().is_none();
    number(&before) && limited(&before) && after.is_scalar() && !limited(&after)
}

/// Where a register or slot is: `R2`, `fp-8`.
pub(super) fn loc_name(case: &Case<'_>, loc: Loc, step: usize) -> String {
    let depth = case.steps.get(step).map_or(case.depth(), |s| s.depth());
    let (text, frame) = match loc {
        Loc::Reg(frame, n) => (format!("R{n}"), frame),
        Loc::Slot(frame, spi) => (format!("fp-{}", 8 * (spi + 1)), frame),
    };
    if frame == depth { text } else { format!("{text} of frame {frame}") }
}
