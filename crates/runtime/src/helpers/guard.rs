//! Memory arguments of helper calls, checked against the run's regions.
//!
//! The verifier has proven them; the interpreter, which trusts nobody, has them checked again.

use interp::{Callback, Host, Trap, TrapKind};
use uapi::{ArgKind, HelperProto};

use crate::run::Run;

/// Bytes of a dynamic pointer, on the stack.
const DYNPTR: usize = 16;

/// Traps if a memory argument does not lie in memory of the program.
pub(crate) fn check_memory(
    run: &mut Run<'_>,
    vm: &dyn Callback,
    proto: &HelperProto,
    args: &[u64; 5],
) -> Result<(), Trap> {
    let mut map = None;
    for (i, arg) in proto.args.iter().enumerate().take(args.len()) {
        let len = match arg.kind {
            ArgKind::ConstMapPtr => {
                map = Some(args[i]);
                continue;
            }
            ArgKind::MapKey => run.map(map.unwrap_or(0))?.key_size(),
            ArgKind::MapValue => run.map(map.unwrap_or(0))?.value_size(),
            ArgKind::Mem if arg.size != 0 => arg.size as usize,
            ArgKind::Dynptr(_) => DYNPTR,
            ArgKind::Mem => args.get(i + 1).map_or(0, |size| *size as u32 as usize),
            _ => continue,
        };
        if len == 0 || (args[i] == 0 && arg.maybe_null) {
            continue;
        }
        inside(run, vm, args[i], len, arg.write)?;
    }
    Ok(())
}

pub(super) fn inside(
    run: &mut Run<'_>,
    vm: &dyn Callback,
    addr: u64,
    len: usize,
    write: bool,
) -> Result<(), Trap> {
    let region = vm.region(addr).or_else(|| run.region(addr));
    let holds = region.is_some_and(|r| r.end - addr >= len as u64 && (r.writable || !write));
    if holds {
        return Ok(());
    }
    let size = u32::try_from(len).unwrap_or(u32::MAX);
    Err(Trap::here(TrapKind::Memory { addr, size, write }))
}
