/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Blocks of a pcapng file (draft-ietf-opsawg-pcapng), into memory, in this host's byte order, which
 * the section's header tells. No C library of Debian 12 writes them. Pure.
 */
#ifndef TD_API_PCAPNG_H
#define TD_API_PCAPNG_H

#include "lib/util.h"

/* A packet's block without its bytes is smaller. */
#define TD_PCAPNG_BLOCK_MAX 2048u
#define TD_PCAPNG_TEXT_MAX  512u /* of a text, longer ones are cut */

/* Where blocks are appended; one that has no room is left out, and `overflow` says so. */
struct td_pcapng {
	unsigned char *data;
	size_t length, room;
	bool overflow;
};

enum td_pcapng_direction { TD_PCAPNG_INBOUND = 1, TD_PCAPNG_OUTBOUND = 2 };

struct td_pcapng_packet {
	uint32_t interface; /* number of its block, from 0 on */
	uint64_t time_ns;   /* since the epoch */
	const void *frame;
	uint32_t captured, length; /* bytes of `frame`, and of the packet */
	enum td_pcapng_direction direction;
	uint64_t number; /* the same for one packet at several points */
	uint32_t queue;
	uint32_t action; /* XDP_* */
	const char *comment;
};

/* Texts are UTF-8; NULL or "": left out. */
void td_pcapng_section(struct td_pcapng *b, const char *program, const char *comment);
/* An Ethernet, with times in ns. */
void td_pcapng_interface(struct td_pcapng *b, const char *name, const char *description,
			 const char *filter, uint32_t snaplen);
void td_pcapng_add(struct td_pcapng *b, const struct td_pcapng_packet *p);
/* @from_ns to @now_ns: how many were handed on, how many left out. */
void td_pcapng_statistics(struct td_pcapng *b, uint32_t interface, uint64_t from_ns,
			  uint64_t now_ns, uint64_t packets, uint64_t dropped, const char *comment);

#endif
