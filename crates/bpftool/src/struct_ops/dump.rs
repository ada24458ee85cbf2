//! A map of struct_ops and the structure in it.

use std::sync::Arc;

use btf::print::{Form, JsonText, write};
use btf::{Btf, Kind, TypeId};
use runtime::door::{Bpf, Fd, MapInfo, ObjKind};
use uapi::Errno;

use crate::answer::Show;
use crate::prog::{number, string};
use crate::proto;

/// A map with its structure, and the names of the programs in it.
pub(super) struct Structure {
    types: Arc<Btf>,
    info: MapInfo,
    value: Vec<u8>,
    programs: Vec<(u32, String)>,
}

impl Structure {
    pub(super) fn read(
        door: &dyn Bpf,
        fd: Fd,
        info: &MapInfo,
        types: &Arc<Btf>,
    ) -> Result<Structure, Errno> {
        let mut value = vec![0; info.def.value_size as usize];
        door.map_lookup(fd, &[0; 4], &mut value, 0)?;
        let mut read =
            Structure { types: types.clone(), info: info.clone(), value, programs: Vec::new() };
        let (_, functions) = read.functions();
        for (_, id) in functions {
            let Ok(prog) = door.fd_by_id(ObjKind::Prog, id, 0) else { continue };
            if let Ok(info) = door.prog_info(prog) {
                read.programs.push((id, proto::full_name(door, &info)));
            }
            door.close(prog)?;
        }
        Ok(read)
    }

    /// Where the structure is in the value, and its functions: offset there and program.
    fn functions(&self) -> (usize, Vec<(usize, u32)>) {
        let value = self.types.ty(TypeId(self.info.def.btf_vmlinux_value_type_id));
        let data = value.and_then(|ty| ty.members().find(|member| member.name == "data"));
        let Some(data) = data else { return (0, Vec::new()) };
        let base = data.bit_offset as usize / 8;
        let Some(structure) = self.types.resolved(data.type_id) else { return (base, Vec::new()) };
        let functions =
            structure.members().filter(|member| self.prototype(member.type_id).is_some());
        let program = |at: usize| {
            let word = self.value.get(base + at..).and_then(|bytes| bytes.first_chunk());
            word.map_or(0, |word| u32::from_ne_bytes(*word))
        };
        let offsets = functions.map(|member| member.bit_offset as usize / 8);
        (base, offsets.map(|at| (at, program(at))).collect())
    }

    /// The prototype that a pointer points to.
    fn prototype(&self, pointer: TypeId) -> Option<TypeId> {
        let ty = self.types.resolved(pointer).filter(|ty| ty.kind == Kind::Ptr)?;
        let target = TypeId(ty.size_or_type);
        self.types.resolved(target).filter(|ty| ty.kind == Kind::FuncProto).map(|ty| ty.id)
    }

    fn json(&self, out: &mut JsonText) {
        out.begin_object();
        out.name("bpf_map_info");
        out.begin_object();
        let def = &self.info.def;
        for (name, value) in [
            ("type", def.map_type.raw()),
            ("id", self.info.id),
            ("key_size", def.key_size),
            ("value_size", def.value_size),
            ("max_entries", def.max_entries),
            ("map_flags", def.flags),
        ] {
            number(out, name, value);
        }
        string(out, "name", &def.name);
        number(out, "ifindex", 0);
        number(out, "btf_vmlinux_value_type_id", def.btf_vmlinux_value_type_id);
        number(out, "netns_dev", 0);
        number(out, "netns_ino", 0);
        number(out, "btf_id", self.info.btf_id);
        // Of the kernel's types there is one.
        for (name, value) in
            [("btf_key_type_id", 0), ("btf_value_type_id", 0), ("btf_vmlinux_id", 1)]
        {
            number(out, name, value);
        }
        number(out, "map_extra", def.extra);
        number(out, "hash", 0);
        number(out, "hash_size", 0);
        out.end_object();
        out.end_object();

        out.begin_object();
        if let Some(value) = self.types.ty(TypeId(def.btf_vmlinux_value_type_id)) {
            out.name(value.name);
            out.begin_object();
            for member in value.members() {
                out.name(member.name);
                match member.name {
                    "data" => self.data(member.type_id, out),
                    _ => self.member(member.type_id, member.bit_offset as usize / 8, out),
                }
            }
            out.end_object();
        }
        out.end_object();
    }

    fn data(&self, structure: TypeId, out: &mut JsonText) {
        let (base, _) = self.functions();
        out.begin_object();
        let structure = self.types.resolved(structure);
        for member in structure.iter().flat_map(|ty| ty.members()) {
            out.name(member.name);
            let at = base + member.bit_offset as usize / 8;
            match self.prototype(member.type_id) {
                Some(prototype) => out.string(&self.function(prototype, at)),
                None => self.member(member.type_id, at, out),
            }
        }
        out.end_object();
    }

    /// `u32 (struct sock *) mine/prog_id:7`.
    fn function(&self, prototype: TypeId, at: usize) -> String {
        let text = proto::signature(&self.types, prototype).unwrap_or_default();
        let word = self.value.get(at..).and_then(|bytes| bytes.first_chunk());
        match word.map_or(0, |word| u32::from_ne_bytes(*word)) {
            0 => format!("{text} 0"),
            id => {
                let name = self.programs.iter().find(|program| program.0 == id);
                let name = name.map_or("", |program| &program.1);
                format!("{text} {name}/prog_id:{id}")
            }
        }
    }

    fn member(&self, ty: TypeId, at: usize, out: &mut JsonText) {
        let bytes = self.value.get(at..).unwrap_or_default();
        if write(&self.types, ty, bytes, out).is_err() {
            out.raw(format_args!("null"));
        }
    }
}

/// Maps of struct_ops: JSON in either form.
pub(super) struct Dump(pub(super) Vec<Structure>);

impl Show for Dump {
    fn plain(&self, out: &mut Vec<u8>) {
        let mut json = JsonText::new(Form::PLAIN);
        self.json(&mut json);
        out.extend_from_slice(json.into_string().as_bytes());
        out.push(b'\n');
    }

    fn json(&self, out: &mut JsonText) {
        out.begin_array();
        for map in &self.0 {
            map.json(out);
        }
        out.end_array();
    }
}
