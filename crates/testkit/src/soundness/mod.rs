//! Random and mutated programs into ring3 and into the running kernel: verdicts of all of them,
//! results of those that both accept and that depend on nothing else.

mod contain;
mod minimize;
mod mutate;
mod report;
mod results;
mod subject;
mod work;
mod world;

pub use contain::{Contained, check_runs};
pub use minimize::minimize;
pub use mutate::mutate;
pub use report::Report;
pub use results::Results;
pub use subject::{Judged, Kernel, Subject, Verdict, judge};
pub use work::{Source, compare, subject_of};
