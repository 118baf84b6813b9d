// SPDX-License-Identifier: GPL-2.0-only
/*
 * The programs that lead health checks, run by the kernel on single packets: each pair of what
 * came and what left goes to checks.py, which makes by itself (scapy) what should have left; and
 * packets that are broken, or somebody else's, against what must never happen.
 *
 *   bpf_checks --measure    nanoseconds per packet that is no check's, beside a program that does nothing
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <tundish/check.h>
#include <tundish/maps.h>

#include "bpf/packet.h"

enum { BACKEND = 3, HOP = 5, LOCAL_PORT = 40001, PORT = 8443, GUE_PORT = 6081, MTU = 1500 };

static struct bpf_object *object;
static FILE *records;
static char path[] = "/tmp/bpf-checks-XXXXXX";

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	return getenv("V") ? vfprintf(stderr, format, args) : 0;
}

static int fd_of(const char *map)
{
	return bpf_object__find_map_fd_by_name(object, map);
}

static int program(const char *name)
{
	return bpf_program__fd(bpf_object__find_program_by_name(object, name));
}

static int open_object(void **state)
{
	static const char *const used[] = {"backends",	  "nexthops",	"check_peers",
					   "check_ports", "check_ways", "asked"};
	const char *build = getenv("BUILD");
	struct bpf_map *m;
	char file[512];

	libbpf_set_print(quiet);
	snprintf(file, sizeof(file), "%s/tests/check_way.bpf.o", build ? build : "build");
	object = bpf_object__open_file(file, NULL);
	if (!object)
		return -1;
	bpf_object__for_each_map(m, object)
	{
		bool wanted = false;

		for (size_t i = 0; i < sizeof(used) / sizeof(*used); i++)
			wanted |= !strcmp(bpf_map__name(m), used[i]);
		bpf_map__set_autocreate(m, wanted);
		if (wanted && bpf_map__max_entries(m) == 1 && bpf_map__name(m)[0] != 'c' &&
		    bpf_map__name(m)[0] != 'a')
			bpf_map__set_max_entries(m, 16);
	}
	if (bpf_object__load(object) < 0) {
		fprintf(stderr, "the programs for checks are refused: %s\n", strerror(errno));
		return -1;
	}
	close(mkstemp(path));
	records = fopen(path, "w");
	return records ? 0 : -1;
}

static int close_object(void **state)
{
	if (records)
		fclose(records);
	unlink(path);
	bpf_object__close(object);
	return 0;
}

/* Runs it. A tag that it leaves beside the packet is not told. */
static int run(int fd, const struct packet *in, struct packet *out)
{
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = in->data, .data_size_in = in->len,
		    .data_out = out->data, .data_size_out = PACKET_MAX);

	if (bpf_prog_test_run_opts(fd, &o) < 0)
		return -errno - 1000;
	out->len = o.data_size_out;
	return (int)o.retval;
}

/* ---- the world ------------------------------------------------------------------------------ */

struct kind {
	uint8_t delivery;
	bool v6, outer_v6, udp, tagged;
};

static struct tundish_addr vip_of(bool v6)
{
	return v6 ? ip6(0x10) : ip4(192, 0, 2, 10);
}
static struct tundish_addr local_of(bool v6)
{
	return v6 ? ip6(0x1001) : ip4(10, 0, 0, 1);
}
static struct tundish_addr backend_of(bool v6)
{
	return v6 ? ip6(0x2011) : ip4(10, 0, 0, 11);
}

static struct tundish_check_way way_of(const struct kind *k)
{
	struct tundish_check_way w = {
		.vip = vip_of(k->v6),
		.stand_in = backend_of(k->v6),
		.address = backend_of(k->outer_v6),
		.backend = BACKEND,
		.port_be = htons(PORT),
		.local_port_be = htons(LOCAL_PORT),
		.protocol = k->udp ? P_UDP : P_TCP,
		.flags = k->v6 != k->outer_v6 ? TUNDISH_CHECK_FAR : 0,
	};

	return w;
}

static void put(const char *map, uint32_t key, const void *value)
{
	assert_int_equal(bpf_map_update_elem(fd_of(map), &key, value, BPF_ANY), 0);
}

static void clear_ports(uint8_t byte)
{
	struct tundish_check_ports p;

	memset(&p, byte, sizeof(p));
	put("check_ports", 0, &p);
}

static void set_world(const struct kind *k)
{
	struct tundish_backend b = {.address = backend_of(k->outer_v6),
				    .nexthop = HOP,
				    .delivery = k->delivery,
				    .state = TUNDISH_BACKEND_UP,
				    .gue_port_be = htons(GUE_PORT)};
	struct tundish_nexthop h = {.destination = {2, 9, 9, 9, 9, 1},
				    .source = {2, 9, 9, 9, 9, 2},
				    .ifindex = 1,
				    .flags = TUNDISH_NEXTHOP_VALID,
				    .mtu = MTU,
				    .tunnel_source = local_of(k->outer_v6)};
	struct tundish_check_way w = way_of(k);

	if (k->tagged) {
		h.flags |= TUNDISH_NEXTHOP_VLAN;
		h.vlan_tci_be = htons(0x2064);
	}
	put("backends", BACKEND, &b);
	put("nexthops", HOP, &h);
	put("asked", 0, &w);
	clear_ports(0);
}

/* UDP's checksum; 0 there means none. */
static void sum_udp(struct packet *p)
{
	uint32_t ip = network_at(p), v6 = p->data[ip] >> 4 == 6,
		 at = ip + (v6 ? 40 : (p->data[ip] & 15u) * 4);
	uint32_t length = p->len - at, sum;

	put16(p->data + at + 6, 0);
	sum = naive_error(naive_add(pseudo_sum(p->data + ip, P_UDP, length), p->data + at, length));
	put16(p->data + at + 6, sum ? sum : 0xffff);
}

static struct spec asks(const struct kind *k)
{
	struct spec s = {.src = local_of(k->v6),
			 .dst = backend_of(k->v6),
			 .sport = LOCAL_PORT,
			 .dport = PORT,
			 .tos = 0x2c,
			 .protocol = k->udp ? P_UDP : P_TCP};

	return s;
}

static struct packet *build_whole(struct packet *p, const struct spec *s, bool summed)
{
	build(p, s);
	if (s->protocol == P_UDP && (summed || spec_v6(s)))
		sum_udp(p);
	return p;
}

static void record_addr(const char *name, const struct tundish_addr *a)
{
	char text[INET6_ADDRSTRLEN];

	if (tundish_addr_is_v4(a))
		inet_ntop(AF_INET, &a->word[3], text, sizeof(text));
	else
		inet_ntop(AF_INET6, a, text, sizeof(text));
	fprintf(records, "\"%s\": \"%s\", ", name, text);
}

static void record_bytes(const char *name, const struct packet *p)
{
	fprintf(records, "\"%s\": \"", name);
	for (uint32_t i = 0; i < p->len; i++)
		fprintf(records, "%02x", p->data[i]);
	fprintf(records, "\", ");
}

static void record(const char *what, const struct kind *k, const struct packet *in,
		   const struct packet *out)
{
	static const char *const names[] = {[TUNDISH_DELIVERY_DSR] = "dsr",
					    [TUNDISH_DELIVERY_IPIP] = "ipip",
					    [TUNDISH_DELIVERY_GUE] = "gue"};
	const struct tundish_check_way w = way_of(k);
	const struct tundish_addr from = local_of(k->outer_v6);

	fprintf(records, "{\"what\": \"%s\", \"delivery\": \"%s\", ", what, names[k->delivery]);
	record_addr("vip", &w.vip);
	record_addr("stand_in", &w.stand_in);
	record_addr("backend", &w.address);
	record_addr("tunnel_source", &from);
	record_bytes("in", in);
	record_bytes("out", out);
	fprintf(records, "\"far\": %d, \"gue_port\": %d}\n", !!w.flags, GUE_PORT);
}

static void each_kind(void (*f)(const struct kind *k))
{
	for (unsigned int i = 0; i < 48; i++) {
		struct kind k = {.delivery = (uint8_t)(TUNDISH_DELIVERY_DSR + i % 3),
				 .v6 = i / 3 & 1,
				 .outer_v6 = i / 6 & 1,
				 .udp = i / 12 & 1,
				 .tagged = i / 24 & 1};

		set_world(&k);
		f(&k);
	}
}

/* ---- what goes, and what comes --------------------------------------------------------------- */

static bool has_bit(bool udp, uint16_t port)
{
	struct tundish_check_ports p;
	uint32_t zero = 0;

	assert_int_equal(bpf_map_lookup_elem(fd_of("check_ports"), &zero, &p), 0);
	return (udp ? p.udp : p.tcp)[port / 64] >> (port % 64) & 1;
}

static void goes(const struct kind *k)
{
	const bool far = k->v6 != k->outer_v6;
	static struct packet in, out;

	for (uint32_t i = 0; i < 8; i++) {
		struct spec s = asks(k);

		s.payload = i * 173;
		s.seq = i * 99999;
		s.ttl = (uint8_t)(1 + i);
		build_whole(&in, &s, i & 1);
		assert_int_equal(run(program("asked_out"), &in, &out),
				 far ? TC_ACT_REDIRECT : TC_ACT_UNSPEC);
		record("goes", k, &in, &out);
	}
	assert_true(has_bit(k->udp, LOCAL_PORT));
	assert_false(has_bit(!k->udp, LOCAL_PORT));
}

static void all_go(void **state)
{
	each_kind(goes);
}

static void comes(const struct kind *k)
{
	const bool far = k->v6 != k->outer_v6;
	static struct packet in, out;
	struct spec s = asks(k), a = {.src = vip_of(k->v6),
				      .dst = local_of(k->v6),
				      .sport = PORT,
				      .dport = LOCAL_PORT,
				      .protocol = s.protocol};

	build_whole(&in, &s, true);
	run(program("asked_out"), &in, &out); /* whereupon it is answered */
	for (uint32_t i = 0; i < 8; i++) {
		a.payload = i * 181;
		a.seq = i * 7777777;
		a.options = k->v6 ? 0 : i % 3 * 4;
		build_whole(&in, &a, i & 1);
		assert_int_equal(run(program("td_check_in"), &in, &out),
				 far ? TC_ACT_REDIRECT : TC_ACT_UNSPEC);
		record("comes", k, &in, &out);
	}
}

static void all_come(void **state)
{
	each_kind(comes);
}

/* "Unreachable", by the backend itself and by a router. */
static void refused(const struct kind *k)
{
	static struct packet in, out, asked;
	struct spec s = asks(k);

	build_whole(&in, &s, true);
	run(program("asked_out"), &in, &out);
	s.dst = vip_of(k->v6);
	s.payload = 20;
	build_whole(&asked, &s, true);
	for (int router = 0; router < 2; router++) {
		struct spec e = {.src = router ? ip4(10, 0, 0, 254) : vip_of(k->v6),
				 .dst = local_of(k->v6),
				 .type = k->v6 ? 1 : 3,
				 .code = k->v6 ? 4 : 3};

		if (router && k->v6)
			e.src = ip6(0xfe);
		build_error(&in, &e, &asked, k->udp ? 28 + 20 * k->v6 : 2000);
		assert_int_equal(run(program("td_check_in"), &in, &out),
				 k->v6 != k->outer_v6 ? TC_ACT_REDIRECT : TC_ACT_UNSPEC);
		record("refused", k, &in, &out);
	}
}

static void all_refused(void **state)
{
	each_kind(refused);
}

/* What scapy says of all that. */
static void as_scapy_says(void **state)
{
	char command[600];
	int r;

	fflush(records);
	snprintf(command, sizeof(command), "/usr/bin/python3 tests/bpf/checks.py %s", path);
	r = system(command);
	assert_true(WIFEXITED(r));
	assert_int_equal(WEXITSTATUS(r), 0);
}

/* ---- what must not be led, and must not leak ------------------------------------------------ */

static void unchanged(const char *name, const struct packet *in)
{
	static struct packet out;

	assert_int_equal(run(program(name), in, &out), TC_ACT_UNSPEC);
	assert_int_equal(out.len, in->len);
	assert_memory_equal(out.data, in->data, in->len);
}

static void dropped(const struct packet *in)
{
	static struct packet out;

	assert_int_equal(run(program("asked_out"), in, &out), TC_ACT_SHOT);
}

/* Seen again below a VLAN's device or behind loopback: it is not put in a tunnel again. */
static void led_once(const struct kind *k)
{
	static struct packet in, out;
	struct spec s = asks(k);

	build_whole(&in, &s, true);
	run(program("asked_out"), &in, &out);
	unchanged("asked_out", &out);
}

static void only_once(void **state)
{
	each_kind(led_once);
}

static void kept_back(const struct kind *k)
{
	const uint32_t outer =
		k->delivery == TUNDISH_DELIVERY_DSR
			? 0
			: (k->outer_v6 ? 40 : 20) + (k->delivery == TUNDISH_DELIVERY_GUE ? 12 : 0);
	const uint32_t headers = (k->v6 ? 40 : 20) + (k->udp ? 8 : 20);
	static struct packet in, out;
	struct tundish_check_way w = way_of(k);
	struct spec s = asks(k);
	struct tundish_backend b;
	uint32_t key = BACKEND;

	/* the largest that fits, and one more */
	s.payload = MTU - outer - headers;
	build_whole(&in, &s, true);
	assert_int_not_equal(run(program("asked_out"), &in, &out), TC_ACT_SHOT);
	s.payload++;
	build_whole(&in, &s, true);
	if (outer)
		dropped(&in);

	s.payload = 10;
	if (!k->v6) {
		s.fragment = 0x2000;
		dropped(build_whole(&in, &s, false));
		s.fragment = 0x0010;
		dropped(build_whole(&in, &s, false));
		s.fragment = 0;
	}
	build_whole(&in, &s, true);
	w.address.word[3] ^= 0x01000000; /* the number is another's by now */
	put("asked", 0, &w);
	dropped(&in);
	w = way_of(k);
	w.backend = 9; /* free */
	put("asked", 0, &w);
	dropped(&in);
	w.backend = 1u << 20;
	put("asked", 0, &w);
	dropped(&in);
	w = way_of(k);
	put("asked", 0, &w);
	assert_int_equal(bpf_map_lookup_elem(fd_of("backends"), &key, &b), 0);
	b.delivery = TUNDISH_DELIVERY_NAT;
	put("backends", BACKEND, &b);
	dropped(&in);
}

static void never_to_the_stand_in(void **state)
{
	each_kind(kept_back);
}

static void of_others(const struct kind *k)
{
	struct spec a = {.src = vip_of(k->v6),
			 .dst = local_of(k->v6),
			 .sport = PORT,
			 .dport = LOCAL_PORT,
			 .protocol = k->udp ? P_UDP : P_TCP};
	static struct packet in, out;
	struct spec s = asks(k);

	unchanged("td_check_out", build_whole(&in, &s, true)); /* a socket without a way */
	unchanged("td_check_in", build_whole(&in, &a, true));  /* nobody has asked */
	build_whole(&in, &s, true);
	run(program("asked_out"), &in, &out);
	a.sport++;
	unchanged("td_check_in", build_whole(&in, &a, true));
	a.sport--;
	a.dport++;
	unchanged("td_check_in", build_whole(&in, &a, true));
	a.dport--;
	a.src.word[3] ^= 0x01000000;
	unchanged("td_check_in", build_whole(&in, &a, true));
	a.src = vip_of(k->v6);
	a.dst.word[3] ^= 0x01000000;
	unchanged("td_check_in", build_whole(&in, &a, true));
	a.dst = local_of(k->v6);
	a.protocol = k->udp ? P_TCP : P_UDP;
	unchanged("td_check_in", build_whole(&in, &a, true));
	s.dport++;
	unchanged("asked_out", build_whole(&in, &s, true));
}

static void others_untouched(void **state)
{
	each_kind(of_others);
}

/* ---- broken ----------------------------------------------------------------------------------- */

static uint32_t dice = 4711;

static uint32_t roll(uint32_t n)
{
	dice = dice * 1664525 + 1013904223;
	return (dice >> 8) % n;
}

/* Where ports are, by a reading of its own; false where this is no check's packet. */
static bool to_the_stand_in(const struct packet *p, const struct kind *k)
{
	const struct tundish_addr to = backend_of(k->v6);
	const uint8_t *ip = p->data + 14;
	uint32_t at = k->v6 ? 40 : (ip[0] & 15u) * 4;

	if (get16(p->data + 12) != (k->v6 ? 0x86dd : 0x0800) || p->len < 14 + at + 4)
		return false;
	return !memcmp(ip + (k->v6 ? 24 : 16), k->v6 ? (void *)&to : (void *)&to.word[3],
		       k->v6 ? 16 : 4) &&
	       ip[k->v6 ? 6 : 9] == (k->udp ? P_UDP : P_TCP) && get16(ip + at) == LOCAL_PORT &&
	       get16(ip + at + 2) == PORT;
}

static void broken(const struct kind *k)
{
	static struct packet in, out;

	for (int i = 0; i < 1500; i++) {
		struct spec s = asks(k), a = {.src = vip_of(k->v6),
					      .dst = local_of(k->v6),
					      .sport = PORT,
					      .dport = LOCAL_PORT,
					      .protocol = s.protocol};
		const bool answer = i & 1;
		int r;

		s.payload = a.payload = roll(60);
		build_whole(&in, answer ? &a : &s, true);
		for (uint32_t n = roll(6); n; n--)
			in.data[12 + roll((in.len < 90 ? in.len : 90) - 12)] = (uint8_t)roll(256);
		if (i % 5 == 0)
			in.len = 14 + roll(in.len - 13);
		r = run(program(answer ? "td_check_in" : "asked_out"), &in, &out);
		if (r == -EINVAL - 1000)
			continue; /* the kernel takes none so short */
		assert_true(r == TC_ACT_UNSPEC || r == TC_ACT_SHOT || r == TC_ACT_REDIRECT);
		if (!answer && r != TC_ACT_SHOT)
			assert_false(to_the_stand_in(&out, k));
		if (answer)
			assert_int_equal(out.len, in.len);
	}
}

static void all_broken(void **state)
{
	each_kind(broken);
}

/* All ports are checks', so that all that comes is looked at. */
static void garbage(void **state)
{
	static struct packet in, out;

	clear_ports(0xff);
	for (int i = 0; i < 60000; i++) {
		in.len = 14 + roll(120);
		for (uint32_t j = 0; j < in.len; j++)
			in.data[j] = (uint8_t)roll(256);
		put16(in.data + 12, roll(2) ? 0x0800 : 0x86dd);
		in.data[14] =
			(uint8_t)(get16(in.data + 12) == 0x0800 ? 0x40 | (roll(4) ? 5 : roll(16))
								: 0x60);
		in.data[get16(in.data + 12) == 0x0800 ? 23 : 20] =
			(uint8_t[]){P_TCP, P_UDP, P_ICMP, P_ICMP6}[roll(4)];
		if (run(program("td_check_in"), &in, &out) < -1000)
			continue;
		assert_int_equal(out.len, in.len);
		assert_memory_equal(out.data, in.data, in.len);
	}
}

/* ---- what it costs ------------------------------------------------------------------------------ */

static double cost(const char *name, const struct packet *p)
{
	double best = 1e9;

	for (int i = 0; i < 15; i++) {
		LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = p->data, .data_size_in = p->len,
			    .repeat = 500000);

		if (bpf_prog_test_run_opts(program(name), &o) == 0 && o.duration < best)
			best = o.duration;
	}
	return best;
}

static int measure(void)
{
	static struct packet p;
	struct kind k = {.delivery = TUNDISH_DELIVERY_DSR};

	if (open_object(NULL) < 0)
		return 1;
	set_world(&k);
	for (int i = 0; i < 4; i++) {
		struct spec s = {.sport = 443, .dport = 50000, .payload = 100};

		k.v6 = k.outer_v6 = i & 1;
		s.src = vip_of(k.v6);
		s.dst = local_of(k.v6);
		s.protocol = i & 2 ? P_UDP : P_TCP;
		build_whole(&p, &s, true);
		printf("%s IPv%d: nothing %.0f ns, in %.0f ns, out %.0f ns\n",
		       i & 2 ? "UDP" : "TCP", k.v6 ? 6 : 4, cost("bare", &p),
		       cost("td_check_in", &p), cost("td_check_out", &p));
	}
	return close_object(NULL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_go),	    cmocka_unit_test(all_come),
		cmocka_unit_test(all_refused),	    cmocka_unit_test(as_scapy_says),
		cmocka_unit_test(only_once),	    cmocka_unit_test(never_to_the_stand_in),
		cmocka_unit_test(others_untouched), cmocka_unit_test(all_broken),
		cmocka_unit_test(garbage),
	};

	if (argc > 1 && !strcmp(argv[1], "--measure"))
		return measure();
	return cmocka_run_group_tests_name("data path: health checks", tests, open_object,
					   close_object);
}
