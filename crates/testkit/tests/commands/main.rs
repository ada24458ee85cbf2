//! Programs on commands: Debian's libbpf-tools against what strace shows of the same command,
//! own programs against what the command says of itself.

mod functions;
mod own;
mod probes;
mod sockets;
mod support;
mod tools;
