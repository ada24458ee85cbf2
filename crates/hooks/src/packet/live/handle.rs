//! A network as its user has it: started, commands run in it, ended.

use std::ffi::OsString;
use std::io::{self, PipeWriter};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use runtime::{Device, Hooks};

use super::NetError;
use super::engine::{Engine, Report};
use super::network::Network;
use super::plan::HostPlan;
use super::points::Capture;
use super::sys::holder::FIRST_NETNS_FD;
use super::sys::packet;
use super::sys::spawn::{self, Enter, Failed, Image, Running};
use crate::process::Command;

/// A running network; it ends when this is dropped.
pub struct LiveNet {
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<Result<Report, NetError>>>,
    place: Place,
    hosts: Vec<String>,
}

/// Where a network's namespaces are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The process that holds them.
    pub pid: i32,
    /// They belong to a user namespace of their own.
    pub own_users: bool,
}

impl LiveNet {
    /// Makes hosts and carries their frames; each host's interface is one of the runtime's.
    pub fn start(
        hosts: &[(HostPlan, Arc<Device>)],
        hooks: Hooks,
        capture: Option<Capture>,
    ) -> Result<LiveNet, NetError> {
        let (plans, devices): (Vec<_>, Vec<_>) = hosts.iter().cloned().unzip();
        let names = plans.iter().map(|plan| plan.name.clone()).collect();
        let fail = NetError::system("a network's thread");
        let (stopped, stop) = io::pipe().map_err(&fail)?;
        let (tell, told) = sync_channel(1);
        // The namespaces end with this thread.
        let work = move || {
            let Some((engine, network)) = begin(&plans, &devices, hooks, capture, &tell) else {
                return Ok(Report::default());
            };
            let report = engine.run(stopped.as_fd());
            drop(network);
            report
        };
        let thread = std::thread::Builder::new().name("network".into()).spawn(work);
        let thread = Some(thread.map_err(&fail)?);
        let place = told.recv().map_err(|_| fail(io::ErrorKind::UnexpectedEof.into()))??;
        Ok(LiveNet { stop: Some(stop), thread, place, hosts: names })
    }

    /// Where its namespaces are found.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Starts a command in a host.
    pub fn spawn(&self, host: &str, command: &Command) -> Result<Child, NetError> {
        let index = self.hosts.iter().position(|name| name == host);
        let index = index.ok_or_else(|| {
            let known = self.hosts.join(", ");
            NetError::Unusable(format!("there is no host '{host}'; there are {known}"))
        })?;
        self.place.spawn(index, command)
    }

    /// Ends it: all commands in it are killed.
    pub fn end(mut self) -> Result<Report, NetError> {
        self.join()
    }

    fn join(&mut self) -> Result<Report, NetError> {
        self.stop = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(report)) => report,
            // A panic there has been printed.
            Some(Err(_)) => Err(NetError::system("carrying frames")(io::ErrorKind::Other.into())),
            None => Ok(Report::default()),
        }
    }
}

impl Drop for LiveNet {
    fn drop(&mut self) {
        // Whoever wants the report has asked for it.
        let _ = self.join();
    }
}

fn begin(
    plans: &[HostPlan],
    devices: &[Arc<Device>],
    hooks: Hooks,
    capture: Option<Capture>,
    tell: &SyncSender<Result<Place, NetError>>,
) -> Option<(Engine, Network)> {
    let made = Network::new(plans).and_then(|mut network| {
        let engine = Engine::new(&mut network, devices, hooks, capture)?;
        Ok((engine, network))
    });
    let (answer, made) = match made {
        Ok((engine, network)) => {
            let (pid, own_users) = (network.holder.pid, network.holder.own_users);
            (Ok(Place { pid, own_users }), Some((engine, network)))
        }
        Err(error) => (Err(error), None),
    };
    // Who asked waits for it.
    let _ = tell.send(answer);
    made
}

impl Place {
    /// Starts a command in the host with this number, from 0 on.
    pub fn spawn(&self, host: usize, command: &Command) -> Result<Child, NetError> {
        let fail = NetError::system("the network's namespaces");
        let mut namespaces = spawn::namespaces(self.pid, self.own_users).map_err(&fail)?;
        let netns = format!("/proc/{}/fd/{}", self.pid, FIRST_NETNS_FD + host as i32);
        let netns = std::fs::File::open(netns).map_err(&fail)?;
        namespaces.push(OwnedFd::from(netns));
        let name = || command.argv.first().map_or(String::new(), |name| name.display().to_string());
        let image = image(command)?;
        match spawn::spawn(&image, &Enter { namespaces: &namespaces }) {
            Ok(running) => Ok(Child { running }),
            Err(Failed::Enter(source)) => {
                Err(NetError::System { what: "entering the network's namespaces", source })
            }
            Err(Failed::Exec(error)) => {
                let status = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
                Err(NetError::Command { command: name(), why: error.to_string(), status })
            }
            Err(Failed::Fork(source)) => Err(NetError::System { what: "a process", source }),
        }
    }
}

/// The command as it is run.
fn image(command: &Command) -> Result<Image, NetError> {
    let image = command.image().map_err(|error| match error {
        crate::process::HookError::Command { command, why, status } => {
            NetError::Command { command, why, status }
        }
        other => NetError::Unusable(other.to_string()),
    })?;
    let folder: OsString = std::env::current_dir().map_or_else(|_| "/".into(), Into::into);
    let folder = std::ffi::CString::new(folder.as_bytes()).unwrap_or_default();
    Ok(Image { path: image.path, argv: image.argv, env: image.env, folder })
}

/// A command in a host.
pub struct Child {
    running: Running,
}

impl Child {
    /// Its end as a shell tells it: the status, or 128 and the signal's number.
    pub fn wait(self) -> Result<u8, NetError> {
        self.running.wait().map_err(NetError::system("waiting for the command"))
    }

    /// Waits at most so many milliseconds; its end if it has come.
    pub fn wait_for(&self, millis: i32) -> Result<Option<u8>, NetError> {
        let fail = NetError::system("waiting for the command");
        let watch = self.running.watch().map_err(&fail)?;
        packet::wait(&[watch.as_fd()], millis).map_err(&fail)?;
        self.running.ended().map_err(&fail)
    }

    /// Ends it.
    pub fn kill(&self) {
        self.running.kill();
    }
}
