#include "common.h"
/* lookups with keys of 8 bytes in a hash of 64k entries, put in by the first runs */

MAP(m, T_HASH, u64, u64, 65536);
ENTRY(256)
INLINE u64 body(u8 *data, u8 *end) {
  u64 s = 0;
  NOUNROLL for (u32 i = 0; i < 64; i++) {
    u64 n = ((u32 *)data)[i] & 65535;
    u64 key = n * 0x9e3779b97f4a7c15ull;
    u64 *v = map_lookup(M(m), &key);
    if (v) s += *v;
    else map_update(M(m), &key, &n, 0);
  }
  return 1;
}
