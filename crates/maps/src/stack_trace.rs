//! Stack traces: who called whom, each once, by a number made of the addresses.

use parking_lot::Mutex;
use uapi::{Errno, MapDef, map_flags};

use crate::Env;
use crate::index::index;
use crate::jhash::jhash;
use crate::ops::Ops;
use crate::raw::{Slab, View};

/// `BPF_F_FAST_STACK_CMP`: equal hashes are equal traces.
const FAST_STACK_CMP: u64 = 1 << 9;
/// `BPF_F_REUSE_STACKID`: a new trace takes the place of another of its number.
const REUSE_STACKID: u64 = 1 << 10;

/// The traces.
pub struct StackTrace {
    frames: Slab,
    /// Bytes of a value.
    value_size: usize,
    /// Bytes of a frame: an address, or a build id and offset.
    frame_size: usize,
    state: Mutex<State>,
}

struct State {
    /// By number: which trace.
    buckets: Vec<Option<Trace>>,
    free: Vec<u32>,
    fresh: u32,
    max: u32,
}

#[derive(Clone, Copy)]
struct Trace {
    slot: u32,
    hash: u32,
    /// Bytes.
    len: usize,
}

impl StackTrace {
    pub(crate) fn new(def: &MapDef, env: &Env) -> Result<StackTrace, Errno> {
        let value_size = def.value_size as usize;
        let count = def.max_entries.next_power_of_two() as usize;
        let mut buckets = Vec::new();
        buckets.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
        buckets.resize(count, None);
        let state = State { buckets, free: Vec::new(), fresh: 0, max: def.max_entries };
        Ok(StackTrace {
            frames: env.slab(value_size, def.max_entries as usize)?,
            value_size,
            frame_size: if def.flags & map_flags::STACK_BUILD_ID != 0 { 32 } else { 8 },
            state: Mutex::new(state),
        })
    }

    /// Frames that a trace may have.
    pub fn max_frames(&self) -> usize {
        self.value_size / self.frame_size
    }

    /// Bytes of a frame in a value: 8, or 32 with build ids.
    pub fn frame_size(&self) -> usize {
        self.frame_size
    }

    /// The number of the trace of these addresses, innermost first, which is kept; `frames` are
    /// its bytes as values have them, for maps of build ids, else the addresses. `flags` of
    /// bpf_get_stackid. EEXIST if another trace has the number, ENOMEM if the map is full, EFAULT
    /// without an address.
    pub fn insert(&self, addresses: &[u64], frames: &[u8], flags: u64) -> Result<u32, Errno> {
        let addresses = &addresses[..addresses.len().min(self.max_frames())];
        if addresses.is_empty() {
            return Err(Errno::EFAULT);
        }
        let words: Vec<u8> = addresses.iter().flat_map(|a| a.to_ne_bytes()).collect();
        let hash = jhash(View::from(&words[..]), 0);
        let bytes = &frames[..frames.len().min(addresses.len() * self.frame_size)];
        let mut state = self.state.lock();
        let id = hash as usize & (state.buckets.len() - 1);
        let known = state.buckets[id];
        if let Some(known) = known {
            let same = known.hash == hash
                && (flags & FAST_STACK_CMP != 0
                    || (known.len == bytes.len() && self.same(known, bytes)));
            if same {
                return Ok(id as u32);
            }
            if flags & REUSE_STACKID == 0 {
                return Err(Errno::EEXIST);
            }
        }
        let slot = state.take().ok_or(Errno::ENOMEM)?;
        self.frames.write(slot as usize * self.value_size, View::from(bytes));
        state.buckets[id] = Some(Trace { slot, hash, len: bytes.len() });
        state.free.extend(known.map(|known| known.slot));
        Ok(id as u32)
    }

    fn same(&self, trace: Trace, bytes: &[u8]) -> bool {
        self.frames.same(trace.slot as usize * self.value_size, View::from(bytes))
    }

    fn copy(&self, trace: Trace, out: &mut [u8]) {
        let len = trace.len.min(out.len());
        self.frames.read(trace.slot as usize * self.value_size, &mut out[..len]);
        out[len..].fill(0);
    }
}

impl State {
    fn take(&mut self) -> Option<u32> {
        self.free.pop().or_else(|| {
            let slot = self.fresh;
            (slot < self.max).then(|| {
                self.fresh += 1;
                slot
            })
        })
    }

    fn remove(&mut self, id: u32) -> Option<Trace> {
        let trace = self.buckets.get_mut(id as usize)?.take()?;
        self.free.push(trace.slot);
        Some(trace)
    }
}

impl Ops for StackTrace {
    fn stack_trace(&self) -> Option<&StackTrace> {
        Some(self)
    }

    fn delete(&self, key: View<'_>) -> Result<(), Errno> {
        let (id, mut state) = (key.u32(0), self.state.lock());
        if id as usize >= state.buckets.len() {
            return Err(Errno::E2BIG);
        }
        state.remove(id).map(drop).ok_or(Errno::ENOENT)
    }

    fn user_lookup(&self, key: &[u8], out: &mut [u8]) -> Result<(), Errno> {
        let state = self.state.lock();
        let trace = state.buckets.get(index(key) as usize).copied().flatten();
        self.copy(trace.ok_or(Errno::ENOENT)?, out);
        Ok(())
    }

    fn user_update(&self, _: &[u8], _: &[u8], _: u64) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        let state = self.state.lock();
        let live = |id: usize| state.buckets.get(id).is_some_and(Option::is_some);
        let from = match key.map(|key| index(key) as usize) {
            Some(id) if live(id) => id + 1,
            _ => 0,
        };
        let id = (from..state.buckets.len()).find(|id| live(*id)).ok_or(Errno::ENOENT)?;
        View::from(&(id as u32).to_ne_bytes()[..]).copy_to(next);
        Ok(())
    }

    fn take(&self, key: &[u8], out: &mut [u8], _: bool) -> Result<(), Errno> {
        let mut state = self.state.lock();
        let trace = state.remove(index(key)).ok_or(Errno::ENOENT)?;
        self.copy(trace, out);
        Ok(())
    }
}
