//! An object's maps and programs behind a door, in libbpf's order: BTF, maps and their first
//! contents, programs, what maps refer to.

use loader::{MapKind, MapSpec, ProgramSpec, Slot, Spec};
use runtime::door::{Bpf, Fd, MapCreate, ObjKind, ProgLoad};
use uapi::{Errno, MapDef, MapType, ProgType};

use crate::error::Rejected;
use crate::old_kernel;
use crate::verdict::{func_info, kernel_name, line_info};
use crate::{Error, Object, source_line};

/// Descriptors of what was loaded; they are closed by whoever loads.
#[derive(Clone, Debug, Default)]
pub struct Fds {
    /// The object's BTF.
    pub btf: Option<Fd>,
    /// One for each of [`Spec::maps`]; negative for those that are not created of themselves.
    pub maps: Vec<Fd>,
    /// One for each of [`Spec::programs`] that was loaded.
    pub programs: Vec<Option<Fd>>,
}

/// No descriptor.
const NONE: Fd = Fd(-1);

/// Log level of the second try, after a rejection: what Linux's libbpf asks for.
const LOG_LEVEL: u32 = 1;

/// Loads the maps of `object` and those programs that `wanted` names, all if it is `None` and
/// they load of themselves.
pub fn load(door: &dyn Bpf, object: &Object, wanted: Option<&str>) -> Result<Fds, Error> {
    load_with(door, object, wanted, &[])
}

/// The same with other maps in the place of some of [`Spec::maps`], by index; their descriptors
/// are among those that are given back, and closed with them.
pub fn load_with(
    door: &dyn Bpf,
    object: &Object,
    wanted: Option<&str>,
    reuse: &[(usize, Fd)],
) -> Result<Fds, Error> {
    let mut fds = Fds::default();
    let fds_of = &mut fds;
    let loading = Loading { door, object, reuse, fds: fds_of, has_func_info: true, extends: None };
    finish(door, loading.run(wanted), fds)
}

/// The same for an object whose `freplace` programs go to functions of the program `target`, which
/// their sections name.
pub fn load_extending(
    door: &dyn Bpf,
    object: &Object,
    wanted: Option<&str>,
    target: Fd,
) -> Result<Fds, Error> {
    let mut fds = Fds::default();
    let extends = Some(target);
    let fds_of = &mut fds;
    let loading = Loading { door, object, reuse: &[], fds: fds_of, has_func_info: true, extends };
    finish(door, loading.run(wanted), fds)
}

fn finish(door: &dyn Bpf, done: Result<(), Error>, fds: Fds) -> Result<Fds, Error> {
    if done.is_err() {
        close(door, &fds);
    }
    done.map(|()| fds)
}

/// The type of a loaded program's function, by its name; ENOENT without one.
pub fn function_of(door: &dyn Bpf, program: Fd, name: &str) -> Result<u32, Errno> {
    let id = door.prog_info(program)?.btf_id;
    let fd = door.fd_by_id(ObjKind::Btf, id, 0)?;
    let info = door.btf_info(fd);
    door.close(fd)?;
    let btf = btf::Btf::parse(&info?.data).map_err(|_| Errno::EINVAL)?;
    btf.find_by_name(name, btf::Kind::Func).map(|id| id.0).ok_or(Errno::ENOENT)
}

/// Gives back every descriptor.
pub fn close(door: &dyn Bpf, fds: &Fds) {
    let programs = fds.programs.iter().flatten();
    for fd in programs.chain(&fds.maps).chain(&fds.btf).filter(|fd| **fd != NONE) {
        // A descriptor that is gone already is no loss.
        let _ = door.close(*fd);
    }
}

/// The value of a struct_ops map with its loaded programs' descriptors in, as an update of element 0
/// registers it; `None` for another kind of map.
pub fn struct_ops_value(map: &MapSpec, fds: &Fds) -> Option<Vec<u8>> {
    let mut value = map.initial.clone().filter(|_| map.kind == MapKind::StructOps)?;
    for (at, slot) in &map.slots {
        let Slot::Program(program) = slot else { continue };
        let fd = fds.programs.get(*program).copied().flatten().map_or(0, |fd| fd.0 as u64);
        let at = *at as usize;
        value.get_mut(at..at + 8)?.copy_from_slice(&fd.to_ne_bytes());
    }
    Some(value)
}

struct Loading<'a> {
    door: &'a dyn Bpf,
    object: &'a Object,
    reuse: &'a [(usize, Fd)],
    fds: &'a mut Fds,
    /// Whether the door can read the types of functions.
    has_func_info: bool,
    /// The program that extensions are for.
    extends: Option<Fd>,
}

impl Loading<'_> {
    fn spec(&self) -> &Spec {
        self.object.spec()
    }

    fn run(mut self, wanted: Option<&str>) -> Result<(), Error> {
        self.load_btf()?;
        let object = self.object;
        for (index, map) in object.spec().maps.iter().enumerate() {
            let fd = match self.reused(index) {
                Some(fd) => fd,
                None if map.autocreate => self.create_map(map)?,
                None => NONE,
            };
            self.fds.maps.push(fd);
        }
        for (index, (map, &fd)) in object.spec().maps.iter().zip(&self.fds.maps).enumerate() {
            // Operations are registered apart, once their programs are loaded.
            let own = self.reused(index).is_none() && map.kind != MapKind::StructOps;
            if fd != NONE && own {
                self.fill(map, fd)?;
            }
        }
        for program in &object.spec().programs {
            let load = wanted.map_or(program.autoload, |name| program.name == name);
            let fd = if load { Some(self.load_program(program)?) } else { None };
            self.bind_constants(fd);
            self.fds.programs.push(fd);
        }
        self.fill_programs()
    }

    /// The map given for the one with this index.
    fn reused(&self, index: usize) -> Option<Fd> {
        self.reuse.iter().find(|given| given.0 == index).map(|given| given.1)
    }

    fn load_btf(&mut self) -> Result<(), Error> {
        let Some(btf) = &self.spec().btf else { return Ok(()) };
        match old_kernel::load_btf(self.door, btf) {
            Ok((fd, features)) => {
                self.fds.btf = Some(fd);
                self.has_func_info = features.func;
                Ok(())
            }
            Err(source) => {
                let file = self.object.file().to_owned();
                Err(Error::Btf { file, source: Box::new(source) })
            }
        }
    }

    fn create_map(&self, map: &MapSpec) -> Result<Fd, Error> {
        let def = creation(&map.def, self.door.possible_cpus());
        let fail = |errno| self.map_error(map, "cannot be created", errno);
        let inner = map.def.inner.as_deref().map(|inner| self.make(inner.clone(), None));
        let inner_map = inner.transpose().map_err(fail)?;
        let made = self.make(def, inner_map);
        if let Some(inner) = inner_map {
            // It was only the model; the outer map keeps what it needs.
            let _ = self.door.close(inner);
        }
        made.map_err(fail)
    }

    /// A map with its types, or without them if they are what the kernel refuses: as libbpf does it,
    /// types are a convenience. Only a struct_ops map is nothing without the object's BTF.
    fn make(&self, mut def: MapDef, inner_map: Option<Fd>) -> Result<Fd, Errno> {
        let typed = loader::takes_btf(def.map_type) && def.btf_value_type_id != 0;
        if !typed {
            (def.btf_key_type_id, def.btf_value_type_id) = (0, 0);
        }
        let named = typed || def.btf_vmlinux_value_type_id != 0;
        let mut create = MapCreate { def, btf: self.fds.btf.filter(|_| named), inner_map };
        let made = self.door.map_create(&create);
        if !typed || !made.is_err_and(|errno| errno != Errno::EPERM) {
            return made;
        }
        create.btf = None;
        (create.def.btf_key_type_id, create.def.btf_value_type_id) = (0, 0);
        self.door.map_create(&create)
    }

    fn map_error(&self, map: &MapSpec, what: &'static str, errno: Errno) -> Error {
        Error::Map { file: self.object.file().to_owned(), map: map.name.clone(), what, errno }
    }

    /// Writes the contents that the object gives, and freezes what is constant.
    fn fill(&self, map: &MapSpec, fd: Fd) -> Result<(), Error> {
        let key = 0u32.to_ne_bytes();
        if map.def.map_type == MapType::Arena {
            return self.place(map, fd);
        }
        if let Some(value) = &map.initial {
            self.door
                .map_update(fd, &key, value, 0)
                .map_err(|errno| self.map_error(map, "its contents are refused", errno))?;
        }
        for (at, slot) in &map.slots {
            let Slot::Map(inner) = slot else { continue };
            self.set_slot(map, fd, *at, self.fds.maps.get(*inner).copied())?;
        }
        if map.frozen {
            self.door
                .map_freeze(fd)
                .map_err(|errno| self.map_error(map, "cannot be frozen", errno))?;
        }
        Ok(())
    }

    /// Maps an arena, as programs want it mapped before they are loaded, and writes what the object
    /// gives to its start.
    fn place(&self, map: &MapSpec, fd: Fd) -> Result<(), Error> {
        let len = map.def.max_entries as usize * 4096;
        let fail = |errno| self.map_error(map, "cannot be mapped", errno);
        let pages = self.door.map_mmap(fd, 0, len, true).map_err(fail)?;
        match &map.initial {
            Some(value) => pages.write(0, value).map_err(fail),
            None => Ok(()),
        }
    }

    /// Constants stay with a program whether it reads them or not, as with libbpf.
    fn bind_constants(&self, program: Option<Fd>) {
        let Some(program) = program else { return };
        for (map, &fd) in self.spec().maps.iter().zip(&self.fds.maps) {
            if map.kind == MapKind::Rodata && fd != NONE {
                // Only tools that look for metadata miss it.
                let _ = self.door.bind_map(program, fd);
            }
        }
    }

    fn fill_programs(&self) -> Result<(), Error> {
        let maps = self.spec().maps.iter().zip(&self.fds.maps);
        for (map, &fd) in maps.filter(|(map, _)| map.kind != MapKind::StructOps) {
            for (at, slot) in &map.slots {
                let Slot::Program(program) = slot else { continue };
                let loaded = self.fds.programs.get(*program).copied().flatten();
                self.set_slot(map, fd, *at, loaded)?;
            }
        }
        Ok(())
    }

    /// Puts a descriptor into an element; nothing if what it refers to was not loaded.
    fn set_slot(&self, map: &MapSpec, fd: Fd, at: u32, to: Option<Fd>) -> Result<(), Error> {
        let Some(to) = to else { return Ok(()) };
        self.door
            .map_update(fd, &at.to_ne_bytes(), &to.0.to_ne_bytes(), 0)
            .map_err(|errno| self.map_error(map, "an element is refused", errno))
    }

    fn load_program(&self, program: &ProgramSpec) -> Result<Fd, Error> {
        if program.prog_type.is_none() {
            let message = format!(
                "program '{}': section '{}' names no type of program",
                program.name, program.section
            );
            return Err(Error::NoProgram { file: self.object.file().to_owned(), message });
        }
        let mut request = self.request(program);
        let target = self.extends.filter(|_| program.prog_type == Some(ProgType::Ext));
        if let (Some(target), Some(function)) = (target, &program.attach_target) {
            request.attach_prog = Some(target);
            let found = function_of(self.door, target, function);
            request.attach_btf_id = found.map_err(|errno| Error::NoProgram {
                file: self.object.file().to_owned(),
                message: format!("program '{}': no function '{function}': {errno}", program.name),
            })?;
        }
        match self.door.prog_load(&request) {
            Ok(loaded) => return Ok(loaded.fd),
            Err(error) if error.errno == Errno::EPERM => return Err(self.rejected(program, error)),
            Err(_) => request.log.level = LOG_LEVEL,
        }
        match self.door.prog_load(&request) {
            Ok(loaded) => Ok(loaded.fd),
            Err(error) => Err(self.rejected(program, error)),
        }
    }

    fn request(&self, program: &ProgramSpec) -> ProgLoad {
        let spec = self.spec();
        let fds: Vec<i32> = self.fds.maps.iter().map(|fd| fd.0).collect();
        let records = self.has_func_info.then_some(program);
        let func_infos = records.map_or(&[][..], |program| &program.func_info);
        let line_infos = records.map_or(&[][..], |program| &program.line_info);
        ProgLoad {
            name: kernel_name(&program.name),
            prog_type: program.prog_type,
            expected_attach_type: program.expected_attach_type,
            flags: program.flags,
            license: spec.license.clone(),
            insns: program.link(&fds),
            btf: self.fds.btf,
            func_info: func_infos.iter().map(func_info).collect(),
            line_info: line_infos.iter().map(line_info).collect(),
            attach_btf_id: program.attach_btf_id,
            ..ProgLoad::default()
        }
    }

    fn rejected(&self, program: &ProgramSpec, error: runtime::door::LoadError) -> Error {
        let insn = error.rejection.as_ref().and_then(|rejection| rejection.insn);
        let btf = self.spec().btf.as_deref();
        let line = insn.and_then(|insn| source_line(btf?, program, insn));
        let message = match &error.rejection {
            Some(rejection) => headline(program, rejection),
            None => last_line(&error.log).to_owned(),
        };
        Error::Rejected(Box::new(Rejected {
            file: self.object.file().to_owned(),
            program: program.name.clone(),
            errno: error.errno,
            message,
            insn,
            source_line: line,
            log: error.log,
        }))
    }
}

/// The attributes that libbpf creates a map with, on a machine of so many CPUs.
pub(crate) fn creation(def: &MapDef, cpus: u32) -> MapDef {
    let mut def = def.clone();
    def.name = kernel_name(&def.name);
    if def.map_type == MapType::PerfEventArray && def.max_entries == 0 {
        def.max_entries = cpus;
    }
    def
}

/// What says most to a reader: which relocation failed, in libbpf's words, or Linux's last line,
/// unless that only shows a state.
pub fn headline(program: &ProgramSpec, rejection: &verifier::Rejection) -> String {
    let unresolved = |at| program.unresolved.iter().find(|(insn, _)| *insn == at);
    if let Some((_, asked)) = rejection.insn.and_then(unresolved) {
        return format!("failed to resolve CO-RE relocation {asked}");
    }
    let states = ["old state:", "cur state:"];
    if states.iter().any(|prefix| rejection.message.starts_with(prefix)) {
        return rejection.reason.clone();
    }
    if rejection.message.is_empty() {
        silent(program, rejection)
    } else {
        rejection.message.clone()
    }
}

/// What Linux refuses without a word.
fn silent(program: &ProgramSpec, rejection: &verifier::Rejection) -> String {
    let slots = program.insns.len();
    if program.prog_type.is_none() {
        return format!("section '{}' names no type of program", program.section);
    }
    if rejection.errno == Errno::E2BIG && slots > uapi::MAX_INSNS {
        return format!("{slots} instructions, {} at most", uapi::MAX_INSNS);
    }
    "Linux gives no reason".into()
}

/// What a log without events ends in: the line before the statistics.
fn last_line(log: &str) -> &str {
    let said = log.lines().rfind(|line| !line.starts_with("processed ") && !line.is_empty());
    said.unwrap_or_default()
}
