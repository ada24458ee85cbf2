//! Whatever bytes arrive, the answer is an error number and the others are served on.

mod common;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use common::{COUNT, map, runtime, xdp};
use daemon::{COMMANDS, Client, Server, VERSION, user_limits};
use runtime::Limits;
use runtime::door::{Bpf, Fd};
use uapi::MapType;

/// A small generator: xorshift.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        (0..self.below(most)).map(|_| self.next() as u8).collect()
    }
}

/// `RING3_HOSTILE_SECONDS`, otherwise two.
fn time() -> Duration {
    let seconds = std::env::var("RING3_HOSTILE_SECONDS").ok().and_then(|s| s.parse().ok());
    Duration::from_secs(seconds.unwrap_or(2))
}

fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = now.map_or(1, |d| d.as_nanos() as u64) | 1;
    println!("seed {seed}");
    seed
}

fn server() -> Server {
    Server::new(runtime(Limits { map_memory: 64 << 20, objects: 500, ..user_limits() }))
}

fn frame(payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u32).to_le_bytes(), payload].concat()
}

fn greeting() -> Vec<u8> {
    frame(&[&[5, 0, 0, 0][..], b"ring3", &VERSION.to_le_bytes()].concat())
}

/// The next frame; `None` if the connection ended.
fn answer(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).ok()?;
    let mut bytes = vec![0; u32::from_le_bytes(head) as usize];
    stream.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

/// A program, a map and a pin: something that commands can be about.
fn furnish(door: &dyn Bpf) {
    let counts = door.map_create(&map(MapType::Array, 1)).expect("a map");
    door.map_create(&map(MapType::Hash, 8)).expect("a map");
    door.prog_load(&xdp(COUNT, Some(counts))).expect("a program");
}

fn is_alive(server: &Server) {
    let (client, _) = common::connect(server);
    let made = client.map_create(&map(MapType::Array, 1)).expect("still serving");
    client.map_update(made, &[0; 4], &[1; 8], 0).expect("still serving");
}

#[test]
fn random_bytes_end_one_connection_at_most() {
    let (server, mut random, start) = (server(), Random(seed()), Instant::now());
    let mut count = 0;
    while start.elapsed() < time() {
        let (mut stream, thread) = common::raw(&server);
        if random.below(2) == 0 {
            stream.write_all(&greeting()).expect("sent");
        }
        // The other side may have hung up.
        let _ = stream.write_all(&random.bytes(300));
        drop(stream);
        assert_eq!(thread.join().ok(), Some(false), "a thread panicked");
        count += 1;
    }
    println!("{count} connections");
    is_alive(&server);
}

/// A command of the door, one of the daemon's own for memory, or none.
fn operation(random: &mut Random) -> u8 {
    match random.below(20) {
        0 => 250 + random.below(2) as u8,
        1 => random.next() as u8,
        _ => COMMANDS[random.below(COMMANDS.len() as u64) as usize].0,
    }
}

/// Arguments that are plausible at random places: small numbers, lengths with their bytes.
fn arguments(random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..random.below(14) {
        match random.below(8) {
            0 => out.extend([random.below(3) as u8]),
            1 => out.extend((random.below(9) as u32).to_le_bytes()),
            2 => out.extend(random.below(70).to_le_bytes()),
            3 => out.extend((random.next() as u32).to_le_bytes()),
            4 => {
                out.extend(4_u32.to_le_bytes());
                out.extend((random.below(9) as u32).to_le_bytes());
            }
            5 => {
                out.extend(8_u32.to_le_bytes());
                out.extend(random.next().to_le_bytes());
            }
            6 => {
                let path = ["/a", "/sys/fs/bpf/x", "/a/b", "", "test"][random.below(5) as usize];
                out.extend((path.len() as u32).to_le_bytes());
                out.extend(path.as_bytes());
            }
            _ => out.extend(random.bytes(40)),
        }
    }
    out
}

/// Requests that are right, as a client of ours sends them.
fn recorded() -> Vec<Vec<u8>> {
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    let (mut tap, far) = UnixStream::pair().expect("a socket pair");
    let server = server();
    let serving = std::thread::spawn(move || server.answer(far));
    let tapping = std::thread::spawn(move || {
        let (mut near, mut requests) = (theirs, Vec::new());
        while let Some(request) = answer(&mut near) {
            tap.write_all(&frame(&request)).expect("passed on");
            requests.push(request);
            near.write_all(&frame(&answer(&mut tap).expect("an answer"))).expect("passed back");
        }
        requests
    });
    let client = Client::new(ours).expect("a welcome");
    furnish(&client);
    let mut value = [0; 8];
    let _ = client.map_update(Fd(4), &[1; 4], &[2; 8], 0);
    let _ = client.map_lookup(Fd(4), &[1; 4], &mut value, 0);
    let _ = client.map_lookup_batch(Fd(4), None, 5, false, 0);
    let _ = client.obj_pin(Fd(4), "/a");
    let run = runtime::TestRun { data_in: Some(vec![0; 64]), repeat: 1, ..Default::default() };
    let _ = client.test_run(Fd(5), &run);
    drop(client);
    let mut requests = tapping.join().expect("requests");
    serving.join().expect("served");
    requests.remove(0);
    requests
}

#[test]
fn random_commands_get_answers() {
    let (server, mut random, start) = (server(), Random(seed()), Instant::now());
    let recorded = recorded();
    let test_run = COMMANDS.iter().find(|c| c.1 == "test_run").expect("a command").0;
    let (mut count, mut fine) = (0_u32, 0_u32);
    while start.elapsed() < time() {
        let (mut stream, thread) = common::raw(&server);
        stream.write_all(&greeting()).expect("sent");
        answer(&mut stream).expect("a welcome");
        for request in &recorded {
            stream.write_all(&frame(request)).expect("sent");
            answer(&mut stream).expect("an answer");
        }
        for _ in 0..500 {
            let mut request = if random.below(3) == 0 {
                let mut request = recorded[random.below(recorded.len() as u64) as usize].clone();
                for _ in 0..random.below(4) {
                    let at = random.below(request.len() as u64) as usize;
                    request[at] = [0, 1, 0xFF, random.next() as u8][random.below(4) as usize];
                }
                request
            } else {
                [vec![operation(&mut random)], arguments(&mut random)].concat()
            };
            if request[0] >= 252 || request[0] == test_run && request.len() > 60 {
                // Mounting and stopping are allowed, and so is asking for four thousand million runs.
                request[0] = 0;
            }
            stream.write_all(&frame(&request)).expect("sent");
            let answer = answer(&mut stream).expect("an answer");
            count += 1;
            match answer.first() {
                Some(1) => fine += 1,
                Some(0) => {
                    let errno = i32::from_le_bytes(*answer[1..].first_chunk().expect("a number"));
                    assert!((1..=4095).contains(&errno), "{errno} for {request:?}");
                }
                other => panic!("{other:?} for {request:?}"),
            }
        }
        drop(stream);
        assert_eq!(thread.join().ok(), Some(false), "a thread panicked");
    }
    println!("{count} commands, {fine} of them done");
    assert!(fine > count / 100, "nearly nothing was done: {fine} of {count}");
    is_alive(&server);
}

#[test]
fn a_frame_too_long_is_refused_before_it_is_read() {
    let server = server();
    let (mut stream, thread) = common::raw(&server);
    stream.write_all(&greeting()).expect("sent");
    answer(&mut stream).expect("a welcome");
    stream.write_all(&u32::MAX.to_le_bytes()).expect("sent");
    assert_eq!(answer(&mut stream).expect("an answer")[..5], [0, 7, 0, 0, 0]);
    assert_eq!(answer(&mut stream), None);
    assert_eq!(thread.join().ok(), Some(false));
}

#[test]
fn another_version_is_told_ours() {
    let (mut ours, theirs) = UnixStream::pair().expect("a socket pair");
    let old = std::thread::spawn(move || {
        let _greeting = answer(&mut ours).expect("a greeting");
        let numbers = [VERSION + 1, 4711, 0, 4].map(u32::to_le_bytes).concat();
        let welcome = [&[5, 0, 0, 0][..], b"ring3", &numbers].concat();
        ours.write_all(&frame(&welcome)).expect("sent");
    });
    let error = Client::new(theirs).err().expect("refused").to_string();
    assert!(error.contains("4711") && error.contains("ring3 daemon stop"), "{error}");
    old.join().expect("done");
}
