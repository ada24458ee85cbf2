//! Random programs, and the two ways to run one.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod generator;
pub(crate) mod maps;

use interp::{Callback, Host, Limits, Region, Trap, TrapKind, Vm};
use isa::Insn;
use jit::{ArrayMap, Env, HashMap, Input, Options, Program, RunContext, Target};

/// Bytes that programs read and write.
pub(crate) const BUFFER: usize = 256;

/// What a run leaves behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) value: u64,
    pub(crate) memory: Vec<u8>,
}

/// A buffer of a fixed address and the two engines around it.
pub(crate) struct Bench {
    buffer: Box<[u64; BUFFER / 8]>,
    vm: Vm,
}

/// Helper 200: mixes its arguments.
pub(crate) extern "C" fn mix(a: u64, b: u64, c: u64, d: u64, e: u64, _: *mut RunContext) -> u64 {
    a.rotate_left(7) ^ b.wrapping_mul(3) ^ c.rotate_left(13) ^ d.wrapping_sub(e)
}

/// Helper 201: two arguments.
pub(crate) extern "C" fn pair(a: u64, b: u64, _: u64, _: u64, _: u64, _: *mut RunContext) -> u64 {
    a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b
}

/// Helper 202: calls the function in r1 with r2 and r3 until it says 1, at most five times.
pub(crate) extern "C" fn repeat(
    func: u64,
    a: u64,
    b: u64,
    _: u64,
    _: u64,
    context: *mut RunContext,
) -> u64 {
    let mut sum = 0u64;
    for i in 0..5 {
        // SAFETY: the code passes the run's context and a function it loaded.
        let Some(value) = (unsafe { (*context).call_back(func, [i, a, b, 0, 0]) }) else {
            return 0;
        };
        sum = sum.wrapping_mul(31).wrapping_add(value);
        if value == 1 {
            break;
        }
    }
    sum
}

/// Helper 1: lookups that are not done in place.
pub(crate) extern "C" fn look_up(
    map: u64,
    key: u64,
    _: u64,
    _: u64,
    _: u64,
    _: *mut RunContext,
) -> u64 {
    let Some(map) = maps::find(map) else { return 0 };
    // SAFETY: programs put a key of the map's size there.
    map.value(unsafe { std::slice::from_raw_parts(key as *const u8, map.key_size) })
}

pub(crate) struct Helpers;

impl Env for Helpers {
    fn helper(&self, id: i32) -> Option<Target> {
        type Helper = extern "C" fn(u64, u64, u64, u64, u64, *mut RunContext) -> u64;
        let (function, args): (Helper, u8) = match id {
            200 => (mix, 5),
            201 => (pair, 2),
            202 => (repeat, 3),
            1 => (look_up, 2),
            _ => return None,
        };
        Some(Target { addr: function as usize, args, may_stop: id == 202, tag: None })
    }

    fn array(&self, map: u64) -> Option<ArrayMap> {
        maps::find(map)?.array
    }

    fn hash(&self, map: u64) -> Option<HashMap> {
        maps::find(map)?.hash
    }
}

struct World {
    region: Region,
}

impl Host for World {
    fn region(&mut self, addr: u64) -> Option<Region> {
        let has = |region: &Region| (region.start..region.end).contains(&addr);
        let maps = maps::maps().iter().map(|map| map.region());
        [self.region].into_iter().chain(maps).find(has)
    }

    fn call(&mut self, id: u32, r: [u64; 5], vm: &mut dyn Callback) -> Result<u64, Trap> {
        let none = std::ptr::null_mut();
        match id {
            1 => Ok(look_up(r[0], r[1], 0, 0, 0, none)),
            200 => Ok(mix(r[0], r[1], r[2], r[3], r[4], none)),
            201 => Ok(pair(r[0], r[1], 0, 0, 0, none)),
            202 => {
                let mut sum = 0u64;
                for i in 0..5 {
                    let value = vm.call_back(self, r[0], [i, r[1], r[2], 0, 0])?;
                    sum = sum.wrapping_mul(31).wrapping_add(value);
                    if value == 1 {
                        break;
                    }
                }
                Ok(sum)
            }
            _ => Err(Trap::here(TrapKind::NoHelper(id))),
        }
    }
}

impl Default for Bench {
    fn default() -> Bench {
        Bench { buffer: Box::new([0; BUFFER / 8]), vm: Vm::new() }
    }
}

impl Bench {
    pub(crate) fn address(&self) -> u64 {
        self.buffer.as_ptr() as u64
    }

    fn fill(&mut self, memory: &[u8]) {
        for (word, bytes) in self.buffer.iter_mut().zip(memory.chunks(8)) {
            let mut full = [0; 8];
            full[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_le_bytes(full);
        }
    }

    fn memory(&self) -> Vec<u8> {
        self.buffer.iter().flat_map(|w| w.to_le_bytes()).collect()
    }

    /// Runs in the interpreter with r1 the address of a copy of `memory`.
    pub(crate) fn interpret(&mut self, insns: &[Insn], memory: &[u8]) -> Result<Outcome, Trap> {
        self.fill(memory);
        let program = interp::Program::new(insns)?;
        let start = self.buffer.as_mut_ptr() as u64;
        let mut world =
            World { region: Region { start, end: start + BUFFER as u64, writable: true } };
        let limits = Limits { fuel: 1 << 22 };
        let value = self.vm.run(&program, start, &mut world, limits)?;
        Ok(Outcome { value, memory: self.memory() })
    }

    /// Runs compiled.
    pub(crate) fn run(
        &mut self,
        insns: &[Insn],
        starts: &[u32],
        memory: &[u8],
        options: &Options,
    ) -> Result<Outcome, String> {
        let program = Program::new(Input { insns, starts }, &Helpers, options)
            .map_err(|error| error.to_string())?;
        self.fill(memory);
        let mut context = RunContext::new();
        context.cpu = maps::CPU;
        let start = self.buffer.as_mut_ptr() as u64;
        // SAFETY: the generator keeps accesses inside the buffer and the stack.
        let value = unsafe { program.run(start, &mut context) }.map_err(|e| e.to_string())?;
        Ok(Outcome { value, memory: self.memory() })
    }
}

/// A number from the environment.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Text of the machine code.
pub(crate) fn disassemble(code: &[u8], base: u64) -> String {
    use iced_x86::Formatter;
    let mut decoder = iced_x86::Decoder::with_ip(64, code, base, 0);
    let mut formatter = iced_x86::GasFormatter::new();
    formatter.options_mut().set_first_operand_char_index(8);
    let mut out = String::new();
    for instruction in &mut decoder {
        let mut line = String::new();
        formatter.format(&instruction, &mut line);
        out += &format!("{:6x}  {line}\n", instruction.ip() - base);
    }
    out
}
