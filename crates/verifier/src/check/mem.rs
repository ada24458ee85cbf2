//! Loads and stores by kind of pointer.

use isa::{Op, Size, Src};
use uapi::{ProgType, map_flags};

use super::AccessKind;
use crate::calls;
use crate::domain::Tnum;
use crate::env::Env;
use crate::error::{Checked, reject};
use crate::event::{BadMem, BadReg, Bits, Reg, RegType};
use crate::log::type_name;
use crate::passes::ValueFields;
use crate::state::{RegFlags, RegKind, RegState};
use crate::transfer::ptr::MAX_VAR_OFF;

/// Bytes of `struct bpf_flow_keys`.
const FLOW_KEYS_SIZE: u64 = 56;

impl Env<'_> {
    /// A plain load, store, load-acquire or store-release.
    pub(crate) fn check_load_or_store(&mut self, op: Op) -> Checked {
        let at = self.insn_idx;
        match op {
            Op::Load { size, signed, dst, base, off } => {
                self.check_load(size, signed, dst.index(), base.index(), off.into(), false)
            }
            Op::Store { size, base, off, src } => {
                let value = match src {
                    Src::Reg(src) => {
                        self.check_reg_read(src.index())?;
                        Some(src.index())
                    }
                    Src::Imm(_) => None,
                };
                self.check_reg_read(base.index())?;
                let ptr = *self.reg(base.index());
                self.check_mem_access(
                    at,
                    base.index(),
                    off.into(),
                    size,
                    AccessKind::Write,
                    value,
                    false,
                    false,
                )?;
                self.note_pointer_kind(&ptr, false)
            }
            _ => Ok(()),
        }
    }

    /// A load into `dst`; atomics ask for strict alignment.
    pub(super) fn check_load(
        &mut self,
        size: Size,
        signed: bool,
        dst: usize,
        base: usize,
        off: i32,
        strict: bool,
    ) -> Checked {
        self.check_reg_read(base)?;
        self.check_reg_write_keep(dst)?;
        let ptr = *self.reg(base);
        self.check_mem_access(
            self.insn_idx,
            base,
            off,
            size,
            AccessKind::Read,
            Some(dst),
            strict,
            signed,
        )?;
        self.note_pointer_kind(&ptr, !strict)?;
        self.check_bounds(dst, "ldx")
    }

    /// A load or store of `size` through register `regno` at `off`. `value`: the register stored
    /// from or loaded into; `None` for an unknown number. `strict`: aligned whatever the program
    /// asks for.
    #[expect(clippy::too_many_arguments, reason = "the operands of one access")]
    pub(crate) fn check_mem_access(
        &mut self,
        insn_idx: usize,
        regno: usize,
        off: i32,
        size: Size,
        kind: AccessKind,
        value: Option<usize>,
        strict: bool,
        sign_extend: bool,
    ) -> Checked {
        let reg = *self.reg(regno);
        let bytes = size.bytes() as i32;
        self.check_alignment(&reg, off, bytes, strict)?;
        let off = off.wrapping_add(reg.off);
        let write = kind == AccessKind::Write;
        let plain = reg.flags.is_empty();
        self.note_access(insn_idx, &reg);
        match reg.kind {
            RegKind::MapKey if plain => {
                if write {
                    return reject!(EACCES, BadMem::WritesKey { reg: Reg(regno) });
                }
                let key_size = self.map_def(&reg).key_size;
                self.check_mem_region_access(regno, off, bytes, key_size, false)?;
                self.loaded(kind, value);
            }
            RegKind::MapValue if plain => {
                self.access_map_value(regno, off, bytes, kind, value, insn_idx, sign_extend)?;
            }
            RegKind::Mem => self.access_mem(regno, off, bytes, kind, value)?,
            RegKind::Ctx if plain => {
                self.access_ctx(regno, off, bytes, kind, value, insn_idx)?;
            }
            RegKind::Stack if plain => {
                self.check_stack_bounds(regno, off, bytes, kind)?;
                if write {
                    self.check_stack_write(regno, off, bytes, value, insn_idx)?;
                } else {
                    self.check_stack_read(regno, off, bytes, value)?;
                }
            }
            RegKind::Pkt | RegKind::PktMeta if plain => {
                if write && !self.may_access_packet(None, true) {
                    return reject!(EACCES, BadMem::WritesPacket);
                }
                self.check_leak(kind, value, "packet")?;
                self.check_packet_access(regno, off, bytes, false)?;
                self.loaded(kind, value);
            }
            RegKind::FlowKeys if plain => {
                self.check_leak(kind, value, "flow keys")?;
                if off < 0 || off as u64 + bytes as u64 > FLOW_KEYS_SIZE {
                    return reject!(EACCES, BadMem::FlowKeys { off, size: bytes });
                }
                self.loaded(kind, value);
            }
            _ if reg.is_socket() && plain => {
                if write {
                    return reject!(
                        EACCES,
                        BadMem::ReadOnly { reg: Reg(regno), is: RegType::of(&reg) }
                    );
                }
                self.check_sock_access(&reg, regno, off, bytes)?;
                self.loaded(kind, value);
            }
            RegKind::TpBuffer if plain => {
                check_buffer("tracepoint", &reg, regno, off, bytes)?;
                self.loaded(kind, value);
            }
            RegKind::BtfId if !reg.may_be_null() => {
                self.access_btf_pointer(regno, off, bytes, kind, value)?;
            }
            RegKind::MapPtr if plain => self.access_map_pointer(regno, off, bytes, kind, value)?,
            RegKind::Buf if !reg.may_be_null() => {
                let rdonly = reg.flags.contains(RegFlags::RDONLY);
                if rdonly && write {
                    return reject!(
                        EACCES,
                        BadMem::ReadOnly { reg: Reg(regno), is: RegType::of(&reg) }
                    );
                }
                self.access_buffer(rdonly, &reg, regno, off, bytes)?;
                self.loaded(kind, value);
            }
            RegKind::Arena if plain => self.loaded(kind, value),
            _ => return reject!(EACCES, BadMem::Access { reg: Reg(regno), is: RegType::of(&reg) }),
        }
        if let (false, Some(value)) = (write, value)
            && bytes < 8
            && self.reg(value).is_scalar()
        {
            let reg = self.reg_mut(value);
            if sign_extend {
                reg.v.sign_extend64(size.bytes());
            } else {
                reg.v.truncate(size.bytes());
            }
        }
        Ok(())
    }

    /// The register loaded from memory without structure holds a number.
    fn loaded(&mut self, kind: AccessKind, value: Option<usize>) {
        if let (AccessKind::Read, Some(value)) = (kind, value) {
            self.mark_reg_unknown(value);
        }
    }

    fn check_leak(&self, kind: AccessKind, value: Option<usize>, into: &'static str) -> Checked {
        match value {
            Some(value) if kind == AccessKind::Write && self.is_pointer_value(value) => {
                reject!(EACCES, BadReg::LeaksInto { reg: Reg(value), into })
            }
            _ => Ok(()),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the operands of one access")]
    fn access_map_value(
        &mut self,
        regno: usize,
        off: i32,
        size: i32,
        kind: AccessKind,
        value: Option<usize>,
        insn_idx: usize,
        sign_extend: bool,
    ) -> Checked {
        self.check_leak(kind, value, "map")?;
        self.check_map_access_type(regno, off, size, kind)?;
        self.check_map_range(regno, off, size, false, true)?;
        let reg = *self.reg(regno);
        if let Some(var) = reg.v.as_const() {
            let at = i64::from(off) + var as i64;
            if let Some(kptr) = self.kptr_at(&reg, at) {
                return self.access_kptr(kptr, value, kind, insn_idx);
            }
            if let (AccessKind::Read, Some(value)) = (kind, value)
                && let Some(n) = self.constant_at(&reg, at, size as usize, sign_extend)
            {
                self.mark_reg_known(value, n);
                return Ok(());
            }
        }
        self.loaded(kind, value);
        Ok(())
    }

    fn access_ctx(
        &mut self,
        regno: usize,
        off: i32,
        size: i32,
        kind: AccessKind,
        value: Option<usize>,
        insn_idx: usize,
    ) -> Checked {
        let reg = *self.reg(regno);
        self.check_leak(kind, value, "ctx")?;
        self.check_ptr_off_reg(&reg, regno)?;
        let field = match calls::check_ctx_access(self, insn_idx, off, size as u32, kind) {
            Ok(field) => field,
            Err(reject) => {
                self.say_source_line(insn_idx);
                return Err(reject);
            }
        };
        if let (AccessKind::Read, Some(value)) = (kind, value) {
            let mut loaded = self.ctx_register(field);
            // A pointer of which only half is there cannot be sign-extended.
            let extends = matches!(self.ops[insn_idx], Some(Op::Load { signed: true, .. }));
            if extends && loaded.is_packet_any() {
                return reject!(EACCES, BadMem::Ctx { off, size });
            }
            if loaded.is_scalar() {
                loaded.precise = !self.caps.bpf_capable;
            } else if loaded.may_be_null() && loaded.id == 0 {
                loaded.id = self.new_id();
            }
            *self.reg_mut(value) = loaded;
        }
        Ok(())
    }

    /// The number that a frozen read-only map holds there.
    fn constant_at(&self, reg: &RegState, at: i64, size: usize, sign: bool) -> Option<u64> {
        if reg.is_inner_map() {
            return None;
        }
        let map = self.map(reg.map());
        if map.def.flags & map_flags::RDONLY_PROG == 0 || !map.frozen {
            return None;
        }
        let at = usize::try_from(at).ok()?;
        let bytes = map.value.as_ref()?.get(at..at + size)?;
        let mut word = [0u8; 8];
        word[..size].copy_from_slice(bytes);
        let n = u64::from_le_bytes(word);
        let unused = 64 - 8 * size as u32;
        Some(if sign { ((n << unused) as i64 >> unused) as u64 } else { n })
    }

    /// Special fields of the value behind a register.
    pub(crate) fn fields_of(&self, reg: &RegState) -> &ValueFields {
        let fields = &self.map_fields[reg.map()];
        if reg.is_inner_map() { &fields.inner } else { &fields.own }
    }

    /// Whether a lock may live where the register points.
    pub(crate) fn may_hold_lock(&self, reg: &RegState) -> bool {
        self.record_of(reg).is_some_and(|record| record.lock().is_some())
    }

    /// The map's flags allow programs to read or write it.
    pub(crate) fn check_map_access_type(
        &self,
        regno: usize,
        off: i32,
        size: i32,
        kind: AccessKind,
    ) -> Checked {
        let def = self.map_def(self.reg(regno));
        let value_size = def.value_size;
        let write = kind == AccessKind::Write;
        if write && def.prog_flags() & map_flags::RDONLY_PROG != 0 {
            return reject!(EACCES, BadMem::MapReadOnly { have: value_size, off, size });
        }
        if !write && def.flags & map_flags::WRONLY_PROG != 0 {
            return reject!(EACCES, BadMem::MapWriteOnly { have: value_size, off, size });
        }
        Ok(())
    }

    /// The range, given to a helper, lies in the map's value and touches no special field.
    pub(crate) fn check_map_access(
        &self,
        regno: usize,
        off: i32,
        size: i32,
        zero_allowed: bool,
    ) -> Checked {
        self.check_map_range(regno, off, size, zero_allowed, false)
    }

    /// The same; `direct`: by an instruction, not a helper.
    fn check_map_range(
        &self,
        regno: usize,
        off: i32,
        size: i32,
        zero_allowed: bool,
        direct: bool,
    ) -> Checked {
        let reg = self.reg(regno);
        let value_size = self.map_def(reg).value_size;
        self.check_mem_region_access(regno, off, size, value_size, zero_allowed)?;
        let (low, high) = (
            reg.v.smin.wrapping_add(off.into()),
            reg.v.umax.wrapping_add(off as u64).wrapping_add(size as u64),
        );
        for field in &self.fields_of(reg).record {
            let (start, end) = (field.off, field.off + field.size);
            if !(low < i64::from(end) && u64::from(start) < high) {
                continue;
            }
            if !field.kind.is_kptr() {
                return reject!(EACCES, BadMem::FieldDirect { field: field.kind.name() });
            }
            let name = field.kind.name();
            if !direct {
                return reject!(EACCES, BadMem::FieldByHelper { field: name });
            }
            let Some(var) = reg.v.as_const() else {
                return reject!(EACCES, BadMem::FieldVariable { field: name });
            };
            let at = var.wrapping_add(off as u64);
            if u64::from(start) != at {
                return reject!(
                    EACCES,
                    BadMem::FieldMisaligned { field: name, expected: start, off: at }
                );
            }
            if size != 8 {
                return reject!(EACCES, BadMem::FieldSize { field: name });
            }
        }
        Ok(())
    }

    fn access_mem(
        &mut self,
        regno: usize,
        off: i32,
        size: i32,
        kind: AccessKind,
        value: Option<usize>,
    ) -> Checked {
        let reg = *self.reg(regno);
        let rdonly = reg.flags.contains(RegFlags::RDONLY);
        if reg.may_be_null() {
            return reject!(EACCES, BadMem::Access { reg: Reg(regno), is: RegType::of(&reg) });
        }
        if kind == AccessKind::Write && rdonly {
            return reject!(EACCES, BadMem::ReadOnly { reg: Reg(regno), is: RegType::of(&reg) });
        }
        self.check_leak(kind, value, "mem")?;
        if !(rdonly && reg.flags.contains(RegFlags::UNTRUSTED)) {
            self.check_mem_region_access(regno, off, size, reg.mem_size(), false)?;
        }
        self.loaded(kind, value);
        Ok(())
    }

    /// `off..off + size` behind the register lies in a region of `mem_size` bytes.
    pub(crate) fn check_mem_region_access(
        &self,
        regno: usize,
        off: i32,
        size: i32,
        mem_size: u32,
        zero_allowed: bool,
    ) -> Checked {
        let reg = self.reg(regno);
        let low = reg.v.smin.checked_add(off.into());
        let fits = low.is_some_and(|low| i32::try_from(low).is_ok() && low >= 0);
        if reg.v.smin < 0 && !fits {
            return reject!(EACCES, BadMem::MayBeNegative { reg: Reg(regno) });
        }
        let low = reg.v.smin.wrapping_add(off.into()) as i32;
        self.check_region(regno, low, size, mem_size, zero_allowed)
            .map_err(|reject| reject.then(BadMem::MinOutside { reg: Reg(regno) }))?;
        if reg.v.umax >= MAX_VAR_OFF as u64 {
            return reject!(EACCES, BadMem::Unbounded { reg: Reg(regno) });
        }
        let high = (reg.v.umax as i64 + i64::from(off)) as i32;
        self.check_region(regno, high, size, mem_size, zero_allowed)
            .map_err(|reject| reject.then(BadMem::MaxOutside { reg: Reg(regno) }))
    }

    /// The same for a known offset.
    fn check_region(
        &self,
        regno: usize,
        off: i32,
        size: i32,
        mem_size: u32,
        zero_allowed: bool,
    ) -> Checked {
        let size_ok = size > 0 || size == 0 && zero_allowed;
        if off >= 0 && size_ok && off as u64 + size as u64 <= u64::from(mem_size) {
            return Ok(());
        }
        let reg = self.reg(regno);
        if !reg.flags.is_empty() {
            return reject!(EACCES, BadMem::Region { have: mem_size, off, size });
        }
        match reg.kind {
            RegKind::MapKey => reject!(EACCES, BadMem::MapKey { have: mem_size as i32, off, size }),
            RegKind::MapValue => {
                reject!(EACCES, BadMem::MapValue { have: mem_size as i32, off, size })
            }
            RegKind::Pkt | RegKind::PktMeta | RegKind::PktEnd => reject!(
                EACCES,
                BadMem::Packet { off, size, reg: Reg(regno), id: reg.id, range: mem_size as i32 }
            ),
            _ => reject!(EACCES, BadMem::Region { have: mem_size, off, size }),
        }
    }

    /// The range lies in the part of the packet that was compared with its end.
    pub(crate) fn check_packet_access(
        &self,
        regno: usize,
        off: i32,
        size: i32,
        zero_allowed: bool,
    ) -> Checked {
        let reg = self.reg(regno);
        if reg.v.smin < 0 {
            return reject!(EACCES, BadMem::MayBeNegative { reg: Reg(regno) });
        }
        if reg.range() < 0 {
            return reject!(EINVAL, BadMem::OutsidePacket { reg: Reg(regno) });
        }
        self.check_region(regno, off, size, reg.range() as u32, zero_allowed)
            .map_err(|reject| reject.then(BadMem::OutsidePacket { reg: Reg(regno) }))
    }

    /// Whether this type of program may touch packet bytes directly; `helper`: what the helper
    /// that is called says of it.
    pub(crate) fn may_access_packet(&self, helper: Option<bool>, write: bool) -> bool {
        use ProgType as P;
        match self.prog_type {
            Some(
                P::LwtIn
                | P::LwtOut
                | P::LwtSeg6local
                | P::SkReuseport
                | P::FlowDissector
                | P::CgroupSkb,
            ) => !write && helper.unwrap_or(true),
            Some(P::SchedCls | P::SchedAct | P::Xdp | P::LwtXmit | P::SkSkb | P::SkMsg) => {
                helper.unwrap_or(true)
            }
            Some(P::CgroupSockopt) => true,
            _ => false,
        }
    }

    fn check_sock_access(&self, reg: &RegState, regno: usize, off: i32, size: i32) -> Checked {
        if reg.v.smin < 0 {
            return reject!(EACCES, BadMem::MayBeNegative { reg: Reg(regno) });
        }
        let name = type_name(reg);
        if uapi::pointee_access(&name, off, size as u32, false) == Some(true) {
            return Ok(());
        }
        reject!(EACCES, BadMem::Object { reg: Reg(regno), object: name.into(), off, size })
    }

    /// The pointer was not moved since it was obtained.
    pub(crate) fn check_ptr_off_reg(&self, reg: &RegState, regno: usize) -> Checked {
        self.check_ptr_off(reg, regno, false)
    }

    /// The same; a constant distance may be allowed.
    pub(crate) fn check_ptr_off(&self, reg: &RegState, regno: usize, fixed_ok: bool) -> Checked {
        if reg.off < 0 {
            return reject!(
                EACCES,
                BadMem::NegativeOffset { is: RegType::of(reg), reg: Reg(regno), off: reg.off }
            );
        }
        if !fixed_ok && reg.off != 0 {
            return reject!(
                EACCES,
                BadMem::Modified { is: RegType::of(reg), reg: Reg(regno), off: reg.off }
            );
        }
        if reg.v.as_const() != Some(0) {
            return reject!(
                EACCES,
                BadMem::Variable { is: RegType::of(reg), var_off: Bits(reg.v.var_off) }
            );
        }
        Ok(())
    }

    /// Aligned where the program asks for it, and always on the stack.
    pub(crate) fn check_alignment(
        &self,
        reg: &RegState,
        off: i32,
        size: i32,
        strict: bool,
    ) -> Checked {
        if size == 1 {
            return Ok(());
        }
        let strict = strict || self.strict_alignment;
        let plain = reg.flags.is_empty();
        if reg.is_packet() && plain {
            // Linux assumes that headers begin two bytes after a word.
            let fixed = reg.off.wrapping_add(off).wrapping_add(2);
            let at = reg.v.var_off.add(Tnum::constant(i64::from(fixed) as u64));
            if strict && !at.is_aligned(size as u64) {
                return reject!(
                    EACCES,
                    BadMem::PacketMisaligned {
                        var_off: Bits(reg.v.var_off),
                        reg_off: reg.off,
                        off,
                        size
                    }
                );
            }
            return Ok(());
        }
        let (what, strict) = match reg.kind {
            _ if !plain => ("", strict),
            RegKind::FlowKeys => ("flow keys ", strict),
            RegKind::MapKey => ("key ", strict),
            RegKind::MapValue => ("value ", strict),
            RegKind::Ctx => ("context ", strict),
            RegKind::Stack => ("stack ", true),
            RegKind::Sock => ("sock ", strict),
            RegKind::SockCommon => ("sock_common ", strict),
            RegKind::TcpSock => ("tcp_sock ", strict),
            RegKind::XdpSock => ("xdp_sock ", strict),
            RegKind::Arena => return Ok(()),
            _ => ("", strict),
        };
        let fixed = reg.off.wrapping_add(off);
        let at = reg.v.var_off.add(Tnum::constant(i64::from(fixed) as u64));
        if strict && !at.is_aligned(size as u64) {
            return reject!(
                EACCES,
                BadMem::Misaligned {
                    what,
                    var_off: Bits(reg.v.var_off),
                    reg_off: reg.off,
                    off,
                    size
                }
            );
        }
        Ok(())
    }

    /// What an instruction touches must be the same kind on every path, where it decides the
    /// rewriting.
    pub(crate) fn note_pointer_kind(&mut self, ptr: &RegState, trust_may_differ: bool) -> Checked {
        let seen = &mut self.aux[self.insn_idx].ptr_kind;
        let Some(before) = seen else {
            *seen = Some((ptr.kind, ptr.flags));
            return Ok(());
        };
        let fixed = |kind| {
            matches!(
                kind,
                RegKind::Ctx
                    | RegKind::Sock
                    | RegKind::SockCommon
                    | RegKind::TcpSock
                    | RegKind::XdpSock
                    | RegKind::BtfId
                    | RegKind::Arena
            )
        };
        if *before == (ptr.kind, ptr.flags) || !fixed(ptr.kind) && !fixed(before.0) {
            return Ok(());
        }
        let probed = |kind| matches!(kind, RegKind::Mem | RegKind::BtfId);
        if trust_may_differ && probed(ptr.kind) && probed(before.0) {
            let kind = if ptr.kind == RegKind::Mem || before.0 == RegKind::Mem {
                RegKind::Mem
            } else {
                RegKind::BtfId
            };
            let kept = RegFlags::UNTRUSTED | RegFlags::RDONLY;
            *before = (kind, (ptr.flags | before.1) & kept);
            return Ok(());
        }
        reject!(EINVAL, BadMem::TwoKinds)
    }

    fn note_access(&mut self, insn_idx: usize, reg: &RegState) {
        use crate::Access;
        let access = match reg.kind {
            RegKind::Ctx => Access::Ctx,
            RegKind::Sock | RegKind::SockCommon => Access::Sock,
            RegKind::TcpSock => Access::TcpSock,
            RegKind::XdpSock => Access::XdpSock,
            RegKind::Arena => Access::Arena,
            RegKind::BtfId | RegKind::MapPtr => Access::Probe,
            RegKind::Mem if reg.flags.contains(RegFlags::UNTRUSTED) => Access::Probe,
            _ => Access::Direct,
        };
        if !self.state.speculative {
            self.aux[insn_idx].access = access;
        }
    }

    /// An access to a buffer whose size is known where the program is attached.
    pub(super) fn access_buffer(
        &mut self,
        rdonly: bool,
        reg: &RegState,
        regno: usize,
        off: i32,
        size: i32,
    ) -> Checked {
        check_buffer(if rdonly { "rdonly" } else { "rdwr" }, reg, regno, off, size)?;
        let demands = &mut self.demands;
        let most = if rdonly { &mut demands.rdonly_access } else { &mut demands.rdwr_access };
        *most = (*most).max(off.saturating_add(size) as u32);
        Ok(())
    }
}

/// Offset of a load through a buffer pointer: constant and not negative.
fn check_buffer(what: &'static str, reg: &RegState, regno: usize, off: i32, size: i32) -> Checked {
    if off < 0 {
        return reject!(EACCES, BadMem::Buffer { reg: Reg(regno), what, off, size });
    }
    if reg.v.as_const() != Some(0) {
        return reject!(
            EACCES,
            BadMem::BufferVariable { reg: Reg(regno), off, var_off: Bits(reg.v.var_off) }
        );
    }
    Ok(())
}
