//! Names and addresses of a network's hosts.

use std::fmt::Write;
use std::net::Ipv4Addr;

use super::NetError;

/// Hosts of one network.
pub const MAX_HOSTS: usize = 32;
/// Longest name of a host.
const NAME_MAX: usize = 32;
/// Bits of the network's part of an address.
pub(super) const PREFIX: u8 = 24;

/// One host to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPlan {
    /// Its name, which resolves in the network.
    pub name: String,
    /// Index of its interface, the same in its namespace and for programs.
    pub ifindex: u32,
    /// Its address.
    pub ip: Ipv4Addr,
    /// Hardware address of its interface.
    pub mac: [u8; 6],
}

impl HostPlan {
    /// The host with this number, from 1 on.
    pub fn new(number: u8, name: &str, ifindex: u32) -> HostPlan {
        HostPlan {
            name: name.to_owned(),
            ifindex,
            ip: Ipv4Addr::new(10, 0, 0, number),
            mac: [2, 0, 10, 0, 0, number],
        }
    }
}

/// Refuses names that no host has, and twins.
pub(super) fn check(hosts: &[HostPlan]) -> Result<(), NetError> {
    if hosts.is_empty() || hosts.len() > MAX_HOSTS {
        let message = format!("a network of {} hosts: there are 1 to {MAX_HOSTS}", hosts.len());
        return Err(NetError::Unusable(message));
    }
    for (at, host) in hosts.iter().enumerate() {
        check_name(&host.name).map_err(NetError::Unusable)?;
        if hosts[..at].iter().any(|other| other.name == host.name) {
            return Err(NetError::Unusable(format!("two hosts called '{}'", host.name)));
        }
    }
    Ok(())
}

/// Why a text is no name of a host.
pub fn check_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let first = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    if name.len() > NAME_MAX || !first || !name.chars().all(plain) {
        return Err(format!(
            "'{name}' is no name here: letters, digits, - and _, at most {NAME_MAX}"
        ));
    }
    Ok(())
}

/// `/etc/hosts` of the network.
pub(super) fn names(hosts: &[HostPlan]) -> String {
    let mut text = String::from("127.0.0.1\tlocalhost\n");
    for host in hosts {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}\t{}", host.ip, host.name);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hosts_are_plain_and_once() {
        for bad in ["", "-a", "a b", "a/b", "ä", &"x".repeat(33)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        let host = |number, name| HostPlan::new(number, name, 2);
        assert!(check(&[host(1, "a"), host(2, "b-1")]).is_ok());
        assert!(check(&[host(1, "a"), host(2, "a")]).is_err());
        assert!(check(&[]).is_err());
    }

    #[test]
    fn names_resolve_to_addresses() {
        let text = names(&[HostPlan::new(1, "host", 2), HostPlan::new(2, "peer", 3)]);
        assert!(text.contains("10.0.0.2\tpeer\n"), "{text}");
    }
}
