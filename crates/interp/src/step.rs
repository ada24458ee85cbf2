//! The loop: fetch a cell, do what it says.

use isa::AtomicOp;

use crate::{
    Host, Observer, Program, Trap, TrapKind, arena,
    arith::{w32, w64},
    code::{Cell, Code, R, Regs, regular_codes},
    memory::{Outside, refused},
    vm::Vm,
};

/// Frames of one program (Linux's MAX_CALL_FRAMES).
const MAX_FRAMES: usize = 8;
/// How often `may_goto` falls through in one frame (Linux's BPF_MAX_LOOPS).
const MAX_LOOPS: u32 = 8 << 20;

/// A caller waiting for its subprogram.
pub(crate) struct Frame {
    /// Slot after the call.
    resume: usize,
    /// r6 to r10.
    saved: [u64; 5],
    loops: u32,
}

/// How a program ended.
pub(crate) enum Exit {
    /// With this r0.
    Done(u64),
    /// In another program, by a call at slot `pc`.
    Tail { name: u64, ctx: u64, pc: usize },
}

/// Runs from slot `entry` until the frame it starts in exits.
pub(crate) fn execute<O: Observer>(
    vm: &mut Vm,
    host: &mut dyn Host,
    program: &Program,
    entry: usize,
    mut regs: Regs,
    observer: &mut O,
) -> Result<Exit, Trap> {
    let cells = program.cells();
    let floor = vm.frames.len();
    let mut loops = MAX_LOOPS;
    let mut fuel = vm.fuel;
    let mut pc = entry;
    // First slot not yet paid for.
    let mut mark = entry;

    loop {
        let Some(c) = cells.get(pc) else {
            return Err(Trap { pc, kind: TrapKind::BadTarget });
        };
        if O::ACTIVE {
            observer.step(pc, &regs.0);
        }
        pc += 1;

        macro_rules! stop {
            ($kind:expr) => {{
                vm.fuel = fuel;
                return Err(Trap { pc: pc - 1, kind: $kind });
            }};
        }
        // Pays for the straight line up to here.
        macro_rules! pay {
            () => {
                fuel -= (pc - mark) as i64;
                if fuel < 0 {
                    stop!(TrapKind::Fuel);
                }
            };
        }
        macro_rules! jump {
            () => {{
                pay!();
                pc = c.target();
                mark = pc;
            }};
            ($taken:expr) => {
                if $taken {
                    jump!();
                }
            };
        }
        macro_rules! load {
            ($word:ty, $as:ty) => {{
                let addr = c.address(regs[c.src]);
                match vm.memory.load::<$word>(host, addr) {
                    Ok(value) => regs[c.dst] = value as $as as u64,
                    Err(Outside) => stop!(refused(addr, size_of::<$word>() as u32, false)),
                }
            }};
        }
        macro_rules! store {
            ($word:ty, $value:expr) => {{
                let addr = c.address(regs[c.dst]);
                if vm.memory.store(host, addr, $value as $word).is_err() {
                    stop!(refused(addr, size_of::<$word>() as u32, true));
                }
            }};
        }
        macro_rules! rare {
            ($result:expr) => {
                if let Err(kind) = $result {
                    stop!(kind);
                }
            };
        }
        macro_rules! call_out {
            ($door:expr) => {{
                pay!();
                mark = pc;
                vm.fuel = fuel;
                let (value, next) =
                    vm.call_out(program, observer, $door).map_err(|trap| located(trap, pc - 1))?;
                fuel = vm.fuel;
                if let Some(name) = next {
                    let ctx = regs[R::R1];
                    if vm.frames.len() == floor {
                        return Ok(Exit::Tail { name, ctx, pc: pc - 1 });
                    }
                    regs[R::R0] = replace_frame(vm, host, name, ctx, observer)
                        .map_err(|trap| located(trap, pc - 1))?;
                    fuel = vm.fuel;
                    leave!();
                } else {
                    regs[R::R0] = value;
                }
            }};
        }
        // Back to the caller, which exists.
        macro_rules! leave {
            () => {
                if let Some(frame) = vm.frames.pop() {
                    regs.0[6..].copy_from_slice(&frame.saved);
                    vm.memory.pop_frame();
                    loops = frame.loops;
                    pc = frame.resume;
                    mark = pc;
                }
            };
        }
        macro_rules! dispatch {
            (
                alu { $($alu:ident: $ai:ident $ar:ident $bi:ident $br:ident $af:ident,)* }
                jmp { $($cond:ident: $ci:ident $cr:ident $di:ident $dr:ident $cf:ident,)* }
            ) => {
                match c.code {
                    $(Code::$ai => regs[c.dst] = w64::$af(regs[c.dst], c.imm),
                    Code::$ar => regs[c.dst] = w64::$af(regs[c.dst], regs[c.src]),
                    Code::$bi => regs[c.dst] = w32::$af(regs[c.dst] as u32, c.imm as u32).into(),
                    Code::$br => {
                        regs[c.dst] = w32::$af(regs[c.dst] as u32, regs[c.src] as u32).into();
                    })*
                    $(Code::$ci => jump!(w64::$cf(regs[c.dst], c.imm)),
                    Code::$cr => jump!(w64::$cf(regs[c.dst], regs[c.src])),
                    Code::$di => jump!(w32::$cf(regs[c.dst] as u32, c.imm as u32)),
                    Code::$dr => jump!(w32::$cf(regs[c.dst] as u32, regs[c.src] as u32)),)*

                    Code::Neg64 => regs[c.dst] = regs[c.dst].wrapping_neg(),
                    Code::Neg32 => regs[c.dst] = (regs[c.dst] as u32).wrapping_neg().into(),
                    Code::Sx8 => regs[c.dst] = regs[c.src] as i8 as u64,
                    Code::Sx16 => regs[c.dst] = regs[c.src] as i16 as u64,
                    Code::Sx32 => regs[c.dst] = regs[c.src] as i32 as u64,
                    Code::Sx8W32 => regs[c.dst] = (regs[c.src] as i8 as u32).into(),
                    Code::Sx16W32 => regs[c.dst] = (regs[c.src] as i16 as u32).into(),
                    Code::Swap16 => regs[c.dst] = (regs[c.dst] as u16).swap_bytes().into(),
                    Code::Swap32 => regs[c.dst] = (regs[c.dst] as u32).swap_bytes().into(),
                    Code::Swap64 => regs[c.dst] = regs[c.dst].swap_bytes(),
                    Code::Cut16 => regs[c.dst] = (regs[c.dst] as u16).into(),
                    Code::Cut32 => regs[c.dst] = (regs[c.dst] as u32).into(),
                    Code::LdImm64 => {
                        regs[c.dst] = c.imm;
                        pc += 1;
                    }

                    Code::LdB => load!(u8, u8),
                    Code::LdH => load!(u16, u16),
                    Code::LdW => load!(u32, u32),
                    Code::LdDw => load!(u64, u64),
                    Code::LdsB => load!(u8, i8),
                    Code::LdsH => load!(u16, i16),
                    Code::LdsW => load!(u32, i32),
                    Code::Probe => probe(vm, host, &mut regs, c),
                    Code::Arena => rare!(on_arena(vm, host, &mut regs, program, c)),
                    Code::StB => store!(u8, c.imm),
                    Code::StH => store!(u16, c.imm),
                    Code::StW => store!(u32, c.imm),
                    Code::StDw => store!(u64, c.imm),
                    Code::StxB => store!(u8, regs[c.src]),
                    Code::StxH => store!(u16, regs[c.src]),
                    Code::StxW => store!(u32, regs[c.src]),
                    Code::StxDw => store!(u64, regs[c.src]),
                    Code::Atomic32 | Code::Atomic64 => rare!(atomic(vm, host, &mut regs, c)),
                    Code::Acquire => rare!(acquire(vm, host, &mut regs, c)),
                    Code::Release => rare!(release(vm, host, &regs, c)),

                    Code::Ja => jump!(),
                    Code::MayGoto => {
                        if loops == 0 {
                            jump!();
                        } else {
                            loops -= 1;
                        }
                    }
                    Code::Call => {
                        if vm.frames.len() - floor >= MAX_FRAMES - 1 {
                            stop!(TrapKind::CallDepth);
                        }
                        let Some(top) = vm.memory.push_frame() else {
                            stop!(TrapKind::CallDepth);
                        };
                        let saved = [6, 7, 8, 9, 10].map(|r: usize| regs.0[r]);
                        vm.frames.push(Frame { resume: pc, saved, loops });
                        regs[R::R10] = top;
                        loops = MAX_LOOPS;
                        jump!();
                    }
                    Code::Helper => {
                        let (id, args) = (c.imm as u32, arguments(&regs));
                        call_out!(|back| host.call(id, args, back));
                    }
                    Code::Kfunc => {
                        let (id, module, args) = (c.imm as i32, c.off as i16, arguments(&regs));
                        call_out!(|back| host.kfunc(id, module, args, back));
                    }
                    Code::Exit => {
                        pay!();
                        if vm.frames.len() == floor {
                            vm.fuel = fuel;
                            return Ok(Exit::Done(regs[R::R0]));
                        }
                        leave!();
                    }
                    Code::Bad => stop!(TrapKind::BadInsn),
                }
            };
        }
        regular_codes!(dispatch);
    }
}

fn arguments(regs: &Regs) -> [u64; 5] {
    [R::R1, R::R2, R::R3, R::R4, R::R5].map(|r| regs[r])
}

/// The trap with the slot of the call, where it names none of its own.
#[cold]
fn located(trap: Trap, pc: usize) -> Trap {
    if trap.pc == Trap::NO_PC { Trap { pc, ..trap } } else { trap }
}

/// A tail call out of a subprogram: the other program takes the subprogram's place, and its r0
/// goes to the caller.
#[cold]
fn replace_frame<O: Observer>(
    vm: &mut Vm,
    host: &mut dyn Host,
    name: u64,
    ctx: u64,
    observer: &mut O,
) -> Result<u64, Trap> {
    host.suspend();
    let Some(next) = host.program(name) else {
        return Err(Trap::here(TrapKind::NoProgram(name)));
    };
    vm.memory.pop_frame();
    let value = vm.drive(host, &next, 0, [ctx, 0, 0, 0, 0], observer);
    vm.memory.set_frames(vm.memory.frames() + 1);
    host.resume();
    value
}

/// A guarded load: zero where the memory is not the program's.
fn probe(vm: &mut Vm, host: &mut dyn Host, regs: &mut Regs, c: &Cell) {
    let addr = c.address(regs[c.src]);
    let signed = c.aux & 4 != 0;
    let value = match c.aux & 3 {
        0 => {
            vm.memory.load::<u8>(host, addr).map(|v| if signed { v as i8 as u64 } else { v as u64 })
        }
        1 => vm
            .memory
            .load::<u16>(host, addr)
            .map(|v| if signed { v as i16 as u64 } else { v as u64 }),
        2 => vm
            .memory
            .load::<u32>(host, addr)
            .map(|v| if signed { v as i32 as u64 } else { v as u64 }),
        _ => vm.memory.load::<u64>(host, addr),
    };
    regs[c.dst] = value.unwrap_or(0);
}

fn on_arena(
    vm: &mut Vm,
    host: &mut dyn Host,
    regs: &mut Regs,
    program: &Program,
    c: &Cell,
) -> Result<(), TrapKind> {
    let (window, op) = program.on_arena(c.imm).ok_or(TrapKind::BadInsn)?;
    arena::run(vm, host, regs, window, op).ok_or(TrapKind::BadInsn)
}

fn acquire(vm: &mut Vm, host: &mut dyn Host, regs: &mut Regs, c: &Cell) -> Result<(), TrapKind> {
    let addr = c.address(regs[c.src]);
    let memory = &mut vm.memory;
    let value = match c.aux & 3 {
        0 => memory.load_acquire::<u8>(host, addr),
        1 => memory.load_acquire::<u16>(host, addr),
        2 => memory.load_acquire::<u32>(host, addr),
        _ => memory.load_acquire::<u64>(host, addr),
    };
    regs[c.dst] = value.map_err(|Outside| refused(addr, 1 << (c.aux & 3), false))?;
    Ok(())
}

fn release(vm: &mut Vm, host: &mut dyn Host, regs: &Regs, c: &Cell) -> Result<(), TrapKind> {
    let (addr, value) = (c.address(regs[c.dst]), regs[c.src]);
    let memory = &mut vm.memory;
    match c.aux & 3 {
        0 => memory.store_release::<u8>(host, addr, value),
        1 => memory.store_release::<u16>(host, addr, value),
        2 => memory.store_release::<u32>(host, addr, value),
        _ => memory.store_release::<u64>(host, addr, value),
    }
    .map_err(|Outside| refused(addr, 1 << (c.aux & 3), true))
}

const ATOMIC_OPS: [AtomicOp; 6] =
    [AtomicOp::Add, AtomicOp::Or, AtomicOp::And, AtomicOp::Xor, AtomicOp::Xchg, AtomicOp::Cmpxchg];

fn atomic(vm: &mut Vm, host: &mut dyn Host, regs: &mut Regs, c: &Cell) -> Result<(), TrapKind> {
    let (addr, operand, expected) = (c.address(regs[c.dst]), regs[c.src], regs[R::R0]);
    let op = *ATOMIC_OPS.get(usize::from(c.aux & 0x7f)).ok_or(TrapKind::BadInsn)?;
    let wide = c.code == Code::Atomic64;
    let old = if wide {
        vm.memory.atomic64(host, addr, op, operand, expected)
    } else {
        vm.memory.atomic32(host, addr, op, operand as u32, expected as u32).map(u64::from)
    };
    let old = old.map_err(|Outside| refused(addr, if wide { 8 } else { 4 }, true))?;
    if op == AtomicOp::Cmpxchg {
        regs[R::R0] = old;
    } else if c.aux & 0x80 != 0 {
        regs[c.src] = old;
    }
    Ok(())
}
