//! The network around programs, as a JSON document tells of it: what `bpf_fib_lookup` and the
//! lookups of sockets find.
//!
//! `link`, `route` and `neigh` hold what `ip -j addr`, `ip -j route` (of any tables) and
//! `ip -j neigh` print; members that are not known here are passed over. `sockets` is a list of
//! `{"protocol": "tcp", "local": "192.0.2.1:80", "remote": "…", "state": "listen"}`.

use std::net::{IpAddr, SocketAddr};

use runtime::{Interface, Neighbour, Route, RouteKind, RouteTable, SocketInfo};
use serde_json::Value;

/// What is around.
#[derive(Debug, Default)]
pub struct Surroundings {
    pub(crate) routes: RouteTable,
    pub(crate) sockets: Vec<SocketInfo>,
}

/// Linux's numbers of the tables that have names.
const TABLES: [(&str, u32); 3] = [("default", 253), ("main", 254), ("local", 255)];
/// States of a route's neighbour in which its hardware address is not known.
const UNKNOWN: [&str; 2] = ["FAILED", "INCOMPLETE"];

impl Surroundings {
    /// Reads the document; the error says which entry is wrong, and how.
    pub fn parse(text: &str) -> Result<Surroundings, String> {
        let document: Value = serde_json::from_str(text).map_err(|why| why.to_string())?;
        let mut names = Vec::new();
        let mut routes = RouteTable::default();
        each(&document, "link", |link| {
            let interface = interface(link)?;
            names.push((text_of(link, "ifname")?.to_owned(), interface.ifindex));
            routes.interfaces.push(interface);
            Ok(())
        })?;
        let number = |name: &str| {
            let known = names.iter().find(|(known, _)| known == name);
            known.map(|(_, ifindex)| *ifindex).ok_or(format!("no interface {name} in link"))
        };
        each(&document, "route", |entry| {
            routes.routes.push(route(entry, &number)?);
            Ok(())
        })?;
        each(&document, "neigh", |entry| {
            routes.neighbours.extend(neighbour(entry, &number)?);
            Ok(())
        })?;
        let mut sockets = Vec::new();
        each(&document, "sockets", |entry| {
            sockets.push(socket(entry)?);
            Ok(())
        })?;
        Ok(Surroundings { routes, sockets })
    }
}

/// Every entry of the list `name`, if the document has it.
fn each(
    document: &Value,
    name: &str,
    mut take: impl FnMut(&Value) -> Result<(), String>,
) -> Result<(), String> {
    let Some(list) = document.get(name) else { return Ok(()) };
    let list = list.as_array().ok_or(format!("{name} is not a list"))?;
    for (n, entry) in list.iter().enumerate() {
        take(entry).map_err(|why| format!("{name}, entry {}: {why}", n + 1))?;
    }
    Ok(())
}

fn text_of<'v>(value: &'v Value, name: &str) -> Result<&'v str, String> {
    value.get(name).and_then(Value::as_str).ok_or(format!("no {name}"))
}

fn number_of(value: &Value, name: &str) -> u32 {
    let number = value.get(name).and_then(Value::as_u64);
    number.and_then(|number| u32::try_from(number).ok()).unwrap_or(0)
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("{text} is not an address"))
}

fn mac(text: &str) -> Result<[u8; 6], String> {
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        let part = parts.next().and_then(|part| u8::from_str_radix(part, 16).ok());
        *byte = part.ok_or(format!("{text} is not a hardware address"))?;
    }
    Ok(mac)
}

fn interface(link: &Value) -> Result<Interface, String> {
    let own = link.get("addr_info").and_then(Value::as_array);
    let own = own.into_iter().flatten().filter_map(|own| own.get("local")?.as_str());
    let forwarding = link.get("forwarding").and_then(Value::as_bool);
    Ok(Interface {
        ifindex: number_of(link, "ifindex"),
        mac: link.get("address").and_then(Value::as_str).map_or(Ok([0; 6]), mac)?,
        mtu: number_of(link, "mtu"),
        forwarding: forwarding.unwrap_or(true),
        addresses: own.map(address).collect::<Result<_, _>>()?,
    })
}

fn route(entry: &Value, number: &impl Fn(&str) -> Result<u32, String>) -> Result<Route, String> {
    let kind = match entry.get("type").and_then(Value::as_str) {
        None | Some("unicast") => RouteKind::Unicast,
        Some("local" | "broadcast" | "multicast" | "anycast") => RouteKind::Local,
        Some("blackhole") => RouteKind::Blackhole,
        Some("unreachable") => RouteKind::Unreachable,
        Some("prohibit") => RouteKind::Prohibit,
        Some(other) => return Err(format!("a route of type {other} is not known")),
    };
    let via = entry.get("gateway").or_else(|| entry.get("via").and_then(|via| via.get("host")));
    let via = via.and_then(Value::as_str).map(address).transpose()?;
    let source = entry.get("prefsrc").and_then(Value::as_str).map(address).transpose()?;
    let (to, bits) = prefix(text_of(entry, "dst")?, via.or(source))?;
    let table = match entry.get("table") {
        None => 254,
        Some(Value::String(name)) => {
            let known = TABLES.iter().find(|(known, _)| known == name).map(|(_, table)| *table);
            known.or(name.parse().ok()).ok_or(format!("table {name} is not known"))?
        }
        Some(_) => number_of(entry, "table"),
    };
    Ok(Route {
        kind,
        to,
        bits,
        via,
        ifindex: entry.get("dev").and_then(Value::as_str).map_or(Ok(0), number)?,
        source,
        metric: number_of(entry, "metric"),
        mtu: entry.get("metrics").and_then(|all| all.get(0)).map_or(0, |m| number_of(m, "mtu")),
        table,
    })
}

/// `default` is of the family of what else the route names.
fn prefix(text: &str, like: Option<IpAddr>) -> Result<(IpAddr, u8), String> {
    if text == "default" {
        let v6 = like.is_some_and(|like| like.is_ipv6());
        return Ok((address(if v6 { "::" } else { "0.0.0.0" })?, 0));
    }
    let (to, bits) = text.split_once('/').unwrap_or((text, ""));
    let to = address(to)?;
    let all = if to.is_ipv4() { 32 } else { 128 };
    let bits = if bits.is_empty() { Some(all) } else { bits.parse().ok() };
    let bits = bits.filter(|bits| *bits <= all).ok_or(format!("{text} is not a prefix"))?;
    Ok((to, bits))
}

fn neighbour(
    entry: &Value,
    number: &impl Fn(&str) -> Result<u32, String>,
) -> Result<Option<Neighbour>, String> {
    let states = entry.get("state").and_then(Value::as_array);
    let unknown = |state: &Value| state.as_str().is_some_and(|state| UNKNOWN.contains(&state));
    let lost = states.is_some_and(|states| states.iter().any(unknown));
    let Some(lladdr) = entry.get("lladdr").and_then(Value::as_str).filter(|_| !lost) else {
        return Ok(None);
    };
    Ok(Some(Neighbour {
        to: address(text_of(entry, "dst")?)?,
        ifindex: number(text_of(entry, "dev")?)?,
        mac: mac(lladdr)?,
    }))
}

fn socket(entry: &Value) -> Result<SocketInfo, String> {
    /// `SOCK_STREAM`, `SOCK_DGRAM`; TCP, UDP; states of TCP.
    const STREAM: u32 = 1;
    const DATAGRAM: u32 = 2;
    const ESTABLISHED: u32 = 1;
    const CLOSE: u32 = 7;
    const LISTEN: u32 = 10;
    let end = |name: &str| -> Result<Option<SocketAddr>, String> {
        let Some(text) = entry.get(name).and_then(Value::as_str) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| format!("{text} is not an address and port"))
    };
    let local = end("local")?.ok_or("no local")?;
    let remote = end("remote")?;
    let (kind, protocol) = match text_of(entry, "protocol")? {
        "tcp" => (STREAM, 6),
        "udp" => (DATAGRAM, 17),
        other => return Err(format!("protocol {other} is not tcp or udp")),
    };
    let state = match entry.get("state").and_then(Value::as_str) {
        Some("listen") => LISTEN,
        Some("established") => ESTABLISHED,
        Some("close") => CLOSE,
        Some(other) => return Err(format!("state {other} is not listen, established or close")),
        None if protocol == 17 => CLOSE,
        None if remote.is_some() => ESTABLISHED,
        None => LISTEN,
    };
    let mut info = SocketInfo { kind, protocol, state, ..SocketInfo::default() };
    info.family = if local.is_ipv4() { 2 } else { 10 };
    info.src_port = local.port().into();
    (info.src_ip4, info.src_ip6) = words(local.ip());
    if let Some(remote) = remote {
        info.dst_port = remote.port().to_be();
        (info.dst_ip4, info.dst_ip6) = words(remote.ip());
    }
    info.uid = number_of(entry, "uid");
    info.mark = number_of(entry, "mark");
    Ok(info)
}

/// In network byte order.
fn words(address: IpAddr) -> (u32, [u32; 4]) {
    match address {
        IpAddr::V4(address) => (u32::from_ne_bytes(address.octets()), [0; 4]),
        IpAddr::V6(address) => {
            let octets = address.octets();
            let word = |n: usize| std::array::from_fn(|byte| octets[4 * n + byte]);
            (0, std::array::from_fn(|n| u32::from_ne_bytes(word(n))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ip_prints_is_read() {
        let around = Surroundings::parse(
            r#"{
              "link": [{"ifindex": 2, "ifname": "eth0", "mtu": 1500, "address": "02:00:00:00:00:05",
                        "addr_info": [{"family": "inet", "local": "192.0.2.2", "prefixlen": 24}]}],
              "route": [{"dst": "default", "gateway": "192.0.2.1", "dev": "eth0", "flags": []},
                        {"type": "blackhole", "dst": "198.51.100.0/24", "table": "100", "metric": 7}],
              "neigh": [{"dst": "192.0.2.1", "dev": "eth0", "lladdr": "02:fc:00:00:00:05",
                         "state": ["STALE"]},
                        {"dst": "fd00::1", "dev": "eth0", "state": ["FAILED"]}],
              "sockets": [{"protocol": "tcp", "local": "192.0.2.2:80"},
                          {"protocol": "udp", "local": "[::]:53", "remote": "[fd00::9]:1000"}]
            }"#,
        );
        let around = around.expect("a document");
        let [way, hole] = &around.routes.routes[..] else { panic!("two routes") };
        assert_eq!((way.bits, way.ifindex, way.table), (0, 2, 254));
        assert_eq!(way.via, "192.0.2.1".parse().ok());
        assert_eq!((hole.kind, hole.bits, hole.table), (RouteKind::Blackhole, 24, 100));
        assert_eq!(around.routes.neighbours.len(), 1);
        assert_eq!(around.routes.neighbours[0].mac, [2, 0xfc, 0, 0, 0, 5]);
        let [tcp, udp] = &around.sockets[..] else { panic!("two sockets") };
        assert_eq!((tcp.state, tcp.src_port, tcp.src_ip4.to_ne_bytes()), (10, 80, [192, 0, 2, 2]));
        assert_eq!(
            (udp.family, udp.dst_port, udp.dst_ip6[0].to_ne_bytes()),
            (10, 1000_u16.to_be(), [0xfd, 0, 0, 0])
        );
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let why = |text: &str| Surroundings::parse(text).expect_err("a mistake");
        let link = r#"{"link": [{"ifname": "a", "ifindex": 1, "mtu": 9}], "route": "#;
        assert_eq!(
            why(&format!("{link}[{{\"dst\": \"1.2.3.4/40\"}}]}}")),
            "route, entry 1: 1.2.3.4/40 is not a prefix"
        );
        assert_eq!(
            why(&format!("{link}[{{\"dst\": \"default\", \"dev\": \"b\"}}]}}")),
            "route, entry 1: no interface b in link"
        );
        assert_eq!(
            why(r#"{"sockets": [{"local": "1.2.3.4"}]}"#),
            "sockets, entry 1: 1.2.3.4 is not an address and port"
        );
    }
}
