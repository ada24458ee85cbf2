//! Breakpoints in user functions, against arithmetic.

use std::path::Path;
use std::process::Command as Process;

use ring3::live::Ended;

use crate::support::{bpf, ready, run, tempdir};

const SOURCE: &str = r#"
#include <pthread.h>
#include <stdlib.h>
__attribute__((noinline)) long fact(long n) { return n < 2 ? 1 : n * fact(n - 1); }
long table[4] = {3, 5, 7, 9};
__attribute__((noinline)) long third(void) { return table[2]; }
__attribute__((noinline)) long twice(const char *text, long n) { asm volatile("" ::: "memory"); return 2 * n; }
static void *work(void *arg) { twice("thread", (long)arg); return 0; }
int main(void)
{
	pthread_t threads[4];
	for (long i = 0; i < 4; i++)
		pthread_create(&threads[i], 0, work, (void *)(10 + i));
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], 0);
	if (fact(6) != 720 || third() != 7 || twice("main", 21) != 42)
		abort();
	void *volatile block = malloc(1234567);
	free(block);
	return 11;
}
"#;

const PROGRAMS: &str = r#"
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
SEC("uprobe/PATH:fact") int BPF_KPROBE(fact, long n) { bpf_printk("fact %ld", n); return 0; }
SEC("uretprobe/PATH:fact") int BPF_KRETPROBE(fact_is, long r)
{ bpf_printk("fact is %ld %d", r, bpf_get_func_ip(ctx) != 0); return 0; }
SEC("uretprobe/PATH:third") int BPF_KRETPROBE(third_is, long r) { bpf_printk("third is %ld", r); return 0; }
SEC("uprobe/PATH:twice") int BPF_KPROBE(twice, const char *text, long n)
{ char s[16]; bpf_probe_read_user_str(s, sizeof(s), text); bpf_printk("twice %s %ld", s, n); return 0; }
SEC("uretprobe/PATH:twice") int BPF_KRETPROBE(twice_is, long r) { bpf_printk("twice is %ld", r); return 0; }
LIBC
char LICENSE[] SEC("license") = "GPL";
"#;

const LIBC: &str = r#"SEC("uprobe/libc.so.6:malloc") int BPF_KPROBE(alloc, unsigned long n)
{ if (n == 1234567) bpf_printk("malloc %ld", n); return 0; }"#;

/// Compiles the command; its path.
pub(crate) fn compile(dir: &Path, options: &[&str]) -> String {
    compile_text(dir, SOURCE, options)
}

/// Compiles C; the program's path.
pub(crate) fn compile_text(dir: &Path, text: &str, options: &[&str]) -> String {
    let (source, program) = (dir.join("functions.c"), dir.join("functions"));
    std::fs::write(&source, text).expect("written");
    let done = Process::new("gcc")
        .args(["-O1", "-pthread"])
        .args(options)
        .arg("-o")
        .args([&program, &source])
        .status();
    assert!(done.is_ok_and(|status| status.success()), "gcc {options:?}");
    program.display().to_string()
}

#[test]
fn functions_fire_with_their_arguments_and_results() {
    if !ready(&["gcc", "clang-19"]) {
        return;
    }
    let ways: &[&[&str]] = &[
        &[],
        &["-no-pie"],
        &["-static"],
        &["-static-pie"],
        &["-fcf-protection=full"],
        &["-fno-omit-frame-pointer", "-O0"],
    ];
    for options in ways {
        let dir = tempdir();
        let program = compile(&dir, options);
        let dynamic = !options.iter().any(|option| option.starts_with("-static"));
        let source = PROGRAMS.replace("PATH", &program);
        let source = source.replace("LIBC", if dynamic { LIBC } else { "" });
        let seen = run(bpf(&dir, &source), &[], &[&program]);
        let _ = std::fs::remove_dir_all(&dir);
        assert_eq!(seen.ended, Ended::Exited(11), "{options:?}\n{}", seen.trace);
        let mut lines: Vec<&str> =
            seen.trace.lines().filter_map(|l| l.split("bpf_trace_printk: ").nth(1)).collect();
        let mut want: Vec<String> = Vec::new();
        for n in 10..14 {
            want.push(format!("twice thread {n}"));
            want.push(format!("twice is {}", 2 * n));
        }
        let mut product = 1;
        for n in 1..7 {
            product *= n;
            want.push(format!("fact {n}"));
            want.push(format!("fact is {product} 1"));
        }
        want.extend(["third is 7", "twice main 21", "twice is 42"].map(str::to_owned));
        want.extend(dynamic.then(|| "malloc 1234567".to_owned()));
        want.sort();
        lines.sort();
        assert_eq!(lines, want, "{options:?}");
    }
}
