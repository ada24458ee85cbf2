//! Verified bytecode to translated bytecode.
