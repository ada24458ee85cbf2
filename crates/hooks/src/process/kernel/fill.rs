//! Writing a thread's structures, and the records of scheduler tracepoints.

use super::facts::Facts;
use super::layout::{Key, Layout, Part, Record, TEXT};
use super::{FlattenedBytes, Kernel};
use crate::process::thread::Thread;

/// Entries of a path that can be followed.
const DENTRIES: [Part; 6] =
    [Part::Dentry0, Part::Dentry1, Part::Dentry2, Part::Dentry3, Part::Dentry4, Part::Dentry5];
/// Ancestors that are followed.
const ANCESTORS: u32 = 16;

/// Whose structures these are.
struct Place<'a> {
    kernel: &'a Kernel,
    layout: &'a Layout,
    slot: usize,
}

impl Place<'_> {
    fn part(&self, part: Part) -> u64 {
        self.kernel.addr(self.slot) + self.layout.part(part) as u64
    }

    /// Writes a value into each field of this key, as far as it is wide.
    fn put(&self, key: Key, bytes: &[u8]) {
        for (_, field) in self.layout.fields.iter().filter(|(known, _)| *known == key) {
            let mut value = vec![0; field.size.max(bytes.len().min(8))];
            value.truncate(field.size);
            let len = bytes.len().min(value.len());
            value[..len].copy_from_slice(&bytes[..len]);
            self.kernel.write(self.slot, field.at, &value);
        }
    }

    fn number(&self, key: Key, value: u64) {
        self.put(key, &value.to_ne_bytes());
    }

    /// A number that is to be zero only if it is not known.
    fn known(&self, key: Key, value: u64) {
        if value != 0 {
            self.number(key, value);
        }
    }
}

impl Kernel {
    /// The address of a thread's `task_struct`, filled; 0 without types or memory. `find` gives
    /// the traced thread of an id.
    pub(crate) fn task<'t>(
        &self,
        thread: &'t Thread,
        find: &dyn Fn(i32) -> Option<&'t Thread>,
    ) -> u64 {
        self.traced(thread, find, ANCESTORS)
    }

    fn traced<'t>(
        &self,
        thread: &'t Thread,
        find: &dyn Fn(i32) -> Option<&'t Thread>,
        depth: u32,
    ) -> u64 {
        let (Some(layout), Some(slot)) = (&self.layout, self.slot(thread)) else { return 0 };
        let place = Place { kernel: self, layout, slot };
        if !thread.filled.replace(true) {
            let facts = Facts::read(thread.tid).unwrap_or_default();
            place.fill(&facts, thread.tid, thread.tgid);
            place.known("born", thread.born);
            let leader = match find(thread.tgid) {
                Some(leader) if leader.tid != thread.tid => self.traced(leader, find, depth),
                _ => place.part(Part::Task),
            };
            place.number("leader", leader);
            place.number("parent", self.relative(facts.ppid, find, depth));
        }
        place.put("comm", &thread.comm());
        place.part(Part::Task)
    }

    fn relative<'t>(&self, pid: i32, find: &dyn Fn(i32) -> Option<&'t Thread>, depth: u32) -> u64 {
        match (depth.checked_sub(1), find(pid)) {
            (None, _) => 0,
            (Some(depth), Some(thread)) => self.traced(thread, find, depth),
            (Some(depth), None) => self.other(pid, find, depth),
        }
    }

    /// A process that is not traced.
    fn other<'t>(&self, pid: i32, find: &dyn Fn(i32) -> Option<&'t Thread>, depth: u32) -> u64 {
        let Some(layout) = &self.layout else { return 0 };
        let known = self.memory.borrow().others.get(&pid).copied();
        if let Some(slot) = known {
            return Place { kernel: self, layout, slot }.part(Part::Task);
        }
        let Some(slot) = self.take_slot() else { return 0 };
        self.memory.borrow_mut().others.insert(pid, slot);
        let place = Place { kernel: self, layout, slot };
        let facts = Facts::read(pid).unwrap_or_default();
        place.fill(&facts, pid, pid);
        place.put("comm", &facts.comm[..facts.comm.len().min(15)]);
        place.number("leader", place.part(Part::Task));
        let own = place.part(Part::Task);
        // Process 0, which has no /proc entry, is its own parent.
        place.number("parent", if pid == 0 { own } else { self.relative(facts.ppid, find, depth) });
        own
    }

    /// How a thread ends, in its `task_struct`.
    pub(crate) fn set_exit_code(&self, thread: &Thread, code: u64) {
        let (Some(layout), Some(slot)) = (&self.layout, thread.slot.get()) else { return };
        Place { kernel: self, layout, slot }.number("exit_code", code);
    }

    /// The `linux_binprm` of an exec; 0 without types.
    pub(crate) fn binprm(&self, thread: &Thread, path: &[u8]) -> u64 {
        let (Some(layout), Some(slot)) = (&self.layout, self.slot(thread)) else { return 0 };
        let place = Place { kernel: self, layout, slot };
        let text = layout.part(Part::Text);
        let half = TEXT / 2;
        let mut bytes = path[..path.len().min(half - 1)].to_vec();
        bytes.push(0);
        self.write(slot, text + half, &bytes);
        place.number("path", self.addr(slot) + (text + half) as u64);
        place.number("exe", place.part(Part::Exe));
        place.part(Part::Binprm)
    }
}

impl Place<'_> {
    fn fill(&self, facts: &Facts, tid: i32, tgid: i32) {
        for (key, value) in [("pid", tid), ("tgid", tgid), ("prio", facts.prio + 100)] {
            self.put(key, &value.to_ne_bytes());
        }
        for (key, part) in [
            ("cred", Part::Cred),
            ("mm", Part::Mm),
            ("nsproxy", Part::Nsproxy),
            ("signal", Part::Signal),
            ("thread_pid", Part::Pid),
            ("uts", Part::Uts),
            ("ipc", Part::IpcNs),
            ("mnt", Part::MntNs),
            ("pid_ns", Part::PidNs),
            ("net", Part::NetNs),
            ("cgroup", Part::CgroupNs),
            ("exe", Part::Exe),
            ("task", Part::Task),
        ] {
            self.number(key, self.part(part));
        }
        let ids = ["uid", "euid", "suid", "fsuid", "gid", "egid", "sgid", "fsgid"];
        for (key, id) in ids.into_iter().zip(facts.ids) {
            self.put(key, &id.to_ne_bytes());
        }
        for (key, value) in facts.memory.iter().chain(&facts.namespaces) {
            self.number(key, *value);
        }
        self.number("born", facts.started);
        self.number("born_boot", facts.started);
        self.number("flags", facts.flags);
        self.number("exit_code", facts.exit_code);
        self.number("threads", facts.threads.into());
        self.number("loginuid", facts.loginuid.into());
        self.number("sessionid", facts.sessionid.into());
        let host = std::fs::read("/proc/sys/kernel/hostname").unwrap_or_default();
        self.put("nodename", host.trim_ascii_end());
        // `struct upid`: the number, and the namespace that counts it.
        let upid = [u64::from(tid as u32), self.part(Part::PidNs)];
        self.put("upid", &upid.as_flattened_bytes());
        self.put("signal_pid", &[self.part(Part::Pid); 4].as_flattened_bytes());
        self.path(&facts.exe);
    }

    /// The program's path as directory entries, from its last name up to the root.
    fn path(&self, path: &[u8]) {
        let [Some(parent), Some(name), Some(len)] = self.layout.dentry else { return };
        let text = self.layout.part(Part::Text);
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            let start = at;
            if start + bytes.len() + 1 > TEXT / 2 {
                return 0;
            }
            self.kernel.write(self.slot, text + start, bytes);
            self.kernel.write(self.slot, text + start + bytes.len(), &[0]);
            at += bytes.len() + 1;
            self.kernel.addr(self.slot) + (text + start) as u64
        };
        let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).rev();
        let names = names.take(DENTRIES.len() - 1).chain([b"/".as_slice()]);
        for (index, part) in names.enumerate() {
            let here = self.layout.part(DENTRIES[index]);
            let last = part == b"/";
            let up = DENTRIES[if last { index } else { index + 1 }];
            let pointers = [(parent, self.part(up)), (name, put(part)), (len, part.len() as u64)];
            for (field, value) in pointers {
                let bytes = &value.to_ne_bytes()[..field.size.min(8)];
                self.kernel.write(self.slot, here + field.at, bytes);
            }
        }
        self.number("dentry", self.part(Part::Dentry0));
    }
}

/// Values of a record's fields.
pub(crate) struct Values<'a> {
    pub(crate) numbers: &'a [(Key, i64)],
    pub(crate) texts: &'a [(Key, &'a [u8])],
}

/// Tracepoints of the scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sched {
    Fork,
    Exec,
    Exit,
}

impl Kernel {
    /// The record of a scheduler's tracepoint as the target kernel lays it out; none without its
    /// types.
    pub(crate) fn record(&self, event: Sched, values: &Values<'_>) -> Option<Vec<u8>> {
        let layout = self.layout.as_ref()?;
        let record = match event {
            Sched::Fork => &layout.fork,
            Sched::Exec => &layout.exec,
            Sched::Exit => &layout.exit,
        };
        record.as_ref().map(|record| record.bytes(values))
    }
}

impl Record {
    fn bytes(&self, values: &Values<'_>) -> Vec<u8> {
        let mut out = vec![0; self.size];
        for &(key, field, apart) in &self.fields {
            let place = field.at..field.at + field.size;
            if let Some((_, text)) = values.texts.iter().find(|(known, _)| *known == key) {
                if apart {
                    // Offset of the text in the lower half, its length in the upper one.
                    let loc = (text.len() as u32 + 1) << 16 | out.len() as u32;
                    out[place].copy_from_slice(&loc.to_ne_bytes());
                    out.extend_from_slice(text);
                    out.push(0);
                } else {
                    let len = text.len().min(field.size.saturating_sub(1));
                    out[field.at..field.at + len].copy_from_slice(&text[..len]);
                }
            } else if let Some((_, number)) = values.numbers.iter().find(|(known, _)| *known == key)
            {
                out[place].copy_from_slice(&number.to_ne_bytes()[..field.size.min(8)]);
            }
        }
        out
    }
}
