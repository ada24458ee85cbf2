#include "common.h"
/* a token bucket over 128 packets: arrival gaps and lengths come from the bytes */
ENTRY(512)
INLINE u64 body(u8 *data, u8 *end) {
  const u64 rate = 3, burst = 4000;
  u64 tokens = burst, now = 0, last = 0, passed = 0;
  NOUNROLL for (u32 i = 0; i < 128; i++) {
    u32 word = ((u32 *)data)[i];
    u64 len = 60 + (word & 1023);
    now += (word >> 16) & 511;
    u64 grown = tokens + (now - last) * rate;
    tokens = grown > burst ? burst : grown;
    last = now;
    if (tokens >= len) {
      tokens -= len;
      passed += len;
    }
  }
  return passed + tokens;
}
