//! A line of assembly to tokens. Comments start with `;`, `//`, or `#` after a space.

use super::AsmError;

/// One token with the column (in characters, from 1) it starts at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind<'a>,
    pub(super) column: usize,
    /// Characters it takes.
    pub(super) length: usize,
    /// No space between this token and the one before.
    pub(super) glued: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind<'a> {
    Word(&'a str),
    /// Without sign.
    Number(u64),
    /// `(b7)` in front of an instruction.
    Opcode(u8),
    Punct(&'static str),
}

impl std::fmt::Display for Kind<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Kind::Word(w) => write!(f, "`{w}`"),
            Kind::Number(n) => write!(f, "`{n}`"),
            Kind::Opcode(code) => write!(f, "`({code:02x})`"),
            Kind::Punct(p) => write!(f, "`{p}`"),
        }
    }
}

/// Longest first.
const PUNCT: [&str; 30] = [
    "<<=", ">>=", "==", "!=", ">=", "<=", "+=", "-=", "*=", "/=", "|=", "&=", "^=", "%=", "(", ")",
    "[", "]", ",", "+", "-", "*", "/", "=", "<", ">", "&", ":", "#", "|",
];

/// The tokens of `text`, which is line number `line`.
pub(super) fn tokens(text: &str, line: usize) -> Result<Vec<Token<'_>>, AsmError> {
    let mut out = Vec::new();
    let mut rest = text;
    let mut column = 1;
    loop {
        let trimmed = rest.trim_start();
        let glued = trimmed.len() == rest.len() && !out.is_empty();
        column += rest[..rest.len() - trimmed.len()].chars().count();
        rest = trimmed;
        if rest.is_empty() || is_comment(rest, glued) {
            return Ok(out);
        }
        let error = |message| AsmError { line, column, message };
        let (kind, length) = match opcode(rest).filter(|_| may_be_opcode(&out, glued)) {
            Some(code) => (Kind::Opcode(code), "(b7)".len()),
            None => token(rest).map_err(error)?,
        };
        out.push(Token { kind, column, length, glued });
        column += length;
        rest = &rest[length..];
    }
}

fn is_comment(rest: &str, glued: bool) -> bool {
    rest.starts_with(';') || rest.starts_with("//") || (rest.starts_with('#') && !glued)
}

/// An opcode stands by itself, unlike an argument in parentheses.
fn may_be_opcode(before: &[Token<'_>], glued: bool) -> bool {
    !glued || before.last().is_some_and(|t| t.kind == Kind::Punct(":"))
}

/// Two hexadecimal digits in parentheses.
fn opcode(rest: &str) -> Option<u8> {
    let digits = rest.strip_prefix('(')?.get(..2)?;
    let is_closed = rest.as_bytes().get(3) == Some(&b')');
    let is_hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
    u8::from_str_radix(digits, 16).ok().filter(|_| is_closed && is_hex)
}

/// The token that `rest` starts with, and its length in bytes; tokens are ASCII.
fn token(rest: &str) -> Result<(Kind<'_>, usize), String> {
    let first = rest.as_bytes()[0];
    if first.is_ascii_digit() {
        let length = span(rest, |b| b.is_ascii_alphanumeric());
        return Ok((Kind::Number(number(&rest[..length])?), length));
    }
    if is_word(first) {
        let length = span(rest, is_word);
        return Ok((Kind::Word(&rest[..length]), length));
    }
    match PUNCT.iter().find(|p| rest.starts_with(**p)) {
        Some(p) => Ok((Kind::Punct(p), p.len())),
        None => Err(format!("unexpected character {:?}", rest.chars().next().unwrap_or(' '))),
    }
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"_.$@".contains(&b)
}

fn span(rest: &str, belongs: impl Fn(u8) -> bool) -> usize {
    rest.bytes().take_while(|b| belongs(*b)).count()
}

fn number(digits: &str) -> Result<u64, String> {
    let value = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => digits.parse(),
    };
    value.map_err(|e| format!("bad number `{digits}`: {e}"))
}
