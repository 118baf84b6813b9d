// SPDX-License-Identifier: GPL-2.0-only
#include "api/pcapng.h"

enum { SECTION = 0x0a0d0d0a, INTERFACE = 1, STATISTICS = 5, PACKET = 6 };
enum { END_OF_OPTIONS = 0, COMMENT = 1 }; /* of all blocks */
enum { SECTION_PROGRAM = 4 };
enum {
	INTERFACE_NAME = 2,
	INTERFACE_DESCRIPTION = 3,
	INTERFACE_RESOLUTION = 9,
	INTERFACE_FILTER = 11
};
enum { PACKET_FLAGS = 2, PACKET_ID = 5, PACKET_QUEUE = 6, PACKET_VERDICT = 7 };
enum { STATISTICS_FROM = 2, STATISTICS_TO = 3, STATISTICS_LEFT_OUT = 5, STATISTICS_TAKEN = 8 };

#define BYTE_ORDER_MAGIC 0x1a2b3c4du
#define ETHERNET	 1
#define VERDICT_XDP	 2 /* whose verdict the number is: that of an XDP program */

static void put(struct td_pcapng *b, const void *bytes, size_t n)
{
	static const unsigned char zeros[4];
	size_t padded = (n + 3) & ~(size_t)3;

	if (padded > b->room - b->length) {
		b->overflow = true;
		return;
	}
	if (n)
		memcpy(b->data + b->length, bytes, n);
	memcpy(b->data + b->length + n, zeros, padded - n);
	b->length += padded;
}

static void put32(struct td_pcapng *b, uint32_t value)
{
	put(b, &value, sizeof(value));
}

/* Returns where it begins, for block_end. */
static size_t block_begin(struct td_pcapng *b, uint32_t type)
{
	size_t at = b->length;

	b->overflow = false;
	put32(b, type);
	put32(b, 0);
	return at;
}

static void block_end(struct td_pcapng *b, size_t at)
{
	uint32_t length = (uint32_t)(b->length + sizeof(length) - at);

	put32(b, length);
	if (b->overflow)
		b->length = at;
	else
		memcpy(b->data + at + sizeof(uint32_t), &length, sizeof(length));
}

static void option(struct td_pcapng *b, uint16_t code, const void *value, size_t n)
{
	const uint16_t head[2] = {code, (uint16_t)n};

	put(b, head, sizeof(head));
	put(b, value, n);
}

static void option_text(struct td_pcapng *b, uint16_t code, const char *text)
{
	if (text && text[0])
		option(b, code, text, strnlen(text, TD_PCAPNG_TEXT_MAX));
}

/* A moment: the upper half first, in whichever byte order. */
static void put_time(struct td_pcapng *b, uint64_t ns)
{
	put32(b, (uint32_t)(ns >> 32));
	put32(b, (uint32_t)ns);
}

static void option_time(struct td_pcapng *b, uint16_t code, uint64_t ns)
{
	const uint32_t halves[2] = {(uint32_t)(ns >> 32), (uint32_t)ns};

	option(b, code, halves, sizeof(halves));
}

void td_pcapng_section(struct td_pcapng *b, const char *program, const char *comment)
{
	const uint16_t version[2] = {1, 0};
	const uint64_t unknown = UINT64_MAX; /* how long the section is */
	size_t at = block_begin(b, SECTION);

	put32(b, BYTE_ORDER_MAGIC);
	put(b, version, sizeof(version));
	put(b, &unknown, sizeof(unknown));
	option_text(b, COMMENT, comment);
	option_text(b, SECTION_PROGRAM, program);
	option(b, END_OF_OPTIONS, NULL, 0);
	block_end(b, at);
}

void td_pcapng_interface(struct td_pcapng *b, const char *name, const char *description,
			 const char *filter, uint32_t snaplen)
{
	const uint16_t link[2] = {ETHERNET, 0};
	const uint8_t nanoseconds = 9;
	char text[TD_PCAPNG_TEXT_MAX];
	size_t at = block_begin(b, INTERFACE);

	put(b, link, sizeof(link));
	put32(b, snaplen);
	option_text(b, INTERFACE_NAME, name);
	option_text(b, INTERFACE_DESCRIPTION, description);
	option(b, INTERFACE_RESOLUTION, &nanoseconds, sizeof(nanoseconds));
	if (filter && filter[0]) {
		int n = snprintf(text, sizeof(text), "%c%s", 0, filter); /* 0: it is text */

		option(b, INTERFACE_FILTER, text, TD_MIN((size_t)n, sizeof(text) - 1));
	}
	option(b, END_OF_OPTIONS, NULL, 0);
	block_end(b, at);
}

void td_pcapng_add(struct td_pcapng *b, const struct td_pcapng_packet *p)
{
	const uint32_t flags = p->direction;
	const uint64_t action = p->action;
	unsigned char verdict[1 + sizeof(action)] = {VERDICT_XDP};
	size_t at = block_begin(b, PACKET);

	memcpy(verdict + 1, &action, sizeof(action));
	put32(b, p->interface);
	put_time(b, p->time_ns);
	put32(b, p->captured);
	put32(b, p->length);
	put(b, p->frame, p->captured);
	option_text(b, COMMENT, p->comment);
	option(b, PACKET_FLAGS, &flags, sizeof(flags));
	option(b, PACKET_ID, &p->number, sizeof(p->number));
	option(b, PACKET_QUEUE, &p->queue, sizeof(p->queue));
	option(b, PACKET_VERDICT, verdict, sizeof(verdict));
	option(b, END_OF_OPTIONS, NULL, 0);
	block_end(b, at);
}

void td_pcapng_statistics(struct td_pcapng *b, uint32_t interface, uint64_t from_ns,
			  uint64_t now_ns, uint64_t packets, uint64_t dropped, const char *comment)
{
	size_t at = block_begin(b, STATISTICS);

	put32(b, interface);
	put_time(b, now_ns);
	option_text(b, COMMENT, comment);
	option_time(b, STATISTICS_FROM, from_ns);
	option_time(b, STATISTICS_TO, now_ns);
	option(b, STATISTICS_LEFT_OUT, &dropped, sizeof(dropped));
	option(b, STATISTICS_TAKEN, &packets, sizeof(packets));
	option(b, END_OF_OPTIONS, NULL, 0);
	block_end(b, at);
}
