//! One line of tokens to labels and an operation.

mod assign;
mod cursor;
mod memory;

use super::lex::{Kind, Token};
use super::{AsmError, Symbols};
use crate::table::{self, COND};
use crate::{Callee, Cond, Op, Src, Width};
use cursor::Cursor;

/// A place in the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl At {
    pub(super) fn error(self, message: impl Into<String>) -> AsmError {
        AsmError { line: self.line, column: self.column, message: message.into() }
    }
}

/// What a line says.
pub(super) struct Line<'a> {
    pub(super) labels: Vec<(&'a str, At)>,
    pub(super) statement: Option<Statement<'a>>,
}

/// An operation; its offset is to be replaced if there is a target.
pub(super) struct Statement<'a> {
    pub(super) at: At,
    pub(super) op: Op,
    pub(super) target: Option<(&'a str, At)>,
    /// The opcode that the text claims.
    pub(super) code: Option<u8>,
}

pub(super) fn line<'a>(
    tokens: &[Token<'a>],
    line: usize,
    symbols: &dyn Symbols,
) -> Result<Line<'a>, AsmError> {
    let mut cursor = Cursor::new(tokens, line);
    let labels = labels(&mut cursor);
    if cursor.is_at_end() {
        return Ok(Line { labels, statement: None });
    }
    let code = cursor.opcode();
    let at = cursor.at();
    let mut parser = Parser { cursor, symbols, target: None, is_imm64: code == Some(0x18) };
    let op = parser.statement()?;
    parser.cursor.expect_end()?;
    let statement = Some(Statement { at, op, target: parser.target, code });
    Ok(Line { labels, statement })
}

/// `name:` and slot numbers, which say nothing that counting does not.
fn labels<'a>(cursor: &mut Cursor<'a, '_>) -> Vec<(&'a str, At)> {
    let mut labels = Vec::new();
    while cursor.peek_at(1) == Some(Kind::Punct(":")) {
        let at = cursor.at();
        match cursor.peek() {
            Some(Kind::Word(name)) => labels.push((name, at)),
            Some(Kind::Number(_)) => {}
            _ => break,
        }
        cursor.skip(2);
    }
    labels
}

/// The statement part of a line.
struct Parser<'a, 'c> {
    cursor: Cursor<'a, 'c>,
    symbols: &'c dyn Symbols,
    target: Option<(&'a str, At)>,
    /// The text says `(18)`: a plain number is a 64-bit one.
    is_imm64: bool,
}

type Parsed<T> = Result<T, AsmError>;

impl<'a> Parser<'a, '_> {
    fn statement(&mut self) -> Parsed<Op> {
        let Some(Kind::Word(word)) = self.cursor.peek() else { return self.store() };
        if self.cursor.peek_register().is_some() {
            return self.assign();
        }
        let at = self.cursor.at();
        self.cursor.skip(1);
        match word {
            "exit" => Ok(Op::Exit),
            "goto" => Ok(Op::Ja { long: false, off: self.near_target()?.into() }),
            "gotol" => Ok(Op::Ja { long: true, off: self.target()? }),
            "may_goto" => Ok(Op::MayGoto { off: self.near_target()? }),
            "if" => self.branch(),
            "call" => self.call(),
            "lock" => self.lock(),
            "store_release" => self.store_release(),
            "ld_pseudo" => self.ld_pseudo(),
            _ => Err(at.error(format!("no instruction starts with `{word}`"))),
        }
    }

    fn branch(&mut self) -> Parsed<Op> {
        let (width, dst) = self.cursor.register()?;
        let at = self.cursor.at();
        let text = self.cursor.operator()?;
        let row = COND.iter().find(|r| text.is(r.text));
        let cond: Cond = row.ok_or_else(|| at.error(format!("{text} compares nothing")))?.cond;
        let src = self.operand(width, true)?;
        self.cursor.expect_word("goto")?;
        Ok(Op::Jmp { width, cond, dst, src, off: self.near_target()? })
    }

    /// A register of the given width, or an immediate. `unsigned`: also as 32 bits without sign.
    fn operand(&mut self, width: Width, unsigned: bool) -> Parsed<Src> {
        match self.cursor.peek_register() {
            Some(_) => Ok(Src::Reg(self.cursor.register_of(width)?)),
            None => Ok(Src::Imm(self.cursor.imm32(unsigned || width == Width::W32)?)),
        }
    }

    /// `pc+5`, `+5 <name>`, or a label, for which 0 stands until it is placed.
    fn target(&mut self) -> Parsed<i32> {
        if let Some(Kind::Word(word)) = self.cursor.peek()
            && word != "pc"
        {
            self.target = Some((word, self.cursor.at()));
            self.cursor.skip(1);
            return Ok(0);
        }
        self.cursor.eat_word("pc");
        let off = self.cursor.offset()?;
        if self.cursor.eat("<") {
            self.cursor.skip_past(">")?;
        }
        Ok(off)
    }

    fn near_target(&mut self) -> Parsed<i16> {
        let at = self.cursor.at();
        let off = self.target()?;
        i16::try_from(off).map_err(|_| at.error(format!("offset {off} does not fit 16 bits")))
    }

    fn call(&mut self) -> Parsed<Op> {
        let Some(Kind::Word(name)) = self.cursor.peek() else {
            return Ok(Op::Call(Callee::Helper(self.cursor.imm32(false)?)));
        };
        let at = self.cursor.at();
        self.cursor.skip(1);
        match name {
            "pc" => self.call_relative(),
            "kfunc" => self.call_kfunc(),
            _ if self.cursor.eat("#") => {
                let number = self.cursor.imm32(false)?;
                let callee = self.symbols.callee(name, Some(number));
                callee.map(Op::Call).ok_or_else(|| at.error(format!("no function `{name}`")))
            }
            _ => {
                self.target = Some((name, at));
                Ok(Op::Call(Callee::Subprog(0)))
            }
        }
    }

    /// After `call pc`: `+5`, with bpftool's name of the function behind `#`.
    fn call_relative(&mut self) -> Parsed<Op> {
        let off = self.cursor.offset()?;
        if self.cursor.eat("#") {
            self.cursor.skip_rest();
        }
        Ok(Op::Call(Callee::Subprog(off)))
    }

    /// After `call kfunc`: `#9`, `(1)#9`, `name#9` or `9`.
    fn call_kfunc(&mut self) -> Parsed<Op> {
        let mut off = 0;
        if self.cursor.eat("(") {
            off = self.cursor.imm16()?;
            self.cursor.expect(")")?;
        } else if let Some(Kind::Word(_)) = self.cursor.peek() {
            self.cursor.skip(1);
        }
        self.cursor.eat("#");
        Ok(Op::Call(Callee::Kfunc { id: self.cursor.imm32(false)?, off }))
    }
}

/// The size whose spelling is `word`, and whether it is the sign-extending one.
fn size_of(word: &str) -> Option<(crate::Size, bool)> {
    let row = table::SIZES.iter().find(|r| r.text == word || r.signed == word)?;
    Some((row.size, row.signed == word))
}
