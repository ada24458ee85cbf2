//! Memory of the agent's: the part that all processes share, and the code.

use std::fs::File;
use std::io;
use std::mem::offset_of;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use agent::abi::{self, Call, Control, Map, SLOT_STRIDE, Site, Slot};
use maps::View;
use maps::raw::{Region, Slab};
use runtime::{Agent, ForeignCode, Shared};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

/// Shared memory and code of one tracer.
pub(crate) struct Memory {
    region: Arc<Region>,
    /// [`Control`], and slots from [`SLOTS`] on.
    control: Slab,
    cpus: u32,
    code: File,
    code_len: u64,
    /// What was made for maps, by id.
    maps: Vec<(u32, Slab)>,
    /// Lists of calls.
    calls: Vec<Slab>,
}

const SLOTS: usize = 4096;
const PAGE: u64 = 4096;
/// From the code on: where each process has a page of its own.
const OWN_PAGE: u64 = 1 << 29;
/// Programs start at multiples of this.
const ALIGN: u64 = 64;
/// Selectors of user code and data, as registers of a thread have them.
const USER_CS: u64 = 0x33;
const USER_SS: u64 = 0x2b;

impl Memory {
    /// Room for programs of the machine's CPUs, with the agent in it.
    pub(crate) fn new(region: Arc<Region>, cpus: u32) -> io::Result<Memory> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let code = File::from(memfd_create("bpf-code", flags)?);
        let image = agent::image();
        if image.is_empty() {
            return Err(io::Error::other("there is no agent for this machine"));
        }
        code.write_all_at(image, 0)?;
        let size = SLOTS + cpus as usize * SLOT_STRIDE;
        let none = |_| io::Error::from(io::ErrorKind::OutOfMemory);
        let control = Slab::in_region(&region, size).map_err(none)?;
        let code_len = (image.len() as u64).next_multiple_of(PAGE);
        let (maps, calls) = (Vec::new(), Vec::new());
        let memory = Memory { region, control, cpus, code, code_len, maps, calls };
        memory.fill();
        Ok(memory)
    }

    fn fill(&self) {
        let control = &self.control;
        let own = self.region.range();
        let set = |at: usize, value: u64| control.cell64(at).store(value, Relaxed);
        set(offset_of!(Control, slots), control.addr(SLOTS));
        control.cell32(offset_of!(Control, count)).store(self.cpus, Relaxed);
        set(offset_of!(Control, own_start), own.start);
        set(offset_of!(Control, own_end), own.end);
        set(offset_of!(Control, random), u64::from(std::process::id()) << 32 ^ own.start);
        for cpu in 0..self.cpus {
            let slot = slot(cpu);
            let regs = slot + offset_of!(Slot, regs);
            control.cell32(slot + ForeignCode::CPU).store(cpu, Relaxed);
            control.cell32(slot + offset_of!(Slot, cpu)).store(cpu, Relaxed);
            set(regs + 8 * abi::reg::ORIG_AX, u64::MAX);
            set(regs + 8 * abi::reg::CS, USER_CS);
            set(regs + 8 * abi::reg::SS, USER_SS);
        }
    }

    /// Adds a program; its address, and whether it may change vector registers.
    pub(crate) fn add(&mut self, code: &ForeignCode) -> io::Result<(u64, bool)> {
        let at = self.code_len.next_multiple_of(ALIGN);
        self.code.write_all_at(&code.bytes, at)?;
        self.code_len = at + code.bytes.len() as u64;
        Ok((self.code_at() + at + u64::from(code.entry), code.calls))
    }

    /// Puts a list of calls where agents find it.
    pub(crate) fn list(&mut self, calls: &[Call]) -> Option<u64> {
        let slab = Slab::in_region(&self.region, size_of_val(calls)).ok()?;
        for (i, call) in calls.iter().enumerate() {
            let at = i * size_of::<Call>();
            slab.cell64(at + offset_of!(Call, entry)).store(call.entry, Relaxed);
            slab.cell64(at + offset_of!(Call, cookie)).store(call.cookie, Relaxed);
        }
        let at = slab.addr(0);
        self.calls.push(slab);
        Some(at)
    }

    /// The code does not change from now on.
    pub(crate) fn seal(&self) -> io::Result<()> {
        let all = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        Ok(fcntl_add_seals(&self.code, all)?)
    }

    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    /// The shared memory's file and the code's, by descriptor.
    pub(crate) fn files(&self) -> (i32, i32) {
        let shared: &OwnedFd = self.region.file();
        (shared.as_raw_fd(), self.code.as_raw_fd())
    }

    pub(crate) fn code_at(&self) -> u64 {
        self.region.range().end
    }

    /// Bytes of code, whole pages.
    pub(crate) fn code_len(&self) -> u64 {
        self.code_len.next_multiple_of(PAGE)
    }

    /// Whether an address is in the agent or in a program.
    pub(crate) fn is_code(&self, at: u64) -> bool {
        (self.code_at()..self.code_at() + self.code_len()).contains(&at)
    }

    /// A place of the agent's; none that it does not have is asked for.
    pub(crate) fn place(&self, name: &str) -> u64 {
        self.code_at() + agent::place(name).unwrap_or(0) as u64
    }

    /// Where each process has its own page.
    pub(crate) fn own_page(&self) -> u64 {
        self.code_at() + OWN_PAGE
    }

    /// A site's bytes: what its trampoline hands over.
    pub(crate) fn site(&self, ip: u64, calls: u64, count: u32, vectors: bool) -> Vec<u8> {
        let mut out = vec![0; size_of::<Site>()];
        let mut set = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        set(offset_of!(Site, ip), &ip.to_ne_bytes());
        set(offset_of!(Site, calls), &calls.to_ne_bytes());
        set(offset_of!(Site, count), &count.to_ne_bytes());
        set(offset_of!(Site, vectors), &u32::from(vectors).to_ne_bytes());
        set(offset_of!(Site, process), &self.own_page().to_ne_bytes());
        set(offset_of!(Site, control), &self.control.addr(0).to_ne_bytes());
        out
    }

    /// The slot that somebody holds.
    pub(crate) fn held_by(&self, owner: u64) -> Option<Held<'_>> {
        let all = (0..self.cpus).map(|cpu| Held { memory: self, at: slot(cpu) });
        all.into_iter().find(|slot| slot.owner() == owner)
    }

    /// Frees what threads of a process held.
    pub(crate) fn free(&self, tag: u16) {
        for cpu in 0..self.cpus {
            let slot = Held { memory: self, at: slot(cpu) };
            if slot.owner() >> 48 == u64::from(tag) {
                slot.free();
            }
        }
    }

    /// Programs run so far.
    pub(crate) fn runs(&self) -> u64 {
        let runs = |cpu| self.control.cell64(slot(cpu) + offset_of!(Slot, runs)).load(Relaxed);
        (0..self.cpus).map(runs).fold(0, u64::wrapping_add)
    }

    /// Events that were missed.
    pub(crate) fn missed(&self) -> u32 {
        self.control.cell32(offset_of!(Control, missed)).load(Relaxed)
    }
}

/// Offset of a slot.
fn slot(cpu: u32) -> usize {
    SLOTS + cpu as usize * SLOT_STRIDE
}

/// A slot that some thread holds.
pub(crate) struct Held<'a> {
    memory: &'a Memory,
    at: usize,
}

impl Held<'_> {
    fn owner(&self) -> u64 {
        self.memory.control.cell64(self.at + offset_of!(Slot, owner)).load(Acquire)
    }

    /// Its address.
    pub(crate) fn addr(&self) -> u64 {
        self.memory.control.addr(self.at)
    }

    /// Asks the holder to stop when it is done.
    pub(crate) fn kick(&self) {
        self.memory.control.cell32(self.at + offset_of!(Slot, kick)).store(1, Relaxed);
    }

    /// Takes it from a holder that is stopped and will not use it any more, with its lock.
    pub(crate) fn free(&self) {
        let control = &self.memory.control;
        let holding = control.cell64(self.at + offset_of!(Slot, holding)).swap(0, Relaxed);
        let cpu = control.cell32(self.at + offset_of!(Slot, cpu)).load(Relaxed);
        /// What a lock is held with: this and the number of the slot.
        const FIRST: u32 = 2;
        self.memory.region.give_back(holding, FIRST.wrapping_add(cpu));
        control.cell32(self.at + offset_of!(Slot, kick)).store(0, Relaxed);
        control.cell32(self.at + offset_of!(Slot, kept)).store(0, Relaxed);
        control.cell64(self.at + offset_of!(Slot, owner)).store(0, Release);
    }
}

impl Agent for Memory {
    fn helper(&self, id: u32) -> Option<u64> {
        agent::helper(id).map(|at| self.code_at() + at as u64)
    }

    fn map(&mut self, id: u32, map: &Shared) -> Result<u64, String> {
        if let Some((_, known)) = self.maps.iter().find(|(known, _)| *known == id) {
            return Ok(known.addr(0));
        }
        let none = |_| "no memory for its maps".to_owned();
        let slab = Slab::in_region(&self.region, size_of::<Map>()).map_err(none)?;
        slab.write(0, View::from(described(map).as_slice()));
        let at = slab.addr(0);
        self.maps.push((id, slab));
        Ok(at)
    }
}

/// A map's bytes as the agent takes them.
fn described(map: &Shared) -> Vec<u8> {
    let mut out = vec![0; size_of::<Map>()];
    let mut word = |at: usize, value: u32| out[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    macro_rules! words {
        ($($field:ident: $value:expr),* $(,)?) => { $(word(offset_of!(Map, $field), $value);)* };
    }
    let mut wide = Vec::new();
    match map {
        Shared::Array { layout, value_size } => {
            let copies = layout.stride.checked_div(layout.cpu_stride).unwrap_or(0);
            words! {
                kind: abi::ARRAY, key_size: 4, value_size: *value_size, max: layout.len,
                stride: layout.cpu_stride as u32, copies: copies as u32,
            }
            wide.push((offset_of!(Map, base), layout.values));
            wide.push((offset_of!(Map, size), layout.stride as u64));
        }
        Shared::Hash(hash) => {
            words! {
                kind: abi::HASH, key_size: hash.key_size, value_size: hash.value_size,
                max: hash.max, stride: hash.stride, copies: hash.copies, value: hash.value,
                cap: hash.cap, mask: hash.mask, shift: hash.shift, seed: hash.seed,
            }
            wide.push((offset_of!(Map, base), hash.slots));
            wide.push((offset_of!(Map, size), u64::from(hash.slot_size)));
            wide.push((offset_of!(Map, heads), hash.heads));
            wide.push((offset_of!(Map, pool), hash.pool));
            wide.push((offset_of!(Map, count), hash.count));
            for (i, by) in hash.multipliers.unwrap_or_default().into_iter().enumerate() {
                wide.push((offset_of!(Map, multipliers) + 8 * i, by));
            }
        }
        Shared::Ring { pages, size } => {
            words! { kind: abi::RING }
            wide.push((offset_of!(Map, base), *pages));
            wide.push((offset_of!(Map, size), *size));
        }
    }
    for (at, value) in wide {
        out[at..at + 8].copy_from_slice(&value.to_ne_bytes());
    }
    out
}
