//! Machine code for one function at a time: one walk over its blocks, values kept symbolic as
//! long as that pays.
//!
//! Between blocks every live register is at home, in the host register that [`frame`] gave it; a
//! block with a single predecessor takes over the predecessor's state as it is.

mod alu;
mod arena;
mod atomic;
mod call;
mod div;
mod frame;
mod jump;
mod lookup;
mod mem;
mod value;

use isa::{Callee, Imm64, Op, Reg, Src, Width};

use crate::{
    Env, JitError, Options,
    flow::{Flow, Func, NONE},
    host::{Host, W},
    ins::{Code, Ins, Set},
    layout::Pieces,
    state::{FP, State, Val},
    x86::Asm,
};
pub(crate) use frame::Frame;
use lookup::{Asked, Chain};

/// Why a function could not be compiled this way.
pub(crate) enum Fail {
    /// No host register left; the plain way always has one.
    Hosts,
    Error(JitError),
}

impl From<JitError> for Fail {
    fn from(error: JitError) -> Fail {
        Fail::Error(error)
    }
}

pub(crate) type Done<T = ()> = Result<T, Fail>;

/// States kept for blocks to come, few at a time.
struct Saved {
    first_block: u32,
    /// For each block of the function, where its state is.
    at: Vec<u32>,
    states: Vec<State>,
    free: Vec<u32>,
}

impl Saved {
    fn new(func: &Func) -> Saved {
        let blocks = (func.last_block - func.first_block) as usize;
        Saved {
            first_block: func.first_block,
            at: vec![NONE; blocks],
            states: Vec::new(),
            free: Vec::new(),
        }
    }

    fn put(&mut self, block: u32, state: &State) {
        let place = self.free.pop().unwrap_or(self.states.len() as u32);
        match self.states.get_mut(place as usize) {
            Some(old) => old.clone_from(state),
            None => self.states.push(state.clone()),
        }
        self.at[(block - self.first_block) as usize] = place;
    }

    /// Copies the state kept for `block` to `to`.
    fn take(&mut self, block: u32, to: &mut State) -> bool {
        let place = self.at[(block - self.first_block) as usize];
        if place == NONE {
            return false;
        }
        to.clone_from(&self.states[place as usize]);
        self.free.push(place);
        true
    }
}

/// A piece of code out of the way: jumped to in rare cases, it jumps back.
struct Cold {
    label: u32,
    back: u32,
    what: ColdWhat,
    pc: u32,
}

enum ColdWhat {
    /// The divisor is 0 or, signed, -1.
    Divisor { w: W, signed: bool, modulo: bool, divisor: Host },
    /// The map has no such element.
    NoElement { result: Host },
    /// A helper has ended the run.
    Stopped,
    /// The element is not the first of its hash chain.
    Chain(Chain),
}

/// Everything about the program that code generation reads.
#[derive(Clone, Copy)]
pub(crate) struct Unit<'a> {
    pub(crate) code: &'a Code,
    pub(crate) flow: &'a Flow,
    pub(crate) env: &'a dyn Env,
    pub(crate) options: &'a Options,
    /// For each function, whether it or what it calls needs the run's context.
    pub(crate) needs_context: &'a [bool],
}

/// The generator for one function.
pub(crate) struct Gen<'a> {
    unit: Unit<'a>,
    frame: Frame,
    out: &'a mut Pieces,
    state: State,
    /// Host registers that the current instruction has captured as operands.
    pinned: u16,
    /// Registers live after the current instruction.
    live: Set,
    pc: u32,
    /// The block that code is written for.
    here: u32,
    plain: bool,
    /// The last instruction, if it set the flags by what it wrote: code size then, where, width.
    flags: Option<(usize, Host, W)>,
    /// States that blocks with a single, earlier predecessor start in.
    entry_states: Saved,
    colds: Vec<Cold>,
    /// A constant that the code above has put on the stack: offset from the frame pointer, lower
    /// half.
    stored: Option<(i32, u32)>,
    /// What the last instruction looked up, if the next one asks whether it was there.
    asked: Option<Asked>,
    key: u64,
}

/// Compiles function `f` to the end of `out`.
pub(crate) fn function(
    unit: Unit<'_>,
    f: usize,
    slots: usize,
    out: &mut Pieces,
) -> Result<(), JitError> {
    let mark = out.mark();
    let plain = unit.options.plain;
    match attempt(unit, f, slots, plain, out) {
        Ok(()) => Ok(()),
        Err(Fail::Error(error)) => Err(error),
        Err(Fail::Hosts) if !plain => {
            out.rewind(mark);
            match attempt(unit, f, slots, true, out) {
                Ok(()) => Ok(()),
                Err(Fail::Error(error)) => Err(error),
                Err(Fail::Hosts) => Err(out_of_hosts(unit, f)),
            }
        }
        Err(Fail::Hosts) => Err(out_of_hosts(unit, f)),
    }
}

fn out_of_hosts(unit: Unit<'_>, f: usize) -> JitError {
    JitError::Bug { pc: unit.flow.funcs[f].start as usize, what: "no host register left" }
}

fn attempt(unit: Unit<'_>, f: usize, slots: usize, plain: bool, out: &mut Pieces) -> Done {
    let frame = Frame::new(unit, f, slots, plain)?;
    let mut generator = Gen {
        state: State::new(frame.stack),
        unit,
        frame,
        pinned: 0,
        live: 0,
        pc: unit.flow.funcs[f].start,
        here: NONE,
        plain,
        flags: None,
        entry_states: Saved::new(&unit.flow.funcs[f]),
        colds: Vec::new(),
        stored: None,
        asked: None,
        key: unit.options.blind.unwrap_or(0) ^ (f as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        out,
    };
    generator.function(f)
}

pub(crate) fn width(width: Width) -> W {
    match width {
        Width::W32 => W::W32,
        Width::W64 => W::W64,
    }
}

impl Gen<'_> {
    fn function(&mut self, f: usize) -> Done {
        let func = self.unit.flow.funcs[f];
        match f {
            0 => self.out.bind_main(),
            _ => self.out.bind(self.func_label(f)),
        }
        self.prologue();
        let entry = self.unit.flow.blocks[func.first_block as usize];
        self.state = self.entry_state(entry.live_in);
        if entry.preds > 1 {
            self.settle(entry.live_in)?;
        }
        let mut live_after = Vec::new();
        // Whether control comes from the block before, with its state.
        let mut falls_in = true;
        for b in func.first_block..func.last_block {
            let block = self.unit.flow.blocks[b as usize];
            if !block.reached {
                continue;
            }
            self.here = b;
            self.start_block(b, falls_in);
            self.unit.flow.live_after(self.unit.code, &block, &mut live_after);
            falls_in = true;
            for pc in block.start..block.end {
                self.pc = pc;
                self.live = live_after[(pc - block.start) as usize];
                falls_in = self.slot(b)?;
            }
            if falls_in && block.next != NONE {
                falls_in = self.fall_into(block.next)?;
            }
        }
        self.out.note_saved(self.frame.saved_set(), f == 0);
        self.cold_code()
    }

    /// What was put off.
    fn cold_code(&mut self) -> Done {
        for cold in std::mem::take(&mut self.colds) {
            self.out.bind(cold.label);
            self.out.line(cold.pc);
            match cold.what {
                ColdWhat::NoElement { result } => self.asm().mov_imm(result, 0, false),
                ColdWhat::Stopped => {
                    self.leave_from();
                    continue;
                }
                ColdWhat::Chain(chain) => {
                    self.walk_on(&chain);
                    continue;
                }
                ColdWhat::Divisor { w, signed, modulo, divisor } => {
                    self.special_divisor(w, signed, modulo, divisor);
                }
            }
            self.out.jmp(cold.back);
        }
        Ok(())
    }

    fn asm(&mut self) -> &mut Asm {
        &mut self.out.asm
    }

    /// One slot; whether control reaches the next one.
    fn slot(&mut self, b: u32) -> Done<bool> {
        let ins = self.unit.code.slots[self.pc as usize];
        if matches!(ins, Ins::Second) {
            return Ok(true);
        }
        let writes = self.unit.code.effects[self.pc as usize].writes;
        if writes & self.live == 0 && ins.is_pure() {
            self.state.keep(self.live);
            return Ok(true);
        }
        self.out.line(self.pc);
        let falls = match ins {
            Ins::Op { op, guarded } => self.op(b, op, guarded)?,
            Ins::Arena(op) => {
                self.arena(op)?;
                true
            }
            Ins::Native(target) => {
                self.native_call(target)?;
                true
            }
            Ins::OnMap(id, target) => {
                self.on_map(b, id, target)?;
                true
            }
            Ins::TailCall => {
                self.tail_call()?;
                true
            }
            Ins::Inlined { block, .. } => {
                self.inlined(block)?;
                true
            }
            Ins::CountBits { width: w, dst, src } => {
                self.count_bits(width(w), dst.0, src.0)?;
                true
            }
            Ins::Second => true,
        };
        self.pinned = 0;
        if falls {
            self.state.keep(self.live);
            if self.plain {
                self.settle(self.live)?;
            }
        }
        Ok(falls)
    }

    fn op(&mut self, b: u32, op: Op, guarded: bool) -> Done<bool> {
        match op {
            Op::Alu { width: w, op, dst, src } => self.alu(width(w), op, dst.0, src)?,
            Op::Neg { width: w, dst } => self.neg(width(w), dst.0)?,
            Op::MovSx { width: w, bits, dst, src } => {
                self.sign_extend(width(w), bits.into(), dst.0, src.0)?;
            }
            Op::End { kind, bits, dst } => self.byte_order(kind, bits.into(), dst.0)?,
            Op::AddrSpaceCast { .. } => return Err(self.bug("a cast of no arena")),
            Op::LdImm64 { dst, imm: Imm64::Value(value) } => {
                self.state.set(dst.0, Val::Const(value))
            }
            Op::LdImm64 { dst, imm: Imm64::Func(rel) } => self.function_address(dst.0, rel)?,
            Op::LdImm64 { .. } | Op::LdAbs { .. } | Op::LdInd { .. } => {
                return Err(self.bug("untranslated instruction"));
            }
            Op::Load { size, signed, dst, base, off } => {
                self.load(size, signed, dst.0, base.0, off, guarded)?;
            }
            Op::LoadAcquire { size, dst, base, off } => {
                self.load(size, false, dst.0, base.0, off, false)?;
            }
            Op::Store { size, base, off, src } => self.store(size, base.0, off, src)?,
            Op::StoreRelease { size, base, off, src } => {
                self.store(size, base.0, off, Src::Reg(src))?;
            }
            Op::Atomic { size, op, fetch, base, off, src } => {
                self.atomic(size, op, fetch, (base.0, off), src.0)?;
            }
            Op::Ja { .. } => return self.ja(b),
            Op::MayGoto { .. } => self.may_goto(b)?,
            Op::Jmp { width: w, cond, dst, src, .. } => {
                return self.branch(b, width(w), cond, dst.0, src);
            }
            Op::Call(Callee::Subprog(rel)) => self.call(rel)?,
            Op::Call(_) => return Err(self.bug("unresolved call")),
            Op::Exit => {
                self.exit()?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn bug(&self, what: &'static str) -> Fail {
        Fail::Error(JitError::Bug { pc: self.pc as usize, what })
    }

    fn interpreted(&self, what: &'static str) -> Fail {
        Fail::Error(JitError::Interpreted { pc: self.pc as usize, what })
    }

    fn func_label(&self, f: usize) -> u32 {
        self.unit.flow.blocks.len() as u32 + f as u32
    }

    fn func_of(&self, rel: i32) -> Done<usize> {
        let at = i64::from(self.pc) + 1 + i64::from(rel);
        self.unit.flow.func_at(at).ok_or_else(|| self.bug("call of no function"))
    }

    /// The address of a subprogram as helpers call it.
    fn function_address(&mut self, dst: u8, rel: i32) -> Done {
        let label = self.func_label(self.func_of(rel)?);
        self.state.set(dst, Val::Dead);
        let h = self.pick(dst)?;
        self.out.lea_label(h, label);
        self.result(dst, h, false);
        Ok(())
    }

    /// `dst` is now in `h`, just written.
    fn result(&mut self, dst: u8, h: Host, zero_extended: bool) {
        self.state.wrote(h, zero_extended);
        self.state.set(dst, Val::Reg(h));
    }

    /// The instruction just written set the flags by its result in `h`.
    fn set_flags(&mut self, h: Host, w: W) {
        self.flags = Some((self.out.asm.len(), h, w));
    }

    /// Whether the zero flag tells if the low `w` bits of `h` are zero.
    fn flags_tell(&self, h: Host, w: W) -> bool {
        let told = |(at, of, fw)| at == self.out.asm.len() && of == h && (fw == w || w == W::W64);
        // A 32-bit result is zero-extended: its flags tell about all of the register.
        self.flags.is_some_and(told)
    }

    fn is_live(&self, reg: u8) -> bool {
        self.live & 1 << reg != 0 || reg == FP
    }
}

/// The register or the constant of an operand.
fn source(src: Src) -> Result<u8, i32> {
    match src {
        Src::Reg(Reg(reg)) => Ok(reg),
        Src::Imm(imm) => Err(imm),
    }
}
