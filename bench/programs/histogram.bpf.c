#include "common.h"
/* a histogram by powers of two in an array, as latency tools keep it */
MAP(slots, T_ARRAY, u32, u64, 32);
ENTRY(512)
INLINE u64 body(u8 *data, u8 *end) {
  u64 s = 0;
  NOUNROLL for (u32 i = 0; i < 64; i++) {
    u32 v = ((u32 *)data)[i] >> (((u32 *)data)[i + 64] & 15), slot = 0;
    if (v > 0xffff) { v >>= 16; slot += 16; }
    if (v > 0xff) { v >>= 8; slot += 8; }
    if (v > 0xf) { v >>= 4; slot += 4; }
    if (v > 3) { v >>= 2; slot += 2; }
    if (v > 1) slot += 1;
    u64 *count = map_lookup(M(slots), &slot);
    if (count) { *count += 1; s += slot; }
  }
  return s;
}
