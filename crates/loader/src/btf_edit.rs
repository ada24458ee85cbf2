//! Changes to an object's BTF before it is loaded: sizes and offsets that only the ELF file knows.

use btf::{Btf, Kind, TypeId};

use crate::error::LoadError;

/// Bytes of a type's head: name offset, info, size or type.
const HEAD: usize = 12;
/// Bytes of the header that is written.
const HEADER: usize = 24;

/// BTF with its types and strings open to change.
pub(crate) struct BtfEdit {
    btf: Btf,
    types: Vec<u8>,
    strings: Vec<u8>,
    /// Start of each type in `types`; index 0 is type 1.
    starts: Vec<usize>,
    changed: bool,
}

impl BtfEdit {
    /// Opens complete (not split) BTF.
    pub(crate) fn new(btf: Btf) -> BtfEdit {
        let bytes = btf.bytes();
        let word = |at: usize| {
            let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
            four.map_or(0, u32::from_le_bytes) as usize
        };
        let header = word(4);
        let part = |off: usize, len: usize| {
            bytes.get(header + off..header + off + len).unwrap_or_default().to_vec()
        };
        let (types, strings) = (part(word(8), word(12)), part(word(16), word(20)));
        let mut at = 0;
        let starts = btf.own_types().map(|ty| {
            let start = at;
            at += HEAD + ty.kind.tail_len(ty.vlen) as usize;
            start
        });
        let starts = starts.collect();
        BtfEdit { types, strings, starts, changed: false, btf }
    }

    /// The BTF as it was opened.
    pub(crate) fn old(&self) -> &Btf {
        &self.btf
    }

    /// Sets the size of a struct or data section, or the type that a type refers to.
    pub(crate) fn set_size_or_type(&mut self, id: TypeId, value: u32) {
        self.put(id, 8, value);
    }

    /// Sets the linkage of a function.
    pub(crate) fn set_func_linkage(&mut self, id: TypeId, linkage: u32) {
        self.put(id, 4, (Kind::Func as u32) << 24 | linkage);
    }

    /// Sets the linkage of a variable.
    pub(crate) fn set_var_linkage(&mut self, id: TypeId, linkage: u32) {
        self.put(id, HEAD, linkage);
    }

    /// Names the parameter with this number.
    pub(crate) fn set_param_name(&mut self, proto: TypeId, param: usize, name_off: u32) {
        self.put(proto, HEAD + param * 8, name_off);
    }

    /// Replaces a data section's records: type, offset, size.
    pub(crate) fn set_datasec(&mut self, id: TypeId, records: &[[u32; 3]]) {
        for (index, record) in records.iter().enumerate() {
            for (word, value) in record.iter().enumerate() {
                self.put(id, HEAD + index * 12 + word * 4, *value);
            }
        }
    }

    /// Adds a global variable.
    pub(crate) fn add_var(&mut self, name: &str, ty: TypeId) -> (TypeId, u32) {
        let name_off = self.add_string(name);
        self.starts.push(self.types.len());
        for word in [name_off, (Kind::Var as u32) << 24, ty.0, 1] {
            self.types.extend_from_slice(&word.to_le_bytes());
        }
        self.changed = true;
        (TypeId(self.starts.len() as u32), name_off)
    }

    fn add_string(&mut self, text: &str) -> u32 {
        let mut at = 0;
        for old in self.strings.split(|byte| *byte == 0) {
            if old == text.as_bytes() {
                return at as u32;
            }
            at += old.len() + 1;
        }
        let at = self.strings.len();
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        at as u32
    }

    fn put(&mut self, id: TypeId, offset: usize, value: u32) {
        let start = (id.0 as usize).checked_sub(1).and_then(|own| self.starts.get(own));
        let Some(at) = start.map(|start| start + offset) else { return };
        if let Some(four) = self.types.get_mut(at..at + 4) {
            self.changed |= four != value.to_le_bytes();
            four.copy_from_slice(&value.to_le_bytes());
        }
    }

    /// The changed BTF.
    pub(crate) fn finish(self) -> Result<Btf, LoadError> {
        if !self.changed {
            return Ok(self.btf);
        }
        let mut bytes = Vec::with_capacity(HEADER + self.types.len() + self.strings.len());
        bytes.extend_from_slice(&[0x9f, 0xeb, 1, 0]);
        let types = self.types.len() as u32;
        for word in [HEADER as u32, 0, types, types, self.strings.len() as u32] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(&self.types);
        bytes.extend_from_slice(&self.strings);
        Btf::parse(&bytes).map_err(|source| LoadError::Btf { section: ".BTF", source })
    }
}
