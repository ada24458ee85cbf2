//! What Linux would say of the programs of an object, without loading anything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use btf::Btf;
use loader::{MapSpec, ProgramSpec};
use uapi::{Errno, HelperProto, MapDef, MapType};
use verifier::{LogOptions, Outcome, Policy, World};

use crate::load::creation;
use crate::{Object, SourceLine, source_line};

/// A verdict with what led to it.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The verifier's answer.
    pub outcome: Outcome,
    /// Where the instruction at fault comes from.
    pub source: Option<SourceLine>,
    /// How long the verifier took.
    pub time: Duration,
}

/// Verifies programs against one kernel's BTF and the helpers of one embedder.
#[derive(Clone, Debug, Default)]
pub struct Verifier {
    /// What the loader may do, and so what is accepted.
    pub policy: Policy,
    /// The kernel's BTF, where programs refer to it.
    pub kernel_btf: Option<Arc<Btf>>,
    /// The embedder's helpers.
    pub host_helpers: Vec<HelperProto>,
}

/// The first descriptor that maps get here: none is 0, which means none to Linux.
const FIRST_FD: i32 = 3;

impl Verifier {
    /// The verdict on `program` of `object`, with Linux's log at `log_level` (0, 1, 2; 4 adds
    /// statistics).
    pub fn verdict(&self, object: &Object, program: &ProgramSpec, log_level: u32) -> Verdict {
        let input = self.program(object, program);
        let world = self.world(object);
        let clock = Some(runtime::monotonic as fn() -> Duration);
        let log = LogOptions { level: log_level, capacity: 0, clock };
        let start = Instant::now();
        let outcome = verifier::verify(&input, &world, &self.policy, &log);
        let time = start.elapsed();
        let insn = outcome.verdict.as_ref().err().and_then(|rejection| rejection.insn);
        let source =
            insn.and_then(|insn| source_line(object.spec().btf.as_deref()?, program, insn));
        Verdict { outcome, source, time }
    }

    pub(crate) fn program(&self, object: &Object, program: &ProgramSpec) -> verifier::Program {
        let spec = object.spec();
        let fds: Vec<i32> = (0..spec.maps.len() as i32).map(|at| FIRST_FD + at).collect();
        verifier::Program {
            name: kernel_name(&program.name),
            prog_type: program.prog_type,
            expected_attach_type: program.expected_attach_type,
            flags: program.flags,
            license: spec.license.clone(),
            insns: program.link(&fds),
            btf: spec.btf.clone(),
            func_info: program.func_info.iter().map(func_info).collect(),
            line_info: program.line_info.iter().map(line_info).collect(),
            attach_btf_id: program.attach_btf_id,
            target: None,
            fd_array: Vec::new(),
        }
    }

    pub(crate) fn world(&self, object: &Object) -> World {
        let spec = object.spec();
        let maps = spec.maps.iter().zip(FIRST_FD..).map(|(map, fd)| verifier::MapInfo {
            fd,
            def: placed(&map.def),
            btf: spec.btf.clone(),
            inner_btf: spec.btf.clone(),
            frozen: map.frozen,
            value: frozen_value(map),
        });
        World {
            maps: maps.collect(),
            kernel_btf: self.kernel_btf.clone(),
            host_helpers: self.host_helpers.clone(),
        }
    }
}

/// A map as it is when programs are loaded: whoever makes an arena maps it.
fn placed(def: &MapDef) -> MapDef {
    let mut def = def.clone();
    if def.map_type == MapType::Arena && def.extra == 0 {
        def.extra = 1 << 44;
    }
    def
}

fn frozen_value(map: &MapSpec) -> Option<Vec<u8>> {
    if map.frozen { map.initial.clone() } else { None }
}

/// A name as the kernel takes it: 15 bytes of ASCII.
pub(crate) fn kernel_name(name: &str) -> String {
    name.chars().filter(char::is_ascii).take(uapi::OBJ_NAME_LEN - 1).collect()
}

pub(crate) fn func_info(info: &loader::FuncInfo) -> verifier::FuncInfo {
    verifier::FuncInfo { insn_off: info.insn_off, type_id: info.type_id.0 }
}

pub(crate) fn line_info(info: &loader::LineInfo) -> verifier::LineInfo {
    verifier::LineInfo {
        insn_off: info.insn_off,
        file_name_off: info.file_name_off,
        line_off: info.line_off,
        line_col: info.line_col,
    }
}

/// The first map of `object` that Linux would refuse to create, and its error.
pub fn map_error(object: &Object) -> Option<(&str, Errno)> {
    let env = maps::Env::new(1, 0);
    object.spec().maps.iter().find_map(|map| {
        match maps::check(&creation(&map.def, env.cpus), &env) {
            // ENOTSUPP: a type that is not modelled, of which nothing can be said.
            Ok(_) | Err(Errno::ENOTSUPP) => None,
            Err(errno) => Some((map.name.as_str(), errno)),
        }
    })
}
