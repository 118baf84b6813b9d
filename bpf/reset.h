/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A TCP segment turned into the reset that answers it, as a closed port would
 * (RFC 9293, 3.10.7.1): to its sender, from whom it was meant for.
 *
 *   without ACK:  <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>
 *   with ACK:     <SEQ=SEG.ACK><CTL=RST>
 *
 * It is never larger than what caused it, and a reset is never answered.
 */
#ifndef TUNDISH_RESET_H
#define TUNDISH_RESET_H

#include "csum.h"
#include "icmp.h"
#include "parse.h"
#include "rewrite.h"

#define RESET_FRAME_MIN 60u /* what Ethernet pads to, should nobody below us do it */

enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_ACK = 16 };

/* struct tcphdr without bit fields. */
struct reset_tcp {
	__be16 source, destination;
	__be32 seq, ack_seq;
	__u8 doff, flags;
	__be16 window;
	__u16 check;
	__be16 urgent;
};

/* The header of the answer in *tcp's place; all but its checksum. */
static __always_inline void reset_answer(struct reset_tcp *tcp, __u32 payload)
{
	__u32 flags = tcp->flags;
	__be16 port = tcp->source;

	tcp->source = tcp->destination;
	tcp->destination = port;
	if (flags & TCP_ACK) {
		tcp->seq = tcp->ack_seq;
		tcp->ack_seq = 0;
		tcp->flags = TCP_RST;
	} else {
		tcp->ack_seq = bpf_htonl(bpf_ntohl(tcp->seq) + payload + !!(flags & TCP_SYN) +
					 !!(flags & TCP_FIN));
		tcp->seq = 0;
		tcp->flags = TCP_RST | TCP_ACK;
	}
	tcp->doff = sizeof(*tcp) / 4 << 4;
	tcp->window = 0;
	tcp->check = 0;
	tcp->urgent = 0;
}

/*
 * Turns the frame into the reset that answers it, link header and all: it leaves
 * by where it came. Tags stay.
 * Returns 0; -1 where it is a reset or no segment, and then nothing has changed.
 */
static __noinline int reset_reply(struct xdp_md *ctx, const struct network *n)
{
	void *data, *data_end;
	struct reset_tcp tcp;
	__u32 offset = n->offset, header, end, length, doff;
	__u8 tos = n->tos & ~3u; /* ECN: not for a control packet (RFC 3168, 6.1.1) */
	const struct rewrite back = {.source = n->destination, .destination = n->source};
	__u64 sum;

	header = n->is_v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	if (n->protocol != IPPROTO_TCP || bpf_xdp_load_bytes(ctx, n->transport, &tcp, sizeof(tcp)))
		return -1;
	doff = (tcp.doff >> 4) * 4;
	if ((tcp.flags & TCP_RST) || doff < sizeof(tcp) || n->transport + doff > offset + n->length)
		return -1;
	reset_answer(&tcp, offset + n->length - n->transport - doff);

	length = (__u32)bpf_xdp_get_buff_len(ctx);
	end = offset + header + sizeof(tcp);
	if (end < RESET_FRAME_MIN)
		end = length < RESET_FRAME_MIN ? length : RESET_FRAME_MIN;
	if (end < offset + header + sizeof(tcp))
		return -1;
	if (end != length && bpf_xdp_adjust_tail(ctx, (int)end - (int)length))
		return -1;

	sum = bpf_htons(IPPROTO_TCP) + bpf_htons(sizeof(tcp));
	if (n->is_v6) {
		struct {
			struct ipv6hdr ip;
			struct reset_tcp tcp;
		} to;

		make_v6(&to.ip, &back, sizeof(tcp), tos, REPLY_TTL, IPPROTO_TCP);
		sum += sum_bytes(&back.source, 2 * sizeof(back.source));
		tcp.check = csum_fold(sum + sum_bytes(&tcp, sizeof(tcp)));
		to.tcp = tcp;
		if (bpf_xdp_store_bytes(ctx, offset, &to, sizeof(to)))
			return -1;
	} else {
		struct {
			struct iphdr ip;
			struct reset_tcp tcp;
		} to;

		make_v4(&to.ip, &back, sizeof(to), bpf_htons(0x4000), tos, REPLY_TTL, IPPROTO_TCP);
		sum += (__u64)back.source.word[3] + back.destination.word[3];
		tcp.check = csum_fold(sum + sum_bytes(&tcp, sizeof(tcp)));
		to.tcp = tcp;
		if (bpf_xdp_store_bytes(ctx, offset, &to, sizeof(to)))
			return -1;
	}
	data = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	if (data + sizeof(struct ethhdr) > data_end)
		return -1;
	swap_link(data);
	return 0;
}

#endif
