//! Hooks on a command: what a system call or a function costs it, in nanoseconds.

use std::path::Path;
use std::process::Command as Process;

use serde::Serialize;

use ring3::live::{Command, Live, Take};
use ring3::{Config, Kernel, Machine, Object};

/// Nanoseconds a call.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Time {
    /// The median of many short rounds.
    pub median: f64,
    /// The best one: what others do on the machine stays out.
    pub best: f64,
}

/// What hooks cost a command.
#[derive(Debug, Default, Serialize)]
pub struct Figures {
    /// getppid(2) of a command that nobody watches.
    pub native: Time,
    /// getppid(2) while other calls are watched.
    pub untraced: Time,
    /// With a program at its entry.
    pub enter: Time,
    /// With programs at entry and end.
    pub enter_exit: Time,
    /// A function with a program at its entry that updates a map, run by ring3.
    pub uprobe: Time,
    /// The same where the program runs in the command.
    pub uprobe_inside: Time,
    /// getppid(2) under strace; 0 without strace.
    pub strace: Time,
    /// A tree of processes.
    pub tree: Tree,
}

/// 20,000 forks and execs of /bin/true by a tree of eight at once.
#[derive(Debug, Default, Serialize)]
pub struct Tree {
    /// Execs of it that were told.
    pub told: usize,
    /// Processes that they were of: as many, if none was lost or told twice.
    pub processes: usize,
    /// Seconds.
    pub seconds: f64,
    /// This process's memory after 5,000, 10,000 and 20,000, in KiB.
    pub memory: Vec<u64>,
}

const LOOP: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
__attribute__((noinline)) long hit(long n) { asm volatile("" ::: "memory"); return 3 * n; }
static int less(const void *a, const void *b) { double d = *(double *)a - *(double *)b; return d < 0 ? -1 : d > 0; }
int main(int argc, char **argv)
{
	int calls = atoi(argv[3]);
	static double all[250];
	for (int round = 0; round < 250; round++) {
		struct timespec a, b;
		clock_gettime(CLOCK_MONOTONIC, &a);
		for (int i = 0; i < calls; i++)
			if (argv[1][0] == 'f') hit(i); else syscall(SYS_getppid);
		clock_gettime(CLOCK_MONOTONIC, &b);
		all[round] = ((b.tv_sec - a.tv_sec) * 1e9 + b.tv_nsec - a.tv_nsec) / calls;
	}
	qsort(all, 250, sizeof(double), less);
	FILE *out = fopen(argv[2], "w");
	fprintf(out, "%f %f", all[125], all[0]);
	return fclose(out);
}
"#;

const HEAD: &str = r#"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, int); __type(value, long); } hits SEC(".maps");
static int count(void)
{
	int zero = 0;
	long *hit = bpf_map_lookup_elem(&hits, &zero);
	if (hit) __sync_fetch_and_add(hit, 1);
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
"#;

struct Bench<'a> {
    dir: &'a Path,
    program: String,
}

/// Measures.
pub fn run() -> Result<Figures, String> {
    let dir = std::env::temp_dir().join(format!("ring3-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
    let figures = measure(&dir);
    let _ = std::fs::remove_dir_all(&dir);
    figures
}

fn measure(dir: &Path) -> Result<Figures, String> {
    let (source, program) = (dir.join("loop.c"), dir.join("loop"));
    std::fs::write(&source, LOOP).map_err(|error| error.to_string())?;
    let done = Process::new("gcc").arg("-O1").arg("-o").args([&program, &source]).status();
    if !done.is_ok_and(|status| status.success()) {
        return Err("the command that is measured needs gcc".into());
    }
    let bench = Bench { dir, program: program.display().to_string() };
    let section = |name: &str| format!("tracepoint/syscalls/sys_{name}");
    let uprobe = format!("uprobe/{}:hit", bench.program);
    Ok(Figures {
        native: bench.alone(&[], 2000)?,
        untraced: bench.under(&[section("enter_getpgrp")], "call", 2000)?,
        enter: bench.under(&[section("enter_getppid")], "call", 200)?,
        enter_exit: bench.under(
            &[section("enter_getppid"), section("exit_getppid")],
            "call",
            3000,
        )?,
        uprobe: bench.under(std::slice::from_ref(&uprobe), "function", 200)?,
        uprobe_inside: bench.inside(&[uprobe], "function", 2000)?,
        strace: bench.alone(&["strace", "-o", "/dev/null"], 200).unwrap_or_default(),
        tree: bench.tree()?,
    })
}

impl Bench<'_> {
    fn argv(&self, what: &str, calls: u32) -> [String; 4] {
        let out = self.dir.join("ns").display().to_string();
        [self.program.clone(), what.into(), out, calls.to_string()]
    }

    fn result(&self) -> Result<Time, String> {
        let text = std::fs::read_to_string(self.dir.join("ns")).map_err(|e| e.to_string())?;
        let (median, best) = text.split_once(' ').unwrap_or_default();
        let number = |word: &str| word.parse().map_err(|_| format!("'{text}' is no time"));
        Ok(Time { median: number(median)?, best: number(best)? })
    }

    fn alone(&self, before: &[&str], calls: u32) -> Result<Time, String> {
        let argv = self.argv("call", calls);
        let all: Vec<&str> =
            before.iter().copied().chain(argv.iter().map(String::as_str)).collect();
        let status = Process::new(all[0]).args(&all[1..]).status().map_err(|e| e.to_string())?;
        if status.success() { self.result() } else { Err(format!("{}: {status}", all[0])) }
    }

    fn under(&self, sections: &[String], what: &str, calls: u32) -> Result<Time, String> {
        self.with(sections, what, calls, false)
    }

    fn inside(&self, sections: &[String], what: &str, calls: u32) -> Result<Time, String> {
        self.with(sections, what, calls, true)
    }

    fn with(
        &self,
        sections: &[String],
        what: &str,
        calls: u32,
        inside: bool,
    ) -> Result<Time, String> {
        let programs = sections.iter().enumerate();
        let programs = programs.map(|(n, section)| {
            format!("SEC(\"{section}\") int program{n}(void *ctx) {{ return count(); }}\n")
        });
        let source = self.dir.join("bench.bpf.c");
        let text = HEAD.to_owned() + &programs.collect::<String>();
        std::fs::write(&source, text).map_err(|e| e.to_string())?;
        let kernel = Kernel::running();
        let object = Object::open(&source).map_err(|e| e.to_string())?;
        let machine = Machine::with(Config { shared_maps: inside, ..Config::default() });
        let loaded = machine.load(&object).map_err(|e| e.to_string())?;
        let mut live = Live::new(&loaded, &kernel, &[]).map_err(|e| e.to_string())?;
        if inside && let Some((_, why)) = live.speed_up().pop() {
            return Err(why);
        }
        let argv = self.argv(what, calls).map(Into::into).to_vec();
        let mut take = Take { records: live.records().map_err(|e| e.to_string())?, each: |_| {} };
        live.run(&Command { argv }, &mut take).map_err(|e| e.to_string())?;
        self.result()
    }

    fn tree(&self) -> Result<Tree, String> {
        const EACH: usize = 2500;
        const MARKS: [usize; 3] = [5_000, 10_000, 20_000];
        let source = self.dir.join("tree.bpf.c");
        std::fs::write(&source, EXECS).map_err(|e| e.to_string())?;
        let object = Object::open(&source).map_err(|e| e.to_string())?;
        let machine = Machine::with(Config::default());
        let loaded = machine.load(&object).map_err(|e| e.to_string())?;
        let mut live =
            Live::new(&loaded, &Kernel::running(), &[]).map_err(|error| error.to_string())?;
        let script = format!(
            "for i in 1 2 3 4 5 6 7 8; do (n=0; while [ $n -lt {EACH} ]; do /bin/true; n=$((n+1)); \
             done; true) & done; wait"
        );
        let argv = ["/bin/sh", "-c", &script].map(Into::into).to_vec();
        let (mut pids, mut memory) = (Vec::new(), Vec::new());
        let each = |record: ring3::live::Record| {
            let pid = record.data.first_chunk().map_or(0, |word| u32::from_ne_bytes(*word));
            pids.push(pid);
            if MARKS.contains(&pids.len()) {
                memory.push(resident());
            }
        };
        let mut take = Take { records: live.records().map_err(|e| e.to_string())?, each };
        let start = std::time::Instant::now();
        live.run(&Command { argv }, &mut take).map_err(|e| e.to_string())?;
        let seconds = start.elapsed().as_secs_f64();
        // The shell itself is none of them.
        pids.remove(0);
        let told = pids.len();
        pids.sort_unstable();
        pids.dedup();
        Ok(Tree { told, processes: pids.len(), seconds, memory })
    }
}

const EXECS: &str = r#"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 1 << 20); } execs SEC(".maps");
SEC("tracepoint/sched/sched_process_exec") int on_exec(void *ctx)
{
	int pid = bpf_get_current_pid_tgid() >> 32;
	bpf_ringbuf_output(&execs, &pid, sizeof(pid), 0);
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
"#;

/// Memory of this process, in KiB.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
