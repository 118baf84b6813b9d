// SPDX-License-Identifier: GPL-2.0-only
/*
 * `tundish capture` in the data path: what lies in the ring against the frames, the filter, the lease,
 * a ring that is full.
 */
#include <arpa/inet.h>
#include <sys/mman.h>
#include <time.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <tundish/capture.h>

#include "bpf/cases_flow.h"

#define RING (1u << 17)
#define MANY 2000u

static struct tundish_capture *filter;
static struct ring_buffer *ring;

static struct {
	struct tundish_captured head;
	uint8_t frame[TUNDISH_CAPTURE_BYTES];
} got[8];
static uint32_t n_got;

static int on_packet(void *context, void *data, size_t size)
{
	if (n_got < 8)
		memcpy(&got[n_got], data, size < sizeof(got[0]) ? size : sizeof(got[0]));
	n_got++;
	return 0;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void open_ring(void)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "captured", 0, 0, RING, NULL);
	uint32_t zero = 0;

	assert_true(fd >= 0);
	assert_int_equal(bpf_map_update_elem(rig_map_fd("capture_ring"), &zero, &fd, 0), 0);
	ring = ring_buffer__new(fd, on_packet, NULL, NULL);
	assert_non_null(ring);
	filter = mmap(NULL, sizeof(*filter), PROT_READ | PROT_WRITE, MAP_SHARED,
		      rig_map_fd(".data.capture"), 0);
	assert_true(filter != MAP_FAILED);
}

/* Everything, at these points, for a minute. */
static void ask(uint32_t points)
{
	ring_buffer__consume(ring);
	memset(filter, 0, sizeof(*filter));
	filter->points = points;
	filter->unmatched = !!(points & TUNDISH_CAPTURE_OUT);
	filter->snaplen = TUNDISH_CAPTURE_BYTES;
	filter->until = now_ns() + 60000000000ull;
	n_got = 0;
}

/* Sends it, and returns how many records came. */
static uint32_t send_one(const struct packet *in, struct packet *out, int *action)
{
	n_got = 0;
	*action = rig_run(in, out);
	ring_buffer__consume(ring);
	return n_got;
}

static void test_records(void **state)
{
	struct packet in, out;
	int action;

	for (int v6 = 0; v6 < 2; v6++) {
		struct conn c = conn_of(v6, 1);

		c.s.payload = 700;
		build(&in, &c.s);
		ask(TUNDISH_CAPTURE_IN | TUNDISH_CAPTURE_OUT);
		assert_int_equal(send_one(&in, &out, &action), 2);
		for (int i = 0; i < 2; i++) {
			const struct packet *p = i ? &out : &in;

			assert_int_equal(got[i].head.point,
					 i ? TUNDISH_CAPTURE_OUT : TUNDISH_CAPTURE_IN);
			assert_int_equal(got[i].head.length, p->len);
			assert_int_equal(got[i].head.captured, p->len);
			assert_memory_equal(got[i].frame, p->data, p->len);
			assert_int_equal(got[i].head.action, action);
			assert_int_equal(got[i].head.ifindex, RIG_INGRESS);
			assert_int_equal(got[i].head.backend, K_POOL);
			assert_int_equal(got[i].head.service, rig.backends[K_POOL].service);
			assert_true(got[i].head.number == got[0].head.number);
			assert_true(now_ns() - got[i].head.at_ns < 60000000000ull);
		}
		ask(TUNDISH_CAPTURE_OUT);
		assert_int_equal(send_one(&in, &out, &action), 1);
		assert_memory_equal(got[0].frame, out.data, out.len);
		filter->snaplen = 60;
		assert_int_equal(send_one(&in, &out, &action), 1);
		assert_int_equal(got[0].head.captured, 60);
		assert_int_equal(got[0].head.length, out.len);
	}
}

static void test_dropped(void **state)
{
	struct conn c = conn_of(0, 2);
	struct packet in, out;
	int action;

	c.s.flags = F_SYN | F_FIN;
	build(&in, &c.s);
	ask(TUNDISH_CAPTURE_DROPPED);
	assert_int_equal(send_one(&in, &out, &action), 1);
	assert_int_equal(action, XDP_DROP);
	assert_int_equal(got[0].head.counter, TUNDISH_COUNTER_drop_tcp_flags);
	assert_memory_equal(got[0].frame, in.data, in.len);
	filter->counter = TUNDISH_COUNTER_drop_ttl + 1;
	assert_int_equal(send_one(&in, &out, &action), 0);
	filter->counter = TUNDISH_COUNTER_drop_tcp_flags + 1;
	filter->service = rig.backends[K_POOL].service;
	assert_int_equal(send_one(&in, &out, &action), 1);
	filter->service++;
	assert_int_equal(send_one(&in, &out, &action), 0);
	ask(TUNDISH_CAPTURE_OUT);
	assert_int_equal(send_one(&in, &out, &action), 0);
	ask(TUNDISH_CAPTURE_DROPPED);
	c.s.flags = F_SYN;
	build(&in, &c.s);
	assert_int_equal(send_one(&in, &out, &action), 0);
}

/* Each header that can be asked for, as it is and as it is not, behind tags and options too. */
static void test_filter(void **state)
{
	struct packet in, out;
	int action;

	for (uint32_t form = 0; form < 4; form++) {
		struct conn c = conn_of(form & 1, 3);
		const struct tundish_addr *ends[] = {&c.s.src, &c.s.dst};
		int last = form & 1 ? 0 : 3;

		c.s.tags = form >> 1;
		c.s.tag[0] = 5;
		c.s.options = form == 2 ? 8 : 0;
		build(&in, &c.s);
		for (uint32_t end = 0; end < 2; end++)
			for (uint32_t asked = 1; asked < 4; asked++)
				for (int right = 0; right < 2; right++) {
					uint32_t wanted = right && (asked >> end & 1);

					ask(TUNDISH_CAPTURE_IN);
					filter->headers = 1;
					filter->protocol[!(form & 1)] = 255;
					filter->address[0].ends = asked;
					memcpy(filter->address[0].value, ends[end]->word, 16);
					memset(filter->address[0].mask, 0xff, 16);
					if (!right)
						filter->address[0].value[last] ^= htonl(1u << 31);
					assert_int_equal(send_one(&in, &out, &action), wanted);
					ask(TUNDISH_CAPTURE_IN);
					filter->headers = 1;
					filter->port[1].ends = filter->port[0].ends = asked;
					filter->port[0].value = filter->port[1].value =
						htons((end ? c.s.dport : c.s.sport) + !right);
					assert_int_equal(send_one(&in, &out, &action), wanted);
				}
		ask(TUNDISH_CAPTURE_IN);
		filter->headers = 1;
		filter->protocol[form & 1] = P_UDP;
		assert_int_equal(send_one(&in, &out, &action), 0);
		filter->protocol[form & 1] = P_TCP;
		assert_int_equal(send_one(&in, &out, &action), 1);
		filter->protocol[form & 1] = 255;
		assert_int_equal(send_one(&in, &out, &action), 0);
		ask(TUNDISH_CAPTURE_IN);
		filter->ifindex = RIG_INGRESS + 1;
		assert_int_equal(send_one(&in, &out, &action), 0);
		filter->ifindex = RIG_INGRESS;
		assert_int_equal(send_one(&in, &out, &action), 1);
	}
}

/* What matches by where it goes alone is of the service that the walk found, and of no other. */
static void test_late(void **state)
{
	struct conn c = conn_of(0, 6);
	struct packet in, out;
	int action;

	build(&in, &c.s);
	ask(TUNDISH_CAPTURE_OUT);
	assert_int_equal(send_one(&in, &out, &action), 1);
	ask(TUNDISH_CAPTURE_OUT);
	filter->unmatched = TUNDISH_CAPTURE_UNMATCHED_IS_NOTED;
	filter->service = rig.backends[K_POOL].service;
	filter->headers = 1;
	filter->address[0].ends = TUNDISH_CAPTURE_DESTINATION;
	memcpy(&filter->address[0].value[3], out.data + 14 + 16, 4);
	filter->address[0].mask[3] = ~0u;
	assert_int_equal(send_one(&in, &out, &action), 1);
	assert_int_equal(got[0].head.point, TUNDISH_CAPTURE_OUT);
	assert_int_equal(got[0].head.service, rig.backends[K_POOL].service);
	assert_int_equal(got[0].head.backend, K_POOL);
	assert_int_equal(got[0].head.ifindex, RIG_INGRESS);
	filter->service++;
	assert_int_equal(send_one(&in, &out, &action), 0);
}

/* The number that stands for no packet of a family is one that a packet may have. */
static void test_no_family(void **state)
{
	struct packet in, out;
	int action;

	for (int v6 = 0; v6 < 2; v6++) {
		struct conn c = conn_of(v6, 7);

		build(&in, &c.s);
		in.data[14 + (v6 ? 6 : 9)] = TUNDISH_CAPTURE_NO_FAMILY;
		ask(TUNDISH_CAPTURE_IN);
		filter->headers = 1;
		assert_int_equal(send_one(&in, &out, &action), 1);
		filter->protocol[v6] = TUNDISH_CAPTURE_NO_FAMILY;
		assert_int_equal(send_one(&in, &out, &action), 0);
	}
}

static void test_lease(void **state)
{
	struct conn c = conn_of(0, 4);
	struct packet in, out;
	int action;

	build(&in, &c.s);
	ask(TUNDISH_CAPTURE_IN);
	filter->until = now_ns() - 1;
	assert_int_equal(send_one(&in, &out, &action), 0);
	assert_int_equal(filter->until, 0);
}

static void test_full(void **state)
{
	struct conn c = conn_of(0, 5);
	struct packet in, out;

	c.s.payload = 1000;
	build(&in, &c.s);
	ask(TUNDISH_CAPTURE_IN);
	for (uint32_t i = 0; i < MANY; i++)
		rig_run(&in, &out);
	ring_buffer__consume(ring);
	assert_int_equal(n_got + filter->sampled + filter->full, MANY);
	assert_in_range(n_got, RING / 2 / 1200, RING / 1000);
	assert_true(filter->sampled > MANY / 2);
	assert_true(filter->full > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records), cmocka_unit_test(test_dropped),
		cmocka_unit_test(test_filter),	cmocka_unit_test(test_lease),
		cmocka_unit_test(test_late),	cmocka_unit_test(test_no_family),
		cmocka_unit_test(test_full),
	};
	int r;

	if (world_open(64, 64) < 0)
		return 0;
	world_reset();
	open_ring();
	r = cmocka_run_group_tests_name("capture", tests, NULL, NULL);
	rig_close();
	return r;
}
