// SPDX-License-Identifier: GPL-2.0-only
/*
 * What outlives what: pools go on without a daemon, are adopted by the next one and
 * replaced by one of another build, end with their cgroup, and may be cut short at any
 * point. And who else is on the same hooks.
 */
#include "egress_fixture.h"

static uint32_t by_sources(unsigned int first, unsigned int last)
{
	uint32_t n = 0;

	for (unsigned int i = first; i <= last; i++)
		n += seen->by[i];
	return n;
}

static struct td_kernel *adopt_pool(void)
{
	struct td_kernel *k = open_kernel(true);
	struct td_error e = {0};

	if (td_kernel_egress_open(k, &e) < 0)
		fail_msg("td_kernel_egress_open: %s", e.text);
	return k;
}

static void goes_on_and_is_adopted(void **state)
{
	struct load l = {AF_INET, "10.9.1.1", 40};
	uint32_t former, replaced;
	struct td_kernel *k;
	uint64_t cgroup;

	NEED_ROOT();
	k = open_pool(4, 1000);
	cgroup = td_kernel_egress_cgroup(k, POOL);
	td_kernel_close(k);
	client(load, &l);
	assert_int_equal(by_sources(1, 4), 40);

	former = pinned_id("prog_egress4");
	k = adopt_pool();
	assert_int_equal(pinned_id("prog_egress4"), former);
	assert_int_equal(td_kernel_egress_cgroup(k, POOL), cgroup);
	assert_int_equal(td_kernel_egress(k)[POOL].source[0].connections, 10);
	td_kernel_close(k);

	/* Another build: its program in the same link, the pool as it was. */
	pretend_other_build();
	k = adopt_pool();
	replaced = pinned_id("prog_egress4");
	assert_int_not_equal(replaced, former);
	assert_int_equal(td_kernel_egress_cgroup(k, POOL), cgroup);
	client(load, &l);
	assert_int_equal(by_sources(1, 4), 40);
	assert_int_equal(td_kernel_egress(k)[POOL].source[0].connections, 20);

	td_kernel_egress_close(k);
	assert_false(pin_there("prog_egress4"));
	client(load, &l);
	assert_int_equal(seen->other, 40);
	td_kernel_close(k);
	unload();
}

static void unload_takes_it_off(void **state)
{
	struct load l = {AF_INET, "10.9.1.1", 10};

	NEED_ROOT();
	td_kernel_close(open_pool(4, 1000));
	assert_true(pin_there("link_egress_1_connect4"));
	unload();
	client(load, &l);
	assert_int_equal(seen->other, 10);
}

/* The kernel lets go of a cgroup a moment after it was removed. */
static uint64_t cgroup_in_the_end(struct td_kernel *k)
{
	for (int i = 0; i < 5000 && td_kernel_egress_cgroup(k, POOL); i++)
		usleep(1000);
	return td_kernel_egress_cgroup(k, POOL);
}

static void ends_with_its_cgroup(void **state)
{
	struct load l = {AF_INET, "10.9.1.1", 10};
	struct td_kernel *k;

	NEED_ROOT();
	k = open_pool(4, 1000);
	remove_cgroup(cgroup_path);
	assert_int_equal(cgroup_in_the_end(k), 0);
	assert_int_equal(mkdir(cgroup_path, 0755), 0);
	client(load, &l);
	assert_int_equal(seen->other, 10); /* another cgroup of the same name */
	attach_pool(k, POOL, cgroup_path);
	client(load, &l);
	assert_int_equal(by_sources(1, 4), 10);
	/* And over a restart. */
	td_kernel_close(k);
	remove_cgroup(cgroup_path);
	k = adopt_pool();
	assert_int_equal(cgroup_in_the_end(k), 0);
	td_kernel_close(k);
	unload();
}

static void moves_to_another_cgroup(void **state)
{
	struct load l = {AF_INET, "10.9.1.1", 10};
	struct td_kernel *k;
	char inner[400];

	NEED_ROOT();
	snprintf(inner, sizeof(inner), "%s/inner", cgroup_path);
	assert_int_equal(mkdir(inner, 0755), 0);
	k = open_pool(4, 1000);
	attach_pool(k, POOL, inner);
	client(load, &l);
	assert_int_equal(seen->other, 10);
	*seen = (struct seen){0};
	client_wait(client_start(inner, load, &l));
	assert_int_equal(by_sources(1, 4), 10);

	/* A second pool around it: the inner one decides, for each attempt. */
	for (unsigned int i = 0; i < 2; i++) {
		char text[32];

		snprintf(text, sizeof(text), "10.9.0.%u", 11 + i);
		put_source(k, POOL + 1, i, text);
	}
	attach_pool(k, POOL + 1, cgroup_path);
	*seen = (struct seen){0};
	client_wait(client_start(inner, load, &l));
	assert_int_equal(by_sources(1, 4), 10);
	client(load, &l);
	assert_int_equal(by_sources(11, 12), 10);
	td_kernel_egress_detach(k, POOL);
	*seen = (struct seen){0};
	client_wait(client_start(inner, load, &l));
	assert_int_equal(by_sources(11, 12), 10);
	td_kernel_close(k);
	unload();
	remove_cgroup(inner);
}

/* ---- beside others -------------------------------------------------------------------- */

static int foreign(void)
{
	const struct bpf_insn allow[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 1},
		{.code = BPF_JMP | BPF_EXIT},
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_CGROUP_INET4_CONNECT);
	int fd = bpf_prog_load(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "tdk_foreign", "GPL", allow,
			       TD_ARRAY_SIZE(allow), &opts);

	assert_true(fd >= 0);
	return fd;
}

static void beside_others(void **state)
{
	struct load l = {AF_INET, "10.9.1.1", 10};
	_cleanup_close_ int cgroup = -1, other = -1;
	struct td_error e = {0};
	struct td_kernel *k;
	uint32_t n = 4, ids[4];

	NEED_ROOT();
	cgroup = open_cgroup(cgroup_path);
	other = foreign();
	k = open_pool(4, 1000);
	assert_int_equal(
		bpf_prog_attach(other, cgroup, BPF_CGROUP_INET4_CONNECT, BPF_F_ALLOW_MULTI), 0);
	client(load, &l);
	assert_int_equal(by_sources(1, 4), 10);
	td_kernel_egress_detach(k, POOL);
	assert_int_equal(bpf_prog_query(cgroup, BPF_CGROUP_INET4_CONNECT, 0, NULL, ids, &n), 0);
	assert_int_equal(n, 1); /* theirs is still there */
	assert_int_equal(bpf_prog_detach2(other, cgroup, BPF_CGROUP_INET4_CONNECT), 0);

	/* One that takes none beside it: told, and nothing half done. */
	assert_int_equal(bpf_prog_attach(other, cgroup, BPF_CGROUP_INET4_CONNECT, 0), 0);
	assert_int_equal(td_kernel_egress_attach(k, POOL, cgroup, &e), -EPERM);
	assert_non_null(strstr(e.text, "takes none beside it"));
	assert_int_equal(td_kernel_egress_cgroup(k, POOL), 0);
	assert_false(pin_there("link_egress_1_release"));
	assert_int_equal(bpf_prog_detach2(other, cgroup, BPF_CGROUP_INET4_CONNECT), 0);
	td_kernel_close(k);
	unload();
}

/* ---- cut short ---------------------------------------------------------------------------- */

static void child_attach(void)
{
	_cleanup_close_ int cgroup = open(cgroup_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct td_kernel *k;

	if (td_kernel_open(DIR, &limits, 0, &k, NULL, NULL, NULL) < 0 ||
	    td_kernel_egress_open(k, NULL) < 0 ||
	    td_kernel_egress_attach(k, POOL, cgroup, NULL) < 0)
		_exit(1);
	td_kernel_close(k);
}

static void child_off(void)
{
	struct td_kernel *k;

	if (td_kernel_open(DIR, &limits, 0, &k, NULL, NULL, NULL) < 0)
		_exit(1);
	td_kernel_egress_close(k);
	td_kernel_close(k);
}

static void killed_at_each_step(void **state)
{
	struct load l = {AF_INET, "10.9.1.1", 8};
	struct td_kernel *k;
	int n;

	NEED_ROOT();
	k = open_pool(4, 1000);
	td_kernel_close(k);
	for (n = 1; n <= STEPS_MAX; n++) {
		bool killed = killed_at(n, child_off);

		k = adopt_pool();
		count_ports(k, 1000);
		td_kernel_egress(k)[POOL].n[0] = 0;
		put_sources(k, POOL, 4);
		attach_pool(k, POOL, cgroup_path);
		client(load, &l);
		assert_int_equal(by_sources(1, 4), 8);
		td_kernel_close(k);
		if (!killed)
			break;
	}
	assert_in_range(n, 7, STEPS_MAX);
	for (n = 1; n <= STEPS_MAX; n++) {
		bool killed;

		child_off();
		killed = killed_at(n, child_attach);
		k = adopt_pool();
		attach_pool(k, POOL, cgroup_path);
		td_kernel_close(k);
		if (!killed)
			break;
	}
	assert_in_range(n, 7, STEPS_MAX);
	unload();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD(goes_on_and_is_adopted), WORLD(unload_takes_it_off),
		WORLD(ends_with_its_cgroup),   WORLD(moves_to_another_cgroup),
		WORLD(beside_others),	       WORLD(killed_at_each_step),
	};

	isolate();
	find_cgroups();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
