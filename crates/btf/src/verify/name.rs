//! Which names the kernel allows, byte by byte; its character classes are Latin-1.

/// One more than the longest name (`KSYM_NAME_LEN`).
const NAME_LIMIT: usize = 512;

/// Letters (Latin-1 ones too), digits, `_` and `.`; not starting with a digit; not empty.
pub(super) fn is_identifier(name: &[u8]) -> bool {
    let [first, rest @ ..] = name else { return false };
    let word = |byte: u8| is_letter(byte) || byte == b'_' || byte == b'.';
    name.len() <= NAME_LIMIT
        && word(*first)
        && rest.iter().all(|&byte| word(byte) || byte.is_ascii_digit())
}

/// Printable and not empty.
pub(super) fn is_section(name: &[u8]) -> bool {
    (1..=NAME_LIMIT).contains(&name.len())
        && name.iter().all(|&byte| matches!(byte, 0x20..=0x7e | 0xa0..))
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, 0xc0..=0xd6 | 0xd8..=0xf6 | 0xf8..)
}
