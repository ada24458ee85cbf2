//! The words of a command, read one after the other.

use crate::fail::Fail;

/// What is left of a command's words.
#[derive(Clone, Debug)]
pub(crate) struct Words<'a> {
    all: &'a [String],
    at: usize,
}

/// Whether `word` abbreviates `full`.
pub(crate) fn is_prefix(word: &str, full: &str) -> bool {
    !word.is_empty() && full.starts_with(word)
}

impl<'a> Words<'a> {
    pub(crate) fn new(all: &'a [String]) -> Words<'a> {
        Words { all, at: 0 }
    }

    /// Words left.
    pub(crate) fn len(&self) -> usize {
        self.all.len() - self.at
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next word.
    pub(crate) fn peek(&self) -> Option<&'a str> {
        self.all.get(self.at).map(String::as_str)
    }

    /// Takes the next word.
    pub(crate) fn next(&mut self) -> Option<&'a str> {
        let word = self.peek()?;
        self.at += 1;
        Some(word)
    }

    /// Takes the next word if it abbreviates `full`.
    pub(crate) fn eat(&mut self, full: &str) -> bool {
        let found = self.peek().is_some_and(|word| is_prefix(word, full));
        self.at += usize::from(found);
        found
    }

    /// The word before, as it was typed.
    fn before(&self) -> &'a str {
        self.at.checked_sub(1).map_or("", |at| self.all[at].as_str())
    }

    /// Fails unless so many words are left.
    pub(crate) fn need(&self, count: usize) -> Result<(), Fail> {
        if self.len() >= count {
            return Ok(());
        }
        let (word, found) = (self.before(), self.len());
        Err(Fail::new(format!("'{word}' needs at least {count} arguments, {found} found")))
    }

    /// Takes a word that [`Words::need`] has promised.
    pub(crate) fn take(&mut self) -> Result<&'a str, Fail> {
        self.need(1)?;
        Ok(self.next().unwrap_or_default())
    }

    /// bpftool's word for a word too many.
    pub(crate) fn bad(&self) -> Fail {
        Fail::new(format!("what is '{}'?", self.peek().unwrap_or("(null)")))
    }

    /// Fails if words are left.
    pub(crate) fn end(&self) -> Result<(), Fail> {
        if self.is_empty() { Ok(()) } else { Err(self.bad()) }
    }
}

/// A number as `strtoul(text, &end, base)` reads it, if nothing follows; base 0 looks at the text.
pub(crate) fn number(text: &str, base: u32) -> Option<u64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let hex = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let (digits, base) = match (base, hex) {
        (0 | 16, Some(hex)) if !hex.is_empty() => (hex, 16),
        (0, _) if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
        (0, _) => (digits, 10),
        (base, _) => (digits, base),
    };
    if digits.is_empty() || digits.starts_with(['+', '-']) {
        return None;
    }
    let value = match u64::from_str_radix(digits, base) {
        Ok(value) => value,
        Err(error) if *error.kind() == std::num::IntErrorKind::PosOverflow => u64::MAX,
        Err(_) => return None,
    };
    Some(if negative { value.wrapping_neg() } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_strtoul() {
        let rows = [("17", 0, Some(17)), ("0x11", 0, Some(17)), ("021", 0, Some(17))];
        for (text, base, want) in rows {
            assert_eq!(number(text, base), want, "{text}");
        }
        assert_eq!(number("ff", 16), Some(255));
        assert_eq!(number("-1", 0), Some(u64::MAX));
        assert_eq!(number("08", 0), None);
        assert_eq!(number("zz", 0), None);
        assert_eq!(number("", 0), None);
    }

    #[test]
    fn words_may_be_abbreviated() {
        let typed = ["pin".to_owned()];
        let mut words = Words::new(&typed);
        assert!(!words.clone().eat("pop"));
        assert!(words.eat("pinned"));
        assert!(words.is_empty());
    }
}
