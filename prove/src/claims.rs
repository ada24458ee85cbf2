//! The claims: one row of the table each.

use crate::contract::{keeps, next_above, next_above_promise};
use crate::exec::Value;
use crate::ir::Module;
use crate::product;
use crate::proof::{Case, Proof, Question};
use crate::smt::{Smt, Term};

type Make = Box<dyn Fn(&Module) -> Case + Send + Sync>;

/// A claim; its cases are made when they are due.
pub struct Claim {
    pub name: String,
    /// What it is about, for the table.
    pub width: &'static str,
    pub cases: Vec<Make>,
    /// It is false and z3 must say so.
    pub wrong: bool,
    /// Part of the share that the tests run.
    pub quick: bool,
}

fn claim(name: &str, width: &'static str, cases: Vec<Make>) -> Claim {
    let quick = QUICK.contains(&name);
    Claim { name: name.to_owned(), width, cases, wrong: name.starts_with("wrong"), quick }
}

/// One claim of each sort.
const QUICK: &[&str] = &[
    "wrong_sub",
    "p_neg",
    "p_truncate2",
    "p_swap32",
    "p_sync",
    "deduce64",
    "d_slt64",
    "y_lt64",
    "unsigned products",
];

/// The steps of `sync`: each is a lemma of its own; with contracts for what it calls.
const LEMMAS: &[(&str, &str, &[&str])] = &[
    ("deduce32", "8deduce32", &[]),
    ("deduce64", "8deduce64", &[]),
    ("deduce_mixed", "12deduce_mixed", &[]),
    ("learn32_from_bits", "17learn32_from_bits", &[]),
    ("learn_single", "12learn_single", &["10next_above"]),
    ("learn_from_bits", "15learn_from_bits", &["17learn32_from_bits", "12learn_single"]),
    ("learn_bits", "10learn_bits", &[]),
];

/// What claims about operations take from the lemmas.
const STEPS: &[&str] = &[
    "6Bounds4sync",
    "8deduce32",
    "8deduce64",
    "12deduce_mixed",
    "15learn_from_bits",
    "17learn32_from_bits",
    "10learn_bits",
];

const BINARY: &[(&str, &str)] = &[
    ("p_add", "bvadd"),
    ("p_sub", "bvsub"),
    ("p_and", "bvand"),
    ("p_or", "bvor"),
    ("p_xor", "bvxor"),
    ("wrong_add", "bvadd"),
    ("wrong_sub", "bvsub"),
];

const TRUNCATIONS: &[(&str, u32)] =
    &[("p_zero_extend32", 32), ("p_truncate1", 8), ("p_truncate2", 16), ("p_truncate4", 32)];

/// Bits taken, bits of the result; zero above.
const EXTENSIONS: &[(&str, u32, u32)] = &[
    ("p_sign_extend64_1", 8, 64),
    ("p_sign_extend64_2", 16, 64),
    ("p_sign_extend64_4", 32, 64),
    ("p_sign_extend32_1", 8, 32),
    ("p_sign_extend32_2", 16, 32),
];

const SWAPS: &[(&str, u32)] = &[("p_swap16", 2), ("p_swap32", 4), ("p_swap64", 8)];

const SHIFTS: &[(&str, &str, u32)] = &[
    ("p_shl64", "bvshl", 64),
    ("p_shr64", "bvlshr", 64),
    ("p_sar64", "bvashr", 64),
    ("p_shl32", "bvshl", 32),
    ("p_shr32", "bvlshr", 32),
    ("p_sar32", "bvashr", 32),
];

const CONDITIONS: &[&str] =
    &["eq", "ne", "gt", "ge", "lt", "le", "sgt", "sge", "slt", "sle", "set"];

/// Every claim, lemmas first.
pub fn all() -> Vec<Claim> {
    let mut all = vec![claim("next_above", "64", vec![Box::new(next_above_case)])];
    for (name, symbol, cuts) in LEMMAS {
        all.push(claim(name, "64+32", vec![Box::new(|f| lemma(f, symbol, cuts))]));
    }
    all.push(claim("p_sync", "64+32", vec![unary("p_sync", |_, n| n)]));
    for (name, op) in BINARY {
        all.push(claim(name, "64+32", vec![Box::new(|f| binary(f, name, op))]));
    }
    all.push(claim("p_neg", "64+32", vec![unary("p_neg", negative)]));
    for (name, bits) in TRUNCATIONS {
        all.push(claim(name, "64+32", vec![unary(name, |s, n| low_bits(s, n, *bits))]));
    }
    for (name, bits, to) in EXTENSIONS {
        all.push(claim(name, "64+32", vec![unary(name, |s, n| extended(s, n, *bits, *to))]));
    }
    for (name, bytes) in SWAPS {
        all.push(claim(name, "64+32", vec![unary(name, |s, n| swapped(s, n, *bytes))]));
    }
    for (name, op, width) in SHIFTS {
        let make = |by| -> Make { Box::new(move |f| shift(f, name, op, *width, by)) };
        let label = if *width == 64 { "64+32, by 0..=63" } else { "32, by 0..=31" };
        all.push(claim(name, label, (0..*width).map(make).collect()));
    }
    all.push(claim("p_set_low", "64+32", vec![Box::new(set_low)]));
    all.extend(jumps());
    all.extend(products());
    all
}

fn jumps() -> Vec<Claim> {
    let mut all = Vec::new();
    for cond in CONDITIONS {
        for (low, width) in [(false, "64"), (true, "32")] {
            let name = format!("d_{cond}{width}");
            all.push(claim(&name, width, vec![Box::new(move |f| decide(f, cond, low))]));
            for (side, taken) in [("y", true), ("n", false)] {
                let name = format!("{side}_{cond}{width}");
                let function = name.clone();
                let case = move |f: &Module| refine(f, &function, cond, low, taken);
                all.push(claim(&name, width, vec![Box::new(case)]));
            }
        }
    }
    let wrong = |f: &Module| refine(f, "wrong_lt64", "lt", false, true);
    all.push(claim("wrong_lt64", "64", vec![Box::new(wrong)]));
    all
}

fn products() -> Vec<Claim> {
    let text = |text: &'static str| -> Vec<Make> {
        let question = move || Question { attempts: vec![text.to_owned()] };
        vec![Box::new(move |_| Case {
            questions: vec![question()],
            premises: None,
            abstracted: false,
        })]
    };
    vec![
        claim("unsigned products", "integers", text(product::UNSIGNED)),
        claim("signed products", "integers", text(product::SIGNED)),
        claim("mul_step as sums", "integers", text(product::STEP)),
        claim("t_mul_step", "64", vec![Box::new(multiplication_step)]),
        claim("p_mul", "64+32, by the above", vec![Box::new(product::ranges)]),
    ]
}

fn steps(p: &mut Proof, symbols: &[&'static str], number: Term) {
    p.machine.contracts.number = Some(number);
    for symbol in symbols {
        let contract = if *symbol == "10next_above" { next_above } else { keeps };
        p.machine.contracts.cuts.push((symbol, contract));
    }
}

fn binary(f: &Module, name: &str, op: &str) -> Case {
    let mut p = Proof::new(f);
    let (a, b) = (p.operand("a"), p.operand("b"));
    let result = p.smt().binary(op, a.number, b.number);
    steps(&mut p, STEPS, result);
    p.call(name, &[a.pointer(), b.pointer()]);
    let claims = p.views(&a, result);
    p.claim(&claims)
}

fn unary(
    name: &'static str,
    real: impl Fn(&mut Smt, Term) -> Term + Send + Sync + 'static,
) -> Make {
    Box::new(move |f| {
        let mut p = Proof::new(f);
        let a = p.operand("a");
        let result = real(p.smt(), a.number);
        // `sync` itself is run; elsewhere it is one of the steps.
        let cuts = if name == "p_sync" { &STEPS[1..] } else { STEPS };
        steps(&mut p, cuts, result);
        p.call(name, &[a.pointer()]);
        let claims = p.views(&a, result);
        p.claim(&claims)
    })
}

fn negative(s: &mut Smt, n: Term) -> Term {
    s.binary("bvsub", Term::constant(64, 0), n)
}

fn low_bits(s: &mut Smt, n: Term, bits: u32) -> Term {
    let low = s.extract(n, 0, bits);
    s.zext(low, 64)
}

fn extended(s: &mut Smt, n: Term, bits: u32, to: u32) -> Term {
    let low = s.extract(n, 0, bits);
    let wide = s.sext(low, to);
    s.zext(wide, 64)
}

fn swapped(s: &mut Smt, n: Term, bytes: u32) -> Term {
    let mut swapped = s.extract(n, 0, 8);
    for byte in 1..bytes {
        let next = s.extract(n, byte * 8, 8);
        swapped = s.concat(swapped, next);
    }
    s.zext(swapped, 64)
}

fn shift(f: &Module, name: &str, op: &str, width: u32, by: u32) -> Case {
    let mut p = Proof::new(f);
    let a = p.operand("a");
    let s = p.smt();
    let cut = s.extract(a.number, 0, width);
    let shifted = s.binary(op, cut, Term::constant(width, by.into()));
    let result = s.zext(shifted, 64);
    steps(&mut p, STEPS, result);
    p.call(name, &[a.pointer(), Value::Bits(Term::constant(32, by.into()))]);
    let claims = p.views(&a, result);
    p.claim(&claims)
}

/// A number whose low half turns out to be known.
fn set_low(f: &Module) -> Case {
    let mut p = Proof::new(f);
    let a = p.operand("a");
    let s = p.smt();
    let (known, low) = (s.unknown("known", 32), s.extract(a.number, 0, 32));
    let same = s.compare("eq", low, known);
    p.always.push(same);
    p.call("p_set_low", &[a.pointer(), Value::Bits(known)]);
    let claims = p.views(&a, a.number);
    p.claim(&claims)
}

/// A step of `sync` on its own, by its symbol.
fn lemma(f: &Module, symbol: &str, cuts: &[&'static str]) -> Case {
    let mut p = Proof::new(f);
    let a = p.bare_operand("a");
    steps(&mut p, cuts, a.number);
    p.call(f.symbol(symbol), &[a.pointer()]);
    let claims = p.views(&a, a.number);
    p.claim(&claims)
}

fn next_above_case(f: &Module) -> Case {
    let mut p = Proof::new(f);
    let unknown = |p: &mut Proof, name: &str| p.smt().unknown(name, 64);
    let args = ["value", "mask", "n"].map(|name| unknown(&mut p, name));
    let number = unknown(&mut p, "number");
    let Some(Value::Pair(tag, next)) = p.call(f.symbol("10next_above"), &args.map(Value::Bits))
    else {
        panic!("next_above returns an option")
    };
    let promise = next_above_promise(&mut p.machine, args, [tag, next], number);
    p.claim(&[promise])
}

/// Whether the condition holds between two numbers.
fn condition(s: &mut Smt, cond: &str, low: bool, a: Term, b: Term) -> Term {
    let width = if low { 32 } else { 64 };
    let (a, b) = (s.extract(a, 0, width), s.extract(b, 0, width));
    let llvm = match cond {
        "set" => {
            let both = s.and(a, b);
            return s.compare("ne", both, Term::constant(width, 0));
        }
        "gt" | "ge" | "lt" | "le" => format!("u{cond}"),
        other => other.to_owned(),
    };
    s.compare(&llvm, a, b)
}

fn decide(f: &Module, cond: &str, low: bool) -> Case {
    let name = format!("d_{cond}{}", if low { 32 } else { 64 });
    let mut p = Proof::new(f);
    let (a, b) = (p.operand("a"), p.operand("b"));
    let Some(Value::Bits(answer)) = p.call(&name, &[a.pointer(), b.pointer()]) else {
        panic!("{name} returns a number")
    };
    let s = p.smt();
    let holds = condition(s, cond, low, a.number, b.number);
    let (no, yes) = (Term::constant(32, 0), Term::constant(32, 1));
    let (said_no, said_yes) = (s.compare("eq", answer, no), s.compare("eq", answer, yes));
    let not = s.not(holds);
    let (no_is_true, yes_is_true) = (s.implies(said_no, not), s.implies(said_yes, holds));
    p.claim_of_all(&[no_is_true, yes_is_true])
}

fn refine(f: &Module, name: &str, cond: &str, low: bool, taken: bool) -> Case {
    let mut p = Proof::new(f);
    let (a, b) = (p.operand("a"), p.operand("b"));
    let mut holds = condition(p.smt(), cond, low, a.number, b.number);
    if !taken {
        holds = p.smt().not(holds);
    }
    p.always.push(holds);
    p.call(name, &[a.pointer(), b.pointer()]);
    let mut claims = p.views(&a, a.number);
    claims.extend(p.views(&b, b.number));
    p.claim(&claims)
}

/// The step of the multiplication keeps `sum + x * y`: the bits of x are taken one by one.
fn multiplication_step(f: &Module) -> Case {
    let mut p = Proof::new(f);
    let (a, b, sum) = (p.operand("a"), p.operand("b"), p.operand("sum"));
    p.call("t_mul_step", &[a.pointer(), b.pointer(), sum.pointer()]);
    let s = p.smt();
    let one = Term::constant(64, 1);
    let (x, y) = (s.binary("bvlshr", a.number, one), s.binary("bvshl", b.number, one));
    let bit = s.extract(a.number, 0, 1);
    let added = s.binary("bvadd", sum.number, b.number);
    let new_sum = s.ite(bit, added, sum.number);
    let claims = [(&a, x), (&b, y), (&sum, new_sum)].map(|(o, number)| p.views(o, number)[0]);
    p.claim_of_all(&claims)
}
