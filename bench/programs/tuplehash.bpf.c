#include "common.h"
/* flows counted by address pair and ports, in a hash with keys of 16 bytes */
struct tuple { u32 saddr, daddr; u16 sport, dport; u32 proto; };
struct flow { u64 packets, bytes; };
MAP(flows, T_HASH, struct tuple, struct flow, 4096);
ENTRY(1024)
INLINE u64 body(u8 *data, u8 *end) {
  u64 s = 0;
  NOUNROLL for (u32 i = 0; i < 64; i++) {
    u32 word = ((u32 *)data)[i];
    struct tuple key = { .saddr = 0x0a000000 | (word & 31), .daddr = 0x0a000100 | (word >> 5 & 7),
                         .sport = 1024 + (word >> 8 & 3), .dport = 443, .proto = 6 };
    struct flow *flow = map_lookup(M(flows), &key);
    if (flow) {
      flow->packets += 1;
      flow->bytes += word >> 20;
      s += 1;
    } else {
      struct flow first = { 1, word >> 20 };
      map_update(M(flows), &key, &first, 0);
    }
  }
  return 0 * s + 1;
}
