//! `gen …`.

mod skeleton;
mod variables;

pub(crate) use skeleton::{skeleton, subskeleton};

use btf::Btf;
use loader::CoreNeeds;

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
pub(crate) fn min_core_btf(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    words.need(3)?;
    let (from, output) = (words.take()?, words.take()?);
    let unread = |file: &str, errno: Errno| {
        Fail::new(format!("failed to open BTF file '{file}': {}", strerror(errno))).code(-errno.0)
    };
    let bytes = ctx.read(from, MAX_FILE).map_err(|error| unread(from, io_errno(&error)))?;
    let target = Btf::parse(&bytes).map_err(|_| unread(from, Errno::EINVAL))?;
    let mut needs = CoreNeeds::new(&target);
    while let Some(file) = words.next() {
        let failed = |errno: Errno, why: String| {
            let text = format!("error recording relocations for {file}: {}", strerror(errno));
            Fail::new(text).code(-errno.0).after(why)
        };
        let bytes = ctx.read(file, MAX_FILE);
        let bytes = bytes.map_err(|error| failed(io_errno(&error), String::new()))?;
        let spec = loader::Object::parse(&bytes);
        let added = spec.and_then(|spec| needs.add(&spec));
        added.map_err(|error| failed(Errno::EINVAL, format!("{error}\n")))?;
    }
    let blob = needs.finish();
    let blob = blob.map_err(|error| Fail::new(format!("error creating BTF: {error}")))?;
    std::fs::write(output, blob)
        .map_err(|error| Fail::errno(format!("failed to create '{output}'"), io_errno(&error)))?;
    Ok(Answer::null())
}
