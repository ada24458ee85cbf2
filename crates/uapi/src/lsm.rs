//! Security hooks that programs attach to, by their names without `bpf_lsm_`.

/// What Linux knows of a hook beyond its prototype.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LsmHook {
    /// No program may attach.
    pub disabled: bool,
    /// Its programs may sleep.
    pub sleepable: bool,
    /// Its arguments are not being built up or torn down.
    pub trusted: bool,
    /// It answers 1 or 0, not 0 or a negative error number.
    pub boolean: bool,
}

/// What is known of the hook called `name`.
pub fn lsm_hook(name: &str) -> LsmHook {
    let is = |hooks: &[&str]| hooks.binary_search(&name).is_ok();
    LsmHook {
        disabled: is(DISABLED),
        sleepable: is(SLEEPABLE),
        trusted: !is(UNTRUSTED),
        boolean: is(BOOLEAN),
    }
}

/// Their results are no error numbers, or of other security modules only.
const DISABLED: &[&str] = &[
    "audit_rule_match",
    "getprocattr",
    "getselfattr",
    "inode_copy_up_xattr",
    "inode_getsecurity",
    "inode_listsecurity",
    "inode_need_killpriv",
    "ismaclabel",
    "key_getsecurity",
    "setprocattr",
    "vm_enough_memory",
    "xfrm_decode_session",
];

/// Hooks that answer yes or no.
const BOOLEAN: &[&str] = &["audit_rule_known", "inode_xattr_skipcap", "xfrm_state_pol_flow_match"];

/// Hooks whose arguments are being built up or torn down.
const UNTRUSTED: &[&str] = &[
    "bpf_map_free",
    "bpf_prog_free",
    "file_alloc_security",
    "file_free_security",
    "sk_alloc_security",
    "sk_free_security",
    "task_free",
];

/// Hooks that are called where sleeping is allowed.
const SLEEPABLE: &[&str] = &[
    "bpf",
    "bpf_map",
    "bpf_map_create",
    "bpf_map_free",
    "bpf_prog",
    "bpf_prog_load",
    "bpf_token_capable",
    "bpf_token_cmd",
    "bpf_token_create",
    "bpf_token_free",
    "bprm_check_security",
    "bprm_committed_creds",
    "bprm_committing_creds",
    "bprm_creds_for_exec",
    "bprm_creds_from_file",
    "capget",
    "capset",
    "cred_prepare",
    "current_getsecid_subj",
    "file_ioctl",
    "file_lock",
    "file_open",
    "file_post_open",
    "file_receive",
    "inode_create",
    "inode_free_security",
    "inode_getattr",
    "inode_getxattr",
    "inode_mknod",
    "inode_need_killpriv",
    "inode_post_setxattr",
    "inode_readlink",
    "inode_rename",
    "inode_rmdir",
    "inode_setattr",
    "inode_setxattr",
    "inode_symlink",
    "inode_unlink",
    "kernel_module_request",
    "kernel_read_file",
    "kernfs_init_security",
    "mmap_file",
    "netlink_send",
    "path_chmod",
    "path_chown",
    "path_link",
    "path_mkdir",
    "path_notify",
    "path_rename",
    "path_rmdir",
    "path_symlink",
    "path_truncate",
    "path_unlink",
    "release_secctx",
    "sb_alloc_security",
    "sb_eat_lsm_opts",
    "sb_kern_mount",
    "sb_mount",
    "sb_remount",
    "sb_set_mnt_opts",
    "sb_show_options",
    "sb_statfs",
    "sb_umount",
    "settime",
    "socket_accept",
    "socket_bind",
    "socket_connect",
    "socket_create",
    "socket_getpeername",
    "socket_getpeersec_dgram",
    "socket_getsockname",
    "socket_getsockopt",
    "socket_listen",
    "socket_post_create",
    "socket_recvmsg",
    "socket_sendmsg",
    "socket_shutdown",
    "socket_socketpair",
    "syslog",
    "task_alloc",
    "task_getsecid_obj",
    "task_prctl",
    "task_setscheduler",
    "userns_create",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_be_looked_up() {
        for hooks in [DISABLED, BOOLEAN, UNTRUSTED, SLEEPABLE] {
            assert!(hooks.is_sorted());
        }
        assert!(lsm_hook("file_open").sleepable && !lsm_hook("file_permission").sleepable);
    }
}
