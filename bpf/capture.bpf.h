/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Packets for people: include/tundish/capture.h.
 *
 *   arrives ──► capture_enter: the filter; what matches is copied ──┐
 *      ▼                                                            ▼ scratch of this CPU
 *   the walk, which notes service, backend and NIC of such a packet ┤
 *      ▼                                                            ▼
 *   verdict ──► capture_leave: by verdict, reason, service ──► ring: as it arrived, as it leaves
 *
 * Off, a packet pays a load and a branch here, and a branch at the end. All else is in functions
 * that are verified by themselves, and what goes between them is a number that the verifier does
 * not know: the walk is followed once, not once with and once without.
 */
#ifndef TUNDISH_CAPTURE_BPF_H
#define TUNDISH_CAPTURE_BPF_H

#include "capture_filter.bpf.h"

struct capture_ring_of {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, TUNDISH_CAPTURE_RING_MIN);
};

/* The ring is made by who captures, and is gone with it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct capture_ring_of);
} capture_ring SEC(".maps");

/* One packet's copy until its verdict is known. */
struct capture_copy {
	struct tundish_captured head;
	__u8 frame[TUNDISH_CAPTURE_BYTES];
	__u64 packets; /* of this CPU so far */
	__u32 copied;  /* bytes of frame */
	__u32 out_ifindex;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct capture_copy);
} capture_copies SEC(".maps");

/* What capture_enter() says of a packet, and all that the walk is told. */
enum {
	CAPTURE_NO = TUNDISH_CAPTURE_UNMATCHED_IS_NOTHING,
	CAPTURE_LATER =
		TUNDISH_CAPTURE_UNMATCHED_MAY_LEAVE, /* it does not match; what leaves might */
	CAPTURE_MATCH,
	CAPTURE_LATER_NOTED =
		TUNDISH_CAPTURE_UNMATCHED_IS_NOTED, /* as LATER, and its service counts */
};

#define CAPTURE_IS_LATE(token) ((token)&1)

static __always_inline struct capture_copy *capture_copy_of(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&capture_copies, &zero);
}

/* ---- what the walk notes ------------------------------------------------------------------ */

CHECKED_ALONE int capture_note(__u32 service, __u32 backend)
{
	struct capture_copy *c = capture_copy_of();

	if (!c)
		return 0;
	c->head.service = service;
	c->head.backend = backend;
	return 0;
}

CHECKED_ALONE int capture_note_out(__u32 ifindex)
{
	struct capture_copy *c = capture_copy_of();

	if (c)
		c->out_ifindex = ifindex;
	return 0;
}

#define CAPTURE_NOTE(dry, n, service, backend)                                                     \
	do {                                                                                       \
		if (!(dry) && unlikely((n)->captured >= CAPTURE_MATCH))                            \
			capture_note(service, backend);                                            \
	} while (0)

/* Of a server's packet the service is that of its backend; told also where only what leaves may match. */
CHECKED_ALONE int capture_note_answer(__u32 backend)
{
	struct tundish_backend *b = bpf_map_lookup_elem(&backends, &backend);

	return b ? capture_note(b->service, backend) : 0;
}

/* It leaves by another NIC. */
#define CAPTURE_NOTE_OUT(n, ifindex)                                                               \
	do {                                                                                       \
		if (unlikely((n)->captured))                                                       \
			capture_note_out(ifindex);                                                 \
	} while (0)

/* ---- copies --------------------------------------------------------------------------------- */

static __always_inline __u32 capture_length(__u32 length)
{
	__u32 n = capture.snaplen;

	return n < length ? n : length;
}

/* A number from 1 to TUNDISH_CAPTURE_BYTES as such, by arithmetic: 6.1's verifier does not see it in
 * comparisons, of which the compiler makes moves of 32 bits. */
static __always_inline __u32 capture_bytes(__u32 n)
{
	n--;
	forget(n);
	return (n & (TUNDISH_CAPTURE_BYTES - 1)) + 1;
}

/* The frame as it is now. */
CHECKED_ALONE int capture_take(struct xdp_md *ctx)
{
	struct capture_copy *c = capture_copy_of();
	__u32 length, n;

	if (!c)
		return -1;
	length = bpf_xdp_get_buff_len(ctx);
	n = capture_length(length);
	c->head.length = length;
	c->copied = 0;
	if (!n)
		return -1;
	n = capture_bytes(n);
	if (bpf_xdp_load_bytes(ctx, 0, c->frame, n))
		return -1;
	c->copied = n;
	return 0;
}

/* The moment and the number of a packet that is to be told of. */
static __always_inline void capture_begin(struct xdp_md *ctx, struct capture_copy *c)
{
	c->head.at_ns = bpf_ktime_get_ns();
	c->head.number = (__u64)bpf_get_smp_processor_id() << 48 | ++c->packets;
	c->head.ifindex = ctx->ingress_ifindex;
	c->head.queue = ctx->rx_queue_index;
	c->head.service = 0;
	c->head.backend = 0;
	c->out_ifindex = 0;
}

/* Whether there is room for one more; of those that are left out the first to tell. */
static __always_inline int capture_has_room(void *ring)
{
	__u64 size = bpf_ringbuf_query(ring, BPF_RB_RING_SIZE);
	__u64 used = bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA);

	if (likely(used <= size / 2))
		return 1;
	if (bpf_get_prandom_u32() % TUNDISH_CAPTURE_SAMPLE == 0)
		return 1;
	__sync_fetch_and_add(&capture.sampled, 1);
	return 0;
}

CHECKED_ALONE int capture_send(__u32 point)
{
	struct capture_copy *c = capture_copy_of();
	__u32 zero = 0, n;
	void *ring;

	ring = bpf_map_lookup_elem(&capture_ring, &zero);
	if (!ring || !c)
		return -1;
	c->head.point = point;
	n = c->copied;
	c->head.captured = n;
	if (bpf_ringbuf_output(ring, c, sizeof(c->head) + capture_bytes(n), 0))
		__sync_fetch_and_add(&capture.full, 1);
	return 0;
}

/* ---- at both ends of the walk ------------------------------------------------------------- */

/* Whether nobody renews the lease; it is taken back then, unless that was just done. */
static __always_inline int capture_is_over(__u64 now)
{
	__u64 until = READ_ONCE(capture.until);

	if ((__s64)(now - until) < 0)
		return 0;
	__sync_val_compare_and_swap(&capture.until, until, 0);
	return 1;
}

/* A packet that matches as it arrives. */
CHECKED_ALONE __u64 capture_match(struct xdp_md *ctx)
{
	__u32 points = capture.points;
	struct capture_copy *c;

	c = capture_copy_of();
	if (!c || capture_is_over(bpf_ktime_get_ns()))
		return CAPTURE_NO;
	capture_begin(ctx, c);
	/* what is dropped is so as it came: copied when that is known */
	c->head.length = 0;
	if ((points & TUNDISH_CAPTURE_IN) && capture_take(ctx))
		return CAPTURE_NO;
	if (!(points & TUNDISH_CAPTURE_IN))
		c->head.length = bpf_xdp_get_buff_len(ctx);
	return CAPTURE_MATCH;
}

/* One that does not, where what leaves may do so by its service: as the walk notes it, no other packet's. */
CHECKED_ALONE __u64 capture_later_noted(struct xdp_md *ctx)
{
	capture_note(0, 0);
	return CAPTURE_LATER_NOTED;
}

/* Whether what leaves matches, though what arrived did not, which these verdicts leave as it is. */
static __always_inline int capture_is_new(struct xdp_md *ctx, __u32 action, __u32 counter)
{
	if (action == XDP_DROP || counter == TUNDISH_COUNTER_sent_dsr ||
	    (action == XDP_PASS && counter != TUNDISH_COUNTER_pass_decapsulated))
		return 0;
	return capture_matches(ctx);
}

/* Such a packet. What the walk has noted stays where it did so of each: of the answers of servers
 * always, and which NIC it leaves by where it does so by another one. */
static __always_inline int capture_late(struct xdp_md *ctx, struct capture_copy *c, __u32 action,
					__u32 counter, __u64 token)
{
	__u32 service = c->head.service, backend = c->head.backend, out = c->out_ifindex;

	if (capture_is_over(bpf_ktime_get_ns()))
		return 0;
	capture_begin(ctx, c);
	if (counter == TUNDISH_COUNTER_sent_reply || token == CAPTURE_LATER_NOTED) {
		c->head.service = service;
		c->head.backend = backend;
	}
	if (action == XDP_REDIRECT)
		c->out_ifindex = out;
	return 1;
}

/* Whether the verdict is one that is asked for. */
static __always_inline int capture_wants(const struct capture_copy *c, __u32 counter)
{
	if (capture.counter && capture.counter != counter + 1)
		return 0;
	return !capture.service || capture.service == c->head.service;
}

CHECKED_ALONE int capture_tell(struct xdp_md *ctx, __u32 verdict, __u64 token)
{
	__u32 points = capture.points, action = VERDICT_ACTION(verdict);
	__u32 counter = VERDICT_COUNTER(verdict), arrived, zero = 0;
	struct capture_copy *c;
	void *ring;
	int in;

	c = capture_copy_of();
	if (!c)
		return 0;
	if (CAPTURE_IS_LATE(token) && !capture_late(ctx, c, action, counter, token))
		return 0;
	if (!capture_wants(c, counter))
		return 0;
	in = token == CAPTURE_MATCH && ((points & TUNDISH_CAPTURE_IN) ||
					((points & TUNDISH_CAPTURE_DROPPED) && action == XDP_DROP));
	if (!in && !((points & TUNDISH_CAPTURE_OUT) && action != XDP_DROP))
		return 0;
	ring = bpf_map_lookup_elem(&capture_ring, &zero);
	if (!ring || !capture_has_room(ring))
		return 0;
	c->head.action = action;
	c->head.counter = counter;
	arrived = token == CAPTURE_MATCH ? c->head.length : 0;
	if (in && !(points & TUNDISH_CAPTURE_IN) && capture_take(ctx))
		return 0;
	if (in)
		capture_send(TUNDISH_CAPTURE_IN);
	if (!(points & TUNDISH_CAPTURE_OUT) || action == XDP_DROP)
		return 0;
	/* what is passed has changed where it was unwrapped */
	if (action == XDP_PASS && bpf_xdp_get_buff_len(ctx) == arrived)
		return 0;
	if (c->out_ifindex)
		c->head.ifindex = c->out_ifindex;
	if (!capture_take(ctx))
		capture_send(TUNDISH_CAPTURE_OUT);
	return 0;
}

/* The two that the program calls, inline as far as packets that do not match come. */
static __always_inline __u64 capture_enter(struct xdp_md *ctx)
{
	__u64 unmatched;

	if (unlikely(capture_matches(ctx)))
		return capture_match(ctx);
	unmatched = READ_ONCE(capture.unmatched);
	if (unlikely(unmatched == CAPTURE_LATER_NOTED))
		return capture_later_noted(ctx);
	return unmatched;
}

static __always_inline void capture_leave(struct xdp_md *ctx, verdict_t v, __u64 token)
{
	if (likely(CAPTURE_IS_LATE(token)) &&
	    !capture_is_new(ctx, VERDICT_ACTION(v), VERDICT_COUNTER(v)))
		return;
	capture_tell(ctx, v, token);
}

#endif
