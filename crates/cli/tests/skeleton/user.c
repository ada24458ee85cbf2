/* Uses every part of the skeleton of counter.bpf.c; what it prints is worked out by hand. */
#include <stdio.h>
#include <string.h>
#include <bpf/bpf.h>

struct point { int x; long y; };
enum kind { SMALL = 1, LARGE = 70000 };

#include "counter.skel.h"
#include "counter.subskel.h"

static int run(struct bpf_program *prog)
{
	char packet[64] = "";
	struct bpf_test_run_opts opts;

	memset(&opts, 0, sizeof(opts));
	opts.sz = sizeof(opts);
	opts.data_in = packet;
	opts.data_size_in = sizeof(packet);
	opts.repeat = 1;
	if (bpf_prog_test_run_opts(bpf_program__fd(prog), &opts))
		return -1;
	return (int)opts.retval;
}

int main(void)
{
	struct counter *skel = counter__open();
	struct part *part;
	struct point point;
	size_t size;
	int key = 2, err;

	if (!skel)
		return 1;
	counter__elf_bytes(&size);
	printf("%zu %d %s\n", size, skel->data->last.x, skel->data->text);
	skel->rodata->step = 2;
	skel->rodata->odd_name[1] = 7;
	err = counter__load(skel);
	if (err == -1 || err == -13) {
		printf("skipped: bpf(2) is not allowed here\n");
		counter__destroy(skel);
		return 0;
	}
	if (err)
		return 2;
	printf("%d ", run(skel->progs.count));
	printf("%d ", run(skel->progs.count));
	printf("%d\n", run(skel->progs.other));
	printf("%llu %d %ld %d\n", skel->bss->total, skel->data->last.x, skel->data->last.y, skel->data->kind);
	if (bpf_map__lookup_elem(skel->maps.points, &key, sizeof(key), &point, sizeof(point), 0))
		return 3;
	printf("%d %ld\n", point.x, point.y);
	part = part__open(skel->obj);
	if (!part)
		return 4;
	printf("%d %d %s\n", part->data.last->x, *part->rodata.step, *part->data.text);
	part__destroy(part);
	counter__detach(skel);
	counter__destroy(skel);
	return 0;
}
