/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the fuzzers of packets share: an input that is used up byte by byte, zeros from its
 * end on, changes to a packet by it, and cmocka's assertions as the end of the process.
 */
#ifndef TESTS_FUZZ_INPUT_H
#define TESTS_FUZZ_INPUT_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "bpf/packet.h"

/* What cmocka does where it runs: end. */
void print_error(const char *const format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
}

void _fail(const char *const file, const int line)
{
	fprintf(stderr, "%s:%d\n", file, line);
	abort();
}

struct input {
	const uint8_t *data;
	size_t left;
};

static uint32_t byte_of(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->data++;
}

static uint32_t word_of(struct input *in)
{
	uint32_t high = byte_of(in);

	return high << 8 | byte_of(in);
}

/* Bytes of it become others, and it may end early. */
static void change(struct input *in, struct packet *p)
{
	uint32_t n = byte_of(in) % 8;

	while (n--) {
		uint32_t at = byte_of(in), what = byte_of(in);

		if (at < p->len)
			p->data[at] = (uint8_t)what;
	}
	if (byte_of(in) & 1)
		p->len = word_of(in) % (p->len + 1);
}

#endif
