//! The context, kernel objects, and features with rules of their own.

use isa::Op;

use crate::event::{
    BadArg, BadAttach, BadBtf, BadFunc, BadKptr, BadLoad, BadMem, BadObject, Reason, RegType,
};
use crate::explain::case::Case;
use crate::explain::cause::{About, Cause};
use crate::explain::words::bytes;
use crate::state::RegKind;

pub(super) const CAUSES: &[Cause] = &[
    Cause::new(
        "kptr-type",
        |reason| matches!(reason, Reason::Kptr(BadKptr::Type { .. })),
        "the pointer may not be kept in this field",
    )
    .needs_of(|case| {
        let kind = case.main().map_or(String::new(), |reg| format!("; this is {}", RegType::of(reg)));
        format!("a field tagged __kptr takes a referenced pointer to exactly its structure, one tagged __kptr_untrusted any pointer to it{kind}")
    })
    .help("acquire a reference first, check it for NULL, and pass the pointer as it was returned"),
    Cause::new(
        "kptr-access",
        |reason| matches!(reason, Reason::Kptr(_) | Reason::Mem(BadMem::FieldByHelper { .. } | BadMem::FieldVariable { .. } | BadMem::FieldMisaligned { .. } | BadMem::FieldSize { .. })),
        "a field that holds a kernel pointer is accessed as if it were plain memory",
    )
    .needs("kernel pointers are loaded whole, at a constant offset; those that own what they point to are only changed by bpf_kptr_xchg")
    .help("load the field by its name, and exchange pointers with bpf_kptr_xchg(&value->field, new)")
    .about(About::Operands),
    Cause::new(
        "special-field",
        |reason| matches!(reason, Reason::Btf(BadBtf::SpecialField { .. })),
        "a special field of an allocated object is accessed directly",
    )
    .needs("locks, list and tree nodes, reference counts and kernel pointers belong to the functions that work on them")
    .help("access the other fields by name; do not copy whole structures with memset or assignment")
    .about(About::Operands),
    Cause::new(
        "context-field",
        |reason| matches!(reason, Reason::Mem(BadMem::Ctx { .. })),
        "the context has no such field for this type of program",
    )
    .needs_of(context_field)
    .help_of(|case| match case.op {
        Some(Op::Store { .. }) => "this field may not be written by this type of program, or not with this width".into(),
        _ => "read a field that this program type has, with the width of its type; a wrong SEC(\"...\") gives the program another context".into(),
    })
    .about(About::Operands),
    Cause::new(
        "context-modified",
        |reason| matches!(reason, Reason::Mem(BadMem::Modified { is, .. } | BadMem::NegativeOffset { is, .. }) if is.kind == RegKind::Ctx),
        "the context is accessed through a pointer that was moved",
    )
    .needs("the context must be accessed by constant offsets from the pointer that the program got")
    .help("read the fields by name (ctx->field), without pointers to fields")
    .about(About::Named),
    Cause::new(
        "context-variable",
        |reason| matches!(reason, Reason::Mem(BadMem::Variable { is, .. }) if is.kind == RegKind::Ctx),
        "the context is accessed at an offset that varies",
    )
    .needs("the offset of a context access must be a constant")
    .help("choose between fields with if or switch instead of an index; #pragma unroll turns the index of a loop into constants")
    .about(About::Operands),
    Cause::new(
        "context-misaligned",
        |reason| matches!(reason, Reason::Mem(BadMem::Misaligned { what: "context ", .. })),
        "a context field is read at a wrong offset",
    )
    .needs("context accesses must be aligned to their size")
    .help("read whole fields")
    .about(About::Operands),
    Cause::new(
        "context-atomic",
        |reason| matches!(reason, Reason::Mem(BadMem::AtomicBase { .. })),
        "an atomic operation on memory that does not take one",
    )
    .needs("atomic operations are for map values, the stack and other plain memory")
    .help("copy to a map value and do it there"),
    Cause::new(
        "object-field",
        |reason| matches!(reason, Reason::Mem(BadMem::Object { .. })),
        "the object has no such field",
    )
    .needs_of(|case| match case.seen.numbers[..] {
        [.., off, size] => format!("{} at offset {off} are not a readable field of this object", bytes(size)),
        _ => String::new(),
    })
    .help("read the fields that the UAPI struct declares, with the width of their types"),
    Cause::new(
        "buffer-bounds",
        |reason| matches!(reason, Reason::Mem(BadMem::Buffer { .. } | BadMem::BufferVariable { .. })),
        "an access lies outside the buffer",
    )
    .needs("the buffer must be accessed at constant offsets, from 0 on")
    .help("use constant, non-negative offsets"),
    Cause::new(
        "object-negative-offset",
        |reason| matches!(reason, Reason::Btf(BadBtf::Negative { .. } | BadBtf::NegativeMap { .. } | BadBtf::Variable { .. })),
        "an object is read before its start, or at an offset that varies",
    )
    .needs("fields must be read at constant offsets from the object's start")
    .help("read the field by its name"),
    Cause::new(
        "struct-ops-member",
        |reason| matches!(reason, Reason::Attach(BadAttach::Member { .. } | BadAttach::MemberIndex { .. } | BadAttach::MemberType { .. })),
        "this function of the struct cannot be written in BPF",
    )
    .needs("the kernel calls only some of the struct's functions in BPF programs")
    .help("leave this member out")
    .about(About::None),
    Cause::new(
        "load-abs-result",
        |reason| matches!(reason, Reason::Load(BadLoad::LdAbsResult | BadLoad::LdAbsWithoutBtf) | Reason::Func(BadFunc::LdAbsInCallback)),
        "a packet load of the old kind stands in a function that it cannot end",
    )
    .needs("outside the packet such a load ends the function with 0, so that the function must return int")
    .help("use bpf_skb_load_bytes")
    .about(About::None),
    Cause::new(
        "exception-callback",
        |reason| matches!(reason, Reason::Func(BadFunc::CallsExceptionCallback { .. } | BadFunc::ExceptionCallbackTags | BadFunc::ExceptionCallbackMissing { .. } | BadFunc::ExceptionCallbackStatic { .. } | BadFunc::ExceptionCallbackIsMain | BadFunc::ExceptionCallbackArgs)),
        "the exception callback is not used as such",
    )
    .needs("a program has at most one exception callback: a global function with one integer argument that only bpf_throw reaches")
    .help("call another function instead")
    .about(About::None),
    Cause::new(
        "object-write",
        |reason| matches!(reason, Reason::Btf(BadBtf::ReadOnly | BadBtf::ReadOnlyMap { .. })),
        "a kernel object is written",
    )
    .needs("programs may read this object, not write it")
    .help("use the helper or kernel function that changes it")
    .about(About::Operands),
    Cause::new(
        "object-modified",
        |reason| matches!(reason, Reason::Mem(BadMem::Modified { .. } | BadMem::NegativeOffset { .. } | BadMem::Variable { .. })),
        "an object is used through a pointer that was moved",
    )
    .needs("the pointer must be used as it was returned")
    .help("keep the original pointer, and read fields with constant offsets"),
    Cause::new(
        "object-beyond",
        |reason| matches!(reason, Reason::Btf(BadBtf::BeyondStruct { .. } | BadBtf::BeyondMember { .. })),
        "a kernel object is read beyond a field's end",
    )
    .needs("an access must lie within one field of the struct")
    .help("read each field with its own type; compile against the running kernel's vmlinux.h, with CO-RE")
    .about(About::Operands),
    Cause::new(
        "attach-target",
        |reason| matches!(reason, Reason::Attach(BadAttach::NoTarget | BadAttach::TypeId { .. } | BadAttach::Nameless { .. } | BadAttach::NotFunction { .. } | BadAttach::NotTypedef { .. } | BadAttach::WrongName { .. } | BadAttach::DisabledHook { .. } | BadAttach::HookCannotSleep { .. } | BadAttach::NotStructOps { .. })),
        "the program does not say what it attaches to, or that does not exist",
    )
    .needs("programs of this type need a function or hook of the kernel's BTF")
    .help("name it in the section: SEC(\"fentry/do_unlinkat\"), SEC(\"lsm/file_open\")")
    .about(About::None),
    Cause::new(
        "dynptr-uninitialised",
        |reason| matches!(reason, Reason::Arg(BadArg::ReleasesConstDynptr) | Reason::Object(BadObject::NoDynptr { .. } | BadObject::NotDynptr { .. } | BadObject::NoReference { .. })),
        "a dynptr is used that was not set up",
    )
    .needs("the dynptr must have been made (bpf_dynptr_from_mem, bpf_ringbuf_reserve_dynptr, ...) and not ended since")
    .help("check the result of the call that makes it, and do not use it after it was submitted"),
    Cause::new(
        "dynptr-overwritten",
        |reason| matches!(reason, Reason::Object(BadObject::OverDynptr | BadObject::DynptrInUse)),
        "the bytes of a dynptr on the stack are overwritten",
    )
    .needs("a dynptr that holds a reference must be ended (submitted, discarded) first")
    .help("use a second variable")
    .about(About::None),
];

fn context_field(case: &Case<'_>) -> String {
    let kind = match case.env.variant {
        Some(variant) => format!("{} programs", variant.label),
        None => "this type of program".into(),
    };
    match case.seen.numbers[..] {
        [off, size] => {
            let access = if matches!(case.op, Some(Op::Store { .. })) { "write" } else { "read" };
            format!("{kind} may not {access} {} at context offset {off}", bytes(size))
        }
        _ => String::new(),
    }
}
