//! What programs have run later: timers and work, on a thread of ring3's own.
//!
//! A timer or a work item is known by the address of its field in a map's value. It goes when the
//! value does, or when user space has let go of the map.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{self, ThreadId};
use std::time::Duration;

use interp::{Limits, Region, Vm};
use maps::View;
use maps::raw::Slab;
use parking_lot::{Condvar, Mutex};
use uapi::{Errno, MapType};

use crate::clock;
use crate::core::Core;
use crate::helpers::Ctx;
use crate::map_obj::MapObj;
use crate::prog::Prog;
use crate::run::Run;
use crate::runner::call_function;
use crate::task::Task;

/// What comes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `struct bpf_timer` on this clock.
    Timer(Clock),
    /// `struct bpf_wq`.
    Work,
}

/// Clocks of timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    Real,
    Monotonic,
    Boot,
}

impl Clock {
    /// The clock of Linux's number.
    pub(crate) fn numbered(id: u64) -> Option<Clock> {
        match id {
            0 => Some(Clock::Real),
            1 => Some(Clock::Monotonic),
            7 => Some(Clock::Boot),
            _ => None,
        }
    }

    fn now(self) -> u64 {
        let kind = match self {
            Clock::Real => clock::ClockKind::Real,
            Clock::Monotonic => clock::ClockKind::Monotonic,
            Clock::Boot => clock::ClockKind::Boot,
        };
        clock::Clock::Machine.ns(kind)
    }
}

struct Item {
    kind: Kind,
    map: Weak<MapObj>,
    /// The program, and which of its functions.
    callback: Option<(Arc<Prog>, usize)>,
    /// When it is due, in nanoseconds of the monotonic clock.
    due: Option<u64>,
    cpu: u32,
}

#[derive(Default)]
struct State {
    items: HashMap<u64, Item>,
    queue: BTreeSet<(u64, u64)>,
    /// Whose callback runs.
    running: Option<u64>,
    thread: Option<ThreadId>,
    stopped: bool,
}

impl State {
    /// Takes an item out of the queue; whether it was in.
    fn unschedule(&mut self, at: u64) -> bool {
        let due = self.items.get_mut(&at).and_then(|item| item.due.take());
        due.is_some_and(|due| self.queue.remove(&(due, at)))
    }
}

/// A callback whose time has come.
struct Due {
    at: u64,
    prog: Arc<Prog>,
    function: usize,
    map: Arc<MapObj>,
    cpu: u32,
}

/// Timers and work.
#[derive(Default)]
pub(crate) struct Later {
    core: OnceLock<Weak<Core>>,
    state: Mutex<State>,
    changed: Condvar,
}

/// Nanoseconds that a timer may be ahead at most.
const MAX_AHEAD: u64 = i64::MAX as u64;

impl Later {
    /// Callbacks run in this core from now on.
    pub(crate) fn belongs_to(&self, core: Weak<Core>) {
        let _ = self.core.set(core);
    }

    /// EBUSY if there is one at this address.
    pub(crate) fn init(&self, at: u64, kind: Kind, map: &Arc<MapObj>) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if state.items.contains_key(&at) {
            return Err(Errno::EBUSY);
        }
        // Nobody would ever cancel it.
        if !map.is_held() {
            return Err(Errno::EPERM);
        }
        let map = Arc::downgrade(map);
        state.items.insert(at, Item { kind, map, callback: None, due: None, cpu: 0 });
        Ok(())
    }

    /// EINVAL before `init`; EPERM if user space has let go of the map.
    pub(crate) fn set_callback(
        &self,
        at: u64,
        prog: &Arc<Prog>,
        function: usize,
    ) -> Result<(), Errno> {
        let mut state = self.state.lock();
        let item = state.items.get_mut(&at).ok_or(Errno::EINVAL)?;
        if !item.map.upgrade().is_some_and(|map| map.is_held()) {
            return Err(Errno::EPERM);
        }
        let before = item.callback.replace((prog.clone(), function));
        drop(state);
        drop(before);
        Ok(())
    }

    /// Has the callback run in or at `ns` of the timer's clock; EINVAL without one.
    pub(crate) fn start(&self, at: u64, ns: u64, absolute: bool, cpu: u32) -> Result<(), Errno> {
        let mut state = self.state.lock();
        let item = state.items.get(&at).ok_or(Errno::EINVAL)?;
        let now = Clock::Monotonic.now();
        let ahead = match item.kind {
            Kind::Timer(_) if item.callback.is_none() => return Err(Errno::EINVAL),
            Kind::Timer(clock) if absolute => ns.saturating_sub(clock.now()),
            _ => ns,
        };
        let due = now.saturating_add(ahead.min(MAX_AHEAD));
        state.unschedule(at);
        if let Some(item) = state.items.get_mut(&at) {
            (item.due, item.cpu) = (Some(due), cpu);
        }
        state.queue.insert((due, at));
        self.ensure_thread(&mut state)?;
        self.changed.notify_all();
        Ok(())
    }

    /// Takes a timer back and waits for its callback to end: whether it was to run, or ran. EINVAL
    /// before `init`, EDEADLK in the callback of a timer.
    pub(crate) fn cancel(&self, at: u64) -> Result<bool, Errno> {
        let mut state = self.state.lock();
        if !state.items.contains_key(&at) {
            return Err(Errno::EINVAL);
        }
        let own = state.thread == Some(thread::current().id());
        if own && state.running == Some(at) {
            return Err(Errno::EDEADLK);
        }
        let was_due = state.unschedule(at);
        let callback = state.items.get_mut(&at).and_then(|item| item.callback.take());
        let ran = state.running == Some(at);
        while !own && state.running == Some(at) {
            self.changed.wait(&mut state);
        }
        drop(state);
        drop(callback);
        Ok(was_due || ran)
    }

    /// Whether its callback is to run, or runs.
    pub(crate) fn is_waiting(&self, at: u64) -> bool {
        let state = self.state.lock();
        state.running == Some(at) || state.items.get(&at).is_some_and(|item| item.due.is_some())
    }

    /// The field at this address is no longer.
    pub(crate) fn forget(&self, at: u64) {
        let mut state = self.state.lock();
        state.unschedule(at);
        let gone = state.items.remove(&at);
        drop(state);
        // Only now: its program may hold the map.
        drop(gone);
    }

    /// User space has let go of a map: nothing of it is to run any more.
    pub(crate) fn forget_map(&self, map: &MapObj) {
        let mut state = self.state.lock();
        let of_map = |item: &Item| std::ptr::eq(item.map.as_ptr(), map);
        let at: Vec<u64> =
            state.items.iter().filter(|(_, item)| of_map(item)).map(|(at, _)| *at).collect();
        let mut gone = Vec::new();
        for at in at {
            state.unschedule(at);
            gone.extend(state.items.remove(&at));
        }
        drop(state);
        drop(gone);
    }

    /// The thread ends.
    pub(crate) fn stop(&self) {
        let mut state = self.state.lock();
        state.stopped = true;
        state.queue.clear();
        let gone = std::mem::take(&mut state.items);
        self.changed.notify_all();
        drop(state);
        drop(gone);
    }

    fn ensure_thread(&self, state: &mut State) -> Result<(), Errno> {
        if state.thread.is_some() {
            return Ok(());
        }
        let core = self.core.get().cloned().ok_or(Errno::EOPNOTSUPP)?;
        let later = core.upgrade().ok_or(Errno::EPERM)?.later.clone();
        let spawned = thread::Builder::new()
            .name("ring3-timers".into())
            .spawn(move || work(&later, &core))
            .map_err(|_| Errno::ENOMEM)?;
        state.thread = Some(spawned.thread().id());
        Ok(())
    }

    /// Waits for the next callback that is due.
    fn next(&self) -> Option<Due> {
        let mut state = self.state.lock();
        loop {
            if state.stopped {
                return None;
            }
            let Some(&(due, at)) = state.queue.first() else {
                self.changed.wait(&mut state);
                continue;
            };
            let now = Clock::Monotonic.now();
            if due > now {
                self.changed.wait_for(&mut state, Duration::from_nanos(due - now));
                continue;
            }
            state.unschedule(at);
            let Some(item) = state.items.get(&at) else { continue };
            let Some((prog, function)) = item.callback.clone() else { continue };
            let Some(map) = item.map.upgrade() else { continue };
            let cpu = item.cpu;
            state.running = Some(at);
            return Some(Due { at, prog, function, map, cpu });
        }
    }

    fn done(&self) {
        self.state.lock().running = None;
        self.changed.notify_all();
    }
}

/// The thread: one callback after the other.
fn work(later: &Later, core: &Weak<Core>) {
    let (mut vm, task) = (Vm::new(), Task::current());
    let Ok(key) = Slab::new(4096) else { return };
    while let Some(due) = later.next() {
        let Some(core) = core.upgrade() else { return };
        call_back(&core, &mut vm, &task, &key, due);
        later.done();
    }
}

/// Calls a function with map, key and value. What it traps on ends it alone.
fn call_back(
    core: &Arc<Core>,
    vm: &mut Vm,
    task: &Task,
    memory: &Slab,
    Due { at, prog, function, map, cpu }: Due,
) {
    let Some((start, _)) = map.map.ops().value_at(at) else { return };
    let Some(key) = key_of(&map, start) else { return };
    let key = &key[..key.len().min(memory.len())];
    memory.write(0, View::from(key));
    let (from, len) = (memory.addr(0), key.len() as u64);
    let region = Region { start: from, end: from + len, writable: false };
    let mut run = Run::new(core, prog.clone(), cpu, task, Ctx::Flat(region));
    run.pin();
    let limits = Limits { fuel: core.config.fuel };
    let args = [map.handle(), from, start, 0, 0];
    run.inner_maps.push(map.clone());
    drop(call_function(vm, &prog, function, args, &mut run, limits, false));
    run.finish();
}

/// The key of the element whose value is at `value`.
fn key_of(map: &MapObj, value: u64) -> Option<Vec<u8>> {
    let size = map.key_size();
    if map.map.def().map_type == MapType::Array {
        let layout = map.map.ops().layout()?;
        let index = (value - layout.values) / layout.stride as u64;
        return Some((index as u32).to_ne_bytes().to_vec());
    }
    let mut found = None;
    let _ = map.map.ops().for_each(0, &mut |key, at| {
        if at == value {
            found = Some(crate::helpers::bytes_at(key, size));
        }
        found.is_none()
    });
    found
}
