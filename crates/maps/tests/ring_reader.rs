//! A ring buffer's pages read by another process, by the layout that Linux documents.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::Command;

use maps::{Env, Map, Mapping, Part, Perms, View};
use uapi::{MapDef, MapType};

const SIZE: u64 = 4096;
const PAGE: u64 = 4096;
/// Told to the other process: the files, one of the consumer's position, one of the rest.
const FILES: &str = "RING3_TEST_RING";

fn word(pages: &Mapping, at: u64) -> u64 {
    let mut bytes = [0; 8];
    pages.read(at as usize, &mut bytes).unwrap();
    u64::from_ne_bytes(bytes)
}

/// The reader: the consumer's page, for writing, then the producer's and the data twice.
fn read_all(consumer: &str, rest: &str) {
    let consumer = File::options().read(true).write(true).open(consumer).unwrap();
    let consumer = Mapping::file(&consumer, 0, PAGE as usize, true).unwrap();
    let part = |at: u64, len: u64, file_off: u64| Part {
        at,
        len,
        file: File::open(rest).unwrap().into(),
        file_off,
    };
    let parts = [part(0, PAGE + SIZE, 0), part(PAGE + SIZE, SIZE, PAGE)];
    let pages = Mapping::parts(&parts, 0, (PAGE + 2 * SIZE) as usize, false, None).unwrap();
    let mut position = word(&consumer, 0);
    while position < word(&pages, 0) {
        let at = PAGE + (position & (SIZE - 1));
        let header = word(&pages, at) as u32;
        if header >> 31 == 1 {
            println!("busy");
            break;
        }
        let len = header & 0x3fff_ffff;
        if header >> 30 & 1 == 0 {
            let mut data = vec![0; len as usize];
            pages.read(at as usize + 8, &mut data).unwrap();
            println!(
                "record {len} {}",
                data.iter().map(|b| format!("{b:02x}")).collect::<String>()
            );
        }
        position += u64::from(len.next_multiple_of(8)) + 8;
        consumer.write(0, &position.to_ne_bytes()).unwrap();
    }
}

#[test]
fn another_process_reads_the_pages() {
    if let Ok(files) = std::env::var(FILES) {
        let (consumer, rest) = files.split_once(' ').unwrap();
        return read_all(consumer, rest);
    }
    let def = MapDef::new(MapType::Ringbuf, 0, 0, SIZE as u32);
    let map = Map::create(&def, &Env::new(1, 1)).unwrap();
    let ring = map.ops().ringbuf().unwrap();
    let parts = map.memory(Perms { read: true, write: true }).unwrap();
    assert_eq!((parts[0].at, parts[0].len), (0, PAGE));
    assert_eq!((parts[1].at, parts[1].len), (PAGE, PAGE + SIZE));
    let path = |part: &Part| format!("/proc/{}/fd/{}", std::process::id(), part.file.as_raw_fd());
    let files = format!("{} {}", path(&parts[0]), path(&parts[1]));
    let mut written = 0_u64;
    // Often enough that records lie across the end of the data.
    for round in 0..12_u8 {
        let mut want = Vec::new();
        for n in 0..7_u8 {
            let len = 1 + usize::from(n) * 19 + usize::from(round);
            let data: Vec<u8> = (0..len).map(|i| (i as u8).wrapping_mul(7) ^ round ^ n).collect();
            written += (len as u64).next_multiple_of(8) + 8;
            if n % 3 == 2 {
                let at = ring.reserve(len as u64).unwrap();
                ring.commit(at, true, 0);
                continue;
            }
            ring.output(View::from(&data[..]), 0).unwrap();
            let hex: String = data.iter().map(|b| format!("{b:02x}")).collect();
            want.push(format!("record {len} {hex}"));
        }
        let out = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "another_process_reads_the_pages", "--nocapture"])
            .env(FILES, &files)
            .output()
            .unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        // The first line may stand behind the harness's own words.
        let got = text.lines().filter_map(|l| l.find("record ").map(|at| l[at..].to_owned()));
        assert_eq!(got.collect::<Vec<_>>(), want, "{text}");
        assert_eq!((ring.query(2), ring.query(3)), (written, written), "positions");
    }
    // A record that is not finished stops the reader.
    assert!(ring.reserve(8).is_some());
    assert_eq!(ring.query(0), 16);
}
