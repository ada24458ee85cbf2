//! Calls of helpers.

use super::reasons;
use super::value::RegType;

reasons! {
    /// Calls of helpers.
    BadHelper {
        /// The program type does not have the helper.
        NotForType { helper: Box<str>, id: i32 } => "program of this type cannot use helper {helper}#{id}",
        /// There is no such helper.
        Unknown { helper: Box<str>, id: i32 } => "invalid func {helper}#{id}",
        /// This program may not call it here.
        NotInProbe => "helper call is not allowed in probe",
        /// The licence does not allow it.
        GplOnly => "cannot call GPL-restricted function from non-GPL compatible program",
        /// The program must not sleep.
        MightSleep => "helper call might sleep in a non-sleepable prog",
        /// The program must not sleep here.
        SleepsInRcu { helper: Box<str>, id: u32 } => "sleepable helper {helper}#{id} in rcu_read_lock region",
        /// The program must not sleep here.
        SleepsUnpreemptible { helper: Box<str>, id: u32 } => "sleepable helper {helper}#{id} in non-preemptible region",
        /// The program must not sleep here.
        SleepsWithoutIrq { helper: Box<str>, id: u32 } => "sleepable helper {helper}#{id} in IRQ-disabled region",
        /// Nothing to release.
        NotAcquired { helper: Box<str>, id: u32 } => "func {helper}#{id} reference has not been acquired before",
        /// The contract's answer has no type.
        Misconfigured => "kernel subsystem misconfigured verifier",
        /// The type of a kernel variable has no size.
        SizeUnknown { name: Box<str> } => "unable to resolve the size of type '{name}': -22",
        /// The flags must be zero.
        StorageFlags => "get_local_storage() doesn't support non-zero flags",
        /// Another way of attaching is needed.
        OnlyFentry { helper: Box<str>, id: i32 } => "func {helper}#{id} supported only for fentry/fexit/fmod_ret programs",
        /// Another program type is needed.
        NotForProgram { helper: Box<str>, id: i32, prog_type: u32 } => "func {helper}#{id} not supported for program type {prog_type}",
        /// The hook returns nothing.
        VoidLsmHook => "BPF_LSM_CGROUP that attach to void LSM hooks can't modify return value!",
        /// A dynptr is made of memory that may go away.
        DynptrMemory { is: RegType } => "Unsupported reg type {is} for bpf_dynptr_from_mem data",
        /// The map's elements cannot be walked.
        CallbackMap => "callback function not allowed for map",
    }
}
