//! Memory arguments of helper calls, checked before the helper begins.
//!
//! The verifier has proven them. The interpreter, which trusts nobody, has them checked against the
//! run's regions again; for machine code they are touched, so that a fault ends the run here and
//! not the process in the middle of a helper.

use interp::{Callback, Host, Trap, TrapKind};
use uapi::{ArgKind, HelperProto};

use crate::run::Run;

/// Bytes of a dynamic pointer, on the stack.
const DYNPTR: usize = 16;
/// Bytes of a spin lock.
const SPIN_LOCK: usize = 4;

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
            ArgKind::SpinLock => SPIN_LOCK,
            ArgKind::Mem => args.get(i + 1).map_or(0, |size| *size as u32 as usize),
            _ => continue,
        };
        if len == 0 || (args[i] == 0 && arg.maybe_null) {
            continue;
        }
        let writes = arg.write || matches!(arg.kind, ArgKind::SpinLock);
        usable(run, vm, args[i], len, writes)?;
    }
    Ok(())
}

/// Traps if a helper may not use `len` bytes at `addr`.
pub(super) fn usable(
    run: &mut Run<'_>,
    vm: &dyn Callback,
    addr: u64,
    len: usize,
    write: bool,
) -> Result<(), Trap> {
    let bad = if vm.checks() {
        let region = vm.region(addr).or_else(|| run.region(addr));
        let holds = region.is_some_and(|r| r.end - addr >= len as u64 && (r.writable || !write));
        (!holds).then_some(addr)
    } else {
        jit::missing(addr, len as u64, write)
    };
    let size = u32::try_from(len).unwrap_or(u32::MAX);
    bad.map_or(Ok(()), |addr| Err(Trap::here(TrapKind::Memory { addr, size, write })))
}
