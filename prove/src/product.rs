//! Multiplication: bit vectors of 64 bits are out of reach for products, so what is true of the
//! products of integers is proven over the integers, and assumed of the domain's own code.

use crate::contract::multiply;
use crate::ir::Module;
use crate::proof::{Case, Proof};
use crate::smt::Term;

/// `p_mul`: the domain's code at full width, over products that obey [`facts`].
pub fn ranges(module: &Module) -> Case {
    let mut p = Proof::new(module);
    let (a, b) = (p.operand("a"), p.operand("b"));
    let number = p.smt().unknown("result", 64);
    p.machine.contracts.number = Some(number);
    p.machine.contracts.factors = Some([a.number, b.number]);
    p.machine.contracts.cuts = vec![("4Tnum3mul", multiply)];
    p.call("p_mul", &[a.pointer(), b.pointer()]);
    for (signed, width) in [(false, 64), (true, 64), (false, 32), (true, 32)] {
        let all = facts(&mut p, signed, width, [a.number, b.number], number);
        p.always.extend(all);
    }
    let claims = p.views(&a, number);
    p.claim(&claims)
}

/// What holds of the products of one width and sign that the run met.
fn facts(p: &mut Proof, signed: bool, width: u32, [x, y]: [Term; 2], number: Term) -> Vec<Term> {
    let met: Vec<([Term; 2], Term)> = p
        .machine
        .contracts
        .products
        .iter()
        .filter(|m| m.signed == signed && m.exact.width == 2 * width)
        .map(|m| (m.factors, m.exact))
        .collect();
    let (x, y) = (p.smt().extract(x, 0, width), p.smt().extract(y, 0, width));
    let exact = p.machine.exact_product(signed, x, y);
    let s = p.smt();
    // The low bits of the product are those of the result.
    let (low, result) = (s.extract(exact, 0, width), s.extract(number, 0, width));
    let mut facts = vec![s.compare("eq", low, result)];
    if !signed {
        for ([a, b], product) in met {
            for (u, v, less, more) in
                [([a, b], [x, y], product, exact), ([x, y], [a, b], exact, product)]
            {
                let (first, second) = (s.compare("ule", u[0], v[0]), s.compare("ule", u[1], v[1]));
                let (premise, conclusion) = (s.and(first, second), s.compare("ule", less, more));
                facts.push(s.implies(premise, conclusion));
            }
        }
        return facts;
    }
    // Corners (a, c), (a, d), (b, c), (b, d): the product is neither below nor above them all.
    let [([a, c], _), ([_, d], _), ([b, _], _), _] = met[..] else {
        panic!("a signed product has four corners")
    };
    let inside = [("sle", a, x), ("sle", x, b), ("sle", c, y), ("sle", y, d)];
    let mut premise = Term::bool(true);
    for (cond, low, high) in inside {
        let one = s.compare(cond, low, high);
        premise = s.and(premise, one);
    }
    let (mut above, mut below) = (Term::bool(false), Term::bool(false));
    for (_, corner) in &met {
        let (over, under) = (s.compare("sle", *corner, exact), s.compare("sle", exact, *corner));
        above = s.or(above, over);
        below = s.or(below, under);
    }
    let between = s.and(above, below);
    facts.push(s.implies(premise, between));
    facts
}

/// `a ≤ x ≤ b`, `c ≤ y ≤ d`, none negative: products keep the order.
pub const UNSIGNED: &str = "(declare-const a Int)(declare-const b Int)
(declare-const c Int)(declare-const d Int)(declare-const x Int)(declare-const y Int)
(assert (and (<= 0 a x b) (<= 0 c y d)))
(assert (not (and (<= (* a c) (* x y)) (<= (* x y) (* b d)))))
(check-sat)
";

/// x * y lies between x * c and x * d, and each of these between its ends.
pub const SIGNED: &str = "(declare-const a Int)(declare-const b Int)
(declare-const c Int)(declare-const d Int)(declare-const x Int)(declare-const y Int)
(assert (and (<= a x b) (<= c y d)))
(define-fun xc () Int (* x c))
(define-fun xd () Int (* x d))
(assert (or (and (>= x 0) (not (<= xc (* x y) xd)))
            (and (< x 0) (not (<= xd (* x y) xc)))
            (and (>= c 0) (not (<= (* a c) xc (* b c))))
            (and (< c 0) (not (<= (* b c) xc (* a c))))
            (and (>= d 0) (not (<= (* a d) xd (* b d))))
            (and (< d 0) (not (<= (* b d) xd (* a d))))))
(check-sat)
";

/// The last bit of x taken off (x = 2k + bit) and added in: s + x y = (s + bit y) + k (2y).
pub const STEP: &str = "(declare-const k Int)(declare-const bit Int)
(declare-const s Int)(declare-const y Int)
(assert (not (= (+ s (* (+ (* 2 k) bit) y)) (+ (+ s (* bit y)) (* k (* 2 y))))))
(check-sat)
";
