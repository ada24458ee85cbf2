#include "common.h"
/* 16 names against 4 patterns of at most 16 bytes, without regard to case */
INLINE u8 lower(u8 c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; }
ENTRY(1024)
INLINE u64 body(u8 *data, u8 *end) {
  u64 s = 0;
  NOUNROLL for (u32 i = 0; i < 16; i++) {
    u8 *name = data + i * 16;
    NOUNROLL for (u32 p = 0; p < 4; p++) {
      u8 *pattern = data + 512 + p * 16;
      u32 n = 0;
      NOUNROLL for (; n < 16; n++) {
        if (lower(name[n]) != lower(pattern[n])) break;
        if (name[n] == 0) break;
      }
      s += n == 16 ? 1000 : n;
    }
  }
  return s;
}
