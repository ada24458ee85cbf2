//! What is attached where: lists of programs by place.
//!
//! A place is an attach type and a target. Sources of events ask [`Hooks`] for the programs of a
//! place; links and pins decide how long they stay there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::core::Core;
use crate::device::Device;
use crate::prog::Prog;
use crate::runner::Runner;

/// What a hook belongs to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Target {
    /// A network interface, by its index.
    Device(u32),
    /// The network namespace.
    Netns,
    /// A control group, by its path.
    Cgroup(String),
    /// A tracepoint, by its name.
    Tracepoint(String),
    /// A function of the kernel (object 1) or of a program: the object's id and the function's
    /// type.
    Function(u32, u32),
    /// A hook of netfilter: `NFPROTO_*` and `NF_INET_*`.
    Netfilter(u32, u32),
    /// A map, by its id.
    Map(u32),
    /// What an iterator goes through; each link is a place of its own.
    Iter(u32),
}

/// Where programs attach.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Place {
    /// `enum bpf_attach_type`.
    pub attach_type: u32,
    /// What it belongs to.
    pub target: Target,
}

/// A program at a place.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) prog: Arc<Prog>,
    /// The link that holds it; 0 for none.
    pub(crate) link: u32,
    /// Flags it was attached with; the mode of XDP.
    pub(crate) flags: u32,
    pub(crate) cookie: u64,
    /// Order among the users of netfilter, and of clsact.
    pub(crate) priority: i32,
    /// What filters of clsact are listed as.
    pub(crate) label: Arc<str>,
}

/// The programs of one place, in the order in which they run.
#[derive(Default)]
pub(crate) struct List {
    pub(crate) entries: Vec<Entry>,
    /// Flags of the whole list (control groups).
    pub(crate) flags: u32,
    /// Changes so far, from 1 on.
    pub(crate) revision: u64,
}

impl List {
    pub(crate) fn revision(&self) -> u64 {
        self.revision.max(1)
    }
}

/// All places that something is or was attached to.
pub(crate) type Places = BTreeMap<Place, List>;

/// The lists of one runtime.
#[derive(Default)]
pub(crate) struct Registry {
    places: Mutex<Places>,
    changes: AtomicU64,
    changed: Condvar,
}

impl Registry {
    /// The lists, to read.
    pub(crate) fn look(&self) -> MutexGuard<'_, Places> {
        self.places.lock()
    }

    /// Changes the lists. What is taken out of them is dropped when `change` gives it back.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Places) -> T) -> T {
        let done = {
            let mut places = self.places.lock();
            let done = change(&mut places);
            // Only groups count their changes on while nothing is attached.
            let counts = |place: &Place| matches!(place.target, Target::Cgroup(_));
            places.retain(|place, list| {
                !list.entries.is_empty() || (list.revision > 1 && counts(place))
            });
            self.changes.fetch_add(1, SeqCst);
            done
        };
        self.changed.notify_all();
        done
    }

    /// Takes a link's program away from its place; `false` if it was not there.
    pub(crate) fn remove_link(&self, place: &Place, link: u32) -> bool {
        let removed = self.change(|places| {
            let list = places.get_mut(place)?;
            let at = list.entries.iter().position(|entry| entry.link == link)?;
            list.revision = list.revision() + 1;
            Some(list.entries.remove(at))
        });
        removed.is_some()
    }

    /// Takes everything away from a target that goes.
    pub(crate) fn remove_target(&self, target: &Target) {
        let removed = self.change(|places| {
            let of_target = |place: &Place| place.target == *target;
            let (gone, kept) =
                std::mem::take(places).into_iter().partition(|(place, _)| of_target(place));
            *places = kept;
            let gone: Places = gone;
            gone
        });
        drop(removed);
    }
}

/// A runtime's hooks as sources of events see them. It keeps no runtime alive.
#[derive(Clone)]
pub struct Hooks {
    pub(crate) registry: Arc<Registry>,
    pub(crate) core: Weak<Core>,
}

/// A program at a place, ready to run on this thread.
pub struct Attached {
    /// Id of its link; 0 for none.
    pub link: u32,
    /// Id of the program.
    pub prog: u32,
    /// What it was attached with.
    pub cookie: u64,
    /// Flags it was attached with; the mode of XDP.
    pub flags: u32,
    /// The program's name.
    pub name: String,
    /// It takes packets in several pieces (BPF_F_XDP_HAS_FRAGS).
    pub frags: bool,
    /// Runs it; it holds one of the runtime's CPUs while it lives.
    pub runner: Runner,
}

impl Hooks {
    /// A number that is another one after every change.
    pub fn changes(&self) -> u64 {
        self.registry.changes.load(SeqCst)
    }

    /// Waits until the number is another one than `seen`, at most `time`; the number.
    pub fn wait(&self, seen: u64, time: Duration) -> u64 {
        let mut places = self.registry.places.lock();
        if self.changes() == seen {
            self.registry.changed.wait_for(&mut places, time);
        }
        drop(places);
        self.changes()
    }

    /// An interface, while it is there.
    pub fn device(&self, ifindex: u32) -> Option<Arc<Device>> {
        self.core.upgrade()?.network.get(ifindex)
    }

    /// Whether a program is attached there.
    pub fn is_used(&self, place: &Place) -> bool {
        self.registry.look().get(place).is_some_and(|list| !list.entries.is_empty())
    }

    /// The programs of a place in their order, ready to run on this thread; none once the runtime
    /// is gone.
    pub fn attached(&self, place: &Place) -> Vec<Attached> {
        let Some(core) = self.core.upgrade() else { return Vec::new() };
        let entries = match self.registry.look().get(place) {
            Some(list) => list.entries.clone(),
            None => return Vec::new(),
        };
        // Outside the lock: a runner may wait for a CPU.
        let ready = |entry: Entry| Attached {
            link: entry.link,
            prog: entry.prog.id,
            cookie: entry.cookie,
            flags: entry.flags,
            name: entry.prog.name.clone(),
            frags: entry.prog.owner.frags,
            runner: Runner::new(core.clone(), entry.prog),
        };
        entries.into_iter().map(ready).collect()
    }
}
