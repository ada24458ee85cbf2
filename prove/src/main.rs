//! Proofs that the verifier's number domain is sound: for every number in the operands, the true
//! result is in what the domain computes; a jump decided one way never goes the other; what a
//! branch learns keeps every number that takes it.
//!
//! `prove IR [--dump DIR]` reads the LLVM IR that `subject` compiles to (the domain's own source
//! files), runs it on terms, and asks z3 for a counter-example to each claim. Three mistakes made on
//! purpose must be found. Usually started by `cargo xtask prove`.

mod exec;
mod ir;
mod smt;

use std::collections::HashMap;
use std::io::Write;
use std::process::{Command, ExitCode, Stdio};

use exec::{Machine, Memory, Value};
use ir::Function;
use smt::{Smt, Term};

type Functions = HashMap<String, Function>;

/// Fields of `Flat`: offset and width, in order.
const FIELDS: [(i64, u32); 10] = [
    (0, 64),
    (8, 64),
    (16, 64),
    (24, 64),
    (32, 64),
    (40, 64),
    (48, 32),
    (52, 32),
    (56, 32),
    (60, 32),
];

/// A claim ready for z3.
struct Claim {
    name: String,
    /// One list a view: each holds the same question, first with few of the premises (which is
    /// quick, and what follows from few follows from all), at last with all.
    queries: Vec<Vec<String>>,
    /// The claim is false and z3 must say so.
    wrong: bool,
}

/// A flat in memory, holding a number.
struct Operand {
    object: usize,
    number: Term,
}

struct Proof<'f> {
    machine: Machine<'f>,
    memory: Memory,
    /// What the operands' views say of their numbers, by kind of view.
    given: Vec<(Kind, Term)>,
    /// Premises of every question.
    always: Vec<Term>,
}

/// Kinds of views: bits, and ranges of 64 and 32 bits, unsigned and signed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bits,
    U64,
    S64,
    U32,
    S32,
}

const KINDS: [Kind; 9] = [
    Kind::Bits,
    Kind::U64,
    Kind::U64,
    Kind::S64,
    Kind::S64,
    Kind::U32,
    Kind::U32,
    Kind::S32,
    Kind::S32,
];

impl<'f> Proof<'f> {
    fn new(functions: &'f Functions) -> Proof<'f> {
        Proof {
            machine: Machine::new(functions),
            memory: Memory::new(),
            given: Vec::new(),
            always: Vec::new(),
        }
    }

    fn smt(&mut self) -> &mut Smt {
        &mut self.machine.smt
    }

    /// Any bounds, and any number in them.
    fn operand(&mut self, name: &str) -> Operand {
        let object = self.machine.object();
        for (n, (off, width)) in FIELDS.iter().enumerate() {
            let term = self.smt().unknown(&format!("{name}_{n}"), *width);
            for word in 0..width / 32 {
                let part = self.smt().extract(term, word * 32, 32);
                self.memory.insert((object, off + i64::from(word) * 4), part);
            }
        }
        let number = self.smt().unknown(&format!("{name}_number"), 64);
        let views = self.views(object, number);
        self.given.extend(KINDS.into_iter().zip(views));
        Operand { object, number }
    }

    fn field(&mut self, object: usize, n: usize) -> Term {
        let (off, width) = FIELDS[n];
        let low = self.memory[&(object, off)];
        if width == 32 {
            return low;
        }
        let high = self.memory[&(object, off + 4)];
        self.smt().concat(high, low)
    }

    /// Whether the number is in the bounds, view by view.
    fn views(&mut self, object: usize, number: Term) -> Vec<Term> {
        let f: Vec<Term> = (0..10).map(|n| self.field(object, n)).collect();
        let s = self.smt();
        let low = s.extract(number, 0, 32);
        let unmasked = s.not(f[1]);
        let known = s.binary("bvand", number, unmasked);
        vec![
            s.compare("eq", known, f[0]),
            s.compare("ule", f[2], number),
            s.compare("ule", number, f[3]),
            s.compare("sle", f[4], number),
            s.compare("sle", number, f[5]),
            s.compare("ule", f[6], low),
            s.compare("ule", low, f[7]),
            s.compare("sle", f[8], low),
            s.compare("sle", low, f[9]),
        ]
    }

    fn call(&mut self, name: &str, args: &[Value]) -> Option<Value> {
        let memory = std::mem::take(&mut self.memory);
        let (value, memory) = self.machine.call(name, args, memory);
        self.memory = memory;
        value
    }

    fn claim(self, name: &str, claims: &[Term]) -> Claim {
        let open = claims.iter().enumerate().filter(|(_, claim)| claim.value() != Some(1));
        let queries = open.map(|(n, claim)| self.attempts(KINDS[n % 9], *claim)).collect();
        Claim { name: name.to_owned(), queries, wrong: name.starts_with("wrong") }
    }

    fn attempts(&self, kind: Kind, claim: Term) -> Vec<String> {
        let signed_too = match kind {
            Kind::U64 | Kind::S64 => [Kind::U64, Kind::S64],
            Kind::U32 | Kind::S32 => [Kind::U32, Kind::S32],
            Kind::Bits => [Kind::Bits, Kind::Bits],
        };
        let enough = [vec![], vec![Kind::Bits], signed_too.to_vec()];
        let few = enough.into_iter().map(|mut kinds| {
            kinds.push(kind);
            let given = self.given.iter().filter(|(k, _)| kinds.contains(k)).map(|(_, t)| *t);
            given.chain(self.always.iter().copied()).collect::<Vec<Term>>()
        });
        let all = self.given.iter().map(|(_, t)| *t).chain(self.always.iter().copied()).collect();
        let mut sets: Vec<Vec<Term>> = few.collect();
        sets.push(all);
        sets.dedup();
        sets.iter().map(|given| self.machine.smt.refute(given, claim)).collect()
    }
}

fn pointer(object: usize) -> Value {
    Value::Ptr(vec![(Term::bool(true), object, 0)])
}

fn binary(functions: &Functions, name: &str, op: &str) -> Claim {
    let mut p = Proof::new(functions);
    let (a, b) = (p.operand("a"), p.operand("b"));
    p.call(name, &[pointer(a.object), pointer(b.object)]);
    let result = p.smt().binary(op, a.number, b.number);
    let claims = p.views(a.object, result);
    p.claim(name, &claims)
}

fn unary(functions: &Functions, name: &str, real: fn(&mut Smt, Term) -> Term) -> Claim {
    let mut p = Proof::new(functions);
    let a = p.operand("a");
    p.call(name, &[pointer(a.object)]);
    let result = real(p.smt(), a.number);
    let claims = p.views(a.object, result);
    p.claim(name, &claims)
}

/// Shifts by every amount below the width, each amount on its own.
fn shift(functions: &Functions, name: &str, op: &str, width: u32) -> Vec<Claim> {
    let one = |by: u32| {
        let mut p = Proof::new(functions);
        let a = p.operand("a");
        p.call(name, &[pointer(a.object), Value::Bits(Term::constant(32, by.into()))]);
        let s = p.smt();
        let cut = s.extract(a.number, 0, width);
        let shifted = s.binary(op, cut, Term::constant(width, by.into()));
        let result = s.zext(shifted, 64);
        let claims = p.views(a.object, result);
        p.claim(&format!("{name} by {by}"), &claims)
    };
    (0..width).map(one).collect()
}

/// Whether the condition holds between two numbers.
fn condition(s: &mut Smt, cond: &str, low: bool, a: Term, b: Term) -> Term {
    let width = if low { 32 } else { 64 };
    let (a, b) = (s.extract(a, 0, width), s.extract(b, 0, width));
    let llvm = match cond {
        "set" => {
            let both = s.binary("bvand", a, b);
            return s.compare("ne", both, Term::constant(width, 0));
        }
        "gt" | "ge" | "lt" | "le" => format!("u{cond}"),
        other => other.to_owned(),
    };
    s.compare(&llvm, a, b)
}

fn decide(functions: &Functions, cond: &str, low: bool) -> Claim {
    let name = format!("d_{cond}{}", if low { 32 } else { 64 });
    let mut p = Proof::new(functions);
    let (a, b) = (p.operand("a"), p.operand("b"));
    let Some(Value::Bits(answer)) = p.call(&name, &[pointer(a.object), pointer(b.object)]) else {
        panic!("{name} returns a number")
    };
    let s = p.smt();
    let holds = condition(s, cond, low, a.number, b.number);
    let (no, yes) = (Term::constant(32, 0), Term::constant(32, 1));
    let (said_no, said_yes) = (s.compare("eq", answer, no), s.compare("eq", answer, yes));
    let not = s.not(holds);
    let (lie, other_lie) = (s.and(said_no, holds), s.and(said_yes, not));
    let wrong = s.or(lie, other_lie);
    let claim = s.not(wrong);
    p.claim(&name, &[claim])
}

fn refine(functions: &Functions, name: &str, cond: &str, low: bool, taken: bool) -> Claim {
    let mut p = Proof::new(functions);
    let (a, b) = (p.operand("a"), p.operand("b"));
    let mut holds = condition(p.smt(), cond, low, a.number, b.number);
    if !taken {
        holds = p.smt().not(holds);
    }
    p.always.push(holds);
    p.call(name, &[pointer(a.object), pointer(b.object)]);
    let mut claims = p.views(a.object, a.number);
    claims.extend(p.views(b.object, b.number));
    p.claim(name, &claims)
}

/// The step of the multiplication keeps `sum + x * y`: the bits of x are taken one by one.
fn multiplication_step(functions: &Functions) -> Claim {
    let name = "t_mul_step";
    let mut p = Proof::new(functions);
    let (a, b, sum) = (p.operand("a"), p.operand("b"), p.operand("sum"));
    p.call(name, &[pointer(a.object), pointer(b.object), pointer(sum.object)]);
    let s = p.smt();
    let one = Term::constant(64, 1);
    let x = s.binary("bvlshr", a.number, one);
    let y = s.binary("bvshl", b.number, one);
    let bit = s.extract(a.number, 0, 1);
    let added = s.binary("bvadd", sum.number, b.number);
    let new_sum = s.ite(bit, added, sum.number);
    let mut claims = Vec::new();
    for (object, number) in [(a.object, x), (b.object, y), (sum.object, new_sum)] {
        let (value, mask) = (p.field(object, 0), p.field(object, 1));
        let s = p.smt();
        let unmasked = s.not(mask);
        let known = s.binary("bvand", number, unmasked);
        claims.push(s.compare("eq", known, value));
    }
    p.claim(name, &claims)
}

/// Bounds of products as the domain takes them, over the integers: the bit vectors of 64 bits
/// are out of reach for products. `overflow` is what `checked_mul` refuses.
fn product_models() -> Vec<Claim> {
    let model = |name: &str, text: &str, wrong| Claim {
        name: name.into(),
        queries: vec![vec![text.into()]],
        wrong,
    };
    vec![
        model("product of unsigned ranges (model)", UNSIGNED_PRODUCT, false),
        model("product of signed ranges (model)", SIGNED_PRODUCT, false),
    ]
}

const UNSIGNED_PRODUCT: &str =
    "(declare-const a Int)(declare-const b Int)(declare-const c Int)(declare-const d Int)
(declare-const x Int)(declare-const y Int)
(assert (and (<= 0 a x b) (<= 0 c y d)))
(assert (not (and (<= (* a c) (* x y)) (<= (* x y) (* b d)))))
(check-sat)
";

const SIGNED_PRODUCT: &str =
    "(declare-const a Int)(declare-const b Int)(declare-const c Int)(declare-const d Int)
(declare-const x Int)(declare-const y Int)
(define-fun least ((p Int) (q Int)) Int (ite (< p q) p q))
(define-fun most ((p Int) (q Int)) Int (ite (> p q) p q))
(assert (and (<= a x b) (<= c y d)))
(define-fun xc () Int (* x c))
(define-fun xd () Int (* x d))
; x * y lies between x * c and x * d, and each of these between its ends.
(assert (or (and (>= x 0) (not (<= xc (* x y) xd)))
            (and (< x 0) (not (<= xd (* x y) xc)))
            (and (>= c 0) (not (<= (* a c) xc (* b c))))
            (and (< c 0) (not (<= (* b c) xc (* a c))))
            (and (>= d 0) (not (<= (* a d) xd (* b d))))
            (and (< d 0) (not (<= (* b d) xd (* a d))))))
(check-sat)
";

const CONDITIONS: &[&str] =
    &["eq", "ne", "gt", "ge", "lt", "le", "sgt", "sge", "slt", "sle", "set"];

fn claims(f: &Functions) -> Vec<Claim> {
    let mut all = Vec::new();
    for (name, op) in [
        ("p_add", "bvadd"),
        ("p_sub", "bvsub"),
        ("p_and", "bvand"),
        ("p_or", "bvor"),
        ("p_xor", "bvxor"),
        ("wrong_add", "bvadd"),
        ("wrong_sub", "bvsub"),
    ] {
        all.push(binary(f, name, op));
    }
    all.push(unary(f, "p_sync", |_, n| n));
    all.push(unary(f, "p_neg", |s, n| s.binary("bvsub", Term::constant(64, 0), n)));
    macro_rules! truncations {
        ($($name:literal, $bits:literal;)*) => {
            $(all.push(unary(f, $name, |s, n| {
                let low = s.extract(n, 0, $bits);
                s.zext(low, 64)
            }));)*
        };
    }
    truncations! { "p_zero_extend32", 32; "p_truncate1", 8; "p_truncate2", 16; "p_truncate4", 32; }
    macro_rules! extensions {
        ($($name:literal, $bits:literal, $to:literal;)*) => {
            $(all.push(unary(f, $name, |s, n| {
                let low = s.extract(n, 0, $bits);
                let wide = s.sext(low, $to);
                s.zext(wide, 64)
            }));)*
        };
    }
    extensions! {
        "p_sign_extend64_1", 8, 64; "p_sign_extend64_2", 16, 64; "p_sign_extend64_4", 32, 64;
        "p_sign_extend32_1", 8, 32; "p_sign_extend32_2", 16, 32;
    }
    macro_rules! swaps {
        ($($name:literal, $bytes:literal;)*) => {
            $(all.push(unary(f, $name, |s, n| {
                let mut swapped = s.extract(n, 0, 8);
                for byte in 1..$bytes {
                    let next = s.extract(n, byte * 8, 8);
                    swapped = s.concat(swapped, next);
                }
                s.zext(swapped, 64)
            }));)*
        };
    }
    swaps! { "p_swap16", 2; "p_swap32", 4; "p_swap64", 8; }
    for (name, op, width) in [
        ("p_shl64", "bvshl", 64),
        ("p_shr64", "bvlshr", 64),
        ("p_sar64", "bvashr", 64),
        ("p_shl32", "bvshl", 32),
        ("p_shr32", "bvlshr", 32),
        ("p_sar32", "bvashr", 32),
    ] {
        all.extend(shift(f, name, op, width));
    }
    for cond in CONDITIONS {
        for low in [false, true] {
            let width = if low { 32 } else { 64 };
            all.push(decide(f, cond, low));
            all.push(refine(f, &format!("y_{cond}{width}"), cond, low, true));
            all.push(refine(f, &format!("n_{cond}{width}"), cond, low, false));
        }
    }
    all.push(refine(f, "wrong_lt64", "lt", false, true));
    all.push(multiplication_step(f));
    all.extend(product_models());
    all
}

/// The answer of the first attempt that refutes, or else of the last.
fn settle(attempts: &[String]) -> String {
    let mut answer = String::new();
    for (n, query) in attempts.iter().enumerate() {
        let seconds = if n + 1 == attempts.len() { 600 } else { 20 };
        answer = ask(query, seconds).unwrap_or_else(|e| e);
        if answer == "unsat" {
            break;
        }
    }
    answer
}

fn ask(query: &str, seconds: u32) -> Result<String, String> {
    let mut z3 = Command::new("z3")
        .args(["-in".to_owned(), format!("-T:{seconds}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("z3: {e}"))?;
    z3.stdin
        .take()
        .ok_or("z3 takes no input")?
        .write_all(query.as_bytes())
        .map_err(|e| format!("z3: {e}"))?;
    let out = z3.wait_with_output().map_err(|e| format!("z3: {e}"))?;
    Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(Ok(text)) = args.first().map(std::fs::read_to_string) else {
        eprintln!("prove: name the LLVM IR of `subject`");
        return ExitCode::from(2);
    };
    let only = args.get(1);
    let functions = ir::parse(&text);
    let (mut proven, mut failed) = (0, 0);
    for claim in claims(&functions) {
        if only.is_some_and(|only| !claim.name.contains(only.as_str())) {
            continue;
        }
        let start = std::time::Instant::now();
        let mut answer = "unsat".to_owned();
        for (n, attempts) in claim.queries.iter().enumerate() {
            if let (Some(dir), Some(query)) = (args.get(2), attempts.last()) {
                let _ = std::fs::write(format!("{dir}/{}.{n}.smt2", claim.name), query);
            }
            answer = settle(attempts);
            if answer != "unsat" {
                break;
            }
        }
        let good = answer == if claim.wrong { "sat" } else { "unsat" };
        let said = match (good, claim.wrong) {
            (true, false) => "proven",
            (true, true) => "mistake found, as it must be",
            _ => "FAILED",
        };
        println!("{:<40} {said} ({answer}, {:.1} s)", claim.name, start.elapsed().as_secs_f32());
        if good { proven += 1 } else { failed += 1 }
    }
    println!("{proven} claims settled, {failed} not");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
