//! What the program is to be attached to.

use super::reasons;

reasons! {
    /// What the program is to be attached to.
    BadAttach {
        /// Syscall programs are loaded sleepable.
        SyscallSleeps => "Syscall programs can only be sleepable",
        /// The hook does not sleep.
        CannotSleep => "Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable",
        /// The licence does not allow it.
        StructOpsGpl => "struct ops programs must have a GPL compatible license",
        /// No structure of operations.
        NotStructOps { id: u32 } => "attach_btf_id {id} is not a supported struct",
        /// No such operation.
        MemberIndex { index: u32, name: Box<str> } => "attach to invalid member idx {index} of struct {name}",
        /// The member is no function.
        MemberType { member: Box<str>, index: u32, name: Box<str> } => "attach to invalid member {member}(@idx {index}) of struct {name}",
        /// The operation cannot be implemented.
        Member { member: Box<str>, name: Box<str> } => "attach to unsupported member {member} of struct {name}",
        /// The reference would be left behind.
        TailCall => "program with __ref argument cannot tail call",
        /// No function is named.
        NoTarget => "Tracing programs must provide btf_id",
        /// No such type.
        TypeId { id: u32 } => "attach_btf_id {id} is invalid",
        /// The type has no name.
        Nameless { id: u32 } => "attach_btf_id {id} doesn't have a name",
        /// The type is no function.
        NotFunction { id: u32 } => "attach_btf_id {id} is not a function",
        /// The type is no tracepoint.
        NotTypedef { id: u32 } => "attach_btf_id {id} is not a typedef",
        /// Linux lets no program attach to the hook.
        DisabledHook { id: u32, name: Box<str> } => "attach_btf_id {id} points to disabled hook {name}",
        /// The hook is called where nobody may sleep.
        HookCannotSleep { name: Box<str> } => "{name} is not sleepable",
        /// The name does not fit the program type.
        WrongName { id: u32, name: Box<str> } => "attach_btf_id {id} points to wrong type name {name}",
        /// The licence does not allow it.
        LsmGpl => "LSM programs must have a GPL compatible license",
    }
}
