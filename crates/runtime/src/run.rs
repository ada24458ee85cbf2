//! One run of a program: the memory it may touch and the helpers it calls.

use std::sync::Arc;

use interp::{Callback, Host, Region, Trap, TrapKind};

use crate::core::Core;
use crate::helpers::{self, Call, Ctx};
use crate::map_obj::MapObj;
use crate::prog::Prog;
use crate::task::Task;

/// The state of one run.
pub(crate) struct Run<'r> {
    pub(crate) core: &'r Core,
    /// The program that runs now; a tail call changes it.
    pub(crate) prog: Arc<Prog>,
    pub(crate) cpu: u32,
    pub(crate) task: &'r Task,
    pub(crate) ctx: Ctx<'r>,
    /// Maps reached through other maps.
    pub(crate) inner_maps: Vec<Arc<MapObj>>,
    /// Memory that helpers handed out.
    pub(crate) granted: Vec<Region>,
    /// Tail-call target until the switch.
    pub(crate) next: Option<Arc<Prog>>,
    /// Programs that called others from a subprogram.
    pub(crate) waiting: Vec<Arc<Prog>>,
    /// Interface that `bpf_redirect` named.
    pub(crate) redirect: Option<u32>,
    /// Latency flags of trace lines.
    pub(crate) trace_flags: &'static str,
}

impl Run<'_> {
    /// The map behind a helper's map argument.
    pub(crate) fn map(&self, handle: u64) -> Result<&Arc<MapObj>, Trap> {
        let known = |m: &&Arc<MapObj>| m.handle() == handle;
        let found =
            self.prog.maps.iter().find(known).or_else(|| self.inner_maps.iter().find(known));
        found.ok_or(Trap::here(TrapKind::Helper("a helper was called without a map")))
    }

    /// Keeps a map that was found in another one for the rest of the run; its handle.
    pub(crate) fn hold(&mut self, map: Arc<MapObj>) -> u64 {
        let handle = map.handle();
        if self.inner_maps.iter().all(|m| m.handle() != handle) {
            self.inner_maps.push(map);
        }
        handle
    }

    fn map_region(&self, addr: u64) -> Option<Region> {
        let value = |m: &Arc<MapObj>| {
            let (start, end) = m.map.ops().value_at(addr)?;
            let writable = m.map.def().flags & uapi::map_flags::RDONLY_PROG == 0;
            Some(Region { start, end, writable })
        };
        self.prog.maps.iter().find_map(value).or_else(|| self.inner_maps.iter().find_map(value))
    }
}

fn holds(region: &Region, addr: u64) -> bool {
    (region.start..region.end).contains(&addr)
}

impl Host for Run<'_> {
    fn region(&mut self, addr: u64) -> Option<Region> {
        let own = self.ctx.regions().into_iter().flatten().find(|r| holds(r, addr));
        own.or_else(|| self.map_region(addr))
            .or_else(|| self.granted.iter().find(|r| holds(r, addr)).copied())
    }

    fn call(&mut self, id: u32, args: [u64; 5], vm: &mut dyn Callback) -> Result<u64, Trap> {
        if let Some(body) = helpers::body(id) {
            return body(&mut Call { run: self, vm }, args);
        }
        match self.prog.host_helpers.iter().find(|h| h.proto.id == id) {
            Some(host) => Ok((host.body)(args)),
            None => Err(Trap::here(TrapKind::NoHelper(id))),
        }
    }

    fn program(&mut self, _: u64) -> Option<Arc<interp::Program>> {
        self.prog = self.next.take()?;
        Some(self.prog.code.clone())
    }

    fn suspend(&mut self) {
        self.waiting.push(self.prog.clone());
    }

    fn resume(&mut self) {
        if let Some(prog) = self.waiting.pop() {
            self.prog = prog;
        }
    }
}
