// SPDX-License-Identifier: MIT
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct point { int x; long y; };

const volatile int step = 1;
const volatile unsigned char odd_name[3];
struct point last = { 3, 4 };
unsigned long long total;
static int hidden;
char text[16] = "start";
enum kind { SMALL = 1, LARGE = 70000 } kind = SMALL;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, int);
	__type(value, struct point);
} points SEC(".maps");

SEC("xdp")
int count(struct xdp_md *ctx)
{
	int key = total;
	total += step;
	last.x++;
	last.y += odd_name[1];
	hidden++;
	bpf_map_update_elem(&points, &key, &last, BPF_ANY);
	if (total > 3)
		kind = LARGE;
	return XDP_DROP;
}

SEC("xdp")
int other(struct xdp_md *ctx)
{
	return hidden;
}

char _license[] SEC("license") = "GPL";
