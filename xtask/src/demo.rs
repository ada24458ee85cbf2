//! The README's first command.

use std::path::Path;

use crate::install;
use crate::run::cargo;

const COMMAND: &str = "run examples/hello.bpf.c --pcap examples/captures/web.pcap";

pub(crate) fn run(root: &Path, _args: &[String]) -> Result<(), String> {
    install::ensure(install::COMPILE)?;
    cargo(root, &["build", "--release", "--bin", "ring3"])?;
    println!("$ ring3 {COMMAND}");
    let mut words = vec!["run", "--quiet", "--release", "--bin", "ring3", "--"];
    words.extend(COMMAND.split(' '));
    cargo(root, &words)
}
