//! Captures in and out, checked against bytes put together by hand and against tcpdump.

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use hooks::packet::{CaptureError, CaptureReader, CaptureWriter, LinkType, Packet, Timestamp};

/// Time, original length, link type, bytes.
type Seen = (Timestamp, u32, u16, Vec<u8>);

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/captures")
}

fn read_all(bytes: Vec<u8>) -> (Vec<Seen>, Option<CaptureError>) {
    let mut seen = Vec::new();
    let mut reader = match CaptureReader::new("test", Box::new(Cursor::new(bytes))) {
        Ok(reader) => reader,
        Err(error) => return (seen, Some(error)),
    };
    loop {
        match reader.next_packet() {
            Ok(Some(p)) => seen.push((p.time, p.orig_len, p.link_type.0, p.data.to_vec())),
            Ok(None) => return (seen, None),
            Err(error) => return (seen, Some(error)),
        }
    }
}

fn words(values: &[u32], big: bool) -> Vec<u8> {
    let bytes = |v: &u32| if big { v.to_be_bytes() } else { v.to_le_bytes() };
    values.iter().flat_map(bytes).collect()
}

fn pcap(magic: u32, big: bool, link: u32, packets: &[(u32, u32, u32, &[u8])]) -> Vec<u8> {
    let version = if big { 0x0002_0004 } else { 0x0004_0002 };
    let mut file = words(&[magic, version, 0, 0, 65535, link], big);
    for (secs, fraction, orig, data) in packets {
        file.extend(words(&[*secs, *fraction, data.len() as u32, *orig], big));
        file.extend_from_slice(data);
    }
    file
}

fn block(kind: u32, body: &[u8], big: bool) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let len = padded as u32 + 12;
    let mut bytes = words(&[kind, len], big);
    bytes.extend_from_slice(body);
    bytes.resize(8 + padded, 0);
    bytes.extend(words(&[len], big));
    bytes
}

fn half_words(values: [u16; 2], big: bool) -> Vec<u8> {
    let bytes = |v: u16| if big { v.to_be_bytes() } else { v.to_le_bytes() };
    values.into_iter().flat_map(bytes).collect()
}

/// An interface description with `if_tsresol`.
fn interface(link: u16, resolution: u8, big: bool) -> Vec<u8> {
    let mut body = half_words([link, 0], big);
    body.extend(words(&[0], big));
    body.extend(half_words([9, 1], big));
    body.extend([resolution, 0, 0, 0, 0, 0, 0, 0]);
    block(1, &body, big)
}

fn enhanced(interface: u32, ticks: u64, orig: u32, data: &[u8], big: bool) -> Vec<u8> {
    let head = [interface, (ticks >> 32) as u32, ticks as u32, data.len() as u32, orig];
    let mut body = words(&head, big);
    body.extend_from_slice(data);
    block(6, &body, big)
}

fn section(big: bool) -> Vec<u8> {
    let mut body = words(&[0x1a2b_3c4d], big);
    body.extend(half_words([1, 0], big));
    body.extend(words(&[u32::MAX, u32::MAX], big));
    block(0x0a0d_0d0a, &body, big)
}

#[test]
fn reads_pcap_of_both_byte_orders_and_precisions() {
    for big in [false, true] {
        for (magic, fraction, nanos) in [(0xa1b2_c3d4, 7, 7000), (0xa1b2_3c4d, 7, 7)] {
            let (seen, error) = read_all(pcap(magic, big, 113, &[(5, fraction, 99, b"abc")]));
            assert!(error.is_none(), "{error:?}");
            let time = Timestamp { secs: 5, nanos };
            assert_eq!(seen, [(time, 99, 113, b"abc".to_vec())]);
        }
    }
}

#[test]
fn fractions_of_more_than_a_second_carry() {
    let (seen, _) = read_all(pcap(0xa1b2_c3d4, false, 1, &[(5, 4_000_001, 1, b"x")]));
    assert_eq!(seen[0].0, Timestamp { secs: 9, nanos: 1000 });
}

#[test]
fn reads_pcapng_sections_of_both_byte_orders() {
    let mut file = Vec::new();
    for big in [true, false] {
        file.extend(section(big));
        file.extend(interface(1, 9, big));
        file.extend(interface(101, 0x8a, big));
        file.extend(block(0x0bad, b"unknown blocks are passed over", big));
        file.extend(enhanced(0, 3_000_000_004, 60, b"frame", big));
        file.extend(enhanced(1, 1024 + 512, 6, b"packet", big));
        let mut simple = words(&[4], big);
        simple.extend_from_slice(b"late");
        file.extend(block(3, &simple, big));
    }
    let (seen, error) = read_all(file);
    assert!(error.is_none(), "{error:?}");
    let want = [
        (Timestamp { secs: 3, nanos: 4 }, 60, 1, b"frame".to_vec()),
        (Timestamp { secs: 1, nanos: 500_000_000 }, 6, 101, b"packet".to_vec()),
        (Timestamp::default(), 4, 1, b"late".to_vec()),
    ];
    assert_eq!(seen[..3], want);
    assert_eq!(seen[3..], want);
}

#[test]
fn a_capture_cut_anywhere_delivers_what_is_whole_and_one_error() {
    let one: &[u8] = &[1; 10];
    let classic = pcap(0xa1b2_c3d4, false, 1, &[(1, 0, 10, one), (2, 0, 10, one)]);
    let mut ng = section(false);
    ng.extend(interface(1, 6, false));
    ng.extend(enhanced(0, 1, 10, one, false));
    ng.extend(enhanced(0, 2, 10, one, false));
    for (file, ends) in [(classic, vec![24, 50, 76]), (ng, vec![28, 60, 104, 148])] {
        for len in 0..=file.len() {
            let (seen, error) = read_all(file[..len].to_vec());
            let whole = ends[ends.len() - 3..].iter().filter(|end| **end <= len).count();
            assert_eq!(seen.len(), whole.saturating_sub(1), "{len} bytes");
            assert_eq!(error.is_none(), ends.contains(&len), "{len} bytes: {error:?}");
        }
    }
}

#[test]
fn damage_is_named_with_its_place() {
    let huge = words(&[1, 0, 0x7fff_ffff, 0x7fff_ffff], false);
    let mut file = pcap(0xa1b2_c3d4, false, 1, &[(1, 0, 1, b"x")]);
    file.extend(huge);
    let (seen, error) = read_all(file);
    assert_eq!(seen.len(), 1);
    let text = error.expect("a packet of 2 GB").to_string();
    assert_eq!(text, "test: damaged at byte 41, after 1 packets: a packet of 2147483647 bytes");

    let mut orphan = section(false);
    orphan.extend(enhanced(0, 1, 1, b"x", false));
    let text = read_all(orphan).1.expect("no interface").to_string();
    assert!(text.contains("interface 0, which is not described"), "{text}");
}

#[test]
fn what_is_no_capture_says_what_it_is() {
    for (bytes, want) in [(&b""[..], "empty"), (b"\x1f\x8b\x08\0", "gzip"), (b"\x7fELF", "ELF")] {
        let error = CaptureReader::new("f", Box::new(bytes)).err().expect("no capture");
        assert!(error.to_string().contains(want), "{error}");
    }
}

/// Gives a few bytes at a time, as a pipe may.
struct Drip(Cursor<Vec<u8>>);

impl Read for Drip {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let some = buf.len().min(7);
        self.0.read(&mut buf[..some])
    }
}

#[test]
fn a_copy_of_each_example_reads_the_same_in_tcpdump() {
    if Command::new("tcpdump").arg("--version").output().is_err() {
        eprintln!("skipped: no tcpdump here");
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    for name in ["web", "protocols", "firewall", "balancer"] {
        let from = examples().join(format!("{name}.pcap"));
        let to = dir.path().join("copy.pcap");
        let bytes = std::fs::read(&from).expect("an example's capture");
        let source = Box::new(Drip(Cursor::new(bytes)));
        let mut reader = CaptureReader::new("drip", source).expect("a capture");
        let mut writer = CaptureWriter::create(&to, LinkType::ETHERNET, reader.precision())
            .expect("a writable folder");
        while let Some(packet) = reader.next_packet().expect("a whole capture") {
            writer.write(&packet).expect("room");
        }
        let written = writer.packets();
        writer.finish().expect("room");
        let lines = tcpdump(&from);
        assert_eq!(lines, tcpdump(&to), "{name}");
        assert!(written > 50 && lines.matches("\n\t0x0000").count() as u64 == written, "{name}");
    }
}

/// Time, original length and bytes of every packet.
fn packets(file: &Path) -> Vec<(Timestamp, u32, Vec<u8>)> {
    let mut reader = CaptureReader::open(file).expect("a capture");
    let mut seen = Vec::new();
    while let Some(p) = reader.next_packet().expect("a whole capture") {
        seen.push((p.time, p.orig_len, p.data.to_vec()));
    }
    seen
}

#[test]
fn what_wireshark_makes_of_an_example_reads_the_same() {
    if Command::new("editcap").arg("--version").output().is_err() {
        eprintln!("skipped: no editcap here");
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let from = examples().join("web.pcap");
    for options in [&["-F", "pcapng"][..], &["-F", "nsecpcap"], &["-F", "pcapng", "-s", "60"]] {
        let to = dir.path().join("copy");
        let run = Command::new("editcap").args(options).arg(&from).arg(&to).output();
        assert!(run.expect("editcap runs").status.success(), "{options:?}");
        let mut want = packets(&from);
        if options.contains(&"-s") {
            want.iter_mut().for_each(|packet| packet.2.truncate(60));
        }
        assert_eq!(packets(&to), want, "{options:?}");
    }
}

fn tcpdump(file: &Path) -> String {
    let run = Command::new("tcpdump").args(["-nnexxr"]).arg(file).output().expect("tcpdump runs");
    String::from_utf8(run.stdout).expect("text")
}

#[test]
fn a_time_after_2106_is_refused_by_the_writer() {
    let sink = Box::new(std::io::sink());
    let precision = hooks::packet::Precision::Micros;
    let mut writer =
        CaptureWriter::new("out", sink, LinkType::ETHERNET, precision).expect("a sink");
    let time = Timestamp { secs: 1 << 32, nanos: 0 };
    let packet = Packet { time, orig_len: 0, link_type: LinkType::ETHERNET, data: &[] };
    assert!(matches!(writer.write(&packet), Err(CaptureError::Time { packet: 0, .. })));
}

proptest::proptest! {
    /// Whatever the bytes, reading ends, and delivers no more than the bytes hold.
    #[test]
    fn hostile_bytes_end_in_a_value(
        which in 0usize..4,
        tail in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400),
    ) {
        let mut file = match which {
            0 => pcap(0xa1b2_c3d4, false, 1, &[]),
            1 => pcap(0xa1b2_c3d4, true, 1, &[]),
            2 => section(false),
            _ => [section(true), interface(1, 6, true)].concat(),
        };
        file.extend(tail);
        let bound = file.len();
        let (seen, _) = read_all(file);
        proptest::prop_assert!(seen.iter().map(|p| p.3.len() + 12).sum::<usize>() <= bound);
    }
}
