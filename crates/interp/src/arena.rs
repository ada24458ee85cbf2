//! Loads and stores through arena addresses, and casts of these.
//!
//! An arena address is 32 bits from the arena's window on. What is not there reads as zero, and
//! stores to it are lost; the run goes on, as on Linux.

use isa::{AtomicOp, Op, Reg, Size, Src};

use crate::code::{R, Regs};
use crate::host::Host;
use crate::vm::Vm;

/// Where a program's arena is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArenaWindow {
    /// Address of what programs call 0.
    pub base: u64,
    /// The upper half of addresses in user space.
    pub user_high: u32,
}

/// Runs `op`, a memory operation or a cast; `None` for another or an odd register.
pub(crate) fn run(
    vm: &mut Vm,
    host: &mut dyn Host,
    regs: &mut Regs,
    window: ArenaWindow,
    op: &Op,
) -> Option<()> {
    let at = |base: u64, off: i16| {
        window.base.wrapping_add(base as u32 as u64).wrapping_add(off as i64 as u64)
    };
    match *op {
        Op::AddrSpaceCast { dst, src, .. } => {
            let low = regs.at(src)? as u32;
            let high = if low == 0 { 0 } else { window.user_high };
            regs.put(dst, u64::from(high) << 32 | u64::from(low))
        }
        Op::Load { size, signed, dst, base, off } => {
            let addr = at(regs.at(base)?, off);
            let value = load(vm, host, size, signed, addr).unwrap_or(0);
            regs.put(dst, value)
        }
        Op::LoadAcquire { size, dst, base, off } => {
            let addr = at(regs.at(base)?, off);
            let value = load(vm, host, size, false, addr).unwrap_or(0);
            regs.put(dst, value)
        }
        Op::Store { size, base, off, src } => {
            let value = match src {
                Src::Reg(reg) => regs.at(reg)?,
                Src::Imm(imm) => imm as i64 as u64,
            };
            store(vm, host, size, at(regs.at(base)?, off), value);
            Some(())
        }
        Op::StoreRelease { size, base, off, src } => {
            store(vm, host, size, at(regs.at(base)?, off), regs.at(src)?);
            Some(())
        }
        Op::Atomic { size, op, fetch, base, off, src } => {
            let addr = at(regs.at(base)?, off);
            let (operand, expected) = (regs.at(src)?, regs.at(Reg::R0)?);
            let old = match size {
                Size::DW => vm.memory.atomic64(host, addr, op, operand, expected).ok(),
                _ => {
                    let old = vm.memory.atomic32(host, addr, op, operand as u32, expected as u32);
                    old.ok().map(u64::from)
                }
            };
            let to = match op {
                AtomicOp::Cmpxchg => Some(Reg::R0),
                _ => fetch.then_some(src),
            };
            // Where nothing is, the register stays as it was.
            match to.zip(old) {
                Some((to, old)) => regs.put(to, old),
                None => Some(()),
            }
        }
        _ => None,
    }
}

/// Registers by their names in instructions.
impl Regs {
    fn at(&self, reg: Reg) -> Option<u64> {
        Some(self[R::new(reg)?])
    }

    fn put(&mut self, reg: Reg, value: u64) -> Option<()> {
        self[R::new(reg)?] = value;
        Some(())
    }
}

fn load(vm: &mut Vm, host: &mut dyn Host, size: Size, signed: bool, addr: u64) -> Option<u64> {
    let memory = &mut vm.memory;
    let value = match size {
        Size::B => u64::from(memory.load::<u8>(host, addr).ok()?),
        Size::H => u64::from(memory.load::<u16>(host, addr).ok()?),
        Size::W => u64::from(memory.load::<u32>(host, addr).ok()?),
        Size::DW => memory.load::<u64>(host, addr).ok()?,
    };
    let unused = 64 - 8 * size.bytes();
    Some(if signed { ((value << unused) as i64 >> unused) as u64 } else { value })
}

/// Lost where nothing is.
fn store(vm: &mut Vm, host: &mut dyn Host, size: Size, addr: u64, value: u64) {
    let memory = &mut vm.memory;
    let _ = match size {
        Size::B => memory.store::<u8>(host, addr, value as u8),
        Size::H => memory.store::<u16>(host, addr, value as u16),
        Size::W => memory.store::<u32>(host, addr, value as u32),
        Size::DW => memory.store::<u64>(host, addr, value),
    };
}
