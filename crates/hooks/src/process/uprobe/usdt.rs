//! Probes that a file's makers have put there: notes of `.note.stapsdt`, and what programs are told
//! of their arguments.

use object::{Object, ObjectSection};

use super::argument::{self, Argument};
use super::elf::{Image, offset_of};
use crate::process::point::{Site, Usdt};

/// One place of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsdtProbe {
    /// Where it is; its cookie is 0.
    pub site: Site,
    args: Vec<Argument>,
}

/// Bytes of `struct __bpf_usdt_spec`, places in it, and arguments at most.
const SPEC: usize = 208;
const COOKIE: usize = 192;
const COUNT: usize = 200;
const ARGS: usize = 12;

/// `NT_STAPSDT`, and who makes such notes.
const TYPE: u32 = 3;
const OWNER: &[u8] = b"stapsdt\0";

impl UsdtProbe {
    /// What `usdt.bpf.h` keeps of it in `__bpf_usdt_specs`: where its arguments are, and the
    /// user's cookie.
    pub fn spec(&self, cookie: u64) -> [u8; SPEC] {
        let mut out = [0; SPEC];
        for (place, arg) in out.chunks_exact_mut(argument::SIZE).zip(&self.args) {
            place.copy_from_slice(&arg.to_bytes());
        }
        out[COOKIE..COUNT].copy_from_slice(&cookie.to_ne_bytes());
        out[COUNT..COUNT + 2].copy_from_slice(&(self.args.len() as u16).to_ne_bytes());
        out
    }
}

impl Usdt {
    /// All places of the probe in its file; why there is none.
    pub fn probes(&self) -> Result<Vec<UsdtProbe>, String> {
        probes(&Image::open(&self.file)?, self)
    }
}

pub(super) fn probes(image: &Image, usdt: &Usdt) -> Result<Vec<UsdtProbe>, String> {
    let file = image.parse()?;
    let none = || image.wrong("it has no probes (section .note.stapsdt)");
    let notes = file.section_by_name(".note.stapsdt").ok_or_else(none)?;
    let base = file.section_by_name(".stapsdt.base").map(|section| section.address());
    let mut found = Vec::new();
    let mut data = notes.data().map_err(|error| image.wrong(&error.to_string()))?;
    while let Some(note) = Note::next(&mut data) {
        if (note.provider, note.name) != (usdt.provider.as_bytes(), usdt.name.as_bytes()) {
            continue;
        }
        // The file may have been moved since the note was written.
        let moved = |at: u64| at.wrapping_add(base.map_or(0, |base| base.wrapping_sub(note.base)));
        let wrong = |what: &str| {
            let (provider, name) = (&usdt.provider, &usdt.name);
            image.wrong(&format!("{what} of probe {provider}:{name} lies outside of the file"))
        };
        let offset = offset_of(&file, moved(note.at)).ok_or_else(|| wrong("a place"))?;
        let semaphore = match note.semaphore {
            0 => None,
            at => Some(offset_of(&file, moved(at)).ok_or_else(|| wrong("the counter"))?),
        };
        let args = String::from_utf8_lossy(note.args);
        let args: Result<Vec<Argument>, String> =
            args.split_ascii_whitespace().take(ARGS).map(Argument::parse).collect();
        let args = args.map_err(|why| image.wrong(&format!("probe {}: {why}", usdt.name)))?;
        found.push(UsdtProbe { site: Site { offset, semaphore, cookie: 0 }, args });
    }
    if found.is_empty() {
        let (provider, name) = (&usdt.provider, &usdt.name);
        return Err(image.wrong(&format!("there is no probe {provider}:{name}")));
    }
    Ok(found)
}

/// One note.
struct Note<'d> {
    at: u64,
    base: u64,
    semaphore: u64,
    provider: &'d [u8],
    name: &'d [u8],
    args: &'d [u8],
}

impl<'d> Note<'d> {
    /// Takes the first probe's note from the start of `data`; none if there is no whole one left.
    fn next(data: &mut &'d [u8]) -> Option<Note<'d>> {
        loop {
            let half = |at: usize| data.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
            let (owner_len, len, kind) = (half(0)? as usize, half(4)? as usize, half(8)?);
            let rest = data.get(12..)?;
            let owner = rest.get(..owner_len)?;
            let rest = rest.get(owner_len.next_multiple_of(4)..)?;
            let body = rest.get(..len)?;
            *data = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
            if kind == TYPE && owner == OWNER {
                return Note::parse(body);
            }
        }
    }

    fn parse(body: &'d [u8]) -> Option<Note<'d>> {
        let word = |at: usize| body.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
        let mut texts = body.get(24..)?.split(|byte| *byte == 0);
        Some(Note {
            at: word(0)?,
            base: word(8)?,
            semaphore: word(16)?,
            provider: texts.next()?,
            name: texts.next()?,
            args: texts.next()?,
        })
    }
}
