// SPDX-License-Identifier: GPL-2.0-only
/*
 * Packets rewritten, compiled for this machine: all of cases_rewrite.h, against the end of
 * the frame and against its start, whole and with most of it behind the linear part.
 *
 *   native_rewrite --write DIR    leaves them for another judge (rewrite.py)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "native/rig_rewrite.h"

#include "bpf/cases_rewrite.h"

static FILE *before, *after, *meant;
static unsigned int n_cases, n_done;

/* One record of a pcap file; for none, its header. */
static void pcap(FILE *f, const struct packet *p)
{
	if (p) {
		const uint32_t record[4] = {0, 0, p->len, p->len};

		fwrite(record, sizeof(record), 1, f);
		fwrite(p->data, p->len, 1, f);
	} else {
		const uint32_t header[6] = {0xa1b2c3d4, 4 << 16 | 2, 0, 0, 65535, 1};

		fwrite(header, sizeof(header), 1, f);
	}
}

static void put_text(FILE *f, const char *key, const struct tundish_addr *a)
{
	fprintf(f, ", \"%s\": \"", key);
	for (int i = 0; i < 16; i++)
		fprintf(f, "%02x", ((const uint8_t *)a)[i]);
	fputc('"', f);
}

static void put_meaning(FILE *f, const char *key, const struct ends *e)
{
	fprintf(f, ", \"%s\": {\"flags\": %u, \"id\": %u, \"sport\": %u, \"dport\": %u", key,
		e->flags, bpf_ntohs(e->id), bpf_ntohs(e->source_port),
		bpf_ntohs(e->destination_port));
	put_text(f, "source", &e->source);
	put_text(f, "destination", &e->destination);
	fputc('}', f);
}

static void write_case(const char *name, const struct packet *in, const struct question *q,
		       const struct packet *out)
{
	pcap(before, in);
	pcap(after, out);
	fprintf(meant, "{\"name\": \"%s\", \"op\": %u, \"result\": %d, \"mss\": %u, \"port\": %u",
		name, q->op, q->result, q->mss, bpf_ntohs(q->client_port));
	put_text(meant, "client", &q->client);
	put_meaning(meant, "to", &q->to);
	put_meaning(meant, "quoted", &q->quoted);
	fputs("}\n", meant);
}

/* Of a frame whose linear part is that short: one whose headers are not in it is left
 * alone, and an error need not be followed at all. */
static bool may_refuse(const struct packet *in, const struct question *q, uint32_t linear,
		       uint32_t now)
{
	struct parts t;

	parts_at(in->data, network_at(in), in->len, &t);
	return q->op == OP_ICMP || (to_other(&t, &q->to) && t.l4 > linear && now == in->len);
}

static void rewrite_case(const char *name, const struct packet *in, struct question *q, int want)
{
	static struct packet out, again;
	const uint32_t linear[] = {0, 14 + 8 + 40, 14 + 8 + 63};
	struct question other = *q;
	const char *wrong;
	int action;

	n_cases++;
	action = rewrite_run(in, &out, 0, q);
	if (q->result != want)
		fail_msg("%s: %d, not %d", name, q->result, want);
	if (want < 0) {
		assert_int_equal(action, XDP_DROP);
		return;
	}
	n_done++;
	assert_int_equal(action, XDP_TX);
	wrong = judge(in, q, &out);
	if (wrong)
		fail_msg("%s: %s", name, wrong);
	if (meant)
		write_case(name, in, q, &out);
	for (uint32_t i = 1; i < 3; i++) {
		if (linear[i] >= in->len)
			continue;
		rewrite_run(in, &again, linear[i], &other);
		if (other.result < 0 && may_refuse(in, q, linear[i], again.len))
			continue;
		if (other.result != want || again.len != out.len ||
		    memcmp(again.data, out.data, out.len))
			fail_msg("%s: another answer with %u bytes linear", name, linear[i]);
	}
	rig_place = RIG_AT_START; /* no room before it */
	other = *q;
	rewrite_run(in, &again, 0, &other);
	rig_place = RIG_AT_END;
	if (other.result == want && (again.len != out.len || memcmp(again.data, out.data, out.len)))
		fail_msg("%s: another answer without headroom", name);
	if (other.result != want && again.len != in->len && q->op != OP_ICMP)
		fail_msg("%s: refused and changed", name);
}

static void test_cases(void **state)
{
	all_rewrite_cases();
	assert_true(n_cases > 2000);
	assert_true(n_done > n_cases / 2);
}

/* Back again with the ends of before: nothing that the family has may be lost. */
static void test_inverse(void **state)
{
	static struct packet p, out, back;

	for
		EACH(i, pairs)
	for (uint32_t t = 0; t < TRANSPORTS; t++) {
		struct question q = {.op = OP_REWRITE, .to = ends_to(pairs[i].to6)};
		struct spec s = spec_of(pairs[i].from6, protocol_of(t));

		q.to.flags = 0;
		s.payload = 1101;
		s.fragment = 0x4000;
		build_for(&p, &s, t);
		/* what goes through the other family comes back as one that made it */
		if (pairs[i].from6 != pairs[i].to6 && !pairs[i].from6) {
			put16(p.data + 14 + 4, 0x1234);
			put16(p.data + 14 + 6, 0);
			fix_v4(p.data + 14);
		}
		assert_int_equal(rewrite_run(&p, &out, 0, &q), XDP_TX);
		q.to = (struct ends){.source = s.src,
				     .destination = s.dst,
				     .source_port = bpf_htons(s.sport),
				     .destination_port = bpf_htons(s.dport),
				     .id = bpf_htons(0x1234)};
		assert_int_equal(rewrite_run(&out, &back, 0, &q), XDP_TX);
		if (t == TRANSPORT_UDP_BARE && pairs[i].from6 != pairs[i].to6)
			continue; /* it has a checksum now */
		assert_int_equal(back.len, p.len);
		assert_memory_equal(back.data, p.data, p.len);
	}
}

static int write_all(const char *directory)
{
	char path[512];
	FILE **const files[] = {&before, &after, &meant};
	static const char *const names[] = {"before.pcap", "after.pcap", "meant.jsonl"};

	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		*files[i] = fopen(path, "w");
		if (!*files[i]) {
			perror(path);
			return 1;
		}
	}
	pcap(before, NULL);
	pcap(after, NULL);
	all_rewrite_cases();
	return fclose(before) | fclose(after) | fclose(meant);
}

static int open_rig(void **state)
{
	return rig_open(4, 2);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_inverse),
	};

	if (argc == 3 && !strcmp(argv[1], "--write"))
		return open_rig(NULL) || write_all(argv[2]);
	return cmocka_run_group_tests_name("native: rewrite", tests, open_rig, NULL);
}
