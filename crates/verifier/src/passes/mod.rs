//! Passes over the whole program before the walk.
