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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_addresses), cmocka_unit_test(test_form_of_ipv4),
		cmocka_unit_test(test_bad_addresses),  cmocka_unit_test(test_good_endpoints),
		cmocka_unit_test(test_bad_endpoints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
