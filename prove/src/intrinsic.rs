//! What LLVM's own functions compute.

use crate::exec::{Machine, Value};
use crate::smt::{Smt, Term};

impl Machine<'_> {
    pub fn intrinsic(&mut self, name: &str, args: &[Value]) -> Value {
        let bits = |n: usize| match &args[n] {
            Value::Bits(term) => *term,
            other => panic!("{name} of {other:?}"),
        };
        let kind = name.split('.').next().unwrap_or("");
        let a = bits(0);
        let s = &mut self.smt;
        match kind {
            "umin" | "umax" | "smin" | "smax" => {
                let cond =
                    format!("{}{}", &kind[..1], if kind.ends_with("in") { "lt" } else { "gt" });
                let test = s.compare(&cond, a, bits(1));
                Value::Bits(s.ite(test, a, bits(1)))
            }
            "ctlz" | "cttz" => Value::Bits(count_zeros(s, a, kind == "ctlz")),
            "ctpop" => {
                let mut sum = Term::constant(a.width, 0);
                for bit in 0..a.width {
                    let one = s.extract(a, bit, 1);
                    let one = s.zext(one, a.width);
                    sum = s.binary("bvadd", sum, one);
                }
                Value::Bits(sum)
            }
            "bswap" => {
                let mut result = s.extract(a, 0, 8);
                for byte in 1..a.width / 8 {
                    let next = s.extract(a, byte * 8, 8);
                    result = s.concat(result, next);
                }
                Value::Bits(result)
            }
            "sadd" | "ssub" | "uadd" | "usub" => {
                let wide = a.width + 1;
                let signed = kind.starts_with('s');
                let extend =
                    |s: &mut Smt, t| if signed { s.sext(t, wide) } else { s.zext(t, wide) };
                let (x, y) = (extend(s, a), extend(s, bits(1)));
                let op = if kind.ends_with("add") { "bvadd" } else { "bvsub" };
                let exact = s.binary(op, x, y);
                let low = s.extract(exact, 0, a.width);
                let back = extend(s, low);
                Value::Pair(low, s.compare("ne", back, exact))
            }
            "umul" | "smul" => self.product(kind == "smul", a, bits(1)),
            _ => panic!("no intrinsic {name}"),
        }
    }
}

fn count_zeros(s: &mut Smt, a: Term, leading: bool) -> Term {
    // From the far end on, so that the nearest set bit decides last.
    let mut result = Term::constant(a.width, a.width.into());
    for n in (0..a.width).rev() {
        let bit = if leading { a.width - 1 - n } else { n };
        let set = s.extract(a, bit, 1);
        result = s.ite(set, Term::constant(a.width, n.into()), result);
    }
    result
}
