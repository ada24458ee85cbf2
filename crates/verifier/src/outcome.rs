//! What the verifier answers.

use std::time::Duration;

use uapi::Errno;

/// The answer to one program.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The facts of an accepted program, or why it was rejected.
    pub verdict: Result<Facts, Rejection>,
    /// How much work it was.
    pub stats: Stats,
    /// Linux's log at the level asked for; empty at level 0.
    pub log: String,
}

/// Why a program was rejected.
#[derive(Clone, Debug)]
pub struct Rejection {
    /// What BPF_PROG_LOAD returns.
    pub errno: Errno,
    /// The kind of fault, stable and for programs: `mem-max-outside`; empty where Linux says
    /// nothing.
    pub id: String,
    /// Linux's last message line; empty where Linux says nothing.
    pub message: String,
    /// Linux's first message line of the fault: the same, or what the following ones explain
    /// (`infinite loop detected at insn 3` before the states that agree).
    pub reason: String,
    /// The instruction at fault, if the fault has one.
    pub insn: Option<usize>,
    /// The rules of this program's feature are not modelled: Linux may accept it.
    pub needs: Option<&'static str>,
}

/// Linux's statistics line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Instructions walked, counting each visit.
    pub processed_insns: u32,
    /// Most states kept for one instruction.
    pub max_states_per_insn: u32,
    /// States ever saved.
    pub total_states: u32,
    /// Most states alive at once.
    pub peak_states: u32,
    /// Wall time; zero where the caller does not measure (the verifier reads no clock itself).
    pub time: Duration,
}

/// What was proven about an accepted program.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// One entry a slot.
    pub insns: Vec<InsnFacts>,
    /// One entry a subprogram, in program order; the first is the main program.
    pub subprogs: Vec<SubprogFacts>,
    /// Indexes into `World::maps` of the maps that live code refers to, in order of first use.
    pub used_maps: Vec<usize>,
    /// Numbers of the helpers that live code calls, ascending.
    pub used_helpers: Vec<u32>,
    /// Calls of kernel functions in live code, by slot.
    pub kfuncs: Vec<KfuncCall>,
    /// The program may resize the packet.
    pub changes_packet: bool,
    /// Prototype, in the kernel's BTF, of the function that the program attaches to; 0 for none.
    pub attach_proto: u32,
    /// The subprogram that an exception of the program ends in.
    pub exception_callback: Option<usize>,
    /// What the program demands of where it is attached.
    pub demands: Demands,
}

/// What a program demands of where it is attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demands {
    /// Bytes that it reads of buffers that are only read, as of an iterator's key.
    pub rdonly_access: u32,
    /// Bytes that it reads or writes of other buffers, as of an iterator's value.
    pub rdwr_access: u32,
    /// Its result has a meaning at its expected attach type only.
    pub attach_type: bool,
}

/// A call of a kernel function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KfuncCall {
    /// The slot.
    pub insn: usize,
    /// Type id of the function in the kernel's BTF.
    pub id: u32,
    /// Its name there.
    pub name: String,
    /// The object among its arguments or that it returns.
    pub object: KfuncObject,
}

/// The allocated object that a kernel function makes, counts, links or gives back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KfuncObject {
    /// Its structure in the program's BTF; 0 for none, or one that is not the program's.
    pub type_id: u32,
    /// Bytes of that structure.
    pub size: u32,
    /// Of lists and trees: where head or root is in the value that holds it.
    pub root_off: u32,
    /// Where the node is in the objects that are linked.
    pub node_off: u32,
}

/// What was proven about one slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InsnFacts {
    /// Some path reaches it.
    pub reachable: bool,
    /// What a memory instruction touches.
    pub access: Access,
    /// For a conditional jump: taken on every path (`true`) or on none (`false`).
    pub branch: Option<bool>,
    /// For a call of a map helper: the only map it is called with, as index into `World::maps`.
    pub map: Option<u32>,
    /// For a call: the single constant key it looks up in an array.
    pub const_key: Option<u32>,
}

/// Which kind of memory an instruction touches: it decides the rewriting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Access {
    /// No memory, or never reached.
    #[default]
    None,
    /// The context: rewritten onto ring3's own structure.
    Ctx,
    /// Stack, packet, map value, ring buffer, helper memory: a host address.
    Direct,
    /// `struct bpf_sock` through a socket pointer.
    Sock,
    /// `struct bpf_tcp_sock`.
    TcpSock,
    /// `struct bpf_xdp_sock`.
    XdpSock,
    /// A BTF pointer that may be null or stale: guarded at run time, faults read zero.
    Probe,
    /// An arena address; arithmetic on one, which is of 32 bits.
    Arena,
}

/// What was proven about one subprogram.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubprogFacts {
    /// Its name in BTF, if it has one.
    pub name: String,
    /// First slot.
    pub start: usize,
    /// Slot after the last.
    pub end: usize,
    /// Bytes of stack it uses, rounded as Linux rounds.
    pub stack_depth: u32,
    /// It contains a tail call.
    pub has_tail_call: bool,
    /// Some call does not keep to its prototype.
    pub unreliable: bool,
    /// It, or what it calls, may resize the packet.
    pub changes_packet: bool,
    /// It, or what it calls, may sleep.
    pub might_sleep: bool,
    /// Exceptions end in it.
    pub exception_callback: bool,
}
