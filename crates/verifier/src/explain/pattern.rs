//! Linux's messages as patterns: which row of the table of causes a rejection belongs to.
//!
//! `R#` stands for a register, `#` for a number, `*` for any text, `##` for a `#` with a number.

/// What stood for the wildcards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Holes<'t> {
    pub(super) regs: Vec<usize>,
    pub(super) numbers: Vec<i64>,
    pub(super) texts: Vec<&'t str>,
}

/// Whether the whole of `text` fits `pattern`, and how.
pub(super) fn fit<'t>(pattern: &str, text: &'t str) -> Option<Holes<'t>> {
    let mut holes = Holes::default();
    fit_into(pattern, text, &mut holes).then_some(holes)
}

fn fit_into<'t>(pattern: &str, text: &'t str, holes: &mut Holes<'t>) -> bool {
    let Some(first) = pattern.chars().next() else { return text.is_empty() };
    if let Some(rest) = pattern.strip_prefix("R#") {
        let Some(digits) = text.strip_prefix('R') else { return false };
        let len = digits.bytes().take_while(u8::is_ascii_digit).count();
        let Ok(reg) = digits[..len].parse() else { return false };
        holes.regs.push(reg);
        return fit_into(rest, &digits[len..], holes);
    }
    if let Some(rest) = pattern.strip_prefix("##") {
        return match text.strip_prefix('#') {
            Some(text) => fit_into(&format!("#{rest}"), text, holes),
            None => false,
        };
    }
    match first {
        '#' => {
            let (number, len) = number_of(text);
            let Some(number) = number else { return false };
            holes.numbers.push(number);
            fit_into(&pattern[1..], &text[len..], holes)
        }
        '*' => fit_any(&pattern[1..], text, holes),
        _ => match text.strip_prefix(first) {
            Some(text) => fit_into(&pattern[first.len_utf8()..], text, holes),
            None => false,
        },
    }
}

/// The shortest text for a `*` after which the rest fits.
fn fit_any<'t>(rest: &str, text: &'t str, holes: &mut Holes<'t>) -> bool {
    let before = holes.clone();
    for (at, _) in text.char_indices().chain([(text.len(), ' ')]) {
        holes.texts.push(&text[..at]);
        if fit_into(rest, &text[at..], holes) {
            return true;
        }
        *holes = before.clone();
    }
    false
}

/// The number at the start of `text` and how long it is.
fn number_of(text: &str) -> (Option<i64>, usize) {
    let sign = usize::from(text.starts_with('-'));
    let digits = &text[sign..];
    let (digits, radix, prefix) = match digits.strip_prefix("0x") {
        Some(hex) => (hex, 16, 2),
        None => (digits, 10, 0),
    };
    let len = digits.chars().take_while(|c| c.is_digit(radix)).count();
    let number = u64::from_str_radix(&digits[..len], radix).ok().map(|n| n as i64);
    let number = number.map(|n| if sign == 1 { n.wrapping_neg() } else { n });
    (number, sign + prefix + len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_numbers_and_text_are_found() {
        let holes = fit("R# invalid mem access '*'", "R10 invalid mem access 'scalar'").unwrap();
        assert_eq!((holes.regs, holes.texts), (vec![10], vec!["scalar"]));
        let holes = fit(
            "invalid bpf_context access off=# size=#",
            "invalid bpf_context access off=-8 size=4",
        );
        assert_eq!(holes.unwrap().numbers, [-8, 4]);
        let holes = fit("off=# var_off=#", "off=0x10 var_off=18446744073709551615").unwrap();
        assert_eq!(holes.numbers, [16, -1]);
    }

    #[test]
    fn what_differs_does_not_fit() {
        assert_eq!(fit("R# !read_ok", "R1 !read_ok "), None);
        assert_eq!(fit("R# !read_ok", "Rx !read_ok"), None);
        assert_eq!(fit("a#b", "ab"), None);
        assert!(
            fit("* would lead to reference leak", "tail_call would lead to reference leak")
                .is_some()
        );
        assert!(fit("*a*b", "xaab").is_some());
        assert_eq!(fit("func## (*)", "func#1 (sum)").unwrap().numbers, [1]);
    }
}
