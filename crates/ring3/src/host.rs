//! Rust functions that programs may call as helpers.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use uapi::{ArgKind, ArgType, HelperProto, RetKind, RetType};

/// Number of the first helper of an embedder, far above Linux's; the next ones follow.
pub const FIRST_HOST_HELPER: u32 = runtime::HOST_HELPER_BASE;

/// A helper with its contract, which the verifier checks calls against.
#[derive(Clone)]
pub struct HostHelper {
    pub(crate) proto: HelperProto,
    pub(crate) body: runtime::HostFn,
}

impl HostHelper {
    /// A helper called `name` out of a function of up to five integers; calls must have
    /// initialised as many registers as it has arguments.
    pub fn new<Args>(id: u32, name: &str, function: impl HostFn<Args>) -> HostHelper {
        let proto = HelperProto {
            id,
            name: Cow::Owned(name.to_owned()),
            gpl_only: false,
            might_sleep: false,
            pkt_access: false,
            ret: INTEGER,
            args: Cow::Owned(vec![ANYTHING; function.arg_count()]),
        };
        HostHelper { proto, body: Arc::new(move |regs| function.call(regs)) }
    }
}

impl fmt::Debug for HostHelper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostHelper").field("proto", &self.proto).finish_non_exhaustive()
    }
}

const INTEGER: RetType = RetType {
    kind: RetKind::Integer,
    maybe_null: false,
    readonly: false,
    ringbuf: false,
    trusted: false,
};

const ANYTHING: ArgType = ArgType {
    kind: ArgKind::Anything,
    maybe_null: false,
    uninit: false,
    write: false,
    aligned: false,
    release: false,
    size: 0,
};

/// A function that can be a helper: up to five integers in, an integer or nothing out.
///
/// `Args` is the tuple of its arguments' types; it is always inferred.
pub trait HostFn<Args>: Send + Sync + 'static {
    /// How many registers it reads.
    fn arg_count(&self) -> usize;
    /// Calls it with r1 to r5; the value is r0.
    fn call(&self, regs: [u64; 5]) -> u64;
}

/// A type that one register holds.
pub trait Register {
    /// Out of the register's low bytes.
    fn from_reg(reg: u64) -> Self;
    /// Into a register: signed types are extended by their sign, as C does it.
    fn into_reg(self) -> u64;
}

macro_rules! registers {
    ($($int:ty),*) => {
        $(impl Register for $int {
            fn from_reg(reg: u64) -> $int {
                reg as $int
            }

            fn into_reg(self) -> u64 {
                self as i64 as u64
            }
        })*
    };
}

registers!(u8, u16, u32, u64, usize, i8, i16, i32, i64);

impl Register for bool {
    fn from_reg(reg: u64) -> bool {
        reg != 0
    }

    fn into_reg(self) -> u64 {
        self.into()
    }
}

impl Register for () {
    fn from_reg(_: u64) {}

    fn into_reg(self) -> u64 {
        0
    }
}

macro_rules! functions {
    ($($count:literal: $($arg:ident $reg:literal),*;)*) => {
        $(impl<F, R, $($arg),*> HostFn<($($arg,)*)> for F
        where
            F: Fn($($arg),*) -> R + Send + Sync + 'static,
            R: Register,
            $($arg: Register,)*
        {
            fn arg_count(&self) -> usize {
                $count
            }

            fn call(&self, regs: [u64; 5]) -> u64 {
                let _ = regs;
                self($($arg::from_reg(regs[$reg])),*).into_reg()
            }
        })*
    };
}

functions! {
    0: ;
    1: A 0;
    2: A 0, B 1;
    3: A 0, B 1, C 2;
    4: A 0, B 1, C 2, D 3;
    5: A 0, B 1, C 2, D 3, E 4;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_and_results_are_extended_as_in_c() {
        let add = HostHelper::new(7, "add", |a: i32, b: u8| i64::from(a) + i64::from(b));
        assert_eq!(add.proto.args.len(), 2);
        assert_eq!((add.body)([0xffff_ffff, 0x101, 9, 9, 9]), 0);
        let minus = HostHelper::new(8, "minus", || -1i32);
        assert_eq!((minus.body)([0; 5]), u64::MAX);
        let high = HostHelper::new(9, "high", |a: u32| a);
        assert_eq!((high.body)([u64::MAX; 5]), 0xffff_ffff);
    }
}
