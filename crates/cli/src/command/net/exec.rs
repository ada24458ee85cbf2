//! `ring3 net exec HOST -- COMMAND`: a command in a host of a network that the daemon keeps.

use std::ffi::OsString;

use ring3::net::{self, Bpf, Command};

use crate::failure::Failure;

const USAGE: &str = "Usage: ring3 net exec HOST -- COMMAND [ARGUMENT]...";

/// Runs it; its exit status.
pub(crate) fn exec(words: &[OsString]) -> Result<u8, Failure> {
    let Some((host, rest)) = words.split_first() else {
        return Err(Failure::unusable(format!("net exec: no host\n{USAGE}")));
    };
    let argv = match rest.split_first() {
        Some((dashes, command)) if dashes == "--" => command,
        _ => rest,
    };
    if argv.is_empty() {
        return Err(Failure::unusable(format!("net exec: no command\n{USAGE}")));
    }
    let host = host.to_string_lossy();
    // Without a daemon there are no networks: none is started for the question.
    let nets = match super::super::daemon::running()? {
        Some(client) => client.nets().map_err(|errno| Failure::unusable(errno.to_string()))?,
        None => Vec::new(),
    };
    net::leave_signals();
    let child = net::spawn_in(&nets, &host, &Command { argv: argv.to_vec() })?;
    Ok(child.wait()?)
}
