//! One program with its maps, and what either side says of it.

use std::collections::HashMap;
use std::sync::Arc;

use btf::Btf;
use isa::Insn;
use runtime::door::{Bpf, BtfLoad, Fd, LoadError, LogRequest, MapCreate, ProgLoad};
use uapi::Errno;
use verifier::{LogOptions, MapInfo, Policy, Program, World};

use crate::verdicts::last_message;

/// A descriptor that nobody has open.
const NO_FD: i32 = 0x000f_fff0;

/// A program that both sides can judge.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The program; its map loads name descriptors of `world`.
    pub program: Program,
    /// The maps.
    pub world: Arc<World>,
}

/// What one side says of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// `None` for accepted.
    pub errno: Option<Errno>,
    /// Last message line of a rejection.
    pub message: String,
    /// The rejection names a feature that ring3 does not model.
    pub needs: Option<&'static str>,
    /// Instructions that ring3 walked.
    pub processed: u32,
}

impl Verdict {
    const ACCEPTED: Verdict =
        Verdict { errno: None, message: String::new(), needs: None, processed: 0 };

    /// Whether the program may run.
    pub fn accepts(&self) -> bool {
        self.errno.is_none()
    }
}

impl Subject {
    /// ring3's verdict, and its log at the level asked for.
    pub fn judge(&self, level: u32) -> (Verdict, String) {
        let policy = Policy { collect_facts: false, ..Policy::default() };
        let options = LogOptions { level, ..LogOptions::default() };
        let outcome = verifier::verify(&self.program, &self.world, &policy, &options);
        let verdict = match outcome.verdict {
            Ok(_) => Verdict { processed: outcome.stats.processed_insns, ..Verdict::ACCEPTED },
            Err(r) => Verdict {
                errno: Some(r.errno),
                message: r.message.trim_end().to_owned(),
                needs: r.needs,
                processed: outcome.stats.processed_insns,
            },
        };
        (verdict, outcome.log)
    }
}

/// The running kernel with the maps and types of the subjects it was asked about.
pub struct Kernel<'a> {
    door: &'a dyn Bpf,
    maps: HashMap<(usize, i32), Option<Fd>>,
    btfs: HashMap<usize, Option<Fd>>,
    /// What the keys above point at stays alive.
    seen: Vec<(Arc<World>, Option<Arc<Btf>>)>,
}

impl<'a> Kernel<'a> {
    /// Judges through `door`.
    pub fn new(door: &'a dyn Bpf) -> Kernel<'a> {
        Kernel { door, maps: HashMap::new(), btfs: HashMap::new(), seen: Vec::new() }
    }

    /// The kernel's verdict, and its log at the level asked for; at level 0 without a message.
    pub fn judge(&mut self, subject: &Subject, level: u32) -> (Verdict, String) {
        match self.load(subject, level) {
            Ok((fd, log)) => {
                let _ = self.door.close(fd);
                (Verdict::ACCEPTED, log)
            }
            Err(error) => {
                let message = last_message(&error.log).unwrap_or_default().to_owned();
                (
                    Verdict { errno: Some(error.errno), message, needs: None, processed: 0 },
                    error.log,
                )
            }
        }
    }

    fn load(&mut self, subject: &Subject, level: u32) -> Result<(Fd, String), LoadError> {
        let p = &subject.program;
        self.seen.push((subject.world.clone(), p.btf.clone()));
        if self.seen.len() > 1 && Arc::ptr_eq(&self.seen[0].0, &subject.world) {
            self.seen.pop();
        }
        let req = ProgLoad {
            name: p.name.clone(),
            prog_type: p.prog_type,
            expected_attach_type: p.expected_attach_type,
            flags: p.flags,
            license: p.license.clone(),
            insns: self.with_kernel_maps(subject),
            btf: p.btf.as_ref().and_then(|btf| self.btf(btf)),
            func_info: p.func_info.clone(),
            line_info: p.line_info.clone(),
            attach_btf_id: p.attach_btf_id,
            log: LogRequest { level, size: 0 },
            ..ProgLoad::default()
        };
        self.door.prog_load(&req).map(|loaded| (loaded.fd, loaded.log))
    }

    /// The slots with the kernel's descriptors in place of the subject's.
    fn with_kernel_maps(&mut self, subject: &Subject) -> Vec<Insn> {
        let mut insns = subject.program.insns.clone();
        for insn in insns.iter_mut().filter(|i| i.is_ld_imm64() && matches!(i.src().0, 1 | 2)) {
            insn.imm = self.map(&subject.world, insn.imm).map_or(NO_FD, |fd| fd.0);
        }
        insns
    }

    fn map(&mut self, world: &Arc<World>, fd: i32) -> Option<Fd> {
        let key = (Arc::as_ptr(world) as usize, fd);
        if let Some(known) = self.maps.get(&key) {
            return *known;
        }
        let info = world.maps.iter().find(|m| m.fd == fd);
        let made = info.and_then(|info| self.create(info));
        self.maps.insert(key, made);
        made
    }

    fn create(&mut self, info: &MapInfo) -> Option<Fd> {
        let inner_map = match &info.def.inner {
            Some(inner) => Some(self.door.map_create(&MapCreate::from((**inner).clone())).ok()?),
            None => None,
        };
        let btf = info.btf.as_ref().and_then(|btf| self.btf(btf));
        let fd = self.door.map_create(&MapCreate { def: info.def.clone(), btf, inner_map }).ok()?;
        if let Some(value) = &info.value {
            self.door.map_update(fd, &[0; 4], value, 0).ok()?;
        }
        if info.frozen {
            self.door.map_freeze(fd).ok()?;
        }
        Some(fd)
    }

    fn btf(&mut self, btf: &Arc<Btf>) -> Option<Fd> {
        let door = self.door;
        let load = || {
            let req = BtfLoad { data: btf.bytes().to_vec(), log: LogRequest::default() };
            door.btf_load(&req).ok().map(|loaded| loaded.fd)
        };
        *self.btfs.entry(Arc::as_ptr(btf) as usize).or_insert_with(load)
    }

    /// Gives back what was made for the subjects so far.
    pub fn forget(&mut self) {
        let maps = self.maps.drain().filter_map(|(_, fd)| fd);
        for fd in maps.chain(self.btfs.drain().filter_map(|(_, fd)| fd)) {
            let _ = self.door.close(fd);
        }
        self.seen.clear();
    }

    /// Whether all maps and types that the subject names can be made here.
    pub fn can_judge(&mut self, subject: &Subject) -> bool {
        self.seen.push((subject.world.clone(), subject.program.btf.clone()));
        let world = &subject.world;
        let btf = subject.program.btf.as_ref();
        world.maps.iter().all(|m| self.map(world, m.fd).is_some())
            && btf.is_none_or(|btf| self.btf(btf).is_some())
    }
}

impl Drop for Kernel<'_> {
    fn drop(&mut self) {
        self.forget();
    }
}

/// How two verdicts compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Judged {
    /// Accepted by both.
    BothAccept,
    /// Rejected by both.
    BothReject,
    /// Accepted by ring3 alone: a security bug.
    FalseAccept,
    /// Rejected by ring3 alone.
    FalseReject,
    /// Rejected by ring3 for a feature that it does not model.
    Needs,
}

/// Compares the two verdicts on a subject.
pub fn judge(subject: &Subject, kernel: &mut Kernel<'_>) -> (Judged, Verdict, Verdict) {
    let (ours, _) = subject.judge(0);
    judge_against(ours, subject, kernel)
}

/// As [`judge`], where ring3's verdict is known.
pub(super) fn judge_against(
    ours: Verdict,
    subject: &Subject,
    kernel: &mut Kernel<'_>,
) -> (Judged, Verdict, Verdict) {
    let (theirs, _) = kernel.judge(subject, 0);
    let judged = match (ours.accepts(), theirs.accepts()) {
        (true, true) => Judged::BothAccept,
        (true, false) => Judged::FalseAccept,
        (false, _) if ours.needs.is_some() => Judged::Needs,
        (false, true) => Judged::FalseReject,
        (false, false) => Judged::BothReject,
    };
    (judged, ours, theirs)
}
