#include "common.h"
/* a chain of eight stages: tail calls in BPF, plain calls in native code */
#define STAGES 8
INLINE u32 stage(u8 *data, u32 n) {
  u32 x = *(u32 *)(data + 4 * n) + n;
  *(u32 *)(data + 32) = *(u32 *)(data + 32) * 31 + (x ^ x >> 7);
  return *(u32 *)(data + 32);
}
#ifdef KERN
static long (*tail_call)(void *ctx, void *map, u32 index) = (void *)12;
#define STAGE(n) int stage##n(struct xdp_md *ctx)
STAGE(1); STAGE(2); STAGE(3); STAGE(4); STAGE(5); STAGE(6); STAGE(7);
struct {
  __uint(type, 3);
  __uint(max_entries, STAGES);
  __type(key, u32);
  int (*values[])(struct xdp_md *);
} chain SEC(".maps") = {
  .values = { [1] = stage1, [2] = stage2, [3] = stage3, [4] = stage4, [5] = stage5, [6] = stage6, [7] = stage7 },
};
INLINE int run(struct xdp_md *ctx, u32 n) {
  u8 *data = (u8 *)(long)ctx->data, *end = (u8 *)(long)ctx->data_end;
  if (data + 64 > end) return -1;
  if (n == 0) *(u32 *)(data + 32) = 0;
  u32 x = stage(data, n);
  if (n + 1 < STAGES) tail_call(ctx, &chain, n + 1);
  return x;
}
SEC("xdp") int prog(struct xdp_md *ctx) { return run(ctx, 0); }
#define BODY(n) SEC("xdp") STAGE(n) { return run(ctx, n); }
BODY(1) BODY(2) BODY(3) BODY(4) BODY(5) BODY(6) BODY(7)
char LICENSE[] SEC("license") = "GPL";
#else
ENTRY(64)
INLINE u64 body(u8 *data, u8 *end) {
  u32 x = 0;
  *(u32 *)(data + 32) = 0;
  for (u32 n = 0; n < STAGES; n++) x = stage(data, n);
  return x;
}
#endif
