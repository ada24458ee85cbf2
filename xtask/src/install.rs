//! Debian packages that a command needs.

use std::path::Path;
use std::process::{Command, Stdio};

/// Package, and a file whose presence shows it is installed.
pub(crate) type Package = (&'static str, &'static str);

/// What compiling BPF C needs.
pub(crate) const COMPILE: &[Package] = &[
    ("clang-19", "/usr/bin/clang-19"),
    ("libbpf-dev", "/usr/include/bpf/bpf_helpers.h"),
    ("linux-libc-dev", "/usr/include/linux/bpf.h"),
];

/// What the tests compare with, besides.
pub(crate) const TEST: &[Package] = &[
    ("llvm-19", "/usr/bin/llvm-objdump-19"),
    ("bpftool", "/usr/sbin/bpftool"),
    ("tcpdump", "/usr/bin/tcpdump"),
    ("libbpf-tools", "/usr/sbin/opensnoop"),
    ("xdp-tools", "/usr/sbin/xdp-filter"),
];

/// Installs those of `packages` that are missing; without the right to, says how to.
pub(crate) fn ensure(packages: &[Package]) -> Result<(), String> {
    let missing: Vec<&str> =
        packages.iter().filter(|p| !Path::new(p.1).exists()).map(|p| p.0).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    let Some(prefix) = privilege() else {
        return Err(format!("missing packages; run:\n    sudo apt-get install -y {list}"));
    };
    eprintln!("installing {list}");
    // The index of a fresh machine may be empty or old; a failed refresh still leaves the cache.
    let _ = apt(&prefix, &["update", "-q"]);
    let mut args = vec!["install", "-y", "-q", "--no-install-recommends"];
    args.extend(&missing);
    if apt(&prefix, &args) { Ok(()) } else { Err(format!("apt-get could not install {list}")) }
}

fn apt(prefix: &[&str], args: &[&str]) -> bool {
    let mut words: Vec<&str> = prefix.to_vec();
    words.push("apt-get");
    words.extend(args);
    Command::new(words[0])
        .args(&words[1..])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

/// The words before `apt-get`: none for root, sudo where it asks for no password.
fn privilege() -> Option<Vec<&'static str>> {
    let quiet = |program: &str, args: &[&str]| {
        Command::new(program).args(args).stderr(Stdio::null()).output().ok()
    };
    if quiet("id", &["-u"])?.stdout.starts_with(b"0") {
        return Some(vec!["env"]);
    }
    quiet("sudo", &["-n", "true"])?.status.success().then(|| vec!["sudo"])
}
