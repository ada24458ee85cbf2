//! What the engine says, as typed events: why a program is refused, and what happened on the walk.
//!
//! The engine makes events and knows no wording. A reason's row gives its fields and, beside them,
//! Linux's wording; [`crate::log`] prints it, [`crate::explain`] reads the fields.

mod arg;
mod attach;
mod btf;
mod bug;
mod exit;
mod extension;
mod flow;
mod func;
mod graph;
mod helper;
mod kfunc;
mod kptr;
mod load;
mod lock;
mod map;
mod mem;
mod needs;
mod note;
mod object;
mod ptr;
mod reg;
mod speculation;
mod stack;
mod value;

use std::fmt;

pub(crate) use arg::BadArg;
pub(crate) use attach::BadAttach;
pub(crate) use btf::BadBtf;
pub(crate) use bug::Bug;
pub(crate) use exit::BadExit;
pub(crate) use extension::BadExtension;
pub(crate) use flow::BadFlow;
pub(crate) use func::BadFunc;
pub(crate) use graph::BadGraph;
pub(crate) use helper::BadHelper;
pub(crate) use kfunc::BadKfunc;
pub(crate) use kptr::BadKptr;
pub(crate) use load::BadLoad;
pub(crate) use lock::BadLock;
pub(crate) use map::BadMap;
pub(crate) use mem::BadMem;
pub(crate) use needs::Needs;
pub(crate) use note::{HookArg, Note, SlotChange};
pub(crate) use object::BadObject;
pub(crate) use ptr::BadPtr;
pub(crate) use reg::BadReg;
pub(crate) use speculation::Speculation;
pub(crate) use stack::BadStack;
pub(crate) use value::{
    Bits, CallChain, Known, LoopChain, Ranges, Reg, RegMask, RegType, Seen, SlotMask,
};

/// A family of reasons: rows of name, fields and Linux's wording.
macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $(
        $(#[$row_doc:meta])*
        $row:ident $({ $($field:ident: $ty:ty),+ })? => $text:literal,
    )+ }) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub(crate) enum $name {
            $($(#[$row_doc])* $row $({ $($field: $ty),+ })?,)+
        }

        impl $name {
            /// The row's name.
            pub(crate) fn name(&self) -> &'static str {
                match self {
                    $(Self::$row { .. } => stringify!($row),)+
                }
            }

            /// The registers and numbers of its fields, in the order of the row.
            pub(crate) fn see(&self, seen: &mut super::Seen) {
                use super::value::Field as _;
                let _ = &seen;
                match self {
                    $(Self::$row $({ $($field),+ })? => { $($($field.see(seen);)+)? })+
                }
            }
        }

        /// Linux's wording.
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $(Self::$row $({ $($field),+ })? => write!(f, $text),)+
                }
            }
        }
    };
}
use reasons;

/// The families as one type.
macro_rules! families {
    ($($family:ident($ty:ident) $word:literal,)+) => {
        /// Why a program is refused.
        #[derive(Clone, Debug)]
        pub(crate) enum Reason {
            $($family($ty),)+
        }

        $(impl From<$ty> for Reason {
            fn from(reason: $ty) -> Reason {
                Reason::$family(reason)
            }
        })+

        impl Reason {
            /// Family and row, as in `mem-max-outside`.
            pub(crate) fn id(&self) -> String {
                let (family, row) = match self {
                    $(Reason::$family(reason) => ($word, reason.name()),)+
                };
                kebab(family, row)
            }

            /// The registers and numbers of its fields.
            pub(crate) fn seen(&self) -> Seen {
                let mut seen = Seen::default();
                match self {
                    $(Reason::$family(reason) => reason.see(&mut seen),)+
                }
                seen
            }
        }

        impl fmt::Display for Reason {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Reason::$family(reason) => reason.fmt(f),)+
                }
            }
        }
    };
}

families! {
    Arg(BadArg) "arg",
    Attach(BadAttach) "attach",
    Btf(BadBtf) "btf",
    Bug(Bug) "bug",
    Exit(BadExit) "exit",
    Extension(BadExtension) "extension",
    Flow(BadFlow) "flow",
    Func(BadFunc) "func",
    Graph(BadGraph) "graph",
    Helper(BadHelper) "helper",
    Kfunc(BadKfunc) "kfunc",
    Kptr(BadKptr) "kptr",
    Load(BadLoad) "load",
    Lock(BadLock) "lock",
    Map(BadMap) "map",
    Mem(BadMem) "mem",
    Needs(Needs) "needs",
    Object(BadObject) "object",
    Ptr(BadPtr) "ptr",
    Reg(BadReg) "reg",
    Speculation(Speculation) "speculation",
    Stack(BadStack) "stack",
}

/// `mem`, `MaxOutside`: `mem-max-outside`.
fn kebab(family: &str, row: &str) -> String {
    let mut id = family.to_owned();
    for c in row.chars() {
        if c.is_ascii_uppercase() {
            id.push('-');
        }
        id.push(c.to_ascii_lowercase());
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_a_name_fields_and_linux_wording() {
        let reason = Reason::from(BadMem::MaxOutside { reg: Reg(3) });
        assert_eq!(reason.id(), "mem-max-outside");
        assert_eq!(reason.seen().regs, [3]);
        assert_eq!(reason.to_string(), "R3 max value is outside of the allowed memory range");
        let reason = Reason::from(BadMem::MapValue { have: 8, off: -4, size: 2 });
        assert_eq!(reason.seen().numbers, [8, -4, 2]);
    }
}
