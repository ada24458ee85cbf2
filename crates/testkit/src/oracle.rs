//! ring3 and the running kernel on the same object: verdict, message, test runs, map contents.

use ring3::load::{Fds, close, load};
use ring3::{Error, Object, ProgramSpec, Verifier};
use runtime::door::{Bpf, TestRun, TestRunOut};
use uapi::{Errno, ProgType};

use crate::verdicts::last_message;

/// Keys and values of a map.
pub type Elements = Vec<(Vec<u8>, Vec<u8>)>;

/// What one door makes of one program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// `None` for accepted.
    pub errno: Option<Errno>,
    /// Last message line of a rejection.
    pub message: String,
    /// One a packet, for types that both doors can test-run.
    pub runs: Vec<Result<Run, Errno>>,
    /// Contents of every map after the runs, by name: key and value bytes.
    pub maps: Vec<(String, Elements)>,
}

/// The verifier's own verdict, without a runtime behind it.
pub fn verdict(verifier: &Verifier, object: &Object, program: &ProgramSpec) -> Answer {
    let outcome = verifier.verdict(object, program, 0).outcome;
    let rejection = outcome.verdict.err();
    Answer {
        errno: rejection.as_ref().map(|r| r.errno),
        message: rejection.map_or(String::new(), |r| match r.needs {
            Some(feature) => format!("not modelled: {feature}"),
            None => r.message.trim_end().to_owned(),
        }),
        runs: Vec::new(),
        maps: Vec::new(),
    }
}

/// What a test run gave, the time aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// What the program returned.
    pub retval: u32,
    /// The packet afterwards.
    pub data_out: Vec<u8>,
}

/// Types whose test run takes a packet and means the same to both.
const RUNNABLE: &[ProgType] = &[ProgType::Xdp, ProgType::SchedCls, ProgType::SocketFilter];

/// Loads `program` of `object` behind `door` and runs it on each packet. The error is one that
/// has nothing to do with the program: no such program, a map that cannot be made.
pub fn ask(
    door: &dyn Bpf,
    object: &Object,
    program: &str,
    packets: &[Vec<u8>],
) -> Result<Answer, Error> {
    let fds = match load(door, object, Some(program)) {
        Ok(fds) => fds,
        Err(Error::Rejected(r)) => {
            let message = last_message(&r.log).unwrap_or(&r.message).to_owned();
            let (runs, maps) = (Vec::new(), Vec::new());
            return Ok(Answer { errno: Some(r.errno), message, runs, maps });
        }
        Err(other) => return Err(other),
    };
    let runs = runs(door, object, program, &fds, packets);
    let maps = contents(door, object, &fds);
    close(door, &fds);
    Ok(Answer { errno: None, message: String::new(), runs, maps })
}

fn runs(
    door: &dyn Bpf,
    object: &Object,
    program: &str,
    fds: &Fds,
    packets: &[Vec<u8>],
) -> Vec<Result<Run, Errno>> {
    let programs = &object.spec().programs;
    let found = programs.iter().zip(&fds.programs).find(|(p, _)| p.name == program);
    let Some((spec, Some(fd))) = found else { return Vec::new() };
    if !spec.prog_type.is_some_and(|t| RUNNABLE.contains(&t)) {
        return Vec::new();
    }
    let run = |packet: &Vec<u8>| {
        let data_out = Some(packet.len() as u32 + 256);
        let req = TestRun { data_in: Some(packet.clone()), data_out, ..TestRun::default() };
        door.test_run(*fd, &req).map(|TestRunOut { retval, data_out, .. }| Run { retval, data_out })
    };
    packets.iter().map(run).collect()
}

/// Keys come in different orders from different hash functions: sorted here.
fn contents(door: &dyn Bpf, object: &Object, fds: &Fds) -> Vec<(String, Elements)> {
    let mut all = Vec::new();
    for (map, &fd) in object.spec().maps.iter().zip(&fds.maps) {
        let mut rows = Vec::new();
        let mut key: Option<Vec<u8>> = None;
        let mut next = vec![0; map.def.key_size as usize];
        while door.map_next_key(fd, key.as_deref(), &mut next).is_ok() {
            let mut value = vec![0; door.user_value_size(&map.def)];
            if door.map_lookup(fd, &next, &mut value, 0).is_ok() {
                // Which CPU counted is chance; how much was counted is not.
                rows.push((next.clone(), fold_cpus(&map.def, value)));
            }
            key = Some(next.clone());
        }
        rows.sort();
        all.push((map.name.clone(), rows));
    }
    all
}

/// Sums the per-CPU copies of a value as 64-bit words; other values stay as they are.
fn fold_cpus(def: &uapi::MapDef, value: Vec<u8>) -> Vec<u8> {
    use uapi::MapType::{LruPercpuHash, PercpuArray, PercpuHash};
    if !matches!(def.map_type, PercpuArray | PercpuHash | LruPercpuHash) {
        return value;
    }
    let stride = (def.value_size as usize).next_multiple_of(8);
    let mut sums = vec![0u64; stride / 8];
    for copy in value.chunks_exact(stride) {
        for (sum, word) in sums.iter_mut().zip(copy.as_chunks::<8>().0) {
            *sum = sum.wrapping_add(u64::from_le_bytes(*word));
        }
    }
    sums.into_iter().flat_map(u64::to_le_bytes).collect()
}

/// Packets that exercise parsers: too short for a header, plain, TCP, UDP, IPv6, ARP, long.
pub fn packets() -> Vec<Vec<u8>> {
    let eth = |kind: u16| {
        let mut f = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
        f.extend(kind.to_be_bytes());
        f
    };
    let ipv4 = |proto: u8, source: [u8; 4], rest: &[u8]| {
        let mut f = eth(0x0800);
        let len = (20 + rest.len()) as u16;
        f.extend([0x45, 0]);
        f.extend(len.to_be_bytes());
        f.extend([0, 1, 0, 0, 64, proto, 0, 0]);
        f.extend(source);
        f.extend([192, 0, 2, 1]);
        f.extend(rest);
        f
    };
    let mut tcp = vec![0x30, 0x39, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0x20, 0, 0, 0, 0, 0];
    tcp.extend(b"GET / HTTP/1.1\r\n\r\n");
    let udp = [0x30, 0x39, 0, 53, 0, 16, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    let mut ipv6 = eth(0x86dd);
    ipv6.extend([0x60, 0, 0, 0, 0, 16, 17, 64]);
    ipv6.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    ipv6.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    ipv6.extend(udp);
    let mut arp = eth(0x0806);
    arp.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    arp.extend([0; 20]);
    let mut long = ipv4(17, [198, 51, 100, 7], &udp);
    long.resize(1500, 0xaa);
    vec![
        eth(0x0800),
        ipv4(6, [10, 0, 0, 1], &tcp),
        ipv4(17, [10, 0, 0, 2], &udp),
        ipv4(1, [203, 0, 113, 9], &[8, 0, 0xf7, 0xff, 0, 0, 0, 0]),
        ipv6,
        arp,
        long,
    ]
}

/// How two answers differ, a line each; nothing if they agree.
///
/// Contents of maps that hold ids of objects or times differ by nature.
pub fn differences(ours: &Answer, kernel: &Answer, ran: bool) -> Vec<String> {
    let verdict = |a: &Answer| match a.errno {
        None => "accepts".to_owned(),
        Some(errno) => format!("rejects with {errno}: {}", a.message),
    };
    if ours.errno != kernel.errno || ours.message != kernel.message {
        return vec![format!("ring3 {}; Linux {}", verdict(ours), verdict(kernel))];
    }
    let mut lines = Vec::new();
    if !ran {
        return lines;
    }
    for (at, (a, b)) in ours.runs.iter().zip(&kernel.runs).enumerate() {
        if a != b {
            lines.push(format!("run on packet {at}: ring3 {a:x?}; Linux {b:x?}"));
        }
    }
    for ((name, a), (_, b)) in ours.maps.iter().zip(&kernel.maps) {
        if a != b {
            lines.push(format!("map {name}: ring3 {a:x?}; Linux {b:x?}"));
        }
    }
    lines
}
