#include "common.h"
/* lookups with keys of 16 bytes in a hash of 64k entries, put in by the first runs */
struct key { u64 a, b; };
MAP(m, T_HASH, struct key, u64, 65536);
ENTRY(256)
INLINE u64 body(u8 *data, u8 *end) {
  u64 s = 0;
  NOUNROLL for (u32 i = 0; i < 64; i++) {
    u64 n = ((u32 *)data)[i] & 65535;
    struct key key = { n, ~n };
    u64 *v = map_lookup(M(m), &key);
    if (v) s += *v;
    else map_update(M(m), &key, &n, 0);
  }
  return 1;
}
