//! What Linux asks of the BTF types of a map's keys and values.

use btf::{Btf, Kind, TypeId};
use uapi::{Errno, MapDef, MapType};

/// A map's rule on its types, once they exist and have its sizes.
enum Rule {
    /// Any will do, but there must be a key.
    Any,
    /// The key is a 32-bit integer, or there is none and the value is a section of variables.
    Index,
    /// The key is a structure.
    StructKey,
    /// There is no key.
    NoKey,
    /// No types at all.
    Never,
}

fn rule(def: &MapDef) -> Rule {
    use MapType::*;
    match def.map_type {
        Array | PercpuArray => Rule::Index,
        LpmTrie => Rule::StructKey,
        BloomFilter => Rule::NoKey,
        Hash | PercpuHash | LruHash | LruPercpuHash | ProgArray | ReuseportSockarray
        | CgroupStorage | PercpuCgroupStorage | SkStorage | InodeStorage | TaskStorage
        | CgrpStorage | Queue | Stack | Ringbuf | UserRingbuf => Rule::Any,
        _ => Rule::Never,
    }
}

/// EINVAL for types that do not fit the map, ENOTSUPP where it has none.
pub(crate) fn check(def: &MapDef, btf: &Btf) -> Result<(), Errno> {
    let sized = |id: u32, want: u32| btf.size_of(TypeId(id)).is_ok_and(|size| size == want);
    let (key, value) = (def.btf_key_type_id, def.btf_value_type_id);
    let rule = rule(def);
    // A key may go without a type only where the map's own rule looks at it.
    let keyless = key == 0 && !matches!(rule, Rule::Any);
    if value == 0 || !(keyless || sized(key, def.key_size)) || !sized(value, def.value_size) {
        return Err(Errno::EINVAL);
    }
    let kind = |id: u32| btf.resolved(TypeId(id)).map(|ty| ty.kind);
    let fits = match rule {
        Rule::Any => true,
        Rule::Index if key == 0 => {
            let one = def.map_type == MapType::Array && def.max_entries == 1;
            one && btf.kind(TypeId(value)) == Some(Kind::Datasec)
        }
        Rule::Index => kind(key) == Some(Kind::Int),
        Rule::StructKey => kind(key) == Some(Kind::Struct),
        Rule::NoKey => key == 0,
        Rule::Never => return Err(Errno::ENOTSUPP),
    };
    if fits { Ok(()) } else { Err(Errno::EINVAL) }
}
