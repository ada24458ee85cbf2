//! Hooks on a command: what a system call or a function costs it, in nanoseconds.

use std::path::Path;
use std::process::Command as Process;

use serde::Serialize;

use ring3::live::{Command, Live, Take};
use ring3::{Config, Kernel, Machine, Object};

/// Nanoseconds a call, the best of many short rounds: what others do on the machine stays out.
#[derive(Debug, Default, Serialize)]
pub struct Figures {
    /// getppid(2) of a command that nobody watches.
    pub native: f64,
    /// getppid(2) while other calls are watched.
    pub untraced: f64,
    /// With a program at its entry.
    pub enter: f64,
    /// With programs at entry and end.
    pub enter_exit: f64,
    /// A function with a program at its entry that updates a map.
    pub uprobe: f64,
    /// The same where the program runs in the command.
    pub uprobe_inside: f64,
    /// getppid(2) under strace; 0 without strace.
    pub strace: f64,
}

const LOOP: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
__attribute__((noinline)) long hit(long n) { asm volatile("" ::: "memory"); return 3 * n; }
int main(int argc, char **argv)
{
	int calls = atoi(argv[3]);
	double best = 1e18;
	for (int round = 0; round < 250; round++) {
		struct timespec a, b;
		clock_gettime(CLOCK_MONOTONIC, &a);
		for (int i = 0; i < calls; i++)
			if (argv[1][0] == 'f') hit(i); else syscall(SYS_getppid);
		clock_gettime(CLOCK_MONOTONIC, &b);
		double ns = ((b.tv_sec - a.tv_sec) * 1e9 + b.tv_nsec - a.tv_nsec) / calls;
		if (ns < best) best = ns;
	}
	FILE *out = fopen(argv[2], "w");
	fprintf(out, "%f", best);
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
        strace: bench.alone(&["strace", "-o", "/dev/null"], 200).unwrap_or(0.0),
    })
}

impl Bench<'_> {
    fn argv(&self, what: &str, calls: u32) -> [String; 4] {
        let out = self.dir.join("ns").display().to_string();
        [self.program.clone(), what.into(), out, calls.to_string()]
    }

    fn result(&self) -> Result<f64, String> {
        let text = std::fs::read_to_string(self.dir.join("ns")).map_err(|e| e.to_string())?;
        text.parse().map_err(|_| format!("'{text}' is no time"))
    }

    fn alone(&self, before: &[&str], calls: u32) -> Result<f64, String> {
        let argv = self.argv("call", calls);
        let all: Vec<&str> =
            before.iter().copied().chain(argv.iter().map(String::as_str)).collect();
        let status = Process::new(all[0]).args(&all[1..]).status().map_err(|e| e.to_string())?;
        if status.success() { self.result() } else { Err(format!("{}: {status}", all[0])) }
    }

    fn under(&self, sections: &[String], what: &str, calls: u32) -> Result<f64, String> {
        self.with(sections, what, calls, false)
    }

    fn inside(&self, sections: &[String], what: &str, calls: u32) -> Result<f64, String> {
        self.with(sections, what, calls, true)
    }

    fn with(
        &self,
        sections: &[String],
        what: &str,
        calls: u32,
        inside: bool,
    ) -> Result<f64, String> {
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
}
