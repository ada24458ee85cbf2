/* What libbpf hands to bpf(2) for an object, as text lines; nothing reaches the kernel.
 *
 * cc oracle.c -lbpf -lelf -lz; ./a.out FILE.o [NAME [FILE with target types]]
 *
 * The executable's own syscall() takes the place of libc's, so libbpf's bpf(2) calls end here.
 * Every command succeeds; loads of types answer with a memory file. In instructions, map
 * descriptors are replaced by the index of the map. ORACLE_LACKS names BTF kinds that the kernel
 * refuses, separated by blanks: the names of struct BtfFeatures. With ORACLE_TIME nothing is
 * printed but the nanoseconds that opening and loading take.
 */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static struct bpf_object *object;

static long raw(long nr, long a, long b, long c, long d, long e, long f)
{
	long ret;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	if (ret < 0 && ret > -4096) {
		errno = -ret;
		return -1;
	}
	return ret;
}

static int fake_fd(void)
{
	int fd = memfd_create("fake", 0);

	if (fd >= 0 && ftruncate(fd, 1L << 30))
		return -1;
	return fd;
}

/* Maps created so far, by the inode of their file: libbpf moves descriptors about. */
static struct created {
	ino_t inode;
	char name[BPF_OBJ_NAME_LEN];
} created[1024];
static unsigned int created_count;

static ino_t inode(int fd)
{
	struct stat file;

	return fstat(fd, &file) ? 0 : file.st_ino;
}

static struct bpf_map *find_map(int fd, int *index)
{
	struct bpf_map *map;
	ino_t wanted = inode(fd);

	for (unsigned int i = 0; i < created_count; i++) {
		if (created[i].inode != wanted)
			continue;
		*index = 0;
		bpf_object__for_each_map(map, object) {
			if (!strncmp(bpf_map__name(map), created[i].name, BPF_OBJ_NAME_LEN - 1))
				return map;
			++*index;
		}
	}
	*index = -1;
	return NULL;
}

static int map_index(int fd)
{
	struct bpf_map *map;
	int index = 0;

	/* Descriptors are known once all maps are made; names cut to 15 bytes can coincide. */
	bpf_object__for_each_map(map, object) {
		if (bpf_map__fd(map) == fd)
			return index;
		index++;
	}
	find_map(fd, &index);
	return index;
}

static int prog_index(int fd)
{
	struct bpf_program *prog;
	int index = 0;

	bpf_object__for_each_program(prog, object) {
		if (bpf_program__fd(prog) == fd)
			return index;
		index++;
	}
	return -1;
}

static void hex(const void *data, size_t size)
{
	const unsigned char *byte = data;

	putchar(' ');
	if (!size)
		putchar('-');
	while (size--)
		printf("%02x", *byte++);
}

static void prog_load(const union bpf_attr *attr)
{
	size_t size = attr->insn_cnt * 8ul;
	struct bpf_insn *insns = malloc(size);

	memcpy(insns, (void *)(long)attr->insns, size);
	for (unsigned int i = 0; i < attr->insn_cnt; i++)
		if (insns[i].code == 0x18 && (insns[i].src_reg == 1 || insns[i].src_reg == 2))
			insns[i].imm = map_index(insns[i].imm);
	printf("prog %s %u %u %u %u", attr->prog_name[0] ? attr->prog_name : "-", attr->prog_type,
	       attr->expected_attach_type, attr->prog_flags, attr->attach_btf_id);
	hex(insns, size);
	hex((void *)(long)attr->func_info, attr->func_info_cnt * (size_t)attr->func_info_rec_size);
	hex((void *)(long)attr->line_info, attr->line_info_cnt * (size_t)attr->line_info_rec_size);
	putchar('\n');
	free(insns);
}

static int map_create(const union bpf_attr *attr)
{
	int fd = fake_fd();

	if (!object || created_count == 1024)
		return fd;
	printf("create %s %u %u %u %u %u %llu %u %u %u\n", attr->map_name[0] ? attr->map_name : "-",
	       attr->map_type, attr->key_size, attr->value_size, attr->max_entries, attr->map_flags,
	       (unsigned long long)attr->map_extra, attr->numa_node, attr->btf_key_type_id,
	       attr->btf_value_type_id);
	created[created_count].inode = inode(fd);
	memcpy(created[created_count++].name, attr->map_name, BPF_OBJ_NAME_LEN);
	return fd;
}

static void map_update(const union bpf_attr *attr)
{
	int index;
	struct bpf_map *map = find_map(attr->map_fd, &index);
	unsigned int fd;

	if (!map)
		return;
	printf("update %d", index);
	hex((void *)(long)attr->key, bpf_map__key_size(map));
	switch (bpf_map__type(map)) {
	case BPF_MAP_TYPE_PROG_ARRAY:
		memcpy(&fd, (void *)(long)attr->value, 4);
		printf(" prog:%d\n", prog_index(fd));
		break;
	case BPF_MAP_TYPE_ARRAY_OF_MAPS:
	case BPF_MAP_TYPE_HASH_OF_MAPS:
		memcpy(&fd, (void *)(long)attr->value, 4);
		printf(" map:%d\n", map_index(fd));
		break;
	default:
		hex((void *)(long)attr->value, bpf_map__value_size(map));
		putchar('\n');
	}
}

static int lacks(const char *feature)
{
	const char *at = getenv("ORACLE_LACKS");
	size_t len = strlen(feature);

	for (; at && (at = strstr(at, feature)); at += len)
		if (at[len] == ' ' || !at[len])
			return 1;
	return 0;
}

/* Which feature a type needs, and how many bytes follow its head. */
static const char *feature_of(const struct btf_type *type, const char *name, size_t *tail)
{
	unsigned int vlen = BTF_INFO_VLEN(type->info), kind = BTF_INFO_KIND(type->info);

	*tail = 0;
	switch (kind) {
	case BTF_KIND_INT:
		*tail = 4;
		return NULL;
	case BTF_KIND_ARRAY:
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		*tail = kind == BTF_KIND_ARRAY ? 12 : 12 * vlen;
		return NULL;
	case BTF_KIND_ENUM:
		*tail = 8 * vlen;
		return BTF_INFO_KFLAG(type->info) ? "enum64" : NULL;
	case BTF_KIND_FUNC_PROTO:
		*tail = 8 * vlen;
		return "func";
	case BTF_KIND_FUNC:
		return vlen && !lacks("func") ? "func_global" : "func";
	case BTF_KIND_VAR:
		*tail = 4;
		return "datasec";
	case BTF_KIND_DATASEC:
		*tail = 12 * vlen;
		return name[0] == '?' && !lacks("datasec") ? "qmark_datasec" : "datasec";
	case BTF_KIND_FLOAT:
		return "float";
	case BTF_KIND_DECL_TAG:
		*tail = 4;
		return "decl_tag";
	case BTF_KIND_TYPE_TAG:
		return "type_tag";
	case BTF_KIND_ENUM64:
		*tail = 12 * vlen;
		return "enum64";
	}
	return NULL;
}

static long btf_load(const union bpf_attr *attr)
{
	const char *data = (void *)(long)attr->btf;
	const struct btf_header *header = (void *)data;
	const char *types = data + header->hdr_len + header->type_off;
	const char *strings = data + header->hdr_len + header->str_off;
	size_t tail;

	for (size_t at = 0; at < header->type_len; at += sizeof(struct btf_type) + tail) {
		const struct btf_type *type = (void *)(types + at);
		const char *feature = feature_of(type, strings + type->name_off, &tail);

		if (feature && lacks(feature)) {
			errno = EINVAL;
			return -1;
		}
	}
	if (object && getenv("ORACLE_LACKS")) {
		printf("types");
		hex(data, attr->btf_size);
		putchar('\n');
	}
	return fake_fd();
}

static long fake_bpf(int cmd, const union bpf_attr *attr)
{
	switch (cmd) {
	case BPF_PROG_LOAD:
		/* As Linux 6.18 answers libbpf's trial of large offsets in map values. */
		if (!strcmp(attr->prog_name, "global_reloc") && attr->log_buf) {
			strcpy((char *)(long)attr->log_buf,
			       "direct value offset of 1073741824 is not allowed");
			errno = EINVAL;
			return -1;
		}
		if (object)
			prog_load(attr);
		return fake_fd();
	case BPF_MAP_CREATE:
		return map_create(attr);
	case BPF_BTF_LOAD:
		return btf_load(attr);
	case BPF_MAP_UPDATE_ELEM:
		if (object)
			map_update(attr);
		return 0;
	case BPF_MAP_FREEZE:
		if (object && map_index(attr->map_fd) >= 0)
			printf("freeze %d\n", map_index(attr->map_fd));
		return 0;
	case BPF_BTF_GET_NEXT_ID:
		errno = ENOENT;
		return -1;
	case BPF_LINK_CREATE:
		errno = EBADF;
		return -1;
	case BPF_OBJ_GET_INFO_BY_FD:
	case BPF_OBJ_GET:
	case BPF_OBJ_PIN:
		errno = ENOENT;
		return -1;
	case BPF_PROG_BIND_MAP:
		return 0;
	default:
		errno = EOPNOTSUPP;
		return -1;
	}
}

long syscall(long nr, ...)
{
	long a[6];
	va_list args;

	va_start(args, nr);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (nr == __NR_bpf) {
		union bpf_attr attr = {};

		/* Callers fill in no more than they say. */
		memcpy(&attr, (void *)a[1], (size_t)a[2] < sizeof(attr) ? a[2] : sizeof(attr));
		return fake_bpf(a[0], &attr);
	}
	return raw(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static void print_map(struct bpf_map *map)
{
	printf("map %s %u %u %u %u %u %llu %u %d\n", bpf_map__name(map), bpf_map__type(map),
	       bpf_map__key_size(map), bpf_map__value_size(map), bpf_map__max_entries(map),
	       bpf_map__map_flags(map), (unsigned long long)bpf_map__map_extra(map),
	       bpf_map__numa_node(map), bpf_map__pin_path(map) != NULL);
	/* Pinning would need a file system of BPF. */
	bpf_map__set_pin_path(map, NULL);
}

static long long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return time.tv_sec * 1000000000ll + time.tv_nsec;
}

/* The calls that reach bpf(2) print only of a known object. */
static int measure(const char *path)
{
	long long start = now(), opened;
	struct bpf_object *timed = bpf_object__open_file(path, NULL);
	int err = -1;

	opened = now();
	if (timed)
		err = bpf_object__load(timed);
	printf("time %lld %lld\n", opened - start, now() - opened);
	return err ? 1 : 0;
}

int main(int argc, char **argv)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = argc > 2 ? argv[2] : NULL,
		    .pin_root_path = "/nowhere", .btf_custom_path = argc > 3 ? argv[3] : NULL);
	struct bpf_program *prog;
	struct bpf_map *map;
	const void *types;
	unsigned int size;
	int err;

	if (getenv("ORACLE_TIME"))
		return measure(argv[1]);
	printf("version %u\n", libbpf_major_version() * 100 + libbpf_minor_version());
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	object = bpf_object__open_file(argv[1], &opts);
	if (!object) {
		printf("open-error %d\n", errno);
		return 0;
	}
	bpf_object__for_each_map(map, object)
		print_map(map);
	bpf_object__for_each_program(prog, object)
		printf("program %s %s %d\n", bpf_program__name(prog), bpf_program__section_name(prog),
		       bpf_program__autoload(prog));
	/* Programs whose target this kernel lacks would fail the others. */
	bpf_object__for_each_program(prog, object) {
		const char *target = strchr(bpf_program__section_name(prog), '/');
		enum bpf_prog_type type = bpf_program__type(prog);

		if (!target || (type != BPF_PROG_TYPE_TRACING && type != BPF_PROG_TYPE_LSM))
			continue;
		if (libbpf_find_vmlinux_btf_id(target + 1, bpf_program__expected_attach_type(prog)) < 0)
			bpf_program__set_autoload(prog, false);
	}
	err = bpf_object__load(object);
	if (err)
		printf("load-error %d\n", -err);
	if (!err) {
		int index = 0;

		bpf_object__for_each_program(prog, object)
			if (strcmp(bpf_program__section_name(prog), ".text"))
				printf("fd %d %d\n", index++, bpf_program__fd(prog));
		/* Hands the kernel's value over, descriptors of programs in it. */
		bpf_object__for_each_map(map, object)
			if (bpf_map__type(map) == BPF_MAP_TYPE_STRUCT_OPS)
				bpf_map__attach_struct_ops(map);
	}
	if (bpf_object__btf(object)) {
		types = btf__raw_data(bpf_object__btf(object), &size);
		printf("btf");
		hex(types, size);
		putchar('\n');
	}
	return 0;
}
