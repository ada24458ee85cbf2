//! The rules of the kernel's BTF_LOAD, in its order: header and sections, then each type by
//! itself ([`meta`]), then what types refer to ([`refs`]).
//!
//! Not checked here: the kernel's rules for special fields (`bpf_spin_lock`, list heads, …), which
//! belong to maps and programs.

mod log;
mod meta;
mod name;
mod refs;

use std::sync::Arc;

use crate::blob::Btf;
use crate::error::{BtfError, Place};
use crate::ty::{Type, TypeId};

/// Linux' `EINVAL`.
const EINVAL: i32 = 22;
/// `BTF_MAX_SIZE`: bytes of one object.
const MAX_SIZE: usize = 16 << 20;
/// `BTF_MAX_NAME_OFFSET`.
const MAX_NAME_OFFSET: usize = 0x00ff_ffff;
/// `BTF_MAX_TYPE`.
const MAX_TYPE: u32 = 0x000f_ffff;

impl Btf {
    /// Parses and verifies as BTF_LOAD does: of several faults, the one the kernel meets first.
    pub fn load(bytes: &[u8], base: Option<Arc<Btf>>) -> Result<Btf, BtfError> {
        let (btf, end) = Btf::build_partly(bytes, base)?;
        btf.verify_partly(end)?;
        Ok(btf)
    }

    /// As [`Btf::load`], with the log the kernel writes at level 1.
    pub fn load_logged(bytes: &[u8], base: Option<Arc<Btf>>) -> (Result<Btf, BtfError>, String) {
        match Btf::build_partly(bytes, base) {
            Err(error) => {
                let log = log::log(bytes, None, Err(&error));
                (Err(error), log)
            }
            Ok((btf, end)) => {
                let verdict = btf.verify_partly(end);
                let log = log::log(bytes, Some(&btf), verdict.as_ref().copied());
                (verdict.map(|()| btf), log)
            }
        }
    }

    /// `end` is what stopped the walk over the records, if something did.
    fn verify_partly(&self, end: Result<(), BtfError>) -> Result<(), BtfError> {
        self.verify_records()?;
        end?;
        refs::check(self)
    }

    /// Applies the kernel's load-time rules to the own types; the base is taken as verified.
    ///
    /// The error names the first type at fault, and [`BtfError::errno`] gives the kernel's errno.
    pub fn verify(&self) -> Result<(), BtfError> {
        self.verify_records()?;
        refs::check(self)
    }

    fn verify_records(&self) -> Result<(), BtfError> {
        self.verify_layout()?;
        if self.type_count() > MAX_TYPE {
            return Err(BtfError::Limit("number of types", u64::from(MAX_TYPE)));
        }
        self.own_types().try_for_each(|ty| meta::check(self, &ty))
    }

    /// The kernel allows no gap between sections and nothing after the strings.
    fn verify_layout(&self) -> Result<(), BtfError> {
        let (types, strings) = (&self.layout.types, &self.layout.strings);
        if self.bytes().len() > MAX_SIZE {
            return Err(BtfError::Limit("BTF length", MAX_SIZE as u64));
        }
        if types.start != self.layout.header_len as usize || strings.start != types.end {
            return Err(BtfError::Header("Unsupported section found"));
        }
        if strings.end != self.bytes().len() {
            return Err(BtfError::Header("String section is not at the end"));
        }
        if strings.len() > MAX_NAME_OFFSET + 1 {
            return Err(BtfError::Strings("Invalid string section"));
        }
        if types.is_empty() && self.base().is_none() {
            return Err(BtfError::Header("No type found"));
        }
        Ok(())
    }
}

/// An error about this type, with its errno.
fn fault(ty: &Type<'_>, errno: i32, message: impl Into<String>) -> BtfError {
    let (id, name, message) = (ty.id, ty.name.to_owned(), message.into());
    BtfError::Invalid { id, name, message, errno, place: Place::Record }
}

/// Moves an error from a whole type to a part of it, or to another pass.
fn at(place: Place) -> impl Fn(BtfError) -> BtfError {
    move |mut error| {
        if let BtfError::Invalid { place: old, .. } = &mut error
            && *old == Place::Record
        {
            *old = place;
        }
        error
    }
}

/// Fails with EINVAL and the message unless the rule holds.
fn rule(ty: &Type<'_>, holds: bool, message: &str) -> Result<(), BtfError> {
    if holds { Ok(()) } else { Err(fault(ty, EINVAL, message)) }
}

/// Whether the id lies in the range the format allows (the type may still be absent).
fn id_in_range(id: TypeId) -> bool {
    id.0 <= MAX_TYPE
}
