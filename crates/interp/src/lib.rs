//! Runs translated bytecode, every access checked.
