//! Linux's own bpf(2) behind the Bpf door.
