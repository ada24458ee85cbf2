//! BPF Type Format: parse, write, print.
