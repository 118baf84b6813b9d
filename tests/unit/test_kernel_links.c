// SPDX-License-Identifier: GPL-2.0-only
/* What is known of NICs, and ways back to clients, in the real maps. */
#include "kernel_fixture.h"

/* What the data path reads. */
static uint32_t n_partial(void)
{
	_cleanup_close_ int fd = pin_open("nat_settings");
	struct tundish_nat_settings s;
	uint32_t zero = 0;

	assert_int_equal(bpf_map_lookup_elem(fd, &zero, &s), 0);
	return s.n_partial;
}

static void partial_links_are_counted(void **state)
{
	const struct tundish_link plain = {.mtu = 1500},
				  partial = {.flags = TUNDISH_LINK_PARTIAL, .mtu = 9000};
	struct tundish_link links[TUNDISH_LINKS_MAX];
	uint32_t ifindex[TUNDISH_LINKS_MAX], three = 3;
	struct td_kernel *k;
	size_t n = 0;

	NEED_ROOT();
	k = open_kernel(false);
	assert_int_equal(n_partial(), 0);
	assert_int_equal(td_kernel_put_link(k, 2, &partial), 0);
	assert_int_equal(td_kernel_put_link(k, 3, &partial), 0);
	assert_int_equal(td_kernel_put_link(k, 4, &plain), 0);
	assert_int_equal(td_kernel_put_link(k, 2, &partial), 0); /* as it was */
	assert_int_equal(n_partial(), 2);
	assert_int_equal(td_kernel_put_link(k, 2, &plain), 0);
	assert_int_equal(n_partial(), 1);
	assert_int_equal(td_kernel_delete_link(k, 4), 0);
	assert_int_equal(td_kernel_delete_link(k, 4), -ENOENT);
	assert_int_equal(n_partial(), 1);
	assert_int_equal(td_kernel_links(k, ifindex, links, &n), 0);
	assert_int_equal(n, 2);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(links[i].mtu, ifindex[i] == 2 ? 1500 : 9000);
	td_kernel_close(k);
	/* A daemon that died between a NIC and its count. */
	{
		_cleanup_close_ int fd = pin_open("links");

		assert_int_equal(bpf_map_delete_elem(fd, &three), 0);
	}
	k = open_kernel(true);
	assert_int_equal(n_partial(), 0);
	td_kernel_close(k);
}

static void ways_back_are_forgotten_by_their_number(void **state)
{
	const struct tundish_return_key key = {.to = {2, 1}, .from = {2, 2}, .ifindex = 7};
	_cleanup_close_ int fd = -1;
	uint32_t number = 5;
	struct td_kernel *k;

	NEED_ROOT();
	k = open_kernel(false);
	fd = pin_open("return_ids");
	assert_int_equal(td_kernel_forget_return(k, &key, 5), 0); /* none was */
	assert_int_equal(bpf_map_update_elem(fd, &key, &number, BPF_NOEXIST), 0);
	/* the key has another number now, which stays */
	assert_int_equal(td_kernel_forget_return(k, &key, 4), 0);
	assert_int_equal(bpf_map_lookup_elem(fd, &key, &number), 0);
	assert_int_equal(td_kernel_forget_return(k, &key, 5), 0);
	assert_true(bpf_map_lookup_elem(fd, &key, &number) < 0);
	td_kernel_close(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(partial_links_are_counted),
		TEST(ways_back_are_forgotten_by_their_number),
	};

	isolate();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
