#include "common.h"
/* SYN cookies of 32 connections: the tuple mixed with a secret, time and MSS class put in */
INLINE u32 rol(u32 x, u32 n) { return x << n | x >> (32 - n); }
INLINE u32 mix(u32 a, u32 b, u32 c, u32 d) {
  u32 v0 = a ^ 0x736f6d65, v1 = b ^ 0x646f7261, v2 = c ^ 0x6c796765, v3 = d ^ 0x74656462;
  NOUNROLL for (u32 i = 0; i < 4; i++) {
    v0 += v1; v1 = rol(v1, 5); v1 ^= v0; v0 = rol(v0, 16);
    v2 += v3; v3 = rol(v3, 8); v3 ^= v2;
    v0 += v3; v3 = rol(v3, 7); v3 ^= v0;
    v2 += v1; v1 = rol(v1, 13); v1 ^= v2; v2 = rol(v2, 16);
  }
  return v0 ^ v1 ^ v2 ^ v3;
}
ENTRY(512)
INLINE u64 body(u8 *data, u8 *end) {
  u64 s = 0;
  NOUNROLL for (u32 i = 0; i < 32; i++) {
    u32 *c = (u32 *)(data + i * 16);
    u32 mss = c[3] & 0xffff, class = 0;
    if (mss >= 1460) class = 3;
    else if (mss >= 1300) class = 2;
    else if (mss >= 536) class = 1;
    u32 minute = c[3] >> 26;
    u32 cookie = mix(c[0], c[1], c[2], 0x5ec2e7) + c[3] + (minute << 24);
    cookie += (mix(c[0], c[1], c[2], minute) & 0xfffffc) | class;
    s += cookie;
  }
  return s;
}
