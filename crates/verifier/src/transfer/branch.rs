//! Conditional jumps: which ways are possible and what each teaches.

use btf::fields::FieldKind;
use isa::{Cond, Src, Width};
use uapi::MapType;

use super::alu::immediate;
use super::linked::{LinkedSet, pack};
use crate::domain::Tnum;
use crate::domain::compare::{Relation, decide, flip, negate, refine, refine_self};
use crate::env::Env;
use crate::error::{Checked, reject};
use crate::event::{BadPtr, Reg};
use crate::input::World;
use crate::passes::MapFields;
use crate::state::{
    AT_PKT_END, BEYOND_PKT_END, HistFlags, INNER_MAP, RegFlags, RegKind, RegState, VerifierState,
};
use crate::transfer::ptr::MAX_VAR_OFF;

/// Packets are at most this long.
const MAX_PACKET_OFF: u64 = 0xffff;

impl Env<'_> {
    /// A conditional jump at the current instruction; leaves the current state on the way that
    /// falls through (or on the only possible way) and pushes the other.
    pub(crate) fn check_cond_jmp(
        &mut self,
        width: Width,
        cond: Cond,
        dst: usize,
        src: Src,
        off: i16,
    ) -> Checked {
        let at = self.insn_idx;
        let target = (at as i64 + i64::from(off) + 1) as usize;
        let low = width == Width::W32;
        self.check_reg_read(dst)?;
        let src_reg = self.check_jump_source(dst, src)?;
        let dst_reg = *self.reg(dst);
        self.note_stack_pointers(&dst_reg, &src_reg);
        if let Some(taken) = decide_jump(cond, &dst_reg, &src_reg, low) {
            return self.only_way(taken, target, dst, src);
        }
        let (aux, both) = (&mut self.aux[at], !self.state.speculative);
        aux.fell_through |= both;
        aux.jumped |= both;
        let linked = self.link_at_jump(dst, src);
        self.push_branch(target, at, false)?;
        self.refine_both(cond, dst, src, low, &linked)?;
        if !low && let Src::Reg(src) = src {
            self.learn_from_pointers(cond, dst, src.index());
        }
        self.learn_from_null_or_packet(cond, dst, src, low)?;
        self.print_insn_state();
        Ok(())
    }

    /// The second operand, read.
    fn check_jump_source(&mut self, dst: usize, src: Src) -> Checked<RegState> {
        let src = match src {
            Src::Imm(imm) => return Ok(immediate(imm)),
            Src::Reg(src) => src.index(),
        };
        self.check_reg_read(src)?;
        let in_packet = self.reg(dst).is_packet_any() && self.reg(src).is_packet_any();
        if !in_packet && self.is_pointer_value(src) {
            return reject!(EACCES, BadPtr::Comparison { reg: Reg(src) });
        }
        Ok(*self.reg(src))
    }

    /// Backtracking must not look for precision of stack pointers.
    fn note_stack_pointers(&mut self, dst: &RegState, src: &RegState) {
        let mut flags = HistFlags::empty();
        if src.kind == RegKind::Stack {
            flags |= HistFlags::SRC_IS_STACK;
        }
        if dst.kind == RegKind::Stack {
            flags |= HistFlags::DST_IS_STACK;
        }
        if !flags.is_empty() {
            self.push_history(flags, 0, 0, 0);
        }
    }

    fn only_way(&mut self, taken: bool, target: usize, dst: usize, src: Src) -> Checked {
        let at = self.insn_idx;
        if self.reg(dst).is_scalar() {
            self.mark_chain_precision(dst)?;
        }
        if let Src::Reg(src) = src
            && self.reg(src.index()).is_scalar()
        {
            self.mark_chain_precision(src.index())?;
        }
        if !self.state.speculative {
            self.aux[at].fell_through |= !taken;
            self.aux[at].jumped |= taken;
        }
        if !self.caps.bypass_spec_v1 {
            self.push_misprediction(if taken { at + 1 } else { target }, dst, src)?;
        }
        self.print_insn_state();
        if taken {
            self.insn_idx = target.wrapping_sub(1);
        }
        Ok(())
    }

    /// The CPU may guess the other way; what the operands hold then is anyone's guess.
    fn push_misprediction(&mut self, to: usize, dst: usize, src: Src) -> Checked {
        self.push_branch(to, self.insn_idx, true)?;
        let unknown = self.unknown_reg();
        if let Some(other) = self.other_branch() {
            *other.reg_mut(dst) = unknown;
            if let Src::Reg(src) = src {
                *other.reg_mut(src.index()) = unknown;
            }
        }
        Ok(())
    }

    /// The places linked to either operand, remembered in the history if there are several.
    fn link_at_jump(&mut self, dst: usize, src: Src) -> LinkedSet {
        let mut linked = LinkedSet::new();
        if let Src::Reg(src) = src {
            let reg = *self.reg(src.index());
            if reg.is_scalar() && reg.id != 0 {
                self.state.collect_linked(reg.id, &self.aux, &mut linked);
            }
        }
        let reg = *self.reg(dst);
        if reg.is_scalar() && reg.id != 0 {
            self.state.collect_linked(reg.id, &self.aux, &mut linked);
        }
        if linked.len() > 1 {
            self.push_history(HistFlags::empty(), 0, 0, pack(&linked));
        }
        linked
    }

    fn refine_both(
        &mut self,
        cond: Cond,
        dst: usize,
        src: Src,
        low: bool,
        linked: &LinkedSet,
    ) -> Checked {
        let src_no = match src {
            Src::Reg(src) => Some(src.index()),
            Src::Imm(_) => None,
        };
        let dst_reg = *self.reg(dst);
        let src_reg = match src {
            Src::Reg(src) => *self.reg(src.index()),
            Src::Imm(imm) => immediate(imm),
        };
        if dst_reg.is_scalar() && src_reg.is_scalar() {
            let same = src_no == Some(dst);
            let (mut false_dst, mut false_src) = (dst_reg, src_reg);
            narrow(negate(cond), &mut false_dst, &mut false_src, low, same);
            let (mut true_dst, mut true_src) = (dst_reg, src_reg);
            narrow(Relation::Is(cond), &mut true_dst, &mut true_src, low, same);
            self.check_bounds_of(&mut true_dst, "true_reg1")?;
            self.check_bounds_of(&mut true_src, "true_reg2")?;
            self.check_bounds_of(&mut false_dst, "false_reg1")?;
            self.check_bounds_of(&mut false_src, "false_reg2")?;
            if let Some(other) = self.other_branch() {
                store_pair(other, dst, true_dst, src_no, true_src);
            }
            store_pair(&mut self.state, dst, false_dst, src_no, false_src);
        }
        for regno in [src_no, Some(dst)].into_iter().flatten() {
            self.sync_both(regno, linked);
        }
        Ok(())
    }

    fn sync_both(&mut self, regno: usize, linked: &LinkedSet) {
        let reg = *self.reg(regno);
        if !reg.is_scalar() || reg.id == 0 {
            return;
        }
        self.state.sync_linked(Some(regno), &reg, linked);
        if let Some(other) = self.other_branch() {
            let reg = *other.reg(regno);
            other.sync_linked(Some(regno), &reg, linked);
        }
    }

    /// A pointer equal to one that is not null is not null either. Pointers to kernel types may be
    /// null unannounced and teach nothing.
    fn learn_from_pointers(&mut self, cond: Cond, dst: usize, src: usize) {
        let (dst_reg, src_reg) = (*self.reg(dst), *self.reg(src));
        if !dst_reg.is_not_scalar()
            || !src_reg.is_not_scalar()
            || dst_reg.may_be_null() == src_reg.may_be_null()
            || dst_reg.kind == RegKind::BtfId
            || src_reg.kind == RegKind::BtfId
        {
            return;
        }
        let nullable = if src_reg.may_be_null() { src } else { dst };
        let mut reg = *self.reg(nullable);
        self.mark_not_null(&mut reg);
        match cond {
            Cond::Eq => {
                if let Some(other) = self.other_branch() {
                    *other.reg_mut(nullable) = reg;
                }
            }
            Cond::Ne => *self.state.reg_mut(nullable) = reg,
            _ => {}
        }
    }

    fn learn_from_null_or_packet(
        &mut self,
        cond: Cond,
        dst: usize,
        src: Src,
        low: bool,
    ) -> Checked {
        let is_null_test = src == Src::Imm(0) && matches!(cond, Cond::Eq | Cond::Ne);
        if !low && is_null_test && self.reg(dst).may_be_null() {
            self.mark_nullness(dst, cond);
            return Ok(());
        }
        let matched = match src {
            Src::Reg(src) if !low => self.match_packet_pointers(cond, dst, src.index()),
            _ => false,
        };
        if !matched && self.is_pointer_value(dst) {
            return reject!(EACCES, BadPtr::Comparison { reg: Reg(dst) });
        }
        Ok(())
    }

    /// On one side every copy of the pointer is null, on the other none is.
    fn mark_nullness(&mut self, dst: usize, cond: Cond) {
        let reg = *self.reg(dst);
        let mut valid = reg;
        self.mark_not_null(&mut valid);
        let keeps_id = self.may_hold_lock(&valid);
        let maps = Maps { world: self.world, fields: &self.map_fields };
        mark_copies(maps, &mut self.state, &reg, keeps_id, cond == Cond::Ne);
        if let Some(other) = self.pending.last_mut() {
            mark_copies(maps, &mut other.state, &reg, keeps_id, cond == Cond::Eq);
        }
    }

    /// The pointer is known not to be null; what a map lookup gave may be something else than a
    /// value.
    pub(crate) fn mark_not_null(&self, reg: &mut RegState) {
        not_null(Maps { world: self.world, fields: &self.map_fields }, reg);
    }

    /// A pointer into the packet compared with its end (or metadata with its start): how many
    /// bytes are there. Whether it was such a comparison.
    fn match_packet_pointers(&mut self, cond: Cond, dst: usize, src: usize) -> bool {
        let (dst_reg, src_reg) = (*self.reg(dst), *self.reg(src));
        let inside = |p: &RegState, end: &RegState| {
            p.is_kind(RegKind::Pkt) && end.is_kind(RegKind::PktEnd)
                || p.is_kind(RegKind::PktMeta) && is_packet_start(end)
        };
        // The pointer, its register, and the condition with the pointer on the left.
        let (ptr, regno, cond) = if inside(&dst_reg, &src_reg) {
            (dst_reg, dst, cond)
        } else if inside(&src_reg, &dst_reg) {
            (src_reg, src, flip(cond))
        } else {
            return false;
        };
        // On which side the pointer is at most the end, and whether it is less.
        let (good_is_jump, open, beyond) = match cond {
            Cond::Gt => (false, false, true),
            Cond::Ge => (false, true, false),
            Cond::Lt => (true, true, false),
            Cond::Le => (true, false, true),
            _ => return false,
        };
        let mark = if beyond { BEYOND_PKT_END } else { AT_PKT_END };
        for jump in [false, true] {
            let state = if jump {
                match self.pending.last_mut() {
                    Some(pending) => &mut pending.state,
                    None => continue,
                }
            } else {
                &mut self.state
            };
            if jump == good_is_jump {
                grant_range(state, &ptr, open);
            } else if state.reg(regno).kind == RegKind::Pkt {
                state.reg_mut(regno).set_range(mark);
            }
        }
        true
    }
}

/// The maps, and what their values hold.
#[derive(Clone, Copy)]
struct Maps<'a> {
    world: &'a World,
    fields: &'a [MapFields],
}

fn not_null(maps: Maps<'_>, reg: &mut RegState) {
    if reg.kind != RegKind::MapValue {
        reg.flags.remove(RegFlags::MAYBE_NULL);
        return;
    }
    reg.flags = RegFlags::empty();
    if reg.is_inner_map() {
        return;
    }
    let def = &maps.world.maps[reg.map()].def;
    if def.inner.is_some() {
        if maps.fields[reg.map()].inner.record.has_any(LATER) {
            reg.data2 = reg.id;
        }
        reg.kind = RegKind::MapPtr;
        reg.data |= INNER_MAP;
    } else if def.map_type == MapType::Xskmap {
        reg.kind = RegKind::XdpSock;
    } else if matches!(def.map_type, MapType::Sockmap | MapType::Sockhash) {
        reg.kind = RegKind::Sock;
    }
}

/// What runs later with its map: it must be known which of several inner maps that is.
const LATER: &[FieldKind] = &[FieldKind::Timer, FieldKind::Wq, FieldKind::TaskWork];

/// Marks every copy of the pointer as null, or as not null.
fn mark_copies(
    maps: Maps<'_>,
    state: &mut VerifierState,
    ptr: &RegState,
    keeps_id: bool,
    is_null: bool,
) {
    let (id, ref_obj_id) = (ptr.id, ptr.ref_obj_id);
    if ref_obj_id != 0 && ref_obj_id == id && is_null {
        state.forget_reference(id);
    }
    let affects = |reg: &RegState| {
        reg.may_be_null() && reg.id == id && (reg.flags.contains(RegFlags::RCU) || id != 0)
    };
    state.for_each_reg_where(affects, |reg| {
        let moves = reg.flags.intersects(RegFlags::ALLOC | RegFlags::NON_OWN_REF);
        if reg.v.as_const() != Some(0) || reg.off != 0 && !moves {
            return;
        }
        if is_null {
            reg.kind = RegKind::Scalar;
            reg.flags = RegFlags::empty();
            (reg.id, reg.ref_obj_id) = (0, 0);
            return;
        }
        not_null(maps, reg);
        if !keeps_id {
            reg.id = 0;
        }
    });
}

fn is_packet_start(reg: &RegState) -> bool {
    reg.is_kind(RegKind::Pkt) && reg.id == 0 && reg.off == 0 && reg.v.var_off == Tnum::constant(0)
}

/// All pointers of the same origin learn how many bytes lie behind it.
fn grant_range(state: &mut VerifierState, ptr: &RegState, open: bool) {
    if ptr.off < 0 || ptr.off == 0 && open {
        return;
    }
    let reach = ptr.v.umax.wrapping_add(ptr.off as u64);
    if ptr.v.umax > MAX_PACKET_OFF || reach > MAX_PACKET_OFF {
        return;
    }
    let range = ptr.off + i32::from(open);
    state.for_each_reg_where(
        |reg| reg.same_type(ptr) && reg.id == ptr.id,
        |reg| reg.set_range(reg.range().max(range)),
    );
}

fn store_pair(
    state: &mut VerifierState,
    dst: usize,
    dst_reg: RegState,
    src: Option<usize>,
    src_reg: RegState,
) {
    *state.reg_mut(dst) = dst_reg;
    if let Some(src) = src {
        *state.reg_mut(src) = src_reg;
    }
}

fn narrow(relation: Relation, a: &mut RegState, b: &mut RegState, low: bool, same: bool) {
    if same {
        refine_self(relation, &mut a.v, low);
        a.v.sync();
        a.v.sync();
        *b = *a;
        return;
    }
    refine(relation, &mut a.v, &mut b.v, low);
    a.v.sync();
    b.v.sync();
}

/// Which way the jump must go, if only one.
fn decide_jump(cond: Cond, a: &RegState, b: &RegState, low: bool) -> Option<bool> {
    if a.is_packet_any() && b.is_packet_any() && !low {
        return decide_packet(cond, a, b);
    }
    if a.is_scalar() && b.is_scalar() {
        return decide(cond, &a.v, &b.v, low);
    }
    // Linux asks no more of a comparison of low halves, and fixes the jump accordingly.
    let known = |reg: &RegState| if reg.is_scalar() { reg.v.as_const_of(low) } else { None };
    let (ptr, number) = if known(b).is_some() { (a, b) } else { (b, a) };
    if known(number) != Some(0) || !is_surely_not_null(ptr) {
        return None;
    }
    match cond {
        Cond::Eq => Some(false),
        Cond::Ne => Some(true),
        _ => None,
    }
}

/// A pointer known to lie at or beyond the end, compared with it again.
fn decide_packet(cond: Cond, a: &RegState, b: &RegState) -> Option<bool> {
    let (ptr, cond) = if b.kind == RegKind::PktEnd {
        (a, cond)
    } else if a.kind == RegKind::PktEnd {
        (b, flip(cond))
    } else {
        return None;
    };
    match (cond, ptr.range()) {
        (Cond::Le | Cond::Gt, BEYOND_PKT_END) => Some(cond == Cond::Gt),
        (Cond::Lt | Cond::Ge, BEYOND_PKT_END | AT_PKT_END) => Some(cond == Cond::Ge),
        _ => None,
    }
}

fn is_surely_not_null(reg: &RegState) -> bool {
    if reg.may_be_null() || reg.v.smin <= -MAX_VAR_OFF || reg.v.smax >= MAX_VAR_OFF {
        return false;
    }
    match reg.kind {
        RegKind::Sock
        | RegKind::TcpSock
        | RegKind::XdpSock
        | RegKind::Buf
        | RegKind::MapValue
        | RegKind::MapKey
        | RegKind::SockCommon
        | RegKind::MapPtr => true,
        RegKind::BtfId => reg.is_trusted(),
        RegKind::Mem => !reg.flags.contains(RegFlags::UNTRUSTED),
        _ => false,
    }
}
