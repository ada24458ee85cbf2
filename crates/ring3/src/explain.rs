//! Why a program is rejected, with the source around the lines that matter.

use std::fs;
use std::path::{Path, PathBuf};

use loader::ProgramSpec;
use verifier::Explanation;

use crate::{Object, Verifier};

impl Verifier {
    /// Why Linux rejects `program` of `object`, for people; `None` if it accepts it.
    ///
    /// This verifies the program again, with its path kept: call it for rejected programs.
    pub fn explain(&self, object: &Object, program: &ProgramSpec) -> Option<Explanation> {
        let (input, world) = (self.program(object, program), self.world(object));
        let mut why = verifier::explain(&input, &world, &self.policy)?;
        let at = why.place.as_ref().map(|place| place.insn);
        let asked = program.unresolved.iter().find(|(insn, _)| Some(*insn) == at);
        if let Some((_, asked)) = asked {
            why.message = format!("failed to resolve CO-RE relocation {asked}");
            why.required = format!(
                "the kernel's types must have what CO-RE asks for here, {asked}, or this instruction \
                 must not be reached"
            );
        }
        Some(why)
    }
}

/// The text of the source file that line information calls `file`, if it can be read: there, or
/// beside `object`. A file whose line `line` is not `text` has changed since and is not returned.
pub fn source_text(object: &Path, file: &str, line: u32, text: &str) -> Option<String> {
    /// Larger files are hardly source.
    const MOST: u64 = 16 << 20;
    let named = PathBuf::from(file);
    let beside = object.parent().zip(named.file_name()).map(|(folder, name)| folder.join(name));
    [Some(named), beside].into_iter().flatten().find_map(|path| {
        let about = fs::metadata(&path).ok()?;
        if !about.is_file() || about.len() > MOST {
            return None;
        }
        let source = fs::read_to_string(path).ok()?;
        let found = source.lines().nth(line.checked_sub(1)? as usize)?;
        (found.trim() == text.trim()).then_some(source)
    })
}
