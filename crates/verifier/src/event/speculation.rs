//! Pointers that a loader without CAP_PERFMON may not move.

use super::reasons;
use super::value::Reg;

reasons! {
    /// Pointers that a loader without CAP_PERFMON may not move.
    Speculation {
        /// The sign of the number is unknown.
        MixedBounds { reg: Reg } => "R{reg} has unknown scalar with mixed signed bounds, pointer arithmetic with it prohibited for !root",
        /// The pointer's kind cannot be masked.
        Operation { reg: Reg } => "R{reg} has pointer with unsupported alu operation, pointer arithmetic with it prohibited for !root",
        /// One instruction works on different objects.
        Paths { reg: Reg, verb: &'static str } => "R{reg} tried to {verb} from different maps, paths or scalars, pointer arithmetic with it prohibited for !root",
        /// The pointer may leave its object.
        Limit { reg: Reg, verb: &'static str } => "R{reg} tried to {verb} beyond pointer bounds, pointer arithmetic with it prohibited for !root",
        /// No room to walk the masked path.
        NotPushed { reg: Reg } => "R{reg} could not be pushed for speculative verification, pointer arithmetic with it prohibited for !root",
        /// The pointer leaves the value.
        ValueMovedOut { reg: Reg } => "R{reg} pointer arithmetic of map value goes out of range, prohibited for !root",
    }
}
