//! RFC 9669 sections 4.1 and 4.3 for both widths: what is undefined in C is defined here.

macro_rules! width {
    ($name:ident, $u:ty, $s:ty, $doc:literal) => {
        #[doc = $doc]
        pub(crate) mod $name {
            type U = $u;
            type S = $s;

            binary! {
                add(a, b) a.wrapping_add(b);
                sub(a, b) a.wrapping_sub(b);
                mul(a, b) a.wrapping_mul(b);
                or(a, b) a | b;
                and(a, b) a & b;
                xor(a, b) a ^ b;
                lsh(a, b) a.wrapping_shl(b as u32);
                rsh(a, b) a.wrapping_shr(b as u32);
                arsh(a, b) (a as S).wrapping_shr(b as u32) as U;
                div(a, b) a.checked_div(b).unwrap_or(0);
                rem(a, b) a.checked_rem(b).unwrap_or(a);
                sdiv(a, b) if b == 0 { 0 } else { (a as S).wrapping_div(b as S) as U };
                srem(a, b) if b == 0 { a } else { (a as S).wrapping_rem(b as S) as U };
            }

            #[inline(always)]
            pub(crate) fn mov(_: U, b: U) -> U {
                b
            }

            compare! {
                eq(a, b) a == b;
                ne(a, b) a != b;
                set(a, b) a & b != 0;
                gt(a, b) a > b;
                ge(a, b) a >= b;
                lt(a, b) a < b;
                le(a, b) a <= b;
                sgt(a, b) a as S > b as S;
                sge(a, b) a as S >= b as S;
                slt(a, b) (a as S) < b as S;
                sle(a, b) a as S <= b as S;
            }
        }
    };
}

macro_rules! binary {
    ($($f:ident($a:ident, $b:ident) $e:expr;)*) => {
        $(#[inline(always)]
        pub(crate) fn $f($a: U, $b: U) -> U {
            $e
        })*
    };
}

macro_rules! compare {
    ($($f:ident($a:ident, $b:ident) $e:expr;)*) => {
        $(#[inline(always)]
        pub(crate) fn $f($a: U, $b: U) -> bool {
            $e
        })*
    };
}

width!(w32, u32, i32, "The low halves.");
width!(w64, u64, i64, "Whole registers.");
