//! Helpers of infrared decoders: what they found goes to the hook; without one nobody listens.

use interp::Trap;

use super::Call;
use crate::world::Infrared;

/// Signals kept of one run.
const MAX: usize = 4096;

fn send(c: &Call<'_, '_>, signal: Infrared) -> Result<u64, Trap> {
    if let Some(signals) = c.run.world.infrared
        && signals.borrow().len() < MAX
    {
        signals.borrow_mut().push(signal);
    }
    Ok(0)
}

pub(super) fn repeat(c: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    send(c, Infrared::Repeat)
}

pub(super) fn key_down(
    c: &mut Call<'_, '_>,
    [_, protocol, scancode, toggle, _]: [u64; 5],
) -> Result<u64, Trap> {
    let (protocol, toggle) = (protocol as u32, u32::from(toggle as u32 != 0));
    send(c, Infrared::KeyDown { protocol, scancode, toggle })
}

pub(super) fn pointer(c: &mut Call<'_, '_>, [_, x, y, ..]: [u64; 5]) -> Result<u64, Trap> {
    send(c, Infrared::Move { x: x as i32, y: y as i32 })
}
