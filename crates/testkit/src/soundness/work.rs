//! Where subjects come from, and the comparison of many of them.

use std::sync::Arc;

use runtime::door::Bpf;
use uapi::{Errno, MapDef, MapType, ProgType};
use verifier::{MapInfo, Program, World};

use super::report::without_numbers;
use super::subject::judge_against;
use super::{Judged, Kernel, Report, Results, Subject, mutate};
use crate::generate::{MapFds, Rng, Shape, VALUE_SIZE, WildMaps, program, wild_program};
use crate::verdicts::Corpus;

/// Descriptors that generated programs name.
pub(super) const MAPS: MapFds = MapFds { array: 101, hash: 102 };

/// Descriptors that wild programs name.
const WILD: WildMaps = WildMaps { array: 101, hash: 102, progs: 103, ring: 104 };

/// Where programs come from.
pub enum Source {
    /// The generator, as it is.
    Generated(Arc<World>),
    /// The generator, with a few changes.
    Mutated(Arc<World>),
    /// The second generator; `true` with a few changes.
    Wild(Arc<World>, bool),
    /// Recorded programs that Linux accepted, with a few changes.
    Recorded(Vec<Subject>),
}

impl Source {
    /// Generated programs, changed or not.
    pub fn generated(changed: bool) -> Source {
        let map = |fd, kind, key| MapInfo {
            fd,
            def: MapDef::new(kind, key, VALUE_SIZE, 8),
            btf: None,
            inner_btf: None,
            frozen: false,
            value: None,
        };
        let maps = vec![map(MAPS.array, MapType::Array, 4), map(MAPS.hash, MapType::Hash, 8)];
        let world = Arc::new(World { maps, ..World::default() });
        if changed { Source::Mutated(world) } else { Source::Generated(world) }
    }

    /// Programs of the second generator, changed or not.
    pub fn wild(changed: bool) -> Source {
        let map = |fd, kind, key, value, entries| MapInfo {
            fd,
            def: MapDef::new(kind, key, value, entries),
            btf: None,
            inner_btf: None,
            frozen: false,
            value: None,
        };
        let maps = vec![
            map(WILD.array, MapType::Array, 4, VALUE_SIZE, 8),
            map(WILD.hash, MapType::Hash, 8, VALUE_SIZE, 8),
            map(WILD.progs, MapType::ProgArray, 4, 4, 4),
            map(WILD.ring, MapType::Ringbuf, 0, 0, 4096),
        ];
        Source::Wild(Arc::new(World { maps, ..World::default() }), changed)
    }

    /// Accepted programs of a recorded corpus that are quickly verified and that the kernel takes
    /// here as well.
    pub fn recorded(corpus: &Corpus, kernel: &mut Kernel<'_>) -> Source {
        let quick = |n: Option<i64>| n.is_some_and(|n| (1..4000).contains(&n));
        let mut subjects = Vec::new();
        for case in corpus.cases.iter().filter(|c| c.caps == "all" && c.verdict == "accept") {
            let Some(false) = corpus.program(case).map(|p| p.attach_btf_id != 0) else {
                // Type ids of another kernel build mean something else here.
                continue;
            };
            if !quick(case.processed_insns) {
                continue;
            }
            let (Some(program), Some(world)) = (corpus.program(case), corpus.world(case)) else {
                continue;
            };
            let subject = Subject { program, world: Arc::new(world) };
            let usable = subject.judge(0).0.accepts()
                && kernel.can_judge(&subject)
                && kernel.judge(&subject, 0).0.accepts();
            kernel.forget();
            if usable {
                subjects.push(subject);
            }
        }
        Source::Recorded(subjects)
    }

    /// How many different programs there are to start from, if that is a number.
    pub fn len(&self) -> Option<usize> {
        match self {
            Source::Recorded(all) => Some(all.len()),
            _ => None,
        }
    }

    /// Whether there is nothing to start from.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }
}

/// Three of four seeds are repeatable, so that their results can be compared.
pub(super) fn shape(seed: u64) -> Shape {
    Shape { repeatable: !seed.is_multiple_of(4), ..Shape::default() }
}

/// The subject of a seed.
pub fn subject_of(source: &Source, seed: u64) -> Option<Subject> {
    let generate = |seed, shape, world: &Arc<World>| Subject {
        program: Program {
            prog_type: Some(ProgType::Xdp),
            license: "GPL".into(),
            insns: program(seed, MAPS, shape),
            ..Program::default()
        },
        world: world.clone(),
    };
    let mut rng = Rng::new(seed ^ 0x6d75_7461_7465_0000);
    match source {
        Source::Generated(world) => Some(generate(seed, shape(seed), world)),
        Source::Mutated(world) => {
            let shape = Shape { faults: 0, ..shape(0) };
            let mut subject = generate(seed, shape, world);
            mutate(&mut subject.program, &mut rng);
            Some(subject)
        }
        Source::Wild(world, changed) => {
            // A program array belongs to one type, so maps are made for each block anew.
            let xdp = (seed / BLOCK).is_multiple_of(2);
            let prog_type = if xdp { ProgType::Xdp } else { ProgType::SchedCls };
            let mut program = Program {
                prog_type: Some(prog_type),
                license: "GPL".into(),
                insns: wild_program(seed, WILD, prog_type),
                ..Program::default()
            };
            if *changed {
                mutate(&mut program, &mut rng);
            }
            Some(Subject { program, world: world.clone() })
        }
        Source::Recorded(all) => {
            // Neighbouring seeds share a base, so that the kernel's maps are made once for many.
            let block = Rng::new(seed / BLOCK).next();
            let mut subject = all.get((block % all.len().max(1) as u64) as usize)?.clone();
            mutate(&mut subject.program, &mut rng);
            Some(subject)
        }
    }
}

/// Programs that take more steps than this are put to the kernel once in sixteen times: they cost
/// it half a second each.
const HEAVY: u32 = 50_000;

/// Seeds that start from one recorded program.
const BLOCK: u64 = 64;

/// Compares the programs of `count` seeds from `first` on. `progress` hears of each seed done.
pub fn compare(
    source: &Source,
    kernel: &dyn Bpf,
    results: Option<&Results<'_>>,
    first: u64,
    count: u64,
    mut progress: impl FnMut(u64),
) -> Result<Report, Errno> {
    let mut kernel = Kernel::new(kernel);
    let mut report = Report::default();
    for seed in first..first.saturating_add(count) {
        if matches!(source, Source::Recorded(_) | Source::Wild(..)) && seed.is_multiple_of(BLOCK) {
            kernel.forget();
        }
        if let Some(subject) = subject_of(source, seed) {
            note(&subject, &mut kernel, seed, &mut report);
            if let (Some(results), Source::Generated(_)) = (results, source)
                && shape(seed).repeatable
                && let Some(same) = results.agree(seed, &subject)
            {
                report.runs += 1;
                if !same {
                    report.other_result.push(seed);
                }
            }
        }
        progress(seed - first + 1);
    }
    Ok(report)
}

fn note(subject: &Subject, kernel: &mut Kernel<'_>, seed: u64, report: &mut Report) {
    report.programs += 1;
    let (ours, _) = subject.judge(0);
    if ours.processed > HEAVY && !seed.is_multiple_of(16) {
        report.heavy += 1;
        return;
    }
    let (judged, ours, theirs) = judge_against(ours, subject, kernel);
    match judged {
        Judged::BothAccept => report.both_accept += 1,
        Judged::FalseAccept => {
            let (theirs, _) = kernel.judge(subject, 1);
            let cause = without_numbers(&theirs.message);
            report.false_accepts.entry(cause).or_default().push(seed);
        }
        Judged::FalseReject => {
            let cause = without_numbers(&ours.message);
            report.false_rejects.entry(cause).or_default().push(seed);
        }
        Judged::Needs => *report.needs.entry(ours.needs.unwrap_or("").into()).or_default() += 1,
        Judged::BothReject => {
            report.both_reject += 1;
            // Asking for the messages costs more than the verdict: a share of them will do.
            if ours.errno == theirs.errno && !seed.is_multiple_of(8) {
                return;
            }
            let (theirs, _) = kernel.judge(subject, 1);
            if ours.message != theirs.message || ours.errno != theirs.errno {
                let pair = format!(
                    "{:?} {} | {:?} {}",
                    ours.errno.map(|e| e.to_string()).unwrap_or_default(),
                    without_numbers(&ours.message),
                    theirs.errno.map(|e| e.to_string()).unwrap_or_default(),
                    without_numbers(&theirs.message)
                );
                report.other_message.entry(pair).or_default().push(seed);
            }
        }
    }
}
