//! What the tests share.
#![allow(dead_code, reason = "each test file uses its part")]

#[path = "../../../interp/tests/common/asm.rs"]
pub(crate) mod asm;
#[path = "../../../interp/tests/common/kernel.rs"]
pub(crate) mod kernel;

use interp::{Callback, Host, Limits, Program, Region, Trap, TrapKind};
use isa::Insn;
use translate::{Input, TranslateError, Translated};
use uapi::ProgType;
use verifier::{Access, Facts, InsnFacts};

/// Facts that call the given slots context accesses, and everything live.
pub(crate) fn context_facts(slots: usize, accesses: &[usize]) -> Facts {
    let mut insns = vec![InsnFacts { reachable: true, ..InsnFacts::default() }; slots];
    for slot in accesses {
        insns[*slot].access = Access::Ctx;
    }
    Facts { insns, ..Facts::default() }
}

pub(crate) fn translated(
    insns: &[Insn],
    facts: &Facts,
    prog_type: ProgType,
) -> Result<Translated, TranslateError> {
    translate::translate(Input {
        insns,
        facts,
        prog_type: Some(prog_type),
        attach_type: 0,
        maps: &[],
        fd_array: &[],
        vars: &[],
        kfuncs: &[],
        user_casts: false,
    })
}

pub(crate) struct Buffers(pub(crate) Vec<Region>);

impl Buffers {
    /// `ctx` and `packet`, both writable.
    pub(crate) fn new<C>(ctx: &mut C, packet: &mut [u8]) -> Buffers {
        let region =
            |start: u64, len: usize| Region { start, end: start + len as u64, writable: true };
        let ctx_at = std::ptr::from_mut(ctx).expose_provenance() as u64;
        let packet_at = packet.as_mut_ptr().expose_provenance() as u64;
        Buffers(vec![region(ctx_at, size_of::<C>()), region(packet_at, packet.len())])
    }

    pub(crate) fn ctx(&self) -> u64 {
        self.0[0].start
    }

    pub(crate) fn packet(&self) -> u64 {
        self.0[1].start
    }

    pub(crate) fn run(&mut self, program: &Translated) -> Result<u64, Trap> {
        let ctx = self.ctx();
        interp::run(&Program::new(program)?, ctx, self, Limits { fuel: 1_000_000 })
    }
}

impl Host for Buffers {
    fn region(&mut self, addr: u64) -> Option<Region> {
        self.0.iter().copied().find(|r| r.start <= addr && addr < r.end)
    }

    fn call(&mut self, id: u32, _: [u64; 5], _: &mut dyn Callback) -> Result<u64, Trap> {
        Err(Trap::here(TrapKind::NoHelper(id)))
    }
}
