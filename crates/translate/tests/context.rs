//! Context accesses: every one that Linux accepts (facts/prog_types.json) reads and writes the
//! field of that name.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::{Buffers, asm::*, context_facts, kernel, translated};
use isa::Insn;
use translate::{
    TranslateError,
    ctx::{SkBuff, XdpBuff},
};
use uapi::ProgType;

/// Little-endian bytes of the fields of a structure of ours, by their UAPI names.
macro_rules! by_name {
    ($($f:ident),*) => {
        fn get(&self, name: &str) -> Option<Vec<u8>> {
            match name {
                $(stringify!($f) => Some(self.$f.bytes()),)*
                _ => None,
            }
        }

        fn set(&mut self, name: &str, value: u64) {
            match name {
                $(stringify!($f) => self.$f.assign(value),)*
                _ => panic!("{name}"),
            }
        }
    };
}

trait Bytes {
    fn bytes(&self) -> Vec<u8>;
    fn assign(&mut self, value: u64);
}

macro_rules! bytes {
    ($($t:ty)*) => {
        $(impl Bytes for $t {
            fn bytes(&self) -> Vec<u8> {
                self.to_le_bytes().to_vec()
            }

            fn assign(&mut self, value: u64) {
                *self = value as $t;
            }
        })*
    };
}
bytes!(u8 u16 u32 u64);

impl<const N: usize> Bytes for [u32; N] {
    fn bytes(&self) -> Vec<u8> {
        self.iter().flat_map(|w| w.to_le_bytes()).collect()
    }

    fn assign(&mut self, value: u64) {
        self[0] = value as u32;
    }
}

trait Fields: Copy {
    fn get(&self, name: &str) -> Option<Vec<u8>>;
    fn set(&mut self, name: &str, value: u64);
    /// Every byte different from its neighbours.
    fn filled() -> Self;
}

impl Fields for XdpBuff {
    by_name!(data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex);

    fn filled() -> XdpBuff {
        XdpBuff {
            data: 0x1122_3344_5566_7788,
            data_end: 0x2132_4354_6576_8798,
            data_meta: 0x3142_5364_7586_97a8,
            hard_start: 1,
            frame_end: 2,
            ingress_ifindex: 0x4152_6374,
            rx_queue_index: 0x5162_7384,
            egress_ifindex: 0x6172_8394,
            reserved: 0,
        }
    }
}

impl Fields for SkBuff {
    by_name!(
        data,
        data_end,
        data_meta,
        flow_keys,
        sk,
        tstamp,
        hwtstamp,
        cb,
        len,
        pkt_type,
        mark,
        protocol,
        vlan_present,
        vlan_tci,
        vlan_proto,
        priority,
        ingress_ifindex,
        ifindex,
        hash,
        napi_id,
        family,
        remote_ip4,
        local_ip4,
        remote_ip6,
        local_ip6,
        remote_port,
        local_port,
        wire_len,
        gso_segs,
        gso_size,
        tc_index,
        tc_classid,
        queue_mapping,
        tstamp_type
    );

    fn filled() -> SkBuff {
        let mut next = 0x0101_0101_u32;
        let mut word = || {
            next = next.wrapping_mul(0x0808_8405).wrapping_add(0x1357_9bdf);
            next
        };
        let mut wide = || u64::from(word()) << 32 | u64::from(word());
        let mut s = SkBuff {
            data: wide(),
            data_end: wide(),
            data_meta: wide(),
            flow_keys: wide(),
            sk: wide(),
            tstamp: wide(),
            hwtstamp: wide(),
            ..SkBuff::default()
        };
        s.cb = std::array::from_fn(|_| word());
        s.remote_ip6 = std::array::from_fn(|_| word());
        s.local_ip6 = std::array::from_fn(|_| word());
        for field in [
            &mut s.len,
            &mut s.pkt_type,
            &mut s.mark,
            &mut s.protocol,
            &mut s.vlan_present,
            &mut s.vlan_tci,
            &mut s.vlan_proto,
            &mut s.priority,
            &mut s.ingress_ifindex,
            &mut s.ifindex,
            &mut s.hash,
            &mut s.napi_id,
            &mut s.family,
            &mut s.remote_ip4,
            &mut s.local_ip4,
            &mut s.remote_port,
            &mut s.local_port,
            &mut s.wire_len,
            &mut s.gso_segs,
            &mut s.gso_size,
        ] {
            *field = word();
        }
        s.tc_index = word() as u16;
        s.tc_classid = word() as u16;
        s.queue_mapping = word() as u16;
        s.tstamp_type = word() as u8;
        s
    }
}

/// A row of a context table: name, offset, size, and the (sub-offset, size) pairs accepted.
struct Row {
    name: String,
    off: i16,
    reads: Vec<(i16, usize)>,
    writes: Vec<(i16, usize)>,
}

/// "read@+0:1,2,4;+1:1" or "full".
fn accesses(text: &str, size: usize) -> Vec<(i16, usize)> {
    if text == "full" {
        return vec![(0, size)];
    }
    let Some((_, list)) = text.split_once('@') else { return Vec::new() };
    let each = list.split(';').flat_map(|item| {
        let (sub, sizes) = item.split_once(':').unwrap();
        let sub: i16 = sub.trim_start_matches('+').parse().unwrap();
        sizes.split(',').map(move |s| (sub, s.parse().unwrap()))
    });
    each.collect()
}

fn prog_type(label: &str) -> ProgType {
    match label.split('/').next().unwrap() {
        "XDP" => ProgType::Xdp,
        "SOCKET_FILTER" => ProgType::SocketFilter,
        "SCHED_CLS" => ProgType::SchedCls,
        "SCHED_ACT" => ProgType::SchedAct,
        "CGROUP_SKB" => ProgType::CgroupSkb,
        "LWT_IN" => ProgType::LwtIn,
        "LWT_OUT" => ProgType::LwtOut,
        "LWT_XMIT" => ProgType::LwtXmit,
        "LWT_SEG6LOCAL" => ProgType::LwtSeg6local,
        "SK_SKB" => ProgType::SkSkb,
        "FLOW_DISSECTOR" => ProgType::FlowDissector,
        other => panic!("{other}"),
    }
}

/// All (program type, row) of tables over `structure`.
fn rows(structure: &str) -> Vec<(ProgType, Row)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../facts/prog_types.json");
    let text = std::fs::read_to_string(path).unwrap();
    let facts: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut out = Vec::new();
    for table in facts["ctx_tables"].as_object().unwrap().values() {
        if table["struct"] != structure {
            continue;
        }
        for label in table["used_by"].as_array().unwrap() {
            for field in table["fields"].as_array().unwrap() {
                let text = |i: usize| field[i].as_str().unwrap_or("");
                let size = field[2].as_u64().unwrap() as usize;
                let row = Row {
                    name: text(0).to_owned(),
                    off: field[1].as_i64().unwrap() as i16,
                    reads: accesses(text(5), size),
                    writes: accesses(text(6), size),
                };
                out.push((prog_type(label.as_str().unwrap()), row));
            }
        }
    }
    assert!(!out.is_empty());
    out
}

const SIZES: [(usize, u8); 4] = [(1, 0x10), (2, 0x08), (4, 0x00), (8, 0x18)];

fn size_code(size: usize) -> u8 {
    SIZES.iter().find(|(bytes, _)| *bytes == size).unwrap().1
}

fn little(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |sum, b| sum << 8 | u64::from(*b))
}

fn read<C: Fields>(prog_type: ProgType, off: i16, size: usize) -> u64 {
    let insns = [Insn::new(0x61 | size_code(size), 0, 1, off, 0), EXIT];
    let program = translated(&insns, &context_facts(2, &[0]), prog_type).unwrap();
    Buffers::new(&mut C::filled(), &mut []).run(&program).unwrap()
}

/// Bytes that Linux keeps of a number; a load of as many or more gives the number, wherever in
/// the field it starts (`narrow_loads_follow_the_running_kernel` shows it).
fn width(name: &str) -> usize {
    match name {
        "pkt_type" => 1,
        "protocol" | "vlan_tci" | "vlan_proto" | "family" | "local_port" | "gso_segs"
        | "gso_size" | "tc_index" | "tc_classid" | "queue_mapping" => 2,
        "cb" | "remote_ip6" | "local_ip6" => usize::MAX,
        "data" | "data_end" | "data_meta" | "flow_keys" | "tstamp" | "sk" | "hwtstamp" => 8,
        "tstamp_type" => 1,
        _ => 4,
    }
}

fn expected(name: &str, value: &[u8], sub: usize, size: usize) -> u64 {
    let mut bytes = value[..value.len().min(width(name))].to_vec();
    bytes.resize(32, 0);
    let pointer = matches!(name, "data" | "data_end" | "data_meta");
    if pointer || size >= width(name) {
        return little(&bytes[..8]);
    }
    little(&bytes[sub..sub + size])
}

fn check_reads<C: Fields>(structure: &str) -> usize {
    let mut checked = 0;
    for (prog_type, row) in rows(structure) {
        for (sub, size) in row.reads {
            let value = C::filled().get(&row.name).unwrap();
            let want = expected(&row.name, &value, sub as usize, size);
            let got = read::<C>(prog_type, row.off + sub, size);
            assert_eq!(got, want, "{prog_type:?} {} + {sub}, {size} bytes", row.name);
            checked += 1;
        }
    }
    checked
}

#[test]
fn every_read_that_linux_accepts_reads_that_field() {
    assert!(check_reads::<XdpBuff>("xdp_md") > 20);
    assert!(check_reads::<SkBuff>("__sk_buff") > 1000);
}

#[test]
fn every_write_that_linux_accepts_writes_that_field() {
    let value = 0x8877_6655_4433_2211_u64;
    let mut checked = 0;
    for (prog_type, row) in rows("__sk_buff") {
        for &(sub, size) in &row.writes {
            for imm in [false, true] {
                let [low, high] = ld_imm64(2, value);
                let code = size_code(size) | if imm { 0x62 } else { 0x63 };
                let src = if imm { 0 } else { 2 };
                let store =
                    Insn::new(code, 1, src, row.off + sub, if imm { 0x4433_2211 } else { 0 });
                let insns = [low, high, store, mov(0, 0), EXIT];
                let program = translated(&insns, &context_facts(5, &[2]), prog_type).unwrap();
                let mut ctx = SkBuff::filled();
                let before = ctx.get(&row.name).unwrap();
                Buffers::new(&mut ctx, &mut []).run(&program).unwrap();
                let written = if imm { 0x4433_2211_u64 } else { value }.to_le_bytes();
                let mut want = before.clone();
                // Values from 0xffff on are no queue.
                if row.name != "queue_mapping" {
                    let room = want.len() - sub as usize;
                    let cut = size.min(room);
                    want[sub as usize..sub as usize + cut].copy_from_slice(&written[..cut]);
                }
                assert_eq!(
                    ctx.get(&row.name).unwrap(),
                    want,
                    "{prog_type:?} {} {sub} {size}",
                    row.name
                );
                checked += 1;
            }
        }
    }
    assert!(checked > 200, "{checked}");
}

#[test]
fn what_is_no_field_is_an_error() {
    for (off, size) in [(24, 4), (-4, 4), (0, 8), (22, 4), (i16::MAX, 1), (i16::MIN, 8)] {
        let insns = [Insn::new(0x61 | size_code(size), 0, 1, off, 0), EXIT];
        let result = translated(&insns, &context_facts(2, &[0]), ProgType::Xdp);
        let want = TranslateError::Context { insn: 0, off: off.into(), size: size as u32 };
        assert_eq!(result, Err(want));
    }
}

#[test]
fn other_contexts_pass_as_they_are() {
    let insns = [ldx(0, 1, 112), EXIT];
    let program = translated(&insns, &context_facts(2, &[0]), ProgType::Kprobe).unwrap();
    assert_eq!(program.insns, insns);
}

/// Linux's __sk_buff as input of a test run: what it lets us set.
fn input() -> Vec<u8> {
    let mut ctx = vec![0_u8; 192];
    let mut put = |off: usize, value: u32| ctx[off..off + 4].copy_from_slice(&value.to_le_bytes());
    put(8, 0x8765_4321); // mark
    put(32, 0x1357_9bdf); // priority
    for i in 0..5 {
        put(48 + 4 * i, 0x1020_3040 * (i as u32 + 1)); // cb
    }
    put(160, 0x0102); // wire_len
    put(164, 0x0304); // gso_segs
    put(176, 0x0506); // gso_size
    ctx
}

/// A broadcast IPv4 packet.
fn packet() -> Vec<u8> {
    let mut packet = vec![0x5a_u8; 64];
    packet[..6].fill(0xff);
    packet[12..14].copy_from_slice(&[8, 0]);
    packet[14] = 0x45;
    packet
}

/// Offset of `cb`.
const CB: i16 = 48;

/// r6 = ctx; a VLAN tag and 16-bit numbers for a classifier; cb[0] = the load.
fn narrow(prog_type: ProgType, off: i16, size: usize) -> Vec<Insn> {
    let mut insns = vec![mov_reg(6, 1)];
    if prog_type == ProgType::SchedCls {
        insns.extend([mov(2, 0x0081), mov(3, 0x1234), helper(18), mov(2, 0x6789)]);
        insns.extend([12, 44, 72].map(|off| Insn::new(0x63, 6, 2, off, 0)));
    }
    insns.push(Insn::new(0x61 | size_code(size), 0, 6, off, 0));
    insns.extend([Insn::new(0x63, 6, 0, CB, 0), mov(0, 0), EXIT]);
    insns
}

#[test]
fn narrow_loads_follow_the_running_kernel() {
    if !kernel::available() {
        return;
    }
    let mut not_zero = 0;
    for (prog_type, number) in [(ProgType::SchedCls, 3), (ProgType::CgroupSkb, 8)] {
        let run = |off, size| {
            let loaded = kernel::load(number, 0, &narrow(prog_type, off, size)).unwrap();
            let mut ctx = input();
            loaded.run_packet_with(&packet(), &mut ctx).unwrap();
            little(&ctx[CB as usize..CB as usize + 4]) as u32
        };
        for (_, row) in rows("__sk_buff").into_iter().filter(|(t, _)| *t == prog_type) {
            let numbers = row.reads.iter().filter(|(_, size)| *size < 8 && row.reads.len() > 1);
            for &(sub, size) in numbers.filter(|_| !matches!(row.name.as_str(), "cb" | "hash")) {
                let whole = run(row.off + (sub & !3), 4);
                let mut ctx = SkBuff::default();
                ctx.set(&row.name, whole.into());
                let insns = [Insn::new(0x61 | size_code(size), 0, 1, row.off + (sub & 3), 0), EXIT];
                let program = translated(&insns, &context_facts(2, &[0]), prog_type).unwrap();
                let got = Buffers::new(&mut ctx, &mut []).run(&program).unwrap() as u32;
                let want = run(row.off + sub, size);
                not_zero += u32::from(whole != 0 && size < 4);
                assert_eq!(
                    got, want,
                    "{prog_type:?} {} = {whole:#x}: + {sub}, {size} bytes",
                    row.name
                );
            }
        }
    }
    assert!(not_zero > 60, "{not_zero}");
}

/// Stores then loads of the same field, as Linux's cls_bpf test run does them.
#[test]
fn stored_fields_read_back_as_in_the_running_kernel() {
    if !kernel::available() {
        return;
    }
    let values =
        [0, 1, 0xfffe, 0xffff, 0x1_0000, 0x1234_5678, 0xffff_ffff, 0x1_0000_0001, u64::MAX];
    for (_, row) in rows("__sk_buff").into_iter().filter(|(t, _)| *t == ProgType::SchedCls) {
        for &(at, size) in row.writes.iter().filter(|_| row.name != "tstamp") {
            for (sub, bytes) in row.reads.iter().filter(|(sub, _)| *sub >= at && *sub < at + 4) {
                for value in values {
                    check_read_back(&row, at, size, *sub, *bytes, value);
                }
            }
        }
    }
}

fn check_read_back(row: &Row, at: i16, size: usize, sub: i16, bytes: usize, value: u64) {
    let [low, high] = ld_imm64(2, value);
    let insns = [
        low,
        high,
        mov(3, 0),
        Insn::new(0x63 | size_code(4), 1, 3, row.off & !3, 0),
        Insn::new(0x63 | size_code(size), 1, 2, row.off + at, 0),
        Insn::new(0x61 | size_code(bytes), 0, 1, row.off + sub, 0),
        EXIT,
    ];
    let loaded = kernel::load(3, 0, &insns).unwrap();
    let (want, _) = loaded.run_packet(&[0x5a; 64]).unwrap();
    let program = translated(&insns, &context_facts(7, &[3, 4, 5]), ProgType::SchedCls).unwrap();
    let got = Buffers::new(&mut SkBuff::default(), &mut []).run(&program).unwrap() as u32;
    // A word of cb that nothing stored to is whatever Linux left there.
    assert_eq!(
        got, want,
        "{} + {at}, {size} bytes of {value:#x}, read + {sub}, {bytes} bytes",
        row.name
    );
}
