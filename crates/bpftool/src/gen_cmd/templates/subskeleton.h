/* Made by ring3 from a BPF object: it need not be edited. */
#ifndef @GUARD@
#define @GUARD@

#include <errno.h>
#include <stdlib.h>
#include <bpf/libbpf.h>

struct @NAME@ {
	struct bpf_object *obj;
	struct bpf_object_subskeleton *subskel;
@MEMBERS@
#ifdef __cplusplus
	static inline struct @NAME@ *open(const struct bpf_object *src);
	static inline void destroy(struct @NAME@ *skel);
#endif
};

/* Forgets where things are; the object stays. */
static inline void @NAME@__destroy(struct @NAME@ *skel)
{
	if (!skel)
		return;
	bpf_object__destroy_subskeleton(skel->subskel);
	free(skel);
}

static inline int @NAME@__create_subskeleton(struct @NAME@ *skel, const struct bpf_object *src)
{
	struct bpf_object_subskeleton *s;

	s = (struct bpf_object_subskeleton *)calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	skel->subskel = s;
	s->sz = sizeof(*s);
	s->obj = src;
	s->var_skel_sz = sizeof(*s->vars);
@FILL@	return 0;
}

/* Finds the library's parts in an object that it was linked into. NULL and errno on failure. */
static inline struct @NAME@ *@NAME@__open(const struct bpf_object *src)
{
	struct @NAME@ *skel = (struct @NAME@ *)calloc(1, sizeof(*skel));
	int err;

	if (!skel) {
		errno = ENOMEM;
		return NULL;
	}
	err = @NAME@__create_subskeleton(skel, src);
	if (!err)
		err = bpf_object__open_subskeleton(skel->subskel);
	if (!err)
		return skel;
	@NAME@__destroy(skel);
	errno = -err;
	return NULL;
}

#ifdef __cplusplus
struct @NAME@ *@NAME@::open(const struct bpf_object *src) { return @NAME@__open(src); }
void @NAME@::destroy(struct @NAME@ *skel) { @NAME@__destroy(skel); }
#endif

#endif /* @GUARD@ */
