//! Programs that run in the command itself, against the command's own counts and against the same
//! programs run in ring3.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command as Process;

use ring3::live::Ended;
use serde_json::Value;

use crate::support::{Seen, bpf, ready, run, run_inside, tempdir};

/// Counts its own calls in a file that all its processes share.
const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
static long *calls;
#define COUNT(i) __atomic_add_fetch(&calls[i], 1, __ATOMIC_RELAXED)
__attribute__((noinline)) long leaf(long a, long b)
{
	volatile long room[12];
	for (int i = 0; i < 12; i++)
		room[i] = a + i;
	long sum = b;
	for (int i = 0; i < 12; i++)
		sum += room[i];
	return sum;
}
__attribute__((noinline)) double many(double a, double b, double c, double d, double e, double f,
				      double g, double h)
{
	asm volatile("" ::: "memory");
	return a + 2 * b + 4 * c + 8 * d + 16 * e + 32 * f + 64 * g + 128 * h;
}
__attribute__((noinline)) long deep(long n)
{
	if (!n)
		return 0;
	long below = deep(n - 1);
	asm volatile("" : "+r"(below));
	return 1 + below;
}
__attribute__((noinline)) long word(const char *text, long n) { return strlen(text) + n; }
static void check(int good) { if (!good) abort(); }
static void once(long i)
{
	check(leaf(i, 7) == 12 * i + 66 + 7);
	COUNT(0);
	check(many(1, 2, 3, 4, 5, 6, 7, i) == 1 + 4 + 12 + 32 + 80 + 192 + 448 + 128.0 * i);
	COUNT(1);
}
static void on_alarm(int s) { once(s); }
static void *work(void *n) { for (long i = 0; i < (long)n; i++) once(i); return 0; }
int main(int argc, char **argv)
{
	long n = atol(argv[2]);
	calls = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, open(argv[1], O_RDWR), 0);
	if (argc > 3) {
		work((void *)n);
		return 0;
	}
	signal(SIGALRM, on_alarm);
	struct itimerval often = {{0, 500}, {0, 500}};
	setitimer(ITIMER_REAL, &often, 0);
	work((void *)n);
	struct itimerval never = {};
	setitimer(ITIMER_REAL, &never, 0);
	pthread_t threads[4];
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], 0, work, (void *)n);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], 0);
	check(deep(500) == 500);
	calls[2] += 501;
	for (int i = 0; i < 4; i++)
		if (!fork()) {
			work((void *)n);
			_exit(0);
		}
	for (int i = 0; i < 2; i++)
		if (!vfork()) {
			execl("/proc/self/exe", argv[0], argv[1], argv[2], "again", NULL);
			_exit(1);
		}
	int status;
	while (wait(&status) > 0)
		check(status == 0);
	for (long i = 0; i < 20; i++)
		check(word("a word of the command's", i) == 23 + i);
	calls[3] += 20;
	return 9;
}
"#;

const PROGRAMS: &str = r#"
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __type(key, int); __type(value, u64); } counts SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1); __type(key, int); __type(value, u64); } each SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 64); __type(key, u32); __type(value, u64); } args SEC(".maps");
struct three { u32 a, b, c; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 64); __type(key, struct three); __type(value, u64); } odd SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 1 << 16); } ring SEC(".maps");
struct event { u64 pid_tgid; u64 n; char comm[16]; char text[32]; };
u64 total = 0;
static void count(int i)
{
	u64 *n = bpf_map_lookup_elem(&counts, &i);
	if (n)
		__sync_fetch_and_add(n, 1);
	__sync_fetch_and_add(&total, 1);
}
SEC("uprobe/PATH:leaf") int BPF_KPROBE(on_leaf, long a)
{
	int zero = 0;
	u32 key = a & 31;
	u64 one = 1;
	count(0);
	u64 *mine = bpf_map_lookup_elem(&each, &zero);
	if (mine)
		(*mine)++;
	u64 *n = bpf_map_lookup_elem(&args, &key);
	if (n)
		__sync_fetch_and_add(n, 1);
	else if (bpf_map_update_elem(&args, &key, &one, BPF_NOEXIST)) {
		n = bpf_map_lookup_elem(&args, &key);
		if (n)
			__sync_fetch_and_add(n, 1);
	}
	return 0;
}
SEC("uprobe/PATH:many") int on_many(void *ctx) { count(1); return 0; }
SEC("uprobe/PATH:deep") int BPF_KPROBE(on_deep, long n)
{
	struct three key = {n & 7, 1, 2};
	u64 value = n;
	count(2);
	bpf_map_update_elem(&odd, &key, &value, BPF_ANY);
	key.a = (n + 4) & 7;
	bpf_map_delete_elem(&odd, &key);
	return 0;
}
SEC("uprobe/PATH:word") int BPF_KPROBE(on_word, const char *text, long n)
{
	count(3);
	struct event *e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);
	if (!e)
		return 0;
	e->pid_tgid = bpf_get_current_pid_tgid();
	e->n = n;
	bpf_get_current_comm(e->comm, sizeof(e->comm));
	bpf_probe_read_user_str(e->text, sizeof(e->text), text);
	if (n & 1)
		bpf_ringbuf_discard(e, 0);
	else
		bpf_ringbuf_submit(e, 0);
	if (bpf_ktime_get_ns() == 0 || bpf_get_func_ip(ctx) != PT_REGS_IP(ctx))
		count(0);
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
"#;

fn compile(dir: &Path, options: &[&str]) -> String {
    let (source, program) = (dir.join("inside.c"), dir.join("inside"));
    std::fs::write(&source, SOURCE).expect("written");
    let mut gcc = Process::new("gcc");
    let done = gcc.args(options).args(["-pthread", "-o"]).args([&program, &source]).status();
    assert!(done.is_ok_and(|status| status.success()), "gcc {options:?}");
    program.display().to_string()
}

/// Values of a map by the text of their keys; copies of CPUs summed up.
fn values(map: &Value) -> BTreeMap<String, u64> {
    let number = |value: &Value| match value {
        Value::Array(copies) => copies.iter().map(of_cpu).sum(),
        other => other.as_u64().unwrap_or(u64::MAX),
    };
    let entry = |e: &Value| {
        let value = e.get("values").or(e.get("value")).unwrap_or(&Value::Null);
        (e["key"].to_string(), number(value))
    };
    map.as_array().into_iter().flatten().map(entry).collect()
}

fn of_cpu(copy: &Value) -> u64 {
    copy.get("value").unwrap_or(copy).as_u64().unwrap_or(u64::MAX)
}

/// The counts that the command made itself.
fn own_counts(file: &Path) -> Vec<u64> {
    let bytes = std::fs::read(file).expect("the command's counts");
    let word = |chunk: &[u8]| u64::from_ne_bytes(chunk.try_into().expect("a word"));
    bytes.chunks_exact(8).take(4).map(word).collect()
}

fn check(seen: &Seen, file: &Path, what: &str) {
    assert_eq!(seen.ended, Ended::Exited(9), "{what}");
    let own = own_counts(file);
    let counts: Vec<u64> = values(seen.map("counts")).into_values().collect();
    assert_eq!(counts, own, "{what}: calls by function");
    let sum = |name: &str| values(seen.map(name)).into_values().sum::<u64>();
    assert_eq!(sum("args"), own[0], "{what}: calls by argument");
    assert_eq!(sum("each"), own[0], "{what}: calls by CPU");
    assert_eq!(values(seen.map("odd")).len(), 4, "{what}: what was not deleted");
    let records: Vec<(u64, String, String)> = seen
        .records
        .iter()
        .map(|record| {
            let word =
                |at: usize| u64::from_ne_bytes(record.data[at..at + 8].try_into().expect("a word"));
            assert_eq!(word(0) >> 32, word(0) & 0xffff_ffff, "{what}: a thread of its own");
            let text = |at: usize| crate::support::text(&record.data[at..]);
            (word(8), text(16), text(32))
        })
        .collect();
    let want = |n: u64| (n, "inside".to_owned(), "a word of the command's".to_owned());
    let want: Vec<_> = (0..20).step_by(2).map(want).collect();
    assert_eq!(records, want, "{what}: records");
}

#[test]
fn programs_in_the_command_see_what_programs_outside_see() {
    if !ready(&["gcc", "clang-19"]) {
        return;
    }
    for options in [&["-O2"][..], &["-O1", "-static", "-fno-pie", "-no-pie"], &["-O0"]] {
        let dir = tempdir();
        let program = compile(&dir, options);
        let file = dir.join("counts");
        let source = PROGRAMS.replace("PATH", &program);
        let counts = file.display().to_string();
        for (calls, inside) in [("20000", true), ("50", false)] {
            std::fs::write(&file, [0; 4096]).expect("written");
            let what = format!("{options:?}, inside: {inside}");
            let argv = [&*program, &*counts, calls];
            let seen = if inside {
                let (seen, slow) = run_inside(bpf(&dir, &source), &argv);
                assert_eq!(slow, [], "{what}");
                seen
            } else {
                run(bpf(&dir, &source), &[], &argv)
            };
            check(&seen, &file, &what);
        }
        let _ = std::fs::remove_dir_all(&dir);
    }
}

#[test]
fn programs_that_cannot_run_in_the_command_say_why() {
    if !ready(&["gcc", "clang-19"]) {
        return;
    }
    let dir = tempdir();
    let program = compile(&dir, &["-O2"]);
    let file = dir.join("counts");
    std::fs::write(&file, [0; 4096]).expect("written");
    let source = r#"
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
struct { __uint(type, BPF_MAP_TYPE_LRU_HASH); __uint(max_entries, 64); __type(key, u32); __type(value, u64); } recent SEC(".maps");
u64 hits = 0;
SEC("uprobe/PATH:leaf") int prints(void *ctx) { bpf_printk("leaf"); return 0; }
SEC("uprobe/PATH:many") int keeps(void *ctx) { u32 k = 0; bpf_map_lookup_elem(&recent, &k); return 0; }
SEC("uretprobe/PATH:deep") int back(void *ctx) { return 0; }
SEC("uprobe/PATH:word") int works(void *ctx) { __sync_fetch_and_add(&hits, 1); return 0; }
char LICENSE[] SEC("license") = "GPL";
"#;
    let source = source.replace("PATH", &program);
    let argv = [&*program, &*file.display().to_string(), "2"];
    let (seen, slow) = run_inside(bpf(&dir, &source), &argv);
    let _ = std::fs::remove_dir_all(&dir);
    assert_eq!(seen.ended, Ended::Exited(9));
    let names: Vec<&str> = slow.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["prints", "keeps", "back"], "{slow:?}");
    assert!(slow[0].1.contains("trace_printk"), "{slow:?}");
    assert!(slow[1].1.contains("recent"), "{slow:?}");
}
