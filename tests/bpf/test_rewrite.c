// SPDX-License-Identifier: GPL-2.0-only
/*
 * Packets rewritten in the kernel: all of cases_rewrite.h by BPF_PROG_TEST_RUN, through
 * rewrite.bpf.c, which holds what no program that ships calls yet.
 *
 *   bpf_rewrite --measure    nanoseconds per packet instead, beside a program that only sends
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <linux/bpf.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/cases_rewrite.h"

/* What the verifier may need for all of it: room for the data path around it. */
#define VERIFIED_INSNS_MOST 100000u

static struct bpf_object *object;
static int rewrite_fd = -1, bare_fd = -1, questions_fd = -1;
static unsigned int n_cases;

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	return getenv("V") ? vfprintf(stderr, format, args) : 0;
}

static int open_object(void **state)
{
	static const char *const used[] = {"questions", "rewrite_works", ".rodata"};
	const char *build = getenv("BUILD");
	struct bpf_map *m;
	char path[512];

	libbpf_set_print(quiet);
	snprintf(path, sizeof(path), "%s/tests/rewrite.bpf.o", build ? build : "build");
	object = bpf_object__open_file(path, NULL);
	if (!object) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	/* the data path's own maps, which came with its headers */
	bpf_object__for_each_map(m, object)
	{
		bool wanted = false;

		for
			EACH(i, used)
		wanted |= strstr(bpf_map__name(m), used[i]) != NULL;
		if (!wanted)
			bpf_map__set_autocreate(m, false);
	}
	if (bpf_object__load(object)) {
		fprintf(stderr, "load: %s\n", strerror(errno));
		return -1;
	}
	rewrite_fd = bpf_program__fd(bpf_object__find_program_by_name(object, "rewrite"));
	bare_fd = bpf_program__fd(bpf_object__find_program_by_name(object, "bare"));
	questions_fd = bpf_map__fd(bpf_object__find_map_by_name(object, "questions"));
	return 0;
}

static int close_object(void **state)
{
	bpf_object__close(object);
	return 0;
}

/* Returns the verdict. @linear: as in the native rig. */
static int run(const struct packet *in, struct packet *out, uint32_t linear, struct question *q)
{
	const uint32_t zero = 0;
	struct xdp_md ctx = {.data_end = linear};
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = in->data, .data_size_in = in->len,
		    .data_out = out->data, .data_size_out = sizeof(out->data), .repeat = 1);

	if (linear) {
		o.ctx_in = &ctx;
		o.ctx_size_in = sizeof(ctx);
	}
	q->result = -2;
	assert_int_equal(bpf_map_update_elem(questions_fd, &zero, q, 0), 0);
	if (bpf_prog_test_run_opts(rewrite_fd, &o) < 0)
		return -errno;
	assert_int_equal(bpf_map_lookup_elem(questions_fd, &zero, q), 0);
	out->len = o.data_size_out;
	return (int)o.retval;
}

static void rewrite_case(const char *name, const struct packet *in, struct question *q, int want)
{
	static struct packet out, split;
	struct question other = *q;
	const char *wrong;
	int action;

	n_cases++;
	action = run(in, &out, 0, q);
	if (q->result != want)
		fail_msg("%s: %d, not %d", name, q->result, want);
	assert_int_equal(action, want < 0 ? XDP_DROP : XDP_TX);
	if (want < 0)
		return;
	wrong = judge(in, q, &out);
	if (wrong)
		fail_msg("%s: %s", name, wrong);
	/* a frame of several buffers, the headers in the first */
	if (in->len < 400 || n_cases % 8)
		return;
	action = run(in, &split, 200, &other);
	if (action == -EINVAL)
		return; /* this kernel wants more of it in the first */
	if (q->op == OP_ICMP && other.result < 0)
		return;
	if (other.result != want || split.len != out.len || memcmp(split.data, out.data, out.len))
		fail_msg("%s: another answer in two buffers", name);
}

static void test_cases(void **state)
{
	all_rewrite_cases();
	assert_true(n_cases > 2000);
}

static void test_verifier(void **state)
{
	struct bpf_prog_info info = {0};
	uint32_t length = sizeof(info);

	assert_int_equal(bpf_obj_get_info_by_fd(rewrite_fd, &info, &length), 0);
	print_message("verified: %u\n", info.verified_insns);
	assert_true(info.verified_insns < VERIFIED_INSNS_MOST);
}

/* ---- figures ------------------------------------------------------------------------- */

/* The least of several rounds. A program run again and again gets its own output: a packet
 * whose ends are as asked already costs the same, one between families goes to and fro. */
static double least_ns(int fd, const struct packet *p, const struct question *q)
{
	const uint32_t zero = 0;
	double least = 1e9;

	for (int round = 0; round < 15; round++) {
		LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = p->data, .data_size_in = p->len,
			    .repeat = 100000);

		if (q)
			bpf_map_update_elem(questions_fd, &zero, q, 0);
		if (bpf_prog_test_run_opts(fd, &o) < 0 || o.retval != XDP_TX)
			return -1;
		if (o.duration < least)
			least = o.duration;
	}
	return least;
}

static void measure(void)
{
	static const struct {
		const char *name;
		uint16_t op, payload, transport;
		bool v6;
	} rows[] = {
		{"read, IPv4", OP_NOTHING, 64, TRANSPORT_TCP, 0},
		{"read, IPv6", OP_NOTHING, 64, TRANSPORT_TCP, 1},
		{"same family, IPv4 TCP", OP_REWRITE, 64, TRANSPORT_TCP, 0},
		{"same family, IPv4 UDP", OP_REWRITE, 64, TRANSPORT_UDP, 0},
		{"same family, IPv6 TCP", OP_REWRITE, 64, TRANSPORT_TCP, 1},
		{"same family, IPv6 UDP", OP_REWRITE, 64, TRANSPORT_UDP, 1},
		{"families in turns, TCP", OP_TURNS, 64, TRANSPORT_TCP, 0},
		{"completed, 64 bytes", OP_COMPLETE, 64, TRANSPORT_TCP, 0},
		{"completed, 1400 bytes", OP_COMPLETE, 1400, TRANSPORT_TCP, 0},
		{"is it partial? native, real", OP_PARTIAL, 1400, TRANSPORT_TCP, 0},
		{"TCP options read", OP_OPTIONS, 0, TRANSPORT_TCP, 0},
		{"ICMP error, IPv4", OP_ICMP, 0, TRANSPORT_TCP, 0},
		{"ICMP error, IPv6", OP_ICMP, 0, TRANSPORT_TCP, 1},
	};
	static struct packet p, inner;

	build(&p, &(struct spec){.src = ip4(1, 2, 3, 4), .dst = ip4(1, 2, 3, 5)});
	printf("%-32s %5.0f ns\n", "XDP_TX alone", least_ns(bare_fd, &p, NULL));
	for
		EACH(i, rows)
		{
			struct question q = {.op = rows[i].op, .to = ends_to(rows[i].v6)};
			struct spec s = spec_of(rows[i].v6, protocol_of(rows[i].transport));

			q.quoted = q.to;
			if (rows[i].op == OP_TURNS)
				q.quoted = ends_to(!rows[i].v6);
			s.payload = rows[i].payload;
			build_for(&p, &s, rows[i].transport);
			if (rows[i].op == OP_OPTIONS)
				build_options(&p, &s, &option_sets[1]);
			if (rows[i].op == OP_ICMP) {
				struct spec e = spec_of(rows[i].v6, rows[i].v6 ? P_ICMP6 : P_ICMP);

				e.type = rows[i].v6 ? 3 : 11;
				inner = p;
				build_error(&p, &e, &inner, 60);
			}
			printf("%-32s %5.0f ns\n", rows[i].name, least_ns(rewrite_fd, &p, &q));
		}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_verifier),
	};

	if (geteuid() != 0) {
		printf("skip - rewrite: not root, which loading BPF needs\n");
		return 0;
	}
	if (argc == 2 && !strcmp(argv[1], "--measure")) {
		if (open_object(NULL))
			return 1;
		measure();
		return 0;
	}
	return cmocka_run_group_tests_name("bpf: rewrite", tests, open_object, close_object);
}
