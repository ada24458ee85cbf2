//! The interpreter's own instruction: one dense code per operation, width and kind of operand.

use std::ops::{Index, IndexMut};

use isa::{AluOp, Cond, Reg, Width};

/// A register that exists; indexing [`Regs`] with it needs no check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum R {
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R6,
    R7,
    R8,
    R9,
    R10,
}

impl R {
    const ALL: [R; 11] =
        [R::R0, R::R1, R::R2, R::R3, R::R4, R::R5, R::R6, R::R7, R::R8, R::R9, R::R10];

    pub(crate) fn new(reg: Reg) -> Option<R> {
        R::ALL.get(reg.index()).copied()
    }
}

/// r0 to r10.
#[derive(Clone, Copy, Default)]
pub(crate) struct Regs(pub(crate) [u64; 11]);

impl Index<R> for Regs {
    type Output = u64;

    #[inline(always)]
    fn index(&self, r: R) -> &u64 {
        &self.0[r as usize]
    }
}

impl IndexMut<R> for Regs {
    #[inline(always)]
    fn index_mut(&mut self, r: R) -> &mut u64 {
        &mut self.0[r as usize]
    }
}

/// One predecoded slot. What `aux`, `off` and `imm` hold depends on the code.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) code: Code,
    pub(crate) dst: R,
    pub(crate) src: R,
    /// Size or operation of the rarer memory instructions.
    pub(crate) aux: u8,
    /// Memory offset; of a jump or call the absolute slot, as `u32`.
    pub(crate) off: i32,
    /// Immediate, extended to the operation's width.
    pub(crate) imm: u64,
}

impl Cell {
    /// Not an instruction: second half of a 64-bit immediate, or undecodable.
    pub(crate) const BAD: Cell =
        Cell { code: Code::Bad, dst: R::R0, src: R::R0, aux: 0, off: 0, imm: 0 };

    /// The absolute slot of a jump or call.
    #[inline(always)]
    pub(crate) fn target(&self) -> usize {
        self.off as u32 as usize
    }

    /// The address that a memory instruction forms from `base`.
    #[inline(always)]
    pub(crate) fn address(&self, base: u64) -> u64 {
        base.wrapping_add_signed(self.off.into())
    }
}

/// Hands the table of regular codes to a macro: operation, its codes for (64-bit immediate, 64-bit
/// register, 32-bit immediate, 32-bit register), its function in [`crate::arith`].
macro_rules! regular_codes {
    ($then:ident) => {
        $then! {
            alu {
                Add: Add64I Add64R Add32I Add32R add,
                Sub: Sub64I Sub64R Sub32I Sub32R sub,
                Mul: Mul64I Mul64R Mul32I Mul32R mul,
                Div: Div64I Div64R Div32I Div32R div,
                Sdiv: Sdiv64I Sdiv64R Sdiv32I Sdiv32R sdiv,
                Or: Or64I Or64R Or32I Or32R or,
                And: And64I And64R And32I And32R and,
                Lsh: Lsh64I Lsh64R Lsh32I Lsh32R lsh,
                Rsh: Rsh64I Rsh64R Rsh32I Rsh32R rsh,
                Mod: Mod64I Mod64R Mod32I Mod32R rem,
                Smod: Smod64I Smod64R Smod32I Smod32R srem,
                Xor: Xor64I Xor64R Xor32I Xor32R xor,
                Mov: Mov64I Mov64R Mov32I Mov32R mov,
                Arsh: Arsh64I Arsh64R Arsh32I Arsh32R arsh,
            }
            jmp {
                Eq: Jeq64I Jeq64R Jeq32I Jeq32R eq,
                Ne: Jne64I Jne64R Jne32I Jne32R ne,
                Set: Jset64I Jset64R Jset32I Jset32R set,
                Gt: Jgt64I Jgt64R Jgt32I Jgt32R gt,
                Ge: Jge64I Jge64R Jge32I Jge32R ge,
                Lt: Jlt64I Jlt64R Jlt32I Jlt32R lt,
                Le: Jle64I Jle64R Jle32I Jle32R le,
                Sgt: Jsgt64I Jsgt64R Jsgt32I Jsgt32R sgt,
                Sge: Jsge64I Jsge64R Jsge32I Jsge32R sge,
                Slt: Jslt64I Jslt64R Jslt32I Jslt32R slt,
                Sle: Jsle64I Jsle64R Jsle32I Jsle32R sle,
            }
        }
    };
}
pub(crate) use regular_codes;

macro_rules! define {
    (
        alu { $($alu:ident: $ai:ident $ar:ident $bi:ident $br:ident $af:ident,)* }
        jmp { $($cond:ident: $ci:ident $cr:ident $di:ident $dr:ident $cf:ident,)* }
    ) => {
        /// What to do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Code {
            $($ai, $ar, $bi, $br,)*
            $($ci, $cr, $di, $dr,)*
            Neg64, Neg32,
            Sx8, Sx16, Sx32, Sx8W32, Sx16W32,
            Swap16, Swap32, Swap64, Cut16, Cut32,
            LdImm64,
            LdB, LdH, LdW, LdDw, LdsB, LdsH, LdsW, Probe, Arena,
            StB, StH, StW, StDw, StxB, StxH, StxW, StxDw,
            Atomic32, Atomic64, Acquire, Release,
            Ja, MayGoto, Call, Helper, Kfunc, Exit,
            Bad,
        }

        impl Code {
            pub(crate) fn alu(op: AluOp, width: Width, imm: bool) -> Code {
                match (op, width, imm) {
                    $((AluOp::$alu, Width::W64, true) => Code::$ai,
                    (AluOp::$alu, Width::W64, false) => Code::$ar,
                    (AluOp::$alu, Width::W32, true) => Code::$bi,
                    (AluOp::$alu, Width::W32, false) => Code::$br,)*
                }
            }

            pub(crate) fn jmp(cond: Cond, width: Width, imm: bool) -> Code {
                match (cond, width, imm) {
                    $((Cond::$cond, Width::W64, true) => Code::$ci,
                    (Cond::$cond, Width::W64, false) => Code::$cr,
                    (Cond::$cond, Width::W32, true) => Code::$di,
                    (Cond::$cond, Width::W32, false) => Code::$dr,)*
                }
            }
        }
    };
}
regular_codes!(define);
