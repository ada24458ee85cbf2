//! Maps' memory on both sides of the socket.

mod common;

use std::fs;

use common::{connect, map, runtime, xdp};
use daemon::{Client, Server};
use runtime::Limits;
use runtime::door::{Bpf, Fd, MapCreate, Outside, SocketKind, TestRun};
use uapi::{Errno, MapDef, MapType, map_flags};

const PAGE: usize = 4096;

fn mappable(map_type: MapType, flags: u32) -> MapCreate {
    let mut req = map(map_type, 1024);
    req.def.flags = map_flags::MMAPABLE | flags;
    req
}

fn ring() -> MapCreate {
    MapDef::new(MapType::Ringbuf, 0, 0, PAGE as u32).into()
}

fn server() -> Server {
    Server::new(runtime(Limits::default()))
}

/// What each kind of map answers to each range.
fn answers(door: &dyn Bpf) -> Vec<String> {
    let requests = [
        mappable(MapType::Array, 0),
        mappable(MapType::Array, map_flags::RDONLY_PROG),
        mappable(MapType::Array, map_flags::RDONLY),
        map(MapType::Array, 1024),
        map(MapType::Hash, 8),
        ring(),
    ];
    let mut said = Vec::new();
    for request in &requests {
        let fd = door.map_create(request).expect("a map");
        for (offset, pages) in [(0, 1), (0, 2), (0, 4), (1, 1), (1, 2), (3, 1), (2, 0), (9, 9)] {
            for write in [false, true] {
                let mapped =
                    door.map_mmap(fd, (offset * PAGE) as u64, pages * PAGE, write).map(|m| m.len());
                said.push(format!("{:?} {offset} {pages} {write}: {mapped:?}", request.def));
            }
        }
        for from in [1, u64::MAX - 4095] {
            said.push(format!("{from}: {:?}", door.map_mmap(fd, from, PAGE, false).err()));
        }
    }
    for fd in [-1, 99] {
        said.push(format!("{fd}: {:?}", door.map_mmap(Fd(fd), 0, PAGE, false).err()));
    }
    said
}

#[test]
fn answers_are_those_of_direct_calls() {
    let (client, _) = connect(&server());
    let direct = answers(&runtime(Limits::default()));
    assert_eq!(answers(&client), direct);
    let fine = direct.iter().filter(|line| line.contains("Ok(")).count();
    assert!(fine > 15 && fine < direct.len() / 2, "{direct:#?}");
}

/// Adds one to element 0 of the map.
const COUNT: &str = common::COUNT;

#[test]
fn both_sides_see_what_is_written() {
    let (client, _) = connect(&server());
    let fd = client.map_create(&mappable(MapType::Array, 0)).expect("a map");
    let memory = client.map_mmap(fd, 0, 8 * 1024, true).expect("mapped");
    memory.write(8, &7_u64.to_le_bytes()).expect("written");
    let mut value = [0; 8];
    client.map_lookup(fd, &1_u32.to_le_bytes(), &mut value, 0).expect("the element");
    assert_eq!(u64::from_le_bytes(value), 7);
    let prog = client.prog_load(&xdp(COUNT, Some(fd))).expect("a program").fd;
    let run = TestRun { data_in: Some(vec![0; 64]), repeat: 5, ..TestRun::default() };
    client.test_run(prog, &run).expect("a run");
    memory.read(0, &mut value).expect("the counter");
    assert_eq!(u64::from_le_bytes(value), 5);

    // What is read only stays that.
    let seen = client.map_mmap(fd, 0, PAGE, false).expect("mapped");
    assert_eq!(seen.write(0, &[1]), Err(Errno::EFAULT));
}

#[test]
fn a_map_is_frozen_when_nobody_writes_its_memory_any_more() {
    let server = server();
    let (client, _) = connect(&server);
    let (other, _) = connect(&server);
    let fd = client.map_create(&mappable(MapType::Array, 0)).expect("a map");
    client.obj_pin(fd, "/m").expect("pinned");
    let first = client.map_mmap(fd, 0, PAGE, true).expect("mapped");
    let there = other.obj_get("/m", 0).expect("opened");
    let second = other.map_mmap(there, 0, PAGE, true).expect("mapped");
    assert_eq!(client.map_freeze(fd), Err(Errno::EBUSY));
    drop(first);
    assert_eq!(client.map_freeze(fd), Err(Errno::EBUSY));
    drop(second);
    assert_eq!(client.map_freeze(fd), Ok(()));
}

#[test]
fn a_client_that_dies_has_nothing_mapped() {
    let server = server();
    let (client, _) = connect(&server);
    let fd = client.map_create(&mappable(MapType::Array, 0)).expect("a map");
    client.obj_pin(fd, "/m").expect("pinned");
    let (stream, thread) = common::raw(&server);
    let hand = stream.try_clone().expect("a second hand on the socket");
    let dying = Client::new(stream).expect("a welcome");
    let there = dying.obj_get("/m", 0).expect("opened");
    let memory = dying.map_mmap(there, 0, PAGE, true).expect("mapped");
    assert_eq!(client.map_freeze(fd), Err(Errno::EBUSY));
    hand.shutdown(std::net::Shutdown::Both).expect("hung up");
    thread.join().expect("ended");
    assert_eq!(client.map_freeze(fd), Ok(()));
    assert_eq!(client.map_mmap(fd, 0, PAGE, true).err(), Some(Errno::EPERM));
    drop(memory);
}

#[test]
fn files_go_with_what_they_are_for() {
    let (client, thread) = connect(&server());
    let count = || fs::read_dir("/proc/self/fd").expect("descriptors").count();
    let memfds = || {
        let names = fs::read_dir("/proc/self/fd").expect("descriptors");
        let names = names.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
        names.filter(|name| name.to_string_lossy().contains("memfd:bpf-map")).count()
    };
    let before = count();
    for _ in 0..200 {
        let fd = client.map_create(&ring()).expect("a map");
        let data = client.map_mmap(fd, PAGE as u64, 3 * PAGE, false).expect("mapped");
        let consumer = client.map_mmap(fd, 0, PAGE, true).expect("mapped");
        consumer.write(0, &[0; 8]).expect("written");
        data.read(0, &mut [0; 8]).expect("read");
        client.close(fd).expect("closed");
    }
    // Other tests of this file run beside this one and hold a few.
    assert!(count() < before + 100, "{before} descriptors became {}, {}", count(), memfds());
    drop(client);
    thread.join().expect("ended");
}

#[test]
fn sockets_and_groups_are_opened_there() {
    let (client, _) = connect(&server());
    let socket = client.open_outside(&Outside::Socket(SocketKind::TcpListening)).expect("opened");
    let mut req = map(MapType::ReuseportSockarray, 4);
    req.def.name = String::new();
    let sockets = client.map_create(&req).expect("a map");
    let udp = client.open_outside(&Outside::Socket(SocketKind::UdpReuseport)).expect("opened");
    let value = |fd: Fd| (fd.0 as u64).to_le_bytes();
    assert_ne!(client.map_update(sockets, &[0; 4], &value(Fd(99)), 0), Ok(()));
    assert_eq!(client.map_update(sockets, &[0; 4], &value(udp), 0), Ok(()));
    assert_eq!(client.open_outside(&Outside::Task(0)), Err(Errno::ESRCH));
    assert_eq!(client.open_outside(&Outside::File("/none".into())), Err(Errno::ENOENT));
    client.close(socket).expect("closed");
}
