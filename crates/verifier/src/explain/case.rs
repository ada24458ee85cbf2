//! One rejection as the causes look at it: the instruction, the state before it, the path.

use std::borrow::Cow;
use std::cell::OnceCell;

use isa::{Callee, Op, Src};
use uapi::{ArgType, HelperProto};

use super::chase::{self, Hop, How, Loc};
use super::trace::Step;
use super::words;
use crate::env::Env;
use crate::event::{Reason, Seen};
use crate::state::{RegKind, RegState};

/// From here on helper numbers are marks that loaders leave, not helpers.
const LOADERS: i32 = 100_000_000;

/// A rejection.
pub(super) struct Case<'c> {
    pub(super) env: &'c Env<'c>,
    pub(super) steps: &'c [Step],
    /// The path's start is among the steps.
    pub(super) whole: bool,
    pub(super) insn: Option<usize>,
    pub(super) op: Option<Op>,
    /// All that is wrong, in Linux's order.
    pub(super) reasons: &'c [Reason],
    /// Registers and numbers of the reason that is explained.
    pub(super) seen: Seen,
    /// History of the first register involved.
    pub(super) past: OnceCell<Vec<Hop>>,
}

/// Memory that an instruction or a helper touches through a register.
#[derive(Clone, Copy, Debug)]
pub(super) struct Touch {
    pub(super) reg: RegState,
    /// Smallest and largest offset of the first byte, as far as known.
    pub(super) low: i64,
    pub(super) high: Option<i64>,
    /// Bytes, the largest number possible.
    pub(super) size: i64,
    pub(super) write: bool,
}

impl<'c> Case<'c> {
    pub(super) fn now(&self) -> Option<&'c Step> {
        self.steps.last()
    }

    /// Frame that runs at the end of the path.
    pub(super) fn depth(&self) -> usize {
        self.now().map_or(0, Step::depth)
    }

    /// A register of the running frame before the instruction.
    pub(super) fn reg(&self, n: usize) -> Option<&'c RegState> {
        self.now()?.reg(self.depth(), n)
    }

    /// The register that the message names, or the one the instruction works on.
    pub(super) fn main_reg(&self) -> Option<usize> {
        self.seen.regs.first().copied().or_else(|| self.operands().first().copied())
    }

    /// State of [`Case::main_reg`].
    pub(super) fn main(&self) -> Option<&'c RegState> {
        self.reg(self.main_reg()?)
    }

    /// `R2`.
    pub(super) fn main_name(&self) -> String {
        self.main_reg().map_or("the register".into(), |n| format!("R{n}"))
    }

    /// Registers that the instruction uses, the most telling first.
    pub(super) fn operands(&self) -> Vec<usize> {
        let with = |first: isa::Reg, second: Src| match second {
            Src::Reg(second) => vec![first.index(), second.index()],
            Src::Imm(_) => vec![first.index()],
        };
        match self.op {
            Some(Op::Alu { dst, src, .. } | Op::Jmp { dst, src, .. }) => with(dst, src),
            Some(Op::Neg { dst, .. } | Op::End { dst, .. }) => vec![dst.index()],
            Some(Op::MovSx { src, .. } | Op::AddrSpaceCast { src, .. }) => vec![src.index()],
            Some(
                Op::Load { base, .. }
                | Op::LoadAcquire { base, .. }
                | Op::Store { base, .. }
                | Op::Atomic { base, .. }
                | Op::StoreRelease { base, .. },
            ) => vec![base.index()],
            Some(Op::LdAbs { .. }) => vec![6],
            Some(Op::LdInd { src, .. }) => vec![6, src.index()],
            Some(Op::Exit) => vec![0],
            Some(Op::Call(_)) => (1..=self.arg_count()).collect(),
            _ => Vec::new(),
        }
    }

    fn arg_count(&self) -> usize {
        self.helper().map_or(5, |proto| proto.args.len().min(5))
    }

    /// Contract of the helper that the instruction calls.
    pub(super) fn helper(&self) -> Option<&'c HelperProto> {
        helper_of(self.env, self.op?)
    }

    /// The argument of that helper in register `n`.
    pub(super) fn arg(&self, n: usize) -> Option<ArgType> {
        self.helper()?.args.get(n.checked_sub(1)?).copied()
    }

    /// Name of what the instruction calls.
    pub(super) fn callee(&self) -> String {
        match (self.op, self.insn) {
            (Some(op), Some(insn)) => callee_name(self.env, op, insn).into_owned(),
            _ => "this function".into(),
        }
    }

    /// History of the first register involved, the youngest event first.
    pub(super) fn past(&self) -> &[Hop] {
        self.past.get_or_init(|| match self.main_reg() {
            Some(n) => self.history(Loc::Reg(self.depth(), n)),
            None => Vec::new(),
        })
    }

    /// History of what is at `loc`.
    pub(super) fn history(&self, loc: Loc) -> Vec<Hop> {
        chase::history(&self.env.ops, self.steps, loc, self.whole)
    }

    /// The call that made the first register's value invalid, and what it was before.
    pub(super) fn invalidated(&self) -> Option<(Op, RegState, usize)> {
        let hop = self.past().iter().find(|hop| hop.how == How::Invalidated)?;
        let insn = self.steps[hop.step].insn;
        Some((self.env.ops[insn]?, hop.before?, insn))
    }

    /// Memory the instruction touches: its own access, or the argument the message names.
    pub(super) fn touch(&self) -> Option<Touch> {
        let (base, off, size, write) = match self.op? {
            Op::Load { base, off, size, .. } | Op::LoadAcquire { base, off, size, .. } => {
                (base.index(), off, i64::from(size.bytes()), false)
            }
            Op::Store { base, off, size, .. }
            | Op::StoreRelease { base, off, size, .. }
            | Op::Atomic { base, off, size, .. } => {
                (base.index(), off, i64::from(size.bytes()), true)
            }
            Op::Call(_) => {
                let n = *self.seen.regs.first()?;
                let (size, write) = self.arg_memory(n)?;
                (n, 0, size, write)
            }
            _ => return None,
        };
        let reg = *self.reg(base)?;
        let fixed = i64::from(reg.off) + i64::from(off);
        let low = fixed.saturating_add(reg.v.smin);
        let far = i64::try_from(reg.v.umax).ok().filter(|max| *max < 1 << 32);
        Some(Touch { reg, low, high: far.map(|max| fixed + max), size, write })
    }

    /// Bytes of the memory that helper argument `n` points to, and whether it is written.
    fn arg_memory(&self, n: usize) -> Option<(i64, bool)> {
        use uapi::ArgKind as K;
        let arg = self.arg(n)?;
        let map = || (1..n).find_map(|m| self.reg(m).filter(|r| r.kind == RegKind::MapPtr));
        let size = match arg.kind {
            K::MapKey => i64::from(self.env.map_def(map()?).key_size),
            K::MapValue => i64::from(self.env.map_def(map()?).value_size),
            _ if arg.size > 0 => i64::from(arg.size),
            _ => {
                let length = self.arg(n + 1)?.kind;
                if !matches!(length, K::ConstSize | K::ConstSizeOrZero) {
                    return None;
                }
                i64::try_from(self.reg(n + 1)?.v.umax).unwrap_or(i64::MAX)
            }
        };
        Some((size, arg.write || arg.uninit))
    }

    /// What the instruction does, in plain words.
    pub(super) fn does(&self) -> String {
        let Some(insn) = self.insn else { return String::new() };
        if let Some(touch) = self.touch().filter(|_| !matches!(self.op, Some(Op::Call(_)))) {
            let verb = if touch.write { "writes" } else { "reads" };
            return format!("{verb} {} {}", words::bytes(touch.size), at(self.env, &touch));
        }
        match self.op {
            Some(Op::Call(Callee::Helper(id))) if id >= LOADERS => {
                "cannot work here: the loader has put a mark in its place".into()
            }
            Some(Op::Call(_)) => format!("calls {}", self.callee()),
            Some(Op::Exit) if self.depth() == 0 => "the program ends".into(),
            Some(Op::Exit) => "the function returns".into(),
            _ => super::place::place(self.env, insn).text,
        }
    }
}

/// `at packet offset 12`.
fn at(env: &Env<'_>, touch: &Touch) -> String {
    let where_to = match touch.reg.kind {
        RegKind::Scalar => return "through a number, which is no pointer".into(),
        RegKind::Stack => {
            return match touch.high {
                Some(high) if high == touch.low => format!("at fp{high:+}"),
                _ => "on the stack, at an offset that varies".into(),
            };
        }
        RegKind::Pkt => "packet".into(),
        RegKind::PktMeta => "metadata".into(),
        RegKind::Ctx => "context".into(),
        RegKind::MapValue => format!("{} value", words::map_name(env, &touch.reg)),
        RegKind::NotInit => return "through a register that was never set".into(),
        _ if touch.reg.may_be_null() => return "through a pointer that may be NULL".into(),
        _ => {
            return match touch.high {
                Some(high) if high == touch.low => format!("at offset {high}"),
                _ => "at an offset that varies".into(),
            };
        }
    };
    match touch.high {
        Some(high) if high == touch.low => format!("at {where_to} offset {high}"),
        Some(high) => format!("at {where_to} offset {} to {high}", touch.low),
        None => format!("at a {where_to} offset without limit"),
    }
}

/// Contract of the helper that `op` calls.
pub(super) fn helper_of<'c>(env: &Env<'c>, op: Op) -> Option<&'c HelperProto> {
    let Op::Call(Callee::Helper(id)) = op else { return None };
    let id = u32::try_from(id).ok()?;
    let of_type = env.variant.and_then(|variant| uapi::helper_for(id, variant));
    of_type
        .or_else(|| uapi::helper(id))
        .or_else(|| env.world.host_helpers.iter().find(|proto| proto.id == id))
}

/// Name of what `op` at `insn` calls.
pub(super) fn callee_name<'c>(env: &'c Env<'_>, op: Op, insn: usize) -> Cow<'c, str> {
    match op {
        Op::Call(Callee::Helper(id)) => match helper_of(env, op) {
            Some(proto) => Cow::Owned(proto.name.clone().into_owned()),
            None => Cow::Owned(format!("helper {id}, which does not exist")),
        },
        Op::Call(Callee::Subprog(rel)) => {
            let target = usize::try_from(insn as i64 + i64::from(rel) + 1).unwrap_or(usize::MAX);
            let named = env.subprog_starting(target).map(|n| env.subprogs[n].name.as_str());
            match named.filter(|name| !name.is_empty()) {
                Some(name) => Cow::Owned(format!("{name}()")),
                None => Cow::Owned(format!("the function at instruction {target}")),
            }
        }
        Op::Call(Callee::Kfunc { id, .. }) => {
            let btf = env.world.kernel_btf.as_deref();
            let name = btf.map_or("", |btf| btf.name_of(btf::TypeId(id.cast_unsigned())));
            Cow::Owned(if name.is_empty() { "a kernel function".into() } else { name.to_owned() })
        }
        _ => Cow::Borrowed("this function"),
    }
}
