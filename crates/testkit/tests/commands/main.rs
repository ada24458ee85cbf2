//! Programs on commands: Debian's libbpf-tools against what strace shows of the same command,
//! own programs against what the command says of itself.

mod bad;
mod functions;
mod inside;
mod own;
mod probes;
mod samples;
mod sockets;
mod sockops;
mod support;
mod tools;
