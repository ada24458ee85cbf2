//! Externs: symbols of the kernel and values of its configuration, and what BTF says of them.

use btf::{Btf, BtfBuilder, Kind, Linkage, SecInfo, Type, TypeId};
use rustc_hash::FxHashMap;

use crate::elf::{Elf, Symbol};
use crate::error::LoadError;
use crate::spec::{Extern, ExternKind, KconfigType};

/// What stands for functions among the variables of `.ksyms`, and names their parameters.
const DUMMY: &str = "dummy_ksym";
/// Bytes that each kernel symbol takes in the data section made for the kernel's BTF check.
const KSYM_SIZE: u32 = 4;

/// Bytes of all configuration values together, which no file bounds: 1 MiB.
const MAX_KCONFIG: u32 = 1 << 20;

/// New records of data sections.
pub(crate) type Edited = FxHashMap<TypeId, Vec<SecInfo>>;

/// Reads the externs, sorted as libbpf does, and turns their BTF into allocated variables, without
/// which the kernel refuses it.
pub(crate) fn collect(
    elf: &Elf<'_>,
    btf: &Btf,
    edit: &mut BtfBuilder,
) -> Result<(Vec<Extern>, Edited), LoadError> {
    let index = Index::new(btf);
    let dummy = add_dummy(btf, edit);
    let mut externs = Vec::new();
    let (mut kconfig, mut ksyms) = (None, None);
    for (number, symbol) in elf.symbols.iter().enumerate() {
        if !symbol.is_extern() || symbol.name.is_empty() {
            continue;
        }
        let (found, section) = index.find(symbol.name)?;
        let kind = match section.name {
            ".kconfig" => {
                kconfig = Some(section);
                kconfig_kind(btf, symbol, &found)?
            }
            ".ksyms" => {
                ksyms = Some(section);
                ksym_kind(btf, symbol, &found)?
            }
            other => {
                let message = format!("in section '{other}', not .kconfig or .ksyms");
                return Err(LoadError::external(symbol.name, message));
            }
        };
        externs.push(extern_of(number, symbol, found.id, kind));
    }
    externs.sort_by(|a, b| order(a).cmp(&order(b)));
    place_kconfig(&mut externs)?;
    let mut edited = Edited::default();
    let names = by_name(&externs);
    if let Some(section) = ksyms {
        edit_ksyms(btf, edit, &section, &names, dummy, &mut edited)?;
    }
    if let Some(section) = kconfig {
        edit_kconfig(btf, edit, &section, &names, kconfig_size(&externs), &mut edited)?;
    }
    Ok((externs, edited))
}

fn extern_of(number: usize, symbol: &Symbol<'_>, btf_id: TypeId, kind: ExternKind) -> Extern {
    let (name, weak) = (symbol.name.to_owned(), symbol.is_weak());
    Extern { name, btf_id, weak, resolved: false, kind, symbol: number }
}

/// Configuration values first, by falling alignment and rising size; then by name.
fn order(ext: &Extern) -> (u8, u32, u32, &str) {
    match ext.kind {
        ExternKind::Kconfig { align, size, .. } => (1, u32::MAX - align, size, &ext.name),
        ExternKind::Ksym { .. } => (2, 0, 0, &ext.name),
    }
}

/// Where the BTF of each extern is.
struct Index<'b> {
    btf: &'b Btf,
    /// First VAR or FUNC with each name.
    by_name: FxHashMap<&'b str, TypeId>,
    /// First data section that holds each variable.
    sections: FxHashMap<TypeId, TypeId>,
}

impl<'b> Index<'b> {
    fn new(btf: &'b Btf) -> Index<'b> {
        let mut index =
            Index { btf, by_name: FxHashMap::default(), sections: FxHashMap::default() };
        for ty in btf.own_types() {
            match ty.kind {
                Kind::Var | Kind::Func => {
                    index.by_name.entry(ty.name).or_insert(ty.id);
                }
                Kind::Datasec => {
                    for record in ty.datasec() {
                        index.sections.entry(record.type_id).or_insert(ty.id);
                    }
                }
                _ => {}
            }
        }
        index
    }

    fn find(&self, name: &str) -> Result<(Type<'b>, Type<'b>), LoadError> {
        let missing = |what: &str| LoadError::external(name, format!("{what} in BTF"));
        let ty = self.by_name.get(name).and_then(|id| self.btf.ty(*id));
        let ty = ty.ok_or_else(|| missing("no type"))?;
        let linkage = match ty.kind {
            Kind::Var => ty.var().and_then(|var| var.linkage()),
            _ => ty.func_linkage(),
        };
        if linkage != Some(Linkage::Extern) {
            return Err(missing("not extern"));
        }
        let section = self.sections.get(&ty.id).and_then(|id| self.btf.ty(*id));
        Ok((ty, section.ok_or_else(|| missing("in no data section"))?))
    }
}

fn kconfig_kind(btf: &Btf, symbol: &Symbol<'_>, found: &Type<'_>) -> Result<ExternKind, LoadError> {
    let bad = |message: String| LoadError::external(symbol.name, message);
    if found.kind == Kind::Func {
        return Err(bad("a function in section .kconfig".into()));
    }
    let id = TypeId(found.size_or_type);
    let size = btf.size_of(id).map_err(|error| bad(error.to_string()))?;
    let align = btf.align_of(id).map_err(|error| bad(error.to_string()))?;
    let ty = kconfig_type(btf, id)
        .filter(|_| size > 0)
        .ok_or_else(|| bad("type is unsupported for a configuration value".into()))?;
    Ok(ExternKind::Kconfig { ty, offset: 0, size, align })
}

fn kconfig_type(btf: &Btf, id: TypeId) -> Option<KconfigType> {
    let ty = btf.resolved(id)?;
    match ty.kind {
        Kind::Int => {
            let encoding = ty.int()?.encoding;
            let signed = encoding.signed;
            match ty.size_or_type {
                1 if encoding.bool => Some(KconfigType::Bool),
                _ if encoding.bool => None,
                1 => Some(KconfigType::Char { signed }),
                2 | 4 | 8 => Some(KconfigType::Int { signed }),
                _ => None,
            }
        }
        Kind::Enum if ty.size_or_type == 4 && ty.name == "libbpf_tristate" => {
            Some(KconfigType::Tristate)
        }
        Kind::Enum64 if ty.name == "libbpf_tristate" => Some(KconfigType::Tristate),
        Kind::Array => {
            let array = ty.array().filter(|array| array.count > 0)?;
            let elem = btf.resolved(array.elem).filter(|elem| elem.kind == Kind::Int)?;
            matches!(kconfig_type(btf, elem.id)?, KconfigType::Char { .. })
                .then_some(KconfigType::CharArray)
        }
        _ => None,
    }
}

fn ksym_kind(btf: &Btf, symbol: &Symbol<'_>, found: &Type<'_>) -> Result<ExternKind, LoadError> {
    let type_id = btf
        .resolve(TypeId(found.size_or_type))
        .map_err(|error| LoadError::external(symbol.name, error.to_string()))?;
    Ok(ExternKind::Ksym { type_id, kernel_btf_id: 0, module: 0, address: 0 })
}

fn place_kconfig(externs: &mut [Extern]) -> Result<(), LoadError> {
    let mut end = 0_u32;
    for ext in externs {
        if let ExternKind::Kconfig { offset, size, align, .. } = &mut ext.kind {
            let place = end.checked_next_multiple_of(*align);
            let place = place.and_then(|at| Some((at, at.checked_add(*size)?)));
            let Some((start, next)) = place.filter(|(_, next)| *next <= MAX_KCONFIG) else {
                let what = format!("bytes of configuration values (at '{}')", ext.name);
                return Err(LoadError::Limit { what, limit: MAX_KCONFIG.into() });
            };
            (*offset, end) = (start, next);
        }
    }
    Ok(())
}

/// Adds the variable that stands for functions, if `.ksyms` has any.
fn add_dummy(btf: &Btf, edit: &mut BtfBuilder) -> Option<TypeId> {
    let section = btf.ty(btf.find_by_name(".ksyms", Kind::Datasec)?)?;
    section.datasec().find(|record| btf.kind(record.type_id) == Some(Kind::Func))?;
    Some(edit.var(DUMMY, find_int(btf), Linkage::Global))
}

fn find_int(btf: &Btf) -> TypeId {
    let int = btf.own_types().find(|ty| ty.int().is_some_and(|int| int.bits == 32));
    int.map_or(TypeId::VOID, |int| int.id)
}

fn edit_ksyms(
    btf: &Btf,
    edit: &mut BtfBuilder,
    section: &Type<'_>,
    externs: &ByName<'_>,
    dummy: Option<TypeId>,
    edited: &mut Edited,
) -> Result<(), LoadError> {
    let int = find_int(btf);
    let mut records = Vec::new();
    for record in section.datasec() {
        let id = record.type_id;
        declared(btf, externs, id)?;
        let mut stand_in = id;
        match (btf.kind(id), dummy) {
            (Some(Kind::Func), Some(dummy)) => {
                edit.set_func_linkage(id, Linkage::Global);
                name_params(btf, edit, id);
                stand_in = dummy;
            }
            _ => {
                edit.set_var_linkage(id, Linkage::Global);
                edit.set_target(id, int);
            }
        }
        let offset = records.len() as u32 * KSYM_SIZE;
        records.push(SecInfo { type_id: stand_in, offset, size: KSYM_SIZE });
    }
    edit.set_size(section.id, records.len() as u32 * KSYM_SIZE);
    edited.insert(section.id, records);
    Ok(())
}

fn name_params(btf: &Btf, edit: &mut BtfBuilder, func: TypeId) {
    let proto = btf.ty(func).and_then(|func| btf.ty(func.target()?));
    for (proto, (number, param)) in proto
        .iter()
        .flat_map(|proto| proto.params().enumerate().map(move |param| (proto.id, param)))
    {
        if !param.type_id.is_void() && param.name.is_empty() {
            edit.set_param_name(proto, number as u32, DUMMY);
        }
    }
}

fn edit_kconfig(
    btf: &Btf,
    edit: &mut BtfBuilder,
    section: &Type<'_>,
    externs: &ByName<'_>,
    size: u32,
    edited: &mut Edited,
) -> Result<(), LoadError> {
    let mut records = Vec::new();
    for record in section.datasec() {
        let ext = declared(btf, externs, record.type_id)?;
        edit.set_var_linkage(record.type_id, Linkage::Global);
        let offset = match ext.kind {
            ExternKind::Kconfig { offset, .. } => offset,
            ExternKind::Ksym { .. } => record.offset,
        };
        records.push(SecInfo { offset, ..record });
    }
    edit.set_size(section.id, size);
    edited.insert(section.id, records);
    Ok(())
}

/// Bytes of map `.kconfig`; 0 if there is none.
pub(crate) fn kconfig_size(externs: &[Extern]) -> u32 {
    let ends = externs.iter().map(|ext| match ext.kind {
        ExternKind::Kconfig { offset, size, .. } => offset + size,
        ExternKind::Ksym { .. } => 0,
    });
    ends.max().unwrap_or(0)
}

/// Externs by name.
type ByName<'e> = FxHashMap<&'e str, &'e Extern>;

fn by_name(externs: &[Extern]) -> ByName<'_> {
    externs.iter().map(|ext| (ext.name.as_str(), ext)).collect()
}

fn declared<'e>(btf: &Btf, externs: &ByName<'e>, id: TypeId) -> Result<&'e Extern, LoadError> {
    let name = btf.name_of(id);
    externs
        .get(name)
        .copied()
        .ok_or_else(|| LoadError::external(name, "declared in BTF, but no symbol refers to it"))
}
