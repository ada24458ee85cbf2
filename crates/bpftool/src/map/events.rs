//! `map event_pipe`: what programs send through a perf event array, as it comes.

use std::time::Duration;

use btf::print::{Form, JsonText};
use runtime::PerfRecord;
use runtime::door::Fd;
use uapi::MapType;

use crate::answer::{Answer, Done, Show};
use crate::fail::Fail;
use crate::interrupt::Interrupt;
use crate::prog::number;
use crate::session::Ctx;
use crate::words::{self, Words};
use crate::{handle, hex};

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// PERF_RECORD_SAMPLE.
const SAMPLE: u32 = 9;

/// `map event_pipe MAP [cpu N index N]`.
pub(crate) fn event_pipe(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    let (fd, info) = handle::map_and_info(ctx, &mut words)?;
    if info.def.map_type != MapType::PerfEventArray {
        return Err(Fail::new("map is not a perf event array"));
    }
    let wanted = Wanted::read(&mut words)?;
    if ctx.is_live() { follow(ctx, fd, &wanted) } else { Ok(Answer::data(take(ctx, fd, &wanted)?)) }
}

/// Which events; without numbers all.
#[derive(Default)]
struct Wanted {
    cpu: Option<u32>,
    index: Option<u32>,
}

impl Wanted {
    fn read(words: &mut Words<'_>) -> Result<Wanted, Fail> {
        let mut wanted = Wanted::default();
        while !words.is_empty() {
            let (number, what) = if words.eat("cpu") {
                (&mut wanted.cpu, "CPU ID")
            } else if words.eat("index") {
                (&mut wanted.index, "index")
            } else {
                return Err(words.bad());
            };
            words.need(1)?;
            let word = words.take()?;
            let read = words::number(word, 0).and_then(|n| u32::try_from(n).ok());
            *number = Some(read.ok_or_else(|| Fail::new(format!("can't parse {word} as {what}")))?);
        }
        if wanted.cpu.is_some() != wanted.index.is_some() {
            return Err(Fail::new("cpu and index must be specified together"));
        }
        Ok(wanted)
    }

    /// An element holds the events of one CPU: that of its number.
    fn holds(&self, record: &PerfRecord) -> bool {
        self.cpu.is_none_or(|cpu| cpu == record.cpu) && self.index.is_none_or(|at| at == record.cpu)
    }
}

/// What has been sent so far.
fn take(ctx: &Ctx<'_>, fd: Fd, wanted: &Wanted) -> Result<Events, Fail> {
    let records = ctx.door()?.take_perf_records(fd);
    let mut records = records.map_err(|errno| Fail::of("failed to create perf event", errno))?;
    records.retain(|record| wanted.holds(record));
    Ok(Events { records })
}

/// Events as they come, until somebody interrupts or nobody reads.
fn follow(ctx: &Ctx<'_>, fd: Fd, wanted: &Wanted) -> Done {
    let interrupt = Interrupt::new()?;
    let mut array = ctx.options.json.then(|| Array { form: ctx.options.form(), count: 0 });
    if array.is_some() && !ctx.pass_on(b"[")? {
        return Ok(Answer::none());
    }
    while !interrupt.seen() {
        let events = take(ctx, fd, wanted)?;
        if events.records.is_empty() {
            interrupt.wait(Some(LOOK));
            continue;
        }
        let mut bytes = Vec::new();
        match &mut array {
            Some(array) => events.records.iter().for_each(|record| array.add(record, &mut bytes)),
            None => events.plain(&mut bytes),
        }
        if !ctx.pass_on(&bytes)? {
            return Ok(Answer::none());
        }
    }
    if array.is_some() {
        ctx.pass_on(b"]\n")?;
    }
    Ok(Answer::none())
}

/// A JSON array written piece by piece.
struct Array {
    form: Form,
    count: u64,
}

impl Array {
    fn add(&mut self, record: &PerfRecord, to: &mut Vec<u8>) {
        if self.count > 0 {
            to.push(b',');
        }
        self.count += 1;
        let mut json = JsonText::new(self.form);
        member(record, &mut json);
        to.extend_from_slice(json.into_string().as_bytes());
    }
}

struct Events {
    records: Vec<PerfRecord>,
}

fn member(record: &PerfRecord, out: &mut JsonText) {
    out.begin_object();
    number(out, "type", SAMPLE);
    number(out, "cpu", record.cpu);
    number(out, "index", record.cpu);
    number(out, "timestamp", record.time);
    out.name("data");
    hex::json(&record.data, out);
    out.end_object();
}

impl Show for Events {
    fn plain(&self, out: &mut Vec<u8>) {
        for record in &self.records {
            let (seconds, rest) = (record.time / 1_000_000_000, record.time % 1_000_000_000);
            let cpu = record.cpu;
            let text = format!("== @{seconds}.{rest:09} CPU: {cpu} index: {cpu} =====\n");
            out.extend_from_slice(text.as_bytes());
            out.extend_from_slice(hex::dump(&record.data).as_bytes());
            out.push(b'\n');
        }
    }

    fn json(&self, out: &mut JsonText) {
        out.begin_array();
        self.records.iter().for_each(|record| member(record, out));
        out.end_array();
    }
}
