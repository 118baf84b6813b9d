// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel part against the real kernel: onto interfaces, off them, and
 * everything down. Modes are asserted as the kernel tells them.
 */
#include "kernel_fixture.h"

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
	assert_int_equal(bpf_xdp_attach((int)if_nametoindex("tdk0"), fd, XDP_FLAGS_DRV_MODE, NULL),
			 0);
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
	CHILD(td_kernel_put_vip(k, &(struct td_prefix){address, TD_PREFIX_ALL}, &vip) == 0);
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
	struct td_interface_conf c[] = {
		{.name = "tdk0"}, {.name = "tdk2", .attach = TD_ATTACH_GENERIC}, {.name = "lo"}};
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

int main(void)
{
	const struct CMUnitTest tests[] = {
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
	};

	isolate();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
