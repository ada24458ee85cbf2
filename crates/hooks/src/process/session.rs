//! Programs at both ends of a call or function: what the run at the beginning leaves to the other.

use super::uprobe::Use;

/// What the sessions of one call keep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sessions(Vec<Kept>);

/// What one program keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kept {
    program: usize,
    /// The run at the beginning asked for one at the end.
    goes_on: bool,
    /// `bpf_session_cookie`.
    word: u64,
}

impl Sessions {
    /// A program has run at the beginning, has returned this and left this word.
    pub(crate) fn begun(&mut self, program: usize, returned: u64, word: u64) {
        self.0.push(Kept { program, goes_on: returned == 0, word });
    }

    /// The word of a program's session; `None` if it is not to run at the end.
    pub(crate) fn word(&self, program: usize) -> Option<u64> {
        let kept = self.0.iter().find(|kept| kept.program == program);
        // Programs that were not there at the beginning have nothing to say at the end.
        kept.filter(|kept| kept.goes_on).map(|kept| kept.word)
    }

    /// Whether any of these programs is to run at the end.
    pub(crate) fn any_of(&self, back: &[Use]) -> bool {
        back.iter().any(|one| !one.session || self.word(one.program).is_some())
    }
}
