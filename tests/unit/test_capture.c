// SPDX-License-Identifier: GPL-2.0-only
/* FILTER into masks, verdicts in words, and the blocks of a pcapng file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/capture.h"
#include "api/pcapng.h"

#define BOTH (TUNDISH_CAPTURE_SOURCE | TUNDISH_CAPTURE_DESTINATION)

static struct td_service_state services[] = {
	{.id = 7, .value = {.name = "web", .state = TUNDISH_SERVICE_ACTIVE}}};
static const struct td_state state = {.services = services, .n_services = 1};
static const struct td_attachment nics[] = {
	{.name = "eth0", .ifindex = 3, .mode = TD_MODE_NATIVE},
	{.name = "eth2", .ifindex = 4, .mode = TD_MODE_NONE}, /* was there once */
};
static const struct td_capture_names names = {&state, nics, TD_ARRAY_SIZE(nics)};

static int parse(const char *text, struct td_capture_conf *c, struct td_error *e)
{
	*c = (struct td_capture_conf){.filter.points = TUNDISH_CAPTURE_IN | TUNDISH_CAPTURE_OUT};
	*e = (struct td_error){0};
	return td_capture_filter(text, &names, c, e);
}

static void test_filters(void **s)
{
	const struct tundish_capture *f;
	struct td_capture_conf c;
	struct td_error e;

	f = &c.filter;
	assert_int_equal(parse("", &c, &e), 0);
	assert_int_equal(f->headers, 0);
	assert_int_equal(parse("host 192.0.2.1 and tcp port 80", &c, &e), 0);
	assert_int_equal(f->headers, 1);
	assert_int_equal(f->address[0].value[3], htonl(0xc0000201));
	assert_int_equal(f->address[0].mask[3], 0xffffffff);
	assert_int_equal(f->address[0].mask[2], 0);
	assert_int_equal(f->address[0].ends, BOTH);
	assert_int_equal(f->address[1].ends, 0);
	assert_int_equal(f->protocol[0], IPPROTO_TCP);
	assert_int_equal(f->protocol[1], 255);
	assert_int_equal(f->port[0].value, htons(80));
	assert_int_equal(f->port[0].ends, BOTH);
	assert_int_equal(parse("src net 2001:db8::7/32 dst port 53", &c, &e), 0);
	assert_int_equal(f->address[0].value[0], htonl(0x20010db8));
	assert_int_equal(f->address[0].value[3], 0);
	assert_int_equal(f->address[0].mask[0], 0xffffffff);
	assert_int_equal(f->address[0].mask[1], 0);
	assert_int_equal(f->address[0].ends, TUNDISH_CAPTURE_SOURCE);
	assert_int_equal(f->protocol[0], 255);
	assert_int_equal(f->protocol[1], 0);
	assert_int_equal(f->port[0].ends, TUNDISH_CAPTURE_DESTINATION);
	assert_int_equal(parse("icmp", &c, &e), 0);
	assert_int_equal(f->protocol[1], IPPROTO_ICMPV6);
	assert_int_equal(parse("service web and interface eth0", &c, &e), 0);
	assert_int_equal(f->service, 7);
	assert_string_equal(c.service, "web");
	assert_int_equal(f->ifindex, 3);
	assert_string_equal(c.interface, "eth0");
	assert_int_equal(f->points, TUNDISH_CAPTURE_IN | TUNDISH_CAPTURE_OUT);
	assert_int_equal(parse("reason drop_ttl", &c, &e), 0);
	assert_int_equal(f->counter, TUNDISH_COUNTER_drop_ttl + 1);
	assert_int_equal(f->points, TUNDISH_CAPTURE_DROPPED);
	assert_int_equal(parse("reason ipip", &c, &e), 0);
	assert_int_equal(f->points, TUNDISH_CAPTURE_IN | TUNDISH_CAPTURE_OUT);
}

/* Of each counter: its name, what follows its kind in it, and points where it cannot be. */
static void test_reasons(void **s)
{
	struct td_capture_conf c = {0};
	char text[64];
	struct td_error e;

	for (uint32_t i = 0; i < TUNDISH_COUNTER_MAX; i++) {
		const char *full = td_capture_reasons[i].name, *reason = td_capture_reason(i);
		enum td_capture_kind kind = td_capture_reasons[i].kind;
		uint32_t same = 0;

		for (uint32_t k = 0; k < TUNDISH_COUNTER_MAX; k++)
			same += td_capture_reasons[k].kind != TD_CAPTURE_EVENT &&
				!strcmp(td_capture_reason(k), reason);
		snprintf(text, sizeof(text), "reason %s", full);
		assert_int_equal(parse(text, &c, &e), kind == TD_CAPTURE_EVENT ? -EINVAL : 0);
		if (kind == TD_CAPTURE_EVENT)
			continue;
		assert_int_equal(c.filter.counter, i + 1);
		for (uint32_t points = TUNDISH_CAPTURE_OUT; points <= TUNDISH_CAPTURE_DROPPED;
		     points *= 2) {
			bool drops = points == TUNDISH_CAPTURE_DROPPED, fits;

			fits = drops ? kind == TD_CAPTURE_DROP
				     : kind == TD_CAPTURE_SEND ||
					       i == TUNDISH_COUNTER_pass_decapsulated;
			c = (struct td_capture_conf){.filter.points = points};
			assert_int_equal(td_capture_filter(text, &names, &c, &e),
					 fits ? 0 : -EINVAL);
			assert_true(fits || strstr(e.text, drops ? "is dropped as" : "leaves as"));
		}
		snprintf(text, sizeof(text), "reason %s", reason);
		assert_int_equal(parse(text, &c, &e), same > 1 ? -EINVAL : 0);
		assert_true(same > 1 ? strstr(e.text, full) && strstr(e.text, "give one")
				     : c.filter.counter == i + 1);
	}
	assert_true(parse("reason fragment", &c, &e) < 0);
	assert_non_null(
		strstr(e.text, "\"fragment\" is pass_fragment and drop_fragment; give one"));
}

static void test_mistakes(void **s)
{
	static const struct {
		const char *text, *part;
	} wrong[] = {
		{"and", "\"and\" joins"},
		{"tcp and and udp", "\"and\" joins"},
		{"tcp and", "has to follow"},
		{"tcp and udp", "two protocols"},
		{"ip and host 2001:db8::1", "both IPv4 and IPv6"},
		{"host", "is no address"},
		{"host 10.0.0.0/8", "is no address"},
		{"net 10.0.0.0/33", "is no network"},
		{"port 65536", "is no port"},
		{"port 80x", "is no port"},
		{"port 1 port 2 port 3", "too many"},
		{"not tcp", "all of a filter has to be true"},
		{"(tcp)", "all of a filter has to be true"},
		{"prot 80", "did you mean \"port\""},
		{"interface eth1", "did you mean \"eth0\""},
		{"interface eth2", "runs on no interface \"eth2\"; did you mean \"eth0\""},
		{"service", "a name has to follow \"service\""},
		{"tcp and interface", "a name has to follow \"interface\""},
		{"reason flow_new", "no reason"},
		{"reason ttl reason no_backend", "\"no_backend\" is one reason too many"},
		{"reason drop_ttl and tcp and reason", "a name has to follow \"reason\""},
		{"service web service web", "one service too many"},
		{"interface eth0 and interface eth0", "one interface too many"},
		{"tcp\n", "control character"},
	};
	struct td_capture_conf c;
	struct td_error e;

	for (size_t i = 0; i < TD_ARRAY_SIZE(wrong); i++) {
		assert_true(parse(wrong[i].text, &c, &e) < 0);
		if (!strstr(e.text, wrong[i].part))
			fail_msg("%s: %s", wrong[i].text, e.text);
	}
}

static void test_comments(void **s)
{
	char b[256];

	assert_string_equal(
		td_capture_comment(TUNDISH_COUNTER_drop_no_backend, "web", "", b, sizeof(b)),
		"dropped: no_backend, service web");
	assert_string_equal(
		td_capture_comment(TUNDISH_COUNTER_drop_no_nexthop, "web", "w1", b, sizeof(b)),
		"dropped: no_nexthop, service web, backend w1");
	assert_string_equal(td_capture_comment(TUNDISH_COUNTER_drop_ttl, "", "", b, sizeof(b)),
			    "dropped: ttl");
	assert_string_equal(td_capture_comment(TUNDISH_COUNTER_sent_gue, "web", "w1", b, sizeof(b)),
			    "to w1 of web by gue");
	assert_string_equal(
		td_capture_comment(TUNDISH_COUNTER_sent_reply, "web", "w1", b, sizeof(b)),
		"answer of w1 of web");
	assert_string_equal(td_capture_comment(TUNDISH_COUNTER_pass_other, "", "", b, sizeof(b)),
			    "passed: other");
	td_capture_comment(UINT32_MAX, "", "", b,
			   sizeof(b)); /* of another build: not a step beyond */
}

/* Blocks end where they say, twice, whatever is in them. */
static void test_blocks(void **s)
{
	unsigned char bytes[4096], frame[61] = {1, 2, 3};
	struct td_pcapng b = {.data = bytes, .room = sizeof(bytes)};
	const struct td_pcapng_packet p = {
		.frame = frame, .captured = sizeof(frame), .length = 1500, .comment = "one"};
	uint32_t head[2], tail;
	size_t n = 0, full;
	char *text;

	text = malloc(5000);
	memset(text, 'x', 4999);
	text[4999] = '\0';
	td_pcapng_section(&b, "tundish", text);
	td_pcapng_interface(&b, "eth0", NULL, text, 256);
	td_pcapng_add(&b, &p);
	td_pcapng_statistics(&b, 0, 1, 2, 3, 4, "");
	free(text);
	for (size_t at = 0; at < b.length; at += head[1], n++) {
		memcpy(head, bytes + at, sizeof(head));
		assert_true(head[1] >= 12 && head[1] % 4 == 0 && at + head[1] <= b.length);
		memcpy(&tail, bytes + at + head[1] - 4, sizeof(tail));
		assert_int_equal(tail, head[1]);
	}
	assert_int_equal(n, 4);
	full = b.length;
	b.room = b.length + 40;
	td_pcapng_add(&b, &p); /* there is no room: left out whole */
	assert_true(b.overflow);
	assert_int_equal(b.length, full);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_filters),	 cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_mistakes), cmocka_unit_test(test_comments),
		cmocka_unit_test(test_blocks),
	};

	return cmocka_run_group_tests_name("capture", tests, NULL, NULL);
}
