//! Kernel structures, known by their BTF.

use super::reasons;
use super::value::Reg;

reasons! {
    /// Kernel structures, known by their BTF.
    BadBtf {
        /// Kernel memory is for the privileged.
        Privileged { name: Box<str> } => "'struct {name}' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN",
        /// Before the structure.
        NegativeMap { reg: Reg, name: Box<str>, off: i32 } => "R{reg} is {name} invalid negative access: off={off}",
        /// Kernel structures are read-only.
        ReadOnlyMap { name: Box<str> } => "only read from {name} is supported",
        /// The licence does not allow it.
        GplOnly { name: Box<str> } => "Cannot access kernel 'struct {name}' from non-GPL compatible program",
        /// Before the structure.
        Negative { reg: Reg, name: Box<str>, off: i32 } => "R{reg} is ptr_{name} invalid negative access: off={off}",
        /// A structure at an unknown offset.
        Variable { reg: Reg, name: Box<str>, off: i32, value: u64, mask: u64 } => "R{reg} is ptr_{name} invalid variable offset: off={off}, var_off=({value:#x}; {mask:#x})",
        /// Memory of user space or of each CPU.
        Memory { reg: Reg, name: Box<str>, what: &'static str, off: i32 } => "R{reg} is ptr_{name} access {what} memory: off={off}",
        /// Kernel structures are read-only.
        ReadOnly => "only read is supported",
        /// Locks, lists and such are for functions only.
        SpecialField { field: &'static str } => "direct access to {field} is disallowed",
        /// Only the argument's own structure.
        DummyState => "only access to bpf_dummy_ops_state is supported",
        /// Beyond the structure.
        DummyRange { off: u32, size: u32 } => "write access at off {off} with size {size}",
        /// A field that is not for programs to change.
        TcpField { off: u32 } => "no write support to tcp_sock at off {off}",
        /// More than the field.
        TcpRange { off: u32, size: u32, end: u32 } => "write access at off {off} with size {size} beyond the member of tcp_sock ended at {end}",
        /// A field that is not for programs to change.
        ConnectionField { off: u32 } => "no write support to nf_conn at off {off}",
        /// More than the field.
        ConnectionRange { off: u32, size: u32, end: u32 } => "write access at off {off} with size {size} beyond the member of nf_conn ended at {end}",
        /// The type has no fields.
        NotStruct { name: Box<str> } => "Type '{name}' is not a struct",
        /// The field's type is incomplete.
        FieldWithoutSize { name: Box<str> } => "field {name} doesn't have size",
        /// Between the fields.
        NoField { name: Box<str>, off: u32 } => "struct {name} doesn't have field at offset {off}",
        /// More than the field.
        BeyondMember { member: Box<str>, end: u32, name: Box<str>, off: u32, size: u32 } => "access beyond the end of member {member} (mend:{end}) in struct {name} with off {off} size {size}",
        /// A part of a pointer.
        PartOfPointer { member: Box<str>, start: u32, name: Box<str>, off: u32, size: u32 } => "cannot access ptr member {member} with moff {start} in struct {name} with off {off} size {size}",
        /// Beyond the structure.
        BeyondStruct { name: Box<str>, off: u32, size: u32 } => "access beyond struct {name} at off {off} size {size}",
    }
}
