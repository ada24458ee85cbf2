//! Rewriting of single memory instructions by what they touch.

use isa::Insn;
use verifier::Access;

use crate::{
    TranslateError,
    ctx::{Field, Kind},
    operand::{CLASS, DW, SIZE, jge, load, mov32, size_code, size_of_access},
};

/// Mode of a guarded zero-extending load: where the memory is not there, the register becomes
/// zero and the run goes on (Linux's own number).
pub const PROBE_MEM: u8 = 0x20;
/// Like [`PROBE_MEM`], sign-extending.
pub const PROBE_MEMSX: u8 = 0x40;

/// Mode of loads and stores through arena addresses (Linux's own number), of sign-extending loads
/// and of atomic operations through them.
pub const PROBE_MEM32: u8 = 0xa0;
/// See [`PROBE_MEM32`].
pub const PROBE_MEM32SX: u8 = 0xc0;
/// See [`PROBE_MEM32`].
pub const PROBE_ATOMIC: u8 = 0xe0;

const MODE: u8 = 0xe0;
const MEM: u8 = 0x60;
const MEMSX: u8 = 0x80;
const ATOMIC: u8 = 0xc0;
const CLASS_LDX: u8 = 1;
const CLASS_STX: u8 = 3;
const NO_QUEUE_MAPPING: i32 = 0xffff;

/// What takes the place of memory instruction `insn` at slot `at`.
pub(crate) fn memory(
    insn: Insn,
    at: usize,
    access: Access,
    fields: Option<&[Field]>,
) -> Result<Vec<Insn>, TranslateError> {
    match (access, fields) {
        (Access::Ctx, Some(fields)) => context(insn, at, fields),
        (Access::Probe, _) => Ok(vec![guarded(insn)]),
        (Access::Arena, _) => Ok(vec![on_arena(insn)]),
        // Sockets are passed as the UAPI lays them out, other contexts too.
        _ => Ok(vec![insn]),
    }
}

/// Through an arena address: the engines know where the arena is.
pub(crate) fn on_arena(insn: Insn) -> Insn {
    let mode = match insn.code & MODE {
        MEM => PROBE_MEM32,
        MEMSX => PROBE_MEM32SX,
        ATOMIC => PROBE_ATOMIC,
        _ => return insn,
    };
    Insn { code: insn.code & !MODE | mode, ..insn }
}

/// Arena addresses are numbers of 32 bits, and so is what is done to them.
pub(crate) fn narrow(insn: Insn) -> Insn {
    const CLASS_ALU64: u8 = 7;
    const CLASS_ALU: u8 = 4;
    if insn.class() != CLASS_ALU64 {
        return insn;
    }
    Insn { code: insn.code & !CLASS | CLASS_ALU, ..insn }
}

/// A cast between address spaces: what a program uses is the low half, what user space uses has
/// an upper half, unless the map's flags say that it needs none.
pub(crate) fn cast(insn: Insn, to_user: bool) -> Insn {
    const MOV32: u8 = 0xbc;
    if to_user { insn } else { Insn::new(MOV32, insn.dst().0, insn.src().0, 0, 0) }
}

/// Stores through such pointers do not exist.
fn guarded(insn: Insn) -> Insn {
    let mode = match insn.code & MODE {
        MEM => PROBE_MEM,
        MEMSX => PROBE_MEMSX,
        _ => return insn,
    };
    if insn.class() != CLASS_LDX {
        return insn;
    }
    Insn { code: insn.code & !MODE | mode, ..insn }
}

fn context(insn: Insn, at: usize, fields: &[Field]) -> Result<Vec<Insn>, TranslateError> {
    let (off, size) = (i32::from(insn.off), size_of_access(insn.code));
    let Some(field) = fields.iter().find(|f| f.covers(off, size)) else {
        return Err(TranslateError::Context { insn: at, off, size });
    };
    // In range: `covers` bounds the difference by the field's size.
    let inner = (off - i32::from(field.off)) as u32;
    Ok(if insn.code & CLASS == CLASS_LDX {
        vec![context_load(insn, field, inner, size)]
    } else {
        context_store(insn, field, inner, size)
    })
}

/// Hosts are little-endian, so a narrow load is a load of some of the bytes.
fn context_load(insn: Insn, field: &Field, inner: u32, size: u32) -> Insn {
    let (dst, src) = (insn.dst().0, insn.src().0);
    let (target, width) = (field.target as i16, u32::from(field.width));
    match field.kind {
        Kind::Pointer => load(DW, dst, src, target),
        Kind::Bytes => Insn { off: target + inner as i16, ..insn },
        _ if size >= width => load(size_code(width), dst, src, target),
        _ if inner + size <= width => Insn { off: target + inner as i16, ..insn },
        _ => mov32(dst, 0),
    }
}

fn context_store(insn: Insn, field: &Field, inner: u32, size: u32) -> Vec<Insn> {
    let (target, width) = (field.target as i16, u32::from(field.width));
    let store = match inner + size <= width {
        true => Insn { off: target + inner as i16, ..insn },
        false => Insn { off: target, code: insn.code & !SIZE | size_code(width), ..insn },
    };
    match field.kind {
        Kind::Below0xffff if insn.code & CLASS == CLASS_STX => {
            vec![jge(insn.src().0, NO_QUEUE_MAPPING, 1), store]
        }
        Kind::Below0xffff if insn.imm as u32 >= NO_QUEUE_MAPPING as u32 => Vec::new(),
        _ => vec![store],
    }
}
