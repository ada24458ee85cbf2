//! Arguments of helpers.

use super::reasons;
use super::value::{Reg, RegType};

reasons! {
    /// Arguments of helpers.
    BadArg {
        /// A pointer would be given away to a helper that takes numbers.
        AddrLeak { reg: Reg } => "R{reg} leaks addr into helper function",
        /// The helper may not touch packet bytes in this program.
        PacketForbidden => "helper access to the packet is not allowed",
        /// A value is passed before its map.
        TypeWithoutMap => "invalid map_ptr to access map->type",
        /// The helper does not fit a socket map.
        SocketMapValue => "invalid arg_type for sockmap/sockhash",
        /// The register is of another type than the argument.
        WrongType { reg: Reg, is: RegType, expected: Box<str> } => "R{reg} type={is} expected={expected}",
        /// The helper writes through a pointer to a kernel object.
        WouldWrite { helper: Box<str>, reg: Reg, is: RegType } => "{helper}() may write into memory pointed by R{reg} type={is}",
        /// A moved pointer where the object itself is wanted.
        OffsetOnTrusted { reg: Reg } => "R{reg} must have zero offset when passed to release func or trusted arg to kfunc",
        /// A dynptr that the program does not own.
        ReleasesConstDynptr => "cannot release unowned const bpf_dynptr",
        /// What is released was never acquired.
        NotReferenced { reg: Reg } => "R{reg} must be referenced when passed to release function",
        /// Two references in one call.
        SecondReference { reg: Reg, id: u32, first: u32 } => "more than one arg with ref_obj_id R{reg} {id} {first}",
        /// A constant size is wanted.
        NotConstant { reg: Reg } => "R{reg} is not a known constant'",
        /// A per-CPU pointer of unknown type.
        PercpuWithoutType { reg: Reg } => "Helper has invalid btf_id in R{reg}",
        /// Timer and map do not belong together.
        TimerOfOtherMap { timer: u32, map: u32 } => "timer pointer in R1 map_uid={timer} doesn't match map pointer in R2 map_uid={map}",
        /// A key is passed before its map.
        KeyWithoutMap => "invalid map_ptr to access map->key",
        /// A value is passed before its map.
        ValueWithoutMap => "invalid map_ptr to access map->value",
        /// The object may be missing.
        MaybeNull { reg: Reg } => "Possibly NULL pointer passed to helper arg{reg}",
        /// A kernel object of another type.
        WrongObject { reg: Reg, is: Box<str>, expected: Box<str> } => "R{reg} is of type {is} but {expected} is expected",
        /// The helper does not work on this type of map.
        MapType { map_type: u32, helper: Box<str>, id: i32 } => "cannot pass map_type {map_type} into func {helper}#{id}",
        /// A special field at an unknown offset.
        NoConstantOffset { reg: Reg, field: &'static str } => "R{reg} doesn't have constant offset. {field} has to be at the constant offset",
        /// The map's value has no type.
        FieldWithoutBtf { map: Box<str>, field: &'static str } => "map '{map}' has to have BTF in order to use {field}",
        /// The map's value has no such field.
        NoSuchField { map: Box<str>, field: &'static str } => "map '{map}' has no valid {field}",
        /// The pointer misses the special field.
        NotAtField { off: i64, field: &'static str, at: u32 } => "off {off} doesn't point to 'struct {field}' that is at {at}",
        /// The work lives in one map, another is given.
        WorkOfOtherMap { work: u32, map: u32 } => "workqueue pointer in R1 map_uid={work} doesn't match map pointer in R2 map_uid={map}",
        /// The same of work for a task.
        TaskWorkOfOtherMap { work: u32, map: u32 } => "bpf_task_work pointer in R2 map_uid={work} doesn't match map pointer in R3 map_uid={map}",
        /// A kptr at an unknown offset.
        KptrOffset { reg: Reg } => "R{reg} doesn't have constant offset. kptr has to be at the constant offset",
        /// The map's value has no kptr.
        NoKptr { reg: Reg } => "R{reg} has no valid kptr",
        /// A constant string is wanted.
        StringNotReadOnly { reg: Reg } => "R{reg} does not point to a readonly map'",
        /// A constant string is wanted.
        StringNotConstant { reg: Reg } => "R{reg} is not a constant address'",
        /// The map's values have no address at load time.
        NoDirectValue => "no direct value access support for this map type",
        /// The string lies outside its map.
        StringUnreadable => "direct value access on string failed",
        /// The string has no end.
        StringUnterminated => "string is not zero-terminated",
        /// A conversion is unknown or lacks its argument.
        Format => "Invalid format string",
        /// Memory is wanted.
        NotFramePointer { reg: Reg, is: RegType } => "R{reg} type={is} expected=fp",
        /// The helper changes a map that programs may only read.
        MapIsReadOnly => "write into map forbidden",
        /// A tail call through another kind of map.
        NotProgArray => "expected prog array map for tail call",
    }
}
