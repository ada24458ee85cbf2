//! Samples by time, against what the command used of a CPU.

use ring3::live::Ended;

use crate::functions;
use crate::support::{bpf, ready, run, tempdir};

/// Burns CPU for a while of its own clock, most of it in one function, and sleeps as long.
const SOURCE: &str = r#"
#include <time.h>
#include <unistd.h>
static double used(void) { struct timespec t; clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); return t.tv_sec + t.tv_nsec / 1e9; }
__attribute__((noinline)) long burn(long n) { for (long i = 0; i < 1000000; i++) { n = n * 31 + i; asm volatile("" : "+r"(n)); } return n; }
int main(void)
{
	long n = 0;
	if (fork() == 0)
		while (used() < 0.5) n = burn(n);
	else
		while (used() < 0.5) n = burn(n);
	usleep(500000);
	return n == 1;
}
"#;

#[test]
fn samples_come_by_time_on_a_cpu() {
    if !ready(&["gcc", "clang-19"]) {
        return;
    }
    let dir = tempdir();
    let program = functions::compile_text(&dir, SOURCE, &["-no-pie"]);
    let object = bpf(
        &dir,
        r#"
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
int n_all, n_inside, n_slow, n_counted;
SEC("perf_event") int sample(struct bpf_perf_event_data *ctx)
{
	struct bpf_perf_event_value value = {};
	__sync_fetch_and_add(&n_all, 1);
	if (ctx->sample_period == 5000000 && ctx->regs.ip >= 0x400000 && ctx->regs.ip < 0x500000)
		__sync_fetch_and_add(&n_inside, 1);
	if (!bpf_perf_prog_read_value((void *)ctx, &value, sizeof(value)) && value.counter)
		__sync_fetch_and_add(&n_counted, 1);
	return 0;
}
SEC("perf_event") int slowly(struct bpf_perf_event_data *ctx) { __sync_fetch_and_add(&n_slow, 1); return 0; }
char LICENSE[] SEC("license") = "GPL";
"#,
    );
    let seen = run(object, &[("sample", "perf_event/200")], &[&program]);
    let _ = std::fs::remove_dir_all(&dir);
    assert_eq!(seen.ended, Ended::Exited(0));
    let (_, bss) = seen.maps.iter().find(|(name, _)| name.ends_with(".bss")).expect(".bss");
    let text = bss.to_string();
    let number = |name: &str| -> i32 {
        let rest = text.split(&format!("\"{name}\":")).nth(1).expect("a variable");
        rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse().ok()).expect("one")
    };
    let [all, inside, slow, counted] = ["n_all", "n_inside", "n_slow", "n_counted"].map(number);
    // Two processes of half a second: 200 samples at most, fewer on a busy machine.
    assert!((60..=230).contains(&all), "{text}");
    // The kernel lets a tracer in at ends of calls more often than elsewhere.
    assert!(inside * 10 >= all, "{text}");
    assert!((30..=115).contains(&slow) && slow < all, "{text}");
    assert_eq!(counted, all, "{text}");
}
