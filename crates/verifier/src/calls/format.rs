//! Format strings of `bpf_snprintf`, checked when the program is loaded.

/// Whether the text before the first zero byte is a format that takes at most `args` arguments.
pub(super) fn is_valid(format: &[u8], args: usize) -> bool {
    let Some(end) = format.iter().position(|b| *b == 0) else { return false };
    let text = &format[..=end];
    let (mut at, mut used) = (0, 0);
    while text[at] != 0 {
        let c = text[at];
        if c.is_ascii() && !is_print(c) && !is_space(c) {
            return false;
        }
        if c != b'%' {
            at += 1;
            continue;
        }
        if text[at + 1] == b'%' {
            at += 2;
            continue;
        }
        if used >= args {
            return false;
        }
        let Some(next) = specifier(text, at + 1) else { return false };
        used += 1;
        at = next;
    }
    true
}

/// The place after the conversion that begins at `at`, behind the percent sign.
fn specifier(text: &[u8], mut at: usize) -> Option<usize> {
    if !text[at].is_ascii() {
        return None;
    }
    while matches!(text[at], b'0' | b'+' | b'-' | b' ') {
        at += 1;
    }
    if matches!(text[at], b'1'..=b'9') {
        while text[at].is_ascii_digit() {
            at += 1;
        }
    }
    match text[at] {
        b'p' => pointer(text, at),
        b's' => ends(text, at + 1),
        b'c' => Some(at + 1),
        _ => integer(text, at),
    }
}

fn pointer(text: &[u8], at: usize) -> Option<usize> {
    let next = text[at + 1];
    if next == 0 || is_space(next) || next.is_ascii_punctuation() {
        return Some(at + 1);
    }
    match (next, text.get(at + 2).copied().unwrap_or(0)) {
        (b'k' | b'u', b's') => ends(text, at + 3),
        (b'K' | b'x' | b's' | b'S' | b'B', _) => Some(at + 2),
        (b'i' | b'I', b'4' | b'6') => Some(at + 3),
        _ => None,
    }
}

/// Nothing that could belong to the conversion follows.
fn ends(text: &[u8], at: usize) -> Option<usize> {
    let next = text[at];
    (next == 0 || is_space(next) || next.is_ascii_punctuation()).then_some(at)
}

fn integer(text: &[u8], mut at: usize) -> Option<usize> {
    for _ in 0..2 {
        if text[at] == b'l' {
            at += 1;
        }
    }
    matches!(text[at], b'i' | b'd' | b'u' | b'x' | b'X').then_some(at + 1)
}

fn is_print(c: u8) -> bool {
    (0x20..0x7f).contains(&c)
}

fn is_space(c: u8) -> bool {
    matches!(c, b' ' | 9..=13)
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn takes_what_bpf_printf_knows() {
        for (format, args, ok) in [
            (&b"plain\0"[..], 0, true),
            (b"%d %lu %llx\0", 3, true),
            (b"%d\0", 0, false),
            (b"%%\0", 0, true),
            (b"%08x|%-5d\0", 2, true),
            (b"%s\0", 1, true),
            (b"%sx\0", 1, false),
            (b"%pks,\0", 1, true),
            (b"%pI4 %pi6 %pB %pK %px %p\0", 6, true),
            (b"%pI5\0", 1, false),
            (b"%f\0", 1, false),
            (b"%\0", 1, false),
            (b"bell\x07\0", 0, false),
            (b"unterminated", 0, false),
        ] {
            assert_eq!(is_valid(format, args), ok, "{:?}", String::from_utf8_lossy(format));
        }
    }
}
