//! What may be done with pointers and numbers.

use isa::Op;

use crate::event::{BadArg, BadExit, BadMem, BadPtr, BadReg, Reason};
use crate::explain::case::{Case, callee_name};
use crate::explain::cause::{About, Cause};
use crate::explain::chase::How;
use crate::explain::words;
use crate::state::{RegKind, RegState};

pub(super) const CAUSES: &[Cause] = &[
    Cause::new(
        "uninitialised-after-call",
        |reason| matches!(reason, Reason::Reg(BadReg::NotReadable { .. })),
        "a register is read that a call has made invalid",
    )
    .when(|case| case.past().last().is_some_and(|hop| hop.how == How::Invalidated))
    .needs("R1 to R5 hold nothing after a call; what is needed later must be in R6 to R9 or on the stack")
    .help("in C: check that the function is declared with the arguments and the result that it has; in assembly: save the register before the call"),
    Cause::new(
        "uninitialised",
        |reason| matches!(reason, Reason::Reg(BadReg::NotReadable { .. })),
        "a register is read that was never set",
    )
        .needs_of(|case| match case.op {
            Some(Op::Exit) => "R0 must hold the return value when the function ends".into(),
            Some(Op::Call(_)) => format!("{} takes an argument in {}", case.callee(), case.main_name()),
            _ => format!("{} must be set on every path that leads here", case.main_name()),
        })
        .help_of(|case| match case.op {
            Some(Op::Exit) => "return a value on every path".into(),
            Some(Op::Call(_)) => "pass every argument; check the function's declaration".into(),
            _ => "initialise the variable where it is declared".into(),
        }),
    Cause::new(
        "register-number",
        |reason| matches!(reason, Reason::Reg(BadReg::Number { .. })),
        "an instruction names a register that does not exist",
    )
        .needs("there are R0 to R10")
        .help("compile for the BPF target; the program's bytes may be damaged")
        .about(About::None),
    Cause::new(
        "released-use",
        |reason| matches!(reason, Reason::Mem(BadMem::Access { is, .. }) if is.kind == RegKind::Scalar),
        "an object is used after it was released",
    )
    .when(|case| case.invalidated().is_some_and(|(_, before, _)| before.ref_obj_id != 0))
    .needs_of(|case| match case.invalidated() {
        Some((op, _, insn)) => format!("{} ends the use of the object", callee_name(case.env, op, insn)),
        None => String::new(),
    })
    .help("do everything with the object before it is submitted or released"),
    Cause::new(
        "number-dereference",
        |reason| matches!(reason, Reason::Mem(BadMem::Access { is, .. }) if is.kind == RegKind::Scalar),
        "memory is accessed through a number that is no pointer",
    )
    .needs_of(|case| format!("{} must be a pointer that the program got from the kernel (context, map, packet, helper)", case.main_name()))
    .help_of(number_help),
    Cause::new(
        "pointer-kind",
        |reason| matches!(reason, Reason::Mem(BadMem::Access { .. })),
        "memory is accessed through something that programs may not look into",
    )
    .needs_of(|case| match case.main() {
        Some(reg) => format!("{} is {}: it cannot be read or written directly", case.main_name(), words::pointee(case.env, reg)),
        None => String::new(),
    })
    .help_of(|case| match case.main().map(|reg| reg.kind) {
        Some(RegKind::PktEnd) => "data_end is only for comparisons: read through `data`".into(),
        Some(RegKind::MapPtr) => "look the element up first: bpf_map_lookup_elem(&map, &key)".into(),
        _ => "use the helper that reads such objects".into(),
    }),
    Cause::new(
        "offset-unbounded",
        |reason| matches!(reason, Reason::Ptr(BadPtr::UnboundedMin { .. })),
        "a number without limit is added to a pointer",
    )
    .needs("a number that is added to a pointer must have a lower limit (and later an upper one)")
    .help("make the number unsigned and limit it before: `if (i >= N) return ...;`, `i &= N - 1`; check and use the same variable")
    .about(About::Made(number_then_pointer)),
    Cause::new(
        "offset-too-large",
        |reason| matches!(reason, Reason::Ptr(BadPtr::Constant { .. } | BadPtr::OutOfBounds { .. } | BadPtr::Offset { .. })),
        "a pointer is moved too far",
    )
    .needs_of(|case| {
        let low = number(case).filter(|reg| reg.v.smin < 0).map(|reg| words::signed(reg.v.smin));
        let low = low.map_or(String::new(), |low| format!("; this one can be as small as {low}"));
        format!("what is added to a pointer must stay within plus or minus 2^29 (536870912){low}")
    })
    .help_of(|case| match number(case) {
        Some(reg) if reg.v.smin < 0 && !reg.is_const() => {
            "the number may be negative: make it unsigned, or check `if (i < 0) return ...;` too".into()
        }
        _ => "check the calculation; a negative number that became a large unsigned one is the usual reason".into(),
    })
    .about(About::Made(number_then_pointer)),
    Cause::new(
        "subtract-pointer",
        |reason| matches!(reason, Reason::Ptr(BadPtr::FromScalar { .. })),
        "a pointer is subtracted from a number",
    )
    .needs("the result of number minus pointer means nothing")
    .help("subtract the number from the pointer")
    .about(About::Operands),
    Cause::new(
        "subtract-from-stack",
        |reason| matches!(reason, Reason::Ptr(BadPtr::FromStack { .. })),
        "a number is subtracted from a stack pointer",
    )
    .needs("stack addresses are formed by adding a negative number")
    .help("add the negative number instead")
    .about(About::Operands),
    Cause::new(
        "add-pointers",
        |reason| matches!(reason, Reason::Ptr(BadPtr::TwoPointers { .. })),
        "two pointers are combined",
    )
    .needs("only numbers may be added to pointers; two packet pointers may be subtracted")
    .help("one of the two should be an offset: check which variable holds the address")
    .about(About::Operands),
    Cause::new(
        "pointer-bits",
        |reason| matches!(reason, Reason::Ptr(BadPtr::Bitwise { .. } | BadPtr::Operator { .. } | BadPtr::Arithmetic32 { .. })),
        "a pointer is treated as a number",
    )
    .needs("pointers may only be moved by 64-bit addition and subtraction")
    .help("calculate with the offset, and add it to the pointer at the end; keep pointers in pointer variables")
    .about(About::Operands),
    Cause::new(
        "fixed-pointer",
        |reason| matches!(reason, Reason::Ptr(BadPtr::Fixed { .. } | BadPtr::Arithmetic { .. })),
        "a pointer that cannot be moved is used in a calculation",
    )
    .needs_of(|case| match case.main() {
        Some(reg) => format!("{} is {}, which has no elements to move to", case.main_name(), words::pointee(case.env, reg)),
        None => String::new(),
    })
    .help("read the fields with constant offsets")
    .about(About::Operands),
    Cause::new(
        "pointer-comparison",
        |reason| matches!(reason, Reason::Ptr(BadPtr::Comparison { .. })),
        "a pointer is compared with a number",
    )
    .needs("without CAP_PERFMON comparisons that tell about addresses are refused")
    .help("compare with NULL, or packet pointers with data_end")
    .about(About::Operands),
    Cause::new(
        "pointer-leak",
        |reason| matches!(reason, Reason::Arg(BadArg::AddrLeak { .. }) | Reason::Exit(BadExit::AddrLeak { .. }) | Reason::Reg(BadReg::LeaksInto { .. })),
        "a kernel address would become readable",
    )
    .needs("a loader without CAP_PERFMON may not store or return addresses")
    .help("store the value that is pointed to, not the pointer; or load with CAP_PERFMON")
    .about(About::Named),
    Cause::new(
        "divide-by-zero",
        |reason| matches!(reason, Reason::Ptr(BadPtr::DivByZero)),
        "a division by the constant zero",
    )
    .needs("the divisor of a division by a constant must not be 0")
    .help("check the constant; a divisor in a variable may be 0: the result is 0 then (and the remainder the dividend)")
    .about(About::None),
    Cause::new(
        "shift-range",
        |reason| matches!(reason, Reason::Ptr(BadPtr::Shift { .. })),
        "a shift by as many bits as the number has, or more",
    )
        .needs("a shift must be by less than 64 bits (32 for 32-bit operations)")
        .help("check the constant")
        .about(About::None),
    Cause::new(
        "mixed-pointers",
        |reason| matches!(reason, Reason::Mem(BadMem::TwoKinds)),
        "one instruction reads through different kinds of pointers",
    )
    .needs("an instruction must always use the same kind of pointer, on every path that leads to it")
    .help("keep the two cases apart: read through each pointer on its own branch")
    .about(About::Operands),
];

/// What is known about why a number stands where a pointer should.
fn number_help(case: &Case<'_>) -> String {
    let read = case.past().last().filter(|hop| hop.how == How::Made);
    let base = read.and_then(|hop| {
        let step = &case.steps[hop.step];
        match case.env.ops[step.insn]? {
            Op::Load { base, .. } => step.reg(step.depth(), base.index()),
            _ => None,
        }
    });
    match (base.map(|reg| reg.kind), case.main()) {
        (Some(RegKind::Stack), _) => {
            "the pointer was saved on the stack in pieces, or overwritten there: keep it whole".into()
        }
        (Some(RegKind::MapValue), _) => {
            "a pointer stored in a map is only a number when it is read back: look the object up again".into()
        }
        (Some(RegKind::Ctx | RegKind::BtfId), _) => {
            "for kernel memory use bpf_probe_read_kernel (BPF_CORE_READ), or a program type with typed arguments (tp_btf, fentry)".into()
        }
        (_, Some(reg)) if reg.is_const() => {
            "the address is a constant of the program: a relocation may be missing, or a NULL pointer is used".into()
        }
        _ => "keep the pointer in a pointer variable; for kernel or user memory use bpf_probe_read_kernel or bpf_probe_read_user".into(),
    }
}

/// The operand that is a number.
fn number<'c>(case: &Case<'c>) -> Option<&'c RegState> {
    case.operands().into_iter().filter_map(|n| case.reg(n)).find(|reg| reg.is_scalar())
}

/// The operands, numbers that vary first.
fn number_then_pointer(case: &Case<'_>) -> Vec<usize> {
    let mut regs = case.operands();
    let pointer = |n: &usize| case.reg(*n).is_some_and(RegState::is_pointer);
    regs.sort_by_key(pointer);
    regs
}
