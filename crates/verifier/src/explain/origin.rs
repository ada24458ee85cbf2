//! Where values come from.

use isa::{Callee, Op, Src};

use super::case::{Case, callee_name};
use super::chase::{Hop, How, Loc};
use super::data::Origin;
use super::place::place;
use super::words;
use crate::env::Env;
use crate::state::{RegKind, RegState};

/// Where a value comes from: what made it invalid, else the oldest event of its history.
pub(super) fn origin(case: &Case<'_>, hops: &[Hop]) -> Option<Origin> {
    let last = hops.iter().find(|hop| hop.how == How::Invalidated).or(hops.last())?;
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
pub(super) fn made(case: &Case<'_>, hop: &Hop) -> Option<String> {
    let step = &case.steps[hop.step];
    let op = case.env.ops[step.insn]?;
    let name = || callee_name(case.env, op, step.insn);
    Some(match op {
        Op::Call(_) if hop.how == How::Invalidated => lost_in_call(hop.loc, &name(), hop.before),
        Op::Call(Callee::Helper(_)) if matches!(hop.loc, Loc::Reg(frame, _) if frame > step.depth()) =>
        {
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
        Op::LdImm64 { .. } => match hop.after.map(|reg| reg.kind) {
            Some(RegKind::MapValue) => "the address of a global variable".into(),
            Some(RegKind::MapPtr) => "the map's address".into(),
            Some(RegKind::Func) => "a function's address".into(),
            _ => "a constant of the program".into(),
        },
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
