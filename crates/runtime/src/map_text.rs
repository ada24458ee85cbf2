//! A map as its pin reads, by the types of its keys and values.

use btf::{Btf, TypeId, print};
use maps::Perms;
use uapi::{Errno, MapType};

use crate::format::hash;
use crate::map_obj::MapObj;

const BOTH: Perms = Perms { read: true, write: true };
/// Bytes of one text.
const MAX_TEXT: usize = 32 << 20;
const HEAD: &str = "# WARNING!! The output is for debug purpose only\n\
                    # WARNING!! The output format will change\n";

/// The elements, a line each; EIO for maps that have no text in Linux.
pub(crate) fn text(map: &MapObj) -> Result<Vec<u8>, Errno> {
    use MapType::{Array, Hash, LruHash, LruPercpuHash, PercpuArray, PercpuHash, ProgArray};
    let def = map.map.def();
    let known = [Array, Hash, LruHash, LruPercpuHash, PercpuArray, PercpuHash, ProgArray];
    let btf = map.btf.as_ref().filter(|_| def.btf_value_type_id != 0).ok_or(Errno::EIO)?;
    if !known.contains(&def.map_type) {
        return Err(Errno::EIO);
    }
    let mut key = vec![0; def.key_size as usize];
    let mut value = vec![0; map.map.user_value_size()];
    let mut before: Option<Vec<u8>> = None;
    let mut out = HEAD.as_bytes().to_vec();
    // Deletions meanwhile may begin a hash map anew.
    for _ in 0..u64::from(def.max_entries) * 2 {
        match map.map.next_key(BOTH, before.as_deref(), &mut key) {
            Ok(()) => {}
            Err(Errno::ENOENT) => break,
            Err(errno) => return Err(errno),
        }
        if map.map.lookup(BOTH, &key, &mut value, 0).is_ok() {
            element(map, &btf.btf, &key, &value, &mut out)?;
        }
        if out.len() > MAX_TEXT {
            return Err(Errno::E2BIG);
        }
        before = Some(key.clone());
    }
    Ok(out)
}

fn element(
    map: &MapObj,
    btf: &Btf,
    key: &[u8],
    value: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Errno> {
    use MapType::{Array, LruPercpuHash, PercpuArray, PercpuHash, ProgArray};
    let def = map.map.def();
    let show = |id: u32, bytes: &[u8], out: &mut Vec<u8>| {
        print::show(btf, TypeId(id), bytes, &hash, out).map_err(|_| Errno::EIO)
    };
    let indexed = matches!(def.map_type, Array | PercpuArray | ProgArray);
    if !indexed {
        show(def.btf_key_type_id, key, out)?;
        out.extend_from_slice(b": ");
    } else if def.btf_key_type_id != 0 {
        let index = key.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
        out.extend_from_slice(format!("{index}: ").as_bytes());
    }
    if !matches!(def.map_type, PercpuArray | PercpuHash | LruPercpuHash) {
        show(def.btf_value_type_id, value, out)?;
        out.push(b'\n');
        return Ok(());
    }
    out.extend_from_slice(b"{\n");
    for (cpu, own) in value.chunks(map.value_size().next_multiple_of(8).max(8)).enumerate() {
        out.extend_from_slice(format!("\tcpu{cpu}: ").as_bytes());
        show(def.btf_value_type_id, own, out)?;
        out.push(b'\n');
    }
    out.extend_from_slice(b"}\n");
    Ok(())
}
