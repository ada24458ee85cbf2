//! The running kernel's BTF_LOAD.

use std::os::fd::{FromRawFd, OwnedFd};

/// `union bpf_attr` as BPF_BTF_LOAD reads it.
#[repr(C)]
#[derive(Default)]
struct Attr {
    btf: u64,
    log: u64,
    btf_size: u32,
    log_size: u32,
    log_level: u32,
}

const BPF_BTF_LOAD: libc::c_long = 18;

/// Loads BTF and drops it again: the log, after the errno if the kernel refused it.
pub(crate) fn load(btf: &[u8]) -> Result<String, (i32, String)> {
    let mut log = vec![0_u8; 1 << 20];
    let attr = Attr {
        btf: btf.as_ptr() as u64,
        log: log.as_mut_ptr() as u64,
        btf_size: btf.len() as u32,
        log_size: log.len() as u32,
        log_level: 1,
    };
    // SAFETY: the kernel reads `btf` and writes `log` within the lengths given, both outlive the
    // call, and `attr` is laid out as the command's arguments, all of which it gives.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_BTF_LOAD, &attr, size_of::<Attr>()) };
    let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
    let text = String::from_utf8_lossy(&log);
    let text = text.trim_end_matches('\0').trim_end().to_owned();
    if fd < 0 {
        return Err((errno, text));
    }
    // SAFETY: a descriptor bpf(2) just returned, owned by nobody else.
    drop(unsafe { OwnedFd::from_raw_fd(fd as i32) });
    Ok(text)
}

/// Whether bpf(2) loads BTF here; says so once if not.
pub(crate) fn allowed() -> bool {
    let int = crate::common::assemble(&[1, 1 << 24, 4, 32], b"\0a\0");
    match load(&int) {
        Ok(_) => true,
        Err((errno, _)) => {
            eprintln!("skipped: no bpf(2) here (BTF_LOAD: errno {errno})");
            false
        }
    }
}
