//! Recorded verdicts: programs that were given to a kernel, with what it said.

mod corpus;
mod score;

pub(crate) use corpus::last_message;
pub use corpus::{Case, Corpus, CorpusError};
pub use score::{Row, Totals, judge};
