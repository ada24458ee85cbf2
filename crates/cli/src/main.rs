//! The command ring3.
fn main() {}
