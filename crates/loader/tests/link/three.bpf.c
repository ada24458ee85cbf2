// As one.bpf.c, but for the other's map.
#define WITHOUT_MAP
#include "one.bpf.c"
