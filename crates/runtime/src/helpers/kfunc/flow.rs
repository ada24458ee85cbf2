//! Exceptions: a program that ends where it is, however deep.

use interp::{Trap, TrapKind};

use super::super::Call;

/// Ends the run of the program; whoever runs it goes on with the exception's callback.
pub(super) fn throw(_: &mut Call<'_, '_>, [cookie, ..]: [u64; 5]) -> Result<u64, Trap> {
    Err(Trap::here(TrapKind::Thrown(cookie)))
}
