//! `gen …`.

mod skeleton;

pub(crate) use skeleton::{skeleton, subskeleton};

use crate::answer::{Answer, Done};
use crate::fail::{Fail, io_errno, strerror};
use crate::session::Ctx;
use crate::words::Words;
use uapi::Errno;

/// Largest object that is read.
const MAX_FILE: u64 = 256 << 20;

/// `gen object OUTPUT INPUT…`.
pub(crate) fn object(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    words.need(2)?;
    let output = words.take()?;
    let mut inputs = Vec::new();
    while let Some(file) = words.next() {
        let bytes = ctx.read(file, MAX_FILE).map_err(|error| {
            let errno = io_errno(&error);
            let text = strerror(errno);
            Fail::new(format!("failed to link '{file}': {text} ({})", errno.0)).code(-errno.0)
        })?;
        inputs.push((file, bytes));
    }
    let objects: Vec<_> = inputs.iter().map(|(file, bytes)| (*file, bytes.as_slice())).collect();
    let linked = loader::link(&objects).map_err(|error| {
        let last = objects.last().map_or("", |object| object.0);
        let errno = Errno::EINVAL;
        let text = strerror(errno);
        Fail::new(format!("failed to link '{last}': {text} ({})", errno.0))
            .code(-errno.0)
            .after(format!("libbpf: {error}\n"))
    })?;
    std::fs::write(output, linked)
        .map_err(|error| Fail::errno(format!("failed to create '{output}'"), io_errno(&error)))?;
    Ok(Answer::null())
}

/// `gen min_core_btf BTF OUTPUT OBJECT…`.
pub(crate) fn min_core_btf(_: &Ctx<'_>, words: Words<'_>) -> Done {
    words.need(3)?;
    Err(Fail::of("types are not cut down to what objects ask for", Errno::EOPNOTSUPP))
}
