//! Test runs of `bpf_dummy_ops`, the structure of operations that Linux keeps for them.

use btf::{Btf, Kind, TypeId};
use interp::Region;
use maps::View;
use maps::raw::Slab;
use uapi::Errno;

use super::trapped;
use crate::door::{TestRun, TestRunOut};
use crate::helpers::Ctx;
use crate::prog::Prog;
use crate::runner::Ready;

const STRUCTURE: &str = "bpf_dummy_ops";
const WORD: usize = 8;

/// The context is the arguments as words. The first one points to a state in the caller's memory,
/// which is not here to be read: it may be null, and such a state comes by
/// [`crate::door::GivenCtx`].
pub(super) fn run(
    prog: &Prog,
    req: &TestRun,
    mut ready: Ready,
    kernel: Option<&Btf>,
) -> Result<TestRunOut, Errno> {
    let operation = kernel.and_then(|btf| Operation::of(btf, prog)).ok_or(Errno::EOPNOTSUPP)?;
    let ctx = req.ctx_in.as_deref().unwrap_or_default();
    if ctx.len() != operation.arguments * WORD {
        return Err(Errno::EINVAL);
    }
    if ctx.iter().take(WORD).any(|b| *b != 0) {
        return Err(Errno::EFAULT);
    }
    if operation.arguments > 0 && !operation.nullable {
        return Err(Errno::EINVAL);
    }
    // The word before the context tells how many arguments there are.
    let memory = Slab::new(WORD + ctx.len())?;
    memory.write(0, View::from((operation.arguments as u64).to_ne_bytes().as_slice()));
    memory.write(WORD, View::from(ctx));
    let start = memory.addr(0);
    let region = Region { start, end: start + memory.len() as u64, writable: false };
    let ran = ready.run(Ctx::Flat(region), memory.addr(WORD));
    let retval = ran.map_err(|t| trapped(&t))? as u32;
    Ok(TestRunOut { retval, ..TestRunOut::default() })
}

/// A member of the structure.
struct Operation {
    arguments: usize,
    /// The first argument may be null.
    nullable: bool,
}

impl Operation {
    /// `None` for programs of another structure.
    fn of(btf: &Btf, prog: &Prog) -> Option<Operation> {
        let structure = btf.ty(TypeId(prog.attach_btf_id)).filter(|t| t.name == STRUCTURE)?;
        let member = structure.members().nth(prog.attach_type as usize)?;
        let pointer = btf.resolved(member.type_id).filter(|t| t.kind == Kind::Ptr)?;
        let proto = btf.resolved(TypeId(pointer.size_or_type))?;
        // The kernel's own function of this name says it by its parameter's.
        let stub = btf.find_by_name(&format!("{STRUCTURE}__{}", member.name), Kind::Func);
        let stub = stub.and_then(|id| btf.ty(TypeId(btf.ty(id)?.size_or_type)));
        let first = stub.and_then(|proto| proto.params().next());
        let nullable = first.is_some_and(|param| param.name.ends_with("__nullable"));
        Some(Operation { arguments: proto.params().len(), nullable })
    }
}
