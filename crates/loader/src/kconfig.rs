//! Externs of section `.kconfig`: values of the kernel's configuration and of the kernel itself.

use crate::error::{LoadError, Missing};
use crate::spec::{Extern, ExternKind, KconfigType, MapKind, Spec};

/// What a program can ask of the kernel it is to run on.
#[derive(Clone, Copy)]
pub struct KernelFacts<'k> {
    /// `LINUX_KERNEL_VERSION`: major, minor and patch as 0xMMmmpp, patch at most 255.
    pub version: u32,
    /// Whether system calls take their arguments in a `pt_regs` (`LINUX_HAS_SYSCALL_WRAPPER`).
    pub has_syscall_wrapper: bool,
    /// Whether links carry a cookie (`LINUX_HAS_BPF_COOKIE`).
    pub has_bpf_cookie: bool,
    /// The value of a `CONFIG_` name as the configuration file has it: `y`, `100`, `"text"`.
    pub config: &'k dyn Fn(&str) -> Option<String>,
}

/// The value that the text of a kernel's configuration file gives a `CONFIG_` name.
pub fn config_value<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

impl Spec {
    /// Fills map `.kconfig`; weak values that are not set stay zero, others fail.
    pub fn resolve_kconfig(&mut self, kernel: &KernelFacts<'_>) -> Result<(), LoadError> {
        let map = self.maps.iter_mut().find(|map| map.kind == MapKind::Kconfig);
        let Some(map) = map else { return Ok(()) };
        let mut data = vec![0; map.def.value_size as usize];
        for ext in &mut self.externs {
            let ExternKind::Kconfig { ty, offset, size, .. } = ext.kind else { continue };
            let place = data.get_mut(offset as usize..(offset + size) as usize);
            let place =
                place.ok_or_else(|| LoadError::external(&ext.name, "lies outside .kconfig"))?;
            ext.resolved = resolve(ext, ty, place, kernel)?;
            if !ext.resolved && !ext.weak {
                return Err(LoadError::unresolved(&ext.name, Missing::Config));
            }
        }
        map.initial = Some(data);
        Ok(())
    }
}

fn resolve(
    ext: &Extern,
    ty: KconfigType,
    place: &mut [u8],
    kernel: &KernelFacts<'_>,
) -> Result<bool, LoadError> {
    let bad = |message| LoadError::external(&ext.name, message);
    if ext.name.starts_with("CONFIG_") {
        let Some(text) = (kernel.config)(&ext.name) else { return Ok(false) };
        return set_text(ty, place, &text).map(|()| true).map_err(bad);
    }
    let number = match ext.name.as_str() {
        "LINUX_KERNEL_VERSION" => kernel.version.into(),
        "LINUX_HAS_BPF_COOKIE" => kernel.has_bpf_cookie.into(),
        "LINUX_HAS_SYSCALL_WRAPPER" => kernel.has_syscall_wrapper.into(),
        name if name.starts_with("LINUX_") && ext.weak => 0,
        _ => return Err(LoadError::unresolved(&ext.name, Missing::Virtual)),
    };
    set_number(ty, place, number).map(|()| true).map_err(bad)
}

fn set_text(ty: KconfigType, place: &mut [u8], text: &str) -> Result<(), String> {
    match text.as_bytes().first() {
        Some(letter @ (b'y' | b'n' | b'm')) => set_tristate(ty, place, *letter),
        Some(b'"') => set_string(ty, place, text),
        _ => {
            let number = parse_number(text).ok_or_else(|| format!("'{text}' is no number"))?;
            match ty {
                KconfigType::Int { .. } | KconfigType::Char { .. } => set_number(ty, place, number),
                _ => Err(format!("value '{text}' needs an integer type")),
            }
        }
    }
}

fn set_tristate(ty: KconfigType, place: &mut [u8], letter: u8) -> Result<(), String> {
    let value = match (ty, letter) {
        (KconfigType::Bool, b'm') => return Err("value 'm' needs a tristate or char type".into()),
        (KconfigType::Bool, _) => u8::from(letter == b'y'),
        (KconfigType::Tristate, b'y') => 1,
        (KconfigType::Tristate, b'm') => 2,
        (KconfigType::Tristate, _) => 0,
        (KconfigType::Char { .. }, _) => letter,
        _ => {
            let letter = char::from(letter);
            return Err(format!("value '{letter}' needs a bool, tristate or char type"));
        }
    };
    place.fill(0);
    if let Some(first) = place.first_mut() {
        *first = value;
    }
    Ok(())
}

fn set_string(ty: KconfigType, place: &mut [u8], text: &str) -> Result<(), String> {
    if ty != KconfigType::CharArray {
        return Err(format!("value {text} needs an array of characters"));
    }
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let inner = inner.ok_or_else(|| format!("string {text} has no closing quote"))?;
    let len = inner.len().min(place.len().saturating_sub(1));
    place[..len].copy_from_slice(&inner.as_bytes()[..len]);
    Ok(())
}

/// As C's `strtoull` with base 0, the whole text: signs, 0x and octal.
fn parse_number(text: &str) -> Option<u64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let hex = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let number = match hex {
        Some(hex) => u64::from_str_radix(hex, 16),
        None if digits.starts_with('0') => u64::from_str_radix(digits, 8),
        None => digits.parse(),
    };
    let number = number.ok().filter(|_| !digits.contains(['+', '-']))?;
    Some(if negative { number.wrapping_neg() } else { number })
}

fn set_number(ty: KconfigType, place: &mut [u8], number: u64) -> Result<(), String> {
    let bits = place.len() as u32 * 8;
    let fits = |signed: bool| match bits {
        64.. => true,
        _ if signed => number.wrapping_add(1 << (bits - 1)) < 1 << bits,
        _ => number >> bits == 0,
    };
    let fits = match ty {
        KconfigType::Bool => number <= 1,
        KconfigType::Int { signed } | KconfigType::Char { signed } => fits(signed),
        _ => return Err(format!("value {number} needs an integer, char or bool type")),
    };
    if !fits {
        return Err(format!("value {number} does not fit in {} bytes", place.len()));
    }
    let bytes = number.to_le_bytes();
    let len = place.len().min(bytes.len());
    place[..len].copy_from_slice(&bytes[..len]);
    Ok(())
}
