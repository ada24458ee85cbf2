//! Programs that ring3 cannot judge.

use super::reasons;

reasons! {
    /// Programs that ring3 cannot judge.
    Needs {
        /// The rules of this feature are not modelled.
        Rules { feature: &'static str } => "ring3 does not model {feature}",
    }
}
