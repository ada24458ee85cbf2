//! `net up`, `net down`: networks of hosts in namespaces of the user's.

use std::path::Path;

use runtime::door::{NetInfo, NetUp};

use crate::answer::{Answer, Done};
use crate::fail::{Fail, strerror};
use crate::session::Ctx;
use crate::words::Words;

/// Hosts of a network that names none.
const HOSTS: [&str; 2] = ["host", "peer"];

/// `net up NAME [HOST...] [--write FILE [--at POINTS]]`.
pub(crate) fn up(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    words.need(1)?;
    let mut req = NetUp { name: words.take()?.to_owned(), ..NetUp::default() };
    while let Some(word) = words.next() {
        match word {
            "write" | "--write" => {
                words.need(1)?;
                let file = words.take()?;
                let path = std::path::absolute(Path::new(file));
                let path = path.ok().and_then(|path| path.into_os_string().into_string().ok());
                req.write = Some(path.ok_or_else(|| Fail::new(format!("can't write {file}")))?);
            }
            "at" | "--at" => {
                words.need(1)?;
                req.points = words.take()?.to_owned();
            }
            host => req.hosts.push(host.to_owned()),
        }
    }
    if req.hosts.is_empty() {
        req.hosts = HOSTS.map(str::to_owned).to_vec();
    }
    let done = ctx.door()?.net_up(&req);
    done.map_err(|refused| {
        let why = match refused.message.is_empty() {
            true => strerror(refused.errno),
            false => refused.message.clone(),
        };
        Fail::new(format!("can't bring up {}: {why}", req.name))
    })?;
    Ok(Answer::null())
}

/// `net down NAME`.
pub(crate) fn down(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    words.need(1)?;
    let name = words.take()?;
    words.end()?;
    let done = ctx.door()?.net_down(name);
    done.map_err(|errno| match errno {
        uapi::Errno::ENOENT => Fail::new(format!("there is no network '{name}'")),
        errno => Fail::of(format!("can't take down {name}"), errno),
    })?;
    Ok(Answer::null())
}

/// `net exec` is carried out where a command can be waited for; here it lacks its first words.
pub(crate) fn exec(_: &Ctx<'_>, _: Words<'_>) -> Done {
    Err(Fail::new("write it as: ring3 net exec HOST -- COMMAND, options behind"))
}

/// `NAME: HOST ADDRESS MAC (INTERFACE), ...` of each network.
pub(super) fn text(nets: &[NetInfo]) -> String {
    let mut text = String::new();
    for net in nets {
        text += &format!("{} process {}\n", net.name, net.pid);
        for host in &net.hosts {
            let (name, address, mac) = (&host.name, &host.address, &host.mac);
            text += &format!("\t{name} {address} {mac} {name}/eth0({})\n", host.ifindex);
        }
    }
    text
}
