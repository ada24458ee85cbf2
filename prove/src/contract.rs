//! Functions that are not run where they are called: what is proven of them on its own is assumed
//! of what they leave, and what that proof assumes is owed by the caller.

use crate::exec::{Machine, Memory, Value};
use crate::smt::Term;
use crate::views::{KINDS, Kind, has, havoc, views};

type Contract = fn(&mut Machine, &[Value], &mut Memory) -> Option<Value>;

/// A product as integers have it: signed, the factors, twice as many bits.
pub struct Product {
    pub signed: bool,
    pub factors: [Term; 2],
    pub exact: Term,
}

/// The contracts in force, and what they led to.
#[derive(Default)]
pub struct Contracts {
    /// A part of the function's symbol, and what stands for it.
    pub cuts: Vec<(&'static str, Contract)>,
    /// Where `Bounds` has its fields.
    pub layout: [i64; 10],
    /// The number that the bounds describe wherever a contract meets them.
    pub number: Option<Term>,
    /// The factors, where `number` is a product.
    pub factors: Option<[Term; 2]>,
    /// What the contracts promise.
    pub assumed: Vec<(Kind, Term)>,
    /// What they ask.
    pub owed: Vec<(Kind, Term)>,
    /// Products met on the way.
    pub products: Vec<Product>,
    /// How many contracts were used.
    pub used: usize,
}

impl Contracts {
    /// The contract of a function, by its symbol.
    pub fn of(&self, name: &str) -> Option<Contract> {
        self.cuts.iter().find(|(part, _)| name.contains(part)).map(|(_, contract)| *contract)
    }

    fn number(&mut self) -> Term {
        self.used += 1;
        self.number.expect("a contract speaks of a number")
    }
}

/// `&mut Bounds`: a number that is in all views before is in all views after.
pub fn keeps(m: &mut Machine, args: &[Value], memory: &mut Memory) -> Option<Value> {
    let Some(Value::Ptr(list)) = args.first() else { panic!("bounds by reference") };
    let [(_, object, off)] = list[..] else { panic!("bounds at a known place") };
    let (place, number, layout) = ((object, off), m.contracts.number(), m.contracts.layout);
    let before = views(&mut m.smt, memory, place, &layout, number);
    let name = format!("cut{}", m.contracts.used);
    havoc(&mut m.smt, memory, place, &layout, &name);
    let after = views(&mut m.smt, memory, place, &layout, number);
    for (kind, (before, after)) in KINDS.into_iter().zip(before.into_iter().zip(after)) {
        let (owed, assumed) = (m.smt.implies(m.context, before), m.smt.implies(m.context, after));
        m.contracts.owed.push((kind, owed));
        m.contracts.assumed.push((kind, assumed));
    }
    None
}

/// `Tnum::next_above(n)`: a member above n is not below the result, which is there.
pub fn next_above(m: &mut Machine, args: &[Value], _: &mut Memory) -> Option<Value> {
    let [Value::Bits(value), Value::Bits(mask), Value::Bits(n)] = args else {
        panic!("bits and a number")
    };
    let number = m.contracts.number();
    let name = format!("next{}", m.contracts.used);
    let tag = m.smt.unknown(&format!("{name}_some"), 64);
    let next = m.smt.unknown(&name, 64);
    let promise = next_above_promise(m, [*value, *mask, *n], [tag, next], number);
    m.contracts.assumed.push((Kind::Bits, promise));
    Some(Value::Pair(tag, next))
}

/// What `next_above` promises: `tag` says whether there is a `next`.
pub fn next_above_promise(
    m: &mut Machine,
    [value, mask, n]: [Term; 3],
    [tag, next]: [Term; 2],
    number: Term,
) -> Term {
    let s = &mut m.smt;
    let (member, above) = (has(s, value, mask, number), s.compare("ult", n, number));
    let some = s.compare("eq", tag, Term::constant(64, 1));
    let least = s.compare("ule", next, number);
    let (premise, conclusion) = (s.and(member, above), s.and(some, least));
    s.implies(premise, conclusion)
}

/// `Tnum::mul`: the product of members is a member (each turn of its loop is proven).
pub fn multiply(m: &mut Machine, args: &[Value], _: &mut Memory) -> Option<Value> {
    let number = m.contracts.number();
    let factors = m.contracts.factors.expect("a product has factors");
    for (pair, factor) in args.chunks(2).zip(factors) {
        let [Value::Bits(value), Value::Bits(mask)] = pair else { panic!("two sets of bits") };
        let member = has(&mut m.smt, *value, *mask, factor);
        m.contracts.owed.push((Kind::Bits, member));
    }
    let (value, mask) = (m.smt.unknown("product_value", 64), m.smt.unknown("product_mask", 64));
    let member = has(&mut m.smt, value, mask, number);
    m.contracts.assumed.push((Kind::Bits, member));
    Some(Value::Pair(value, mask))
}

impl Machine<'_> {
    /// A product and whether it overflows: an unknown of twice the width, of which
    /// [`crate::product`] says what is true of products.
    pub fn product(&mut self, signed: bool, a: Term, b: Term) -> Value {
        let exact = self.exact_product(signed, a, b);
        let low = self.smt.extract(exact, 0, a.width);
        let back = match signed {
            true => self.smt.sext(low, exact.width),
            false => self.smt.zext(low, exact.width),
        };
        Value::Pair(low, self.smt.compare("ne", back, exact))
    }

    /// The product as integers have it.
    pub fn exact_product(&mut self, signed: bool, a: Term, b: Term) -> Term {
        let name = format!("exact{}", self.contracts.products.len());
        let exact = self.smt.unknown(&name, a.width * 2);
        self.contracts.products.push(Product { signed, factors: [a, b], exact });
        exact
    }
}
