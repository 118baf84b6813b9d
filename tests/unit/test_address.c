// SPDX-License-Identifier: GPL-2.0-only
/* Text of addresses and endpoints: what is taken, what is refused, and that
 * refused text leaves the outputs alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "core/address.h"

static const struct tundish_addr untouched = {{1, 2, 3, 4}};

static void test_good_addresses(void **state)
{
	static const struct {
		const char *text, *printed;
		int family;
	} rows[] = {
		{"192.0.2.1", "192.0.2.1", AF_INET},
		{"0.0.0.0", "0.0.0.0", AF_INET},
		{"255.255.255.255", "255.255.255.255", AF_INET},
		{"2001:db8::1", "2001:db8::1", AF_INET6},
		{"2001:DB8:0:0:0:0:0:1", "2001:db8::1", AF_INET6},
		{"::", "::", AF_INET6},
		{"::1.2.3.4", "::1.2.3.4", AF_INET6},
		{"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
		 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", AF_INET6},
	};

	for (size_t i = 0; i < TD_ARRAY_SIZE(rows); i++) {
		struct tundish_addr a = untouched;
		char buffer[TD_ADDRESS_TEXT];

		assert_int_equal(td_address_parse(rows[i].text, &a), 0);
		assert_ptr_equal(td_address_print(&a, buffer), buffer);
		assert_string_equal(buffer, rows[i].printed);
		assert_int_equal(td_address_family(&a), rows[i].family);
		assert_int_equal(tundish_addr_is_v4(&a), rows[i].family == AF_INET);
	}
}

static void test_form_of_ipv4(void **state)
{
	const uint8_t expected[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1};
	struct tundish_addr a;

	assert_int_equal(td_address_parse("192.0.2.1", &a), 0);
	assert_memory_equal(&a, expected, sizeof(expected));
}

static void test_bad_addresses(void **state)
{
	static const char *const rows[] = {
		"",
		" 192.0.2.1",
		"192.0.2.1 ",
		"192.0.2",
		"192.0.2.1.5",
		"192.0.2.256",
		"192.0.2.01",
		"0x7f.0.0.1",
		"3221225985",
		"example.net",
		"::ffff:192.0.2.1",
		"::FFFF:c000:201",
		"2001:db8:::1",
		"2001:db8::1::2",
		"fe80::1%eth0",
		"[2001:db8::1]",
		"192.0.2.1/32",
		"2001:db8::g",
	};

	for (size_t i = 0; i < TD_ARRAY_SIZE(rows); i++) {
		struct tundish_addr a = untouched;

		assert_int_equal(td_address_parse(rows[i], &a), -EINVAL);
		assert_memory_equal(&a, &untouched, sizeof(a));
	}
}

static void test_good_endpoints(void **state)
{
	static const struct {
		const char *text, *address;
		uint16_t port;
	} rows[] = {
		{"1.2.3.4:80", "1.2.3.4", 80},
		{"1.2.3.4", "1.2.3.4", 0},
		{"0.0.0.0:65535", "0.0.0.0", 65535},
		{"[2001:db8::1]:80", "2001:db8::1", 80},
		{"[2001:db8::1]", "2001:db8::1", 0},
		{"2001:db8::1", "2001:db8::1", 0},
		{"[::]:1", "::", 1},
		{"2001:db8::1:80", "2001:db8::1:80",
		 0}, /* without brackets all of it is the address */
	};

	for (size_t i = 0; i < TD_ARRAY_SIZE(rows); i++) {
		struct tundish_addr a = untouched;
		char buffer[TD_ADDRESS_TEXT];
		uint16_t port = 7;

		assert_int_equal(td_endpoint_parse(rows[i].text, &a, &port), 0);
		assert_string_equal(td_address_print(&a, buffer), rows[i].address);
		assert_int_equal(port, rows[i].port);
	}
}

static void test_bad_endpoints(void **state)
{
	static const char *const rows[] = {
		"",
		":80",
		"*:80",
		"localhost:80",
		"1.2.3.4:",
		"1.2.3.4:0",
		"1.2.3.4:65536",
		"1.2.3.4:080",
		"1.2.3.4:+80",
		"1.2.3.4:80 ",
		"1.2.3.4:8a",
		"1.2.3.4:99999999999999999999",
		"1.2.3.4:80:90",
		"[1.2.3.4]:80",
		"[2001:db8::1",
		"[2001:db8::1]80",
		"[2001:db8::1]:",
		"[]:80",
		"[::1]]:80",
		"2001:db8::1]:80",
		"[::ffff:1.2.3.4]:80",
		"[fe80::1%1]:80",
		"1.2.3.4:-1",
		"11111111111111111111111111111111111111111111111111111111111111111111111:80",
	};

	for (size_t i = 0; i < TD_ARRAY_SIZE(rows); i++) {
		struct tundish_addr a = untouched;
		uint16_t port = 7;

		assert_int_equal(td_endpoint_parse(rows[i], &a, &port), -EINVAL);
		assert_memory_equal(&a, &untouched, sizeof(a));
		assert_int_equal(port, 7);
	}
}

static void test_prefixes(void **state)
{
	static const struct {
		const char *text, *printed;
		uint8_t length;
	} rows[] = {
		{"192.0.2.0/24", "192.0.2.0/24", 120},
		{"192.0.2.7/24", "192.0.2.7/24", 120},
		{"192.0.2.7/32", "192.0.2.7", 128},
		{"192.0.2.7", "192.0.2.7", 128},
		{"0.0.0.0/0", "0.0.0.0/0", 96},
		{"2001:DB8::/32", "2001:db8::/32", 32},
		{"::/0", "::/0", 0},
		{"2001:db8::1/128", "2001:db8::1", 128},
	};
	static const char *const bad[] = {
		"",
		"/",
		"/24",
		"192.0.2.0/",
		"192.0.2.0/33",
		"192.0.2.0/-1",
		"192.0.2.0/+1",
		"192.0.2.0/08",
		"192.0.2.0/ 8",
		"192.0.2.0/8 ",
		"192.0.2/24",
		"192.0.2.0/1/2",
		"::/129",
		"::/1000",
		"::ffff:1.2.3.4/128",
		"192.0.2.0/0x8",
		"192.0.2.0/4294967304",
	};
	struct td_prefix p = {untouched, 77};
	char text[TD_PREFIX_TEXT];

	for (size_t i = 0; i < TD_ARRAY_SIZE(bad); i++) {
		assert_int_equal(td_prefix_parse(bad[i], &p), -EINVAL);
		assert_memory_equal(&p.address, &untouched, sizeof(untouched));
		assert_int_equal(p.length, 77);
	}
	for (size_t i = 0; i < TD_ARRAY_SIZE(rows); i++) {
		assert_int_equal(td_prefix_parse(rows[i].text, &p), 0);
		assert_int_equal(p.length, rows[i].length);
		assert_string_equal(td_prefix_print(&p, text), rows[i].printed);
	}
}

static struct td_prefix must_parse(const char *text)
{
	struct td_prefix p;

	assert_int_equal(td_prefix_parse(text, &p), 0);
	return p;
}

static void test_masks(void **state)
{
	static const struct {
		const char *prefix, *first;
	} rows[] = {
		{"255.255.255.255/0", "0.0.0.0"},
		{"255.255.255.255/1", "128.0.0.0"},
		{"255.255.255.255/31", "255.255.255.254"},
		{"10.1.2.3/32", "10.1.2.3"},
		{"10.1.2.3/24", "10.1.2.0"},
		{"ffff:ffff:ffff::/33", "ffff:ffff:8000::"},
		{"ffff:ffff::/32", "ffff:ffff::"},
		{"ffff:ffff::/31", "ffff:fffe::"},
		{"::1/127", "::"},
		{"::1/128", "::1"},
	};

	for (size_t i = 0; i < TD_ARRAY_SIZE(rows); i++) {
		struct td_prefix p = must_parse(rows[i].prefix);
		struct tundish_addr a = td_address_mask(&p.address, p.length);
		char text[TD_ADDRESS_TEXT];

		assert_string_equal(td_address_print(&a, text), rows[i].first);
	}
}

static void test_what_a_prefix_holds(void **state)
{
	static const struct {
		const char *prefix, *address;
		bool holds;
	} rows[] = {
		{"192.0.2.0/24", "192.0.2.255", true},
		{"192.0.2.0/24", "192.0.3.0", false},
		{"192.0.2.128/25", "192.0.2.127", false},
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "192.0.2.0", false},
		{"0.0.0.0/0", "255.1.2.3", true},
		{"0.0.0.0/0", "2001:db8::1", false},
		{"::/0", "192.0.2.1", true},
		{"2001:db8::/33", "2001:db8:7fff::1", true},
		{"2001:db8::/33", "2001:db8:8000::", false},
	};

	for (size_t i = 0; i < TD_ARRAY_SIZE(rows); i++) {
		struct td_prefix p = must_parse(rows[i].prefix);
		struct td_prefix a = must_parse(rows[i].address);

		if (td_prefix_holds(&p, &a.address) != rows[i].holds)
			fail_msg("%s and %s", rows[i].prefix, rows[i].address);
	}
}

/* A prefix comes right before what it holds. */
static void test_order_of_prefixes(void **state)
{
	static const char *const order[] = {"::/96",	    "10.0.0.0/8",     "10.0.0.0/24",
					    "10.0.0.0",	    "10.0.0.5",	      "10.0.1.0/24",
					    "10.128.0.0/9", "11.0.0.0/8",     "2001:db8::/32",
					    "2001:db8::",   "2001:db8:1::/48"};

	for (size_t i = 0; i < TD_ARRAY_SIZE(order); i++)
		for (size_t j = 0; j < TD_ARRAY_SIZE(order); j++) {
			struct td_prefix a = must_parse(order[i]), b = must_parse(order[j]);
			int r = td_prefix_compare(&a, &b);

			assert_true(i < j ? r < 0 : i > j ? r > 0 : r == 0);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_addresses),
		cmocka_unit_test(test_form_of_ipv4),
		cmocka_unit_test(test_bad_addresses),
		cmocka_unit_test(test_good_endpoints),
		cmocka_unit_test(test_bad_endpoints),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_masks),
		cmocka_unit_test(test_what_a_prefix_holds),
		cmocka_unit_test(test_order_of_prefixes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
