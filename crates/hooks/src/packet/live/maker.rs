//! Networks for a runtime's door.

use std::path::Path;
use std::sync::Arc;

use runtime::door::{NetHost, NetInfo, NetRefused, NetUp};
use runtime::{Device, Hooks, NetMaker, RunningNet};
use uapi::Errno;

use super::plan::{self, HostPlan};
use super::points::{Capture, Points};
use super::{LiveNet, NetError};
use crate::packet::AnnotatedWriter;

/// What makes networks for the door of a runtime.
pub fn net_maker() -> NetMaker {
    Arc::new(|req, devices, hooks| {
        let net = make(req, devices, hooks).map_err(|error| refused(&error))?;
        Ok(Box::new(net))
    })
}

struct Named {
    info: NetInfo,
    /// Ends with this.
    _net: LiveNet,
}

impl RunningNet for Named {
    fn info(&self) -> NetInfo {
        self.info.clone()
    }
}

fn make(req: &NetUp, devices: &[Arc<Device>], hooks: Hooks) -> Result<Named, NetError> {
    plan::check_name(&req.name).map_err(NetError::Unusable)?;
    let plan = |(at, (name, device)): (usize, (&String, &Arc<Device>))| {
        (HostPlan::new(at as u8 + 1, name, device.ifindex), device.clone())
    };
    let hosts: Vec<_> = req.hosts.iter().zip(devices).enumerate().map(plan).collect();
    let told = |(host, _): &(HostPlan, Arc<Device>)| NetHost {
        name: host.name.clone(),
        ifindex: host.ifindex,
        address: host.ip.to_string(),
        mac: host.mac.map(|byte| format!("{byte:02x}")).join(":"),
    };
    let capture = match &req.write {
        Some(file) => Some(capture(Path::new(file), &req.points)?),
        None => None,
    };
    let net = LiveNet::start(&hosts, hooks, capture)?;
    let place = net.place();
    let info = NetInfo {
        name: req.name.clone(),
        pid: place.pid as u32,
        own_users: place.own_users,
        hosts: hosts.iter().map(told).collect(),
    };
    Ok(Named { info, _net: net })
}

/// A capture of the points in a list, all of them if it is empty.
pub fn capture(file: &Path, points: &str) -> Result<Capture, NetError> {
    let points = match points {
        "" => Points::ALL,
        list => Points::parse(list).map_err(NetError::Unusable)?,
    };
    Ok(Capture::new(AnnotatedWriter::create(file)?, points))
}

fn refused(error: &NetError) -> NetRefused {
    let errno = match error {
        NetError::NoNamespaces { source }
        | NetError::System { source, .. }
        | NetError::Host { source, .. } => Errno(source.raw_os_error().unwrap_or(Errno::EIO.0)),
        NetError::Device { errno, .. } => *errno,
        _ => Errno::EINVAL,
    };
    NetRefused::because(errno, error.to_string())
}
