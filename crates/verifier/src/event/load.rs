//! What the program is made of: opcodes, constants, BTF records.

use super::reasons;

reasons! {
    /// What the program is made of: opcodes, constants, BTF records.
    BadLoad {
        /// No such instruction.
        Opcode { code: u8 } => "unknown opcode {code:02x}",
        /// Reserved fields are set.
        Malformed { text: Box<str> } => "{text}",
        /// Reserved fields are set.
        LdxReserved => "BPF_LDX uses reserved fields",
        /// The second half is missing or wrong.
        Imm64 => "invalid bpf_ld_imm64 insn",
        /// The source says nothing known.
        Imm64Source => "unrecognized bpf_ld_imm64 insn",
        /// No such module.
        ModuleBtf => "invalid module BTF object FD specified.",
        /// The target has no BTF.
        NoKernelBtf => "kernel is missing BTF, make sure CONFIG_DEBUG_INFO_BTF=y is specified in Kconfig.",
        /// No such type.
        TypeId { id: i32 } => "ldimm64 insn specifies invalid btf_id {id}.",
        /// The kernel has no such variable.
        KernelSymbol { name: Box<str> } => "ldimm64 failed to find the address for kernel symbol '{name}'.",
        /// The type is no variable.
        NotSymbol { id: i32 } => "pseudo btf_id {id} in ldimm64 isn't KIND_VAR or KIND_FUNC",
        /// The variable has no size.
        SymbolSize { name: Box<str> } => "ldimm64 unable to resolve the size of type '{name}': -22",
        /// The type is no function.
        KfuncId { id: i32 } => "kernel btf_id {id} is not a function",
        /// The licence does not allow it.
        KfuncGpl => "cannot call kernel function from non-GPL compatible program",
        /// More than 256 kernel functions.
        TooManyKfuncs => "too many different kernel function calls",
        /// The loader may not.
        CallsForPrivileged => "loading/calling other bpf or kernel functions are allowed for CAP_BPF and CAP_SYS_ADMIN",
        /// The first record is the program's.
        FirstFuncInfo { insn_off: u32 } => "nonzero insn_off {insn_off} for the first func info record",
        /// Records must ascend.
        FuncInfoOrder { insn_off: u32, before: u32 } => "same or smaller insn offset ({insn_off}) than previous func info record ({before})",
        /// The type is no function.
        FuncInfoType { id: i32 } => "invalid type id {id} in func info",
        /// Such a load ends the program.
        LdAbsWithoutBtf => "LD_ABS is not allowed in subprogs without BTF",
        /// A tail call ends the program.
        TailCallWithoutBtf => "tail_call is not allowed in subprogs without BTF",
        /// One record a function.
        FuncInfoCount => "number of funcs in func_info doesn't match number of subprogs",
        /// One record a function.
        FuncInfoLayout => "func_info BTF section doesn't match subprog layout in BPF program",
        /// Such a load may return.
        LdAbsResult => "LD_ABS is only allowed in functions that return 'int'.",
        /// A tail call returns the other's result.
        TailCallResult => "tail_call is only allowed in functions that return 'int'.",
        /// Records must ascend.
        LineOffset { line: usize, insn_off: u32, before: u32, len: usize } => "Invalid line_info[{line}].insn_off:{insn_off} (prev_offset:{before} prog->len:{len})",
        /// No instruction begins there.
        LineInsn { line: usize } => "Invalid insn code at line_info[{line}].insn_off",
        /// The strings are not there.
        LineText { line: usize } => "Invalid line_info[{line}].line_off or .file_name_off",
        /// Each function needs a line.
        LineOfFunc { func: usize } => "missing bpf_line_info for func#{func}",
        /// Each function needs a line.
        LineOfFuncs { count: usize, func: usize } => "missing bpf_line_info for {count} funcs starting from func#{func}",
        /// Only socket programs have them.
        LdAbsType => "BPF_LD_[ABS|IND] instructions not allowed for this program type",
        /// R6 must hold the context.
        LdAbsCtx => "at the time of BPF_LD_ABS|IND R6 != pointer to skb",
    }
}
