/* SPDX-License-Identifier: GPL-2.0-only */
/* How exposition.c keeps samples and exposition_text.c writes them. */
#ifndef TD_API_EXPOSITION_PRIVATE_H
#define TD_API_EXPOSITION_PRIVATE_H

#include "api/exposition.h"

enum { SAMPLE_COUNT, SAMPLE_NS, SAMPLE_REAL };
enum { SUFFIX_NONE, SUFFIX_BUCKET, SUFFIX_SUM, SUFFIX_COUNT };

struct td_exposition_sample {
	uint32_t labels;
	uint8_t kind, suffix;
	uint16_t bucket;
	uint64_t value; /* of SAMPLE_REAL a double */
};

struct td_exposition_family {
	uint32_t first; /* sample */
	enum td_metric metric;
};

struct td_exposition {
	struct td_exposition_sample *samples;
	size_t n_samples, samples_room;
	char *labels; /* each a length of 16 bits and the text between the braces; the first at 2 */
	size_t labels_used, labels_room;
	struct td_exposition_family families[TD_METRIC_MAX];
	size_t n_families;
	int trouble;
};

#endif
