//! Arbitrary numbers and bytes into the door: error numbers come out, never a panic.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use isa::Insn;
use runtime::door::{Bpf, BtfLoad, Fd, MapCreate, ObjKind, ProgLoad, TestRun};
use runtime::{Config, Runtime};
use uapi::{MapDef, MapType, ProgType};

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    /// Small, at an edge, or anything.
    fn number(&mut self) -> u32 {
        const EDGES: [u32; 9] = [0, 1, 4, 8, 4096, 1 << 16, 1 << 31, u32::MAX - 7, u32::MAX];
        match self.roll(4) {
            0 => EDGES[self.roll(9) as usize],
            1 => self.roll(1 << 32) as u32,
            _ => self.roll(20) as u32,
        }
    }

    fn bytes(&mut self) -> Vec<u8> {
        let len = self.roll(80);
        (0..len).map(|_| self.roll(256) as u8).collect()
    }

    fn fd(&mut self) -> Fd {
        Fd(self.roll(40) as i32 - 1)
    }

    fn map(&mut self) -> MapCreate {
        let t = MapType::ALL[self.roll(33) as usize];
        let mut def = MapDef::new(t, self.number(), self.number(), self.number());
        def.flags = if self.roll(2) == 0 { 0 } else { 1 << self.roll(32) };
        if self.roll(2) == 0 {
            (def.key_size, def.value_size, def.max_entries) = (4, 4, 1 + self.roll(9) as u32);
        }
        def.extra = if self.roll(8) == 0 { self.roll(99) } else { 0 };
        def.btf_value_type_id = if self.roll(8) == 0 { self.number() } else { 0 };
        let inner_map = (self.roll(2) == 0).then(|| self.fd());
        MapCreate { def, btf: (self.roll(4) == 0).then(|| self.fd()), inner_map }
    }

    fn program(&mut self) -> ProgLoad {
        let mut insns = vec![common::mov(0, self.number() as i32)];
        for _ in 0..self.roll(6) {
            let b = self.bytes();
            match (self.roll(3), b.first_chunk::<8>()) {
                (0, Some(b)) => insns.push(Insn::from_bytes(*b)),
                (1, _) => insns.extend(common::ld_map(self.roll(5) as u8, self.fd())),
                _ => insns.push(common::call(self.roll(215) as i32)),
            }
        }
        insns.push(common::EXIT);
        let t = ProgType::ALL[self.roll(32) as usize];
        let mut load = common::request(t, &insns);
        load.expected_attach_type = if self.roll(3) == 0 { self.number() } else { 0 };
        load.flags = if self.roll(3) == 0 { self.number() } else { 0 };
        load.btf = (self.roll(5) == 0).then(|| self.fd());
        load.log.level = self.roll(8) as u32;
        load.log.size = if self.roll(2) == 0 { 0 } else { self.roll(500) as u32 };
        load
    }
}

fn step(bpf: &Runtime, dice: &mut Dice) {
    let (fd, key) = (dice.fd(), dice.bytes());
    let (mut value, flags) = (dice.bytes(), dice.roll(6));
    match dice.roll(16) {
        0..=2 => drop(bpf.map_create(&dice.map())),
        3 => drop(bpf.prog_load(&dice.program())),
        4 => drop(bpf.map_lookup(fd, &key, &mut value, flags)),
        5 => drop(bpf.map_update(fd, &key, &value, flags)),
        6 => {
            let _ = bpf.map_delete(fd, &key);
        }
        7 => drop(bpf.map_next_key(fd, Some(&key), &mut value)),
        8 => drop(bpf.map_take(fd, &key, &mut value, flags)),
        9 => drop(bpf.map_lookup_batch(fd, Some(&key), dice.number() % 999, flags == 0, 0)),
        10 => drop(bpf.map_update_batch(fd, &key, &value, dice.number(), 0)),
        11 => drop(bpf.map_delete_batch(fd, &key, dice.number(), flags)),
        12 => {
            let run = TestRun {
                data_in: (flags < 4).then_some(value),
                data_out: (flags < 3).then(|| dice.number()),
                ctx_in: (flags == 5).then_some(key),
                ctx_out: (flags == 4).then(|| dice.number()),
                repeat: dice.roll(3) as u32,
                ..TestRun::default()
            };
            drop(bpf.test_run(fd, &run));
        }
        13 => drop(bpf.btf_load(&BtfLoad { data: value, ..BtfLoad::default() })),
        14 => {
            drop((bpf.prog_info(fd), bpf.map_info(fd), bpf.btf_info(fd), bpf.kind(fd)));
            let _ = bpf.fd_by_id(ObjKind::Map, dice.number(), dice.number());
            let _ = (bpf.bind_map(fd, dice.fd()), bpf.obj_pin(fd, "a"), bpf.obj_get("a", 0));
        }
        _ => drop((bpf.close(fd), bpf.map_freeze(dice.fd()))),
    }
}

#[test]
fn arbitrary_commands_do_no_harm() {
    let seed = std::env::var("TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0xc0ffee);
    eprintln!("seed {seed}");
    let mut dice = Dice(seed);
    for _ in 0..60 {
        let bpf = Runtime::new(Config { map_memory: 1 << 30, ..Config::default() });
        (0..1000).for_each(|_| step(&bpf, &mut dice));
    }
}
