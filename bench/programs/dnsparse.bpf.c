#include "common.h"
/* questions of 16 DNS messages of 128 bytes: labels walked, folded to lower case and hashed */
ENTRY(2048)
INLINE u64 body(u8 *data, u8 *end) {
  u64 s = 0;
  NOUNROLL for (u32 m = 0; m < 16; m++) {
    u8 *msg = data + m * 128;
    u32 hash = 2166136261u, left = 0, labels = 0, at = 12;
    NOUNROLL for (u32 i = 0; i < 64; i++) {
      u8 c = msg[(at + i) & 127];
      if (left == 0) {
        left = c & 15;
        if (left == 0) break;
        labels++;
        hash = (hash ^ '.') * 16777619u;
      } else {
        if (c >= 'A' && c <= 'Z') c |= 32;
        hash = (hash ^ c) * 16777619u;
        left--;
      }
    }
    u16 flags = BSWAP16(*(u16 *)(msg + 2));
    s += hash + labels * 3 + (flags & 0x8000 ? 1 : 0);
  }
  return s;
}
