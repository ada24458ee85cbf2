//! An ELF object to programs, maps and relocated instructions.
