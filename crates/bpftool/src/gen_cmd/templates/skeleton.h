/* Made by ring3 from a BPF object: it need not be edited. */
#ifndef @GUARD@
#define @GUARD@

#include <errno.h>
#include <stdlib.h>
#include <bpf/libbpf.h>

struct @NAME@ {
	struct bpf_object_skeleton *skeleton;
	struct bpf_object *obj;
@MEMBERS@
#ifdef __cplusplus
	static inline struct @NAME@ *open(const struct bpf_object_open_opts *opts = nullptr);
	static inline struct @NAME@ *open_and_load();
	static inline int load(struct @NAME@ *skel);
	static inline int attach(struct @NAME@ *skel);
	static inline void detach(struct @NAME@ *skel);
	static inline void destroy(struct @NAME@ *skel);
	static inline const void *elf_bytes(size_t *sz);
#endif
};

static inline const void *@NAME@__elf_bytes(size_t *sz);

/* Ends all links, unloads everything. */
static inline void @NAME@__destroy(struct @NAME@ *skel)
{
	if (!skel)
		return;
	bpf_object__destroy_skeleton(skel->skeleton);
	free(skel);
}

static inline int @NAME@__create_skeleton(struct @NAME@ *skel)
{
	struct bpf_object_skeleton *s;

	s = (struct bpf_object_skeleton *)calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	skel->skeleton = s;
	s->sz = sizeof(*s);
	s->name = "@NAME@";
	s->obj = &skel->obj;
	s->data = (void *)@NAME@__elf_bytes(&s->data_sz);
@FILL@	return 0;
}

/* Reads the object; global variables may be set from here on. NULL and errno on failure. */
static inline struct @NAME@ *@NAME@__open_opts(const struct bpf_object_open_opts *opts)
{
	struct @NAME@ *skel = (struct @NAME@ *)calloc(1, sizeof(*skel));
	int err;

	if (!skel) {
		errno = ENOMEM;
		return NULL;
	}
	err = @NAME@__create_skeleton(skel);
	if (!err)
		err = bpf_object__open_skeleton(skel->skeleton, opts);
	if (!err)
		return skel;
	@NAME@__destroy(skel);
	errno = -err;
	return NULL;
}

static inline struct @NAME@ *@NAME@__open(void)
{
	return @NAME@__open_opts(NULL);
}

/* Makes the maps, loads the programs: 0 or a negative errno. */
static inline int @NAME@__load(struct @NAME@ *skel)
{
	return bpf_object__load_skeleton(skel->skeleton);
}

static inline struct @NAME@ *@NAME@__open_and_load(void)
{
	struct @NAME@ *skel = @NAME@__open();
	int err;

	if (!skel)
		return NULL;
	err = @NAME@__load(skel);
	if (!err)
		return skel;
	@NAME@__destroy(skel);
	errno = -err;
	return NULL;
}

static inline int @NAME@__attach(struct @NAME@ *skel)
{
	return bpf_object__attach_skeleton(skel->skeleton);
}

static inline void @NAME@__detach(struct @NAME@ *skel)
{
	bpf_object__detach_skeleton(skel->skeleton);
}

/* The object file itself. */
static inline const void *@NAME@__elf_bytes(size_t *sz)
{
	static const unsigned char bytes[] __attribute__((aligned(8))) = {
@BYTES@	};

	*sz = sizeof(bytes);
	return bytes;
}

#ifdef __cplusplus
struct @NAME@ *@NAME@::open(const struct bpf_object_open_opts *opts) { return @NAME@__open_opts(opts); }
struct @NAME@ *@NAME@::open_and_load() { return @NAME@__open_and_load(); }
int @NAME@::load(struct @NAME@ *skel) { return @NAME@__load(skel); }
int @NAME@::attach(struct @NAME@ *skel) { return @NAME@__attach(skel); }
void @NAME@::detach(struct @NAME@ *skel) { @NAME@__detach(skel); }
void @NAME@::destroy(struct @NAME@ *skel) { @NAME@__destroy(skel); }
const void *@NAME@::elf_bytes(size_t *sz) { return @NAME@__elf_bytes(sz); }
#define _Static_assert static_assert
#endif

/* The variables are as long here as in the object. */
__attribute__((unused)) static inline void
@NAME@__assert(struct @NAME@ *skel __attribute__((unused)))
{
@SIZES@}

#ifdef __cplusplus
#undef _Static_assert
#endif

#endif /* @GUARD@ */
