//! Loads, stores and what stands in memory operands.

use super::super::lex::Kind;
use super::{Parsed, Parser, size_of};
use crate::table::ATOMIC;
use crate::{Op, Reg, Size, Src, Width};

/// Values narrower than eight bytes may be named by half registers.
fn width_of(size: Size) -> Width {
    if size == Size::DW { Width::W64 } else { Width::W32 }
}

impl Parser<'_, '_> {
    /// `*(u32 *)(r10 -8) = r2`.
    pub(super) fn store(&mut self) -> Parsed<Op> {
        let (size, base, off) = self.place()?;
        self.cursor.expect("=")?;
        let src = match self.cursor.peek_register() {
            Some(_) => Src::Reg(self.cursor.narrow_register(width_of(size))?),
            None => Src::Imm(self.cursor.imm32(size != Size::DW)?),
        };
        Ok(Op::Store { size, base, off, src })
    }

    /// `*(s8 *)(r10 -8)` or `*(u32 *)skb[r2 + 4]`, after `dst =`.
    pub(super) fn load(&mut self, width: Width, dst: Reg) -> Parsed<Op> {
        let at = self.cursor.at();
        self.cursor.expect("*")?;
        let (size, signed) = self.pointer_type()?;
        let is_packet = self.cursor.eat_word("skb");
        let is_wide = signed || size == Size::DW || is_packet;
        if width == Width::W32 && is_wide {
            return Err(at.error("this load needs a 64-bit register (r0 to r10) on the left"));
        }
        if is_packet {
            if dst != Reg::R0 || signed {
                return Err(at.error("packet loads are unsigned and go to r0"));
            }
            return self.packet(size);
        }
        let (base, off) = self.parenthesized_address()?;
        Ok(Op::Load { size, signed, dst, base, off })
    }

    fn packet(&mut self, size: Size) -> Parsed<Op> {
        self.cursor.expect("[")?;
        let src = self.cursor.peek_register();
        let op = if src.is_some() {
            let src = self.cursor.register_of(Width::W64)?;
            let has_imm = self.cursor.peek() != Some(Kind::Punct("]"));
            Op::LdInd { size, src, imm: if has_imm { self.displacement()? } else { 0 } }
        } else {
            Op::LdAbs { size, imm: self.cursor.imm32(false)? }
        };
        self.cursor.expect("]")?;
        Ok(op)
    }

    /// The kernel always writes a plus, before the number's own sign: `+ -4`.
    fn displacement(&mut self) -> Parsed<i32> {
        if self.cursor.peek_at(1) == Some(Kind::Punct("-")) {
            self.cursor.expect("+")?;
        }
        self.cursor.imm32(false)
    }

    /// `*(u64 *)(r10 -8) += r2`, after `lock`.
    pub(super) fn lock(&mut self) -> Parsed<Op> {
        let (size, base, off) = self.place()?;
        let at = self.cursor.at();
        let text = self.cursor.operator()?;
        let row = ATOMIC.iter().find(|r| !r.fetch && text.is(r.text));
        let op = row.ok_or_else(|| at.error(format!("{text} is not atomic")))?.op;
        let src = self.cursor.narrow_register(width_of(size))?;
        Ok(Op::Atomic { size, op, fetch: false, base, off, src })
    }

    /// `((u32 *)(r10 -8))`, after `load_acquire`.
    pub(super) fn load_acquire(&mut self, width: Width, dst: Reg) -> Parsed<Op> {
        let at = self.cursor.at();
        self.cursor.expect("(")?;
        let (size, base, off) = self.typed_address()?;
        self.cursor.expect(")")?;
        if width == Width::W32 && size == Size::DW {
            return Err(at.error("this load needs a 64-bit register (r0 to r10) on the left"));
        }
        Ok(Op::LoadAcquire { size, dst, base, off })
    }

    /// `((u32 *)(r10 -8), r2)`, after the name.
    pub(super) fn store_release(&mut self) -> Parsed<Op> {
        self.cursor.expect("(")?;
        let (size, base, off) = self.typed_address()?;
        self.cursor.expect(",")?;
        let src = self.cursor.narrow_register(width_of(size))?;
        self.cursor.expect(")")?;
        Ok(Op::StoreRelease { size, base, off, src })
    }

    /// `*(u32 *)(r10 -8)`.
    fn place(&mut self) -> Parsed<(Size, Reg, i16)> {
        self.cursor.expect("*")?;
        self.typed_address()
    }

    /// `(u32 *)(r10 -8)`; the type is unsigned.
    pub(super) fn typed_address(&mut self) -> Parsed<(Size, Reg, i16)> {
        let at = self.cursor.at();
        let (size, signed) = self.pointer_type()?;
        if signed {
            return Err(at.error("only loads extend the sign"));
        }
        let (base, off) = self.parenthesized_address()?;
        Ok((size, base, off))
    }

    /// `(u32 *)`.
    fn pointer_type(&mut self) -> Parsed<(Size, bool)> {
        const WANTED: &str = "a type: u8 to u64, s8 to s32";
        self.cursor.expect("(")?;
        let error = self.cursor.unexpected(WANTED);
        let found = size_of(self.cursor.word(WANTED)?).ok_or(error)?;
        self.cursor.expect("*")?;
        self.cursor.expect(")")?;
        Ok(found)
    }

    fn parenthesized_address(&mut self) -> Parsed<(Reg, i16)> {
        self.cursor.expect("(")?;
        let address = self.address()?;
        self.cursor.expect(")")?;
        Ok(address)
    }

    /// `r10 -8`; no number means 0.
    pub(super) fn address(&mut self) -> Parsed<(Reg, i16)> {
        let base = self.cursor.register_of(Width::W64)?;
        let off = match self.cursor.peek() {
            Some(Kind::Punct("+" | "-")) => self.cursor.imm16()?,
            _ => 0,
        };
        Ok((base, off))
    }
}
