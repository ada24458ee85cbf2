//! Bob Jenkins' lookup3 hash, as Linux spreads keys over buckets.

use crate::raw::View;

/// Hash of `key` under `seed`.
pub(crate) fn jhash(key: View<'_>, seed: u32) -> u32 {
    let init = 0xdead_beef_u32.wrapping_add(key.len() as u32).wrapping_add(seed);
    let (mut a, mut b, mut c) = (init, init, init);
    let mut at = 0;
    while key.len() - at > 12 {
        a = a.wrapping_add(key.u32(at));
        b = b.wrapping_add(key.u32(at + 4));
        c = c.wrapping_add(key.u32(at + 8));
        (a, b, c) = mix(a, b, c);
        at += 12;
    }
    if at == key.len() {
        return c;
    }
    // Bytes past the end read as zero.
    a = a.wrapping_add(key.u32(at));
    b = b.wrapping_add(key.u32(at + 4));
    c = c.wrapping_add(key.u32(at + 8));
    last(a, b, c)
}

fn mix(mut a: u32, mut b: u32, mut c: u32) -> (u32, u32, u32) {
    for turn in [4, 6, 8, 16, 19, 4] {
        a = a.wrapping_sub(c) ^ c.rotate_left(turn);
        c = c.wrapping_add(b);
        (a, b, c) = (b, c, a);
    }
    (a, b, c)
}

fn last(mut a: u32, mut b: u32, mut c: u32) -> u32 {
    for turn in [14, 11, 25, 16, 4, 14, 24] {
        c = (c ^ b).wrapping_sub(b.rotate_left(turn));
        (a, b, c) = (b, c, a);
    }
    // Seven turns leave the hash one place on.
    let _ = (a, c);
    b
}
