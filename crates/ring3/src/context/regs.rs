//! Registers by name: `struct pt_regs` of x86-64 for kprobes, uprobes and perf events.

use std::sync::Arc;

use btf::{Btf, Kind, TypeId};
use serde_json::{Map, Value};

use super::memory::{Memory, Typed};
use super::value::{number, out_of_range, wrong};
use super::{ContextError, Path};
use crate::object::list;

/// Bytes of `struct pt_regs`.
pub(super) const SIZE: usize = 168;

/// Names and byte offsets, in the structure's order.
const NAMES: [(&str, usize); 21] = [
    ("r15", 0),
    ("r14", 8),
    ("r13", 16),
    ("r12", 24),
    ("bp", 32),
    ("bx", 40),
    ("r11", 48),
    ("r10", 56),
    ("r9", 64),
    ("r8", 72),
    ("ax", 80),
    ("cx", 88),
    ("dx", 96),
    ("si", 104),
    ("di", 112),
    ("orig_ax", 120),
    ("ip", 128),
    ("cs", 136),
    ("flags", 144),
    ("sp", 152),
    ("ss", 160),
];
/// Offsets of a function's first six arguments, and of a system call's.
const ARGUMENTS: [usize; 6] = [112, 104, 96, 88, 72, 64];
const SYSCALL_ARGUMENTS: [usize; 6] = [112, 104, 96, 56, 72, 64];
const DI: usize = 112;
const AX: usize = 80;
const ORIG_AX: usize = 120;

/// The function that a probe is at, as far as it is known.
#[derive(Default)]
pub(super) struct Function {
    /// The kernel's types and the prototype in them.
    proto: Option<(Arc<Btf>, TypeId)>,
    /// A system call's entry, whose arguments are registers behind the first argument.
    syscall: bool,
}

impl Function {
    /// What a section's name says: `kprobe/do_unlinkat`, `ksyscall/openat`.
    pub(super) fn of_section(section: &str, kernel: Option<&Arc<Btf>>) -> Function {
        let Some((kind, target)) = section.split_once('/') else { return Function::default() };
        let syscall =
            matches!(kind, "ksyscall" | "kretsyscall") || target.starts_with("__x64_sys_");
        let name = target.split(['+', '.']).next().unwrap_or(target);
        let proto = kernel.filter(|_| kind.starts_with('k') && !syscall).and_then(|btf| {
            let func = btf.ty(btf.find_by_name(name, Kind::Func)?)?;
            Some((btf.clone(), TypeId(func.size_or_type)))
        });
        Function { proto, syscall }
    }

    /// Register and type of an argument by its name.
    fn argument(&self, name: &str) -> Option<(usize, Option<Typed>)> {
        let nth = name.strip_prefix("arg").and_then(|n| n.parse::<usize>().ok());
        let (btf, proto) = match &self.proto {
            Some((btf, id)) => (btf, btf.ty(*id)?),
            None => return ARGUMENTS.get(nth?.checked_sub(1)?).map(|at| (*at, None)),
        };
        let by_name = proto.params().position(|param| param.name == name);
        let index = by_name.or_else(|| nth?.checked_sub(1))?;
        let ty = proto.params().nth(index).map(|p| Typed { btf: btf.clone(), id: p.type_id });
        ARGUMENTS.get(index).map(|at| (*at, ty))
    }

    fn names(&self) -> Vec<String> {
        let registers = NAMES.iter().map(|(name, _)| (*name).to_owned());
        let known = self.proto.as_ref().and_then(|(btf, id)| btf.ty(*id));
        let arguments = known.into_iter().flat_map(|proto| {
            proto.params().map(|param| param.name.to_owned()).collect::<Vec<_>>()
        });
        let arguments: Vec<String> = arguments.filter(|name| !name.is_empty()).collect();
        arguments
            .into_iter()
            .chain(["arg1 to arg6".into(), "ret".into()])
            .chain(registers)
            .collect()
    }
}

/// Writes registers at `at`.
pub(super) fn write(
    memory: &mut Memory,
    function: &Function,
    fields: &Map<String, Value>,
    at: usize,
    path: &Path,
) -> Result<(), ContextError> {
    let mut inner = None;
    for (name, value) in fields {
        let here = path.field(name);
        if let Some((_, off)) = NAMES.iter().find(|(known, _)| known == name) {
            word(memory, value, at + off, &here)?;
            continue;
        }
        if matches!(name.as_str(), "ret" | "rc") {
            word(memory, value, at + AX, &here)?;
            continue;
        }
        if let (true, Some(off)) = (function.syscall, syscall_argument(name)) {
            let regs = match inner {
                Some(regs) => regs,
                None => {
                    let regs = memory.allocate(SIZE, &here)?;
                    memory.point(at + DI, regs);
                    *inner.insert(regs)
                }
            };
            word(memory, value, regs + off, &here)?;
            continue;
        }
        match function.argument(name) {
            Some((off, Some(ty))) => {
                let size = ty.size().clamp(1, 8);
                let slot = at + off;
                memory.put(slot, &[0; 8]);
                memory.write(&ty, value, slot, &here)?;
                // As the compiler leaves it: a narrow negative number is extended by its sign.
                extend(memory, slot, size, value);
            }
            Some((off, None)) => word(memory, value, at + off, &here)?,
            None => {
                return Err(ContextError::UnknownField {
                    path: path.into(),
                    name: name.clone(),
                    ty: "the registers".into(),
                    known: list(function.names().iter().map(String::as_str)),
                });
            }
        }
    }
    Ok(())
}

fn syscall_argument(name: &str) -> Option<usize> {
    if name == "nr" {
        return Some(ORIG_AX);
    }
    let nth = name.strip_prefix("arg")?.parse::<usize>().ok()?;
    SYSCALL_ARGUMENTS.get(nth.checked_sub(1)?).copied()
}

/// A word: a number, or the address of a text, of bytes, or of other registers.
pub(super) fn word(
    memory: &mut Memory,
    value: &Value,
    at: usize,
    path: &Path,
) -> Result<(), ContextError> {
    match value {
        Value::Null => memory.put(at, &[0; 8]),
        Value::String(text) if number(value).is_none() => {
            let to = memory.text(text, path)?;
            memory.point(at, to);
        }
        Value::Array(values) => {
            let bytes = super::value::bytes(values, path)?;
            let to = memory.allocate(bytes.len(), path)?;
            memory.put(to, &bytes);
            memory.point(at, to);
        }
        Value::Object(fields) => {
            let to = memory.allocate(SIZE, path)?;
            memory.point(at, to);
            write(memory, &Function::default(), fields, to, path)?;
        }
        _ => {
            let wanted = "a number, a text, a list of bytes or registers";
            let Some(number) = number(value) else {
                return Err(match value {
                    Value::Number(number) => out_of_range(path, &number.to_string(), 64, false),
                    _ => wrong(path, wanted, value),
                });
            };
            let in_range = (-(1_i128 << 63)..1_i128 << 64).contains(&number);
            if !in_range {
                return Err(out_of_range(path, &number.to_string(), 64, false));
            }
            memory.put(at, &(number as u64).to_le_bytes());
        }
    }
    Ok(())
}

/// Fills the rest of a word behind a negative number.
pub(super) fn extend(memory: &mut Memory, at: usize, size: usize, value: &Value) {
    if size < 8 && number(value).is_some_and(|number| number < 0) {
        memory.put(at + size, &[0xff; 8][size..]);
    }
}
