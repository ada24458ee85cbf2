//! What is known about one register or one spilled register.

use crate::domain::Bounds;

/// Base type of a register.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub(crate) enum RegKind {
    NotInit,
    Scalar,
    Ctx,
    /// The map itself (`CONST_PTR_TO_MAP`).
    MapPtr,
    MapValue,
    MapKey,
    Stack,
    PktMeta,
    Pkt,
    PktEnd,
    FlowKeys,
    Sock,
    SockCommon,
    TcpSock,
    TpBuffer,
    XdpSock,
    BtfId,
    Mem,
    Buf,
    Func,
    /// `CONST_PTR_TO_DYNPTR`.
    Dynptr,
    Arena,
}

bitflags::bitflags! {
    /// What qualifies a pointer.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Default)]
    pub(crate) struct RegFlags: u16 {
        const MAYBE_NULL = 1 << 0;
        const RDONLY = 1 << 1;
        const RINGBUF = 1 << 2;
        const USER = 1 << 3;
        const PERCPU = 1 << 4;
        const UNTRUSTED = 1 << 5;
        const TRUSTED = 1 << 6;
        const RCU = 1 << 7;
        const ALLOC = 1 << 8;
        const NON_OWN_REF = 1 << 9;
        const DYNPTR_LOCAL = 1 << 10;
        const DYNPTR_RINGBUF = 1 << 11;
        const DYNPTR_SKB = 1 << 12;
        const DYNPTR_XDP = 1 << 13;
        const DYNPTR_SKB_META = 1 << 14;
        /// What a slice was cut from.
        const DYNPTR = Self::DYNPTR_LOCAL.bits()
            | Self::DYNPTR_RINGBUF.bits()
            | Self::DYNPTR_SKB.bits()
            | Self::DYNPTR_XDP.bits()
            | Self::DYNPTR_SKB_META.bits();
    }
}

/// What a dynptr points into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DynptrKind {
    Local,
    Ringbuf,
    Skb,
    Xdp,
    SkbMeta,
}

/// State of an iterator that has more to give.
pub(crate) const ITER_ACTIVE: u32 = 1;
/// State of an iterator that gave its last.
pub(crate) const ITER_DRAINED: u32 = 2;

/// Bit of [`RegState::id`]: a 64-bit addition set the register a constant away from others of the
/// same id.
pub(crate) const ADD_CONST64: u32 = 1 << 31;
/// The same by a 32-bit addition, which cleared the upper half.
pub(crate) const ADD_CONST32: u32 = 1 << 30;
/// Either.
pub(crate) const ADD_CONST: u32 = ADD_CONST64 | ADD_CONST32;
/// Packet range: the pointer equals the end.
pub(crate) const AT_PKT_END: i32 = -1;
/// Packet range: the pointer lies beyond the end.
pub(crate) const BEYOND_PKT_END: i32 = -2;

/// Bit of [`RegState::data`] of map pointers: see [`RegState::is_inner_map`].
pub(crate) const INNER_MAP: u32 = 1 << 31;

/// What is known about a register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RegState {
    pub(crate) kind: RegKind,
    /// Its exact value decided a check: pruning must compare it.
    pub(crate) precise: bool,
    /// Frame of a stack pointer.
    pub(crate) frameno: u8,
    pub(crate) flags: RegFlags,
    /// Constant part of a pointer; of a scalar, its distance to others of the same id.
    pub(crate) off: i32,
    /// Links copies (scalars), null checks (pointers), packet ranges (packet pointers).
    pub(crate) id: u32,
    /// The reference the pointer holds, 0 for none.
    pub(crate) ref_obj_id: u32,
    /// By kind: index into `World::maps`, packet range, bytes of memory, BTF type id, subprogram;
    /// 1 for the first slot of a dynptr; the type id of an iterator.
    pub(crate) data: u32,
    /// By kind: which copy of the map (map in map), which BTF (`Env::btf_of`), the dynptr that
    /// memory is a slice of, the kind of a dynptr, the state of an iterator (its depth is `off`).
    pub(crate) data2: u32,
    /// The number, or the variable part of the pointer.
    pub(crate) v: Bounds,
}

impl DynptrKind {
    /// Linux's name.
    pub(crate) fn text(self) -> &'static str {
        match self {
            DynptrKind::Local => "local",
            DynptrKind::Ringbuf => "ringbuf",
            DynptrKind::Skb => "skb",
            DynptrKind::Xdp => "xdp",
            DynptrKind::SkbMeta => "skb_meta",
        }
    }

    /// What a slice of it carries.
    pub(crate) fn flag(self) -> RegFlags {
        match self {
            DynptrKind::Local => RegFlags::DYNPTR_LOCAL,
            DynptrKind::Ringbuf => RegFlags::DYNPTR_RINGBUF,
            DynptrKind::Skb => RegFlags::DYNPTR_SKB,
            DynptrKind::Xdp => RegFlags::DYNPTR_XDP,
            DynptrKind::SkbMeta => RegFlags::DYNPTR_SKB_META,
        }
    }

    /// It holds something that must be given back.
    pub(crate) fn is_referenced(self) -> bool {
        self == DynptrKind::Ringbuf
    }
}

impl RegState {
    /// Never written.
    pub(crate) const NOT_INIT: RegState = RegState {
        kind: RegKind::NotInit,
        precise: false,
        frameno: 0,
        flags: RegFlags::empty(),
        off: 0,
        id: 0,
        ref_obj_id: 0,
        data: 0,
        data2: 0,
        v: Bounds::UNKNOWN,
    };

    /// A scalar of which nothing is known.
    pub(crate) const UNKNOWN: RegState = RegState { kind: RegKind::Scalar, ..RegState::NOT_INIT };

    /// A known number.
    pub(crate) const fn constant(value: u64) -> RegState {
        RegState { kind: RegKind::Scalar, v: Bounds::constant(value), ..RegState::NOT_INIT }
    }

    /// A pointer of this kind, offset zero.
    pub(crate) const fn pointer(kind: RegKind) -> RegState {
        RegState { kind, v: Bounds::constant(0), ..RegState::NOT_INIT }
    }

    /// A dynptr, or its second slot.
    pub(crate) fn dynptr(kind: DynptrKind, first: bool, id: u32) -> RegState {
        RegState {
            id,
            data: first.into(),
            data2: kind as u32,
            ..RegState::pointer(RegKind::Dynptr)
        }
    }

    /// The same with `flags` set besides.
    pub(crate) fn with(mut self, flags: RegFlags) -> RegState {
        self.flags |= flags;
        self
    }

    pub(crate) fn is_scalar(&self) -> bool {
        self.kind == RegKind::Scalar
    }

    pub(crate) fn is_init(&self) -> bool {
        self.kind != RegKind::NotInit
    }

    /// Neither uninitialised nor a scalar.
    pub(crate) fn is_pointer(&self) -> bool {
        !matches!(self.kind, RegKind::NotInit | RegKind::Scalar)
    }

    pub(crate) fn is_packet(&self) -> bool {
        matches!(self.kind, RegKind::Pkt | RegKind::PktMeta)
    }

    pub(crate) fn is_packet_any(&self) -> bool {
        matches!(self.kind, RegKind::Pkt | RegKind::PktMeta | RegKind::PktEnd)
    }

    pub(crate) fn may_be_null(&self) -> bool {
        self.flags.contains(RegFlags::MAYBE_NULL)
    }

    pub(crate) fn is_const(&self) -> bool {
        self.is_scalar() && self.v.var_off.is_const()
    }

    /// A scalar known to be zero.
    pub(crate) fn is_null(&self) -> bool {
        self.is_scalar() && self.v.var_off == crate::domain::Tnum::constant(0)
    }

    /// The number, if it is a known scalar.
    pub(crate) fn const_value(&self) -> Option<u64> {
        if self.is_scalar() { self.v.as_const() } else { None }
    }

    /// Index into `World::maps` of a map pointer, map value or map key.
    pub(crate) fn map(&self) -> usize {
        (self.data & !INNER_MAP) as usize
    }

    /// The map is one found in the map of maps that [`RegState::map`] names.
    pub(crate) fn is_inner_map(&self) -> bool {
        self.data & INNER_MAP != 0
    }

    /// Bytes of a memory region.
    pub(crate) fn mem_size(&self) -> u32 {
        self.data
    }

    /// Bytes of packet that may be read behind the pointer.
    pub(crate) fn range(&self) -> i32 {
        self.data as i32
    }

    pub(crate) fn set_range(&mut self, range: i32) {
        self.data = range as u32;
    }

    /// What a dynptr points into.
    pub(crate) fn dynptr_kind(&self) -> DynptrKind {
        use DynptrKind as D;
        [D::Local, D::Ringbuf, D::Skb, D::Xdp, D::SkbMeta]
            .into_iter()
            .find(|kind| *kind as u32 == self.data2)
            .unwrap_or(D::Local)
    }

    /// Type of a BTF pointer.
    pub(crate) fn btf_id(&self) -> u32 {
        self.data
    }

    /// Target of a function pointer.
    pub(crate) fn subprog(&self) -> usize {
        self.data as usize
    }

    /// This kind without any flag.
    pub(crate) fn is_kind(&self, kind: RegKind) -> bool {
        self.kind == kind && self.flags.is_empty()
    }

    /// Anything but a number.
    pub(crate) fn is_not_scalar(&self) -> bool {
        self.kind != RegKind::Scalar
    }

    /// A socket of whatever structure.
    pub(crate) fn is_socket(&self) -> bool {
        matches!(
            self.kind,
            RegKind::Sock | RegKind::SockCommon | RegKind::TcpSock | RegKind::XdpSock
        )
    }

    /// A pointer that kernel functions accept as alive.
    pub(crate) fn is_trusted(&self) -> bool {
        let trusted = RegFlags::ALLOC | RegFlags::TRUSTED | RegFlags::NON_OWN_REF;
        let unsafe_flags = !(self.flags & !trusted).is_empty();
        let always = matches!(
            self.kind,
            RegKind::Sock | RegKind::SockCommon | RegKind::TcpSock | RegKind::MapPtr
        );
        self.ref_obj_id != 0 || !unsafe_flags && (always || self.flags.intersects(trusted))
    }

    /// Everything that Linux compares before ids: kind, flags, offset, what it points to, ranges.
    pub(crate) fn same_content(&self, other: &RegState) -> bool {
        self.same_target(other) && self.v == other.v
    }

    /// Kind, flags, offset, and what it points to.
    pub(crate) fn same_target(&self, other: &RegState) -> bool {
        self.kind == other.kind
            && self.flags == other.flags
            && self.off == other.off
            && self.data == other.data
            && self.data2 == other.data2
    }

    /// Kind and flags alike.
    pub(crate) fn same_type(&self, other: &RegState) -> bool {
        self.kind == other.kind && self.flags == other.flags
    }
}
