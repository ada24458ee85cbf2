// The other half of types_one.bpf.c.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct only_declared { int now; struct only_declared *self; };
union declared_union { int i; long l; };
enum state { IDLE, BUSY };
enum only_name { FIRST = 1 };
typedef struct { int x; struct { long y; union { int z; char w[4]; }; } in; } unnamed_t;
struct list { struct list *next, *prev; unnamed_t value; };
struct tree { struct tree *left, *right; struct list *list; struct only_declared *far; union declared_union *u; };
struct bits { unsigned a:3, b:5; signed c:7; enum state s:2; };
struct other_in_two { long q; enum only_name e; };
struct callbacks { int (*open)(struct tree *tree, const char *name); void (*close)(const volatile struct bits *bits); };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 8);
	__type(key, int);
	__type(value, struct other_in_two);
} others SEC(".maps");

char odd_too[3] __attribute__((aligned(16))) = { 9 };
int shared_number = 11;
struct list shared_list;
union declared_union *u;
struct callbacks *more_callbacks;
int weak_here = 4;
static struct only_declared *deep;
__attribute__((noinline)) struct tree *find(struct tree *tree, struct list *list)
{
	deep = tree ? tree->far : 0;
	return tree ? tree->left : 0;
}
__attribute__((noinline)) int pick(struct list *list, int n) { return n * 3; }

SEC("socket") int two(void *ctx)
{
	int key = 0;
	struct other_in_two *other = bpf_map_lookup_elem(&others, &key);

	return (other ? other->e + other->q : 0) + odd_too[2] + (u != 0) + (more_callbacks != 0) +
	       (deep != 0) + pick(0, key);
}
char _license[] SEC("license") = "GPL";
