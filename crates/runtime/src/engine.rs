//! What runs programs.

use std::fmt;

/// What runs a program.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Engine {
    /// The interpreter: every access checked, instructions counted against [`crate::Config::fuel`].
    Interp,
    /// Machine code where the processor is x86-64 and the system grants memory for code, the
    /// interpreter elsewhere. Runs end because the verifier has proven that they do; of
    /// [`crate::Config::fuel`] only callbacks take.
    Jit,
}

impl Engine {
    /// The names that the environment and command lines use.
    pub const NAMES: [(&'static str, Engine); 2] =
        [("interp", Engine::Interp), ("jit", Engine::Jit)];

    /// Machine code where there is any.
    pub fn best() -> Engine {
        if cfg!(target_arch = "x86_64") { Engine::Jit } else { Engine::Interp }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Engine::Interp => "interp",
            Engine::Jit => "jit",
        })
    }
}

/// Linux's `bpf_jit_enable` by number or name: the engine, and whether code is dumped.
pub(crate) fn setting(text: &str) -> Option<(Engine, bool)> {
    match text {
        "0" | "interp" => Some((Engine::Interp, false)),
        "1" | "jit" => Some((Engine::Jit, false)),
        "2" | "jit-dump" => Some((Engine::Jit, true)),
        _ => None,
    }
}

/// What `RING3_ENGINE` asks for; the best engine without it, or with what it cannot mean.
pub(crate) fn from_environment() -> (Engine, bool) {
    let asked = std::env::var("RING3_ENGINE").ok();
    asked.as_deref().and_then(setting).unwrap_or((Engine::best(), false))
}

/// Code as Linux writes it to its log with `bpf_jit_enable` at 2.
pub(crate) fn dump(name: &str, slots: usize, base: u64, code: &[u8]) -> String {
    let pid = std::process::id();
    let mut out = format!(
        "flen={slots} proglen={} pass=1 image={base:016x} from={name} pid={pid}\n",
        code.len()
    );
    for (row, bytes) in code.chunks(16).enumerate() {
        let bytes: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
        out += &format!("JIT code: {:08x}: {}\n", row * 16, bytes.join(" "));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_linux_s() {
        assert_eq!(setting("0"), Some((Engine::Interp, false)));
        assert_eq!(setting("1"), Some((Engine::Jit, false)));
        assert_eq!(setting("2"), Some((Engine::Jit, true)));
        assert_eq!(setting("3"), None);
    }

    #[test]
    fn dumps_look_like_linux_s() {
        let text = dump("ring3", 2, 0x7f00_0000_1000, &[0xc3; 17]);
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        assert!(first.starts_with("flen=2 proglen=17 pass=1 image=00007f0000001000 from=ring3"));
        let row = "JIT code: 00000000: c3 c3 c3 c3 c3 c3 c3 c3 c3 c3 c3 c3 c3 c3 c3 c3";
        assert_eq!(lines.next(), Some(row));
        assert_eq!(lines.next(), Some("JIT code: 00000010: c3"));
    }
}
