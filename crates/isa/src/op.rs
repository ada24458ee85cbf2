//! What a well-formed instruction means.

use crate::Reg;

/// How many bits of the registers an operation works on; 32-bit results are zero-extended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Width {
    /// The low half: `w0`.
    W32,
    /// The whole register: `r0`.
    W64,
}

/// Bytes of a memory access.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Size {
    /// One byte.
    B,
    /// Two bytes.
    H,
    /// Four bytes.
    W,
    /// Eight bytes.
    DW,
}

impl Size {
    /// The number of bytes.
    pub const fn bytes(self) -> u32 {
        1 << self as u32
    }
}

/// The second operand.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Src {
    /// A register.
    Reg(Reg),
    /// An immediate, sign-extended to the operation's width.
    Imm(i32),
}

/// Two-operand arithmetic; `Mov` is here because it encodes alike.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "the names are RFC 9669's")]
pub enum AluOp {
    Add,
    Sub,
    Mul,
    Div,
    Sdiv,
    Or,
    And,
    Lsh,
    Rsh,
    Mod,
    Smod,
    Xor,
    Mov,
    Arsh,
}

/// Condition of a jump.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "the names are RFC 9669's")]
pub enum Cond {
    Eq,
    Ne,
    Set,
    Gt,
    Ge,
    Lt,
    Le,
    Sgt,
    Sge,
    Slt,
    Sle,
}

/// Read-modify-write operation on memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "the names are RFC 9669's")]
pub enum AtomicOp {
    Add,
    Or,
    And,
    Xor,
    Xchg,
    /// Compares with r0, which receives the old value.
    Cmpxchg,
}

/// Byte-order operation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Endian {
    /// To little-endian: on a little-endian host, cut to the width.
    ToLe,
    /// To big-endian: on a little-endian host, swap and cut.
    ToBe,
    /// Swap whatever the host.
    Swap,
}

/// What a 64-bit immediate stands for (the `src` field of `ld_imm64`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Imm64 {
    /// A plain value.
    Value(u64),
    /// The map with this descriptor.
    MapFd(i32),
    /// Address of byte `off` of the single value of the map with this descriptor.
    MapValue {
        /// The map's descriptor.
        fd: i32,
        /// Byte offset into the value.
        off: u32,
    },
    /// A kernel variable by BTF id, in the BTF object with descriptor `btf_fd` (0: vmlinux).
    BtfId {
        /// Type id of the variable.
        id: i32,
        /// Descriptor of the BTF object.
        btf_fd: i32,
    },
    /// Address of a subprogram, `rel` slots from the slot after the first one.
    Func(i32),
    /// The map at this index of `fd_array`.
    MapIdx(i32),
    /// Like `MapValue`, the map by its index in `fd_array`.
    MapIdxValue {
        /// Index in `fd_array`.
        idx: i32,
        /// Byte offset into the value.
        off: u32,
    },
}

/// The target of a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Callee {
    /// A helper by number.
    Helper(i32),
    /// A subprogram, relative to the next slot.
    Subprog(i32),
    /// A kernel function by BTF id; `off` picks the BTF object from `fd_array`.
    Kfunc {
        /// Type id of the function.
        id: i32,
        /// 0 for vmlinux, else an index into `fd_array`.
        off: i16,
    },
}

/// A well-formed instruction. Offsets of jumps count slots from the next instruction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "fields are the operands of RFC 9669, named alike throughout")]
pub enum Op {
    Alu {
        width: Width,
        op: AluOp,
        dst: Reg,
        src: Src,
    },
    Neg {
        width: Width,
        dst: Reg,
    },
    /// Sign-extending move of the low `bits` (8, 16, 32) of `src`.
    MovSx {
        width: Width,
        bits: u8,
        dst: Reg,
        src: Reg,
    },
    /// Byte order of the low `bits` (16, 32, 64).
    End {
        kind: Endian,
        bits: u8,
        dst: Reg,
    },
    /// Arena pointer between address spaces; `imm` holds `dst_as << 16 | src_as`.
    AddrSpaceCast {
        dst: Reg,
        src: Reg,
        imm: i32,
    },
    /// Two slots.
    LdImm64 {
        dst: Reg,
        imm: Imm64,
    },
    /// r0 = packet bytes at `imm`, in host order; ends the program outside the packet.
    LdAbs {
        size: Size,
        imm: i32,
    },
    /// r0 = packet bytes at `src + imm`.
    LdInd {
        size: Size,
        src: Reg,
        imm: i32,
    },
    Load {
        size: Size,
        signed: bool,
        dst: Reg,
        base: Reg,
        off: i16,
    },
    Store {
        size: Size,
        base: Reg,
        off: i16,
        src: Src,
    },
    /// `fetch`: `src` (r0 for `Cmpxchg`) receives the old value.
    Atomic {
        size: Size,
        op: AtomicOp,
        fetch: bool,
        base: Reg,
        off: i16,
        src: Reg,
    },
    LoadAcquire {
        size: Size,
        dst: Reg,
        base: Reg,
        off: i16,
    },
    StoreRelease {
        size: Size,
        base: Reg,
        off: i16,
        src: Reg,
    },
    /// `long`: encoded as `gotol`, the offset in the immediate.
    Ja {
        long: bool,
        off: i32,
    },
    /// Falls through a bounded number of times, then jumps.
    MayGoto {
        off: i16,
    },
    Jmp {
        width: Width,
        cond: Cond,
        dst: Reg,
        src: Src,
        off: i16,
    },
    Call(Callee),
    Exit,
}

impl Op {
    /// Slots the instruction takes: 2 for a 64-bit immediate, else 1.
    pub const fn slots(&self) -> usize {
        match self {
            Op::LdImm64 { .. } => 2,
            _ => 1,
        }
    }
}
