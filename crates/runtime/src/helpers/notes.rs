//! What docs/parity/helpers.md tells of each helper.

use super::body;
use crate::bodies::Body;

/// Helpers without a body, and why; whoever runs programs may bring a body of his own.
const WITHOUT: &[(&[u32], &str)] = &[(&[116], "there is no TCP to send an acknowledgement")];

/// Answers that say that something is not there, and what.
const NOT_THERE: &[(&[u32], &str)] = &[
    (&[13], "no interface to copy to (EINVAL)"),
    (&[79, 83, 129], "of the socket that the hook gives"),
    (&[17, 24, 151], "packets have no class or route (0)"),
    (&[20, 21, 29, 30], "what the program set in the same run; packets come through no tunnel"),
    (&[66], "packets were not deciphered (EINVAL)"),
    (&[56], "the counter that the hook gives, else EINVAL"),
    (&[73], "an IP header within the head room; segment routing is EINVAL, as without it"),
    (&[76], "no segment routing header (EBADMSG), nor encapsulation (EINVAL)"),
    (&[111, 121], "the record; packets by BTF are none, so their bytes cannot be appended"),
    (&[119], "no branches are recorded (ENOENT)"),
    (&[136, 137, 138, 139, 140, 178, 196], "no kernel structures of sockets (null)"),
    (&[141, 191], "of the event's own task; others are EOPNOTSUPP, EFAULT"),
    (&[147], "where the event's kernel has files, else EINVAL"),
    (&[149, 150], "with the kernel's BTF, else EINVAL"),
    (&[159], "0: nothing is executed here"),
    (&[161, 193], "EOPNOTSUPP, as without IMA"),
    (&[162], "null: files here are no sockets"),
    (&[166, 167, 168], "through the door of the test run, at most 4096 calls a run"),
    (&[22, 55], "no counters in perf event arrays (ENOENT)"),
    (&[33, 37], "arrays of control groups are empty (EAGAIN)"),
    (&[34], "an own hash of the flow: Linux's has a random key; a hash set to 0 counts as none"),
    (
        &[35, 158],
        "the synthetic kernel's in events; else an object with the members most looked at",
    ),
    (&[40, 135], "packets have no checksum of the network card"),
    (&[84, 85, 86, 99, 100, 110], NO_SOCKET),
    (&[46, 47, 49, 57, 59, 64, 95, 96, 98, 107, 108, 124, 128], HOOK_SOCKET),
    (
        &[52, 53, 60, 70, 71, 72, 82],
        "sockets that programs or hooks put into maps; the hook delivers",
    ),
    (&[61, 62, 63, 90, 91], "the message that the hook gives"),
    (&[101, 102, 103, 104], "the setting that the hook gives"),
    (&[142, 143, 144], "the segment that the hook gives"),
    (&[77, 78, 92], "signals go to the hook"),
    (&[204, 205, 206, 207], "cookies of a secret of ring3's own"),
    (&[50], "the interface is loopback"),
    (&[18, 31, 38, 43], "within the head and tail room of the buffer, else ENOMEM"),
    (&[69], "the routes that the user gives"),
    (&[74, 75], "no segment routing header (EINVAL)"),
    (&[122], "one network namespace, of cookie 1; Linux's first one has any number"),
    (&[81], "at the group that the hook is of"),
    (&[145, 146], "of inodes of ring3's own objects; the hook's are not told by their address"),
    (&[156, 157, 210, 211], "of this machine's tasks and groups, while the map lives"),
    (&[180], "what /proc tells of the task"),
    (&[153, 154], "of objects that programs allocate; the kernel's own variables are refused"),
    (&[169, 170, 171, 172], "on a thread of ring3's own"),
    (&[152, 155], "the verdict; who runs the program delivers"),
    (&[163], "only loopback is known, 65536 bytes (else ENODEV)"),
    (&[174], "0 outside events"),
    (&[186, 187], "of the call that a control group's program decides on"),
    (&[36, 58, 109, 117], "EPERM outside events"),
    (&[67], "the user stack of an event, by frame pointers; the kernel's is empty"),
    (&[173, 175], "0 outside events"),
    (&[176], "no branches are recorded (ENOENT, with flags too)"),
    (&[179], "no kernel symbols (ENOENT)"),
];
const HOOK_SOCKET: &str = "the socket that the hook gives";
const NO_SOCKET: &str = "the sockets that the user tells of";

fn of(id: u32, table: &[(&[u32], &'static str)]) -> Option<&'static str> {
    table.iter().find(|(ids, _)| ids.contains(&id)).map(|(_, why)| *why)
}

/// Whether a helper has a body, and what is to be said of it.
pub(crate) fn told(id: u32) -> Body {
    match body(id) {
        Some(_) => Body::Here(of(id, NOT_THERE).unwrap_or_default()),
        None => Body::Refused(of(id, WITHOUT).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_helper_without_a_body_has_its_reason() {
        for (ids, _) in WITHOUT {
            assert!(ids.iter().all(|id| body(*id).is_none()), "one of {ids:?} has a body");
        }
        for helper in uapi::HELPERS {
            assert!(told(helper.id) != Body::Refused(""), "{}", helper.name);
        }
    }
}
