//! Longest-prefix-match tries beside a model that tries each length in turn.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use maps::{Env, Map, Perms, View};
use uapi::{Errno, MapDef, MapType, map_flags};

const BOTH: Perms = Perms { read: true, write: true };

struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Addresses that share prefixes, as those of networks do.
    fn address(&mut self, width: u32) -> u128 {
        let random = u128::from(self.roll()) << 64 | u128::from(self.roll());
        let few = self.roll() % u64::from(width);
        let common = !0_u128 << (width - 1 - few as u32) & mask(width);
        let base = 0x2001_0db8_0a01_0203_c0a8_0101_7f00_0001_u128 >> (128 - width);
        (base & common | random & !common) & mask(width)
    }
}

fn mask(width: u32) -> u128 {
    if width == 128 { !0 } else { (1 << width) - 1 }
}

/// An address without what is behind the prefix.
fn cut(address: u128, bits: u32, width: u32) -> u128 {
    if bits == 0 { 0 } else { address >> (width - bits) << (width - bits) }
}

fn key(bits: u32, address: u128, width: u32) -> Vec<u8> {
    let bytes = address.to_be_bytes();
    [&bits.to_ne_bytes()[..], &bytes[16 - width as usize / 8..]].concat()
}

/// Quick, for millions of keys that nobody chose to collide.
#[derive(Default)]
struct Quick(u64);

impl Hasher for Quick {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 29
    }

    fn write(&mut self, bytes: &[u8]) {
        for word in bytes.chunks(8) {
            let word = word.iter().fold(0, |w: u64, b| w << 8 | u64::from(*b));
            self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }
}

type Model<V> = HashMap<(u32, u128), V, BuildHasherDefault<Quick>>;

struct Both {
    map: Map,
    model: Model<u64>,
    width: u32,
}

impl Both {
    fn new(width: u32, max: u32) -> Both {
        let mut def = MapDef::new(MapType::LpmTrie, 4 + width / 8, 8, max);
        def.flags = map_flags::NO_PREALLOC;
        Both { map: Map::create(&def, &Env::new(2, 1)).unwrap(), model: Model::default(), width }
    }

    fn set(&mut self, bits: u32, address: u128, value: u64) {
        let key = key(bits, address, self.width);
        self.map.update(BOTH, &key, &value.to_ne_bytes(), 0).unwrap();
        self.model.insert((bits, cut(address, bits, self.width)), value);
    }

    fn remove(&mut self, bits: u32, address: u128) {
        let known = self.model.remove(&(bits, cut(address, bits, self.width)));
        let done = self.map.delete(BOTH, &key(bits, address, self.width));
        assert_eq!(done, known.map(drop).ok_or(Errno::ENOENT));
    }

    fn check(&self, bits: u32, address: u128) {
        let lengths = (0..=bits).rev();
        let want = lengths
            .filter_map(|n| self.model.get(&(n, cut(address, n, self.width))).copied())
            .next();
        let key = key(bits, address, self.width);
        let mut out = [0; 8];
        let got = self.map.lookup(BOTH, &key, &mut out, 0).map(|()| u64::from_ne_bytes(out));
        assert_eq!(got.ok(), want, "/{bits} of {address:x}");
        // The program's side finds a value where the user's does.
        let found = self.map.ops().lookup(View::from(&key[..]), 0);
        assert_eq!(found.is_some(), want.is_some());
    }

    /// Walks all keys: each prefix once, after those that it contains.
    fn walk(&self) {
        let (mut last, mut next) = (None::<Vec<u8>>, vec![0; 4 + self.width as usize / 8]);
        let mut seen = Model::default();
        while self.map.next_key(BOTH, last.as_deref(), &mut next).is_ok() {
            let bits = u32::from_ne_bytes(*next.first_chunk().unwrap());
            let address = next[4..].iter().fold(0, |a: u128, b| a << 8 | u128::from(*b));
            let prefix = (bits, cut(address, bits, self.width));
            assert!(self.model.contains_key(&prefix) && seen.insert(prefix, seen.len()).is_none());
            assert!(seen.len() <= self.model.len());
            last = Some(next.clone());
        }
        assert_eq!(seen.len(), self.model.len());
        for (&(bits, address), at) in seen.iter().filter(|(_, at)| at.is_multiple_of(64)) {
            let wider = (0..bits).rev().find_map(|n| seen.get(&(n, cut(address, n, self.width))));
            assert!(wider.is_none_or(|wider| wider > at));
        }
    }
}

fn prefixes(width: u32, count: usize, lookups: usize) {
    let mut dice = Dice(0x1234_5678_9abc_def1 ^ u64::from(width));
    println!("seed {:x}", dice.0);
    let mut both = Both::new(width, 1 << 20);
    while both.model.len() < count {
        let (address, bits) = (dice.address(width), dice.roll() as u32 % (width + 1));
        // Short prefixes are few.
        both.set(bits.max(dice.roll() as u32 % (width + 1)), address, dice.roll());
    }
    let probe = |both: &Both, dice: &mut Dice| {
        for _ in 0..lookups {
            let address = dice.address(width);
            let bits = if dice.roll().is_multiple_of(4) {
                dice.roll() as u32 % (width + 1)
            } else {
                width
            };
            both.check(bits, address);
        }
    };
    probe(&both, &mut dice);
    both.walk();
    let mut known: Vec<(u32, u128)> = both.model.keys().copied().collect();
    known.sort_unstable();
    for (bits, address) in known.into_iter().step_by(2) {
        both.remove(bits, address);
    }
    both.remove(width, 0);
    probe(&both, &mut dice);
    both.walk();
}

/// Prefixes of a large trie; `RING3_PREFIXES=1048576` for a full one.
fn many() -> usize {
    std::env::var("RING3_PREFIXES").map_or(1 << 16, |n| n.parse().unwrap())
}

#[test]
fn many_ipv4_prefixes_match_as_a_model_does() {
    prefixes(32, many(), 20_000);
}

#[test]
fn many_ipv6_prefixes_match_as_a_model_does() {
    prefixes(128, many(), 5_000);
}

#[test]
fn keys_of_any_width_match_as_a_model_does() {
    for width in [8, 16, 24, 40, 64, 72, 96] {
        prefixes(width, if width == 8 { 100 } else { 3000 }, 3000);
    }
}

/// Short prefixes come and go below and above long ones.
#[test]
fn short_prefixes_reach_all_that_they_contain() {
    let mut both = Both::new(32, 1 << 16);
    let mut dice = Dice(77);
    for n in 0..2000 {
        both.set(24, u128::from(dice.roll() as u32), n);
    }
    for round in 0..200_u64 {
        let (bits, address) = (dice.roll() as u32 % 18, u128::from(dice.roll() as u32));
        both.set(bits, address, round);
        for _ in 0..20 {
            both.check(32, u128::from(dice.roll() as u32));
            both.check(32, address ^ u128::from(dice.roll() as u32 & 0xffff));
        }
        if round % 3 != 0 {
            both.remove(bits, address);
            both.check(32, address);
        }
    }
}
