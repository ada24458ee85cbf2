//! Everything one verification holds: the input, what the passes found, the path being walked.

use std::cell::OnceCell;

use btf::fields::{Record, StructMetas};
use btf::{Btf, TypeId};
use isa::Op;
use uapi::{MapDef, ProgType, ProgVariant};

use crate::input::{MapInfo, Policy, Program, World};
use crate::log::Log;
use crate::outcome::{Demands, Stats};
use crate::passes::{Attach, KERNEL_BTF, KfuncDesc, MapFields, Special, btf_numbered};
use crate::prune::Store;
use crate::state::{FuncState, RegFlags, RegKind, RegState, VerifierState};
use crate::walk::Pending;

/// Capabilities as the rules use them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    pub(crate) allow_ptr_leaks: bool,
    pub(crate) allow_uninit_stack: bool,
    pub(crate) bypass_spec_v1: bool,
    pub(crate) bypass_spec_v4: bool,
    pub(crate) bpf_capable: bool,
}

impl Caps {
    fn new(policy: &Policy) -> Caps {
        let perfmon = policy.cap_perfmon || policy.cap_sys_admin;
        Caps {
            allow_ptr_leaks: perfmon,
            allow_uninit_stack: perfmon,
            bypass_spec_v1: perfmon,
            bypass_spec_v4: perfmon,
            bpf_capable: policy.cap_bpf || policy.cap_sys_admin,
        }
    }
}

/// What a global function's argument must be, from BTF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SubprogArg {
    /// Any scalar.
    Anything,
    /// The context.
    Ctx,
    /// Memory of this many bytes.
    Mem { size: u32, nullable: bool, rdonly: bool, untrusted: bool },
    /// A pointer to this kernel type.
    BtfId { id: u32, trusted: bool, nullable: bool, untrusted: bool },
    /// A dynptr.
    Dynptr,
    /// An arena pointer.
    Arena,
}

/// One subprogram. The passes fill it, the walk completes it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subprog {
    /// First slot.
    pub(crate) start: usize,
    /// Slot after the last.
    pub(crate) end: usize,
    /// Name of its FUNC in BTF, or empty.
    pub(crate) name: String,
    /// Type id of its FUNC in the program's BTF, 0 for none.
    pub(crate) func_id: u32,
    /// BTF linkage is global: verified on its own.
    pub(crate) is_global: bool,
    /// A verified caller calls it (global ones are verified only then).
    pub(crate) called: bool,
    /// Bytes of stack touched so far.
    pub(crate) stack_depth: i32,
    pub(crate) has_tail_call: bool,
    pub(crate) tail_call_reachable: bool,
    pub(crate) has_ld_abs: bool,
    pub(crate) is_cb: bool,
    pub(crate) is_async_cb: bool,
    pub(crate) is_exception_cb: bool,
    /// Some call did not match its prototype.
    pub(crate) unreliable: bool,
    pub(crate) changes_pkt_data: bool,
    pub(crate) might_sleep: bool,
    /// Arguments of its prototype, once worked out; the error if it could not be.
    pub(crate) args: Option<Vec<SubprogArg>>,
    /// Lowest stack offset of spills that fast calls make needless; 0 for none.
    pub(crate) fastcall_stack_off: i16,
    /// Those spills must stay.
    pub(crate) keep_fastcall_stack: bool,
    /// Position of its first instruction in [`Env::postorder`].
    pub(crate) postorder_start: usize,
}

/// What is known about one slot besides the operation.
#[derive(Clone, Debug, Default)]
pub(crate) struct InsnAux {
    /// Compare with stored states before walking it.
    pub(crate) prune_point: bool,
    /// Remember how the path came here.
    pub(crate) jmp_point: bool,
    /// Store a state even if little happened since the last one.
    pub(crate) force_checkpoint: bool,
    pub(crate) jump_target: bool,
    /// A call that walks a callback.
    pub(crate) calls_callback: bool,
    /// `may_goto`, or a call of an iterator's next function.
    pub(crate) is_may_goto: bool,
    pub(crate) is_iter_next: bool,
    /// Strongly connected component, 0 for none.
    pub(crate) scc: u32,
    /// Registers that may be read before written, from here on: bit n for rn.
    pub(crate) live_regs: u16,
    /// Second slot of a 64-bit immediate.
    pub(crate) is_ld_imm64_tail: bool,
    /// Map that a 64-bit immediate names (index into `World::maps`) and offset into its value.
    pub(crate) map: Option<u32>,
    pub(crate) map_off: u32,
    /// A 64-bit immediate of a kernel variable, resolved.
    pub(crate) kernel_var: Option<RegState>,
    /// Part of a spill/call/fill pattern that needs no stack: bit set by the passes.
    pub(crate) fastcall_pattern: bool,
    /// How many spills of the pattern surround this call.
    pub(crate) fastcall_spills: u8,
    /// Some path walked it (not only speculatively).
    pub(crate) seen: bool,
    /// Kind of pointer it dereferences on the paths so far.
    pub(crate) ptr_kind: Option<(RegKind, RegFlags)>,
    /// Speculation must stop before it, or its result is masked.
    pub(crate) nospec: bool,
    pub(crate) nospec_result: bool,
    pub(crate) alu_state: u8,
    pub(crate) alu_limit: u32,
    /// The conditional jump fell through, or jumped, on some path.
    pub(crate) fell_through: bool,
    pub(crate) jumped: bool,
    /// Maps a helper call was seen with: `None` before the first, `Some(None)` if several.
    pub(crate) call_map: Option<Option<u32>>,
    /// Arithmetic on arena addresses, which becomes one of 32 bits; on anything else.
    pub(crate) arena_alu: bool,
    pub(crate) plain_alu: bool,
    pub(crate) call_key: Option<Option<u32>>,
    /// For a call of bpf_loop: the only callback it is called with, with flags always zero; then
    /// the loop is compiled in place. `None` before the first call, `Some(None)` if it cannot be.
    pub(crate) loop_inline: Option<Option<usize>>,
    /// The access class for [`crate::Access`].
    pub(crate) access: crate::Access,
    /// For a call of a kernel function: its place in [`Env::kfuncs`].
    pub(crate) kfunc: Option<u16>,
    /// What was learnt of that call.
    pub(crate) object: Option<crate::outcome::KfuncObject>,
}

/// One verification.
pub(crate) struct Env<'a> {
    pub(crate) prog: &'a Program,
    /// Type and attach type by whose rules the program is verified: of an extension, its target's.
    pub(crate) prog_type: Option<ProgType>,
    pub(crate) attach_type: u32,
    pub(crate) world: &'a World,
    pub(crate) caps: Caps,
    /// Possible CPUs.
    pub(crate) cpus: u32,
    /// Decoded slots; `None` for second slots and for what is malformed.
    pub(crate) ops: Vec<Option<Op>>,
    pub(crate) aux: Vec<InsnAux>,
    pub(crate) subprogs: Vec<Subprog>,
    /// Instructions of each subprogram in postorder, subprograms one after the other.
    pub(crate) postorder: Vec<u32>,
    /// How many components [`InsnAux::scc`] numbers.
    pub(crate) scc_count: u32,
    /// Maps in order of first use, as indexes into `World::maps`.
    pub(crate) used_maps: Vec<usize>,
    pub(crate) used_helpers: Vec<u32>,
    /// Kernel functions in order of first call.
    pub(crate) kfuncs: Vec<KfuncDesc<'a>>,
    pub(crate) changes_packet: bool,
    pub(crate) demands: Demands,
    /// BPF_F_STRICT_ALIGNMENT, BPF_F_TEST_STATE_FREQ, BPF_F_TEST_REG_INVARIANTS.
    pub(crate) strict_alignment: bool,
    pub(crate) test_state_freq: bool,
    pub(crate) test_reg_invariants: bool,
    /// BPF_F_SLEEPABLE.
    pub(crate) sleepable: bool,
    pub(crate) exception_callback: Option<usize>,
    /// The row of the program's type in the tables of `uapi`.
    pub(crate) variant: Option<&'static ProgVariant>,
    /// What the program attaches to.
    pub(crate) attach: Attach,
    /// Arguments that came with a reference, and its id.
    pub(crate) ctx_refs: Vec<(u32, u32)>,
    /// Special fields of each map's value, by index in `World::maps`.
    pub(crate) map_fields: Vec<MapFields>,
    /// Special fields of structures, by the BTF's number, as far as they were asked for.
    metas: Vec<OnceCell<StructMetas>>,
    /// The path being walked.
    pub(crate) state: VerifierState,
    pub(crate) insn_idx: usize,
    pub(crate) prev_insn_idx: usize,
    pub(crate) log: Log,
    pub(crate) store: Store,
    /// Paths to be walked after the current one, the next one last.
    pub(crate) pending: Vec<Pending>,
    pub(crate) stats: Stats,
    /// Jumps walked.
    pub(crate) stats_jumps: u32,
    /// The history's last entry belongs to the current instruction.
    pub(crate) hist_open: bool,
    /// Last id given to a register or reference.
    pub(crate) id_gen: u32,
    /// The path step by step, if a rejection is to be explained.
    pub(crate) trace: Option<Box<crate::explain::Trace>>,
    /// Every state walked, if they are asked for: then pruning takes all numbers as precise.
    pub(crate) collected: Option<Box<crate::states::States>>,
}

/// BPF_F_STRICT_ALIGNMENT.
pub(crate) const F_STRICT_ALIGNMENT: u32 = 1 << 0;
/// BPF_F_ANY_ALIGNMENT.
const F_ANY_ALIGNMENT: u32 = 1 << 1;
/// BPF_F_TEST_STATE_FREQ.
pub(crate) const F_TEST_STATE_FREQ: u32 = 1 << 3;
/// BPF_F_SLEEPABLE.
pub(crate) const F_SLEEPABLE: u32 = 1 << 4;
/// BPF_F_TEST_REG_INVARIANTS.
pub(crate) const F_TEST_REG_INVARIANTS: u32 = 1 << 7;

impl<'a> Env<'a> {
    /// An environment before any pass.
    pub(crate) fn new(
        prog: &'a Program,
        world: &'a World,
        policy: &'a Policy,
        log: Log,
    ) -> Env<'a> {
        let has = |flag| prog.flags & flag != 0;
        Env {
            prog,
            prog_type: prog.prog_type,
            attach_type: prog.expected_attach_type,
            world,
            caps: Caps::new(policy),
            cpus: policy.cpus,
            ops: vec![None; prog.insns.len()],
            aux: vec![InsnAux::default(); prog.insns.len()],
            subprogs: Vec::new(),
            postorder: Vec::new(),
            scc_count: 0,
            used_maps: Vec::new(),
            used_helpers: Vec::new(),
            kfuncs: Vec::new(),
            changes_packet: false,
            demands: Demands::default(),
            strict_alignment: has(F_STRICT_ALIGNMENT) && !has(F_ANY_ALIGNMENT),
            test_state_freq: has(F_TEST_STATE_FREQ),
            test_reg_invariants: has(F_TEST_REG_INVARIANTS),
            sleepable: has(F_SLEEPABLE),
            exception_callback: None,
            variant: None,
            attach: Attach::default(),
            ctx_refs: Vec::new(),
            map_fields: Vec::new(),
            metas: vec![OnceCell::new(); 2 + 2 * world.maps.len()],
            state: VerifierState::new(FuncState::new(-1, 0, 0), 0, has(F_SLEEPABLE)),
            insn_idx: 0,
            prev_insn_idx: 0,
            log,
            store: Store::default(),
            pending: Vec::new(),
            stats: Stats::default(),
            stats_jumps: 0,
            hist_open: false,
            id_gen: 0,
            trace: None,
            collected: None,
        }
    }

    /// A register id not used before.
    pub(crate) fn new_id(&mut self) -> u32 {
        self.id_gen += 1;
        self.id_gen
    }

    /// A map by its index in `World::maps`.
    pub(crate) fn map(&self, index: usize) -> &'a MapInfo {
        &self.world.maps[index]
    }

    /// Attributes of the map that a register refers to: those of the inner map where the register
    /// came out of a map of maps.
    pub(crate) fn map_def(&self, reg: &RegState) -> &'a MapDef {
        let def = &self.world.maps[reg.map()].def;
        if reg.is_inner_map() { def.inner.as_deref().unwrap_or(def) } else { def }
    }

    /// The kernel function that the instruction calls, if it is known.
    pub(crate) fn kfunc_at(&self, at: usize) -> Option<&KfuncDesc<'a>> {
        self.kfuncs.get(usize::from(self.aux.get(at)?.kfunc?))
    }

    /// Which of the functions with rules of their own the instruction calls.
    pub(crate) fn special_at(&self, at: usize) -> Special {
        self.kfunc_at(at).map_or(Special::None, |func| func.special)
    }

    /// The BTF that a BTF pointer's type is in: the kernel's, the program's own, a map's.
    pub(crate) fn btf_of(&self, reg: &RegState) -> Option<&'a Btf> {
        self.btf_numbered(reg.data2)
    }

    /// A BTF by the number that [`RegState::data2`] holds: see [`btf_numbered`].
    pub(crate) fn btf_numbered(&self, number: u32) -> Option<&'a Btf> {
        btf_numbered(number, self.prog, self.world).map(|btf| &**btf)
    }

    /// Special fields of the structures in the program's BTF, or in that of this number.
    pub(crate) fn struct_metas(&self, number: u32) -> &StructMetas {
        let kernel = self.world.kernel_btf.as_deref();
        let parse = |btf| StructMetas::parse(btf, kernel).unwrap_or_default();
        self.metas[number as usize]
            .get_or_init(|| self.btf_numbered(number).map(parse).unwrap_or_default())
    }

    /// The special fields of the map value or allocated object behind a register.
    pub(crate) fn record_of(&self, reg: &RegState) -> Option<&Record> {
        match reg.kind {
            RegKind::MapValue if reg.flags.is_empty() => Some(&self.fields_of(reg).record),
            RegKind::BtfId if reg.flags.contains(RegFlags::ALLOC) && reg.data2 != KERNEL_BTF => {
                self.struct_metas(reg.data2).get(TypeId(reg.btf_id()))
            }
            _ => None,
        }
    }

    /// The map that a register refers to has types.
    pub(crate) fn has_value_btf(&self, reg: &RegState) -> bool {
        let (map, def) = (self.map(reg.map()), self.map_def(reg));
        let btf = if reg.is_inner_map() { &map.inner_btf } else { &map.btf };
        btf.is_some() && (def.btf_key_type_id != 0 || def.btf_value_type_id != 0)
    }

    /// Spreads what is known of the stack's use along the current frames.
    pub(crate) fn update_live_stack(&mut self) {
        let log = self.log.all_paths().then_some(&mut self.log);
        self.store.live.update(
            &self.state,
            &self.subprogs,
            &self.prog.insns,
            &self.postorder,
            &self.aux,
            log,
        );
    }

    /// A register of the current frame.
    pub(crate) fn reg(&self, n: usize) -> &RegState {
        self.state.reg(n)
    }

    /// A register of the current frame, for writing; the log will show it.
    pub(crate) fn reg_mut(&mut self, n: usize) -> &mut RegState {
        self.log.scratch_reg(n);
        self.state.reg_mut(n)
    }

    /// The subprogram that holds a slot.
    pub(crate) fn subprog_at(&self, insn: usize) -> usize {
        self.subprogs.partition_point(|s| s.start <= insn).saturating_sub(1)
    }

    /// The subprogram that starts at a slot.
    pub(crate) fn subprog_starting(&self, insn: usize) -> Option<usize> {
        self.subprogs.binary_search_by_key(&insn, |s| s.start).ok()
    }
}
