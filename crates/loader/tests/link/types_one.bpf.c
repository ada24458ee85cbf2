// Types that another object has too: declared here, defined there, or equal all the way down.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct only_declared;
union declared_union;
enum state { IDLE, BUSY };
enum only_name;
typedef struct { int x; struct { long y; union { int z; char w[4]; }; } in; } unnamed_t;
struct list { struct list *next, *prev; unnamed_t value; };
struct tree { struct tree *left, *right; struct list *list; struct only_declared *far; union declared_union *u; };
struct bits { unsigned a:3, b:5; signed c:7; enum state s:2; };
struct callbacks { int (*open)(struct tree *tree, const char *name); void (*close)(const volatile struct bits *bits); };
struct holder { enum only_name *e; const int *restrict r; };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, struct bits);
	__type(value, struct tree);
} trees SEC(".maps");

char odd[5] = { 1 };
long wide = 7;
const char text[] = "text";
struct holder *holder;
struct callbacks *callbacks;
extern int shared_number;
extern struct list shared_list;
extern struct tree *find(struct tree *, struct list *);
__weak int weak_here = 3;
__weak __attribute__((noinline)) int pick(struct list *list, int n) { return n + wide; }

SEC("socket") int one(void *ctx)
{
	struct bits key = {};
	struct tree *tree = bpf_map_lookup_elem(&trees, &key);

	if (!tree)
		return pick(0, shared_number);
	return shared_list.value.x + weak_here + odd[1] + (holder != 0) + (callbacks != 0) + text[0] + (find(tree, 0) != 0);
}
char _license[] SEC("license") = "GPL";
