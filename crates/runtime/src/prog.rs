//! A loaded program.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use uapi::ProgType;

use crate::btf_obj::BtfObj;
use crate::core::HostHelper;
use crate::door::ProgInfo;
use crate::extend::Replaced;
use crate::heap::ObjectType;
use crate::map_obj::{MapObj, Owner};
use crate::native::Native;
use crate::streams::Streams;

/// A program object.
pub(crate) struct Prog {
    pub(crate) id: u32,
    pub(crate) prog_type: ProgType,
    pub(crate) attach_type: u32,
    /// What it shares with programs that it calls through an array.
    pub(crate) owner: Owner,
    pub(crate) name: String,
    pub(crate) tag: [u8; 8],
    pub(crate) gpl: bool,
    pub(crate) uid: u32,
    /// Nanoseconds since boot.
    pub(crate) load_time: u64,
    pub(crate) verified_insns: u32,
    pub(crate) translated: translate::Translated,
    pub(crate) code: Arc<interp::Program>,
    /// Machine code, where the program is to run as such.
    pub(crate) native: Native,
    /// Maps that the code names, in order of first use.
    pub(crate) maps: Vec<Arc<MapObj>>,
    /// Maps bound besides (BPF_PROG_BIND_MAP).
    pub(crate) bound: Mutex<Vec<Arc<MapObj>>>,
    pub(crate) btf: Option<Arc<BtfObj>>,
    pub(crate) func_info: Vec<verifier::FuncInfo>,
    pub(crate) line_info: Vec<verifier::LineInfo>,
    pub(crate) attach_btf_id: u32,
    /// The byte after the last one of its context that it may touch.
    pub(crate) ctx_end: u32,
    pub(crate) host_helpers: Vec<HostHelper>,
    /// What was proven about its functions.
    pub(crate) functions: Vec<verifier::SubprogFacts>,
    pub(crate) demands: verifier::Demands,
    /// Of an extension: type and attach type of the program that it was verified for.
    pub(crate) extends: Option<(ProgType, u32)>,
    /// That program, until it is attached.
    pub(crate) target: Mutex<Option<Arc<Prog>>>,
    /// Functions that extensions have taken the place of.
    pub(crate) replaced: Replaced,
    /// What it prints.
    pub(crate) streams: Streams,
    /// Types of the objects that it allocates; their addresses are their numbers in the code.
    pub(crate) object_types: Vec<Arc<ObjectType>>,
    /// It may come across objects of the heap.
    pub(crate) sees_objects: bool,
    /// Function that runs when it throws; without one the cookie is the result.
    pub(crate) exception_callback: Option<usize>,
    pub(crate) stats: Arc<Stats>,
}

/// Counted while statistics are on.
#[derive(Default)]
pub(crate) struct Stats {
    pub(crate) runs: AtomicU64,
    pub(crate) ns: AtomicU64,
    pub(crate) insns: AtomicU64,
}

/// Where machine code is.
#[derive(Default)]
struct Places {
    functions: Vec<u64>,
    lens: Vec<u32>,
    lines: Vec<u64>,
}

impl Places {
    fn of(
        code: &jit::Program,
        funcs: &[verifier::FuncInfo],
        lines: &[verifier::LineInfo],
    ) -> Places {
        // The first function's code begins at 0, wherever its way in is.
        let mut starts: Vec<u32> = code.functions().to_vec();
        if let Some(first) = starts.first_mut() {
            *first = 0;
        }
        let len = code.code().len() as u32;
        if !starts.is_sorted() || starts.last().is_some_and(|last| *last >= len) {
            starts = vec![0];
        }
        let ends = starts.iter().skip(1).copied().chain([len]);
        let lens = starts.iter().zip(ends).map(|(start, end)| end - start).collect();
        let mut by_slot: Vec<_> = code.lines().iter().map(|l| (l.pc, l.offset)).collect();
        by_slot.sort_unstable();
        // What a function's first line makes begins with the way in.
        let entry = |slot: u32| {
            let func = funcs.iter().position(|func| func.insn_off == slot)?;
            starts.get(func).map(|start| code.base() + u64::from(*start))
        };
        let place = |line: &verifier::LineInfo| {
            if let Some(address) = entry(line.insn_off) {
                return address;
            }
            let at = by_slot.partition_point(|(pc, _)| *pc < line.insn_off);
            code.base() + u64::from(by_slot.get(at).map_or(len, |(_, offset)| *offset))
        };
        let functions = starts.iter().map(|start| code.base() + u64::from(*start)).collect();
        Places { functions, lens, lines: lines.iter().map(place).collect() }
    }
}

impl Prog {
    /// What runs when the program is to run: with extensions in it, if there are any.
    pub(crate) fn current(self: &Arc<Prog>) -> Arc<Prog> {
        self.replaced.current(self)
    }

    /// The program as one that others attach to.
    pub(crate) fn as_target(&self) -> verifier::Target {
        verifier::Target {
            prog_type: self.prog_type,
            attach_type: self.attach_type,
            btf: self.btf.as_ref().map(|b| b.btf.clone()),
            func_info: self.func_info.clone(),
            functions: self.functions.clone(),
        }
    }

    pub(crate) fn info(&self) -> ProgInfo {
        let bound = self.bound.lock();
        let places =
            self.native.as_ref().map(|code| Places::of(code, &self.func_info, &self.line_info));
        let places = places.unwrap_or_default();
        ProgInfo {
            prog_type: self.prog_type.raw(),
            attach_type: self.attach_type,
            id: self.id,
            tag: self.tag,
            name: self.name.clone(),
            load_time: self.load_time,
            created_by_uid: self.uid,
            map_ids: self.maps.iter().chain(bound.iter()).map(|m| m.id).collect(),
            gpl_compatible: self.gpl,
            btf_id: self.btf.as_ref().map_or(0, |b| b.id),
            xlated: self.shown(),
            jited: self.native.as_ref().map_or_else(|_| Vec::new(), |n| n.code().to_vec()),
            jited_ksyms: places.functions,
            jited_func_lens: places.lens,
            jited_lines: places.lines,
            func_info: self.func_info.clone(),
            line_info: self.line_info.clone(),
            verified_insns: self.verified_insns,
            run_time_ns: self.stats.ns.load(Relaxed),
            run_cnt: self.stats.runs.load(Relaxed),
            run_insns: self.stats.insns.load(Relaxed),
            recursion_misses: 0,
            attach_btf_id: self.attach_btf_id,
            attach_btf_obj_id: 0,
            memlock: (self.translated.insns.len() * 8).next_multiple_of(4096) as u64,
        }
    }
}

impl Prog {
    /// The translated slots with maps in the place of their addresses, as Linux shows them.
    fn shown(&self) -> Vec<isa::Insn> {
        let mut insns = self.translated.insns.clone();
        for pc in 0..insns.len().saturating_sub(1) {
            let (low, high) = (insns[pc], insns[pc + 1]);
            if !low.is_ld_imm64() || low.src().0 != 0 {
                continue;
            }
            let value = u64::from(high.imm as u32) << 32 | u64::from(low.imm as u32);
            let Some((id, off)) = self.maps.iter().find_map(|map| named(map, value)) else {
                continue;
            };
            let kind = if off.is_some() { MAP_VALUE } else { MAP };
            insns[pc] = isa::Insn::new(low.code, low.dst().0, kind, 0, id as i32);
            insns[pc + 1].imm = off.unwrap_or(0) as i32;
        }
        insns
    }
}

/// `BPF_PSEUDO_MAP_FD`, which an id stands for where programs are shown.
const MAP: u8 = 1;
/// `BPF_PSEUDO_MAP_VALUE`.
const MAP_VALUE: u8 = 2;

/// The map's id if `address` is its own, with the offset if it is one of its value.
fn named(map: &MapObj, address: u64) -> Option<(u32, Option<u32>)> {
    if map.handle() == address {
        return Some((map.id, None));
    }
    let base = map.map.ops().direct_value(0).ok()?;
    let off = address.checked_sub(base)?;
    let size = map.map.def().value_size;
    u32::try_from(off).ok().filter(|off| *off < size).map(|off| (map.id, Some(off)))
}

/// The tag of Linux 6.18: the start of SHA-256 over the slots, maps zeroed.
pub fn tag(insns: &[isa::Insn]) -> [u8; 8] {
    let mut bytes = Vec::with_capacity(insns.len() * 8);
    let mut was_map = false;
    for insn in insns {
        let is_map = insn.is_ld_imm64() && matches!(insn.src().0, 1 | 2);
        let clear = is_map || (was_map && insn.code == 0 && insn.regs == 0 && insn.off == 0);
        let shown = if clear { isa::Insn { imm: 0, ..*insn } } else { *insn };
        bytes.extend_from_slice(&shown.to_bytes());
        was_map = is_map;
    }
    let digest = crate::sha256::sha256(&bytes);
    let mut tag = [0; 8];
    tag.copy_from_slice(&digest[..8]);
    tag
}
