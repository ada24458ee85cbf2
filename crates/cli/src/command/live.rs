//! `ring3 run PROGRAMS -- COMMAND`.

use std::io::{self, BufWriter, Write};

use ring3::live::{self, Command, Elsewhere, Ended, Live, Records, Watcher};
use ring3::{Config, Engine, Loaded, Machine, Object};

use super::run::map_reports;
use crate::failure::Failure;
use crate::plan::{LiveWork, RunPlan, Speed};
use crate::printer::{self, Live as Printer};

/// Runs the command, then `end`; its exit status.
pub(crate) fn live(
    plan: &RunPlan,
    work: &LiveWork,
    out: &mut dyn Write,
    end: &dyn Fn(&RunPlan, &Loaded, &mut Printer<'_>) -> Result<(), Failure>,
) -> Result<u8, Failure> {
    let mut elsewhere: Vec<Elsewhere> = work
        .attach
        .iter()
        .map(|(program, section)| Elsewhere {
            program: program.clone(),
            section: section.clone(),
            cookie: 0,
        })
        .collect();
    let kernel = plan.kernel.open();
    let mut object = Object::open_for(&plan.file, &kernel)?;
    printer::warnings(object.warnings());
    if !plan.prog.is_empty() {
        object.keep_programs(&plan.prog)?;
    }
    for (name, value) in &plan.set {
        object.set_variable(name, value)?;
    }
    if let Some(frequency) = work.frequency {
        elsewhere.extend(sampled(&object, frequency, &elsewhere));
    }
    live::check(&object, &elsewhere)?;
    object.resolve(&kernel)?;
    let types = kernel.types().ok();
    let mut config = Config { kernel_btf: types, ..Config::default() };
    config.engine = plan.engine.unwrap_or(config.engine);
    // An interpreter is no machine code.
    let slow = work.speed == Speed::Slow
        || config.engine == Engine::Interp
        || (work.speed == Speed::Auto && !live::has_functions(&object, &elsewhere));
    config.shared_maps = !slow;
    let machine = Machine::with(config);
    let loaded = machine.load(&object)?;
    printer::warnings(&machine.take_jit_dump());
    let mut live = Live::new(&loaded, &kernel, &elsewhere)?;
    let told = if slow { Vec::new() } else { live.speed_up() };
    if work.speed == Speed::Told {
        for (program, why) in told {
            printer::warnings(&format!("{program}: runs in ring3: {why}\n"));
        }
    }
    let mut records = live.records()?;
    if let Some(path) = &work.types {
        let named = Object::open_for(path, &kernel)?;
        if let Some(btf) = &named.spec().btf {
            records.set_types(btf);
        }
    }
    let mut file = match &work.output {
        Some(path) => {
            let file = std::fs::File::create(path);
            let wrong = |error| Failure::unusable(format!("{}: {error}", path.display()));
            Some(BufWriter::new(file.map_err(wrong)?))
        }
        None => None,
    };
    let out: &mut dyn Write = match &mut file {
        Some(file) => file,
        None => out,
    };
    let mut show = Show {
        records,
        machine: &machine,
        printer: Printer::new(plan.json, out),
        unshown: false,
        failed: None,
    };
    let command = Command { argv: work.command.clone() };
    let ended = live.run(&command, &mut show);
    if let Some(failure) = show.failed.take() {
        return Err(failure);
    }
    let ended = ended?;
    end(plan, &loaded, &mut show.printer)?;
    show.printer.flush()?;
    Ok(match ended {
        Ended::Exited(status) => status,
        // As shells tell it.
        Ended::Killed(signal) => 128_u8.saturating_add(signal as u8),
    })
}

/// Programs that take samples, so often in a second, if they are not attached elsewhere.
fn sampled(object: &Object, frequency: u32, elsewhere: &[Elsewhere]) -> Vec<Elsewhere> {
    let programs = object.spec().programs.iter();
    let samples = programs.filter(|program| {
        program.section == "perf_event" && elsewhere.iter().all(|e| e.program != program.name)
    });
    let place = |program: &ring3::ProgramSpec| Elsewhere {
        program: program.name.clone(),
        section: format!("perf_event/{frequency}"),
        cookie: 0,
    };
    samples.map(place).collect()
}

/// Shows the maps at the end, if they were asked for.
pub(crate) fn maps(
    plan: &RunPlan,
    loaded: &Loaded,
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
    if plan.elements < usize::MAX {
        return Ok(());
    }
    printer.maps(&map_reports(loaded, plan.elements)?)
}

/// Prints what comes while the command runs.
pub(super) struct Show<'a> {
    pub(super) records: Records<'a>,
    pub(super) machine: &'a Machine,
    pub(super) printer: Printer<'a>,
    /// Something is written that the user does not see yet.
    pub(super) unshown: bool,
    /// Why printing ended.
    pub(super) failed: Option<Failure>,
}

impl Show<'_> {
    pub(super) fn show(&mut self, idle: bool) -> Result<bool, Failure> {
        if self.machine.trace_len() > 0 {
            self.printer.trace(&self.machine.take_trace())?;
            self.unshown = true;
        }
        let mut result = Ok(());
        let Show { records, printer, unshown, .. } = self;
        records.take(&mut |record| {
            *unshown = true;
            if result.is_ok() {
                result = match records.fields(&record) {
                    Some((structure, fields)) => printer.typed(&record.map, structure, fields),
                    None => printer.bytes(&record.map, &record.data),
                };
            }
        });
        result?;
        if idle {
            self.printer.flush()?;
            self.unshown = false;
        }
        Ok(self.unshown)
    }
}

impl Watcher for Show<'_> {
    fn ran(&mut self, idle: bool) -> io::Result<bool> {
        self.show(idle).map_err(|failure| {
            self.failed = Some(failure);
            io::ErrorKind::BrokenPipe.into()
        })
    }

    fn note(&mut self, text: &str) {
        printer::warnings(&format!("ring3: {text}\n"));
    }
}
