// SPDX-License-Identifier: GPL-2.0-only
/*
 * Samples as they are kept: of a family those from one index on, each with the place of its labels among
 * all labels. What is of a histogram has the number of its bucket beside that. See exposition_text.c for
 * how they are written.
 */
#include "api/exposition_private.h"

struct td_exposition *td_exposition_new(void)
{
	return calloc(1, sizeof(struct td_exposition));
}

struct td_exposition *td_exposition_free(struct td_exposition *e)
{
	if (e) {
		free(e->samples);
		free(e->labels);
	}
	free(e);
	return NULL;
}

int td_exposition_trouble(const struct td_exposition *e)
{
	return e->trouble;
}

size_t td_exposition_samples(const struct td_exposition *e)
{
	return e->n_samples;
}

size_t td_exposition_bytes(const struct td_exposition *e)
{
	return sizeof(*e) + e->samples_room * sizeof(*e->samples) + e->labels_room;
}

/* Of that size at least; half as large again, as nobody knows how many are to come. Large blocks are
 * moved by the kernel, not copied. */
static void *grown(struct td_exposition *e, void *block, size_t wanted, size_t each, size_t *room)
{
	size_t more = TD_MAX(TD_MAX(wanted, *room + *room / 2), (size_t)64);
	void *larger = realloc(block, more * each);

	if (!larger) {
		e->trouble = e->trouble ? e->trouble : -ENOMEM;
		return block;
	}
	*room = more;
	return larger;
}

/* ---- labels -------------------------------------------------------------------- */

static size_t put(struct td_exposition *e, size_t at, const char *text, size_t length)
{
	if (at + length > e->labels_room)
		e->labels = grown(e, e->labels, at + length, 1, &e->labels_room);
	if (at + length > e->labels_room)
		return at;
	memcpy(e->labels + at, text, length);
	return at + length;
}

/* Bytes of the character there, as RFC 3629 has it; 0: it is none. One that ends in the midst does so by its
 * NUL, which continues nothing. */
static size_t character(const char *text)
{
	const unsigned char *c = (const unsigned char *)text;
	size_t length = c[0] < 0x80 ? 1 : c[0] < 0xc2 ? 0 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : 4;

	for (size_t i = 1; i < length; i++)
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	if (c[0] > 0xf4 || (c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) ||
	    (c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f))
		return 0;
	return length;
}

/* What is no UTF-8 would have Prometheus refuse all of it. */
static size_t put_escaped(struct td_exposition *e, size_t at, const char *value)
{
	char text[2 * TD_EXPOSITION_LABEL_MAX];
	size_t n = 0, length;

	for (size_t i = 0; value[i] && i + 4 <= TD_EXPOSITION_LABEL_MAX; i += TD_MAX(length, 1u)) {
		length = character(value + i);
		if (value[i] == '\\' || value[i] == '"' || value[i] == '\n')
			text[n++] = '\\';
		if (value[i] == '\n' || !length) {
			text[n++] = value[i] == '\n' ? 'n' : '?';
			continue;
		}
		memcpy(text + n, value + i, length);
		n += length;
	}
	return put(e, at, text, n);
}

uint32_t td_expose_label_list(struct td_exposition *e, const char *const *list)
{
	size_t begin = e->labels_used ? e->labels_used : sizeof(uint16_t); /* 0 is none */
	size_t at = begin + sizeof(uint16_t);
	uint16_t length;

	if (at + TD_EXPOSITION_LINE_MAX > UINT32_MAX) {
		e->trouble = e->trouble ? e->trouble : -E2BIG;
		return 0;
	}
	for (size_t i = 0; i < TD_EXPOSITION_LABELS_MAX; i++) {
		const char *name = list[2 * i], *value = name ? list[2 * i + 1] : NULL;

		if (!name)
			break;
		if (!value)
			continue;
		if (at > begin + sizeof(length))
			at = put(e, at, ",", 1);
		at = put(e, at, name, strlen(name));
		at = put(e, at, "=\"", 2);
		at = put_escaped(e, at, value);
		at = put(e, at, "\"", 1);
	}
	if (e->trouble || at == begin + sizeof(length))
		return 0;
	length = (uint16_t)(at - begin - sizeof(length));
	memcpy(e->labels + begin, &length, sizeof(length));
	e->labels_used = at;
	return (uint32_t)begin;
}

/* ---- samples ------------------------------------------------------------------- */

void td_expose_family(struct td_exposition *e, enum td_metric metric)
{
	if (e->n_families < TD_METRIC_MAX)
		e->families[e->n_families++] =
			(struct td_exposition_family){(uint32_t)e->n_samples, metric};
}

static void add(struct td_exposition *e, struct td_exposition_sample sample)
{
	if (e->n_samples == TD_EXPOSITION_SAMPLES_MAX) {
		e->trouble = e->trouble ? e->trouble : -E2BIG;
		return;
	}
	if (e->n_samples == e->samples_room)
		e->samples = grown(e, e->samples, e->n_samples + 1, sizeof(*e->samples),
				   &e->samples_room);
	if (e->n_samples < e->samples_room)
		e->samples[e->n_samples++] = sample;
}

void td_expose(struct td_exposition *e, uint32_t labels, uint64_t value)
{
	add(e, (struct td_exposition_sample){.labels = labels, .value = value});
}

void td_expose_ns(struct td_exposition *e, uint32_t labels, uint64_t ns)
{
	add(e, (struct td_exposition_sample){.labels = labels, .kind = SAMPLE_NS, .value = ns});
}

void td_expose_real(struct td_exposition *e, uint32_t labels, double value)
{
	struct td_exposition_sample s = {.labels = labels, .kind = SAMPLE_REAL};

	memcpy(&s.value, &value, sizeof(s.value));
	add(e, s);
}

void td_expose_waits(struct td_exposition *e, uint32_t labels, const struct tundish_waits *waits,
		     unsigned int step)
{
	uint64_t seen = 0;

	for (unsigned int i = 0; i < TUNDISH_WAIT_BUCKETS; i++) {
		seen += waits ? waits->bucket[i] : 0;
		if (i == TUNDISH_WAIT_BUCKETS - 1 || i % step == step - 1)
			add(e, (struct td_exposition_sample){.labels = labels,
							     .suffix = SUFFIX_BUCKET,
							     .bucket = (uint16_t)i,
							     .value = seen});
	}
	add(e, (struct td_exposition_sample){.labels = labels,
					     .suffix = SUFFIX_SUM,
					     .kind = SAMPLE_NS,
					     .value = waits ? waits->sum : 0});
	add(e,
	    (struct td_exposition_sample){.labels = labels, .suffix = SUFFIX_COUNT, .value = seen});
}
