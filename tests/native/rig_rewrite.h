/* SPDX-License-Identifier: GPL-2.0-only */
/* The rewriting of packets without a kernel: bpf/rewrite.h and what belongs to it, in the
 * frame of rig_native.h. Included by each program that needs it. */
#ifndef TESTS_RIG_REWRITE_H
#define TESTS_RIG_REWRITE_H

#include "native/rig_native.h"

#include "bpf/rewrite.bpf.c"

static struct question *rig_question;

static int rewrite_program(struct xdp_md *ctx)
{
	static struct rewrite_work work;

	memset(&work, 0xa5, sizeof(work)); /* whatever was there before */
	return rewrite_frame(ctx, rig_question, &work);
}

/* @linear: what of the frame lies in its linear part; 0: all. Returns the verdict. */
static int rewrite_run(const struct packet *in, struct packet *out, uint32_t linear,
		       struct question *q)
{
	static uint8_t rest[PACKET_MAX];

	q->result = -2;
	rig_question = q;
	return rig_program(in, out, linear, rewrite_program, rig_arena, rest);
}

#endif
