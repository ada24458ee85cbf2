//! Memory: context, packet, map values, buffers.

use super::reasons;
use super::value::{Bits, Reg, RegType};

reasons! {
    /// Memory: context, packet, map values, buffers.
    BadMem {
        /// The register does not point to memory.
        Access { reg: Reg, is: RegType } => "R{reg} invalid mem access '{is}'",
        /// The memory is read-only.
        ReadOnly { reg: Reg, is: RegType } => "R{reg} cannot write into {is}",
        /// Keys cannot be changed.
        WritesKey { reg: Reg } => "write to change key R{reg} not allowed",
        /// The program may not change the packet.
        WritesPacket => "cannot write into packet",
        /// Outside the flow keys.
        FlowKeys { off: i32, size: i32 } => "invalid access to flow keys off={off} size={size}",
        /// No such field of the context.
        Ctx { off: i32, size: i32 } => "invalid bpf_context access off={off} size={size}",
        /// The argument's reference was given back.
        CtxReleased { off: i32 } => "invalid bpf_context access off={off}. Reference may already be released",
        /// Programs may only read the map.
        MapReadOnly { have: u32, off: i32, size: i32 } => "write into map forbidden, value_size={have} off={off} size={size}",
        /// Programs may only write the map.
        MapWriteOnly { have: u32, off: i32, size: i32 } => "read from map forbidden, value_size={have} off={off} size={size}",
        /// A special field is touched.
        FieldDirect { field: &'static str } => "{field} cannot be accessed directly by load/store",
        /// A special field is touched.
        FieldByHelper { field: &'static str } => "{field} cannot be accessed indirectly by helper",
        /// A special field at an unknown offset.
        FieldVariable { field: &'static str } => "{field} access cannot have variable offset",
        /// Beside a special field.
        FieldMisaligned { field: &'static str, expected: u32, off: u64 } => "{field} access misaligned expected={expected} off={off}",
        /// A part of a special field.
        FieldSize { field: &'static str } => "{field} access size must be BPF_DW",
        /// The offset may be negative.
        MayBeNegative { reg: Reg } => "R{reg} min value is negative, either use unsigned index or do a if (index >=0) check.",
        /// The smallest offset lies outside.
        MinOutside { reg: Reg } => "R{reg} min value is outside of the allowed memory range",
        /// The largest offset lies outside.
        MaxOutside { reg: Reg } => "R{reg} max value is outside of the allowed memory range",
        /// The offset has no limit.
        Unbounded { reg: Reg } => "R{reg} unbounded memory access, make sure to bounds check any such access",
        /// Outside the memory.
        Region { have: u32, off: i32, size: i32 } => "invalid access to memory, mem_size={have} off={off} size={size}",
        /// Outside the key.
        MapKey { have: i32, off: i32, size: i32 } => "invalid access to map key, key_size={have} off={off} size={size}",
        /// Outside the value.
        MapValue { have: i32, off: i32, size: i32 } => "invalid access to map value, value_size={have} off={off} size={size}",
        /// Outside the value.
        MapValuePointer { have: u32, off: u32 } => "invalid access to map value pointer, value_size={have} off={off}",
        /// Beyond what was compared with data_end.
        Packet { off: i32, size: i32, reg: Reg, id: u32, range: i32 } => "invalid access to packet, off={off} size={size}, R{reg}(id={id},off={off},r={range})",
        /// Beyond what was compared with data_end.
        OutsidePacket { reg: Reg } => "R{reg} offset is outside of the packet",
        /// No such field of the object.
        Object { reg: Reg, object: Box<str>, off: i32, size: i32 } => "R{reg} invalid {object} access off={off} size={size}",
        /// The pointer was moved back.
        NegativeOffset { is: RegType, reg: Reg, off: i32 } => "negative offset {is} ptr R{reg} off={off} disallowed",
        /// The pointer was moved.
        Modified { is: RegType, reg: Reg, off: i32 } => "dereference of modified {is} ptr R{reg} off={off} disallowed",
        /// The pointer was moved by an unknown number.
        Variable { is: RegType, var_off: Bits } => "variable {is} access var_off={var_off} disallowed",
        /// The address is not a multiple of the size.
        PacketMisaligned { var_off: Bits, reg_off: i32, off: i32, size: i32 } => "misaligned packet access off 2+{var_off}+{reg_off}+{off} size {size}",
        /// The address is not a multiple of the size.
        Misaligned { what: &'static str, var_off: Bits, reg_off: i32, off: i32, size: i32 } => "misaligned {what}access off {var_off}+{reg_off}+{off} size {size}",
        /// One instruction meets pointers of different kinds.
        TwoKinds => "same insn cannot be used with different pointers",
        /// Outside the buffer.
        Buffer { reg: Reg, what: &'static str, off: i32, size: i32 } => "R{reg} invalid {what} buffer access: off={off}, size={size}",
        /// A buffer at an unknown offset.
        BufferVariable { reg: Reg, off: i32, var_off: Bits } => "R{reg} invalid variable buffer offset: off={off}, var_off={var_off}",
        /// No atomic operations on this memory.
        AtomicBase { what: &'static str, reg: Reg, is: RegType } => "BPF_ATOMIC {what} R{reg} {is} is not allowed",
        /// Atomic operations take 4 or 8 bytes.
        AtomicSize => "invalid atomic operand size",
        /// A length may be negative.
        LengthNegative { reg: Reg } => "R{reg} min value is negative, either use unsigned or 'var &= const'",
        /// A length may be zero.
        LengthZero { reg: Reg, min: i64, max: i64 } => "R{reg} invalid zero-sized read: u64=[{min},{max}]",
        /// A length has no limit.
        LengthUnbounded { reg: Reg } => "R{reg} unbounded memory access, use 'var &= const' or 'if (var < const)'",
    }
}
