//! `ring3 run`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use ring3::context::Given;
use ring3::packet::{CaptureReader, LinkType, Packet};
use ring3::{Config, Contents, Engine, Loaded, Machine, Object, Program, Surroundings, TestRun};

use super::capture_out::CaptureOut;
use crate::failure::Failure;
use crate::plan::{CaptureWork, OnceWork, RunPlan};
use crate::progress::Progress;

/// What a run has to say while it runs.
pub(crate) trait Events {
    /// Lines of the trace pipe, each with its line end; `now` shows them without delay.
    fn trace(&mut self, lines: &str, now: bool) -> Result<(), Failure>;
}

/// What a capture came to.
#[derive(Debug)]
pub(crate) struct RunReport {
    pub(crate) program: String,
    pub(crate) prog_type: String,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    /// Names of verdicts and how often each was given, by number.
    pub(crate) verdicts: Vec<(String, u64)>,
    /// Packets written, if a file was named.
    pub(crate) written: Option<u64>,
    pub(crate) time: Duration,
    pub(crate) traced: bool,
    pub(crate) maps: Vec<MapReport>,
}

/// What a test run came to.
#[derive(Debug)]
pub(crate) struct TestReport {
    pub(crate) retval: u32,
    /// What the value means to Linux.
    pub(crate) meaning: Option<String>,
    pub(crate) duration_ns: u32,
    pub(crate) repeat: u32,
    pub(crate) data_out: Vec<u8>,
    pub(crate) ctx_out: Option<Vec<u8>>,
    /// Of a context given as JSON, the fields that changed.
    pub(crate) changed: Option<serde_json::Value>,
    pub(crate) maps: Vec<MapReport>,
}

/// A map at the end.
#[derive(Debug)]
pub(crate) struct MapReport {
    pub(crate) name: String,
    /// `hash`, `percpu_array`, …
    pub(crate) kind: String,
    pub(crate) contents: Contents,
    pub(crate) text: String,
    pub(crate) json: serde_json::Value,
}

/// Runs the program on every packet; the error that ended the capture early, if one did.
pub(crate) fn capture(
    plan: &RunPlan,
    work: &CaptureWork,
    events: &mut dyn Events,
) -> Result<(RunReport, Option<Failure>), Failure> {
    let mut reader = CaptureReader::open(&work.input)?;
    let ready = Ready::load(plan)?;
    let program = ready.program()?;
    let mut writer = match &work.output {
        Some(path) => Some(CaptureOut::create(path, reader.precision(), &program)?),
        None => None,
    };
    let start = Instant::now();
    let mut stream = Stream {
        work,
        program: &program,
        counts: Counts::default(),
        progress: Progress::new(&work.input),
        machine: &ready.machine,
        traced: false,
    };
    let ran = stream.run(&mut reader, writer.as_mut(), events);
    let cut = match ran.and(stream.trace(1, events)) {
        Err(failure) if failure.is_of_output() => return Err(failure),
        other => other.err(),
    };
    let Stream { counts, traced, .. } = stream;
    let written = writer.as_ref().map(CaptureOut::packets);
    writer.map(CaptureOut::finish).transpose()?;
    let report = RunReport {
        program: program.name().to_owned(),
        prog_type: program.type_name(),
        packets: counts.packets,
        bytes: counts.bytes,
        verdicts: counts.named(&program),
        written,
        time: start.elapsed(),
        traced,
        maps: map_reports(&ready.loaded, plan.elements)?,
    };
    Ok((report, cut))
}

/// Runs the program once on given bytes.
pub(crate) fn once(
    plan: &RunPlan,
    work: &OnceWork,
    events: &mut dyn Events,
) -> Result<TestReport, Failure> {
    let data_in = work.data_in.as_deref().map(read).transpose()?;
    let ctx_in = work.ctx_in.as_deref().map(read).transpose()?;
    let ready = Ready::load(plan)?;
    let program = ready.program()?;
    if work.ctx.is_some() || (ctx_in.is_some() && !program.linux_runs()) {
        return on_context(plan, work, &ready, (data_in, ctx_in), events);
    }
    if data_in.is_none() && program.takes_packets() {
        let message = "nothing to run it on: give --pcap CAPTURE, or --data-in FILE";
        return Err(Failure::unusable(format!("{}: {message}", plan.file.display())));
    }
    let wants_ctx = ctx_in.is_some() || work.ctx_out.is_some();
    let request = TestRun {
        data_out: data_in.as_ref().map(|data| room(data)),
        ctx_out: wants_ctx.then_some(CTX_ROOM),
        data_in,
        ctx_in,
        repeat: work.repeat,
        ..TestRun::default()
    };
    let answer = program.test_run(&request)?;
    events.trace(&ready.machine.take_trace(), false)?;
    if let Some(path) = &work.data_out {
        write(path, &answer.data_out)?;
    }
    if let Some(path) = &work.ctx_out {
        write(path, &answer.ctx_out)?;
    }
    Ok(TestReport {
        retval: answer.retval,
        meaning: program.meaning(answer.retval),
        duration_ns: answer.duration_ns,
        repeat: work.repeat,
        changed: None,
        ctx_out: wants_ctx.then_some(answer.ctx_out),
        data_out: answer.data_out,
        maps: map_reports(&ready.loaded, plan.elements)?,
    })
}

/// Runs the program on a context that Linux would not take.
fn on_context(
    plan: &RunPlan,
    work: &OnceWork,
    ready: &Ready,
    (data_in, ctx_in): (Option<Vec<u8>>, Option<Vec<u8>>),
    events: &mut dyn Events,
) -> Result<TestReport, Failure> {
    let program = ready.program()?;
    let subject = program.subject(&plan.kernel.open())?;
    let given = match (&work.ctx, &ctx_in) {
        (Some(json), _) => Given::new(&subject, &document(json)?, data_in.as_deref()),
        (None, bytes) => Given::bytes(&subject, bytes.as_deref().unwrap_or_default()),
    };
    let given = given.map_err(|why| program.error(why.to_string()))?;
    let ran = program.run_given(&subject, &given, data_in.as_deref(), work.repeat)?;
    events.trace(&ready.machine.take_trace(), false)?;
    if let Some(path) = &work.data_out {
        write(path, &ran.data)?;
    }
    if let Some(path) = &work.ctx_out {
        write(path, &ran.ctx)?;
    }
    Ok(TestReport {
        retval: ran.retval,
        meaning: program.meaning(ran.retval),
        duration_ns: ran.duration_ns,
        repeat: work.repeat,
        data_out: ran.data,
        ctx_out: work.ctx_out.is_some().then_some(ran.ctx),
        changed: work.ctx.is_some().then_some(ran.changed),
        maps: map_reports(&ready.loaded, plan.elements)?,
    })
}

/// The text of a context: itself, or what is in the file that it names.
fn document(json: &str) -> Result<String, Failure> {
    let path = match json.strip_prefix('@') {
        Some(path) => path,
        None if json == "-" => json,
        None => return Ok(json.to_owned()),
    };
    String::from_utf8(read(Path::new(path))?)
        .map_err(|_| Failure::refused(format!("{path}: the context is not UTF-8")))
}

/// More than any context takes, in bytes.
const CTX_ROOM: u32 = 4096;

/// Room for a packet that the program made longer: `bpf_xdp_adjust_head` and `_tail` stay within
/// a page.
fn room(data: &[u8]) -> u32 {
    u32::try_from(data.len()).unwrap_or(u32::MAX).saturating_add(4096)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    /// More than the largest packet or context.
    const LIMIT: u64 = 1 << 20;
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(LIMIT + 1).read_to_end(&mut bytes)
    } else {
        fs::File::open(path).and_then(|file| file.take(LIMIT + 1).read_to_end(&mut bytes))
    };
    match read {
        Err(error) => Err(Failure::unusable(format!("{}: {error}", path.display()))),
        Ok(_) if bytes.len() as u64 > LIMIT => {
            let message = format!("more than {LIMIT} bytes: no packet or context is so large");
            Err(Failure::refused(format!("{}: {message}", path.display())))
        }
        Ok(_) => Ok(bytes),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    if path == Path::new("-") {
        return Ok(std::io::stdout().write_all(bytes)?);
    }
    fs::write(path, bytes)
        .map_err(|error| Failure::unusable(format!("{}: {error}", path.display())))
}

/// Puts the machine into the surroundings that a file tells of.
fn surround(machine: &Machine, path: &Path) -> Result<(), Failure> {
    let unusable = |why: String| Failure::unusable(format!("{}: {why}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
    let around = Surroundings::parse(&text).map_err(unusable)?;
    machine.surround(&around).map_err(|errno| unusable(errno.to_string()))
}

/// A machine with the program and its maps in it.
struct Ready {
    machine: Machine,
    loaded: Loaded,
    name: String,
}

impl Ready {
    fn load(plan: &RunPlan) -> Result<Ready, Failure> {
        let kernel = plan.kernel.open();
        let mut object = Object::open_for(&plan.file, &kernel)?;
        crate::printer::warnings(object.warnings());
        for (name, value) in &plan.set {
            object.set_variable(name, value)?;
        }
        object.resolve(&kernel)?;
        let program = match plan.prog.as_slice() {
            [name] => object.program(name)?,
            [] => object.only_program()?,
            _ => {
                return Err(Failure::unusable(
                    "--prog: one program at a time, unless a COMMAND is given",
                ));
            }
        };
        let name = program.name.clone();
        let kernel_btf = if object.needs_kernel_btf() { Some(kernel.types()?) } else { None };
        let mut config = Config { kernel_btf, ..Config::default() };
        config.engine = plan.engine.unwrap_or(config.engine);
        let machine = Machine::with(config);
        if let Some(path) = &plan.fib {
            surround(&machine, path)?;
        }
        let loaded = machine.load_only(&object, &name)?;
        crate::printer::warnings(&machine.take_jit_dump());
        if plan.engine == Some(Engine::Jit)
            && let Some(why) = loaded.program(&name)?.interpreted_because()
        {
            crate::printer::warnings(&format!("{name}: runs in the interpreter: {why}\n"));
        }
        Ok(Ready { machine, loaded, name })
    }

    fn program(&self) -> Result<Program<'_>, Failure> {
        Ok(self.loaded.program(&self.name)?)
    }
}

#[derive(Default)]
struct Counts {
    packets: u64,
    bytes: u64,
    /// Verdicts that programs are meant to give, by number.
    usual: [u64; 16],
    unusual: BTreeMap<u32, u64>,
}

impl Counts {
    fn add(&mut self, verdict: u32, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
        match self.usual.get_mut(verdict as usize) {
            Some(count) => *count += 1,
            None => *self.unusual.entry(verdict).or_default() += 1,
        }
    }

    fn named(&self, program: &Program<'_>) -> Vec<(String, u64)> {
        let usual = self.usual.iter().enumerate().map(|(number, count)| (number as u32, *count));
        let unusual = self.unusual.iter().map(|(number, count)| (*number, *count));
        let given = usual.chain(unusual).filter(|(_, count)| *count > 0);
        given.map(|(number, count)| (program.verdict_name(number), count)).collect()
    }
}

/// Packets on their way through the program.
struct Stream<'a> {
    work: &'a CaptureWork,
    program: &'a Program<'a>,
    machine: &'a Machine,
    counts: Counts,
    progress: Progress,
    traced: bool,
}

impl Stream<'_> {
    fn run(
        &mut self,
        reader: &mut CaptureReader,
        mut writer: Option<&mut CaptureOut>,
        events: &mut dyn Events,
    ) -> Result<(), Failure> {
        let mut runner = self.program.runner()?;
        // Packets that come in live are told of at once.
        let enough = if self.work.input.is_file() { 32 * 1024 } else { 0 };
        while let Some(packet) = reader.next_packet()? {
            if packet.link_type != LinkType::ETHERNET && !self.work.any_link_type {
                return Err(self.not_ethernet(packet.link_type));
            }
            let verdict = runner.run(packet.data).map_err(|why| self.stopped(&why))?;
            self.counts.add(verdict, packet.data.len());
            if let Some(writer) = writer.as_deref_mut()
                && (writer.takes_all() || self.program.passes(verdict))
            {
                let data = runner.packet();
                let grown = data.len() as i64 - packet.data.len() as i64;
                let orig_len = (i64::from(packet.orig_len) + grown) as u32;
                writer.write(&Packet { data, orig_len, ..packet }, self.program, verdict)?;
            }
            self.trace(enough, events)?;
            if self.counts.packets.is_multiple_of(4096) {
                self.progress.show(reader.offset(), self.counts.packets);
            }
        }
        Ok(())
    }

    fn stopped(&self, why: &str) -> Failure {
        let place = format!("{}: packet {}", self.work.input.display(), self.counts.packets + 1);
        Failure::refused(self.program.error(format!("{place}: {why}")))
    }

    /// Hands on what the program printed, once it is `enough` bytes.
    fn trace(&mut self, enough: usize, events: &mut dyn Events) -> Result<(), Failure> {
        if self.machine.trace_len() < enough.max(1) {
            return Ok(());
        }
        if !self.traced {
            self.traced = true;
            self.progress.give_way();
        }
        events.trace(&self.machine.take_trace(), enough == 0)
    }

    fn not_ethernet(&self, link_type: LinkType) -> Failure {
        Failure::refused(format!(
            "{}: packet {}: its link type is {link_type}, but programs of this type see Ethernet \
             frames (capture on one Ethernet interface, or pass --any-link-type)",
            self.work.input.display(),
            self.counts.packets + 1
        ))
    }
}

pub(super) fn map_reports(loaded: &Loaded, limit: usize) -> Result<Vec<MapReport>, Failure> {
    let reports = loaded.maps().map(|map| {
        let contents = map.contents(limit)?;
        let btf = loaded.btf();
        Ok(MapReport {
            name: map.name().to_owned(),
            kind: ring3::map_type_name(contents.def.map_type),
            text: contents.to_text(btf),
            json: contents.to_json(btf),
            contents,
        })
    });
    reports.collect()
}
