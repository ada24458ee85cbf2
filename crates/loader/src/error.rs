//! Why an object cannot be loaded, and where.

use btf::BtfError;

/// Why an object was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The bytes are no ELF file, or one that is cut off or inconsistent.
    #[error("ELF: {0}")]
    Elf(String),
    /// The object is for another byte order.
    #[error("ELF: big-endian BPF object (compile with -target bpfel)")]
    BigEndian,
    /// The object is for another machine.
    #[error("ELF: machine {machine} is not BPF (247); compile with -target bpf")]
    Machine {
        /// `e_machine`.
        machine: u16,
    },
    /// The object is not relocatable.
    #[error("ELF: type {kind} is not a relocatable object (1)")]
    NotRelocatable {
        /// `e_type`.
        kind: u16,
    },
    /// A section cannot be used.
    #[error("section '{section}'{}: {message}", at(*.offset))]
    Section {
        /// Its name.
        section: String,
        /// Offset in the section in bytes, if one place is meant.
        offset: Option<u64>,
        /// What is wrong.
        message: String,
    },
    /// A symbol cannot be used.
    #[error("symbol '{symbol}' in section '{section}' at {offset:#x}: {message}")]
    Symbol {
        /// Its name.
        symbol: String,
        /// The section it is in.
        section: String,
        /// Its offset in the section in bytes.
        offset: u64,
        /// What is wrong.
        message: String,
    },
    /// A relocation cannot be applied.
    #[error("section '{section}' at {offset:#x}: relocation against '{symbol}': {message}")]
    Relocation {
        /// The section it applies to.
        section: String,
        /// Offset in that section in bytes.
        offset: u64,
        /// The symbol it refers to.
        symbol: String,
        /// What is wrong.
        message: String,
    },
    /// A program cannot be put together.
    #[error("program '{program}' (section '{section}') instruction {insn}: {message}")]
    Program {
        /// Its name.
        program: String,
        /// Its section.
        section: String,
        /// The slot, counted in the function it stands in.
        insn: usize,
        /// What is wrong.
        message: String,
    },
    /// A map definition cannot be used.
    #[error("map '{map}': {message}.")]
    Map {
        /// Its name.
        map: String,
        /// What is wrong.
        message: String,
    },
    /// A global cannot be the same in two objects that are linked.
    #[error("global '{symbol}': {message}")]
    Global {
        /// Its name.
        symbol: String,
        /// What is wrong.
        message: String,
    },
    /// The kernel, or its configuration, has no such thing.
    #[error("{missing}", missing = missing.text(symbol))]
    Unresolved {
        /// Its name.
        symbol: String,
        /// What was looked for.
        missing: Missing,
    },
    /// An extern cannot be used or resolved.
    #[error("extern '{symbol}': {message}")]
    Extern {
        /// Its name.
        symbol: String,
        /// What is wrong.
        message: String,
    },
    /// A CO-RE relocation failed.
    #[error(
        "program '{program}': CO-RE relocation #{index} (section '{section}' at {offset:#x}): {message}"
    )]
    Core {
        /// The function it is in.
        program: String,
        /// Its number in its section's records.
        index: usize,
        /// The section it applies to.
        section: String,
        /// Offset in that section in bytes.
        offset: u64,
        /// What is wrong.
        message: String,
    },
    /// The object's BTF or BTF.ext is malformed.
    #[error("section '{section}': {source}")]
    Btf {
        /// `.BTF` or `.BTF.ext`.
        section: &'static str,
        /// What is wrong.
        source: BtfError,
    },
    /// One of several objects cannot be linked.
    #[error("{object}: {source}")]
    Object {
        /// Its name.
        object: String,
        /// What is wrong.
        source: Box<LoadError>,
    },
    /// More than this crate builds.
    #[error("{what}: more than {limit}")]
    Limit {
        /// What there is too much of.
        what: String,
        /// The most that is accepted.
        limit: u64,
    },
}

/// What an extern names that is not to be found; the words are libbpf's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// A value of the configuration.
    Config,
    /// A `LINUX_` value.
    Virtual,
    /// A kernel function.
    Function,
    /// A typed kernel variable.
    Variable,
    /// An address in the kernel.
    Address,
}

impl Missing {
    fn text(self, symbol: &str) -> String {
        match self {
            Missing::Config | Missing::Address => {
                format!("extern '{symbol}' (strong): not resolved")
            }
            Missing::Virtual => format!("extern (kcfg) '{symbol}': unrecognized virtual extern"),
            Missing::Function => {
                format!("extern (func ksym) '{symbol}': not found in kernel or module BTFs")
            }
            Missing::Variable => format!("extern (var ksym) '{symbol}': not found in kernel BTF"),
        }
    }
}

fn at(offset: Option<u64>) -> String {
    offset.map_or(String::new(), |offset| format!(" at {offset:#x}"))
}

impl LoadError {
    pub(crate) fn unresolved(symbol: &str, missing: Missing) -> LoadError {
        LoadError::Unresolved { symbol: symbol.into(), missing }
    }

    pub(crate) fn section(section: &str, message: impl Into<String>) -> LoadError {
        LoadError::Section { section: section.into(), offset: None, message: message.into() }
    }

    pub(crate) fn section_at(section: &str, offset: u64, message: impl Into<String>) -> LoadError {
        let (section, message) = (section.into(), message.into());
        LoadError::Section { section, offset: Some(offset), message }
    }

    pub(crate) fn map(map: &str, message: impl Into<String>) -> LoadError {
        LoadError::Map { map: map.into(), message: message.into() }
    }

    pub(crate) fn external(symbol: &str, message: impl Into<String>) -> LoadError {
        LoadError::Extern { symbol: symbol.into(), message: message.into() }
    }
}
