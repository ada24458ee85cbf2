//! Probes at many places, and probes that a program's makers have put there, against what the
//! command says of itself.

use std::path::Path;
use std::process::Command as Process;

use ring3::live::Ended;

use crate::support::{Seen, bpf, ready, run, tempdir};

const HEAD: &str = r#"
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>
char LICENSE[] SEC("license") = "GPL";
"#;

/// The lines that programs traced.
fn lines(seen: &Seen) -> Vec<String> {
    let lines = seen.trace.lines().filter_map(|l| l.split("bpf_trace_printk: ").nth(1));
    lines.map(str::to_owned).collect()
}

/// Compiles C; the program's path.
fn compile(compiler: &str, dir: &Path, source: &str, options: &[&str]) -> String {
    let (file, program) = (dir.join("command.c"), dir.join("command"));
    std::fs::write(&file, source).expect("written");
    let done = Process::new(compiler)
        .args(["-O1", "-g", "-o"])
        .arg(&program)
        .args(options)
        .arg(&file)
        .status();
    assert!(done.is_ok_and(|status| status.success()), "{compiler} {options:?}");
    program.display().to_string()
}

/// Runs a command under programs in which PATH is its path.
fn trace(programs: &str, command: &[&str]) -> (Vec<String>, Seen) {
    let dir = tempdir();
    let source = format!("{HEAD}{}", programs.replace("PATH", command[0]));
    let seen = run(bpf(&dir, &source), &[], command);
    let _ = std::fs::remove_dir_all(&dir);
    (lines(&seen), seen)
}

/// Notes as systemtap's header makes them.
const PROBED: &str = r#"
#define BASE ".ifndef _.stapsdt.base\n.pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n" \
	".weak _.stapsdt.base\n.hidden _.stapsdt.base\n_.stapsdt.base: .space 1\n" \
	".size _.stapsdt.base,1\n.popsection\n.endif\n"
#define PROBE(name, semaphore, args, ...) asm volatile("990: nop\n" \
	".pushsection .note.stapsdt,\"?\",\"note\"\n.balign 4\n" \
	".4byte 992f-991f, 994f-993f, 3\n991: .asciz \"stapsdt\"\n992: .balign 4\n" \
	"993: .8byte 990b\n.8byte _.stapsdt.base\n.8byte " semaphore "\n" \
	".asciz \"shop\"\n.asciz \"" name "\"\n.asciz \"" args "\"\n994: .balign 4\n.popsection\n" \
	BASE :: __VA_ARGS__)
__attribute__((section(".probes"), visibility("hidden"))) volatile unsigned short watched;
struct item { int count; long price; } items[4] = {{-3, 100}, {7, -200}, {11, 300}, {-13, -400}};
__attribute__((noinline)) void sell(struct item *items, long index, unsigned char kind)
{
	PROBE("sale", "watched", "-4@%0 -8@%1 1@%2 4@$1234", "m"(items[index].count),
	      "r"(items[index].price), "r"(kind));
}
int main(void)
{
	for (long i = 0; i < 4; i++)
		sell(items, i, 250 + i);
	PROBE("closed", "0", "-8@$-9");
	PROBE("closed", "0", "-2@%0", "r"((short)-77));
	return watched;
}
"#;

#[test]
fn probes_of_a_program_s_makers_have_their_arguments() {
    if !ready(&["gcc", "clang-19"]) {
        return;
    }
    let programs = r#"
SEC("usdt/PATH:shop:sale") int BPF_USDT(sale, int count, long price, int kind, int constant)
{
	bpf_printk("%d %ld", count, price);
	bpf_printk("%d %d %d", kind, constant, bpf_usdt_arg_cnt(ctx));
	return 0;
}
SEC("usdt/PATH:shop:closed") int BPF_USDT(closed, long how) { bpf_printk("closed %ld", how); return 0; }
"#;
    for options in [&[][..], &["-no-pie"], &["-static-pie"]] {
        let dir = tempdir();
        let program = compile("gcc", &dir, PROBED, options);
        let (lines, seen) = trace(programs, &[&program]);
        let _ = std::fs::remove_dir_all(&dir);
        let want = [
            "-3 100",
            "250 1234 4",
            "7 -200",
            "251 1234 4",
            "11 300",
            "252 1234 4",
            "-13 -400",
            "253 1234 4",
            "closed -9",
            "closed -77",
        ];
        assert_eq!(lines, want, "{options:?}");
        assert_eq!(seen.ended, Ended::Exited(1), "{options:?}: one place is watched");
    }
}

#[test]
fn probes_of_libraries_and_interpreters_fire() {
    if !ready(&["g++", "clang-19", "python3"]) {
        return;
    }
    let source = "int main() { try { throw 5; } catch (int n) { return n; } }";
    let dir = tempdir();
    let program = compile("g++", &dir, source, &["-x", "c++", "-std=c++17"]);
    let programs = r#"
SEC("usdt/libstdc++.so.6:libstdcxx:throw") int BPF_USDT(throws, int *object)
{ int n = 0; bpf_probe_read_user(&n, 4, object); bpf_printk("throw %d", n); return 0; }
SEC("usdt/libstdc++.so.6:libstdcxx:catch") int BPF_USDT(catches, int *object)
{ bpf_printk("catch %d", bpf_usdt_arg_cnt(ctx)); return 0; }"#;
    let (lines, seen) = trace(programs, &[&program]);
    let _ = std::fs::remove_dir_all(&dir);
    assert_eq!(lines, ["throw 5", "catch 2"]);
    assert_eq!(seen.ended, Ended::Exited(5));

    // The interpreter asks its counter whether anybody watches.
    let programs = r#"
SEC("usdt/PATH:python:audit") int BPF_USDT(audits, char *event)
{
	char text[16];
	bpf_probe_read_user_str(text, sizeof(text), event);
	if (text[0] == 'q' && text[1] == '_')
		bpf_printk("%s", text);
	return 0;
}"#;
    let script = "import sys\nfor name in ['q_one', 'other', 'q_two']: sys.audit(name)";
    let notes = Process::new("readelf").args(["-n", "/usr/bin/python3"]).output();
    if !notes.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).contains("Name: audit")) {
        eprintln!("skipped: no python3 with probes here");
        return;
    }
    let (lines, _) = trace(programs, &["/usr/bin/python3", "-c", script]);
    assert_eq!(lines, ["q_one", "q_two"]);
}

const MANY: &str = r#"
__attribute__((noinline)) long g_one(long n) { asm volatile(""); return n + 1; }
__attribute__((noinline)) long g_two(long n) { asm volatile(""); return g_one(n) * 2; }
__attribute__((noinline)) long h_three(long n) { asm volatile(""); return g_two(n) - 3; }
int main(void) { return h_three(10) - 19; }
"#;

#[test]
fn functions_by_pattern_and_sessions() {
    if !ready(&["gcc", "clang-19"]) {
        return;
    }
    let programs = r#"
extern bool bpf_session_is_return(void) __ksym __weak;
extern __u64 *bpf_session_cookie(void) __ksym __weak;
SEC("uprobe.multi/PATH:g_*") int BPF_KPROBE(in, long n) { bpf_printk("in %ld", n); return 0; }
SEC("uretprobe.multi/PATH:?_t*") int BPF_KRETPROBE(out, long n) { bpf_printk("out %ld", n); return 0; }
SEC("uprobe.session/PATH:?_t*") int both(struct pt_regs *ctx)
{
	__u64 *word = bpf_session_cookie();
	if (bpf_session_is_return()) {
		bpf_printk("session %ld -> %ld", *word, PT_REGS_RC(ctx));
		return 0;
	}
	*word = PT_REGS_PARM1(ctx);
	return 0;
}
SEC("uprobe.session/PATH:g_two") int half(struct pt_regs *ctx)
{
	bpf_printk("half %d", bpf_session_is_return());
	return 1;
}
SEC("kprobe.session/__x64_sys_exit_group*") int ends(struct pt_regs *ctx) { bpf_printk("ends"); return 0; }
SEC("kprobe.session/__x64_sys_*pid") int call(struct pt_regs *ctx)
{
	if (bpf_session_is_return())
		bpf_printk("call %d %d", PT_REGS_RC(ctx) > 0, *bpf_session_cookie());
	*bpf_session_cookie() = 17;
	return 0;
}
"#;
    let dir = tempdir();
    let source =
        format!("#include <unistd.h>\n{}", MANY.replace("{ return h", "{ getppid(); return h"));
    let program = compile("gcc", &dir, &source, &[]);
    let (lines, seen) = trace(programs, &[&program]);
    let _ = std::fs::remove_dir_all(&dir);
    let want = [
        "call 1 17",
        "in 10",
        "half 0",
        "in 10",
        "out 22",
        "session 10 -> 22",
        "out 19",
        "session 10 -> 19",
        "ends",
    ];
    assert_eq!(lines, want);
    assert_eq!(seen.ended, Ended::Exited(0));
}

/// A program whose symbols are in another file: by the build's number, and by a link.
#[test]
fn symbols_in_separate_files_are_found() {
    if !ready(&["gcc", "clang-19", "objcopy"]) {
        return;
    }
    let programs = r#"SEC("uprobe/PATH:h_three") int BPF_KPROBE(in, long n) { bpf_printk("in %ld", n); return 0; }"#;
    let dir = tempdir();
    let program = compile("gcc", &dir, MANY, &[]);
    let debug = dir.join("command.debug");
    let objcopy = |args: &[&str]| {
        let done = Process::new("objcopy").current_dir(&dir).args(args).status();
        assert!(done.is_ok_and(|status| status.success()), "objcopy {args:?}");
    };
    objcopy(&["--only-keep-debug", "command", "command.debug"]);
    objcopy(&["--strip-all", "--add-gnu-debuglink=command.debug", "command"]);
    let (lines, _) = trace(programs, &[&program]);
    assert_eq!(lines, ["in 10"]);
    // The symbols of another build are none of it.
    std::fs::write(dir.join("other.c"), "int main(void) { return 2; } int h_three;")
        .expect("written");
    let args = ["-g", "-o", "command.debug", "other.c"];
    let other = Process::new("gcc").current_dir(&dir).args(args).status();
    assert!(other.is_ok_and(|status| status.success()), "gcc");
    assert!(debug.exists());
    let object = bpf(&dir, &format!("{HEAD}{}", programs.replace("PATH", &program)));
    let error = crate::support::refusal(object, &[&program]);
    let _ = std::fs::remove_dir_all(&dir);
    assert!(error.contains("no function 'h_three'"), "{error}");
}

#[test]
fn musl_s_static_programs_are_probed() {
    if !ready(&["clang-19"]) || Process::new("musl-gcc").arg("--version").output().is_err() {
        eprintln!("skipped: no musl-gcc here (package musl-tools)");
        return;
    }
    let programs = r#"
SEC("uprobe/PATH:g_two") int BPF_KPROBE(in, long n) { bpf_printk("in %ld", n); return 0; }
SEC("uretprobe/PATH:g_two") int BPF_KRETPROBE(out, long n) { bpf_printk("out %ld", n); return 0; }"#;
    for options in [&["-static"][..], &["-static-pie"], &[]] {
        let dir = tempdir();
        let program = compile("musl-gcc", &dir, MANY, options);
        let (lines, seen) = trace(programs, &[&program]);
        let _ = std::fs::remove_dir_all(&dir);
        assert_eq!(lines, ["in 10", "out 22"], "{options:?}");
        assert_eq!(seen.ended, Ended::Exited(0), "{options:?}");
    }
}

#[test]
fn go_s_functions_are_probed_and_their_returns_refused() {
    if !ready(&["clang-19"]) || Process::new("go").arg("version").output().is_err() {
        eprintln!("skipped: no go here (package golang-go)");
        return;
    }
    let source = r#"package main
import "os"
//go:noinline
func deep(n int) int { var pad [64]int; pad[n&63] = n; if n == 0 { return 0 }; return deep(n-1) + pad[n&63] - n + 1 }
//go:noinline
func twice(n int) int { return 2 * n }
func main() {
	done := make(chan int)
	for i := 0; i < 4; i++ { go func() { done <- deep(1000) }() }
	sum := 0
	for i := 0; i < 4; i++ { sum += <-done }
	if sum != 4000 { os.Exit(1) }
	os.Exit(twice(21))
}"#;
    let dir = tempdir();
    std::fs::write(dir.join("main.go"), source).expect("written");
    let built = Process::new("go")
        .args(["build", "-o", "command", "main.go"])
        .current_dir(&dir)
        .env("HOME", &dir)
        .env("GOCACHE", dir.join("cache"))
        .env("GO111MODULE", "off")
        .status();
    assert!(built.is_ok_and(|status| status.success()), "go build");
    let program = dir.join("command").display().to_string();
    // Go passes arguments in registers of its own: the first one in rax.
    let programs = r#"
SEC("uprobe/PATH:main.twice") int twice(struct pt_regs *ctx) { bpf_printk("twice %d", ctx->ax); return 0; }
int depth;
SEC("uprobe/PATH:main.deep") int deep(struct pt_regs *ctx) { __sync_fetch_and_add(&depth, 1); return 0; }
"#;
    let (lines, seen) = trace(programs, &[&program]);
    assert_eq!(lines, ["twice 21"]);
    assert_eq!(seen.ended, Ended::Exited(42));
    let (_, bss) = seen.maps.iter().find(|(name, _)| name.ends_with(".bss")).expect(".bss");
    // A function whose stack is too small begins anew.
    let count: String = bss.to_string().chars().filter(char::is_ascii_digit).collect();
    let count: u32 = count.trim_start_matches('0').parse().expect("a count");
    assert!((4004..4100).contains(&count), "{bss}");
    let programs = r#"SEC("uretprobe/PATH:main.twice") int twice(void *ctx) { return 0; }"#;
    let object = bpf(&dir, &format!("{HEAD}{}", programs.replace("PATH", &program)));
    let error = crate::support::refusal(object, &[&program]);
    let _ = std::fs::remove_dir_all(&dir);
    assert!(error.contains("Go program"), "{error}");
}

#[test]
fn stacks_are_numbered_and_function_addresses_told() {
    if !ready(&["gcc", "clang-19"]) {
        return;
    }
    let programs = r#"
struct { __uint(type, BPF_MAP_TYPE_STACK_TRACE); __uint(max_entries, 64); __uint(key_size, 4);
	__uint(value_size, 127 * 8); } stacks SEC(".maps");
long one, two, first, second;
SEC("uprobe/PATH:g_one") int in(struct pt_regs *ctx)
{
	one = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK);
	two = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK);
	__u64 frames[8] = {};
	bpf_get_stack(ctx, frames, sizeof(frames), BPF_F_USER_STACK);
	first = frames[0] - bpf_get_func_ip(ctx);
	second = frames[2];
	bpf_printk("%d %d %d", one >= 0, one == two, bpf_get_stackid(ctx, &stacks, 0));
	bpf_printk("%d %d", first, bpf_get_stackid(ctx, &stacks, 1 << 20));
	return 0;
}
SEC("kprobe/__x64_sys_exit_group") int ends(struct pt_regs *ctx)
{ bpf_printk("%d %d", bpf_get_func_ip(ctx) != 0, bpf_get_attach_cookie(ctx) == 0); return 0; }
"#;
    let dir = tempdir();
    let program =
        compile("gcc", &dir, MANY, &["-fno-omit-frame-pointer", "-fno-optimize-sibling-calls"]);
    let (lines, seen) = trace(programs, &[&program]);
    let _ = std::fs::remove_dir_all(&dir);
    assert_eq!(lines, ["1 1 -14", "0 -22", "1 1"]);
    // At the entry the caller's frame is not made yet: two of four functions are told by frames.
    let stacks = seen.map("stacks").to_string();
    assert!(stacks.matches('{').count() >= 1, "{stacks}");
}
