//! What a command through the socket costs, next to the direct call: medians in nanoseconds.

use std::os::unix::net::UnixStream;
use std::time::Instant;

use daemon::{Client, Server};
use runtime::Runtime;
use runtime::door::{Bpf, MapCreate};
use uapi::{MapDef, MapType};

const CALLS: usize = 20_000;

/// Median and 99th percentile of updates of one element.
fn updates(door: &dyn Bpf) -> Result<(u128, u128), Box<dyn std::error::Error>> {
    let map = door.map_create(&MapCreate::from(MapDef::new(MapType::Hash, 4, 8, 1024)))?;
    let mut times = Vec::with_capacity(CALLS);
    for call in 0..CALLS as u32 {
        let start = Instant::now();
        door.map_update(map, &(call % 1024).to_ne_bytes(), &[1; 8], 0)?;
        times.push(start.elapsed().as_nanos());
    }
    times.sort_unstable();
    Ok((times[CALLS / 2], times[CALLS * 99 / 100]))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (ours, theirs) = UnixStream::pair()?;
    let server = Server::new(Runtime::default());
    std::thread::spawn(move || server.answer(theirs));
    let client = Client::new(ours)?;
    for (name, door) in [("direct", &Runtime::default() as &dyn Bpf), ("socket", &client)] {
        let (median, p99) = updates(door)?;
        println!("map update, {name}: median {median} ns, 99 % below {p99} ns");
    }
    Ok(())
}
