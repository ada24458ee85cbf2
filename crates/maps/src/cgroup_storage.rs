//! Storage of programs at control groups: a value for each group, or each group and kind of
//! attachment, made when a program is attached there and not by user space.

use parking_lot::RwLock;
use uapi::{Errno, MapDef};

use crate::grown::Grown;
use crate::ops::{EXIST, Ops};
use crate::raw::View;
use crate::{Env, is_per_cpu};

/// The values, in the order in which they were made.
pub struct CgroupStorage {
    values: Grown,
    value_size: usize,
    /// Bytes from one CPU's copy to the next.
    stride: usize,
    copies: usize,
    /// The key holds the kind of attachment too.
    by_kind: bool,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    live: Vec<(Place, u32)>,
    free: Vec<u32>,
    fresh: u32,
}

/// A group, and a kind of attachment where the map tells them apart.
type Place = (u64, u32);

impl CgroupStorage {
    pub(crate) fn new(def: &MapDef, env: &Env) -> CgroupStorage {
        let value_size = def.value_size as usize;
        let stride = value_size.next_multiple_of(8);
        let copies = if is_per_cpu(def.map_type) { env.cpus as usize } else { 1 };
        CgroupStorage {
            values: Grown::new(stride * copies),
            value_size,
            stride,
            copies,
            by_kind: def.key_size == 16,
            state: RwLock::default(),
        }
    }

    fn place(&self, group: u64, kind: u32) -> Place {
        (group, if self.by_kind { kind } else { 0 })
    }

    fn of(&self, key: View<'_>) -> Place {
        self.place(key.u64(0), key.u32(8))
    }

    fn find(state: &State, place: Place) -> Option<u32> {
        state.live.iter().find(|(at, _)| *at == place).map(|(_, slot)| *slot)
    }

    /// The address of the value at a group, as one CPU sees it; made if there is none. ENOMEM.
    pub fn get_or_create(&self, group: u64, kind: u32, cpu: u32) -> Result<u64, Errno> {
        let place = self.place(group, kind);
        let mut state = self.state.write();
        let slot = match Self::find(&state, place) {
            Some(slot) => slot,
            None => self.add(&mut state, place)?,
        };
        let copy = (cpu as usize).min(self.copies - 1) * self.stride;
        self.values.addr(slot).map(|addr| addr + copy as u64).ok_or(Errno::ENOMEM)
    }

    fn add(&self, state: &mut State, place: Place) -> Result<u32, Errno> {
        let slot = match state.free.pop() {
            Some(slot) => slot,
            None => {
                self.values.make(state.fresh)?;
                state.fresh += 1;
                state.fresh - 1
            }
        };
        if let Some((slab, off)) = self.values.at(slot) {
            slab.zero(off, self.stride * self.copies);
        }
        state.live.push((place, slot));
        Ok(slot)
    }

    /// Forgets what was made for a group: nothing of the kind is attached there any more.
    pub fn forget(&self, group: u64, kind: u32) {
        let place = self.place(group, kind);
        let mut state = self.state.write();
        if let Some(at) = state.live.iter().position(|(known, _)| *known == place) {
            let (_, slot) = state.live.remove(at);
            state.free.push(slot);
        }
    }
}

impl Ops for CgroupStorage {
    fn cgroup_storage(&self) -> Option<&CgroupStorage> {
        Some(self)
    }

    fn value_at(&self, addr: u64) -> Option<(u64, u64)> {
        let slot = self.values.start_of(addr)?;
        let start = addr - (addr - slot) % self.stride as u64;
        Some((start, start + self.value_size as u64))
    }

    fn delete(&self, _: View<'_>) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn user_lookup(&self, key: &[u8], out: &mut [u8]) -> Result<(), Errno> {
        let state = self.state.read();
        let slot = Self::find(&state, self.of(View::from(key))).ok_or(Errno::ENOENT)?;
        let (slab, off) = self.values.at(slot).ok_or(Errno::ENOENT)?;
        slab.read(off, out);
        Ok(())
    }

    fn user_update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        if flags & !EXIST != 0 {
            return Err(Errno::EINVAL);
        }
        let state = self.state.read();
        let slot = Self::find(&state, self.of(View::from(key))).ok_or(Errno::ENOENT)?;
        let (slab, off) = self.values.at(slot).ok_or(Errno::ENOENT)?;
        slab.write(off, View::from(value));
        Ok(())
    }

    fn next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        let state = self.state.read();
        let at = match key {
            None => 0,
            Some(key) => {
                let place = self.of(View::from(key));
                let known = state.live.iter().position(|(at, _)| *at == place);
                known.ok_or(Errno::ENOENT)? + 1
            }
        };
        let ((group, kind), _) = state.live.get(at).ok_or(Errno::ENOENT)?;
        let bytes = [group.to_ne_bytes(), u64::from(*kind).to_ne_bytes()].concat();
        View::from(&bytes[..next.len().min(16)]).copy_to(next);
        Ok(())
    }
}
