//! Arguments of probes: where notes say they are.

/// Where an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Location {
    /// It is this number.
    Constant(i64),
    /// In a register: its index in `struct pt_regs`.
    Register(usize),
    /// In memory: at a register and an offset, and an index register shifted by so much.
    Memory { base: usize, offset: i64, index: Option<(usize, u8)> },
}

/// An argument of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Argument {
    location: Location,
    /// Bytes; negative for numbers with a sign.
    size: i8,
}

/// Bytes of `struct __bpf_usdt_arg_spec`.
pub(super) const SIZE: usize = 16;

/// Names of registers by width (8, 4, 2, 1 bytes), and their index in `struct pt_regs`.
const REGISTERS: &[([&str; 4], usize)] = &[
    (["rax", "eax", "ax", "al"], 10),
    (["rbx", "ebx", "bx", "bl"], 5),
    (["rcx", "ecx", "cx", "cl"], 11),
    (["rdx", "edx", "dx", "dl"], 12),
    (["rsi", "esi", "si", "sil"], 13),
    (["rdi", "edi", "di", "dil"], 14),
    (["rbp", "ebp", "bp", "bpl"], 4),
    (["rsp", "esp", "sp", "spl"], 19),
    (["rip", "eip", "ip", ""], 16),
    (["r8", "r8d", "r8w", "r8b"], 9),
    (["r9", "r9d", "r9w", "r9b"], 8),
    (["r10", "r10d", "r10w", "r10b"], 7),
    (["r11", "r11d", "r11w", "r11b"], 6),
    (["r12", "r12d", "r12w", "r12b"], 3),
    (["r13", "r13d", "r13w", "r13b"], 2),
    (["r14", "r14d", "r14w", "r14b"], 1),
    (["r15", "r15d", "r15w", "r15b"], 0),
];

fn register(text: &str) -> Option<usize> {
    let name = text.trim().strip_prefix('%').filter(|name| !name.is_empty())?;
    REGISTERS.iter().find(|(names, _)| names.contains(&name)).map(|(_, index)| *index)
}

fn number(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let value = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok()? as i64,
        None => digits.parse::<u64>().ok()? as i64,
    };
    Some(value.wrapping_mul(sign))
}

impl Argument {
    /// `SIZE@WHERE`, as the assembler writes operands: `-4@%eax`, `8@-16(%rbp)`, `4@$5`,
    /// `8@(%rax,%rcx,8)`.
    pub(super) fn parse(text: &str) -> Result<Argument, String> {
        let wrong = || format!("its argument '{text}' is at no place that programs can read");
        let (size, place) = text.split_once('@').ok_or_else(wrong)?;
        let size: i8 = size.parse().map_err(|_| wrong())?;
        if ![1, 2, 4, 8].contains(&size.unsigned_abs()) {
            return Err(wrong());
        }
        let location = Location::parse(place).ok_or_else(wrong)?;
        Ok(Argument { location, size })
    }

    /// Its `struct __bpf_usdt_arg_spec`.
    pub(super) fn to_bytes(self) -> [u8; SIZE] {
        const CONSTANT: u8 = 0;
        const REGISTER: u8 = 1;
        const MEMORY: u8 = 2;
        const INDEXED: u8 = 3;
        let (kind, value, register, index) = match self.location {
            Location::Constant(value) => (CONSTANT, value, 0, None),
            Location::Register(register) => (REGISTER, 0, register, None),
            Location::Memory { base, offset, index: None } => (MEMORY, offset, base, None),
            Location::Memory { base, offset, index } => (INDEXED, offset, base, index),
        };
        let mut out = [0; SIZE];
        out[..8].copy_from_slice(&value.to_le_bytes());
        out[8] = kind;
        if let Some((index, shift)) = index {
            let both = (8 * index as u16) | u16::from(shift) << 12;
            out[9..11].copy_from_slice(&both.to_le_bytes());
        }
        out[12..14].copy_from_slice(&(8 * register as u16).to_le_bytes());
        out[14] = u8::from(self.size < 0);
        out[15] = 64 - 8 * self.size.unsigned_abs();
        out
    }
}

impl Location {
    fn parse(text: &str) -> Option<Location> {
        if let Some(constant) = text.strip_prefix('$') {
            return number(constant).map(Location::Constant);
        }
        if text.starts_with('%') {
            return register(text).map(Location::Register);
        }
        let (offset, rest) = text.split_once('(')?;
        let offset = if offset.is_empty() { 0 } else { number(offset)? };
        let mut parts = rest.strip_suffix(')')?.split(',');
        let base = register(parts.next()?)?;
        let index = match (parts.next(), parts.next()) {
            (None, _) => None,
            (Some(index), scale) => {
                let scale: u32 = scale.map_or(Some(1), |scale| scale.trim().parse().ok())?;
                let known = [1, 2, 4, 8].contains(&scale);
                Some((register(index)?, known.then(|| scale.trailing_zeros() as u8)?))
            }
        };
        Some(Location::Memory { base, offset, index })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes by hand, from the structure in `usdt.bpf.h` and the order of `struct pt_regs`.
    #[test]
    fn arguments_are_told_as_usdt_bpf_h_wants_them() {
        let is = |text: &str, value: i64, tail: [u8; 8]| {
            let bytes = Argument::parse(text).expect(text).to_bytes();
            assert_eq!(bytes[..8], value.to_le_bytes(), "{text}");
            assert_eq!(bytes[8..], tail, "{text}");
        };
        is("-4@$-9", -9, [0, 0, 0, 0, 0, 0, 1, 32]);
        is("8@%rdi", 0, [1, 0, 0, 0, 112, 0, 0, 0]);
        is("1@%r15b", 0, [1, 0, 0, 0, 0, 0, 0, 56]);
        is("-2@-1204(%rbp)", -1204, [2, 0, 0, 0, 32, 0, 1, 48]);
        is("4@(%rax,%rcx,8)", 0, [3, 88, 0x30, 0, 80, 0, 0, 32]);
        for wrong in ["8f@%xmm0", "3@%rax", "8@foo(%rip)", "4@%zmm1", "8@", "x", "8@(%rax,%rcx,3)"]
        {
            assert!(Argument::parse(wrong).is_err(), "{wrong}");
        }
    }
}
