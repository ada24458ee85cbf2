//! A small world for checked runs: a packet, an array, a hash and the helpers that need nothing
//! else. Random numbers where Linux promises nothing.

use std::collections::BTreeMap;
use std::ptr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use interp::{Callback, Host, Region, Trap, TrapKind};

use crate::generate::{Rng, VALUE_SIZE};

const SIZE: usize = VALUE_SIZE as usize;
/// Elements of each map.
const ENTRIES: usize = 8;
/// Room before and behind the packet.
const ROOM: usize = 256;
/// What a map load gives the program: this plus the map's index.
pub(super) const MAP_HANDLE: u64 = 0xa0c0_0000_0000_0000;

/// Bytes that a program may change while we look.
struct Bytes(Box<[AtomicU8]>);

impl Bytes {
    fn new(len: usize) -> Bytes {
        Bytes((0..len).map(|_| AtomicU8::new(0)).collect())
    }

    fn start(&self) -> u64 {
        self.0.as_ptr().expose_provenance() as u64
    }

    fn fill(&self, rng: &mut Rng) {
        let style = rng.below(4);
        for byte in &self.0 {
            let value = match style {
                0 => 0,
                1 => rng.below(4) as u8,
                2 => [0, 0xff, 0x7f, 0x80][rng.below(4) as usize],
                _ => rng.next() as u8,
            };
            byte.store(value, Relaxed);
        }
    }
}

/// `struct xdp_md` with eight bytes a field.
#[derive(Default)]
pub(super) struct Context([AtomicU64; 8]);

impl Context {
    pub(super) fn addr(&self) -> u64 {
        self.0.as_ptr().expose_provenance() as u64
    }

    /// Start, end and metadata of the packet.
    pub(super) fn packet(&self) -> [u64; 3] {
        [0, 1, 2].map(|field: usize| self.0[field].load(Relaxed))
    }
}

/// Packet, context and maps of a run.
pub(super) struct TestWorld {
    ctx: Rc<Context>,
    frame: Bytes,
    data: usize,
    end: usize,
    meta: usize,
    /// What the ring buffer hands out.
    record: Bytes,
    array: Bytes,
    hash: Bytes,
    /// Which slot of `hash` holds a key.
    keys: BTreeMap<u64, usize>,
    rng: Rng,
}

impl TestWorld {
    pub(super) fn new() -> TestWorld {
        TestWorld {
            ctx: Rc::default(),
            frame: Bytes::new(ROOM * 3),
            data: 0,
            end: 0,
            meta: 0,
            record: Bytes::new(64),
            array: Bytes::new(SIZE * ENTRIES),
            hash: Bytes::new(SIZE * ENTRIES),
            keys: BTreeMap::new(),
            rng: Rng::new(0),
        }
    }

    /// Another packet, other contents.
    pub(super) fn shuffle(&mut self, seed: u64) {
        self.rng = Rng::new(seed);
        for bytes in [&self.frame, &self.array, &self.hash] {
            bytes.fill(&mut self.rng);
        }
        let len = self.rng.pick(&[0, 1, 14, 31, 32, 33, 40, 64, 64, 100, 200, 256]);
        (self.data, self.end, self.meta) = (ROOM, ROOM + len, ROOM);
        self.keys = (0..ENTRIES as u64).filter(|_| self.rng.one_in(2)).zip(0..).collect();
        for field in 3..8 {
            let value = self.rng.next() as u32;
            self.ctx.0[field].store(value.into(), Relaxed);
        }
        self.show_packet();
    }

    fn show_packet(&self) {
        let base = self.frame.start();
        for (field, at) in [(0, self.data), (1, self.end), (2, self.meta)] {
            self.ctx.0[field].store(base + at as u64, Relaxed);
        }
    }

    pub(super) fn ctx(&self) -> u64 {
        self.ctx.addr()
    }

    /// The context, to be looked at during a run.
    pub(super) fn context(&self) -> Rc<Context> {
        self.ctx.clone()
    }

    /// Where the values of a map start, and how many there are.
    pub(super) fn values(&self, map: usize) -> (u64, u64) {
        let bytes = if map == 0 { &self.array } else { &self.hash };
        (bytes.start(), ENTRIES as u64)
    }

    fn all(&self) -> [Region; 5] {
        let whole = |bytes: &Bytes| Region {
            start: bytes.start(),
            end: bytes.start() + bytes.0.len() as u64,
            writable: true,
        };
        let [start, end, meta] = self.ctx.packet();
        let ctx = self.ctx();
        [
            Region { start: meta.min(start), end, writable: true },
            Region { start: ctx, end: ctx + 64, writable: false },
            whole(&self.array),
            whole(&self.hash),
            whole(&self.record),
        ]
    }

    /// `len` bytes that a helper was pointed at.
    fn read(&self, addr: u64, len: u64, vm: &dyn Callback) -> Result<Vec<u8>, Trap> {
        if len == 0 {
            return Ok(Vec::new());
        }
        let inside =
            |r: &Region| r.start <= addr && addr.checked_add(len).is_some_and(|e| e <= r.end);
        let known = self.all().iter().any(inside) || vm.region(addr).is_some_and(|r| inside(&r));
        if !known {
            return Err(Trap::here(TrapKind::Memory { addr, size: len as u32, write: false }));
        }
        let byte = |n: u64| {
            let at = ptr::with_exposed_provenance::<u8>((addr + n) as usize);
            // SAFETY: the byte lies in a live region: this world's, or the interpreter's stack.
            unsafe { at.read_volatile() }
        };
        Ok((0..len).map(byte).collect())
    }

    fn key(&self, map: u64, addr: u64, vm: &dyn Callback) -> Result<(usize, u64), Trap> {
        let index = map.wrapping_sub(MAP_HANDLE) as usize;
        let size = match index {
            0 => 4,
            1 => 8,
            _ => return Err(Trap::here(TrapKind::Helper("no map"))),
        };
        let bytes = self.read(addr, size, vm)?;
        let key = bytes.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte));
        Ok((index, key))
    }

    fn value(&self, map: usize, key: u64) -> u64 {
        let slot = match map {
            0 if key < ENTRIES as u64 => Some(key as usize),
            0 => None,
            _ => self.keys.get(&key).copied(),
        };
        slot.map_or(0, |slot| self.values(map).0 + (slot * SIZE) as u64)
    }

    fn update(&mut self, [map, key, value, ..]: [u64; 5], vm: &dyn Callback) -> Result<u64, Trap> {
        let (map, key) = self.key(map, key, vm)?;
        let bytes = self.read(value, SIZE as u64, vm)?;
        if map == 1 && !self.keys.contains_key(&key) && self.keys.len() < ENTRIES {
            let used: Vec<usize> = self.keys.values().copied().collect();
            let free = (0..ENTRIES).find(|slot| !used.contains(slot)).unwrap_or(0);
            self.keys.insert(key, free);
        }
        let at = self.value(map, key);
        if at == 0 {
            return Ok(-7i64 as u64);
        }
        let all = if map == 0 { &self.array } else { &self.hash };
        let start = (at - all.start()) as usize;
        all.0[start..start + SIZE].iter().zip(bytes).for_each(|(to, byte)| to.store(byte, Relaxed));
        Ok(0)
    }

    /// Moves one end of the packet; -1 where there is no room.
    fn adjust(&mut self, which: u32, by: i64) -> u64 {
        let by = i64::from(by as i32);
        let moved = |at: usize| usize::try_from(at as i64 + by).unwrap_or(usize::MAX);
        let (data, end, meta) = match which {
            44 => (moved(self.data), self.end, moved(self.data)),
            65 => (self.data, moved(self.end), self.meta),
            _ => (self.data, self.end, moved(self.meta)),
        };
        if meta > data || data > end || end > self.frame.0.len() || data - meta > 32 {
            return -22i64 as u64;
        }
        (self.data, self.end, self.meta) = (data, end, meta);
        self.show_packet();
        0
    }

    fn each(&mut self, [map, func, ctx, ..]: [u64; 5], vm: &mut dyn Callback) -> Result<u64, Trap> {
        let index = map.wrapping_sub(MAP_HANDLE) as usize;
        let keys: Vec<u64> = match index {
            0 => (0..ENTRIES as u64).collect(),
            _ => self.keys.keys().copied().collect(),
        };
        for (turn, key) in keys.iter().enumerate() {
            let cell = AtomicU64::new(*key);
            let start = ptr::from_ref(&cell).expose_provenance() as u64;
            vm.grant(Region { start, end: start + 8, writable: false });
            let value = self.value(index, *key);
            if vm.call_back(self, func, [map, start, value, ctx, 0])? != 0 {
                return Ok(turn as u64 + 1);
            }
        }
        Ok(keys.len() as u64)
    }

    fn repeat(
        &mut self,
        [turns, func, ctx, ..]: [u64; 5],
        vm: &mut dyn Callback,
    ) -> Result<u64, Trap> {
        let turns = turns & 0xffff_ffff;
        if turns > 1 << 23 {
            return Ok(-7i64 as u64);
        }
        for turn in 0..turns {
            if vm.call_back(self, func, [turn, ctx, 0, 0, 0])? != 0 {
                return Ok(turn + 1);
            }
        }
        Ok(turns)
    }
}

impl Host for TestWorld {
    fn region(&mut self, addr: u64) -> Option<Region> {
        self.all().into_iter().find(|r| (r.start..r.end).contains(&addr))
    }

    fn call(&mut self, id: u32, args: [u64; 5], vm: &mut dyn Callback) -> Result<u64, Trap> {
        match id {
            1 => self.key(args[0], args[1], vm).map(|(map, key)| self.value(map, key)),
            2 => self.update(args, vm),
            3 => {
                let (map, key) = self.key(args[0], args[1], vm)?;
                let gone = map == 1 && self.keys.remove(&key).is_some();
                Ok(if gone { 0 } else { -2i64 as u64 })
            }
            5 | 125 => Ok(self.rng.next()),
            7 => Ok(u64::from(self.rng.next() as u32)),
            8 => Ok(0),
            28 => {
                // Null passes beside any size, on Linux too, and is no bytes.
                for (addr, len) in [(args[0], args[1]), (args[2], args[3])] {
                    self.read(addr, if addr == 0 { 0 } else { len }, vm)?;
                }
                Ok(u64::from(self.rng.next() as u32))
            }
            12 => Ok(-2i64 as u64),
            131 if args[1] > 64 || self.rng.one_in(4) => Ok(0),
            131 => Ok(self.record.start()),
            132 => Ok(0),
            44 | 54 | 65 => Ok(self.adjust(id, args[1] as i64)),
            164 => self.each(args, vm),
            181 => self.repeat(args, vm),
            _ => Err(Trap::here(TrapKind::NoHelper(id))),
        }
    }
}
