//! Locks.

use super::reasons;

reasons! {
    /// Locks.
    BadLock {
        /// The value or object has no lock of this kind.
        None { owner: &'static str, name: Box<str>, lock: &'static str } => "{owner} '{name}' has no valid {lock}_lock",
        /// Spin locks do not nest.
        Two => "Locking two bpf_spin_locks are not allowed",
        /// The lock is held already.
        Again => "Acquiring the same lock again, AA deadlock detected",
        /// No lock is held.
        NotHeld { lock: &'static str } => "{lock}_unlock without taking a lock",
        /// Another lock is held.
        Other { lock: &'static str } => "{lock}_unlock of different lock",
        /// The order of a tree is not the place for it.
        InCallback => "can't spin_{{lock,unlock}} in rbtree cb",
        /// The lock taken last is to be given back first.
        Order { lock: &'static str } => "{lock}_unlock cannot be out of order",
    }
}
