//! `prog profile`: runs of a program counted for a while.

use std::time::{Duration, Instant};

use btf::print::JsonText;
use runtime::door::{Counted, Fd, ProgInfo};
use uapi::Errno;

use super::number;
use super::string;
use crate::answer::{Answer, Done, Show};
use crate::fail::Fail;
use crate::handle;
use crate::interrupt::Interrupt;
use crate::session::Ctx;
use crate::words::{self, Words};

/// Something that is counted: its name, what has to be on for it, where it stands, what it is
/// called by the run.
struct Metric {
    name: &'static str,
    counted: Counted,
    read: fn(&ProgInfo) -> u64,
    by_run: &'static str,
}

const METRICS: [Metric; 2] = [
    Metric {
        name: "instructions",
        counted: Counted::Insns,
        read: |info| info.run_insns,
        by_run: "insns per run",
    },
    Metric {
        name: "nanoseconds",
        counted: Counted::RunTime,
        read: |info| info.run_time_ns,
        by_run: "ns per run",
    },
];

/// bpftool's, which only processors count.
const HARDWARE: [&str; 5] = ["cycles", "l1d_loads", "llc_misses", "itlb_misses", "dtlb_misses"];

/// `prog profile PROG [duration SECONDS] METRIC…`.
pub(crate) fn profile(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    let invalid = |fail: Fail| fail.code(-Errno::EINVAL.0);
    words.need(3).map_err(invalid)?;
    let prog = handle::prog(ctx, &mut words)?;
    let mut time = None;
    if words.eat("duration") {
        let word = words.take().map_err(invalid)?;
        let seconds = words::number(word, 0).filter(|seconds| *seconds > 0);
        let bad = || invalid(Fail::new(format!("invalid duration: {word}")));
        time = Some(Duration::from_secs(seconds.ok_or_else(bad)?));
    }
    let metrics = metrics(&mut words).map_err(invalid)?;
    let (before, after, elapsed) = watch(ctx, prog, &metrics, time)?;
    let rows = metrics.iter().map(|metric| {
        let value = (metric.read)(&after).wrapping_sub((metric.read)(&before));
        Reading { metric, value }
    });
    let runs = after.run_cnt.wrapping_sub(before.run_cnt);
    Ok(Answer::data(Profile { runs, rows: rows.collect(), elapsed }))
}

fn metrics(words: &mut Words<'_>) -> Result<Vec<&'static Metric>, Fail> {
    let mut found: Vec<&Metric> = Vec::new();
    while let Some(word) = words.next() {
        match METRICS.iter().find(|metric| metric.name == word) {
            Some(metric) if found.iter().all(|other| other.name != word) => found.push(metric),
            Some(_) => {}
            None => return Err(unknown(word)),
        }
    }
    if found.is_empty() {
        Err(Fail::new(format!("no metric given: {}", known())))
    } else {
        Ok(found)
    }
}

fn unknown(word: &str) -> Fail {
    let why = if HARDWARE.contains(&word) {
        "no counters of the processor here"
    } else {
        "no such metric"
    };
    Fail::new(format!("unknown metric {word}: {why}; there are {}", known()))
}

fn known() -> String {
    METRICS.map(|metric| metric.name).join(" and ")
}

/// What the program's counters say before and after some time.
fn watch(
    ctx: &Ctx<'_>,
    prog: Fd,
    metrics: &[&Metric],
    time: Option<Duration>,
) -> Result<(ProgInfo, ProgInfo, Duration), Fail> {
    let door = ctx.door()?;
    let interrupt = Interrupt::new()?;
    let wanted = metrics.iter().map(|metric| metric.counted);
    for what in wanted.chain([Counted::RunTime]) {
        let on = door.enable_stats(what);
        ctx.keep(on.map_err(|errno| Fail::of("can't count runs", errno))?);
    }
    let before = handle::prog_info(ctx, prog)?;
    let start = Instant::now();
    interrupt.wait(time);
    let elapsed = start.elapsed();
    Ok((before, handle::prog_info(ctx, prog)?, elapsed))
}

struct Reading {
    metric: &'static Metric,
    value: u64,
}

struct Profile {
    runs: u64,
    rows: Vec<Reading>,
    elapsed: Duration,
}

impl Show for Profile {
    fn plain(&self, out: &mut Vec<u8>) {
        let mut text = format!("\n{:>18} {:<20}\n", self.runs, "run_cnt");
        for row in &self.rows {
            text += &format!("{:>18} {:<20}", row.value, row.metric.name);
            if self.runs != 0 {
                let mean = row.value as f64 / self.runs as f64;
                text += &format!("# {mean:8.2} {:<30}", row.metric.by_run);
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        out.extend_from_slice(text.as_bytes());
    }

    fn json(&self, out: &mut JsonText) {
        out.begin_array();
        for row in &self.rows {
            out.begin_object();
            string(out, "metric", row.metric.name);
            number(out, "run_cnt", self.runs);
            number(out, "value", row.value);
            // Nothing takes turns on our counters.
            number(out, "enabled", self.elapsed.as_nanos());
            number(out, "running", self.elapsed.as_nanos());
            out.end_object();
        }
        out.end_array();
    }
}
