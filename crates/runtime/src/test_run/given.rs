//! Runs on a context of the caller's making, which no kernel offers.

use std::cell::RefCell;
use std::sync::Arc;

use interp::Region;
use maps::View;
use maps::raw::Slab;
use uapi::{Errno, ProgType};

use super::{repeat, skb, xdp};
use crate::door::{GivenCtx, TestRun, TestRunOut};
use crate::event::{Event, Process};
use crate::helpers::Ctx;
use crate::message::Message;
use crate::runner::Ready;
use crate::socket::{BPF_SOCK, Socket, SocketInfo};
use crate::task::Task;
use crate::world::{Sysctl, World};

/// Most memory that is taken, in bytes.
const MAX_MEMORY: usize = 4 << 20;
/// Bytes that a program may write for its reader.
const MAX_OUTPUT: usize = 1 << 20;
const WORD: usize = 8;

/// Runs a program of type `t` on what was given.
pub(super) fn run(
    t: ProgType,
    given: &GivenCtx,
    req: &TestRun,
    mut ready: Ready,
) -> Result<TestRunOut, Errno> {
    let memory = Memory::new(given)?;
    let here = Here {
        memory: &memory,
        task: ready.task().clone(),
        regs: if t == ProgType::Kprobe { memory.ctx() } else { 0 },
        written: RefCell::default(),
    };
    let (pid, tgid) = (here.task.pid, here.task.tgid);
    let (cookie, func_ip) = (given.cookie, given.func_ip);
    let args = memory.arguments();
    let event = Event { process: &here, pid, tgid, cookie, func_ip, args };
    let sysctl = given.sysctl.as_ref().map(|sysctl| Sysctl {
        name: sysctl.name.clone(),
        current: sysctl.current.clone(),
        new: RefCell::new(sysctl.new.clone()),
        ..Sysctl::default()
    });
    let world = World {
        socket: memory.socket.as_ref(),
        sysctl: sysctl.as_ref(),
        message: memory.message.as_ref(),
        counter: given.counter.first_chunk().copied(),
        ..World::default()
    };
    let lent = Lent { event: &event, world };
    ready.granted = vec![memory.region()];
    let place = given.ctx as usize;
    let mut out = match t {
        ProgType::Xdp => xdp::given(req, ready, lent, memory.slab(), place)?,
        t if skb::has_sk_buff(t) => skb::given(t, req, ready, lent, memory.slab(), place)?,
        _ => flat(req, ready, lent, &memory)?,
    };
    let replaced = sysctl.filter(|sysctl| sysctl.replaced.get());
    let written = match (replaced, &memory.message) {
        (Some(sysctl), _) => sysctl.new.take().unwrap_or_default(),
        (None, Some(message)) => message.to_vec(),
        (None, None) => here.written.take(),
    };
    if !written.is_empty() {
        out.data_size_out = written.len() as u32;
        out.data_out = written;
    }
    out.ctx_out = memory.after();
    out.ctx_size_out = out.ctx_out.len() as u32;
    Ok(out)
}

/// What a run has besides its context.
#[derive(Clone, Copy)]
pub(super) struct Lent<'l> {
    pub(super) event: &'l Event<'l>,
    pub(super) world: World<'l>,
}

/// Contexts that are what the program sees.
fn flat(
    req: &TestRun,
    mut ready: Ready,
    lent: Lent<'_>,
    memory: &Memory<'_>,
) -> Result<TestRunOut, Errno> {
    if req.data_in.is_some() {
        return Err(Errno::EINVAL);
    }
    ready.trace_flags = "...11";
    let stop = ready.stop.clone();
    let run = || {
        let ctx = Ctx::Flat(memory.region());
        ready.run_on(ctx, memory.ctx(), Some(lent.event), lent.world)
    };
    let (retval, duration_ns) = repeat(req.repeat, &stop, run)?;
    Ok(TestRunOut { retval, duration_ns, ..TestRunOut::default() })
}

/// What was given, at addresses of its own.
struct Memory<'g> {
    given: &'g GivenCtx,
    slab: Slab,
    /// The socket that takes the place of its bytes in the memory.
    socket: Option<Arc<Socket>>,
    /// The message, likewise.
    message: Option<Message>,
}

impl<'g> Memory<'g> {
    /// EINVAL for offsets that lead out of it.
    fn new(given: &'g GivenCtx) -> Result<Memory<'g>, Errno> {
        let len = given.memory.len();
        let inside = |at: u32| (at as usize) <= len;
        let aligned = given.ctx.is_multiple_of(WORD as u32);
        if len > MAX_MEMORY || !aligned || !inside(given.ctx) || !given.task.is_none_or(inside) {
            return Err(Errno::EINVAL);
        }
        // One byte at least: an empty context has an address too.
        let slab = Slab::new(len.max(1))?;
        slab.write(0, View::from(given.memory.as_slice()));
        let part = |at: u32, len: u32| {
            let at = at as usize;
            given.memory.get(at..at.checked_add(len as usize)?)
        };
        let socket = given.socket.map(|at| {
            let bytes = part(at, BPF_SOCK as u32).and_then(|bytes| bytes.first_chunk());
            Socket::new(SocketInfo::from_bytes(bytes.ok_or(Errno::EINVAL)?), None)
        });
        let message =
            given.message.map(|(at, len)| Message::new(part(at, len).ok_or(Errno::EINVAL)?));
        let (socket, message) = (socket.transpose()?, message.transpose()?);
        let memory = Memory { given, slab, socket, message };
        for &at in &given.pointers {
            let to = memory.word(at).ok_or(Errno::EINVAL)?;
            let to = u32::try_from(to).ok().filter(|to| inside(*to)).ok_or(Errno::EINVAL)?;
            memory.put(at, memory.address(to));
        }
        Ok(memory)
    }

    /// Where what is at an offset really is.
    fn address(&self, to: u32) -> u64 {
        if let (Some(socket), Some(at)) = (&self.socket, self.given.socket)
            && at == to
        {
            return socket.addr();
        }
        if let (Some(message), Some((at, len))) = (&self.message, self.given.message) {
            let (start, end) = message.data();
            match to {
                _ if to == at => return start,
                _ if to == at + len => return end,
                _ => {}
            }
        }
        self.slab.addr(to as usize)
    }

    fn word(&self, at: u32) -> Option<u64> {
        let at = at as usize;
        at.checked_add(WORD).filter(|end| *end <= self.slab.len())?;
        let mut word = [0; WORD];
        self.slab.read(at, &mut word);
        Some(u64::from_ne_bytes(word))
    }

    /// How many arguments there are: the word before the context.
    fn arguments(&self) -> u64 {
        let before = self.given.ctx.checked_sub(WORD as u32);
        before.and_then(|at| self.word(at)).unwrap_or(0)
    }

    fn put(&self, at: u32, word: u64) {
        self.slab.write(at as usize, View::from(word.to_ne_bytes().as_slice()));
    }

    fn slab(&self) -> &Slab {
        &self.slab
    }

    fn ctx(&self) -> u64 {
        self.slab.addr(self.given.ctx as usize)
    }

    fn region(&self) -> Region {
        let start = self.slab.addr(0);
        Region { start, end: start + self.slab.len() as u64, writable: true }
    }

    /// The bytes as they are now, with offsets for addresses.
    fn after(&self) -> Vec<u8> {
        if let (Some(socket), Some(at)) = (&self.socket, self.given.socket) {
            self.slab.write(at as usize, View::from(socket.bytes().as_slice()));
        }
        if let (Some(message), Some((at, len))) = (&self.message, self.given.message) {
            let bytes = message.to_vec();
            let kept = &bytes[..bytes.len().min(len as usize)];
            self.slab.write(at as usize, View::from(kept));
        }
        let before = |at: u32| {
            let bytes = self.given.memory.get(at as usize..)?.first_chunk::<WORD>()?;
            Some(u64::from_ne_bytes(*bytes))
        };
        for &at in &self.given.pointers {
            let address = self.word(at).unwrap_or(0);
            let end = self.slab.addr(self.slab.len());
            if (self.slab.addr(0)..=end).contains(&address) {
                self.put(at, address - self.slab.addr(0));
            } else if let Some(to) = before(at)
                && (self.address(to as u32) == address || self.message.is_some())
            {
                self.put(at, to);
            }
        }
        let mut bytes = vec![0; self.given.memory.len()];
        self.slab.read(0, &mut bytes);
        bytes
    }
}

/// This process, with what was given as its memory.
struct Here<'m> {
    memory: &'m Memory<'m>,
    task: Task,
    /// Address of the registers; 0 for none.
    regs: u64,
    written: RefCell<Vec<u8>>,
}

impl Process for Here<'_> {
    fn comm(&self) -> [u8; 16] {
        let mut comm = [0; 16];
        comm.iter_mut().zip(self.task.comm.bytes().take(15)).for_each(|(to, from)| *to = from);
        comm
    }

    fn uid_gid(&self) -> (u32, u32) {
        (self.task.uid, self.task.gid)
    }

    fn read(&self, addr: u64, out: &mut [u8]) -> usize {
        let slab = &self.memory.slab;
        let Some(at) = slab.offset(addr) else { return 0 };
        let len = out.len().min(slab.len() - at);
        slab.read(at, &mut out[..len]);
        len
    }

    fn write(&self, addr: u64, bytes: &[u8]) -> Result<(), Errno> {
        let slab = &self.memory.slab;
        let at = slab.offset(addr).filter(|at| bytes.len() <= slab.len() - at);
        slab.write(at.ok_or(Errno::EFAULT)?, View::from(bytes));
        Ok(())
    }

    fn kernel(&self, addr: u64) -> Option<(u64, u64)> {
        let region = self.memory.region();
        (region.start..region.end).contains(&addr).then_some((region.start, region.end))
    }

    fn task(&self) -> u64 {
        self.memory.given.task.map_or(0, |at| self.memory.slab.addr(at as usize))
    }

    fn regs(&self) -> u64 {
        self.regs
    }

    fn stack(&self, _: &mut [u64]) -> usize {
        0
    }

    fn signal(&self, _: u32, _: bool) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    fn override_return(&self, _: u64) {}

    fn seq_write(&self, bytes: &[u8]) -> Result<(), Errno> {
        let mut written = self.written.borrow_mut();
        if written.len() + bytes.len() > MAX_OUTPUT {
            return Err(Errno::E2BIG);
        }
        written.extend_from_slice(bytes);
        Ok(())
    }
}
