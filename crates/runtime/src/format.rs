//! The conversions of `bpf_trace_printk` and `bpf_snprintf`.

use uapi::Errno;

/// Where strings and addresses come from.
pub(crate) trait Memory {
    /// The string at `addr`, at most `max` bytes, without its zero.
    fn string(&mut self, addr: u64, max: usize) -> Option<Vec<u8>>;
    /// The `len` bytes at `addr`.
    fn bytes(&mut self, addr: u64, len: usize) -> Option<Vec<u8>>;
}

/// Bytes that all string arguments together may take.
const MAX_STRINGS: usize = 512;

/// Flags and width before a conversion.
#[derive(Clone, Copy, Default)]
struct Spec {
    left: bool,
    zero: bool,
    plus: bool,
    space: bool,
    width: usize,
}

/// Prints `args` as `fmt` says; EINVAL for what Linux does not take.
pub(crate) fn format(fmt: &[u8], args: &[u64], memory: &mut impl Memory) -> Result<Vec<u8>, Errno> {
    if !fmt.iter().all(|b| matches!(b, 0x20..=0x7e | b'\t'..=b'\r' | 0x80..)) {
        return Err(Errno::EINVAL);
    }
    let mut p = Printer { out: Vec::new(), room: MAX_STRINGS, args: args.iter(), memory };
    let mut at = 0;
    while at < fmt.len() {
        if fmt[at] != b'%' {
            p.out.push(fmt[at]);
            at += 1;
        } else if fmt.get(at + 1) == Some(&b'%') {
            p.out.push(b'%');
            at += 2;
        } else {
            at += 1;
            at += p.conversion(&fmt[at..])?;
        }
    }
    Ok(p.out)
}

struct Printer<'a, M> {
    out: Vec<u8>,
    room: usize,
    args: std::slice::Iter<'a, u64>,
    memory: &'a mut M,
}

impl<M: Memory> Printer<'_, M> {
    /// Prints one conversion; the bytes of format that it took.
    fn conversion(&mut self, fmt: &[u8]) -> Result<usize, Errno> {
        let arg = *self.args.next().ok_or(Errno::EINVAL)?;
        let (spec, at) = spec(fmt);
        let rest = &fmt[at..];
        let taken = match rest.first() {
            Some(b'p') => {
                self.pointer(&rest[1..], arg, spec)?;
                // Linux skips what could name a kind of pointer, known or not.
                1 + rest[1..].iter().take_while(|b| b.is_ascii_alphanumeric()).count()
            }
            Some(b's') => {
                self.end_of_word(&rest[1..])?;
                self.string(arg, spec)?;
                1
            }
            Some(b'c') => {
                self.pad(&[arg as u8], Spec { zero: false, ..spec });
                1
            }
            _ => self.integer(rest, arg, spec)?,
        };
        Ok(at + taken)
    }

    /// A conversion that must end at a space, at punctuation or with the text.
    fn end_of_word(&self, rest: &[u8]) -> Result<(), Errno> {
        match rest.first() {
            None => Ok(()),
            Some(b) if b.is_ascii_whitespace() || b.is_ascii_punctuation() => Ok(()),
            Some(_) => Err(Errno::EINVAL),
        }
    }

    /// Widths count only where Linux prints the number itself.
    fn pointer(&mut self, rest: &[u8], arg: u64, spec: Spec) -> Result<(), Errno> {
        let at = |i: usize| rest.get(i).copied().unwrap_or(0);
        match (at(0), at(1)) {
            (b'k' | b'u', b's') => {
                self.end_of_word(&rest[2..])?;
                self.string(arg, Spec::default())
            }
            (b'x', _) => {
                self.address(arg, spec);
                Ok(())
            }
            (b'K', _) => {
                self.hashed(arg, spec);
                Ok(())
            }
            // No symbols here: the address, as Linux prints one without a symbol.
            (b's' | b'S' | b'B', _) => {
                self.pad(format!("0x{arg:x}").as_bytes(), Spec { zero: false, ..spec });
                Ok(())
            }
            (kind @ (b'i' | b'I'), b'4') => {
                let bytes = self.memory.bytes(arg, 4).unwrap_or(vec![0; 4]);
                let one = |b: &u8| if kind == b'i' { format!("{b:03}") } else { format!("{b}") };
                self.ip(&bytes.iter().map(one).collect::<Vec<_>>().join("."))
            }
            (kind @ (b'i' | b'I'), b'6') => {
                let bytes = self.memory.bytes(arg, 16).unwrap_or(vec![0; 16]);
                let groups = bytes.chunks(2).map(|g| format!("{:02x}{:02x}", g[0], g[1]));
                let between = if kind == b'i' { "" } else { ":" };
                self.ip(&groups.collect::<Vec<_>>().join(between))
            }
            (b, _) if b == 0 || b.is_ascii_whitespace() || b.is_ascii_punctuation() => {
                self.hashed(arg, spec);
                Ok(())
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn ip(&mut self, text: &str) -> Result<(), Errno> {
        self.take_room(text.len() + 1)?;
        self.out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn address(&mut self, arg: u64, spec: Spec) {
        let width = if spec.width == 0 { 16 } else { spec.width };
        let zero = spec.zero || spec.width == 0;
        self.pad(format!("{arg:x}").as_bytes(), Spec { width, zero, ..spec });
    }

    /// Linux hides addresses behind a hash; null and error numbers show.
    fn hashed(&mut self, arg: u64, spec: Spec) {
        let plain = arg == 0 || arg >= -4095i64 as u64;
        let hash = hash(arg);
        self.address(if plain { arg } else { hash }, spec);
    }

    fn string(&mut self, addr: u64, spec: Spec) -> Result<(), Errno> {
        let text = self.memory.string(addr, self.room.saturating_sub(1)).unwrap_or_default();
        self.take_room(text.len() + 1)?;
        self.pad(&text, Spec { zero: false, ..spec });
        Ok(())
    }

    fn take_room(&mut self, len: usize) -> Result<(), Errno> {
        self.room = self.room.checked_sub(len).ok_or(Errno::ENOSPC)?;
        Ok(())
    }

    fn integer(&mut self, rest: &[u8], arg: u64, spec: Spec) -> Result<usize, Errno> {
        let long = rest.iter().take(2).take_while(|b| **b == b'l').count();
        let wide = long > 0;
        let kind = rest.get(long).copied().ok_or(Errno::EINVAL)?;
        let signed = if wide { arg as i64 } else { i64::from(arg as i32) };
        let plain = if wide { arg } else { u64::from(arg as u32) };
        let (sign, digits) = match kind {
            b'd' | b'i' if signed < 0 => ("-", signed.unsigned_abs().to_string()),
            b'd' | b'i' if spec.plus => ("+", signed.to_string()),
            b'd' | b'i' if spec.space => (" ", signed.to_string()),
            b'd' | b'i' => ("", signed.to_string()),
            b'u' => ("", plain.to_string()),
            b'x' => ("", format!("{plain:x}")),
            b'X' => ("", format!("{plain:X}")),
            _ => return Err(Errno::EINVAL),
        };
        let fill = if spec.zero && !spec.left {
            spec.width.saturating_sub(sign.len() + digits.len())
        } else {
            0
        };
        let text = format!("{sign}{}{digits}", "0".repeat(fill));
        self.pad(text.as_bytes(), Spec { zero: false, ..spec });
        Ok(long + 1)
    }

    fn pad(&mut self, text: &[u8], spec: Spec) {
        let fill = spec.width.saturating_sub(text.len());
        if spec.left {
            self.out.extend_from_slice(text);
            self.out.extend(std::iter::repeat_n(b' ', fill));
        } else {
            let with = if spec.zero { b'0' } else { b' ' };
            self.out.extend(std::iter::repeat_n(with, fill));
            self.out.extend_from_slice(text);
        }
    }
}

/// Flags and width, and the bytes they take.
fn spec(fmt: &[u8]) -> (Spec, usize) {
    let mut spec = Spec::default();
    let mut at = 0;
    while let Some(&b) = fmt.get(at) {
        match b {
            b'0' => spec.zero = true,
            b'+' => spec.plus = true,
            b'-' => spec.left = true,
            b' ' => spec.space = true,
            _ => break,
        }
        at += 1;
    }
    while let Some(digit) = fmt.get(at).filter(|b| b.is_ascii_digit()) {
        // Linux cuts wider fields to this.
        spec.width = (spec.width * 10 + usize::from(digit - b'0')).min(1024);
        at += 1;
    }
    (spec, at)
}

/// What an address is shown as.
pub(crate) fn hash(addr: u64) -> u64 {
    (addr ^ 0x5bd1_e995).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}
