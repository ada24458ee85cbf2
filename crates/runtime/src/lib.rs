//! Objects, helpers and the Bpf door.
