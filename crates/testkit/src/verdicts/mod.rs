//! Recorded verdicts: programs that were given to a kernel, with what it said.

mod corpus;
mod replay;
mod score;

pub(crate) use corpus::last_message;
pub use corpus::{Case, Corpus, CorpusError};
pub use replay::Replay;
pub use score::{Row, Totals, judge};
