// The types that the cases of tests/core.rs are relocated against.
typedef unsigned long long u64;
typedef unsigned int u32;
typedef signed char s8;
typedef u64 counter_t;
struct plain;
typedef int (*callback_t)(struct plain *p, const char *name, u64 flags);

enum colour { RED = 3, GREEN = -7, BLUE = 0x7fffffff };
enum unsigned_colour { UNSIGNED_RED = 0xfffffff0u };
enum wide { WIDE_A = 0x123456789abcdefLL, WIDE_B = -5LL };
enum unsigned_wide { UNSIGNED_WIDE = 0xfffffffffffffff0ULL };
enum { ANONYMOUS_VALUE = 11 };

struct inner { int pad; int x; long y; };
struct plain {
	long moved;
	int a;
	unsigned short b;
	char name[16];
	struct inner in;
	struct inner list[3];
	struct { int skip; union { struct { int deep; }; long other; }; };
	long grid[4][5];
	struct plain *next;
	enum colour colour;
	u64 grown;
	unsigned char shrunk;
	long signed_grown;
	char *text;
	float ratio;
	counter_t count;
	callback_t callback;
	int flexible[];
};
struct bits {
	u32 first : 3;
	int second : 5;
	u64 third : 40;
	u32 fourth : 31;
	u32 fifth : 2;
	u64 whole;
	u64 was_bits;
	unsigned char tiny : 4;
};
struct __attribute__((packed)) packed_bits { char c; u64 wide : 60; u64 more : 60; };

struct twice { int same; int differs; };
struct twice___other { int same; int gap; int differs; };

struct forward;
struct points { struct forward *forward; struct plain *plain; };
union either { int a; long b; };
struct empty {};
struct nested { struct { struct { struct { int bottom; } three; } two; } one; };
struct wrong_kind { struct inner field; int array[3]; };
typedef struct { int unnamed; } unnamed_t;
typedef struct plain plain_t;

struct plain plain;
struct bits bits;
struct packed_bits packed_bits;
struct twice twice;
struct twice___other twice_other;
struct points points;
union either either;
struct empty empty;
struct nested nested;
struct wrong_kind wrong_kind;
unnamed_t unnamed;
plain_t typed;
enum colour colour;
enum unsigned_colour unsigned_colour;
enum wide wide;
enum unsigned_wide unsigned_wide;
callback_t callback;
counter_t count;
s8 small;
int anonymous = ANONYMOUS_VALUE;
