//! Programs compiled for another process, which has their maps at the same addresses.

use std::sync::Arc;

use isa::{Callee, Insn, Op};
use jit::{ArrayMap, HashMap, Input, Options, Target};
use maps::Shared;

use crate::Runner;
use crate::map_obj::MapObj;
use crate::native::doors;
use crate::prog::Prog;

/// What is in the other process for programs to call.
pub trait Agent {
    /// Address of the function that does what helper `id` does, called with the helper's arguments
    /// and the run's context; none if nothing does.
    fn helper(&self, id: u32) -> Option<u64>;

    /// What that function takes for the map of this id.
    fn map(&mut self, id: u32, map: &Shared) -> Result<u64, String>;
}

/// Machine code for another process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignCode {
    /// It runs at any address that is a multiple of 64.
    pub bytes: Vec<u8>,
    /// Offset of its entry, a C function of the program's context; its sixth argument is the run's
    /// context, in which the logical CPU is 4 bytes at [`ForeignCode::CPU`].
    pub entry: u32,
    /// It calls functions of the agent.
    pub calls: bool,
}

impl ForeignCode {
    /// Offset of the logical CPU in a run's context.
    pub const CPU: usize = std::mem::offset_of!(jit::RunContext, cpu);
    /// Bytes of a run's context.
    pub const CONTEXT: usize = size_of::<jit::RunContext>();
}

impl Runner {
    /// The program as machine code for a process where `agent` is; or why it must run here.
    pub fn foreign(&self, agent: &mut dyn Agent) -> Result<ForeignCode, String> {
        let ready = &self.ready;
        if ready.core.config.deterministic.is_some() {
            return Err("its clock is not the machine's".into());
        }
        compile(&ready.prog, agent)
    }

    /// Logical CPUs of the machine that it runs on.
    pub fn cpus(&self) -> u32 {
        self.ready.core.config.cpus
    }

    /// Where maps are that other processes can have, if there is such a place.
    pub fn region(&self) -> Option<Arc<maps::Region>> {
        self.ready.core.env.region.clone()
    }
}

fn compile(prog: &Prog, agent: &mut dyn Agent) -> Result<ForeignCode, String> {
    let insns = &prog.translated.insns;
    check_calls(insns, agent)?;
    let mut maps = Vec::new();
    for map in &prog.maps {
        let shared = map.map.ops().shared().ok_or_else(|| {
            let def = map.map.def();
            format!("its map {} ({})", def.name, def.map_type.name())
        })?;
        maps.push((agent.map(map.id, &shared)?, &**map));
    }
    let insns = renamed(insns, &maps);
    let input = Input { insns: &insns, starts: &prog.translated.starts };
    let env = Env { agent, maps: &maps };
    let code = jit::foreign(input, &env, &Options::default()).map_err(|error| error.to_string())?;
    if code.guarded {
        return Err("its loads from the kernel's memory".into());
    }
    Ok(ForeignCode { bytes: code.bytes, entry: code.entry, calls: code.calls })
}

/// Why the program calls what is not there.
fn check_calls(insns: &[Insn], agent: &dyn Agent) -> Result<(), String> {
    for pc in 0..insns.len() {
        match isa::decode(insns, pc) {
            Ok(Op::Call(Callee::Helper(id))) => {
                let id = id as u32;
                if agent.helper(id).is_none() {
                    let proto = uapi::helper(id);
                    let name = proto.as_ref().map_or("of this program", |proto| &*proto.name);
                    return Err(format!("its helper {name}"));
                }
            }
            Ok(Op::Call(Callee::Kfunc { .. })) => return Err("its kernel functions".into()),
            Ok(Op::AddrSpaceCast { .. }) => return Err("its arena".into()),
            _ => {}
        }
    }
    Ok(())
}

/// The slots with what the agent takes in the place of maps' handles.
fn renamed(insns: &[Insn], maps: &[(u64, &MapObj)]) -> Vec<Insn> {
    let mut out = insns.to_vec();
    for pc in 0..out.len().saturating_sub(1) {
        let (low, high) = (out[pc], out[pc + 1]);
        if !low.is_ld_imm64() || low.src().0 != 0 {
            continue;
        }
        let value = u64::from(high.imm as u32) << 32 | u64::from(low.imm as u32);
        if let Some((new, _)) = maps.iter().find(|(_, map)| map.handle() == value) {
            out[pc].imm = *new as i32;
            out[pc + 1].imm = (*new >> 32) as i32;
        }
    }
    out
}

/// What the code calls.
struct Env<'a> {
    agent: &'a dyn Agent,
    maps: &'a [(u64, &'a MapObj)],
}

impl Env<'_> {
    fn map(&self, address: u64) -> Option<&MapObj> {
        self.maps.iter().find(|(known, _)| *known == address).map(|(_, map)| *map)
    }
}

impl jit::Env for Env<'_> {
    fn helper(&self, id: i32) -> Option<Target> {
        let id = u32::try_from(id).ok()?;
        let args = uapi::helper(id)?.args.len().min(5) as u8;
        let addr = usize::try_from(self.agent.helper(id)?).ok()?;
        Some(Target { addr, args, may_stop: false, tag: None })
    }

    fn array(&self, map: u64) -> Option<ArrayMap> {
        doors::array(self.map(map)?)
    }

    fn hash(&self, map: u64) -> Option<HashMap> {
        doors::hash(self.map(map)?)
    }
}
