//! How the program gets to the instruction at fault: what happened to the values involved, and
//! the last branches.

use isa::{Callee, Cond, Op, Src, Width};

use super::case::{Case, callee_name};
use super::chase::{Hop, How, Loc};
use super::data::{Event, EventKind, Origin};
use super::place::place;
use super::words;
use crate::env::Env;
use crate::state::{RegKind, RegState};

/// Events told at most.
const MOST: usize = 7;
/// Branches told that do not touch a value involved.
const BRANCHES: usize = 3;

/// Events along the path, in the order they happen.
pub(super) fn events(case: &Case<'_>, histories: &[(String, Vec<Hop>)]) -> Vec<Event> {
    let mut found: Vec<(usize, usize, Event)> = Vec::new();
    for (name, hops) in histories {
        for (age, hop) in hops.iter().enumerate() {
            if let Some(event) = event(case, name, hop)
                && !found.iter().any(|(step, _, e)| *step == hop.step && e.text == event.text)
            {
                found.push((hop.step, age, event));
            }
        }
    }
    add_branches(case, &mut found);
    found.sort_by_key(|(step, ..)| *step);
    collapse(&mut found);
    while found.len() > MOST {
        // The least telling goes: plain branches first, then what happened longest ago.
        let least = (0..found.len()).max_by_key(|&n| {
            let (step, age, event) = &found[n];
            (dullness(event.kind), *age, usize::MAX - step)
        });
        found.remove(least.unwrap_or(0));
    }
    found.into_iter().map(|(.., event)| event).collect()
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
fn add_branches(case: &Case<'_>, found: &mut Vec<(usize, usize, Event)>) {
    let mut added = 0;
    for step in (0..case.steps.len().saturating_sub(1)).rev() {
        let insn = case.steps[step].insn;
        let Some(op @ Op::Jmp { .. }) = case.env.ops[insn] else { continue };
        if found.iter().any(|(_, _, event)| event.place.insn == insn) {
            continue;
        }
        let Some(taken) = taken(case, step) else { continue };
        let kind = if taken { EventKind::Taken } else { EventKind::NotTaken };
        let text = condition(op, taken);
        let event = Event { place: place(case.env, insn), kind, subject: None, text };
        found.push((step, 0, event));
        added += 1;
        if added == BRANCHES {
            return;
        }
    }
}

/// One event an instruction, the last time it happens.
fn collapse(found: &mut Vec<(usize, usize, Event)>) {
    let mut n = 0;
    while n < found.len() {
        let (insn, kind) = (found[n].2.place.insn, found[n].2.kind);
        let again = |(_, _, e): &(usize, usize, Event)| e.place.insn == insn && e.kind == kind;
        if found[n + 1..].iter().any(again) {
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
            (EventKind::Bounded, refined(op, taken, &here, hop, &after))
        }
        How::Arithmetic if is_lost(hop) => {
            (EventKind::Lost, format!("here the limit is lost: {here} becomes {after}"))
        }
        How::Arithmetic => {
            if hop.before.zip(hop.after).is_some_and(|(a, b)| a.v == b.v && a.off == b.off) {
                return None;
            }
            (EventKind::Arithmetic, format!("{here} becomes {after}"))
        }
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
            let kind =
                if hop.how == How::Made { EventKind::Created } else { EventKind::Lost };
            (kind, format!("{here}: {}", made(case, hop)?))
        }
        How::AtStart => return None,
    };
    Some(Event { place: place(case.env, insn), kind, subject: Some(name.to_owned()), text })
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
            format!("{condition}: {} are checked", packet_bytes(&now))
        }
        _ => format!("{condition}: {here} becomes {after}"),
    }
}

fn packet_bytes(reg: &RegState) -> String {
    format!("{} of the packet", words::bytes(reg.range().max(0)))
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

/// Where a value comes from, by the oldest event of its history.
pub(super) fn origin(case: &Case<'_>, hops: &[Hop]) -> Option<Origin> {
    let last = hops.last()?;
    match last.how {
        How::Made | How::Invalidated => {
            let insn = case.steps[last.step].insn;
            Some(Origin { place: Some(place(case.env, insn)), text: made(case, last)? })
        }
        How::AtStart => {
            let text = at_start(case, last.loc, last.after?)?;
            Some(Origin { place: None, text })
        }
        _ => None,
    }
}

fn at_start(case: &Case<'_>, loc: Loc, reg: RegState) -> Option<String> {
    let main = case.steps.first()?.frames[0].subprog == 0;
    match loc {
        Loc::Reg(_, 10) => Some("the frame pointer".into()),
        _ if !reg.is_init() => None,
        Loc::Reg(_, 1) if main => Some("the program's argument".into()),
        Loc::Reg(_, n) => Some(format!("argument {n} of the function")),
        Loc::Slot(..) => None,
    }
}

/// How the instruction of this hop made the value.
fn made(case: &Case<'_>, hop: &Hop) -> Option<String> {
    let step = &case.steps[hop.step];
    let op = case.env.ops[step.insn]?;
    let name = || callee_name(case.env, op, step.insn);
    Some(match op {
        Op::Call(_) if hop.how == How::Invalidated => {
            lost_in_call(hop.loc, &name(), hop.before)
        }
        Op::Call(Callee::Helper(_)) if matches!(hop.loc, Loc::Reg(frame, _) if frame > step.depth()) => {
            format!("given to the callback by {}", name())
        }
        Op::Call(_) => format!("returned by {}", name()),
        Op::Exit => "returned by the function".into(),
        Op::Load { base, .. } | Op::LoadAcquire { base, .. } => {
            let base = step.reg(step.depth(), base.index())?;
            read_from(case.env, base, hop.after.as_ref())
        }
        Op::Store { src: Src::Imm(imm), .. } | Op::Alu { src: Src::Imm(imm), .. } => {
            format!("set to {}", words::signed(imm.into()))
        }
        Op::LdImm64 { .. } => "set to a constant of the program".into(),
        Op::LdAbs { .. } | Op::LdInd { .. } if hop.how == How::Invalidated => {
            "lost: R1 to R5 do not outlive a packet load".into()
        }
        Op::LdAbs { .. } | Op::LdInd { .. } => "read from the packet".into(),
        Op::Atomic { .. } => "the old value of an atomic operation".into(),
        _ => return None,
    })
}

/// Where a load reads: by the kind of its base.
fn read_from(env: &Env<'_>, base: &RegState, loaded: Option<&RegState>) -> String {
    match (base.kind, loaded.map(|reg| reg.kind)) {
        (RegKind::Ctx, Some(RegKind::Pkt)) => "the packet's start, from the context".into(),
        (RegKind::Ctx, Some(RegKind::PktEnd)) => "the packet's end, from the context".into(),
        (RegKind::Ctx, _) => "read from the context".into(),
        (RegKind::Pkt, _) => "read from the packet".into(),
        (RegKind::PktMeta, _) => "read from the packet's metadata".into(),
        (RegKind::MapValue, _) => format!("read from a value of {}", words::map_name(env, base)),
        (RegKind::Stack, _) => "read from the stack".into(),
        (RegKind::BtfId, _) => "read from a kernel object".into(),
        (RegKind::MapKey, _) => "read from a map key".into(),
        _ => "read from memory".into(),
    }
}

/// What a call did to a value that was known before.
fn lost_in_call(loc: Loc, name: &str, before: Option<RegState>) -> String {
    match (loc, before) {
        (Loc::Reg(_, 1..=5), _) => {
            format!("lost in the call of {name}: R1 to R5 do not outlive a call")
        }
        (_, Some(reg)) if reg.is_packet_any() => {
            format!("invalid since {name}, which may move the packet")
        }
        (_, Some(reg)) if reg.ref_obj_id != 0 => format!("released by {name}"),
        _ => format!("invalid since {name}"),
    }
}
