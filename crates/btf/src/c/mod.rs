//! Types as C: the header `bpftool btf dump … format c` writes.
//!
//! C wants a type's definition before a value of it, and at least a declaration before a pointer to
//! it. `order` finds an order of definitions; `emit` writes them, with forward declarations
//! where the order leaves a gap; `declare` writes one type around a name; `pad` fills the holes
//! that C would lay out otherwise.

mod declare;
mod emit;
mod order;
mod pad;
mod sort;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::blob::Btf;
use crate::error::BtfError;
use crate::kind::Kind;
use crate::ty::{Type, TypeId};

/// Deepest nesting that is followed; each level takes stack.
const MAX_NESTING: u32 = 400;
/// Types one dump visits at most, and bytes it writes: hostile BTF can ask for 2^32 of either.
/// Linux' own takes 1/10 of each.
const MAX_STEPS: u32 = 1 << 24;
const MAX_TEXT: usize = 32 << 20;

/// Which bpftool to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Types sorted by rank and name (current versions) or in the order of their ids (7.1).
    pub sorted: bool,
    /// With macros and prototypes for kernel functions (current versions).
    pub kfuncs: bool,
    /// With `mode(byte)`, `mode(word)` attributes on enums of unusual size (current versions).
    pub enum_modes: bool,
}

impl Options {
    /// As current bpftool (checked against 7.8).
    pub const CURRENT: Options = Options { sorted: true, kfuncs: true, enum_modes: true };
    /// As bpftool 7.1.
    pub const OLD: Options = Options { sorted: false, kfuncs: false, enum_modes: false };
}

const BEGIN: &str = "\
#ifndef __VMLINUX_H__
#define __VMLINUX_H__

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)
#endif

";

const KFUNC_MACROS: &str = "\
#ifndef __ksym
#define __ksym __attribute__((section(\".ksyms\")))
#endif

#ifndef __weak
#define __weak __attribute__((weak))
#endif

#ifndef __bpf_fastcall
#if __has_attribute(bpf_fastcall)
#define __bpf_fastcall __attribute__((bpf_fastcall))
#else
#define __bpf_fastcall
#endif
#endif

";

const END: &str = "\
#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute pop
#endif

#endif /* __VMLINUX_H__ */
";

/// A whole header: of the types given and what they need, or of all types.
pub fn header(btf: &Btf, roots: Option<&[TypeId]>, options: Options) -> Result<String, BtfError> {
    let mut dumper = Dumper::new(btf, options);
    dumper.push(BEGIN);
    if options.kfuncs {
        dumper.push(KFUNC_MACROS);
    }
    match roots {
        Some(roots) => roots.iter().try_for_each(|&id| dumper.dump(id))?,
        None if options.sorted => sort::sorted(btf).try_for_each(|id| dumper.dump(id))?,
        None => (1..=btf.type_count()).try_for_each(|id| dumper.dump(TypeId(id)))?,
    }
    if options.kfuncs && roots.is_none() {
        dumper.kfuncs()?;
    }
    dumper.push(END);
    dumper.finish()
}

/// A type as C declares something of it: `int (*name)[2]`; without a name, as in a cast.
pub fn declaration(btf: &Btf, id: TypeId, name: &str) -> Result<String, BtfError> {
    let mut dumper = Dumper::new(btf, Options::CURRENT);
    dumper.declare(id, name, 0, 0)?;
    dumper.finish()
}

/// Writes definitions of types, each once, with those they need before them.
pub struct Dumper<'a> {
    btf: &'a Btf,
    options: Options,
    states: Vec<State>,
    /// How often each struct, union or enum name, and each typedef or constant name, was given.
    tags: FxHashMap<&'a str, u32>,
    idents: FxHashMap<&'a str, u32>,
    /// The number a type's name got; beyond 1 it is `name___2`.
    numbers: FxHashMap<u32, u32>,
    aligns: FxHashMap<u32, u32>,
    out: String,
    steps: u32,
    full: bool,
}

/// How far each type has come.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    order: Progress,
    emit: Progress,
    /// A forward declaration was written.
    declared: bool,
    /// Some type refers to it.
    referenced: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Progress {
    #[default]
    Not,
    Doing,
    Done,
}

impl<'a> Dumper<'a> {
    /// A dumper that has written nothing yet.
    #[must_use]
    pub fn new(btf: &'a Btf, options: Options) -> Dumper<'a> {
        let mut states = vec![State::default(); btf.type_count() as usize + 1];
        let done = State { order: Progress::Done, emit: Progress::Done, ..State::default() };
        states[0] = done;
        for ty in btf.types() {
            for_each_reference(&ty, |id| {
                if let Some(state) = states.get_mut(id.0 as usize) {
                    state.referenced = true;
                }
            });
        }
        Dumper {
            btf,
            options,
            states,
            tags: FxHashMap::default(),
            idents: FxHashMap::default(),
            numbers: FxHashMap::default(),
            aligns: FxHashMap::default(),
            out: String::new(),
            steps: 0,
            full: false,
        }
    }

    /// Writes the definition of a type, unless written already, after those it needs.
    pub fn dump(&mut self, id: TypeId) -> Result<(), BtfError> {
        let mut queue = Vec::new();
        self.order(id, false, 0, &mut queue)?;
        queue.into_iter().try_for_each(|id| self.emit(id, TypeId::VOID, 0))
    }

    /// The text, unless it became too long.
    pub fn finish(self) -> Result<String, BtfError> {
        match self.full {
            false => Ok(self.out),
            true => Err(BtfError::Limit("length of C text", MAX_TEXT as u64)),
        }
    }

    /// Prototypes of the functions tagged as callable from BPF.
    fn kfuncs(&mut self) -> Result<(), BtfError> {
        self.push("\n/* BPF kfuncs */\n#ifndef BPF_NO_KFUNC_PROTOTYPES\n");
        let btf = self.btf;
        let tagged = |wanted: &'static str| {
            btf.types()
                .filter(move |tag| tag.kind == Kind::DeclTag && tag.name == wanted)
                .filter(|tag| tag.decl_tag() == Some(-1))
                .filter_map(|tag| btf.ty(TypeId(tag.size_or_type)))
                .filter(|func| func.kind == Kind::Func)
        };
        let fast: FxHashSet<TypeId> = tagged("bpf_fastcall").map(|func| func.id).collect();
        let mut funcs: Vec<Type<'a>> = tagged("bpf_kfunc").collect();
        funcs.sort_by_key(|func| func.name);
        for func in funcs {
            self.push("extern ");
            self.push(if fast.contains(&func.id) { "__bpf_fastcall " } else { "" });
            self.declare(TypeId(func.size_or_type), func.name, 0, 0)?;
            self.push(" __weak __ksym;\n");
        }
        self.push("#endif\n\n");
        Ok(())
    }

    fn state(&mut self, id: TypeId) -> Result<&mut State, BtfError> {
        self.states.get_mut(id.0 as usize).ok_or(BtfError::NoType(id))
    }

    fn ty(&self, id: TypeId) -> Result<Type<'a>, BtfError> {
        self.btf.ty(id).ok_or(BtfError::NoType(id))
    }

    /// Counts one visit and checks the limits.
    fn step(&mut self, id: TypeId, depth: u32) -> Result<(), BtfError> {
        self.steps += 1;
        if depth > MAX_NESTING {
            return Err(BtfError::TooDeep(id));
        }
        if self.steps > MAX_STEPS {
            return Err(BtfError::Limit("number of types visited", u64::from(MAX_STEPS)));
        }
        if self.full {
            return Err(BtfError::Limit("length of C text", MAX_TEXT as u64));
        }
        Ok(())
    }

    fn push(&mut self, text: &str) {
        if self.out.len() + text.len() > MAX_TEXT {
            self.full = true;
        } else {
            self.out.push_str(text);
        }
    }

    fn indent(&mut self, level: u32) {
        // No deeper than 13 tabs, however deep the struct.
        self.push(&"\t\t\t\t\t\t\t\t\t\t\t\t\t"[..level.min(13) as usize]);
    }

    /// Natural alignment, 0 for types without one.
    fn align(&mut self, id: TypeId) -> u32 {
        let btf = self.btf;
        *self.aligns.entry(id.0).or_insert_with(|| btf.align_of(id).unwrap_or(0))
    }
}

fn for_each_reference(ty: &Type<'_>, mut see: impl FnMut(TypeId)) {
    if let Some(target) = ty.target() {
        see(target);
    }
    if let Some(array) = ty.array() {
        see(array.elem);
        see(array.index);
    }
    ty.members().for_each(|member| see(member.type_id));
    ty.params().for_each(|param| see(param.type_id));
    ty.datasec().for_each(|info| see(info.type_id));
}
