//! The kernel that programs are meant for: what they can ask of it, read when they first ask.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use btf::Btf;
use loader::KernelFacts;

use crate::Error;
use crate::kconfig;
use crate::object::read;

/// `LINUX_KERNEL_VERSION` of the kernel whose rules are followed: Linux 6.18.
const VERSION: u32 = 6 << 16 | 18 << 8;

/// A kernel as programs see it: its types, its configuration, its symbols.
#[derive(Debug, Default)]
pub struct Kernel {
    btf_file: Option<PathBuf>,
    config_file: Option<PathBuf>,
    btf: OnceLock<Arc<Btf>>,
}

impl Kernel {
    /// The kernel that runs here.
    pub fn running() -> Kernel {
        Kernel::at("/sys/kernel/btf/vmlinux")
    }

    /// A kernel whose BTF is in this file; nothing is read yet. Its configuration is looked for
    /// as libbpf does: in `/boot`, under the name of the running kernel, then `/proc/config.gz`.
    pub fn at(btf_file: impl Into<PathBuf>) -> Kernel {
        Kernel {
            btf_file: Some(btf_file.into()),
            config_file: kconfig::running(),
            btf: OnceLock::new(),
        }
    }

    /// The same with the configuration in this file, as `CONFIG_NAME=value` lines, plain or gzip.
    pub fn with_config(mut self, config_file: impl Into<PathBuf>) -> Kernel {
        self.config_file = Some(config_file.into());
        self
    }

    /// Its types.
    pub fn types(&self) -> Result<Arc<Btf>, Error> {
        if let Some(btf) = self.btf.get() {
            return Ok(btf.clone());
        }
        let Some(path) = &self.btf_file else {
            let message = "no file was named".into();
            return Err(Error::KernelBtf { file: "the target kernel".into(), message });
        };
        let bytes = read(path)?;
        let bad = |message| Error::KernelBtf { file: path.display().to_string(), message };
        let btf = Btf::parse(&bytes).map_err(|error| bad(error.to_string()))?;
        Ok(self.btf.get_or_init(|| Arc::new(btf)).clone())
    }

    /// Calls `use_facts` with what `.kconfig` externs can ask.
    pub(crate) fn facts<T>(
        &self,
        use_facts: impl FnOnce(&KernelFacts<'_>) -> T,
    ) -> Result<T, Error> {
        let text = match &self.config_file {
            Some(path) => kconfig::text(path)?,
            None => String::new(),
        };
        Ok(use_facts(&KernelFacts {
            version: VERSION,
            has_syscall_wrapper: true,
            has_bpf_cookie: true,
            config: &|name| loader::config_value(&text, name).map(str::to_owned),
        }))
    }

    /// The address of a symbol in `/proc/kallsyms`; addresses that are hidden from us read as 0.
    pub(crate) fn symbol(&self, name: &str) -> Option<u64> {
        let text = fs::read_to_string("/proc/kallsyms").ok()?;
        text.lines().find_map(|line| {
            let mut columns = line.split_ascii_whitespace();
            let address = columns.next()?;
            (columns.nth(1)? == name).then(|| u64::from_str_radix(address, 16).ok())?
        })
    }
}
