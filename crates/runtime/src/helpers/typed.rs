//! Helpers that print a value by its type in the kernel's BTF.

use btf::TypeId;
use interp::Trap;
use uapi::Errno;

use super::{Call, count, mem, seq, status};
use crate::btf_text::{self, FLAGS};

/// Bytes of `struct btf_ptr`: an address, a type id, flags that nobody reads.
const BTF_PTR: u32 = 16;

/// Hides an address, as `%p` does.
fn hash(address: u64) -> u64 {
    if address == 0 {
        return 0;
    }
    (address ^ 0x5bd1_e995).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}

fn text(c: &mut Call<'_, '_>, ptr: u64, size: u32, flags: u64) -> Result<Vec<u8>, Errno> {
    if flags & !FLAGS != 0 || size != BTF_PTR {
        return Err(Errno::EINVAL);
    }
    let btf = c.run.core.config.kernel_btf.clone().ok_or(Errno::EINVAL)?;
    let ptr = mem::view(ptr, BTF_PTR as usize);
    let (address, id) = (ptr.u64(0), TypeId(ptr.u32(8)));
    if id.0 == 0 {
        return Err(Errno::EINVAL);
    }
    btf.ty(id).ok_or(Errno::ENOENT)?;
    let size = btf.size_of(id).map_err(|_| Errno::EINVAL)? as usize;
    let data = c.probe(address, size);
    if data.len() < size {
        return Err(Errno::EFAULT);
    }
    btf_text::text(&btf, id, &data, flags, hash)
}

pub(super) fn snprintf(
    c: &mut Call<'_, '_>,
    [out, room, ptr, size, flags]: [u64; 5],
) -> Result<u64, Trap> {
    let room = room as u32 as usize;
    let printed = text(c, ptr, size as u32, flags).map(|text| {
        if room > 0 {
            let mut kept = text[..text.len().min(room - 1)].to_vec();
            kept.push(0);
            mem::write(out, &kept);
        }
        text.len() as u64
    });
    Ok(count(printed))
}

pub(super) fn seq_printf(
    c: &mut Call<'_, '_>,
    [_, ptr, size, flags, _]: [u64; 5],
) -> Result<u64, Trap> {
    let printed = text(c, ptr, size as u32, flags);
    Ok(status(printed.and_then(|text| seq::put(c, &text))))
}
