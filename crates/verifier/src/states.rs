//! What is known at each slot, for checked runs: a run of an accepted program must find every
//! register inside one of the states that were walked there.
//!
//! [`states`] walks as [`crate::verify`] does, except that a path ends early only where a stored
//! state covers all its live numbers, so that the walked states cover every run. It is slower and
//! decides nothing; programs that Linux accepts by ignoring numbers may go over its limits.

use crate::domain::{Bounds, Tnum};
use crate::env::Env;
use crate::input::{LogOptions, Policy, Program, World};
use crate::log::Log;
use crate::state::{RegFlags, RegKind, RegState};

/// Different states kept for a slot; beyond, the last one takes in all others.
const MAX_STATES: usize = 48;

/// What is known of one register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing, or nobody reads it from here on.
    Any,
    /// A number.
    Number(Numbers),
    /// A pointer.
    Pointer(Pointer),
}

/// A set of numbers: those that every view holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers(Bounds);

/// A pointer: the start of a region, a constant, and one of a set of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pointer {
    /// What it points into.
    pub region: PointsTo,
    /// It may be null instead.
    pub maybe_null: bool,
    /// The constant part of the distance from the region's start.
    pub off: i32,
    /// The variable part.
    pub var: Numbers,
    /// Bytes known to lie behind start and variable part (packet only).
    pub range: i32,
}

/// Regions that a run can find again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointsTo {
    /// The context.
    Ctx,
    /// Some value of this map, an index into [`World::maps`].
    MapValue(u32),
    /// The map itself.
    Map(u32),
    /// The stack of a frame, so many calls up; counted from its end.
    Stack(u8),
    /// The packet.
    Packet,
    /// The end of the packet.
    PacketEnd,
    /// Metadata before the packet.
    PacketMeta,
    /// Anything else.
    Other,
}

/// The states of each slot; none where nothing was walked.
#[derive(Clone, Debug, Default)]
pub struct States {
    /// One list a slot, r0 to r10 in each state.
    pub insns: Vec<Vec<[Known; 11]>>,
}

impl Numbers {
    /// Whether `n` is one of them.
    pub fn holds(&self, n: u64) -> bool {
        self.0.holds(n)
    }

    fn join(self, other: Numbers) -> Numbers {
        let (a, b) = (self.0, other.0);
        Numbers(Bounds {
            var_off: a.var_off.union(b.var_off),
            smin: a.smin.min(b.smin),
            smax: a.smax.max(b.smax),
            umin: a.umin.min(b.umin),
            umax: a.umax.max(b.umax),
            s32_min: a.s32_min.min(b.s32_min),
            s32_max: a.s32_max.max(b.s32_max),
            u32_min: a.u32_min.min(b.u32_min),
            u32_max: a.u32_max.max(b.u32_max),
        })
    }
}

impl Known {
    fn new(reg: &RegState, frame: usize) -> Known {
        let region = match reg.kind {
            RegKind::NotInit => return Known::Any,
            RegKind::Scalar => return Known::Number(Numbers(reg.v)),
            RegKind::Ctx => PointsTo::Ctx,
            RegKind::MapValue if !reg.is_inner_map() => PointsTo::MapValue(reg.map() as u32),
            RegKind::MapPtr if !reg.is_inner_map() => PointsTo::Map(reg.map() as u32),
            RegKind::Stack => PointsTo::Stack(frame.saturating_sub(reg.frameno.into()) as u8),
            RegKind::Pkt => PointsTo::Packet,
            RegKind::PktEnd => PointsTo::PacketEnd,
            RegKind::PktMeta => PointsTo::PacketMeta,
            _ => PointsTo::Other,
        };
        Known::Pointer(Pointer {
            region,
            maybe_null: reg.flags.contains(RegFlags::MAYBE_NULL),
            off: reg.off,
            var: Numbers(reg.v),
            range: if reg.kind == RegKind::Pkt { reg.range() } else { 0 },
        })
    }

    fn join(self, other: Known) -> Known {
        match (self, other) {
            (Known::Number(a), Known::Number(b)) => Known::Number(a.join(b)),
            (Known::Pointer(a), Known::Pointer(b)) if a.region == b.region && a.off == b.off => {
                Known::Pointer(Pointer {
                    maybe_null: a.maybe_null || b.maybe_null,
                    var: a.var.join(b.var),
                    range: a.range.min(b.range),
                    ..a
                })
            }
            _ => Known::Any,
        }
    }
}

/// The states that a walk of the program finds; `None` if it is rejected.
pub fn states(program: &Program, world: &World, policy: &Policy) -> Option<States> {
    let mut env = Env::new(program, world, policy, Log::new(&LogOptions::default()));
    env.collected = Some(Box::new(States { insns: vec![Vec::new(); program.insns.len()] }));
    env.run().ok()?;
    env.collected.take().map(|states| *states)
}

impl Env<'_> {
    /// Notes the current state before the instruction at `at`.
    pub(crate) fn collect(&mut self, at: usize) {
        if self.state.speculative {
            return;
        }
        let (live, frame) = (self.aux[at].live_regs, self.state.curframe());
        let known = std::array::from_fn(|n| match live & 1 << n {
            0 => Known::Any,
            _ => Known::new(self.state.reg(n), frame),
        });
        let Some(all) = self.collected.as_mut().and_then(|s| s.insns.get_mut(at)) else { return };
        if all.contains(&known) {
            return;
        }
        if all.len() < MAX_STATES {
            all.push(known);
        } else if let Some(last) = all.last_mut() {
            *last = std::array::from_fn(|n| last[n].join(known[n]));
        }
    }
}

impl Default for Numbers {
    fn default() -> Numbers {
        Numbers(Bounds { var_off: Tnum::UNKNOWN, ..Bounds::UNKNOWN })
    }
}
