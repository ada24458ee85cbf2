//! What a program section's name says: program type, attach type, flags, where it attaches.

use uapi::{AttachType, ProgType, SectionDef};

use crate::spec::AttachPoint;

/// The row of libbpf's table that fits a section's name, without a leading `?`.
pub(crate) fn section_kind(section: &str) -> Option<&'static SectionDef> {
    uapi::section(section).map(|(def, _)| def)
}

/// How the target of such programs is named in BTF; `None` if they do not attach by it.
pub(crate) fn attach_point(def: &SectionDef) -> Option<AttachPoint> {
    match (def.prog_type, AttachType::from_raw(def.attach)) {
        (ProgType::Tracing, Some(AttachType::TraceRawTp)) => Some(AttachPoint::RawTracepoint),
        (ProgType::Tracing, Some(AttachType::TraceIter)) => Some(AttachPoint::Iter),
        (ProgType::Tracing, _) => Some(AttachPoint::Function),
        (ProgType::Lsm, _) => Some(AttachPoint::Lsm),
        (ProgType::Ext, _) => Some(AttachPoint::Program),
        _ => None,
    }
}
