//! `ring3 daemon`: the process that keeps objects between commands.

use std::fmt::Write;
use std::path::PathBuf;

use daemon::{Error, Found, Place, Status};
use ring3::Kernel;
use serde_json::json;

use crate::args::DaemonVerb;
use crate::failure::{Failure, REFUSED};
use crate::printer;

/// What to print, and the exit status.
pub(crate) fn daemon(verb: &DaemonVerb) -> Result<(String, u8), Failure> {
    let place = Place::of_user();
    match verb {
        DaemonVerb::Start => Ok((start(&place)?, 0)),
        DaemonVerb::Stop => match daemon::stop(&place) {
            Ok(()) => Ok((String::new(), 0)),
            Err(error) => Err(failure(error)),
        },
        DaemonVerb::Status { json: false } => {
            let status = daemon::status(&place).map_err(failure)?;
            Ok((plain(&status, &place), 0))
        }
        DaemonVerb::Status { json: true } => Ok(as_json(daemon::status(&place), &place)?),
        DaemonVerb::Serve { dir } => {
            let place = dir.as_ref().map_or(place, Place::at);
            let types = || Kernel::running().types().ok();
            daemon::serve(&place, types).map_err(failure)?;
            Ok((String::new(), 0))
        }
    }
}

/// A connection to the user's daemon, which is started if it is not running.
pub(crate) fn connect() -> Result<daemon::Client, Failure> {
    let found = daemon::connect_or_start(&Place::of_user(), &program()?).map_err(failure)?;
    if let Some(pid) = found.killed {
        printer::warnings(&(killed(pid) + "\n"));
    }
    Ok(found.client)
}

/// The same, if it is running.
pub(crate) fn running() -> Result<Option<daemon::Client>, Failure> {
    match daemon::status(&Place::of_user()) {
        Ok(_) => connect().map(Some),
        Err(Error::NotRunning | Error::Killed { .. }) => Ok(None),
        Err(error) => Err(failure(error)),
    }
}

fn start(place: &Place) -> Result<String, Failure> {
    let Found { client, started, killed: gone } =
        daemon::start(place, &program()?).map_err(failure)?;
    let mut text = gone.map_or_else(String::new, |pid| killed(pid) + "\n");
    let how = if started { "started" } else { "already running" };
    let _ = writeln!(text, "{how}: process {}", client.pid());
    Ok(text)
}

fn killed(pid: u32) -> String {
    format!(
        "the former daemon (process {pid}) was killed: its programs, maps and pins are gone, the \
         new one is empty"
    )
}

fn program() -> Result<PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|error| Failure::unusable(format!("where this program is: {error}")))
}

fn failure(error: Error) -> Failure {
    match error {
        Error::NotRunning | Error::Killed { .. } => Failure::refused(error),
        _ => Failure::unusable(error),
    }
}

fn plain(status: &Status, place: &Place) -> String {
    let Status { pid, uptime, clients, progs, maps, btfs, links, pins } = status;
    let socket = place.socket();
    format!(
        "running: process {pid}, {}, {}\n{}, {}, {}, {}, {}\n{}\n",
        count(uptime.as_secs(), "second"),
        count((*clients).into(), "connection"),
        count((*progs).into(), "program"),
        count((*maps).into(), "map"),
        count((*btfs).into(), "BTF object"),
        count((*links).into(), "link"),
        count((*pins).into(), "pin"),
        socket.display(),
    )
}

fn count(number: u64, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {what}{s}")
}

fn as_json(status: Result<Status, Error>, place: &Place) -> Result<(String, u8), Failure> {
    let socket = place.socket();
    let (document, exit) = match status {
        Ok(status) => {
            let Status { pid, uptime, clients, progs, maps, btfs, links, pins } = status;
            let document = json!({
                "running": true, "pid": pid, "uptime_s": uptime.as_secs(), "connections": clients,
                "progs": progs, "maps": maps, "btfs": btfs, "links": links, "pins": pins,
                "socket": socket,
            });
            (document, 0)
        }
        Err(error @ (Error::NotRunning | Error::Killed { .. })) => {
            let killed = if let Error::Killed { pid } = error { Some(pid) } else { None };
            (json!({ "running": false, "killed": killed, "socket": socket }), REFUSED)
        }
        Err(error) => return Err(failure(error)),
    };
    Ok((format!("{document}\n"), exit))
}
