//! `struct_ops …` and `token …`.

use runtime::door::ObjKind;
use uapi::{Errno, MapType};

use crate::answer::{Answer, Done, Show};
use crate::fail::{Fail, strerror};
use crate::net::Nothing;
use crate::prog::{number, string};
use crate::session::Ctx;
use crate::words::{Words, number as parse};
use crate::{handle, proto};

/// `struct_ops show [id N | name NAME]`.
pub(crate) fn show(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    let wanted = wanted(&mut words)?;
    words.end()?;
    let mut rows = Vec::new();
    handle::every(ctx, ObjKind::Map, |door, fd| {
        let Ok(info) = door.map_info(fd) else { return Ok(()) };
        let by_name = wanted.as_ref().is_none_or(|wanted| wanted.matches(info.id, &info.def.name));
        if info.def.map_type != MapType::StructOps || !by_name {
            return Ok(());
        }
        let value = btf::TypeId(info.def.btf_vmlinux_value_type_id);
        let btf = proto::btf_of(door, 1);
        let structure = btf.as_ref().and_then(|btf| btf.ty(value)).map(|ty| ty.name.to_owned());
        let structure = structure.unwrap_or_default();
        let structure = structure.trim_start_matches("bpf_struct_ops_").to_owned();
        rows.push(Row { id: info.id, name: info.def.name, structure });
        Ok(())
    })?;
    let missing = wanted.filter(|_| rows.is_empty());
    let json = ctx.options.json;
    let end = missing.map(|wanted| match json {
        true => Fail::silent(-1),
        false => Fail::new(format!("no struct_ops found for {}", wanted.text)),
    });
    Ok(Answer::data(Rows(rows)).ends(end))
}

struct Wanted {
    id: Option<u32>,
    text: String,
}

impl Wanted {
    fn matches(&self, id: u32, name: &str) -> bool {
        match self.id {
            Some(wanted) => wanted == id,
            None => self.text == name,
        }
    }
}

fn wanted(words: &mut Words<'_>) -> Result<Option<Wanted>, Fail> {
    if words.is_empty() {
        return Ok(None);
    }
    if words.eat("id") {
        let word = words.next().unwrap_or_default();
        let id = parse(word, 0).filter(|id| *id != 0);
        let id = id.ok_or_else(|| Fail::new(format!("invalid id {word}")))? as u32;
        return Ok(Some(Wanted { id: Some(id), text: word.to_owned() }));
    }
    if words.eat("name") {
        let text = words.next().unwrap_or_default().to_owned();
        return Ok(Some(Wanted { id: None, text }));
    }
    let got = words.peek().unwrap_or_default();
    Err(Fail::new(format!("expected 'id' or 'name', got: '{got}'?")))
}

struct Row {
    id: u32,
    name: String,
    structure: String,
}

struct Rows(Vec<Row>);

impl Show for Rows {
    fn plain(&self, out: &mut Vec<u8>) {
        for row in &self.0 {
            let text = format!("{}: {:<15} {:<32}\n", row.id, row.name, row.structure);
            out.extend_from_slice(text.as_bytes());
        }
    }

    fn json(&self, out: &mut btf::print::JsonText) {
        out.begin_array();
        for row in &self.0 {
            out.begin_object();
            number(out, "id", row.id);
            string(out, "name", &row.name);
            string(out, "kernel_struct_ops", &row.structure);
            out.end_object();
        }
        out.end_array();
    }
}

/// `struct_ops register OBJECT [DIR]`.
pub(crate) fn register(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    words.need(1)?;
    let file = words.take()?;
    crate::prog::open(ctx, file)?;
    Err(Fail::new(format!("can't register struct_ops: {}", strerror(Errno::EOPNOTSUPP))))
}

/// `struct_ops unregister …`.
pub(crate) fn unregister(_: &Ctx<'_>, mut words: Words<'_>) -> Done {
    words.need(2)?;
    let text = wanted(&mut words)?.map(|wanted| wanted.text).unwrap_or_default();
    Err(Fail::new(format!("no struct_ops found for {text}")))
}

/// `struct_ops dump …`.
pub(crate) fn dump(_: &Ctx<'_>, mut words: Words<'_>) -> Done {
    match wanted(&mut words)? {
        Some(wanted) => Err(Fail::new(format!("no struct_ops found for {}", wanted.text))),
        None => Ok(Answer::data(Nothing)),
    }
}

/// `token show`: tokens belong to mounted file systems, and nothing is mounted here.
pub(crate) fn token(_: &Ctx<'_>, words: Words<'_>) -> Done {
    words.end()?;
    Ok(Answer::data(Nothing))
}
