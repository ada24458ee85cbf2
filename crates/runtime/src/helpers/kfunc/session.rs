//! Programs at both ends of a function.

use interp::{Trap, TrapKind};

use super::super::Call;

const NONE: TrapKind = TrapKind::Helper("a session's function outside of a session");

pub(super) fn is_return(c: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    let session = c.run.world.session.ok_or(Trap::here(NONE))?;
    Ok(session.returns.get().into())
}

pub(super) fn cookie(c: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(c.run.world.session.ok_or(Trap::here(NONE))?.addr())
}
