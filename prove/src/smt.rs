//! Terms over bit vectors, written as SMT-LIB; constants are folded and equal terms shared.

use std::collections::HashMap;

/// A bit vector of `width` bits; one bit stands for a truth value too.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Term {
    pub width: u32,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Kind {
    Const(u64),
    Node(u32),
}

/// The definitions made so far.
#[derive(Default)]
pub struct Smt {
    lines: Vec<Line>,
    known: HashMap<(u32, String), Term>,
}

struct Line {
    text: String,
    uses: Vec<u32>,
    unknown: Option<String>,
}

fn mask(width: u32) -> u64 {
    if width >= 64 { u64::MAX } else { (1 << width) - 1 }
}

fn signed(value: u64, width: u32) -> i64 {
    (value << (64 - width)) as i64 >> (64 - width)
}

impl Term {
    pub fn constant(width: u32, value: u64) -> Term {
        Term { width, kind: Kind::Const(value & mask(width)) }
    }

    pub fn bool(value: bool) -> Term {
        Term::constant(1, value.into())
    }

    pub fn value(self) -> Option<u64> {
        match self.kind {
            Kind::Const(value) => Some(value),
            Kind::Node(_) => None,
        }
    }

    fn node(self) -> Option<u32> {
        match self.kind {
            Kind::Const(_) => None,
            Kind::Node(n) => Some(n),
        }
    }

    pub fn text(self) -> String {
        match self.kind {
            Kind::Const(value) => format!("(_ bv{value} {})", self.width),
            Kind::Node(n) => format!("t{n}"),
        }
    }
}

impl Smt {
    /// An unknown.
    pub fn unknown(&mut self, name: &str, width: u32) -> Term {
        let count = self.lines.len();
        let text = format!(
            "(declare-const {name} (_ BitVec {width}))\n(define-fun t{count} () (_ BitVec {width}) {name})\n"
        );
        self.lines.push(Line { text, uses: Vec::new(), unknown: Some(name.to_owned()) });
        Term { width, kind: Kind::Node(count as u32) }
    }

    fn define(&mut self, width: u32, expr: String) -> Term {
        if let Some(term) = self.known.get(&(width, expr.clone())) {
            return *term;
        }
        let count = self.lines.len();
        let term = Term { width, kind: Kind::Node(count as u32) };
        let is_node = |word: &&str| word.starts_with('t') && word.len() > 1;
        let uses = expr
            .split([' ', '(', ')'])
            .filter(is_node)
            .filter_map(|word| word[1..].parse().ok())
            .collect();
        let text = format!("(define-fun t{count} () (_ BitVec {width}) {expr})\n");
        self.lines.push(Line { text, uses, unknown: None });
        self.known.insert((width, expr), term);
        term
    }

    /// `a op b` for the operators that SMT-LIB calls `bv…`.
    pub fn binary(&mut self, op: &str, a: Term, b: Term) -> Term {
        assert_eq!(a.width, b.width, "{op}");
        let w = a.width;
        if let (Some(x), Some(y), true) = (a.value(), b.value(), w <= 64) {
            let shift = |f: fn(u64, u32) -> u64| if y >= w.into() { 0 } else { f(x, y as u32) };
            let value = match op {
                "bvadd" => x.wrapping_add(y),
                "bvsub" => x.wrapping_sub(y),
                "bvmul" => x.wrapping_mul(y),
                "bvand" => x & y,
                "bvor" => x | y,
                "bvxor" => x ^ y,
                "bvshl" => shift(|x, y| x << y),
                "bvlshr" => shift(|x, y| x >> y),
                "bvashr" => (signed(x, w) >> y.min(w as u64 - 1)) as u64,
                _ => panic!("no operator {op}"),
            };
            return Term::constant(w, value);
        }
        if w == 1 {
            match (op, a.value(), b.value()) {
                ("bvand", Some(0), _) | ("bvand", _, Some(0)) => return Term::bool(false),
                ("bvor", Some(1), _) | ("bvor", _, Some(1)) => return Term::bool(true),
                ("bvand", Some(1), _) | ("bvor" | "bvxor", Some(0), _) => return b,
                ("bvand", _, Some(1)) | ("bvor" | "bvxor", _, Some(0)) => return a,
                _ => {}
            }
        }
        self.define(w, format!("({op} {} {})", a.text(), b.text()))
    }

    pub fn and(&mut self, a: Term, b: Term) -> Term {
        self.binary("bvand", a, b)
    }

    pub fn or(&mut self, a: Term, b: Term) -> Term {
        self.binary("bvor", a, b)
    }

    pub fn not(&mut self, a: Term) -> Term {
        let ones = Term::constant(a.width, u64::MAX);
        self.binary("bvxor", a, ones)
    }

    /// Whether `a` implies `b`.
    pub fn implies(&mut self, a: Term, b: Term) -> Term {
        let not = self.not(a);
        self.or(not, b)
    }

    /// A comparison by LLVM's name.
    pub fn compare(&mut self, cond: &str, a: Term, b: Term) -> Term {
        assert_eq!(a.width, b.width, "{cond}");
        if let (Some(x), Some(y), true) = (a.value(), b.value(), a.width <= 64) {
            let (s, t) = (signed(x, a.width), signed(y, a.width));
            return Term::bool(match cond {
                "eq" => x == y,
                "ne" => x != y,
                "ult" => x < y,
                "ule" => x <= y,
                "ugt" => x > y,
                "uge" => x >= y,
                "slt" => s < t,
                "sle" => s <= t,
                "sgt" => s > t,
                "sge" => s >= t,
                _ => panic!("no condition {cond}"),
            });
        }
        let (x, y) = (a.text(), b.text());
        let test = match cond {
            "eq" => format!("(= {x} {y})"),
            "ne" => format!("(not (= {x} {y}))"),
            other => format!("(bv{other} {x} {y})"),
        };
        self.define(1, format!("(ite {test} #b1 #b0)"))
    }

    pub fn ite(&mut self, cond: Term, a: Term, b: Term) -> Term {
        match cond.value() {
            Some(1) => return a,
            Some(_) => return b,
            None if a == b => return a,
            None => {}
        }
        let expr = format!("(ite (= {} #b1) {} {})", cond.text(), a.text(), b.text());
        self.define(a.width, expr)
    }

    pub fn zext(&mut self, a: Term, width: u32) -> Term {
        match a.value() {
            Some(value) => Term::constant(width, value),
            None if width == a.width => a,
            None => {
                self.define(width, format!("((_ zero_extend {}) {})", width - a.width, a.text()))
            }
        }
    }

    pub fn sext(&mut self, a: Term, width: u32) -> Term {
        match a.value() {
            Some(value) if width <= 64 => Term::constant(width, signed(value, a.width) as u64),
            _ if width == a.width => a,
            _ => self.define(width, format!("((_ sign_extend {}) {})", width - a.width, a.text())),
        }
    }

    /// `width` bits from bit `low` on.
    pub fn extract(&mut self, a: Term, low: u32, width: u32) -> Term {
        match a.value() {
            Some(value) if a.width <= 64 => Term::constant(width, value >> low),
            _ if width == a.width => a,
            _ => {
                let expr = format!("((_ extract {} {low}) {})", low + width - 1, a.text());
                self.define(width, expr)
            }
        }
    }

    pub fn concat(&mut self, high: Term, low: Term) -> Term {
        let width = high.width + low.width;
        match (high.value(), low.value()) {
            (Some(h), Some(l)) if width <= 64 => Term::constant(width, h << low.width | l),
            _ => self.define(width, format!("(concat {} {})", high.text(), low.text())),
        }
    }

    /// The question whether `claim` can be false where `given` holds; only what these two need.
    pub fn refute(&self, given: &[Term], claim: Term) -> String {
        let mut needed = vec![false; self.lines.len()];
        let mut todo: Vec<u32> = given.iter().chain([&claim]).filter_map(|t| t.node()).collect();
        while let Some(n) = todo.pop() {
            if !std::mem::replace(&mut needed[n as usize], true) {
                todo.extend(self.lines[n as usize].uses.iter());
            }
        }
        let mut text = String::from("(set-logic QF_BV)\n");
        let mut unknowns = String::new();
        for line in self.lines.iter().zip(&needed).filter(|(_, needed)| **needed).map(|l| l.0) {
            text += &line.text;
            if let Some(name) = &line.unknown {
                unknowns += " ";
                unknowns += name;
            }
        }
        for given in given {
            text += &format!("(assert (= {} #b1))\n", given.text());
        }
        let not = format!("(assert (= {} #b0))\n(check-sat)\n", claim.text());
        format!("{text}{not}(get-value ({unknowns}))\n")
    }
}
