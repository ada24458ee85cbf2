//! A recorded case into the running kernel again: its BTF and maps made anew, its map loads
//! pointed at them.

use runtime::door::{Bpf, BtfLoad, Fd, LoadError, Loaded, LogRequest, MapCreate, ProgLoad};
use uapi::Errno;

use super::corpus::{Case, Corpus};

/// `src` of 64-bit immediates that name a map: by descriptor, and a byte of its value.
const MAP_FD: u8 = 1;
const MAP_VALUE: u8 = 2;

/// Descriptors that a replay opened; closed on drop.
pub struct Replay<'a> {
    door: &'a dyn Bpf,
    open: Vec<Fd>,
    req: ProgLoad,
}

impl<'a> Replay<'a> {
    /// Makes what the case refers to. `None` where its maps cannot be made alike: of an unknown
    /// type, with an inner map, with contents that only the kernel could give.
    pub fn new(door: &'a dyn Bpf, corpus: &Corpus, case: &Case) -> Option<Replay<'a>> {
        let (program, world) = (corpus.program(case)?, corpus.world(case)?);
        let mut replay = Replay { door, open: Vec::new(), req: ProgLoad::default() };
        let load_btf = |replay: &mut Replay<'a>, btf: &btf::Btf| -> Option<Fd> {
            let req = BtfLoad { data: btf.bytes().to_vec(), log: LogRequest::default() };
            let fd = door.btf_load(&req).ok()?.fd;
            replay.open.push(fd);
            Some(fd)
        };
        let btf = match &program.btf {
            Some(btf) => Some(load_btf(&mut replay, btf)?),
            None => None,
        };
        let mut fds = Vec::new();
        for map in &world.maps {
            if map.def.inner.is_some() {
                return None;
            }
            let map_btf = match &map.btf {
                Some(own) if Some(own.bytes()) == program.btf.as_ref().map(|b| b.bytes()) => btf,
                Some(other) => Some(load_btf(&mut replay, other)?),
                None => None,
            };
            let req = MapCreate { def: map.def.clone(), btf: map_btf, inner_map: None };
            let fd = door.map_create(&req).ok()?;
            replay.open.push(fd);
            if let Some(value) = &map.value {
                door.map_update(fd, &0u32.to_le_bytes(), value, 0).ok()?;
            }
            if map.frozen {
                door.map_freeze(fd).ok()?;
            }
            fds.push((map.fd, fd));
        }
        let mut insns = program.insns;
        for insn in insns.iter_mut().filter(|i| i.is_ld_imm64()) {
            if matches!(insn.src().0, MAP_FD | MAP_VALUE) {
                insn.imm = fds.iter().find(|(old, _)| *old == insn.imm)?.1.0;
            }
        }
        replay.req = ProgLoad {
            name: String::new(),
            prog_type: program.prog_type,
            expected_attach_type: program.expected_attach_type,
            flags: program.flags,
            license: program.license,
            insns,
            btf,
            func_info: program.func_info,
            line_info: program.line_info,
            attach_btf_id: program.attach_btf_id,
            ..ProgLoad::default()
        };
        Some(replay)
    }

    /// Loads the program, with a log at `level`, and closes it again.
    pub fn load(&self, level: u32) -> Result<Loaded, LoadError> {
        let log = LogRequest { level, size: 0 };
        let loaded = self.door.prog_load(&ProgLoad { log, ..self.req.clone() })?;
        self.door.close(loaded.fd).map_err(LoadError::from)?;
        Ok(loaded)
    }
}

impl Drop for Replay<'_> {
    fn drop(&mut self) {
        for fd in &self.open {
            let _: Result<(), Errno> = self.door.close(*fd);
        }
    }
}
