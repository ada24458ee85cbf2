//! Statements that start with a register.

use super::super::lex::Kind;
use super::{At, Parsed, Parser, size_of};
use crate::table::{ALU, ATOMIC};
use crate::{AluOp, AtomicOp, Endian, Imm64, Insn, Op, Reg, Size, Src, Width, decode};

impl<'a> Parser<'a, '_> {
    pub(super) fn assign(&mut self) -> Parsed<Op> {
        let (width, dst) = self.cursor.register()?;
        let at = self.cursor.at();
        let text = self.cursor.operator()?;
        let row = ALU.iter().find(|r| text.is(r.text));
        match row.ok_or_else(|| at.error(format!("{text} assigns nothing")))?.op {
            AluOp::Mov => self.value(width, dst),
            op => Ok(Op::Alu { width, op, dst, src: self.operand(width, false)? }),
        }
    }

    /// What stands after `dst =`.
    fn value(&mut self, width: Width, dst: Reg) -> Parsed<Op> {
        match (self.cursor.peek(), self.cursor.peek_at(1)) {
            (Some(Kind::Punct("*")), _) => self.load(width, dst),
            (Some(Kind::Punct("(")), _) => self.mov_sx(width, dst),
            (Some(Kind::Punct("-")), Some(Kind::Word(_))) => self.neg(width, dst),
            (Some(Kind::Word(word)), _) => match self.cursor.peek_register() {
                Some(_) => self.mov(width, dst),
                None => self.named(word, width, dst),
            },
            _ => self.number(width, dst),
        }
    }

    fn mov(&mut self, width: Width, dst: Reg) -> Parsed<Op> {
        let src = Src::Reg(self.cursor.register_of(width)?);
        Ok(Op::Alu { width, op: AluOp::Mov, dst, src })
    }

    fn neg(&mut self, width: Width, dst: Reg) -> Parsed<Op> {
        self.cursor.skip(1);
        let error = self.cursor.unexpected("the register assigned to");
        if self.cursor.register_of(width)? == dst { Ok(Op::Neg { width, dst }) } else { Err(error) }
    }

    fn mov_sx(&mut self, width: Width, dst: Reg) -> Parsed<Op> {
        self.cursor.skip(1);
        let error = self.cursor.unexpected("s8, s16 or s32");
        let (size, signed) = size_of(self.cursor.word("s8, s16 or s32")?).ok_or(error.clone())?;
        if !signed || size == Size::DW {
            return Err(error);
        }
        self.cursor.expect(")")?;
        let src = self.cursor.register_of(width)?;
        Ok(Op::MovSx { width, bits: size.bytes() as u8 * 8, dst, src })
    }

    /// A number: a move if 32 bits hold it and nothing says otherwise.
    fn number(&mut self, width: Width, dst: Reg) -> Parsed<Op> {
        if width == Width::W32 {
            let src = Src::Imm(self.cursor.imm32(true)?);
            return Ok(Op::Alu { width, op: AluOp::Mov, dst, src });
        }
        let is_negative = self.cursor.peek() == Some(Kind::Punct("-"));
        let value = self.cursor.imm64()?;
        let short = i32::try_from(value as i64).ok().filter(|v| (*v < 0) == is_negative || *v == 0);
        let is_long = self.cursor.eat_word("ll") || self.is_imm64;
        Ok(match short {
            Some(imm) if !is_long => Op::Alu { width, op: AluOp::Mov, dst, src: Src::Imm(imm) },
            _ => Op::LdImm64 { dst, imm: Imm64::Value(value) },
        })
    }

    /// `dst = word …`.
    fn named(&mut self, word: &'a str, width: Width, dst: Reg) -> Parsed<Op> {
        let at = self.cursor.at();
        self.cursor.skip(1);
        if let Some((kind, bits)) = byte_order(word) {
            self.cursor.same_register(Width::W64, dst)?;
            return wide(width, at, Op::End { kind, bits, dst });
        }
        if let Some(atomic) = Atomic::named(word) {
            return self.fetch(atomic, width, dst, at);
        }
        let op = match word {
            "load_acquire" => return self.load_acquire(width, dst),
            "addr_space_cast" => self.addr_space_cast(dst)?,
            _ => Op::LdImm64 { dst, imm: self.pseudo(word, at)? },
        };
        wide(width, at, op)
    }

    fn addr_space_cast(&mut self, dst: Reg) -> Parsed<Op> {
        self.cursor.expect("(")?;
        let src = self.cursor.register_of(Width::W64)?;
        self.cursor.expect(",")?;
        let to = self.cursor.imm32(false)?;
        self.cursor.expect(",")?;
        let from = self.cursor.imm32(false)?;
        self.cursor.expect(")")?;
        Ok(Op::AddrSpaceCast { dst, src, imm: to << 16 | (from & 0xffff) })
    }

    /// What a 64-bit immediate refers to.
    fn pseudo(&mut self, word: &'a str, at: At) -> Parsed<Imm64> {
        let imm = match word {
            "map_fd" => Imm64::MapFd(self.cursor.imm32(false)?),
            "map_idx" => Imm64::MapIdx(self.cursor.imm32(false)?),
            "map_value" => Imm64::MapValue { fd: self.cursor.imm32(false)?, off: self.plus()? },
            "map_idx_value" => {
                Imm64::MapIdxValue { idx: self.cursor.imm32(false)?, off: self.plus()? }
            }
            "btf_id" => {
                let id = self.cursor.imm32(false)?;
                let is_in = self.cursor.eat_word("in");
                Imm64::BtfId { id, btf_fd: if is_in { self.cursor.imm32(false)? } else { 0 } }
            }
            "func" => Imm64::Func(self.target()?),
            _ => self
                .symbols
                .imm64(word)
                .ok_or_else(|| at.error(format!("unknown name `{word}`")))?,
        };
        self.cursor.eat_word("ll");
        Ok(imm)
    }

    /// An optional `+ 8`.
    fn plus(&mut self) -> Parsed<u32> {
        match self.cursor.peek() {
            Some(Kind::Punct("+")) => Ok(self.cursor.imm32(true)? as u32),
            _ => Ok(0),
        }
    }

    /// LLVM's `ld_pseudo r1, 0x1, 0x4`: kind and low half; its text leaves out the high half.
    pub(super) fn ld_pseudo(&mut self) -> Parsed<Op> {
        let dst = self.cursor.register_of(Width::W64)?;
        self.cursor.expect(",")?;
        let at = self.cursor.at();
        let kind = self.cursor.imm16()?;
        self.cursor.expect(",")?;
        let imm = self.cursor.imm32(false)?;
        let first = Insn::new(0x18, dst.0, kind as u8 & 15, 0, imm);
        let op = decode(&[first, Insn::default()], 0).ok().filter(|_| (0..16).contains(&kind));
        op.ok_or_else(|| at.error(format!("no 64-bit immediate is of kind {kind}")))
    }

    /// `atomic_fetch_add(…)` and its like, after the name.
    fn fetch(&mut self, atomic: Atomic, width: Width, dst: Reg, at: At) -> Parsed<Op> {
        let Atomic { op, size, has_type } = atomic;
        self.cursor.expect("(")?;
        let (size, base, off) = if has_type {
            let (found, base, off) = self.typed_address()?;
            if size.is_some_and(|s| s != found) {
                return Err(at.error("the name is for another operand size"));
            }
            (found, base, off)
        } else {
            let (base, off) = self.address()?;
            (size.unwrap_or(Size::DW), base, off)
        };
        self.cursor.expect(",")?;
        let operand_width = if size == Size::DW { Width::W64 } else { Width::W32 };
        if op == AtomicOp::Cmpxchg {
            self.cursor.same_register(operand_width, Reg::R0)?;
            self.cursor.expect(",")?;
        }
        let src = self.cursor.narrow_register(operand_width)?;
        self.cursor.expect(")")?;
        let old = if op == AtomicOp::Cmpxchg { Reg::R0 } else { src };
        if dst != old || (width == Width::W32 && operand_width == Width::W64) {
            return Err(at.error(format!("the old value goes to {old}")));
        }
        Ok(Op::Atomic { size, op, fetch: true, base, off, src })
    }
}

/// A read-modify-write operation as its name tells.
struct Atomic {
    op: AtomicOp,
    size: Option<Size>,
    /// The address has a type in front, which tells the size.
    has_type: bool,
}

impl Atomic {
    fn named(word: &str) -> Option<Atomic> {
        let (op, size, has_type) = match word {
            "xchg_64" => (AtomicOp::Xchg, Some(Size::DW), false),
            "xchg32_32" => (AtomicOp::Xchg, Some(Size::W), false),
            "cmpxchg_64" => (AtomicOp::Cmpxchg, Some(Size::DW), false),
            "cmpxchg32_32" => (AtomicOp::Cmpxchg, Some(Size::W), false),
            _ => {
                // `atomic_` is 32 bits wide in the kernel's style, either in LLVM's.
                let wide = word.strip_prefix("atomic64_");
                let name = wide.or_else(|| word.strip_prefix("atomic_"))?;
                let row = ATOMIC.iter().find(|r| r.fetch && r.text == name)?;
                (row.op, wide.map(|_| Size::DW), true)
            }
        };
        Some(Atomic { op, size, has_type })
    }
}

fn byte_order(word: &str) -> Option<(Endian, u8)> {
    let at = word.find(|c: char| c.is_ascii_digit())?;
    let kind = match &word[..at] {
        "le" => Endian::ToLe,
        "be" => Endian::ToBe,
        "bswap" => Endian::Swap,
        _ => return None,
    };
    Some((kind, word[at..].parse().ok()?))
}

/// `op`, which has no 32-bit form.
fn wide(width: Width, at: At, op: Op) -> Parsed<Op> {
    match width {
        Width::W64 => Ok(op),
        Width::W32 => Err(at.error("this needs a 64-bit register (r0 to r10) on the left")),
    }
}
