//! Registers and stack as Linux prints them.

use std::fmt::Write as _;

use crate::domain::{Bounds, Tnum};
use crate::env::Env;
use crate::state::{
    ADD_CONST, Callback, FuncState, ITER_ACTIVE, ITER_DRAINED, RegFlags, RegKind, RegState,
    SlotByte, VerifierState,
};

/// A register type as Linux names it: `map_value_or_null`, `trusted_ptr_`.
pub(crate) fn type_name(reg: &RegState) -> String {
    crate::calls::type_name(reg.kind, reg.flags)
}

/// Bits as Linux prints them: a number, or value and mask.
pub(crate) fn tnum_text(t: Tnum) -> String {
    if t.is_const() {
        return unsigned(t.value);
    }
    format!("({}; {})", hex(t.value), hex(t.mask))
}

/// `%#llx`: zero has no prefix.
fn hex(n: u64) -> String {
    if n == 0 { "0x0".to_owned() } else { format!("{n:#x}") }
}

/// Large numbers in hexadecimal.
fn unsigned(n: u64) -> String {
    if n <= u64::from(u16::MAX) { n.to_string() } else { format!("{n:#x}") }
}

fn signed(n: i64) -> String {
    if (i64::from(i16::MIN)..=i64::from(i16::MAX)).contains(&n) {
        n.to_string()
    } else {
        format!("{:#x}", n as u64)
    }
}

/// The ranges, equal values chained, what says nothing left out.
fn ranges(v: &Bounds, out: &mut Vec<String>) {
    // 32-bit values printed in hexadecimal are not sign-extended.
    let low = |n: i32| {
        let wide = i64::from(n);
        if (i64::from(i16::MIN)..=i64::from(i16::MAX)).contains(&wide) {
            wide as u64
        } else {
            u64::from(n as u32)
        }
    };
    let mut all = [
        ("smin", v.smin as u64, v.smin == i64::MIN),
        ("smax", v.smax as u64, v.smax == i64::MAX),
        ("umin", v.umin, v.umin == 0),
        ("umax", v.umax, v.umax == u64::MAX),
        ("smin32", low(v.s32_min), v.s32_min == i32::MIN),
        ("smax32", low(v.s32_max), v.s32_max == i32::MAX),
        ("umin32", u64::from(v.u32_min), v.u32_min == 0),
        ("umax32", u64::from(v.u32_max), v.u32_max == u32::MAX),
    ];
    let negative = |name: &str, n: u64| name.starts_with('s') && (n as i64) < 0;
    for i in 0..all.len() {
        let (name, value, omit) = all[i];
        if omit {
            continue;
        }
        let mut text = format!("{name}=");
        for other in all[i..].iter_mut().skip(2).step_by(2) {
            if !other.2 && other.1 == value && negative(other.0, value) == negative(name, value) {
                other.2 = true;
                let _ = write!(text, "{}=", other.0);
            }
        }
        text += &if name.starts_with('s') { signed(value as i64) } else { unsigned(value) };
        out.push(text);
    }
}

impl Env<'_> {
    /// One register, without its name.
    pub(crate) fn reg_text(&self, frameno: u8, reg: &RegState) -> String {
        let mut text = String::new();
        if reg.is_scalar() && reg.precise {
            text.push('P');
        }
        if let (true, Some(value)) = (reg.is_scalar(), reg.v.as_const()) {
            return text + &signed(value as i64);
        }
        text += &type_name(reg);
        if reg.is_kind(RegKind::Arena) {
            return text;
        }
        if reg.is_kind(RegKind::Stack) {
            if frameno != reg.frameno {
                let _ = write!(text, "[{}]", reg.frameno);
            }
            if let Some(value) = reg.v.as_const() {
                return text + &signed((value as i64).wrapping_add(reg.off.into()));
            }
        }
        if reg.kind == RegKind::BtfId {
            text += &self.btf_name_of(reg);
        }
        let mut parts = Vec::new();
        self.reg_parts(reg, &mut parts);
        text + "(" + &parts.join(",") + ")"
    }

    fn reg_parts(&self, reg: &RegState, parts: &mut Vec<String>) {
        let id = reg.id & !ADD_CONST;
        if reg.id != 0 {
            let delta =
                if reg.id & ADD_CONST != 0 { format!("{:+}", reg.off) } else { String::new() };
            parts.push(format!("id={id}{delta}"));
        }
        if reg.ref_obj_id != 0 {
            parts.push(format!("ref_obj_id={}", reg.ref_obj_id));
        }
        if reg.flags.contains(RegFlags::NON_OWN_REF) {
            parts.push("non_own_ref".to_owned());
        }
        if matches!(reg.kind, RegKind::MapPtr | RegKind::MapKey | RegKind::MapValue) {
            let def = self.map_def(reg);
            if !def.name.is_empty() {
                parts.push(format!("map={}", def.name));
            }
            parts.push(format!("ks={},vs={}", def.key_size, def.value_size));
        }
        if !reg.is_scalar() && reg.off != 0 {
            parts.push(format!("off={}", signed(reg.off.into())));
        }
        if reg.is_kind(RegKind::Pkt) || reg.is_kind(RegKind::PktMeta) {
            parts.push(format!("r={}", unsigned(i64::from(reg.range()) as u64)));
        }
        if reg.kind == RegKind::Mem {
            parts.push(format!("sz={}", unsigned(reg.mem_size().into())));
        }
        if reg.kind == RegKind::Dynptr {
            parts.push(format!("type={}", reg.dynptr_kind().text()));
        }
        match reg.v.as_const() {
            Some(0) => {}
            Some(value) => parts.push(format!("imm={}", signed(value as i64))),
            None => {
                ranges(&reg.v, parts);
                if !reg.v.var_off.is_unknown() {
                    parts.push(format!("var_off={}", tnum_text(reg.v.var_off)));
                }
            }
        }
    }

    /// Name of the type a BTF pointer points to.
    fn btf_name_of(&self, reg: &RegState) -> String {
        self.btf_of(reg)
            .map_or(String::new(), |btf| btf.name_of(btf::TypeId(reg.btf_id())).to_owned())
    }

    /// A frame: ` frame1: R0=… fp-8=… refs=1`. `all`: what was not touched too.
    pub(crate) fn frame_text(&self, state: &VerifierState, n: usize, all: bool) -> String {
        let frame = state.frame(n);
        let mut text = String::new();
        if frame.frameno != 0 {
            let _ = write!(text, " frame{}:", frame.frameno);
        }
        for (r, reg) in frame.regs.iter().enumerate() {
            if reg.is_init() && (all || self.log.scratched_regs & 1 << r != 0) {
                let _ = write!(text, " R{r}={}", self.reg_text(frame.frameno, reg));
            }
        }
        let slots = frame.stack.slots();
        let mut spi = 0;
        while spi < slots.len() {
            if all || self.log.scratched_slots & 1 << (spi & 63) != 0 {
                spi = self.slot_text(frame, spi, &mut text);
            }
            spi += 1;
        }
        let refs: Vec<String> =
            state.refs.iter().filter(|r| r.id != 0).map(|r| r.id.to_string()).collect();
        if !refs.is_empty() {
            let _ = write!(text, " refs={}", refs.join(","));
        }
        match frame.callback {
            Callback::Sync => text += " cb",
            Callback::Async => text += " async_cb",
            _ => {}
        }
        text
    }

    /// One slot, or an object of several; the last slot that was told of.
    fn slot_text(&self, frame: &FuncState, spi: usize, out: &mut String) -> usize {
        let slot = &frame.stack.slots()[spi];
        if slot.bytes == [SlotByte::Invalid; 8] {
            return spi;
        }
        let off = -8 * spi as i32 - 8;
        let letters: String = slot.bytes.iter().map(|b| letter(*b)).collect();
        let _ = match slot.bytes[7] {
            SlotByte::Spill => {
                let above = letters.find('r').unwrap_or(0);
                let reg = self.reg_text(frame.frameno, &slot.spilled);
                write!(out, " fp{off}={}{reg}", &letters[..above])
            }
            SlotByte::Dynptr => {
                // The first slot is the lower one.
                let first = (spi + 1).min(frame.stack.slots().len() - 1);
                dynptr_text(&frame.stack.slot(first).spilled, off - 8, out);
                return first;
            }
            SlotByte::Iter => {
                // Only the first slot holds the reference.
                if slot.spilled.ref_obj_id != 0 {
                    self.iter_text(&slot.spilled, off, out);
                }
                Ok(())
            }
            _ => write!(out, " fp{off}={letters}"),
        };
        spi
    }

    fn iter_text(&self, iter: &RegState, off: i32, out: &mut String) {
        let name = self.iter_name(iter.btf_id());
        let state = match iter.data2 {
            ITER_ACTIVE => "active",
            ITER_DRAINED => "drained",
            _ => "<invalid>",
        };
        let (id, depth) = (iter.ref_obj_id, iter.off);
        let _ = write!(out, " fp{off}=iter_{name}(ref_id={id},state={state},depth={depth})");
    }

    /// `num` of `struct bpf_iter_num`.
    pub(crate) fn iter_name(&self, id: u32) -> &str {
        let name = self.world.kernel_btf.as_ref().map_or("", |btf| btf.name_of(btf::TypeId(id)));
        name.strip_prefix("bpf_iter_").unwrap_or(name)
    }

    /// A whole state's frame, for messages.
    pub(crate) fn state_text(&self, state: &VerifierState, frame: usize) -> String {
        self.frame_text(state, frame, true)
    }
}

fn dynptr_text(dynptr: &RegState, off: i32, out: &mut String) {
    let mut parts = Vec::new();
    if dynptr.id != 0 {
        parts.push(format!("id={}", dynptr.id));
    }
    if dynptr.ref_obj_id != 0 {
        parts.push(format!("ref_id={}", dynptr.ref_obj_id));
    }
    // Linux reads the mark of the first slot as an id.
    if dynptr.data != 0 {
        parts.push(format!("dynptr_id={}", dynptr.data));
    }
    let kind = dynptr.dynptr_kind().text();
    let _ = write!(out, " fp{off}=dynptr_{kind}({})", parts.join(","));
}

fn letter(byte: SlotByte) -> char {
    match byte {
        SlotByte::Invalid => '?',
        SlotByte::Spill => 'r',
        SlotByte::Misc => 'm',
        SlotByte::Zero => '0',
        SlotByte::Dynptr => 'd',
        SlotByte::Iter => 'i',
        SlotByte::Irq => 'f',
    }
}
