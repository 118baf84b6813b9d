/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * TCP options: read, and changed where they lie. They are copied, walked once, and
 * where something changed copied back; the checksum's difference is that of
 * the two copies, wherever in them the change was.
 */
#ifndef TUNDISH_TCP_OPTIONS_H
#define TUNDISH_TCP_OPTIONS_H

#include "csum.h"
#include "icmp.h"
#include "parse.h"

#define TCP_OPTIONS_MAX 40u

enum tcp_option {
	TCP_OPTION_END = 0,
	TCP_OPTION_NOP = 1,
	TCP_OPTION_MSS = 2,
	TCP_OPTION_TIMESTAMPS = 8,
	TCP_OPTION_TOA = 254, /* a client's address, as LVS and its kin write it */
};

struct tcp_options {
	/* asked */
	__u16 mss_most; /* a larger MSS becomes this one; 0: any may stay */
	__u8 strip_toa; /* what a client claims is made no-operations */
	/* answers */
	__u8 has_mss, has_timestamps;
	__u8 lowered, stripped;
	__u16 mss;
	__u32 tsval, tsecr;
	/* working space */
	__u32 length, at, wipe;
	__u8 byte[TCP_OPTIONS_MAX + 12]; /* whatever is read of an option lies within */
};

static __always_inline __u32 option_word(const __u8 *p)
{
	return (__u32)p[0] << 24 | (__u32)p[1] << 16 | (__u32)p[2] << 8 | p[3];
}

/* Walks o->byte[0 .. length). Each round takes one byte at least. Where it goes on is
 * kept in *o, of which the verifier knows nothing: so all rounds are one to it. */
CHECKED_ALONE int tcp_options_walk(struct tcp_options *o)
{
	__u32 i, at, kind, length;
	__u8 *p;

	if (!o)
		return -1;
	for (i = 0; i < TCP_OPTIONS_MAX; i++) {
		at = o->at;
		forget(at);
		if (at >= TCP_OPTIONS_MAX || at >= o->length)
			return 0;
		p = &o->byte[at];
		if (o->wipe) {
			p[0] = TCP_OPTION_NOP;
			o->wipe--;
			o->at = at + 1;
			continue;
		}
		kind = p[0];
		if (kind == TCP_OPTION_END)
			return 0;
		if (kind == TCP_OPTION_NOP) {
			o->at = at + 1;
			continue;
		}
		length = p[1];
		if (length < 2 || at + length > o->length)
			return 0; /* nobody can read on from here */
		if (kind == TCP_OPTION_TOA && o->strip_toa) {
			p[0] = TCP_OPTION_NOP;
			o->wipe = length - 1;
			o->at = at + 1;
			o->stripped = 1;
			continue;
		}
		o->at = at + length;
		if (kind == TCP_OPTION_MSS && length == 4) {
			__u16 mss = (__u16)(p[2] << 8 | p[3]);

			if (o->mss_most && mss > o->mss_most) {
				mss = o->mss_most;
				p[2] = (__u8)(mss >> 8);
				p[3] = (__u8)mss;
				o->lowered = 1;
			}
			o->mss = mss;
			o->has_mss = 1;
		} else if (kind == TCP_OPTION_TIMESTAMPS && length == 10) {
			o->tsval = option_word(p + 2);
			o->tsecr = option_word(p + 6);
			o->has_timestamps = 1;
		}
	}
	return 0;
}

/*
 * Reads the options of a segment whose headers are as *n says, and changes what
 * is asked for. Call it with the questions filled in.
 *
 * @partial: the checksum waits to be completed and covers the options then
 *
 * Returns 0; -1 where the options are not in the frame.
 */
static __noinline int tcp_options(struct xdp_md *ctx, const struct network *n, int partial,
				  struct tcp_options *o)
{
	struct {
		__u8 doff, flags;
		__be16 window;
		__u16 check;
	} h;
	__u32 at = n->transport, length;
	__u64 sum;

	o->has_mss = o->has_timestamps = o->lowered = o->stripped = 0;
	o->at = o->wipe = o->length = 0;
	if (bpf_xdp_load_bytes(ctx, at + 12, &h, sizeof(h)))
		return -1;
	length = (h.doff >> 4) * 4;
	if (length < sizeof(struct tcphdr) ||
	    at + length > n->offset + n->length) /* the parser has seen that it is not so */
		return -1;
	length -= sizeof(struct tcphdr);
	if (!length)
		return 0;
	if (OUTSIDE(length, 4, TCP_OPTIONS_MAX))
		return -1;
	__builtin_memset(o->byte, 0, sizeof(o->byte));
	if (bpf_xdp_load_bytes(ctx, at + sizeof(struct tcphdr), o->byte, length))
		return -1;
	o->length = length;
	sum = (__u32)~sum_bytes(o->byte, TCP_OPTIONS_MAX);
	tcp_options_walk(o);
	if (!(o->lowered | o->stripped))
		return 0;
	sum += sum_bytes(o->byte, TCP_OPTIONS_MAX);
	if (OUTSIDE(length, 4, TCP_OPTIONS_MAX))
		return -1;
	if (bpf_xdp_store_bytes(ctx, at + sizeof(struct tcphdr), o->byte, length))
		return -1;
	if (partial)
		return 0;
	h.check = csum_fold((__u64)(__u16)~h.check + sum);
	return bpf_xdp_store_bytes(ctx, at + offsetof(struct tcphdr, check), &h.check,
				   sizeof(h.check))
		       ? -1
		       : 0;
}

#endif
