//! eBPF in ring 3: load, verify and run BPF programs without root.
