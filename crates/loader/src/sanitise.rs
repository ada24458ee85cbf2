//! BTF for kernels that lack some of its kinds: each is written over by an older kind of the same
//! length, as libbpf does, so that ids stay what they are.
//!
//! [`BtfFeatures::probe`] finds out what a kernel lacks, [`sanitised`] writes the BTF for it, and
//! [`Spec::sanitise_btf`] does so to an object. Nothing here talks to a kernel.

use std::sync::Arc;

use btf::{Btf, BtfBuilder, BtfError, Encoding, Kind, Linkage, SecInfo, Type, TypeId};

use crate::{LoadError, Spec};

/// The BTF kinds and usages that a kernel knows, beyond those it began with in Linux 4.18.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BtfFeatures {
    /// Functions and their prototypes (4.20).
    pub func: bool,
    /// Variables and data sections (5.2).
    pub datasec: bool,
    /// Functions with global linkage (5.6).
    pub func_global: bool,
    /// Floating-point numbers (5.13).
    pub float: bool,
    /// Tags of declarations (5.16).
    pub decl_tag: bool,
    /// Tags of types (5.17).
    pub type_tag: bool,
    /// Enums of 64 bits, and signed ones (6.0).
    pub enum64: bool,
    /// Data sections whose name starts with `?` (6.9).
    pub qmark_datasec: bool,
}

impl BtfFeatures {
    /// All of them, as of Linux 6.18.
    pub const ALL: BtfFeatures = BtfFeatures::same(true);
    /// None of them.
    pub const NONE: BtfFeatures = BtfFeatures::same(false);

    const fn same(all: bool) -> BtfFeatures {
        BtfFeatures {
            func: all,
            datasec: all,
            func_global: all,
            float: all,
            decl_tag: all,
            type_tag: all,
            enum64: all,
            qmark_datasec: all,
        }
    }

    /// Asks `accepts`, by small BTF objects, whether a kernel loads them.
    pub fn probe(mut accepts: impl FnMut(&[u8]) -> bool) -> BtfFeatures {
        let mut ask = |add: fn(&mut BtfBuilder, TypeId)| {
            let mut trial = BtfBuilder::new();
            let int = trial.int("int", 4, Encoding { signed: true, ..Encoding::default() });
            add(&mut trial, int);
            trial.finish().is_ok_and(|bytes| accepts(&bytes))
        };
        BtfFeatures {
            func: ask(|trial, int| function(trial, int, Linkage::Static)),
            datasec: ask(|trial, int| section(trial, int, ".data")),
            func_global: ask(|trial, int| function(trial, int, Linkage::Global)),
            float: ask(|trial, _| _ = trial.float("float", 4)),
            decl_tag: ask(|trial, int| {
                let var = trial.var("x", int, Linkage::Static);
                trial.decl_tag("tag", var, -1);
            }),
            type_tag: ask(|trial, int| {
                let tag = trial.type_tag("tag", int);
                trial.ptr(tag);
            }),
            enum64: ask(|trial, _| _ = trial.enum64("", true, &[])),
            qmark_datasec: ask(|trial, int| section(trial, int, "?.data")),
        }
    }
}

fn function(trial: &mut BtfBuilder, int: TypeId, linkage: Linkage) {
    let proto = trial.func_proto(int, &[("a", int)]);
    trial.func("x", proto, linkage);
}

fn section(trial: &mut BtfBuilder, int: TypeId, name: &str) {
    let var = trial.var("x", int, Linkage::Static);
    trial.datasec(name, 4, &[SecInfo { type_id: var, offset: 0, size: 4 }]);
}

impl Spec {
    /// Makes the BTF one that a kernel with these features loads; without `func`, programs lose
    /// their records of functions and lines, which it could not read.
    pub fn sanitise_btf(&mut self, kernel: &BtfFeatures) -> Result<(), LoadError> {
        let Some(own) = &self.btf else { return Ok(()) };
        let fail = |source| LoadError::Btf { section: ".BTF", source };
        let bytes = sanitised(own, kernel).map_err(fail)?;
        self.btf = Some(Arc::new(Btf::parse(&bytes).map_err(fail)?));
        if !kernel.func {
            for program in &mut self.programs {
                program.func_info.clear();
                program.line_info.clear();
            }
        }
        Ok(())
    }
}

/// The bytes of `btf` with what the kernel lacks written over; ids stay.
pub fn sanitised(btf: &Btf, kernel: &BtfFeatures) -> Result<Vec<u8>, BtfError> {
    let mut builder = BtfBuilder::from_btf(btf);
    let is_wide = |ty: Type<'_>| ty.kind == Kind::Enum64;
    // Values of 64-bit enums become members of this type.
    let placeholder = if !kernel.enum64 && btf.own_types().any(is_wide) {
        builder.int("enum64_placeholder", 1, Encoding::default())
    } else {
        TypeId(0)
    };
    let bytes = builder.finish()?;
    let strings = HEADER_LEN + word(&bytes, 12) as usize;
    let mut edit = Edit { bytes, at: HEADER_LEN, strings, kernel, placeholder };
    for ty in btf.own_types() {
        edit.rewrite(btf, &ty);
        edit.at = usize::try_from(ty.kind.tail_len(ty.vlen))
            .map_or(usize::MAX, |tail| edit.at.saturating_add(HEAD_LEN + tail));
    }
    Ok(edit.bytes)
}

/// Bytes of the header that [`BtfBuilder`] writes.
const HEADER_LEN: usize = 24;
/// Bytes of a type before its members.
const HEAD_LEN: usize = 12;

/// One pass over the types, in place.
struct Edit<'a> {
    bytes: Vec<u8>,
    /// Where the type at hand starts.
    at: usize,
    /// Where the strings start.
    strings: usize,
    kernel: &'a BtfFeatures,
    placeholder: TypeId,
}

impl Edit<'_> {
    fn rewrite(&mut self, btf: &Btf, ty: &Type<'_>) {
        let kernel = self.kernel;
        match ty.kind {
            Kind::Var if !kernel.datasec => self.be_byte(),
            Kind::DeclTag if !kernel.decl_tag => self.be_byte(),
            Kind::Datasec if !kernel.datasec => self.be_struct(btf, ty),
            Kind::Datasec if !kernel.qmark_datasec => self.clean_name(ty, b"?", 1),
            // The size that a 4-byte enum must have stands where the return type was.
            Kind::FuncProto if !kernel.func => self.be(Kind::Enum, ty.vlen, 4),
            Kind::Func if !kernel.func => self.be(Kind::Typedef, 0, ty.size_or_type),
            Kind::Func if !kernel.func_global => self.be(Kind::Func, 0, ty.size_or_type),
            Kind::Float if !kernel.float => self.be_nameless(Kind::Struct, ty),
            Kind::TypeTag if !kernel.type_tag => self.be_nameless(Kind::Const, ty),
            // Older kernels refuse the flag that says signed.
            Kind::Enum if !kernel.enum64 => self.be(Kind::Enum, ty.vlen, ty.size_or_type),
            Kind::Enum64 if !kernel.enum64 => self.be_union(ty),
            _ => {}
        }
    }

    fn set(&mut self, at: usize, value: u32) {
        if let Some(place) = self.bytes.get_mut(at..at.saturating_add(4)) {
            place.copy_from_slice(&value.to_le_bytes());
        }
    }

    fn be(&mut self, kind: Kind, vlen: u32, size_or_type: u32) {
        self.set(self.at + 4, (kind as u32) << 24 | vlen);
        self.set(self.at + 8, size_or_type);
    }

    /// An integer of one byte: the only size that fits into every variable's.
    fn be_byte(&mut self) {
        self.be(Kind::Int, 0, 1);
        self.set(self.at + HEAD_LEN, 8);
    }

    /// C has names for floats and tags that no struct or qualifier may have.
    fn be_nameless(&mut self, kind: Kind, ty: &Type<'_>) {
        self.set(self.at, 0);
        self.be(kind, 0, ty.size_or_type);
    }

    fn be_struct(&mut self, btf: &Btf, ty: &Type<'_>) {
        self.clean_name(ty, b".?", usize::MAX);
        self.be(Kind::Struct, ty.vlen, ty.size_or_type);
        for (index, entry) in ty.datasec().enumerate() {
            let name = btf.ty(entry.type_id).map_or(0, |var| var.name_off);
            self.set_member(index, name, entry.type_id, entry.offset.wrapping_mul(8));
        }
    }

    fn be_union(&mut self, ty: &Type<'_>) {
        self.be(Kind::Union, ty.vlen, ty.size_or_type);
        for index in 0..ty.vlen as usize {
            let name = word(&self.bytes, self.at + HEAD_LEN + index * 12);
            self.set_member(index, name, self.placeholder, 0);
        }
    }

    fn set_member(&mut self, index: usize, name: u32, type_id: TypeId, bit_offset: u32) {
        let at = self.at + HEAD_LEN + index * 12;
        for (place, value) in [(0, name), (4, type_id.0), (8, bit_offset)] {
            self.set(at + place, value);
        }
    }

    /// Replaces those of these bytes that are among the first `limit` of the name by `_`, in the
    /// string itself.
    fn clean_name(&mut self, ty: &Type<'_>, unwanted: &[u8], limit: usize) {
        let start = self.strings.saturating_add(ty.name_off as usize);
        let Some(name) = self.bytes.get_mut(start..) else { return };
        for byte in name.iter_mut().take(limit).take_while(|byte| **byte != 0) {
            if unwanted.contains(byte) {
                *byte = b'_';
            }
        }
    }
}

/// The word at `at`, 0 beyond the end.
fn word(bytes: &[u8], at: usize) -> u32 {
    let four = bytes.get(at..at.saturating_add(4)).and_then(|four| four.try_into().ok());
    four.map_or(0, u32::from_le_bytes)
}
