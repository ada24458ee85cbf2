//! Calls: helpers and their arguments, context accesses, return values.
