//! Decoding ahead of the run: slots to cells, jump targets to absolute slots.

use isa::{AtomicOp, Callee, Endian, Imm64, Insn, Op, Reg, Size, Src, Width};

use crate::{
    ArenaWindow, Trap, TrapKind,
    code::{Cell, Code, R},
};

/// Mode of a guarded zero-extending load in translated bytecode (as Linux's own): where the
/// memory is not the program's, the register becomes zero and the run goes on.
pub const PROBE_MEM: u8 = 0x20;
/// Like [`PROBE_MEM`], sign-extending.
pub const PROBE_MEMSX: u8 = 0x40;

/// Mode of loads and stores through arena addresses (as Linux's own), of sign-extending loads and of
/// atomic operations through them.
pub const PROBE_MEM32: u8 = 0xa0;
/// See [`PROBE_MEM32`].
pub const PROBE_MEM32SX: u8 = 0xc0;
/// See [`PROBE_MEM32`].
pub const PROBE_ATOMIC: u8 = 0xe0;

/// What `ld_imm64` of a function gives a program: this plus the slot it starts at.
pub const FUNC_BASE: u64 = 0xf0c0_0000_0000_0000;

const LDX: u8 = 1;
const ST: u8 = 2;
const STX: u8 = 3;
const MODE: u8 = 0xe0;
const MEM: u8 = 0x60;
const MEMSX: u8 = 0x80;
const ATOMIC: u8 = 0xc0;

/// A program ready to run. Slots keep the numbers they had.
#[derive(Clone, Debug)]
pub struct Program {
    cells: Box<[Cell]>,
    /// Operations on the arena, which cells name by number.
    arena: Box<[Op]>,
    window: ArenaWindow,
}

impl Program {
    /// Decodes translated bytecode; fails with the slot of an instruction that is none.
    ///
    /// Jump targets are not checked here: a jump out of the program traps when it is taken.
    pub fn new(code: &(impl AsRef<[Insn]> + ?Sized)) -> Result<Program, Trap> {
        let insns = code.as_ref();
        let mut cells = vec![Cell::BAD; insns.len()];
        let mut arena = Vec::new();
        let mut pc = 0;
        while pc < insns.len() {
            let bad = || Trap { pc, kind: TrapKind::BadInsn };
            let (op, how) = decode(insns, pc).ok_or_else(bad)?;
            cells[pc] = match how {
                How::Arena => {
                    arena.push(op);
                    Builder::new(Code::Arena).imm(arena.len() as u64 - 1).0
                }
                _ => cell(&op, how == How::Guarded, pc).ok_or_else(bad)?,
            };
            pc += if matches!(op, Op::LdImm64 { .. }) { 2 } else { 1 };
        }
        let window = ArenaWindow::default();
        Ok(Program { cells: cells.into(), arena: arena.into(), window })
    }

    /// The same with an arena there; without one nothing is found at arena addresses.
    pub fn with_arena(self, window: ArenaWindow) -> Program {
        Program { window, ..self }
    }

    /// The arena, and the operation on it with this number.
    pub(crate) fn on_arena(&self, number: u64) -> Option<(ArenaWindow, &Op)> {
        Some((self.window, self.arena.get(usize::try_from(number).ok()?)?))
    }

    /// Slots of the translated program.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether there is no instruction at all.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    pub(crate) fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// The slot that a function address names.
    pub(crate) fn function(&self, address: u64) -> Option<usize> {
        let slot = usize::try_from(address.checked_sub(FUNC_BASE)?).ok()?;
        (slot < self.cells.len()).then_some(slot)
    }
}

/// What is special about an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Plain,
    /// A load that gives zero where nothing is.
    Guarded,
    /// On the arena.
    Arena,
}

/// The operation at `pc`.
fn decode(insns: &[Insn], pc: usize) -> Option<(Op, How)> {
    let insn = insns[pc];
    let (mode, how) = match (insn.code & MODE, insn.class()) {
        (PROBE_MEM, LDX) => (MEM, How::Guarded),
        (PROBE_MEMSX, LDX) => (MEMSX, How::Guarded),
        (PROBE_MEM32, LDX | ST | STX) => (MEM, How::Arena),
        (PROBE_MEM32SX, LDX) => (MEMSX, How::Arena),
        (PROBE_ATOMIC, STX) => (ATOMIC, How::Arena),
        _ => {
            let op = isa::decode(insns, pc).ok()?;
            let cast = matches!(op, Op::AddrSpaceCast { .. });
            return Some((op, if cast { How::Arena } else { How::Plain }));
        }
    };
    let plain = Insn { code: insn.code & !MODE | mode, ..insn };
    isa::decode(&[plain], 0).ok().map(|op| (op, how))
}

/// Builds one cell, field by field.
struct Builder(Cell);

impl Builder {
    fn new(code: Code) -> Builder {
        Builder(Cell { code, ..Cell::BAD })
    }

    fn dst(mut self, reg: Reg) -> Option<Builder> {
        self.0.dst = R::new(reg)?;
        Some(self)
    }

    fn src(mut self, reg: Reg) -> Option<Builder> {
        self.0.src = R::new(reg)?;
        Some(self)
    }

    fn off(mut self, off: impl Into<i32>) -> Builder {
        self.0.off = off.into();
        self
    }

    fn imm(mut self, imm: u64) -> Builder {
        self.0.imm = imm;
        self
    }

    fn aux(mut self, aux: u8) -> Builder {
        self.0.aux = aux;
        self
    }

    /// The slot `rel` after the one following `pc`; outside the program it stays outside.
    fn target(mut self, pc: usize, rel: i32) -> Builder {
        let slot = pc as i64 + 1 + i64::from(rel);
        self.0.off = u32::try_from(slot).unwrap_or(u32::MAX) as i32;
        self
    }

    /// A second operand: a register, or an immediate extended to `width`.
    fn operand(self, src: Src, width: Width) -> Option<Builder> {
        match (src, width) {
            (Src::Reg(reg), _) => self.src(reg),
            (Src::Imm(imm), Width::W64) => Some(self.imm(imm as i64 as u64)),
            (Src::Imm(imm), Width::W32) => Some(self.imm(imm as u32 as u64)),
        }
    }
}

fn cell(op: &Op, guarded: bool, pc: usize) -> Option<Cell> {
    let is_imm = |src: Src| matches!(src, Src::Imm(_));
    let new = Builder::new;
    let built = match *op {
        Op::Alu { width, op, dst, src } => {
            new(Code::alu(op, width, is_imm(src))).dst(dst)?.operand(src, width)?
        }
        Op::Jmp { width, cond, dst, src, off } => new(Code::jmp(cond, width, is_imm(src)))
            .dst(dst)?
            .operand(src, width)?
            .target(pc, off.into()),
        Op::Neg { width: Width::W64, dst } => new(Code::Neg64).dst(dst)?,
        Op::Neg { width: Width::W32, dst } => new(Code::Neg32).dst(dst)?,
        Op::MovSx { width, bits, dst, src } => new(sign_extend(width, bits)?).dst(dst)?.src(src)?,
        Op::End { kind, bits, dst } => new(byte_order(kind, bits)?).dst(dst)?,
        Op::LdImm64 { dst, imm } => new(Code::LdImm64).dst(dst)?.imm(immediate(imm, pc)?),
        Op::AddrSpaceCast { .. } | Op::LdAbs { .. } | Op::LdInd { .. } => return None,
        Op::Load { size, signed, dst, base, off } if guarded => {
            new(Code::Probe).aux(size as u8 | (signed as u8) << 2).dst(dst)?.src(base)?.off(off)
        }
        Op::Load { size, signed, dst, base, off } => {
            new(load(size, signed)?).dst(dst)?.src(base)?.off(off)
        }
        Op::Store { size, base, off, src } => {
            new(store(size, is_imm(src))).dst(base)?.operand(src, Width::W64)?.off(off)
        }
        Op::Atomic { size, op, fetch, base, off, src } => {
            new(atomic(size)?).aux(atomic_aux(op, fetch)).dst(base)?.src(src)?.off(off)
        }
        Op::LoadAcquire { size, dst, base, off } => {
            new(Code::Acquire).aux(size as u8).dst(dst)?.src(base)?.off(off)
        }
        Op::StoreRelease { size, base, off, src } => {
            new(Code::Release).aux(size as u8).dst(base)?.src(src)?.off(off)
        }
        Op::Ja { off, .. } => new(Code::Ja).target(pc, off),
        Op::MayGoto { off } => new(Code::MayGoto).target(pc, off.into()),
        Op::Call(Callee::Subprog(rel)) => new(Code::Call).target(pc, rel),
        Op::Call(Callee::Helper(id)) => new(Code::Helper).imm(id as u32 as u64),
        Op::Call(Callee::Kfunc { id, off }) => new(Code::Kfunc).imm(id as u32 as u64).off(off),
        Op::Exit => new(Code::Exit),
    };
    Some(built.0)
}

/// Maps and variables are addresses by now; only functions are still relative.
fn immediate(imm: Imm64, pc: usize) -> Option<u64> {
    match imm {
        Imm64::Value(value) => Some(value),
        Imm64::Func(rel) => {
            let slot = u64::try_from(pc as i64 + 1 + i64::from(rel)).ok()?;
            Some(FUNC_BASE + slot)
        }
        _ => None,
    }
}

fn sign_extend(width: Width, bits: u8) -> Option<Code> {
    Some(match (width, bits) {
        (Width::W64, 8) => Code::Sx8,
        (Width::W64, 16) => Code::Sx16,
        (Width::W64, 32) => Code::Sx32,
        (Width::W32, 8) => Code::Sx8W32,
        (Width::W32, 16) => Code::Sx16W32,
        _ => return None,
    })
}

fn byte_order(kind: Endian, bits: u8) -> Option<Code> {
    let swap = match kind {
        Endian::Swap => true,
        Endian::ToLe => cfg!(target_endian = "big"),
        Endian::ToBe => cfg!(target_endian = "little"),
    };
    Some(match (swap, bits) {
        (true, 16) => Code::Swap16,
        (true, 32) => Code::Swap32,
        (true, 64) => Code::Swap64,
        (false, 16) => Code::Cut16,
        (false, 32) => Code::Cut32,
        // Nothing to do: r |= 0.
        (false, 64) => Code::Or64I,
        _ => return None,
    })
}

fn load(size: Size, signed: bool) -> Option<Code> {
    Some(match (size, signed) {
        (Size::B, false) => Code::LdB,
        (Size::H, false) => Code::LdH,
        (Size::W, false) => Code::LdW,
        (Size::DW, false) => Code::LdDw,
        (Size::B, true) => Code::LdsB,
        (Size::H, true) => Code::LdsH,
        (Size::W, true) => Code::LdsW,
        (Size::DW, true) => return None,
    })
}

fn store(size: Size, imm: bool) -> Code {
    match (size, imm) {
        (Size::B, true) => Code::StB,
        (Size::H, true) => Code::StH,
        (Size::W, true) => Code::StW,
        (Size::DW, true) => Code::StDw,
        (Size::B, false) => Code::StxB,
        (Size::H, false) => Code::StxH,
        (Size::W, false) => Code::StxW,
        (Size::DW, false) => Code::StxDw,
    }
}

fn atomic(size: Size) -> Option<Code> {
    match size {
        Size::W => Some(Code::Atomic32),
        Size::DW => Some(Code::Atomic64),
        Size::B | Size::H => None,
    }
}

/// The operation in the low bits, bit 7 set if the old value is fetched.
fn atomic_aux(op: AtomicOp, fetch: bool) -> u8 {
    op as u8 | (fetch as u8) << 7
}
