/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Metrics as values, and as text. Whoever answers puts samples in, family by family; what comes of it is
 * independent of all that they were read from, and is written piece by piece, as fast as a reader takes it.
 * 16 bytes a sample, and labels, written out once however many families have them. Pure.
 */
#ifndef TD_API_EXPOSITION_H
#define TD_API_EXPOSITION_H

#include "api/metric_table.h"
#include "lib/util.h"
#include "tundish/counters.h"
#include "tundish/workers.h"

enum td_metric {
#define TUNDISH_X(name, ...) TD_METRIC_##name,
	TD_METRICS(TUNDISH_X)
#undef TUNDISH_X
#define TUNDISH_X(name, ...) TD_METRIC_COUNTER_##name,
		TUNDISH_COUNTERS(TUNDISH_X) /* those of kind DROP are in drops_total */
#undef TUNDISH_X
	TD_METRIC_MAX
};
#define TD_METRIC_COUNTERS (TD_METRIC_MAX - TUNDISH_COUNTER_MAX) /* the first of them */

enum td_metric_type { TD_METRIC_COUNTER, TD_METRIC_GAUGE, TD_METRIC_HISTOGRAM };

struct td_metric_row {
	const char *name; /* with "tundish_" */
	enum td_metric_type type;
	const char *unit, *labels, *bound;
	const char *help; /* of counters of the data path without its capital and its full stop */
};
const struct td_metric_row *td_metric_row(enum td_metric metric);

/* ---- samples ----------------------------------------------------------------- */

#define TD_EXPOSITION_SAMPLES_MAX (1u << 22) /* five times what the tables' limits come to */
#define TD_EXPOSITION_LABEL_MAX	  1024u /* bytes of one label's value, those after are cut off */
#define TD_EXPOSITION_LABELS_MAX  8u	/* of one series */

struct td_exposition;
struct td_exposition *td_exposition_new(void);
struct td_exposition *td_exposition_free(struct td_exposition *e);
static inline void td_exposition_freep(struct td_exposition **e)
{
	td_exposition_free(*e);
}
/* 0, -ENOMEM, or -E2BIG: something did not fit. All functions below may fail so, and go on. */
int td_exposition_trouble(const struct td_exposition *e);
size_t td_exposition_samples(const struct td_exposition *e);
size_t td_exposition_bytes(const struct td_exposition *e); /* of memory */

/* Names and values by turns, at most TD_EXPOSITION_LABELS_MAX pairs, up to a name that is NULL; a value NULL:
 * without that label. Values are escaped here. Returns what the samples are called by; 0: no labels. */
#define td_expose_labels(e, ...) td_expose_label_list(e, (const char *const[]){__VA_ARGS__, NULL})
uint32_t td_expose_label_list(struct td_exposition *e, const char *const *list);

/* What follows is of this family; each is begun once. */
void td_expose_family(struct td_exposition *e, enum td_metric metric);
void td_expose(struct td_exposition *e, uint32_t labels, uint64_t value);
void td_expose_ns(struct td_exposition *e, uint32_t labels, uint64_t ns); /* told in seconds */
void td_expose_real(struct td_exposition *e, uint32_t labels, double value);
/* A histogram. @step: 2 leaves out every second bucket. NULL: empty. */
void td_expose_waits(struct td_exposition *e, uint32_t labels, const struct tundish_waits *waits,
		     unsigned int step);

/* ---- text --------------------------------------------------------------------- */

enum td_metrics_form {
	TD_METRICS_TEXT, /* Prometheus' own, version 0.0.4 */
	TD_METRICS_OPEN, /* OpenMetrics 1.0 */
};
/* What an Accept header asks for (RFC 9110, section 12.5.1); NULL: none came. OpenMetrics has to be named. */
enum td_metrics_form td_metrics_accepted(const char *accept);
const char *td_metrics_content_type(enum td_metrics_form form);

struct td_exposition_cursor { /* zeroes: at the beginning */
	size_t family, sample;
	bool head, end; /* the family's head, or the very end, is written */
};
/* Whole lines from there on, into `size` bytes (at least TD_EXPOSITION_LINE_MAX). 0: that was all. */
#define TD_EXPOSITION_LINE_MAX 24576u
size_t td_exposition_write(const struct td_exposition *e, enum td_metrics_form form,
			   struct td_exposition_cursor *at, char *buffer, size_t size);

#endif
