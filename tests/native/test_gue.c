// SPDX-License-Identifier: GPL-2.0-only
/*
 * GUE against scapy: packets of many kinds go through the data path, and each pair of what
 * came and what left goes into a file of packets, which gue.py beside this file reads. It
 * makes what should have left by itself, from what came, and compares byte for byte.
 */
#include "native/rig_native.h"

#include <sys/wait.h>

#include "bpf/cases_gue.h"

static FILE *pcap;

static void pcap_put(const struct packet *p)
{
	const uint32_t record[4] = {0, 0, p->len, p->len};

	assert_int_equal(fwrite(record, sizeof(record), 1, pcap), 1);
	assert_int_equal(fwrite(p->data, 1, p->len, pcap), p->len);
}

static void pair(const struct packet *in, int verdict)
{
	static struct packet out;

	assert_int_equal(rig_run(in, &out), verdict);
	pcap_put(in);
	pcap_put(&out);
}

static void outgoing(void)
{
	static uint8_t ext[40];
	struct packet in;
	uint32_t dice = 99;

	for (int i = 0; i < 3000; i++) {
		int v6 = i & 1;
		enum kind k = gue_kinds[i / 2 % 3];
		struct spec s = data_of(v6, port_of(k));

		dice = dice * 1664525 + 1013904223;
		s.src.word[3] ^= TUNDISH_BE32(dice >> 8 & 0xffff);
		s.sport = (uint16_t)(dice >> 12);
		s.tos = (uint8_t)(dice >> 4);
		s.ttl = (uint8_t)(2 + (dice >> 20) % 254);
		s.payload = (dice >> 16) % (i % 50 ? 1400 : 8800);
		s.tags = i / 7 % 3;
		s.tag[0] = 0x1064;
		s.doff = i % 3 ? 5 : 13;
		if (i % 5 == 0 && v6) {
			s.ext = ext;
			s.ext_first = HOP;
			s.ext_len = chain(ext, (struct link_of_chain[]){L(HOP, 8), L(DST, 16)}, 2,
					  P_TCP);
		} else if (i % 5 == 0) {
			s.options = 12;
		}
		if (i % 11 == 0)
			s.padding = 9;
		pair(build(&in, &s), action_of(k));
	}
}

static void incoming(void)
{
	struct packet in, inner;

	for (int i = 0; i < 400; i++) {
		struct spec o = outer_of(i & 1), s = inner_of(i >> 1 & 1);

		o.tags = i / 8 % 3;
		o.tag[0] = 0x1064;
		s.sport = (uint16_t)(i * 77);
		s.payload = (uint32_t)i * 11;
		pair(wrap_gue(&in, &o, build(&inner, &s), i >> 2 & 1), XDP_PASS);
	}
}

static void case_scapy(void **state)
{
	const uint32_t head[6] = {0xa1b2c3d4, 2 | 4 << 16, 0, 0, 65535, 1};
	const char *build_dir = getenv("BUILD") ?: "build";
	char path[200], command[400];

	snprintf(path, sizeof(path), "%s/tests/gue.pcap", build_dir);
	pcap = fopen(path, "w");
	assert_non_null(pcap);
	assert_int_equal(fwrite(head, sizeof(head), 1, pcap), 1);
	outgoing();
	incoming();
	assert_int_equal(fclose(pcap), 0);
	snprintf(command, sizeof(command), "/usr/bin/python3 tests/native/gue.py '%s' %u %u", path,
		 GUE_HERE, GUE_OUT);
	assert_int_equal(WEXITSTATUS(system(command)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(case_scapy)};

	if (world_open(1024, 1024) < 0)
		return 1;
	return cmocka_run_group_tests_name("GUE against scapy", tests, NULL, NULL);
}
