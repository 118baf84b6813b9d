/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of the kernel part share: as root, in a network and a mount
 * namespace of their own, with a bpffs of their own, so nothing of the host is
 * touched and nothing has to be cleaned up.
 *
 * Being killed is tested by a child that ends itself at the n-th step that
 * changes anything outside of it.
 */
#ifndef KERNEL_FIXTURE_H
#define KERNEL_FIXTURE_H

#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/if_link.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cmocka.h>

#include "kernel/private.h"

#define MOUNT	  "/sys/fs/bpf"
#define DIR	  MOUNT "/tdk"
#define STEPS_MAX 128
#define KILLED	  42

static char skip_reason[160];

static const struct td_limits_conf limits = {
	.flows = 4096,
	.flows6 = 1000,
	.tuples = 512,
	.services = 4,
	.backends = 16,
	.vips = 8,
	.workers = 64,
	.groups = 2,
	.ports = 1024,
	.nat = 1024,
	.lanes = 7,
	.fragments = 1024,
};

/* ---- helpers ---------------------------------------------------------------------- */

static inline void run(const char *command)
{
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

static inline struct td_kernel *open_kernel(bool expect_adopted)
{
	struct td_error e = {0};
	struct td_kernel *k = NULL;
	bool adopted = !expect_adopted;
	int r = td_kernel_open(DIR, &limits, 0, &k, &adopted, NULL, &e);

	if (r < 0)
		fail_msg("td_kernel_open: %s", e.text);
	assert_int_equal(adopted, expect_adopted);
	return k;
}

static inline void refuse_open(const char *dir, int code, const char *says)
{
	struct td_kernel *k = (void *)1;
	struct td_error e = {0};
	int r = td_kernel_open(dir, &limits, 0, &k, NULL, NULL, &e);

	assert_int_equal(r, code);
	assert_ptr_equal(k, (void *)1);
	if (!strstr(e.text, says))
		fail_msg("\"%s\" does not say \"%s\"", e.text, says);
	assert_null(strchr(e.text, '\n'));
}

static inline struct td_attachment attach(struct td_kernel *k, const char *name, enum td_attach how)
{
	struct td_interface_conf c = {.attach = how};
	struct td_attachment a;
	struct td_error e = {0};

	snprintf(c.name, sizeof(c.name), "%s", name);
	if (td_kernel_attach(k, &c, &a, &e) < 0)
		fail_msg("td_kernel_attach: %s", e.text);
	assert_string_equal(a.name, name);
	return a;
}

static inline void refuse_attach(struct td_kernel *k, const char *name, enum td_attach how,
				 int code, const char *says)
{
	struct td_interface_conf c = {.attach = how};
	struct td_attachment a;
	struct td_error e = {0};

	snprintf(c.name, sizeof(c.name), "%s", name);
	assert_int_equal(td_kernel_attach(k, &c, &a, &e), code);
	if (!strstr(e.text, says))
		fail_msg("\"%s\" does not say \"%s\"", e.text, says);
}

/* What the kernel itself says, apart from the code under test. */
static inline uint32_t attached_id(const char *name, uint8_t *ret_mode)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, q);

	assert_int_equal(bpf_xdp_query((int)if_nametoindex(name), 0, &q), 0);
	if (ret_mode)
		*ret_mode = q.attach_mode;
	return q.attach_mode == XDP_ATTACHED_DRV   ? q.drv_prog_id
	       : q.attach_mode == XDP_ATTACHED_SKB ? q.skb_prog_id
						   : 0;
}

static inline int pin_open(const char *name)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), DIR "/%s", name);
	fd = bpf_obj_get(path);
	assert_true(fd >= 0);
	return fd;
}

static inline bool pin_there(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), DIR "/%s", name);
	return access(path, F_OK) == 0;
}

static inline void read_settings(struct tundish_settings *s)
{
	_cleanup_close_ int fd = pin_open("settings");
	uint32_t zero = 0;

	assert_int_equal(bpf_map_lookup_elem(fd, &zero, s), 0);
}

static inline void write_settings(const struct tundish_settings *s)
{
	_cleanup_close_ int fd = pin_open("settings");
	uint32_t zero = 0;

	assert_int_equal(bpf_map_update_elem(fd, &zero, s, BPF_ANY), 0);
}

static inline uint64_t pretend_other_build(void)
{
	struct tundish_settings s;

	read_settings(&s);
	s.object_hash ^= 1;
	write_settings(&s);
	return s.object_hash;
}

static inline uint32_t program_id(int fd)
{
	uint64_t ns;
	uint32_t id;

	assert_int_equal(td_program_info(fd, &id, &ns), 0);
	return id;
}

static inline uint32_t pinned_id(const char *name)
{
	_cleanup_close_ int fd = pin_open(name);

	return program_id(fd);
}

static inline void unload(void)
{
	struct td_error e = {0};

	if (td_kernel_unload(DIR, &e) < 0)
		fail_msg("td_kernel_unload: %s", e.text);
	assert_int_equal(access(DIR, F_OK), -1);
}

static inline int foreign_program(void)
{
	const struct bpf_insn pass[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = XDP_PASS},
		{.code = BPF_JMP | BPF_EXIT},
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "tdk_foreign", "GPL", pass, TD_ARRAY_SIZE(pass),
			       NULL);

	assert_true(fd >= 0);
	return fd;
}

/* ---- being killed ------------------------------------------------------------------- */

static int steps_left;

static inline void count_down(const char *step)
{
	if (--steps_left == 0)
		_exit(KILLED);
}

/* Runs `what` in a child that ends itself at step n. Returns whether it was killed. */
static inline bool killed_at(int n, void (*what)(void))
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		steps_left = n;
		td_kernel_step_hook = count_down;
		what();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) != KILLED)
		assert_int_equal(WEXITSTATUS(status), 0);
	return WEXITSTATUS(status) == KILLED;
}

/* In a child cmocka's assertions cannot be used. */
static inline void child_open_attach(void)
{
	struct td_interface_conf c = {.name = "tdk0", .attach = TD_ATTACH_NATIVE};
	struct td_attachment a;
	struct td_kernel *k;

	if (td_kernel_open(DIR, &limits, 0, &k, NULL, NULL, NULL) < 0 ||
	    td_kernel_attach(k, &c, &a, NULL) < 0)
		_exit(1);
	td_kernel_close(k);
}

static inline void child_unload(void)
{
	int r = td_kernel_unload(DIR, NULL);

	if (r < 0 && r != -ENOENT) /* an empty directory may be all that is left */
		_exit(1);
}

static inline int setup(void **state)
{
	if (skip_reason[0])
		return 0;
	run("ip link add tdk0 type veth peer name tdk1 && ip link add tdk2 type veth peer name tdk3 && "
	    "for i in tdk0 tdk1 tdk2 tdk3; do ip link set $i up; done");
	return 0;
}

static inline int teardown(void **state)
{
	td_kernel_step_hook = NULL;
	if (skip_reason[0])
		return 0;
	run("ip link del tdk0; ip link del tdk2; ip link set lo xdp off; umount " MOUNT
	    "; mount -t bpf bpf " MOUNT " && mkdir " MOUNT
	    "/xdp"); /* libxdp remembers that it made it */
	return 0;
}

#define NEED_ROOT()                                                                                \
	do {                                                                                       \
		if (skip_reason[0]) {                                                              \
			print_message("SKIP: %s\n", skip_reason);                                  \
			skip();                                                                    \
		}                                                                                  \
	} while (0)

#define CHILD(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition,         \
				e.text);                                                           \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

/* Namespaces of our own, or the reason why not. */
static inline void isolate(void)
{
	if (unshare(CLONE_NEWNS | CLONE_NEWNET) < 0)
		snprintf(skip_reason, sizeof(skip_reason), "no permission for namespaces: %s",
			 strerror(errno));
	else if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		 mount("bpf", MOUNT, "bpf", 0, "mode=0700") < 0)
		snprintf(skip_reason, sizeof(skip_reason), "no permission to mount a bpffs: %s",
			 strerror(errno));
	else if (system("ip link set lo up") != 0)
		snprintf(skip_reason, sizeof(skip_reason), "no \"ip\" to make interfaces with");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
