//! What the context of a program is: registers, a record, typed arguments, or a structure.

use std::sync::Arc;

use btf::{Btf, BtfBuilder, Encoding, Kind, NewMember, TypeId};
use runtime::door::GivenSysctl;
use serde_json::{Map, Value};
use uapi::{CtxClass, CtxTable, ProgType};

use super::memory::{CONTEXT, Memory, Typed};
use super::spans::{Span, content};
use super::value::{names, no_type, number, wrong};
use super::{ContextError, Path, Subject, regs};
use crate::object::list;

/// Words of a context of arguments without types.
const WORDS: usize = 12;

/// A kind of context.
pub(super) enum Shape {
    /// `struct pt_regs`.
    Regs(regs::Function),
    /// A structure; members of perf events' registers by their names too.
    Struct(Typed),
    /// Arguments in words.
    Args(Args),
    /// Words without types.
    Words,
    /// One number of 32 bits.
    Number,
}

/// The arguments of a traced function.
pub(super) struct Args {
    params: Vec<(String, Typed)>,
    /// What the function returned, where the program sees it.
    ret: Option<Typed>,
    /// What the slots are, for iterators.
    slots: &'static [CtxClass],
    /// Which may be null: their pointers are null unless they are given.
    nullable: Vec<bool>,
}

impl Shape {
    pub(super) fn of(subject: &Subject) -> Result<Shape, ContextError> {
        use ProgType as P;
        match subject.prog_type {
            P::Kprobe => {
                let kernel = subject.kernel.as_ref();
                Ok(Shape::Regs(regs::Function::of_section(&subject.section, kernel)))
            }
            P::Tracepoint => Ok(Shape::Struct(record(subject)?)),
            P::RawTracepoint | P::RawTracepointWritable => Ok(raw_tracepoint(subject)),
            P::Tracing | P::Lsm | P::StructOps => args(subject).map(Shape::Args),
            P::LircMode2 => Ok(Shape::Number),
            P::Syscall | P::Ext => match parameter(subject) {
                Some(ty) => Ok(Shape::Struct(ty)),
                None => Err(no_type(
                    &Path::root(),
                    "the program's parameter is no pointer to a structure; give the bytes instead",
                )),
            },
            _ => uapi_structure(subject).map(Shape::Struct),
        }
    }

    /// Writes the whole context; gives the packet, if the document holds one.
    pub(super) fn write(
        &self,
        subject: &Subject,
        memory: &mut Memory,
        value: &Value,
        data: Option<&[u8]>,
    ) -> Result<Option<Vec<u8>>, ContextError> {
        let path = Path::root();
        let path = &path;
        if let Shape::Number = self {
            let at = memory.allocate(8, path)?;
            regs::word(memory, value, at, path)?;
            return Ok(None);
        }
        let positional = matches!(self, Shape::Args(_) | Shape::Words);
        let fields = match value {
            Value::Object(fields) => fields.clone(),
            Value::Array(values) if positional => values
                .iter()
                .enumerate()
                .map(|(index, value)| (format!("arg{}", index + 1), value.clone()))
                .collect(),
            _ => return Err(wrong(path, "an object", value)),
        };
        match self {
            Shape::Regs(function) => {
                let at = memory.allocate(regs::SIZE, path)?;
                regs::write(memory, function, &fields, at, path).map(|()| None)
            }
            Shape::Struct(ty) => structure(subject, memory, ty, fields, data),
            Shape::Args(args) => args.write(memory, &fields).map(|()| None),
            Shape::Words | Shape::Number => words(memory, &fields).map(|()| None),
        }
    }
}

/// The structure that the first parameter of the program points to.
fn parameter(subject: &Subject) -> Option<Typed> {
    let btf = subject.own.as_ref()?;
    let func = btf.ty(subject.function?)?;
    let proto = btf.ty(TypeId(func.size_or_type))?;
    let pointer = btf.resolved(proto.params().next()?.type_id).filter(|t| t.kind == Kind::Ptr)?;
    let ty = Typed { btf: btf.clone(), id: TypeId(pointer.size_or_type) };
    let name = ty.resolved().filter(|t| t.kind.is_composite())?.name.to_owned();
    // The kernel's definition has all members, and the ones that CO-RE moved.
    let kernel = subject.kernel.as_ref().and_then(|btf| {
        let id = btf.find_by_name(&name, Kind::Struct)?;
        Some(Typed { btf: btf.clone(), id })
    });
    Some(kernel.unwrap_or(ty))
}

/// A tracepoint's record: by what the program says of its parameter, or by the tracepoint's name.
fn record(subject: &Subject) -> Result<Typed, ContextError> {
    if let Some(ty) = parameter(subject) {
        return Ok(ty);
    }
    let event = subject.section.rsplit('/').next().unwrap_or("");
    let class = match event {
        _ if event.starts_with("sys_enter") => "sys_enter",
        _ if event.starts_with("sys_exit") => "sys_exit",
        _ => event,
    };
    let name = format!("trace_event_raw_{class}");
    let found = subject.kernel.as_ref().and_then(|btf| {
        let id = btf.find_by_name(&name, Kind::Struct)?;
        Some(Typed { btf: btf.clone(), id })
    });
    found.ok_or_else(|| {
        let message = format!(
            "the record of this tracepoint is not known ({name}): let the program take a pointer \
             to its structure, or give the bytes"
        );
        no_type(&Path::root(), &message)
    })
}

fn raw_tracepoint(subject: &Subject) -> Shape {
    let Some((_, name)) = subject.section.split_once('/') else { return Shape::Words };
    let Some(btf) = &subject.kernel else { return Shape::Words };
    match tracepoint(btf, name, TypeId(0)) {
        Some(args) => Shape::Args(args),
        None => Shape::Words,
    }
}

/// Arguments of a tracepoint: its probe function has their names, its type their types.
fn tracepoint(btf: &Arc<Btf>, name: &str, typedef: TypeId) -> Option<Args> {
    let probe = btf.find_by_name(&format!("__bpf_trace_{name}"), Kind::Func);
    let proto = match probe.and_then(|id| btf.ty(id)) {
        Some(func) => TypeId(func.size_or_type),
        None => {
            let typedef = match typedef {
                TypeId(0) => btf.find_by_name(&format!("btf_trace_{name}"), Kind::Typedef)?,
                known => known,
            };
            let pointer = btf.ty(TypeId(btf.ty(typedef)?.size_or_type))?;
            TypeId(pointer.size_or_type)
        }
    };
    let mut args = Args::of(btf, proto, 1)?;
    args.nullable = (0..args.params.len())
        .map(|index| uapi::tracepoint_argument(name, index as u32).0)
        .collect();
    Some(args)
}

fn args(subject: &Subject) -> Result<Args, ContextError> {
    let unknown = |message: &str| no_type(&Path::root(), message);
    let Some(btf) = &subject.kernel else {
        return Err(unknown("the kernel's BTF is needed to know the arguments (--btf FILE)"));
    };
    let target = btf.ty(TypeId(subject.attach_btf_id)).filter(|_| subject.attach_btf_id != 0);
    let Some(target) = target else { return Err(unknown("the program has no target")) };
    let found = match target.kind {
        Kind::Func => {
            let found = Args::of(btf, TypeId(target.size_or_type), 0);
            found.map(|args| args.of_function(subject, target.name))
        }
        Kind::Typedef => {
            let name = target.name.strip_prefix("btf_trace_").unwrap_or(target.name);
            tracepoint(btf, name, target.id)
        }
        Kind::Struct => {
            let member = target.members().nth(subject.attach_type as usize);
            let proto =
                member.and_then(|m| btf.resolved(m.type_id)).map(|p| TypeId(p.size_or_type));
            proto.and_then(|proto| Args::of(btf, proto, 0))
        }
        _ => None,
    };
    found.ok_or_else(|| unknown("the program's target has no arguments that could be given"))
}

impl Args {
    /// The parameters of a prototype behind the first `hidden` ones.
    fn of(btf: &Arc<Btf>, proto: TypeId, hidden: usize) -> Option<Args> {
        let proto = btf.ty(proto).filter(|t| t.kind == Kind::FuncProto)?;
        let typed = |id| Typed { btf: btf.clone(), id };
        let params: Vec<_> = proto
            .params()
            .skip(hidden)
            .map(|param| (param.name.to_owned(), typed(param.type_id)))
            .collect();
        let nullable = params.iter().map(|(name, _)| name.ends_with("__nullable")).collect();
        Some(Args { params, ret: None, slots: &[], nullable })
    }

    /// What a function's kind of hook adds: its result, the slots of an iterator.
    fn of_function(mut self, subject: &Subject, name: &str) -> Args {
        use uapi::AttachType::{LsmCgroup, LsmMac, ModifyReturn, TraceFexit};
        let sees_result = [TraceFexit, ModifyReturn, LsmMac, LsmCgroup];
        if sees_result.iter().any(|attach| attach.raw() == subject.attach_type)
            && let Some(btf) = &subject.kernel
            && let Some(func) = btf.ty(TypeId(subject.attach_btf_id))
            && let Some(proto) = btf.ty(TypeId(func.size_or_type))
            && proto.size_or_type != 0
        {
            self.ret = Some(Typed { btf: btf.clone(), id: TypeId(proto.size_or_type) });
        }
        if let Some(iterator) = name.strip_prefix("bpf_iter_").and_then(uapi::iterator) {
            self.slots = iterator.slots;
        }
        self
    }

    fn write(&self, memory: &mut Memory, fields: &Map<String, Value>) -> Result<(), ContextError> {
        let path = Path::root();
        let slots: Vec<usize> = self.params.iter().map(|(_, ty)| words_of(ty)).collect();
        let all = slots.iter().sum::<usize>() + 1;
        let at = memory.allocate(8 * all, &path)?;
        memory.count_arguments(self.params.len());
        let mut place = at;
        let mut used = 0;
        for (index, (name, ty)) in self.params.iter().enumerate() {
            let nth = format!("arg{}", index + 1);
            let named = fields.get(name).filter(|_| !name.is_empty());
            let given =
                named.map(|value| (name, value)).or_else(|| Some((&nth, fields.get(&nth)?)));
            match given {
                Some((name, value)) => {
                    used += 1;
                    self.argument(memory, index, ty, value, place, &path.field(name))?;
                }
                None => self.default(memory, index, ty, place, &path.field(name))?,
            }
            place += 8 * slots[index];
        }
        if let (Some(ret), Some(value)) = (&self.ret, fields.get("ret")) {
            used += 1;
            scalar(memory, ret, value, place, &path.field("ret"))?;
        }
        if used == fields.len() {
            return Ok(());
        }
        Err(self.unknown(fields))
    }

    fn argument(
        &self,
        memory: &mut Memory,
        index: usize,
        ty: &Typed,
        value: &Value,
        at: usize,
        path: &Path,
    ) -> Result<(), ContextError> {
        use CtxClass::{BufOrNull, RdonlyBufOrNull};
        match self.slots.get(index) {
            // Elements of maps: their bytes.
            Some(RdonlyBufOrNull | BufOrNull) if !value.is_null() => {
                let bytes = content(value, path)?;
                let to = memory.allocate(bytes.len(), path)?;
                memory.put(to, &bytes);
                memory.point(at, to);
                Ok(())
            }
            _ => scalar(memory, ty, value, at, path),
        }
    }

    /// A pointer that Linux never gives as null leads to zeroes; everything else is zero.
    fn default(
        &self,
        memory: &mut Memory,
        index: usize,
        ty: &Typed,
        at: usize,
        path: &Path,
    ) -> Result<(), ContextError> {
        use CtxClass::{BtfOrNull, BufOrNull, RdonlyBufOrNull, TrustedBtfOrNull};
        let slot = self.slots.get(index);
        let null =
            matches!(slot, Some(TrustedBtfOrNull(_) | BtfOrNull(_) | RdonlyBufOrNull | BufOrNull));
        if null || self.nullable.get(index) == Some(&true) {
            return Ok(());
        }
        empty_object(memory, ty, at, path)
    }

    fn unknown(&self, fields: &Map<String, Value>) -> ContextError {
        let known: Vec<String> = self
            .params
            .iter()
            .map(|(name, _)| name.clone())
            .filter(|name| !name.is_empty())
            .chain((1..=self.params.len()).map(|n| format!("arg{n}")))
            .chain(self.ret.iter().map(|_| "ret".to_owned()))
            .collect();
        let name = fields.keys().find(|name| !known.contains(name)).cloned();
        ContextError::UnknownField {
            path: String::from(&Path::root()),
            // All names are known: one argument has both of its names.
            name: name.unwrap_or_else(|| "twice the same".into()),
            ty: "the arguments".into(),
            known: list(known.iter().map(String::as_str)),
        }
    }
}

/// An argument takes whole words.
fn words_of(ty: &Typed) -> usize {
    ty.size().div_ceil(8).max(1)
}

/// Writes an argument into its words, extended as the compiler does it.
fn scalar(
    memory: &mut Memory,
    ty: &Typed,
    value: &Value,
    at: usize,
    path: &Path,
) -> Result<(), ContextError> {
    memory.write(ty, value, at, path)?;
    let small = ty.resolved().is_some_and(|t| t.kind == Kind::Int || t.kind.is_enum());
    if small {
        regs::extend(memory, at, ty.size(), value);
    }
    Ok(())
}

/// A zeroed structure for a pointer to one.
fn empty_object(
    memory: &mut Memory,
    ty: &Typed,
    at: usize,
    path: &Path,
) -> Result<(), ContextError> {
    let Some(pointer) = ty.resolved().filter(|t| t.kind == Kind::Ptr) else { return Ok(()) };
    let target = ty.at(TypeId(pointer.size_or_type));
    let Ok(target) = memory.defined(&target, path) else { return Ok(()) };
    if !target.resolved().is_some_and(|t| t.kind.is_composite()) {
        return Ok(());
    }
    let to = memory.object(&target, path)?;
    memory.point(at, to);
    if target.resolved().is_some_and(|t| t.name == "bpf_iter_meta")
        && let Some(seq) = super::value::member(&target, "seq", 1)
    {
        let place = to + seq.bit_offset as usize / 8;
        empty_object(memory, &target.at(seq.ty), place, &path.field("seq"))?;
    }
    Ok(())
}

fn words(memory: &mut Memory, fields: &Map<String, Value>) -> Result<(), ContextError> {
    let path = Path::root();
    let at = memory.allocate(8 * WORDS, &path)?;
    let list_of_args = fields.get("args").and_then(Value::as_array);
    if let (Some(values), 1) = (list_of_args, fields.len()) {
        if values.len() > WORDS {
            let (len, room) = (values.len(), WORDS);
            return Err(ContextError::TooLong {
                path: "ctx.args".into(),
                len,
                what: "words",
                room,
            });
        }
        memory.count_arguments(values.len());
        for (index, value) in values.iter().enumerate() {
            regs::word(memory, value, at + 8 * index, &path.field("args").index(index))?;
        }
        return Ok(());
    }
    memory.count_arguments(fields.len());
    for (name, value) in fields {
        let nth = name.strip_prefix("arg").and_then(|n| n.parse::<usize>().ok());
        let Some(index) = nth.and_then(|n| n.checked_sub(1)).filter(|index| *index < WORDS) else {
            return Err(ContextError::UnknownField {
                path: (&path).into(),
                name: name.clone(),
                ty: "the arguments".into(),
                known: format!("args, arg1 to arg{WORDS}"),
            });
        };
        regs::word(memory, value, at + 8 * index, &path.field(name))?;
    }
    Ok(())
}

/// The structure of the UAPI for a type: the kernel's, the program's, or the table's.
fn uapi_structure(subject: &Subject) -> Result<Typed, ContextError> {
    let variant = uapi::prog_variant(subject.prog_type, subject.attach_type, false);
    let Some(table) = variant.and_then(|variant| variant.ctx) else {
        return Err(no_type(&Path::root(), "nothing is known of this type's context"));
    };
    let known = |btf: &Arc<Btf>| {
        let id = btf.find_by_name(table.structure, Kind::Struct)?;
        Some(Typed { btf: btf.clone(), id })
    };
    let found =
        subject.kernel.as_ref().and_then(known).or_else(|| subject.own.as_ref().and_then(known));
    match found.or_else(|| by_table(table)) {
        Some(ty) => Ok(ty),
        None => Err(no_type(&Path::root(), "the context's structure is not known")),
    }
}

/// A structure of numbers out of the table of contexts.
fn by_table(table: &CtxTable) -> Option<Typed> {
    let mut build = BtfBuilder::new();
    let ints =
        [1u32, 2, 4, 8].map(|size| build.int(&format!("u{}", 8 * size), size, Encoding::default()));
    let mut members = Vec::new();
    let mut end = 0;
    for field in table.fields {
        let (off, size) = (u32::from(field.off), u32::from(field.size));
        let ty = match size {
            1 | 2 | 4 | 8 => ints[size.trailing_zeros() as usize],
            _ if size.is_multiple_of(4) => build.array(ints[2], ints[2], size / 4),
            _ => build.array(ints[0], ints[2], size),
        };
        members.push((field.name, ty, 8 * off));
        end = end.max(off + size);
    }
    let members: Vec<NewMember<'_>> = members
        .iter()
        .map(|(name, type_id, bit_offset)| NewMember {
            name,
            type_id: *type_id,
            bit_offset: *bit_offset,
            bitfield_size: 0,
        })
        .collect();
    let id = build.structure(table.structure, end.next_multiple_of(8), &members);
    Some(Typed { btf: Arc::new(build.build().ok()?), id })
}

fn structure(
    subject: &Subject,
    memory: &mut Memory,
    ty: &Typed,
    mut fields: Map<String, Value>,
    data: Option<&[u8]>,
) -> Result<Option<Vec<u8>>, ContextError> {
    let path = Path::root();
    let name = ty.resolved().map_or(String::new(), |t| t.name.to_owned());
    let at = memory.object(ty, &path)?;
    let mut packet = None;
    if matches!(name.as_str(), "__sk_buff" | "xdp_md")
        && let Some(value) = fields.shift_remove("packet")
    {
        packet = Some(content(&value, &path.field("packet"))?);
    }
    if let Some(span) = Span::of(&name) {
        span.write(memory, ty, &fields, data, &path)?;
        fields.shift_remove(span.start);
        fields.shift_remove(span.end);
    }
    if subject.prog_type == ProgType::CgroupSysctl {
        setting(memory, &mut fields)?;
    }
    if subject.prog_type == ProgType::Tracepoint {
        record_fields(memory, ty, &mut fields, at)?;
    }
    if subject.prog_type == ProgType::PerfEvent {
        counter(memory, &mut fields)?;
        let own: Vec<String> = member_names(ty);
        let registers: Map<String, Value> = fields
            .iter()
            .filter(|(name, _)| !own.contains(name))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect();
        fields.retain(|name, _| own.contains(name));
        regs::write(memory, &regs::Function::default(), &registers, at, &path)?;
        if let Some(Value::Object(registers)) = fields.shift_remove("regs") {
            regs::write(memory, &regs::Function::default(), &registers, at, &path.field("regs"))?;
        }
    }
    let given: Vec<String> = fields.keys().cloned().collect();
    memory.write(ty, &Value::Object(fields), at, &path)?;
    pointers_never_null(subject, memory, ty, &given, at)?;
    Ok(packet)
}

/// The setting that a program of sysctl is asked about, beside its context: `name`, `current` and
/// `new`, which is there when it is written.
fn setting(memory: &mut Memory, fields: &mut Map<String, Value>) -> Result<(), ContextError> {
    let mut take = |name: &str| match fields.shift_remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(wrong(&Path::root().field(name), "a text", &other)),
    };
    let (name, current, new) = (take("name")?, take("current")?, take("new")?);
    if name.is_none() && current.is_none() && new.is_none() {
        return Ok(());
    }
    if new.is_some() && !fields.contains_key("write") {
        fields.insert("write".into(), 1.into());
    }
    memory.sysctl = Some(GivenSysctl {
        name: name.unwrap_or_default(),
        current: current.unwrap_or_default().into_bytes(),
        new: new.map(String::into_bytes),
    });
    Ok(())
}

/// `counter`: counter, time enabled and time running of the event.
fn counter(memory: &mut Memory, fields: &mut Map<String, Value>) -> Result<(), ContextError> {
    let Some(value) = fields.shift_remove("counter") else { return Ok(()) };
    let path = Path::root().field("counter");
    let numbers = value.as_array().and_then(|list| {
        list.iter().map(Value::as_u64).collect::<Option<Vec<u64>>>().filter(|list| list.len() == 3)
    });
    memory.counter = numbers.ok_or_else(|| wrong(&path, "a list of three numbers", &value))?;
    Ok(())
}

fn member_names(ty: &Typed) -> Vec<String> {
    let mut own = Vec::new();
    names(ty, 4, &mut own);
    own
}

/// Gives structures to the pointers of a context that Linux never leaves null.
fn pointers_never_null(
    subject: &Subject,
    memory: &mut Memory,
    ty: &Typed,
    given: &[String],
    at: usize,
) -> Result<(), ContextError> {
    let variant = uapi::prog_variant(subject.prog_type, subject.attach_type, false);
    let fields = variant.and_then(|v| v.ctx).map_or(&[][..], |table| table.fields);
    let never_null = |class| {
        matches!(class, Some(CtxClass::Sock | CtxClass::FlowKeys | CtxClass::TrustedBtf(_)))
    };
    for field in fields.iter().filter(|field| never_null(field.class)) {
        if given.iter().any(|name| name == field.name) {
            continue;
        }
        if let Some(member) = super::value::member(ty, field.name, 4) {
            let path = Path::root().field(field.name);
            empty_object(memory, &ty.at(member.ty), at + usize::from(field.off), &path)?;
        }
    }
    Ok(())
}

/// The parts of a record that its structure does not show: texts behind it (`__data_loc`), texts
/// that words point to.
fn record_fields(
    memory: &mut Memory,
    ty: &Typed,
    fields: &mut Map<String, Value>,
    at: usize,
) -> Result<(), ContextError> {
    let path = Path::root();
    let mut done = Vec::new();
    for (name, value) in fields.iter() {
        let here = path.field(name);
        let located = super::value::member(ty, &format!("__data_loc_{name}"), 4);
        if let (Some(member), Value::String(text)) = (located, value) {
            let to = memory.text(text, &here)?;
            // Offset in the record, and length with the closing zero.
            let place = (to - at) as u32 | ((text.len() + 1) as u32) << 16;
            if to - at > 0xffff || text.len() >= 0xffff {
                let (len, what, room) = (text.len(), "characters", 0xffff);
                return Err(ContextError::TooLong { path: (&here).into(), len, what, room });
            }
            memory.put(at + member.bit_offset as usize / 8, &place.to_le_bytes());
            done.push(name.clone());
            continue;
        }
        let Some(member) = super::value::member(ty, name, 4) else { continue };
        let start = at + member.bit_offset as usize / 8;
        let part = ty.at(member.ty);
        let Some(resolved) = part.resolved() else { continue };
        let words = resolved.array().filter(|array| part.at(array.elem).size() == 8);
        match (words, value) {
            (Some(array), Value::Array(values)) if values.len() <= array.count as usize => {
                for (index, value) in values.iter().enumerate() {
                    regs::word(memory, value, start + 8 * index, &here.index(index))?;
                }
                done.push(name.clone());
            }
            (None, Value::String(_))
                if resolved.kind == Kind::Int && part.size() == 8 && number(value).is_none() =>
            {
                regs::word(memory, value, start, &here)?;
                done.push(name.clone());
            }
            _ => {}
        }
    }
    fields.retain(|name, _| !done.contains(name));
    debug_assert!(at == CONTEXT, "a record is the context");
    Ok(())
}
