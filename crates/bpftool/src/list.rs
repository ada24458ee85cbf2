//! `show`: a row for each object that the words name, or for all.

use btf::print::JsonText;
use runtime::door::{Fd, ObjKind};

use crate::answer::{Answer, Done, Show};
use crate::fail::Fail;
use crate::handle;
use crate::refs::Refs;
use crate::session::Ctx;
use crate::words::Words;

/// What is shown of one object.
pub(crate) trait Row {
    fn text(&self) -> String;
    /// One JSON object.
    fn fields(&self, out: &mut JsonText);
}

/// Rows as a list or one alone.
pub(crate) struct List<R> {
    pub(crate) rows: Vec<R>,
    pub(crate) array: bool,
}

/// Objects that words name.
type Named = fn(&Ctx<'_>, &mut Words<'_>) -> Result<Vec<Fd>, Fail>;
/// The row of one.
type Make<R> = fn(&Ctx<'_>, Fd, &Refs) -> Result<R, Fail>;

/// `show [OBJECT]`.
pub(crate) fn show<R: Row + 'static>(
    ctx: &Ctx<'_>,
    mut words: Words<'_>,
    kind: ObjKind,
    named: Named,
    make: Make<R>,
) -> Done {
    let refs = Refs::find(ctx, kind)?;
    if words.len() == 2 {
        let fds = named(ctx, &mut words)?;
        if fds.is_empty() {
            return Err(Fail::silent(-1));
        }
        let rows: Result<Vec<_>, _> = fds.iter().map(|fd| make(ctx, *fd, &refs)).collect();
        return Ok(Answer::data(List { rows: rows?, array: fds.len() > 1 }));
    }
    words.end()?;
    Ok(Answer::data(List { rows: every(ctx, kind, &refs, make)?, array: true }))
}

/// Rows of all objects of a kind.
pub(crate) fn every<R>(
    ctx: &Ctx<'_>,
    kind: ObjKind,
    refs: &Refs,
    make: Make<R>,
) -> Result<Vec<R>, Fail> {
    let mut rows = Vec::new();
    handle::every(ctx, kind, |_, fd| {
        rows.push(make(ctx, fd, refs)?);
        Ok(())
    })?;
    Ok(rows)
}

impl<R: Row> Show for List<R> {
    fn plain(&self, out: &mut Vec<u8>) {
        self.rows.iter().for_each(|row| out.extend_from_slice(row.text().as_bytes()));
    }

    fn json(&self, out: &mut JsonText) {
        if self.array {
            out.begin_array();
        }
        self.rows.iter().for_each(|row| row.fields(out));
        if self.array {
            out.end_array();
        }
    }
}
