// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel part against the real kernel: as root, in a network and a mount
 * namespace of its own, with a bpffs of its own, so nothing of the host is
 * touched and nothing has to be cleaned up.
 *
 * Being killed is tested by a child that ends itself at the n-th step that
 * changes anything outside of it, for n = 1, 2, ... until it gets through.
 */
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

#define MOUNT "/sys/fs/bpf"
#define DIR MOUNT "/tdk"
#define STEPS_MAX 64
#define KILLED 42

static char skip_reason[160];

static const struct td_limits_conf limits = {
	.flows = 4096, .flows6 = 1000, .tuples = 512, .services = 4, .backends = 16, .vips = 8,
};

/* ---- helpers ---------------------------------------------------------------------- */

static void run(const char *command)
{
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

static struct td_kernel *open_kernel(bool expect_adopted)
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

static void refuse_open(const char *dir, int code, const char *says)
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

static struct td_attachment attach(struct td_kernel *k, const char *name, enum td_attach how)
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

static void refuse_attach(struct td_kernel *k, const char *name, enum td_attach how, int code, const char *says)
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
static uint32_t attached_id(const char *name, uint8_t *ret_mode)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, q);

	assert_int_equal(bpf_xdp_query((int)if_nametoindex(name), 0, &q), 0);
	if (ret_mode)
		*ret_mode = q.attach_mode;
	return q.attach_mode == XDP_ATTACHED_DRV   ? q.drv_prog_id
	       : q.attach_mode == XDP_ATTACHED_SKB ? q.skb_prog_id
						   : 0;
}

static int pin_open(const char *name)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), DIR "/%s", name);
	fd = bpf_obj_get(path);
	assert_true(fd >= 0);
	return fd;
}

static bool pin_there(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), DIR "/%s", name);
	return access(path, F_OK) == 0;
}

static void read_settings(struct tundish_settings *s)
{
	_cleanup_close_ int fd = pin_open("settings");
	uint32_t zero = 0;

	assert_int_equal(bpf_map_lookup_elem(fd, &zero, s), 0);
}

static void write_settings(const struct tundish_settings *s)
{
	_cleanup_close_ int fd = pin_open("settings");
	uint32_t zero = 0;

	assert_int_equal(bpf_map_update_elem(fd, &zero, s, BPF_ANY), 0);
}

static uint64_t pretend_other_build(void)
{
	struct tundish_settings s;

	read_settings(&s);
	s.object_hash ^= 1;
	write_settings(&s);
	return s.object_hash;
}

static uint32_t program_id(int fd)
{
	uint64_t ns;
	uint32_t id;

	assert_int_equal(td_program_info(fd, &id, &ns), 0);
	return id;
}

static uint32_t pinned_id(const char *name)
{
	_cleanup_close_ int fd = pin_open(name);

	return program_id(fd);
}

static void unload(void)
{
	struct td_error e = {0};

	if (td_kernel_unload(DIR, &e) < 0)
		fail_msg("td_kernel_unload: %s", e.text);
	assert_int_equal(access(DIR, F_OK), -1);
}

static int foreign_program(void)
{
	const struct bpf_insn pass[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = XDP_PASS},
		{.code = BPF_JMP | BPF_EXIT},
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "tdk_foreign", "GPL", pass, TD_ARRAY_SIZE(pass), NULL);

	assert_true(fd >= 0);
	return fd;
}

/* ---- being killed ------------------------------------------------------------------- */

static int steps_left;

static void count_down(const char *step)
{
	if (--steps_left == 0)
		_exit(KILLED);
}

/* Runs `what` in a child that ends itself at step n. Returns whether it was killed. */
static bool killed_at(int n, void (*what)(void))
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
static void child_open_attach(void)
{
	struct td_interface_conf c = {.name = "tdk0", .attach = TD_ATTACH_NATIVE};
	struct td_attachment a;
	struct td_kernel *k;

	if (td_kernel_open(DIR, &limits, 0, &k, NULL, NULL, NULL) < 0 || td_kernel_attach(k, &c, &a, NULL) < 0)
		_exit(1);
	td_kernel_close(k);
}

static void child_unload(void)
{
	if (td_kernel_unload(DIR, NULL) < 0)
		_exit(1);
}

static int setup(void **state)
{
	if (skip_reason[0])
		return 0;
	run("ip link add tdk0 type veth peer name tdk1 && ip link add tdk2 type veth peer name tdk3 && "
	    "for i in tdk0 tdk1 tdk2 tdk3; do ip link set $i up; done");
	return 0;
}

static int teardown(void **state)
{
	td_kernel_step_hook = NULL;
	if (skip_reason[0])
		return 0;
	run("ip link del tdk0; ip link del tdk2; ip link set lo xdp off; umount " MOUNT
	    "; mount -t bpf bpf " MOUNT " && mkdir " MOUNT "/xdp"); /* libxdp remembers that it made it */
	return 0;
}

#define NEED_ROOT()                                                                                \
	do {                                                                                       \
		if (skip_reason[0]) {                                                              \
			print_message("SKIP: %s\n", skip_reason);                                  \
			skip();                                                                    \
		}                                                                                  \
	} while (0)

/* ---- making ------------------------------------------------------------------------- */

static void create_pins_all_and_sizes_them(void **state)
{
	struct tundish_settings s;
	struct td_kernel *k;
	struct stat st;

	NEED_ROOT();
	k = open_kernel(false);
	for (size_t i = 0; i < TD_MAP_COUNT; i++)
		assert_true(pin_there(td_map_names[i]));
	assert_true(pin_there(TD_PIN_TRACE));
	assert_int_equal(stat(DIR, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);

	read_settings(&s);
	assert_int_equal(s.magic, TUNDISH_MAGIC);
	assert_int_equal(s.layout_version, TUNDISH_LAYOUT_VERSION);
	assert_true(s.object_hash != 0);
	assert_true(s.secret.k0 != 0 && s.secret.k1 != 0 && s.secret.k0 != s.secret.k1);
	assert_int_equal(s.flow_buckets, 2048);
	assert_int_equal(s.flow6_buckets, 512); /* 500, rounded up to a power of two */
	assert_int_equal(s.tuple_buckets, 256);
	assert_int_equal(s.services_max, 5);
	assert_int_equal(s.backends_max, 17);
	assert_memory_equal(&s, td_kernel_settings(k), sizeof(s));
	td_kernel_close(k);
}

/* Memory and system calls must mean the same element, the last one included. */
static void mapped_tables_are_the_maps(void **state)
{
	struct tundish_maglev *row = malloc(sizeof(*row));
	uint32_t last_service = 4, last_backend = 16, last_bucket = 2047, last_bucket6 = 511, last_tuple = 255;
	struct tundish_flow6_bucket flow6;
	struct tundish_tuple_bucket tuple;
	struct tundish_flow_bucket flow;
	struct tundish_backend backend;
	struct td_kernel *k;

	NEED_ROOT();
	k = open_kernel(false);
	td_kernel_maglev(k, last_service)->slot[TUNDISH_MAGLEV_SLOTS - 1] = 0x11111;
	td_kernel_backends(k)[last_backend].connections_total = 22;
	td_kernel_flows(k)[last_bucket].entry[3].client_be = 33;
	td_kernel_flows6(k)[last_bucket6].entry[3].client_port_be = 44;
	td_kernel_tuples(k)[last_tuple].entry[3].changed = 55;
	assert_null(td_kernel_maglev(k, last_service + 1));

	assert_int_equal(bpf_map_lookup_elem(k->map_fd[TD_MAP_maglev], &last_service, row), 0);
	assert_int_equal(row->slot[TUNDISH_MAGLEV_SLOTS - 1], 0x11111);
	assert_int_equal(bpf_map_lookup_elem(k->map_fd[TD_MAP_backends], &last_backend, &backend), 0);
	assert_int_equal(backend.connections_total, 22);
	assert_int_equal(bpf_map_lookup_elem(k->map_fd[TD_MAP_flows], &last_bucket, &flow), 0);
	assert_int_equal(flow.entry[3].client_be, 33);
	assert_int_equal(bpf_map_lookup_elem(k->map_fd[TD_MAP_flows6], &last_bucket6, &flow6), 0);
	assert_int_equal(flow6.entry[3].client_port_be, 44);
	assert_int_equal(bpf_map_lookup_elem(k->map_fd[TD_MAP_tuples], &last_tuple, &tuple), 0);
	assert_int_equal(tuple.entry[3].changed, 55);
	td_kernel_close(k);
	free(row);
}

static void limits_out_of_range_are_refused(void **state)
{
	struct td_limits_conf bad = limits;
	struct td_error e = {0};
	struct td_kernel *k;

	NEED_ROOT();
	bad.backends = TUNDISH_BACKENDS_MAX;
	assert_int_equal(td_kernel_open(DIR, &bad, 0, &k, NULL, NULL, &e), -EINVAL);
	assert_non_null(strstr(e.text, "backends 131072 is outside 1-131071"));
	assert_int_equal(access(DIR, F_OK), -1);
}

/* ---- adopting ------------------------------------------------------------------------- */

static void adopt_keeps_state_and_loads_nothing(void **state)
{
	const struct tundish_addr address = {{1, 2, 3, 4}};
	const struct tundish_vip vip = {.id = 7, .n_ranges = 1};
	struct td_state st = {0};
	struct tundish_settings before, after;
	uint32_t trace_id;
	struct td_kernel *k;

	NEED_ROOT();
	k = open_kernel(false);
	trace_id = program_id(k->trace_fd);
	assert_int_equal(td_kernel_put_vip(k, &address, &vip), 0);
	before = *td_kernel_settings(k);
	k = td_kernel_close(k);
	assert_null(k);

	k = open_kernel(true);
	after = *td_kernel_settings(k);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_int_equal(program_id(k->trace_fd), trace_id);
	assert_null(k->object);
	assert_int_equal(td_kernel_read_state(k, &st), 0);
	assert_int_equal(st.n_vips, 1);
	assert_int_equal(st.vips[0].value.id, 7);
	td_state_done(&st);
	td_kernel_close(k);
}

static void adopt_keeps_sizes_and_says_so(void **state)
{
	struct td_limits_conf other = limits;
	struct td_error e = {0};
	struct td_kernel *k;
	char *note = NULL;
	bool adopted;

	NEED_ROOT();
	td_kernel_close(open_kernel(false));
	other.flows = 8192;
	other.backends = 17;
	assert_int_equal(td_kernel_open(DIR, &other, 0, &k, &adopted, &note, &e), 0);
	assert_true(adopted);
	assert_int_equal(td_kernel_settings(k)->flow_buckets, 2048);
	assert_non_null(note);
	assert_non_null(strstr(note, "flows 4096 instead of 8192, backends 16 instead of 17"));
	free(note);
	td_kernel_close(k);

	note = (void *)1;
	assert_int_equal(td_kernel_open(DIR, &limits, 0, &k, NULL, &note, &e), 0);
	assert_null(note);
	td_kernel_close(k);
}

static void killed_at_each_step_of_making_and_attaching(void **state)
{
	int n;

	NEED_ROOT();
	for (n = 1; n <= STEPS_MAX && killed_at(n, child_open_attach); n++) {
		bool attached = attached_id("tdk0", NULL) != 0;
		struct td_error e = {0};
		struct td_kernel *k;
		int r = td_kernel_open(DIR, &limits, 0, &k, NULL, NULL, &e);

		if (r < 0)
			fail_msg("killed at step %d: %s", n, e.text);
		assert_int_equal(attached_id("tdk0", NULL) != 0, attached);
		if (attached) /* a load per step is dear; only here something can differ */
			assert_int_equal(attach(k, "tdk0", TD_ATTACH_NATIVE).mode, TD_MODE_NATIVE);
		td_kernel_close(k);
		unload();
		assert_int_equal(attached_id("tdk0", NULL), 0);
	}
	/* Each pin, the directory, the attachment. */
	assert_in_range(n, TD_MAP_COUNT + 4, STEPS_MAX);
	unload();
}

static void killed_at_each_step_of_an_upgrade(void **state)
{
	int n;

	NEED_ROOT();
	for (n = 1; n <= STEPS_MAX; n++) {
		const struct tundish_addr address = {{9}};
		const struct tundish_vip vip = {.id = 9};
		struct td_state st = {0};
		struct td_kernel *k = open_kernel(false);
		uint32_t before, after, map_id = k->map_id[TD_MAP_vips], trace_id = program_id(k->trace_fd);
		struct tundish_settings s;
		uint64_t former_build;
		bool killed;

		attach(k, "tdk0", TD_ATTACH_NATIVE);
		assert_int_equal(td_kernel_put_vip(k, &address, &vip), 0);
		before = attached_id("tdk0", NULL);
		td_kernel_close(k);
		former_build = pretend_other_build();

		killed = killed_at(n, child_open_attach);
		assert_true(attached_id("tdk0", NULL) != 0); /* never without a program */
		read_settings(&s);
		if (pinned_id(TD_PIN_TRACE) != trace_id) /* or the former build would take it for its own */
			assert_true(s.object_hash != former_build);
		k = open_kernel(true);
		assert_int_equal(k->map_id[TD_MAP_vips], map_id);
		attach(k, "tdk0", TD_ATTACH_NATIVE);
		after = attached_id("tdk0", NULL);
		assert_true(after != 0 && after != before);
		assert_true(k->settings.object_hash == td_object_hash());
		assert_int_equal(td_kernel_read_state(k, &st), 0);
		assert_int_equal(st.n_vips, 1);
		td_state_done(&st);
		td_kernel_close(k);
		assert_false(pin_there(TD_PIN_TRACE "_new"));
		unload();
		if (!killed)
			break;
	}
	assert_in_range(n, 5, STEPS_MAX);
}

/* A further unload goes on where the last one was killed, one step each. */
static void killed_at_each_step_of_unload(void **state)
{
	struct td_error e = {0};
	struct td_kernel *k;
	int n;

	NEED_ROOT();
	k = open_kernel(false);
	attach(k, "tdk0", TD_ATTACH_NATIVE);
	td_kernel_close(k);
	for (n = 1; n <= STEPS_MAX && killed_at(1, child_unload); n++) {
		assert_int_equal(attached_id("tdk0", NULL), 0);
		for (size_t i = 0; i < TD_MAP_COUNT && pin_there("settings"); i++)
			assert_true(pin_there(td_map_names[i])); /* settings goes first */
	}
	assert_in_range(n, TD_MAP_COUNT + 2, STEPS_MAX);
	assert_int_equal(access(DIR, F_OK), -1);

	/* Or a daemon comes next: off the interface, settings gone, half gone. */
	for (n = 1; n <= 9; n += n == 1 ? 1 : 7) {
		k = open_kernel(false);
		attach(k, "tdk0", TD_ATTACH_NATIVE);
		td_kernel_close(k);
		assert_true(killed_at(n, child_unload));
		if (td_kernel_open(DIR, &limits, 0, &k, NULL, NULL, &e) < 0)
			fail_msg("killed at step %d: %s", n, e.text);
		td_kernel_close(k);
		unload();
	}
}

/* ---- refusals ------------------------------------------------------------------------- */

static void second_daemon_is_refused(void **state)
{
	struct td_error e = {0};
	struct td_kernel *k;

	NEED_ROOT();
	k = open_kernel(false);
	refuse_open(DIR, -EBUSY, "another tundishd holds");
	assert_int_equal(td_kernel_unload(DIR, &e), -EBUSY);
	assert_true(pin_there("settings"));
	td_kernel_close(k);
	td_kernel_close(open_kernel(true));
}

static void directory_off_bpffs_is_refused(void **state)
{
	NEED_ROOT();
	refuse_open("/tmp/tdk-none", -EINVAL, "not on a bpf filesystem");
	assert_int_equal(access("/tmp/tdk-none", F_OK), -1);
	refuse_open("/tmp", -EINVAL, "not on a bpf filesystem");
	refuse_open("relative", -EINVAL, "absolute path");
	refuse_open("/proc/version", -ENOTDIR, "not a directory");
}

static void missing_bpffs_is_mounted_where_allowed(void **state)
{
	struct td_error e = {0};
	struct td_kernel *k;

	NEED_ROOT();
	assert_int_equal(umount(MOUNT), 0);
	/* The host may have one below: then there is nothing missing. */
	while (umount2(MOUNT, MNT_DETACH) == 0)
		;
	refuse_open(DIR, -EINVAL, "not on a bpf filesystem");
	if (td_kernel_open(DIR "/deep", &limits, TD_KERNEL_MOUNT_BPFFS, &k, NULL, NULL, &e) < 0)
		fail_msg("%s", e.text);
	td_kernel_close(k);
	assert_int_equal(td_kernel_unload(DIR "/deep", &e), 0);
}

static void foreign_pins_are_refused_and_left(void **state)
{
	_cleanup_close_ int fd = -1, program = -1;
	struct td_error e = {0};

	NEED_ROOT();
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "alien", 4, 8, 1, NULL);
	assert_true(fd >= 0);
	program = foreign_program();
	assert_int_equal(mkdir(DIR, 0700), 0);

	assert_int_equal(bpf_obj_pin(fd, DIR "/alien"), 0); /* another name */
	refuse_open(DIR, -EPROTO, "\"alien\", which is not tundish's");
	assert_int_equal(td_kernel_unload(DIR, &e), -EPROTO);
	assert_int_equal(unlink(DIR "/alien"), 0);

	assert_int_equal(bpf_obj_pin(program, DIR "/vips"), 0); /* another kind */
	refuse_open(DIR, -EPROTO, "\"vips\", which is not tundish's");
	assert_int_equal(unlink(DIR "/vips"), 0);

	assert_int_equal(bpf_obj_pin(fd, DIR "/settings"), 0); /* no magic */
	refuse_open(DIR, -EPROTO, "settings is not tundish's");
	assert_int_equal(td_kernel_unload(DIR, &e), -EPROTO);
	assert_int_equal(unlink(DIR "/settings"), 0); /* it was left */

	assert_int_equal(bpf_obj_pin(fd, DIR "/counters"), 0); /* another shape, unload alone sees it */
	assert_int_equal(td_kernel_unload(DIR, &e), -EPROTO);
	assert_int_equal(unlink(DIR "/counters"), 0);
	assert_int_equal(rmdir(DIR), 0);
}

static void other_layout_is_refused_and_can_be_unloaded(void **state)
{
	_cleanup_close_ int fd = -1;
	struct tundish_settings s;
	struct td_kernel *k;

	NEED_ROOT();
	k = open_kernel(false);
	attach(k, "tdk0", TD_ATTACH_AUTO);
	td_kernel_close(k);
	read_settings(&s);
	s.layout_version++;
	write_settings(&s);
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "later", 4, 8, 1, NULL);
	assert_int_equal(bpf_obj_pin(fd, DIR "/later"), 0); /* a map that this version knows nothing of */

	refuse_open(DIR, -EPROTO, "tundish --pin " DIR " unload");
	assert_true(attached_id("tdk0", NULL) != 0);
	unload();
	assert_int_equal(attached_id("tdk0", NULL), 0);
}

static void missing_pins_are_refused(void **state)
{
	struct td_kernel *k;

	NEED_ROOT();
	k = open_kernel(false);
	attach(k, "tdk0", TD_ATTACH_AUTO);
	td_kernel_close(k);
	assert_int_equal(unlink(DIR "/flows"), 0);
	refuse_open(DIR, -EPROTO, "flows is missing");
	/* Without settings this would look like a creation cut short, but traffic runs. */
	assert_int_equal(unlink(DIR "/settings"), 0);
	refuse_open(DIR, -EPROTO, "settings is missing while tdk0 runs");
	assert_true(pin_there("vips"));
	unload();
	assert_int_equal(attached_id("tdk0", NULL), 0);
}

static void missing_trace_program_is_loaded_again(void **state)
{
	struct tundish_trace t;
	struct td_kernel *k;
	char frame[64] = {0};

	NEED_ROOT();
	td_kernel_close(open_kernel(false));
	assert_int_equal(unlink(DIR "/" TD_PIN_TRACE), 0);
	k = open_kernel(true);
	assert_true(pin_there(TD_PIN_TRACE));
	assert_int_equal(td_kernel_trace(k, frame, sizeof(frame), 0, &t, NULL), 0);
	td_kernel_close(k);
}

/* ---- attaching -------------------------------------------------------------------------- */

static void attach_modes_are_what_the_kernel_says(void **state)
{
	struct td_attachment a, *list;
	struct td_kernel *k;
	uint8_t mode;
	size_t n;

	NEED_ROOT();
	k = open_kernel(false);
	a = attach(k, "tdk0", TD_ATTACH_NATIVE);
	assert_int_equal(a.mode, TD_MODE_NATIVE);
	attached_id("tdk0", &mode);
	assert_int_equal(mode, XDP_ATTACHED_DRV);

	a = attach(k, "tdk2", TD_ATTACH_GENERIC);
	assert_int_equal(a.mode, TD_MODE_GENERIC);
	attached_id("tdk2", &mode);
	assert_int_equal(mode, XDP_ATTACHED_SKB);

	a = attach(k, "tdk3", TD_ATTACH_AUTO);
	assert_int_equal(a.mode, TD_MODE_NATIVE);

	a = attach(k, "lo", TD_ATTACH_AUTO); /* its driver has no native XDP */
	assert_int_equal(a.mode, TD_MODE_GENERIC);
	assert_non_null(strstr(a.note, "not native: "));
	attached_id("lo", &mode);
	assert_int_equal(mode, XDP_ATTACHED_SKB);

	assert_int_equal(td_kernel_attachments(k, &list, &n), 0);
	assert_int_equal(n, 4);
	for (size_t i = 0; i < n; i++) {
		bool native = !strcmp(list[i].name, "tdk0") || !strcmp(list[i].name, "tdk3");

		assert_int_equal(list[i].mode, native ? TD_MODE_NATIVE : TD_MODE_GENERIC);
		assert_int_equal(list[i].ifindex, if_nametoindex(list[i].name));
	}
	free(list);
	td_kernel_close(k);
}

static void attach_again_changes_nothing(void **state)
{
	struct td_kernel *k;
	uint32_t id;

	NEED_ROOT();
	k = open_kernel(false);
	attach(k, "tdk0", TD_ATTACH_AUTO);
	id = attached_id("tdk0", NULL);
	attach(k, "tdk0", TD_ATTACH_AUTO);
	assert_int_equal(attached_id("tdk0", NULL), id);
	td_kernel_close(k);

	k = open_kernel(true);
	attach(k, "tdk0", TD_ATTACH_AUTO);
	assert_int_equal(attached_id("tdk0", NULL), id);
	attach(k, "tdk2", TD_ATTACH_AUTO); /* the next daemon takes further interfaces */
	assert_true(attached_id("tdk2", NULL) != 0);
	td_kernel_close(k);
}

static void attach_without_native_is_refused_under_native(void **state)
{
	struct td_kernel *k;

	NEED_ROOT();
	k = open_kernel(false);
	refuse_attach(k, "lo", TD_ATTACH_NATIVE, -EOPNOTSUPP, "set attach: generic or auto");
	assert_int_equal(attached_id("lo", NULL), 0);
	refuse_attach(k, "tdk-none", TD_ATTACH_AUTO, -ENODEV, "interface tdk-none does not exist");
	td_kernel_close(k);
}

static void attach_changes_mode_or_keeps_the_old_one(void **state)
{
	struct td_kernel *k;

	NEED_ROOT();
	k = open_kernel(false);
	attach(k, "tdk0", TD_ATTACH_NATIVE);
	assert_int_equal(attach(k, "tdk0", TD_ATTACH_GENERIC).mode, TD_MODE_GENERIC);
	assert_int_equal(attach(k, "tdk0", TD_ATTACH_AUTO).mode, TD_MODE_GENERIC);
	assert_int_equal(attach(k, "tdk0", TD_ATTACH_NATIVE).mode, TD_MODE_NATIVE);
	attach(k, "lo", TD_ATTACH_GENERIC);
	refuse_attach(k, "lo", TD_ATTACH_NATIVE, -EOPNOTSUPP, "native mode");
	assert_true(attached_id("lo", NULL) != 0);
	td_kernel_close(k);
}

static void busy_interface_is_refused_and_left(void **state)
{
	_cleanup_close_ int fd = -1;
	struct td_kernel *k;
	uint32_t id;

	NEED_ROOT();
	fd = foreign_program();
	assert_int_equal(bpf_xdp_attach((int)if_nametoindex("tdk0"), fd, XDP_FLAGS_DRV_MODE, NULL), 0);
	id = attached_id("tdk0", NULL);
	k = open_kernel(false);
	refuse_attach(k, "tdk0", TD_ATTACH_AUTO, -EBUSY, "another XDP program (tdk_foreign");
	refuse_attach(k, "tdk0", TD_ATTACH_GENERIC, -EBUSY, "another XDP program (tdk_foreign");
	assert_int_equal(td_kernel_detach(k, "tdk0", NULL), -ENOENT);
	td_kernel_close(k);
	unload();
	assert_int_equal(attached_id("tdk0", NULL), id);
}

/* Two of them on one host must not take each other's programs for their own;
 * in libxdp's dispatcher they stand side by side. */
static void second_instance_is_foreign(void **state)
{
	struct td_error e = {0};
	struct td_kernel *a, *b;

	NEED_ROOT();
	a = open_kernel(false);
	assert_int_equal(td_kernel_open(MOUNT "/tdk-b", &limits, 0, &b, NULL, NULL, &e), 0);
	if (attach(a, "tdk0", TD_ATTACH_AUTO).dispatcher) {
		assert_true(attach(b, "tdk0", TD_ATTACH_AUTO).dispatcher);
		refuse_attach(b, "tdk0", TD_ATTACH_GENERIC, -EBUSY, "programs of others");
	} else {
		refuse_attach(b, "tdk0", TD_ATTACH_AUTO, -EBUSY, "another XDP program");
	}
	td_kernel_close(b);
	e.text[0] = '\0';
	if (td_kernel_unload(MOUNT "/tdk-b", &e) < 0)
		fail_msg("%s", e.text);
	assert_true(attached_id("tdk0", NULL) != 0);
	assert_int_equal(td_kernel_detach(a, "tdk0", &e), 0); /* still there, and ours */
	assert_int_equal(attached_id("tdk0", NULL), 0);
	td_kernel_close(a);
}

static void other_build_is_replaced_over_the_same_maps(void **state)
{
	uint32_t native, generic, trace_id;
	struct td_kernel *k;
	uint8_t mode;

	NEED_ROOT();
	k = open_kernel(false);
	attach(k, "tdk0", TD_ATTACH_NATIVE);
	attach(k, "tdk2", TD_ATTACH_GENERIC);
	native = attached_id("tdk0", NULL);
	generic = attached_id("tdk2", NULL);
	trace_id = program_id(k->trace_fd);
	td_kernel_flows(k)[5].entry[0].client_be = 77;
	td_kernel_close(k);
	pretend_other_build();

	k = open_kernel(true);
	assert_int_not_equal(program_id(k->trace_fd), trace_id);
	assert_int_equal(td_kernel_flows(k)[5].entry[0].client_be, 77);
	assert_int_equal(attached_id("tdk0", NULL), native); /* until it is asked for */
	attach(k, "tdk0", TD_ATTACH_AUTO);
	attach(k, "tdk2", TD_ATTACH_AUTO);
	assert_int_not_equal(attached_id("tdk0", &mode), native);
	assert_int_equal(mode, XDP_ATTACHED_DRV);
	assert_int_not_equal(attached_id("tdk2", &mode), generic);
	assert_int_equal(mode, XDP_ATTACHED_SKB);
	td_kernel_close(k);
}

static void detach_takes_off_only_that(void **state)
{
	struct td_attachment *list;
	struct td_error e = {0};
	struct td_kernel *k;
	size_t n;

	NEED_ROOT();
	k = open_kernel(false);
	attach(k, "tdk0", TD_ATTACH_AUTO);
	attach(k, "tdk2", TD_ATTACH_AUTO);
	assert_int_equal(td_kernel_detach(k, "tdk0", &e), 0);
	assert_int_equal(attached_id("tdk0", NULL), 0);
	assert_true(attached_id("tdk2", NULL) != 0);
	assert_int_equal(td_kernel_detach(k, "tdk0", &e), -ENOENT);
	assert_int_equal(td_kernel_detach(k, "tdk-none", &e), -ENOENT);
	assert_int_equal(td_kernel_attachments(k, &list, &n), 0);
	assert_int_equal(n, 1);
	free(list);
	attach(k, "tdk0", TD_ATTACH_GENERIC); /* and on again */
	td_kernel_close(k);
}

static void keep_only(uint64_t mask)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2] = {
		{.effective = (uint32_t)mask, .permitted = (uint32_t)mask},
		{.effective = (uint32_t)(mask >> 32), .permitted = (uint32_t)(mask >> 32)},
	};

	if (syscall(SYS_capset, &h, d) < 0)
		_exit(1);
}

#define CHILD(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition, e.text); \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

static void child_with_net_admin(void)
{
	struct td_interface_conf first = {.name = "tdk0"}, further = {.name = "tdk2"};
	const struct tundish_addr address = {{1}};
	const struct tundish_vip vip = {.id = 1};
	struct td_attachment a, *list;
	struct td_error e = {0};
	struct tundish_trace t;
	struct td_kernel *k;
	char frame[64] = {0};
	size_t n;

	CHILD(td_kernel_open(DIR, &limits, 0, &k, NULL, NULL, &e) == 0);
	CHILD(td_kernel_attach(k, &first, &a, &e) == 0);
	CHILD(!a.dispatcher);
	keep_only(1ull << CAP_NET_ADMIN);
	CHILD(td_kernel_attach(k, &further, &a, &e) == 0 && a.mode == TD_MODE_NATIVE);
	CHILD(td_kernel_put_vip(k, &address, &vip) == 0);
	CHILD(td_kernel_trace(k, frame, sizeof(frame), 0, &t, &e) == 0);
	CHILD(td_kernel_attachments(k, &list, &n) == 0 && n == 2);
	CHILD(td_kernel_detach(k, "tdk2", &e) == 0);
	CHILD(td_kernel_attachments(k, &list, &n) == 0 && n == 1);
	td_kernel_close(k);
}

/* Where the program is attached alone; libxdp's dispatcher takes more. */
static void net_admin_suffices_once_one_is_attached(void **state)
{
	struct td_kernel *k;
	bool dispatcher;

	NEED_ROOT();
	k = open_kernel(false);
	dispatcher = attach(k, "tdk0", TD_ATTACH_AUTO).dispatcher;
	td_kernel_close(k);
	if (dispatcher) {
		print_message("SKIP: this kernel has libxdp's dispatcher\n");
		skip();
	}
	assert_false(killed_at(0, child_with_net_admin));
	assert_true(attached_id("tdk0", NULL) != 0);
	assert_int_equal(attached_id("tdk2", NULL), 0);
}

/* ---- unloading --------------------------------------------------------------------------- */

/* Programs and maps are freed some time after their last user went. */
static void wait_until_gone(int (*get)(__u32 id), uint32_t id)
{
	const struct timespec tick = {.tv_nsec = 10000000};

	for (int i = 0; i < 500; i++) {
		int fd = get(id);

		if (fd < 0)
			return;
		close(fd);
		nanosleep(&tick, NULL);
	}
	fail_msg("id %u is still there after 5 s", id);
}

static void child_attach_three(void)
{
	struct td_interface_conf c[] = {{.name = "tdk0"}, {.name = "tdk2", .attach = TD_ATTACH_GENERIC}, {.name = "lo"}};
	struct td_attachment a;
	struct td_error e = {0};
	struct td_kernel *k;

	CHILD(td_kernel_open(DIR, &limits, 0, &k, NULL, NULL, &e) == 0);
	for (size_t i = 0; i < TD_ARRAY_SIZE(c); i++)
		CHILD(td_kernel_attach(k, &c[i], &a, &e) == 0);
	td_kernel_close(k);
}

/* In children, as daemon and command line are processes of their own: libxdp
 * 1.3.1 leaves descriptors of dispatchers open until its process ends. */
static void unload_leaves_nothing(void **state)
{
	uint32_t maps[TD_MAP_COUNT], programs[4];
	struct td_error e = {0};
	struct td_pins p;

	NEED_ROOT();
	assert_false(killed_at(0, child_attach_three));
	assert_int_equal(td_pins_read(DIR, &p, &e), 0);
	assert_int_equal(td_pins_map_ids(&p, maps), TD_MAP_COUNT);
	td_pins_done(&p);
	programs[0] = attached_id("tdk0", NULL);
	programs[1] = attached_id("tdk2", NULL);
	programs[2] = attached_id("lo", NULL);
	programs[3] = pinned_id(TD_PIN_TRACE);

	assert_false(killed_at(0, child_unload));
	assert_int_equal(access(DIR, F_OK), -1);
	for (size_t i = 0; i < TD_ARRAY_SIZE(programs); i++)
		wait_until_gone(bpf_prog_get_fd_by_id, programs[i]);
	for (size_t i = 0; i < TD_ARRAY_SIZE(maps); i++)
		wait_until_gone(bpf_map_get_fd_by_id, maps[i]);
	assert_int_equal(attached_id("tdk0", NULL), 0);
	assert_int_equal(attached_id("tdk2", NULL), 0);
	assert_int_equal(attached_id("lo", NULL), 0);
	assert_int_equal(td_kernel_unload(DIR, &e), -ENOENT);
	assert_non_null(strstr(e.text, "nothing is pinned"));
}

static unsigned int open_descriptors(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void descriptors_are_closed(void **state)
{
	unsigned int before, while_open;
	bool dispatcher = false;
	struct td_attachment *list;
	struct td_kernel *k;
	size_t n;

	NEED_ROOT();
	before = open_descriptors();
	k = open_kernel(false);
	attach(k, "tdk0", TD_ATTACH_AUTO);
	attach(k, "lo", TD_ATTACH_AUTO);
	while_open = open_descriptors();
	for (int i = 0; i < 4; i++) {
		assert_int_equal(td_kernel_attachments(k, &list, &n), 0);
		assert_int_equal(n, 2);
		dispatcher = list[0].dispatcher;
		free(list);
		attach(k, "tdk0", TD_ATTACH_AUTO);
		assert_int_equal(open_descriptors(), while_open);
	}
	td_kernel_close(k);
	unload();
	if (!dispatcher) /* libxdp 1.3.1 leaves some open whenever it changes a dispatcher */
		assert_int_equal(open_descriptors(), before);
}

/* ---- tables -------------------------------------------------------------------------------- */

static void state_is_read_back_in_order(void **state)
{
	const struct tundish_service service = {.name = "web", .state = TUNDISH_SERVICE_ACTIVE, .n_backends = 2};
	struct tundish_backend backend = {.name = "web1", .service = 2, .weight = 100, .state = TUNDISH_BACKEND_UP};
	struct td_state st = {0};
	struct td_kernel *k;

	NEED_ROOT();
	k = open_kernel(false);
	assert_int_equal(td_kernel_put_service(k, 2, &service), 0);
	assert_int_equal(td_kernel_put_service(k, 5, &service), -E2BIG);
	td_kernel_put_backend(k, 9, &backend);
	td_kernel_put_backend(k, 3, &backend);
	for (uint32_t i = 8; i > 0; i--) {
		const struct tundish_addr address = {{0, 0, 0, TUNDISH_BE32(i)}};
		const struct tundish_vip vip = {.id = i};

		assert_int_equal(td_kernel_put_vip(k, &address, &vip), 0);
	}
	assert_int_equal(td_kernel_delete_vip(k, &(struct tundish_addr){{0, 0, 0, TUNDISH_BE32(4)}}), 0);
	assert_int_equal(td_kernel_delete_vip(k, &(struct tundish_addr){{1}}), -ENOENT);

	assert_int_equal(td_kernel_read_state(k, &st), 0);
	assert_int_equal(st.n_services, 1);
	assert_int_equal(st.services[0].id, 2);
	assert_string_equal(st.services[0].value.name, "web");
	assert_int_equal(st.n_backends, 2);
	assert_int_equal(st.backends[0].id, 3);
	assert_int_equal(st.backends[1].id, 9);
	assert_string_equal(st.backends[1].value.name, "web1");
	assert_int_equal(st.n_vips, 7);
	for (size_t i = 0; i < st.n_vips; i++)
		assert_int_equal(st.vips[i].value.id, i < 3 ? i + 1 : i + 2);
	td_state_done(&st);
	td_kernel_close(k);
}

static void put_backend_leaves_the_counts(void **state)
{
	struct tundish_backend b = {
		.address = {{1, 2, 3, 4}}, .nexthop = 5, .service = 6, .delivery = 3, .state = TUNDISH_BACKEND_DRAIN,
		.weight = 7, .file_weight = 8, .run_weight = 9, .file_state = 1, .run_state = 2, .flags = 3,
		.connections_active = 100, .connections_total = 100, .name = "a name",
	};
	struct tundish_backend *mapped, expected;
	struct tundish_nexthop hop = {.ifindex = 3, .mtu = 1500}, read;
	struct td_kernel *k;

	NEED_ROOT();
	k = open_kernel(false);
	mapped = td_kernel_backends(k);
	mapped[1].connections_active = 11;
	mapped[1].connections_total = 22;
	td_kernel_put_backend(k, 1, &b);
	expected = b;
	expected.connections_active = 11;
	expected.connections_total = 22;
	assert_memory_equal(&mapped[1], &expected, sizeof(expected));
	td_kernel_put_backend(k, 17, &b); /* out of bounds: nothing */

	assert_int_equal(td_kernel_put_nexthop(k, 16, &hop), 0);
	assert_int_equal(td_kernel_get_nexthop(k, 16, &read), 0);
	assert_memory_equal(&hop, &read, sizeof(hop));
	assert_true(td_kernel_put_nexthop(k, 17, &hop) < 0);
	td_kernel_close(k);
}

static void counters_are_summed_over_cpus(void **state)
{
	struct tundish_counters *copies, c;
	struct tundish_traffic *traffic, t;
	uint32_t zero = 0, backend = 16;
	uint64_t first = 0, last = 0;
	struct td_kernel *k;

	NEED_ROOT();
	k = open_kernel(false);
	copies = calloc((size_t)k->n_cpus, sizeof(*copies));
	traffic = calloc((size_t)k->n_cpus, sizeof(*traffic));
	for (int i = 0; i < k->n_cpus; i++) {
		copies[i].pass_other = (uint64_t)i + 1;
		copies[i].tuple_evicted = 10 * ((uint64_t)i + 1);
		first += copies[i].pass_other;
		last += copies[i].tuple_evicted;
		traffic[i].packets = 1;
		traffic[i].bytes = 1ull << 40;
	}
	assert_int_equal(bpf_map_update_elem(k->map_fd[TD_MAP_counters], &zero, copies, BPF_ANY), 0);
	assert_int_equal(bpf_map_update_elem(k->map_fd[TD_MAP_traffic], &backend, traffic, BPF_ANY), 0);
	assert_int_equal(td_kernel_counters(k, &c), 0);
	assert_int_equal(c.pass_other, first);
	assert_int_equal(c.tuple_evicted, last);
	assert_int_equal(c.flow_new, 0);
	assert_int_equal(td_kernel_traffic(k, backend, &t), 0);
	assert_int_equal(t.packets, k->n_cpus);
	assert_int_equal(t.bytes, (uint64_t)k->n_cpus << 40);
	assert_true(td_kernel_traffic(k, 17, &t) < 0);
	free(copies);
	free(traffic);
	td_kernel_close(k);
}

static void timeouts_are_written_and_nothing_else(void **state)
{
	struct tundish_settings s, before, with = {.syn_timeout = 60, .established_timeout = 3600, .closing_timeout = 30};
	struct td_kernel *k;

	NEED_ROOT();
	k = open_kernel(false);
	before = *td_kernel_settings(k);
	assert_int_equal(td_kernel_set_timeouts(k, &with), 0);
	read_settings(&s);
	before.syn_timeout = 60;
	before.established_timeout = 3600;
	before.closing_timeout = 30;
	assert_memory_equal(&s, &before, sizeof(s));
	assert_memory_equal(td_kernel_settings(k), &before, sizeof(s));
	td_kernel_close(k);
}

static void trace_runs_the_twin_and_leaves_no_mark(void **state)
{
	unsigned char frame[64] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x06}; /* ARP: no service's */
	struct tundish_counters before, after;
	struct tundish_trace t, stale;
	struct td_error e = {0};
	struct td_kernel *k;
	uint32_t zero = 0;

	NEED_ROOT();
	k = open_kernel(false);
	attach(k, "tdk0", TD_ATTACH_NATIVE);
	memset(&stale, 0xff, sizeof(stale));
	for (unsigned int i = 0; i < 3; i++) {
		/* No interface, one that carries XDP, one that the kernel may refuse. */
		const unsigned int ifindex[] = {0, if_nametoindex("tdk0"), 9999};

		assert_int_equal(bpf_map_update_elem(k->map_fd[TD_MAP_trace], &zero, &stale, BPF_ANY), 0);
		assert_int_equal(td_kernel_counters(k, &before), 0);
		if (td_kernel_trace(k, frame, sizeof(frame), ifindex[i], &t, &e) < 0)
			fail_msg("%s", e.text);
		assert_int_equal(td_kernel_counters(k, &after), 0);
		assert_memory_equal(&before, &after, sizeof(before));
		assert_int_equal(t.action, XDP_PASS);
		assert_int_equal(t.counter, TUNDISH_COUNTER_pass_other);
		assert_int_equal(t.backend, 0);
		assert_in_range(t.n_steps, 0, TUNDISH_TRACE_STEPS_MAX);
	}
	assert_true(td_kernel_trace(k, frame, 3, 0, &t, &e) < 0);
	assert_non_null(strstr(e.text, "3 bytes"));
	td_kernel_close(k);
}

/* ---- the whole ------------------------------------------------------------------------------ */

/* Namespaces of our own, or the reason why not. */
static void isolate(void)
{
	if (unshare(CLONE_NEWNS | CLONE_NEWNET) < 0)
		snprintf(skip_reason, sizeof(skip_reason), "no permission for namespaces: %s", strerror(errno));
	else if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		 mount("bpf", MOUNT, "bpf", 0, "mode=0700") < 0)
		snprintf(skip_reason, sizeof(skip_reason), "no permission to mount a bpffs: %s", strerror(errno));
	else if (system("ip link set lo up") != 0)
		snprintf(skip_reason, sizeof(skip_reason), "no \"ip\" to make interfaces with");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(create_pins_all_and_sizes_them),
		TEST(mapped_tables_are_the_maps),
		TEST(limits_out_of_range_are_refused),
		TEST(adopt_keeps_state_and_loads_nothing),
		TEST(adopt_keeps_sizes_and_says_so),
		TEST(killed_at_each_step_of_making_and_attaching),
		TEST(killed_at_each_step_of_an_upgrade),
		TEST(killed_at_each_step_of_unload),
		TEST(second_daemon_is_refused),
		TEST(directory_off_bpffs_is_refused),
		TEST(missing_bpffs_is_mounted_where_allowed),
		TEST(foreign_pins_are_refused_and_left),
		TEST(other_layout_is_refused_and_can_be_unloaded),
		TEST(missing_pins_are_refused),
		TEST(missing_trace_program_is_loaded_again),
		TEST(attach_modes_are_what_the_kernel_says),
		TEST(attach_again_changes_nothing),
		TEST(attach_without_native_is_refused_under_native),
		TEST(attach_changes_mode_or_keeps_the_old_one),
		TEST(busy_interface_is_refused_and_left),
		TEST(second_instance_is_foreign),
		TEST(other_build_is_replaced_over_the_same_maps),
		TEST(detach_takes_off_only_that),
		TEST(net_admin_suffices_once_one_is_attached),
		TEST(unload_leaves_nothing),
		TEST(descriptors_are_closed),
		TEST(state_is_read_back_in_order),
		TEST(put_backend_leaves_the_counts),
		TEST(counters_are_summed_over_cpus),
		TEST(timeouts_are_written_and_nothing_else),
		TEST(trace_runs_the_twin_and_leaves_no_mark),
	};

	isolate();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
