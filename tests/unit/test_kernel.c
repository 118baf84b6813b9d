// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel part against the real kernel: making, adopting and refusing what is
 * pinned, and the tables. Attaching is in test_kernel_attach.c.
 */
#include "kernel_fixture.h"

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
	assert_int_equal(s.flow_buckets, TUNDISH_BUCKETS_OF(4096));
	assert_int_equal(s.flow6_buckets, TUNDISH_BUCKETS_OF(1000));
	assert_int_equal(s.tuple_buckets, TUNDISH_BUCKETS_OF(512));
	assert_int_equal(s.services_max, 5);
	assert_int_equal(s.backends_max, 17);
	assert_memory_equal(&s, td_kernel_settings(k), sizeof(s));
	td_kernel_close(k);
}

/* Memory and system calls must mean the same element, the last one included. */
static void mapped_tables_are_the_maps(void **state)
{
	struct tundish_maglev *row = malloc(sizeof(*row));
	uint32_t last_service = 4, last_backend = 16, last_bucket = 2047, last_bucket6 = 511,
		 last_tuple = 255;
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
	assert_int_equal(bpf_map_lookup_elem(k->map_fd[TD_MAP_backends], &last_backend, &backend),
			 0);
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
	assert_int_equal(td_kernel_put_vip(k, &(struct td_prefix){address, TD_PREFIX_ALL}, &vip),
			 0);
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
	other.fragments = 2048;
	assert_int_equal(td_kernel_open(DIR, &other, 0, &k, &adopted, &note, &e), 0);
	assert_true(adopted);
	assert_int_equal(td_kernel_settings(k)->flow_buckets, TUNDISH_BUCKETS_OF(4096));
	assert_non_null(note);
	assert_non_null(strstr(note, "flows 4096 instead of 8192, backends 16 instead of 17, "
				     "fragments 1024 instead of 2048"));
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
	const struct tundish_addr address = {{9}};
	const struct tundish_vip vip = {.id = 9};
	struct td_state st = {0};
	struct td_kernel *k;
	bool killed = true;
	uint32_t map_id;
	int n;

	NEED_ROOT();
	k = open_kernel(false);
	attach(k, "tdk0", TD_ATTACH_NATIVE);
	assert_int_equal(td_kernel_put_vip(k, &(struct td_prefix){address, TD_PREFIX_ALL}, &vip),
			 0);
	map_id = k->map_id[TD_MAP_vips];
	td_kernel_close(k);

	for (n = 1; n <= STEPS_MAX && killed; n++) {
		uint32_t former_id = attached_id("tdk0", NULL), trace_id = pinned_id(TD_PIN_TRACE);
		uint64_t former_build = pretend_other_build();
		struct tundish_settings s;

		killed = killed_at(n, child_open_attach);
		assert_true(attached_id("tdk0", NULL) != 0); /* never without a program */
		read_settings(&s);
		/* Or the former build would take the new twin for its own. */
		if (pinned_id(TD_PIN_TRACE) != trace_id)
			assert_true(s.object_hash != former_build);

		k = open_kernel(true);
		assert_int_equal(k->map_id[TD_MAP_vips], map_id);
		attach(k, "tdk0", TD_ATTACH_NATIVE);
		assert_int_not_equal(attached_id("tdk0", NULL), former_id);
		assert_true(k->settings.object_hash == td_object_hash());
		td_kernel_close(k);
		assert_false(pin_there(TD_PIN_TRACE "_new"));
	}
	assert_in_range(n, 6, STEPS_MAX);

	k = open_kernel(true);
	assert_int_equal(td_kernel_read_state(k, &st), 0);
	assert_int_equal(st.n_vips, 1);
	td_state_done(&st);
	td_kernel_close(k);
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

	assert_int_equal(bpf_obj_pin(fd, DIR "/counters"),
			 0); /* another shape, unload alone sees it */
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
	assert_int_equal(bpf_obj_pin(fd, DIR "/later"),
			 0); /* a map that this version knows nothing of */

	refuse_open(DIR, -EPROTO, "tundish --pin " DIR " unload");
	assert_true(attached_id("tdk0", NULL) != 0);
	unload();
	assert_int_equal(attached_id("tdk0", NULL), 0);
}

/* As a former version would have left it, which knew two of the maps not yet. */
static const enum td_map later[] = {TD_MAP_fragments, TD_MAP_quic_ids};

static void pretend_former_layout(void)
{
	struct tundish_settings s;

	read_settings(&s);
	s.layout_version = TUNDISH_LAYOUT_VERSION - 1;
	write_settings(&s);
	for (size_t i = 0; i < TD_ARRAY_SIZE(later); i++) {
		char path[256];

		snprintf(path, sizeof(path), DIR "/%s", td_map_names[later[i]]);
		assert_int_equal(unlink(path), 0);
	}
}

static void former_layout_is_migrated_at_each_step(void **state)
{
	const struct td_migration row = {
		.from = TUNDISH_LAYOUT_VERSION - 1, .adds = later, .n = TD_ARRAY_SIZE(later)};
	const struct tundish_addr address = {{9}};
	const struct tundish_vip vip = {.id = 9};
	struct td_state st = {0};
	struct tundish_settings s;
	struct td_kernel *k;
	bool killed = true;
	uint32_t map_id, n;

	NEED_ROOT();
	k = open_kernel(false);
	attach(k, "tdk0", TD_ATTACH_NATIVE);
	assert_int_equal(td_kernel_put_vip(k, &(struct td_prefix){address, TD_PREFIX_ALL}, &vip),
			 0);
	map_id = k->map_id[TD_MAP_vips];
	td_kernel_close(k);
	pretend_former_layout();
	td_migrations_set(&row, 0);
	refuse_open(DIR, -EPROTO, "tundish --pin " DIR " unload"); /* nobody knows how */

	td_migrations_set(&row, 1);
	for (n = 1; n <= STEPS_MAX && killed; n++) {
		uint32_t former_id = attached_id("tdk0", NULL);
		bool complete = true;

		killed = killed_at((int)n, child_open_attach);
		assert_true(attached_id("tdk0", NULL) != 0); /* never without a program */
		read_settings(&s);
		for (size_t i = 0; i < TD_ARRAY_SIZE(later); i++)
			complete &= pin_there(td_map_names[later[i]]);
		/* never half: the version is the new one only where all is there */
		assert_true(complete || s.layout_version == TUNDISH_LAYOUT_VERSION - 1);

		k = open_kernel(true);
		assert_int_equal(k->map_id[TD_MAP_vips], map_id);
		attach(k, "tdk0", TD_ATTACH_NATIVE);
		assert_int_not_equal(attached_id("tdk0", NULL), former_id);
		td_kernel_close(k);
		read_settings(&s);
		assert_int_equal(s.layout_version, TUNDISH_LAYOUT_VERSION);
		pretend_former_layout();
	}
	assert_in_range(n, 6, STEPS_MAX);
	k = open_kernel(true);
	assert_int_equal(td_kernel_read_state(k, &st), 0);
	assert_int_equal(st.n_vips, 1); /* what was in the maps is */
	td_state_done(&st);
	td_kernel_close(k);

	/* A map that no migration adds is damage still. */
	pretend_former_layout();
	assert_int_equal(unlink(DIR "/flows"), 0);
	refuse_open(DIR, -EPROTO, "flows is missing");
	td_migrations_set(NULL, 0);
	unload();
}

#define COUNTERS_OF_2 63

/* As layout 2 was: `deliveries` had entries of half the size, and there were three counters less. */
static void pretend_layout_2(void)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	const struct {
		uint32_t flags;
		uint16_t mss, searches;
		uint64_t full_ns;
	} entry = {.flags = TUNDISH_DELIVER_TOA, .mss = 1400};
	_cleanup_close_ int fd = -1, counters_fd = -1;
	const int cpus = libbpf_num_possible_cpus();
	uint64_t(*counts)[COUNTERS_OF_2] = calloc((size_t)cpus, sizeof(*counts));
	struct tundish_settings s;
	uint32_t id = 3, zero = 0;

	read_settings(&s);
	s.layout_version = 2;
	write_settings(&s);
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "deliveries", 4, sizeof(entry), s.services_max,
			    &opts);
	assert_true(fd >= 0);
	assert_int_equal(bpf_map_update_elem(fd, &id, &entry, BPF_ANY), 0);
	assert_int_equal(unlink(DIR "/deliveries"), 0);
	assert_int_equal(bpf_obj_pin(fd, DIR "/deliveries"), 0);
	counters_fd = bpf_map_create(BPF_MAP_TYPE_PERCPU_ARRAY, "counters", 4, sizeof(counts[0]), 1,
				     NULL);
	assert_true(counters_fd >= 0);
	counts[0][0] = 7;
	counts[cpus - 1][COUNTERS_OF_2 - 1] = 9;
	assert_int_equal(bpf_map_update_elem(counters_fd, &zero, counts, BPF_ANY), 0);
	assert_int_equal(unlink(DIR "/counters"), 0);
	assert_int_equal(bpf_obj_pin(counters_fd, DIR "/counters"), 0);
	free(counts);
}

static void layout_2_is_carried_over_at_each_step(void **state)
{
	struct tundish_counters sums;
	struct tundish_settings s;
	struct td_kernel *k;
	bool killed = true;
	uint32_t map_id, n;

	NEED_ROOT();
	k = open_kernel(false);
	attach(k, "tdk0", TD_ATTACH_NATIVE);
	map_id = k->map_id[TD_MAP_flows];
	td_kernel_close(k);
	for (n = 1; n <= STEPS_MAX && killed; n++) {
		pretend_layout_2();
		killed = killed_at((int)n, child_open_attach);
		assert_true(attached_id("tdk0", NULL) != 0);

		k = open_kernel(true);
		attach(k, "tdk0", TD_ATTACH_NATIVE);
		assert_int_equal(k->map_id[TD_MAP_flows], map_id);
		assert_int_equal(td_kernel_deliveries(k)[3].flags, TUNDISH_DELIVER_TOA);
		assert_int_equal(td_kernel_deliveries(k)[3].mss, 1400);
		assert_int_equal(td_kernel_deliveries(k)[3].refused, 0);
		assert_int_equal(td_kernel_counters(k, &sums), 0);
		assert_int_equal(((uint64_t *)&sums)[0], 7);
		assert_int_equal(((uint64_t *)&sums)[COUNTERS_OF_2 - 1], 9);
		assert_int_equal(((uint64_t *)&sums)[COUNTERS_OF_2], 0);
		td_kernel_close(k);
		read_settings(&s);
		assert_int_equal(s.layout_version, TUNDISH_LAYOUT_VERSION);
	}
	assert_in_range(n, 5, STEPS_MAX);

	/* Of another shape than that it is damage. */
	pretend_layout_2();
	assert_int_equal(unlink(DIR "/flows"), 0);
	assert_int_equal(rename(DIR "/deliveries", DIR "/flows"), 0);
	refuse_open(DIR, -EPROTO, "flows has another shape");
	unload();
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

/* ---- tables -------------------------------------------------------------------------------- */

#define ID(i) ((struct tundish_quic_key){2, {1, {i}}})

static void state_is_read_back_in_order(void **state)
{
	uint32_t named;
	const struct tundish_service service = {
		.name = "web", .state = TUNDISH_SERVICE_ACTIVE, .n_backends = 2};
	struct tundish_backend backend = {
		.name = "web1", .service = 2, .weight = 100, .state = TUNDISH_BACKEND_UP};
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

		assert_int_equal(
			td_kernel_put_vip(k, &(struct td_prefix){address, TD_PREFIX_ALL}, &vip), 0);
	}
	assert_int_equal(td_kernel_delete_vip(k, &(struct td_prefix){{{0, 0, 0, TUNDISH_BE32(4)}},
								     TD_PREFIX_ALL}),
			 0);
	assert_int_equal(td_kernel_delete_vip(k, &(struct td_prefix){{{1}}, TD_PREFIX_ALL}),
			 -ENOENT);
	for (uint8_t i = 20; i; i--)
		assert_int_equal(td_kernel_put_server_id(k, &ID(i), i), 0);
	assert_int_equal(td_kernel_put_server_id(k, &ID(7), 9), 0);
	assert_int_equal(td_kernel_get_server_id(k, &ID(7), &named), 0);
	assert_int_equal(named, 9);
	assert_int_equal(td_kernel_delete_server_id(k, &ID(5)), 0);
	assert_int_equal(td_kernel_delete_server_id(k, &ID(5)), 0);
	assert_int_equal(td_kernel_get_server_id(k, &ID(5), &named), -ENOENT);

	assert_int_equal(td_kernel_read_state(k, &st), 0);
	assert_int_equal(st.n_quic, 19);
	for (size_t i = 0; i < st.n_quic; i++)
		assert_int_equal(st.quic[i].key.id.bytes[0], i < 4 ? i + 1 : i + 2);
	assert_int_equal(td_state_quic(&st, &ID(7))->backend, 9);
	assert_null(td_state_quic(&st, &ID(5)));
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
		.address = {{1, 2, 3, 4}},
		.nexthop = 5,
		.service = 6,
		.delivery = 3,
		.state = TUNDISH_BACKEND_DRAIN,
		.weight = 7,
		.file_weight = 8,
		.run_weight = 9,
		.file_state = 1,
		.run_state = 2,
		.flags = 3,
		.server_id = {3, {1, 2, 3}},
		.connections_active = 100,
		.connections_total = 100,
		.name = "a name",
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

	assert_int_equal(td_kernel_put_nexthop(k, 33, &hop), 0);
	assert_int_equal(td_kernel_get_nexthop(k, 33, &read), 0);
	assert_memory_equal(&hop, &read, sizeof(hop));
	assert_true(td_kernel_put_nexthop(k, TUNDISH_NEXTHOPS_OF(17 + 8), &hop) < 0);
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
	assert_int_equal(bpf_map_update_elem(k->map_fd[TD_MAP_counters], &zero, copies, BPF_ANY),
			 0);
	assert_int_equal(bpf_map_update_elem(k->map_fd[TD_MAP_traffic], &backend, traffic, BPF_ANY),
			 0);
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
	struct tundish_settings s, before,
		with = {.syn_timeout = 60,
			.established_timeout = 3600,
			.closing_timeout = 30,
			.udp_new_timeout = 31,
			.udp_timeout = 180};
	struct td_kernel *k;

	NEED_ROOT();
	k = open_kernel(false);
	before = *td_kernel_settings(k);
	assert_int_equal(td_kernel_set_timeouts(k, &with), 0);
	read_settings(&s);
	before.syn_timeout = 60;
	before.established_timeout = 3600;
	before.closing_timeout = 30;
	before.udp_new_timeout = 31;
	before.udp_timeout = 180;
	assert_memory_equal(&s, &before, sizeof(s));
	assert_memory_equal(td_kernel_settings(k), &before, sizeof(s));
	assert_int_equal(td_kernel_set_gue_port(k, 6080), 0);
	read_settings(&s);
	before.gue_port_be = TUNDISH_BE16(6080);
	assert_memory_equal(&s, &before, sizeof(s));
	assert_memory_equal(td_kernel_settings(k), &before, sizeof(s));
	td_kernel_close(k);
}

static void trace_runs_the_twin_and_leaves_no_mark(void **state)
{
	unsigned char frame[64] = {2, 0, 0, 0, 0, 1,	2,
				   0, 0, 0, 0, 2, 0x08, 0x06}; /* ARP: no service's */
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

		assert_int_equal(
			bpf_map_update_elem(k->map_fd[TD_MAP_trace], &zero, &stale, BPF_ANY), 0);
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

int main(void)
{
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
		TEST(former_layout_is_migrated_at_each_step),
		TEST(layout_2_is_carried_over_at_each_step),
		TEST(missing_pins_are_refused),
		TEST(missing_trace_program_is_loaded_again),
		TEST(state_is_read_back_in_order),
		TEST(put_backend_leaves_the_counts),
		TEST(counters_are_summed_over_cpus),
		TEST(timeouts_are_written_and_nothing_else),
		TEST(trace_runs_the_twin_and_leaves_no_mark),
	};

	isolate();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
