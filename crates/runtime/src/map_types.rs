//! What Linux asks of the BTF types of a map's keys and values.

use btf::fields::{Field, FieldKind, Record, StructMetas, map_value};
use btf::{Btf, Kind, TypeId};
use uapi::{Errno, MapDef, MapType, map_flags};
use verifier::Policy;

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

/// EPERM where the loader may not make such a map; unprivileged ones make none, as with
/// `unprivileged_bpf_disabled`.
pub(crate) fn allowed(map_type: MapType, policy: &Policy) -> Result<(), Errno> {
    use MapType::{Devmap, DevmapHash, Sockhash, Sockmap, Xskmap};
    let of_network = matches!(map_type, Devmap | DevmapHash | Sockhash | Sockmap | Xskmap);
    let has = |capability: bool| capability || policy.cap_sys_admin;
    let may = has(policy.cap_bpf) && (!of_network || has(policy.cap_net_admin));
    if may { Ok(()) } else { Err(Errno::EPERM) }
}

/// What the types of a map's value are made with.
pub(crate) struct Kernel<'a> {
    pub(crate) btf: Option<&'a Btf>,
    pub(crate) policy: &'a Policy,
}

/// The special fields of the values; none where they are in error, as in Linux. EINVAL for types that do not fit the map, ENOTSUPP where it
/// has none; EPERM, EACCES, EOPNOTSUPP for special fields that cannot be in this map.
pub(crate) fn check(def: &MapDef, btf: &Btf, kernel: &Kernel<'_>) -> Result<Record, Errno> {
    let sized = |id: u32, want: u32| btf.size_of(TypeId(id)).is_ok_and(|size| size == want);
    let (key, value) = (def.btf_key_type_id, def.btf_value_type_id);
    let rule = rule(def);
    // A key may go without a type only where the map's own rule looks at it.
    let keyless = key == 0 && !matches!(rule, Rule::Any);
    if value == 0 || !(keyless || sized(key, def.key_size)) || !sized(value, def.value_size) {
        return Err(Errno::EINVAL);
    }
    let fields =
        map_value(btf, TypeId(value), def.value_size, kernel.btf).map_err(|why| Errno(why.errno()));
    if let Ok(record) = &fields {
        check_fields(def, record, kernel)?;
        let metas =
            if record.iter().any(is_checked) { Some(metas(btf, kernel.btf)?) } else { None };
        if let Some(metas) = metas {
            metas.check(btf, record).map_err(|why| Errno(why.errno()))?;
        }
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
    if fits { Ok(fields.unwrap_or_default()) } else { Err(Errno::EINVAL) }
}

/// Special fields of the structures that programs may allocate; the errors of BTF_LOAD.
pub(crate) fn metas(btf: &Btf, kernel: Option<&Btf>) -> Result<StructMetas, Errno> {
    StructMetas::parse(btf, kernel).map_err(|why| Errno(why.errno()))
}

/// The special fields as maps keep them.
pub(crate) fn special(record: &Record) -> maps::Special {
    maps::Special {
        lock: record.find(FieldKind::SpinLock).map(|field| field.off),
        fields: record.iter().map(|field| (field.off, field.size)).collect(),
        letgo: None,
    }
}

fn is_checked(field: &Field) -> bool {
    field.kind == FieldKind::Uptr || field.kind.is_graph_root()
}

/// The maps that a special field may be in.
fn homes(kind: FieldKind) -> &'static [MapType] {
    use FieldKind as F;
    use MapType::*;
    match kind {
        F::SpinLock | F::ResSpinLock => {
            &[Hash, Array, CgroupStorage, SkStorage, InodeStorage, TaskStorage, CgrpStorage]
        }
        F::Timer | F::Wq | F::TaskWork | F::ListHead | F::RbRoot => &[Hash, LruHash, Array],
        F::KptrUnref | F::KptrRef | F::KptrPercpu | F::Refcount => &[
            Hash,
            PercpuHash,
            LruHash,
            LruPercpuHash,
            Array,
            PercpuArray,
            SkStorage,
            InodeStorage,
            TaskStorage,
            CgrpStorage,
        ],
        F::Uptr => &[TaskStorage],
        F::ListNode | F::RbNode => &[],
    }
}

fn check_fields(def: &MapDef, record: &Record, kernel: &Kernel<'_>) -> Result<(), Errno> {
    if record.is_empty() {
        return Ok(());
    }
    if !kernel.policy.cap_bpf && !kernel.policy.cap_sys_admin {
        return Err(Errno::EPERM);
    }
    if def.flags & (map_flags::RDONLY_PROG | map_flags::WRONLY_PROG) != 0 {
        return Err(Errno::EACCES);
    }
    let homeless = |field: &Field| !homes(field.kind).contains(&def.map_type);
    if record.iter().any(homeless) { Err(Errno::EOPNOTSUPP) } else { Ok(()) }
}
