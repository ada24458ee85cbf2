//! Walking over the tokens of a line.

use std::fmt;

use super::super::lex::{Kind, Token};
use super::{At, Parsed};
use crate::{Reg, Width};

/// An operator, `s` for signed in front being a word of its own.
#[derive(Clone, Copy)]
pub(super) struct Operator {
    signed: bool,
    text: &'static str,
}

impl Operator {
    /// Whether this is the operator spelled `text`.
    pub(super) fn is(self, text: &str) -> bool {
        match text.strip_prefix('s') {
            Some(rest) => self.signed && self.text == rest,
            None => !self.signed && self.text == text,
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}{}`", if self.signed { "s" } else { "" }, self.text)
    }
}

pub(super) struct Cursor<'a, 'c> {
    tokens: &'c [Token<'a>],
    line: usize,
    /// Column after the last token.
    end: usize,
}

impl<'a, 'c> Cursor<'a, 'c> {
    pub(super) fn new(tokens: &'c [Token<'a>], line: usize) -> Cursor<'a, 'c> {
        let end = tokens.last().map_or(1, |t| t.column + t.length);
        Cursor { tokens, line, end }
    }

    /// Where the next token starts, or the last one ends.
    pub(super) fn at(&self) -> At {
        At { line: self.line, column: self.tokens.first().map_or(self.end, |t| t.column) }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.tokens.is_empty()
    }

    pub(super) fn peek(&self) -> Option<Kind<'a>> {
        self.peek_at(0)
    }

    pub(super) fn peek_at(&self, ahead: usize) -> Option<Kind<'a>> {
        self.tokens.get(ahead).map(|t| t.kind)
    }

    pub(super) fn skip(&mut self, count: usize) {
        self.tokens = self.tokens.get(count..).unwrap_or_default();
    }

    pub(super) fn skip_rest(&mut self) {
        self.tokens = &[];
    }

    pub(super) fn skip_past(&mut self, punct: &'static str) -> Parsed<()> {
        while !self.eat(punct) {
            if self.is_at_end() {
                return Err(self.unexpected(&format!("`{punct}`")));
            }
            self.skip(1);
        }
        Ok(())
    }

    pub(super) fn eat(&mut self, punct: &'static str) -> bool {
        let is_next = self.peek() == Some(Kind::Punct(punct));
        if is_next {
            self.skip(1);
        }
        is_next
    }

    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let is_next = matches!(self.peek(), Some(Kind::Word(w)) if w == word);
        if is_next {
            self.skip(1);
        }
        is_next
    }

    pub(super) fn expect(&mut self, punct: &'static str) -> Parsed<()> {
        if self.eat(punct) { Ok(()) } else { Err(self.unexpected(&format!("`{punct}`"))) }
    }

    pub(super) fn expect_word(&mut self, word: &str) -> Parsed<()> {
        if self.eat_word(word) { Ok(()) } else { Err(self.unexpected(&format!("`{word}`"))) }
    }

    pub(super) fn expect_end(&self) -> Parsed<()> {
        if self.is_at_end() { Ok(()) } else { Err(self.unexpected("the end of the line")) }
    }

    pub(super) fn unexpected(&self, wanted: &str) -> super::AsmError {
        match self.peek() {
            Some(found) => self.at().error(format!("expected {wanted}, found {found}")),
            None => self.at().error(format!("expected {wanted}, found the end of the line")),
        }
    }

    pub(super) fn word(&mut self, wanted: &str) -> Parsed<&'a str> {
        match self.peek() {
            Some(Kind::Word(word)) => {
                self.skip(1);
                Ok(word)
            }
            _ => Err(self.unexpected(wanted)),
        }
    }

    /// The opcode in front of an instruction.
    pub(super) fn opcode(&mut self) -> Option<u8> {
        let Some(Kind::Opcode(code)) = self.peek() else { return None };
        self.skip(1);
        Some(code)
    }

    pub(super) fn peek_register(&self) -> Option<(Width, Reg)> {
        match self.peek() {
            Some(Kind::Word(word)) => register(word),
            _ => None,
        }
    }

    pub(super) fn register(&mut self) -> Parsed<(Width, Reg)> {
        let found = self.peek_register().ok_or_else(|| self.unexpected("a register"))?;
        self.skip(1);
        Ok(found)
    }

    /// A register under the name of `width`.
    pub(super) fn register_of(&mut self, width: Width) -> Parsed<Reg> {
        let (error, found) = (self.unexpected(wanted(width)), self.register()?);
        if found.0 == width { Ok(found.1) } else { Err(error) }
    }

    /// The register `reg` at any width that `width` allows: the kernel's text says `r` where
    /// LLVM's says `w`.
    pub(super) fn same_register(&mut self, width: Width, reg: Reg) -> Parsed<()> {
        let error = self.unexpected(&format!("{reg} again"));
        if self.narrow_register(width)? == reg { Ok(()) } else { Err(error) }
    }

    /// `r1`, or `w1` too if `width` is 32 bits.
    pub(super) fn narrow_register(&mut self, width: Width) -> Parsed<Reg> {
        match (width, self.peek_register()) {
            (Width::W32, Some((_, reg))) => {
                self.skip(1);
                Ok(reg)
            }
            _ => self.register_of(width),
        }
    }

    pub(super) fn operator(&mut self) -> Parsed<Operator> {
        let is_word_s = matches!(self.peek(), Some(Kind::Word("s")));
        let signed = is_word_s && self.tokens.get(1).is_some_and(|t| t.glued);
        match self.peek_at(signed.into()) {
            Some(Kind::Punct(text)) => {
                self.skip(1 + usize::from(signed));
                Ok(Operator { signed, text })
            }
            _ => Err(self.unexpected("an operator")),
        }
    }

    /// A number with or without sign, as magnitude and sign.
    fn number(&mut self) -> Parsed<(bool, u64)> {
        let negative = self.peek() == Some(Kind::Punct("-"));
        let signed = negative || self.peek() == Some(Kind::Punct("+"));
        match self.peek_at(signed.into()) {
            Some(Kind::Number(n)) => {
                self.skip(1 + usize::from(signed));
                Ok((negative, n))
            }
            _ => Err(self.unexpected("a number")),
        }
    }

    fn number_within(&mut self, min: i64, max: i64) -> Parsed<i64> {
        let at = self.at();
        let (negative, magnitude) = self.number()?;
        let value = i128::from(magnitude) * if negative { -1 } else { 1 };
        match i64::try_from(value) {
            Ok(value) if (min..=max).contains(&value) => Ok(value),
            _ => Err(at.error(format!("{value} is not between {min} and {max}"))),
        }
    }

    /// A 32-bit immediate; `unsigned` ones may be written without sign up to 0xffffffff.
    pub(super) fn imm32(&mut self, unsigned: bool) -> Parsed<i32> {
        let max = if unsigned { u32::MAX.into() } else { i32::MAX.into() };
        Ok(self.number_within(i32::MIN.into(), max)? as i32)
    }

    pub(super) fn imm16(&mut self) -> Parsed<i16> {
        Ok(self.number_within(i16::MIN.into(), i16::MAX.into())? as i16)
    }

    /// A 64-bit immediate, signed or not.
    pub(super) fn imm64(&mut self) -> Parsed<u64> {
        let at = self.at();
        match self.number()? {
            (false, n) => Ok(n),
            (true, n) if n <= 1 << 63 => Ok(n.wrapping_neg()),
            (true, n) => Err(at.error(format!("-{n} does not fit 64 bits"))),
        }
    }

    /// A jump distance; its sign may not be left out.
    pub(super) fn offset(&mut self) -> Parsed<i32> {
        match self.peek() {
            Some(Kind::Punct("+" | "-")) => self.imm32(false),
            _ => Err(self.unexpected("a label or a signed distance")),
        }
    }
}

fn wanted(width: Width) -> &'static str {
    match width {
        Width::W32 => "a 32-bit register (w0 to w10)",
        Width::W64 => "a 64-bit register (r0 to r10)",
    }
}

fn register(word: &str) -> Option<(Width, Reg)> {
    let (width, digits) = match word.split_at_checked(1)? {
        ("r", digits) => (Width::W64, digits),
        ("w", digits) => (Width::W32, digits),
        _ => return None,
    };
    let plain = digits.len() == 1 || digits == "10";
    let number: u8 = digits.parse().ok().filter(|_| plain)?;
    Some((width, Reg(number)))
}
