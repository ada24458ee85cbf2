//! Another user who reaches the socket is told EPERM and nothing else.

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::process::Command;

use common::runtime;
use daemon::Server;
use runtime::Limits;

/// Connects, greets, and prints the answer.
const STRANGER: &str = "
import socket, struct, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
hello = struct.pack('<I5sI', 5, b'ring3', 1)
try:
    s.sendall(struct.pack('<I', len(hello)) + hello)
except OSError:
    pass
data = b''
while True:
    try:
        part = s.recv(4096)
    except ConnectionResetError:
        break
    if not part:
        break
    data += part
length, magic, version, pid, refused, cpus = struct.unpack('<I4x5sIIiI', data)
print(magic.decode(), refused)
";

#[test]
fn another_user_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("opened");
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).expect("a socket");
    fs::set_permissions(&path, Permissions::from_mode(0o777)).expect("opened");
    let server = Server::new(runtime(Limits::default()));
    std::thread::spawn(move || server.serve(&listener));
    let mut command = Command::new("python3");
    command.args(["-c", STRANGER]).arg(&path).uid(65534);
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("skipped: python3 as another user: {error}");
            return;
        }
    };
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said, "ring3 1\n", "{}", String::from_utf8_lossy(&output.stderr));
}
