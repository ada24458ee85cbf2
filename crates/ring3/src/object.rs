//! Objects: ELF files, or sources compiled to them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use loader::{Extern, ExternKind, LoadError, MapKind, ProgramSpec, Spec};

use crate::compile::{compile, is_source};
use crate::{Error, Kernel};

/// Largest file that is read, in bytes; a program of a million instructions with all its debug
/// information is far smaller.
const MAX_FILE: u64 = 256 << 20;

/// A BPF object: programs, maps and types, not loaded anywhere.
#[derive(Clone, Debug)]
pub struct Object {
    file: String,
    warnings: String,
    spec: Spec,
}

impl Object {
    /// Reads the ELF object at `path`, or compiles the C source there for the running kernel.
    pub fn open(path: impl AsRef<Path>) -> Result<Object, Error> {
        Object::open_for(path, &Kernel::running())
    }

    /// Reads the ELF object at `path`, or compiles the C source there with the types of `kernel`.
    pub fn open_for(path: impl AsRef<Path>, kernel: &Kernel) -> Result<Object, Error> {
        let path = path.as_ref();
        if is_source(path) {
            let compiled = compile(path, kernel)?;
            let mut object = Object::parse(&path.display().to_string(), &compiled.object)?;
            object.warnings = compiled.warnings;
            return Ok(object);
        }
        Object::parse(&path.display().to_string(), &read(path)?)
    }

    /// Takes the bytes of an ELF object; `file` names it in messages, and its last part up to the
    /// first dot is the object's name.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Object, Error> {
        let name = loader::Object::name_of(file);
        match loader::Object::parse_named(name, bytes) {
            Ok(spec) => Ok(Object { file: file.to_owned(), warnings: String::new(), spec }),
            Err(source) => Err(Error::Object { file: file.to_owned(), source }),
        }
    }

    /// A program of one function, out of the text of its instructions (kernel style), under a GPL
    /// licence; `section` says its type, as in C.
    pub fn assemble(name: &str, section: &str, text: &str) -> Result<Object, Error> {
        let wrong = |message| Error::Assemble { program: name.to_owned(), message };
        let Some((def, _)) = uapi::section(section) else {
            return Err(wrong(format!("section '{section}' names no type of program")));
        };
        let insns = isa::asm::assemble(text).map_err(|error| wrong(error.to_string()))?;
        let program = ProgramSpec {
            name: name.to_owned(),
            section: section.to_owned(),
            prog_type: Some(def.prog_type),
            expected_attach_type: def.attach,
            flags: def.flags,
            autoload: true,
            insns,
            ..ProgramSpec::default()
        };
        let mut spec = Spec::default();
        spec.name = name.to_owned();
        spec.programs = vec![program];
        spec.license = "GPL".into();
        Ok(Object { file: name.to_owned(), warnings: String::new(), spec })
    }

    /// The file that messages name.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// What clang warned of.
    pub fn warnings(&self) -> &str {
        &self.warnings
    }

    /// Everything that the object holds.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The same, to be changed.
    pub(crate) fn spec_mut(&mut self) -> &mut Spec {
        &mut self.spec
    }

    /// Loads every program as one of this type and attach type, whatever its section says.
    pub fn set_type(&mut self, prog_type: uapi::ProgType, attach_type: u32) {
        for program in &mut self.spec.programs {
            program.prog_type = Some(prog_type);
            program.expected_attach_type = attach_type;
        }
    }

    /// The program called `name`.
    pub fn program(&self, name: &str) -> Result<&ProgramSpec, Error> {
        self.spec.program(name).ok_or_else(|| {
            self.no_program(format!("no program '{name}' (it has {})", self.program_names()))
        })
    }

    /// The only program of the object.
    pub fn only_program(&self) -> Result<&ProgramSpec, Error> {
        match self.spec.programs.as_slice() {
            [program] => Ok(program),
            [] => Err(self.no_program("no program: no function is in a section of its own".into())),
            _ => Err(self
                .no_program(format!("several programs, choose one of {}", self.program_names()))),
        }
    }

    fn no_program(&self, message: String) -> Error {
        Error::NoProgram { file: self.file.clone(), message }
    }

    fn program_names(&self) -> String {
        list(self.spec.programs.iter().map(|program| program.name.as_str()))
    }

    /// Fits the programs to the kernel that they are meant for: CO-RE, its configuration, its
    /// symbols, targets in its BTF. Nothing is read of it for programs that do not refer to it.
    pub fn resolve(&mut self, kernel: &Kernel) -> Result<(), Error> {
        let kconfig = self.spec.maps.iter().any(|map| map.kind == MapKind::Kconfig);
        if kconfig {
            let filled = kernel.facts(|facts| self.spec.resolve_kconfig(facts))?;
            self.explain(filled)?;
        }
        if !self.needs_kernel_btf() {
            return Ok(());
        }
        let types = kernel.types()?;
        // First: it decides which programs are loaded, and so which relocations count.
        let structs = self.spec.resolve_struct_ops(&types, &[]);
        self.explain(structs)?;
        let relocated = self.spec.relocate_core(&[&types]);
        self.explain(relocated)?;
        let symbols = self.spec.resolve_ksyms(&types, &[], &|name| kernel.symbol(name));
        self.explain(symbols)?;
        let attached = self.spec.resolve_attach(&types);
        self.explain(attached)
    }

    fn explain(&self, result: Result<(), LoadError>) -> Result<(), Error> {
        result.map_err(|source| Error::Object { file: self.file.clone(), source })
    }

    /// Whether loading needs the BTF of the kernel that the programs are meant for.
    pub fn needs_kernel_btf(&self) -> bool {
        let program = |p: &ProgramSpec| !p.core_relos.is_empty() || p.attach_point.is_some();
        let ksym = |ext: &Extern| matches!(ext.kind, ExternKind::Ksym { .. });
        self.spec.programs.iter().any(program)
            || self.spec.externs.iter().any(ksym)
            || self.spec.maps.iter().any(|map| map.kind == MapKind::StructOps)
    }
}

/// A few names for a message.
pub(crate) fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const MOST: usize = 12;
    let mut names: Vec<_> = names.take(MOST + 1).collect();
    if names.is_empty() {
        return "none".into();
    }
    if names.len() > MOST {
        names[MOST] = "…";
    }
    names.join(", ")
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let file = path.display().to_string();
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|open| open.take(MAX_FILE + 1).read_to_end(&mut bytes));
    match read {
        Err(source) => Err(Error::Read { file, source }),
        Ok(_) if bytes.len() as u64 > MAX_FILE => Err(Error::TooLarge { file, limit: MAX_FILE }),
        Ok(_) => Ok(bytes),
    }
}
