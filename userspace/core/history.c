// SPDX-License-Identifier: GPL-2.0-only
#include <math.h>

#include "core/history.h"

static const bool is_rate[] = {
#define RATE	      true
#define GAUGE	      false
#define X(name, kind) kind,
	TD_HISTORY_SERIES(X)
#undef X
#undef RATE
#undef GAUGE
};

const char *td_history_name(enum td_history_series series)
{
	static const char *const names[] = {
#define X(name, kind) #name,
		TD_HISTORY_SERIES(X)
#undef X
	};

	return names[series];
}

size_t td_history_bytes(unsigned int n_series)
{
	return sizeof(struct td_history) + sizeof(float) * TD_HISTORY_POINTS * n_series;
}

struct td_history *td_history_new(unsigned int n_series)
{
	const size_t size = td_history_bytes(n_series);
	struct td_history *h = malloc(size);

	/* All of it is written to: what the hour will take is there from the beginning, and who
	 * watches the daemon's memory does not see it grow for an hour. Of a memset the compiler
	 * would make a calloc. */
	if (h) {
		explicit_bzero(h, size);
		h->n_series = n_series;
	}
	return h;
}

static float *point(struct td_history *h, uint64_t number)
{
	return &h->points[number % TD_HISTORY_POINTS * h->n_series];
}

static void end_point(struct td_history *h)
{
	float *p = point(h, h->now);

	for (unsigned int i = 0; i < h->n_series; i++) {
		unsigned int n = h->under_way[i].samples;

		p[i] = n ? (float)(is_rate[i] ? h->under_way[i].sum / n : h->under_way[i].last)
			 : NAN;
	}
	memset(h->under_way, 0, sizeof(h->under_way));
	h->now++;
}

/* To the point of that number, with those between without a value. A long sleep is no long loop. */
static void go_to(struct td_history *h, uint64_t number)
{
	end_point(h);
	if (number - h->now > TD_HISTORY_POINTS)
		h->now = number - TD_HISTORY_POINTS;
	while (h->now < number)
		end_point(h);
}

void td_history_sample(struct td_history *h, uint64_t now_ns, const double *values)
{
	uint64_t number = now_ns / TD_HISTORY_STEP_NS;

	if (!h->now)
		h->first = h->now = number;
	if (number < h->now)
		return;
	if (number > h->now)
		go_to(h, number);
	for (unsigned int i = 0; i < h->n_series; i++) {
		if (isnan(values[i]))
			continue;
		h->under_way[i].sum += values[i];
		h->under_way[i].last = values[i];
		h->under_way[i].samples++;
	}
}

size_t td_history_read(const struct td_history *h, enum td_history_series series,
		       float ret[TD_HISTORY_POINTS])
{
	size_t n = (size_t)TD_MIN(h->now - h->first, (uint64_t)TD_HISTORY_POINTS);

	for (size_t i = 0; i < n; i++)
		ret[i] = h->points[(h->now - n + i) % TD_HISTORY_POINTS * h->n_series + series];
	return n;
}

uint64_t td_history_end_ns(const struct td_history *h)
{
	return h->now * TD_HISTORY_STEP_NS;
}

double td_history_rounded(double value)
{
	double scale;

	if (value == 0 || !isfinite(value))
		return value;
	scale = pow(10, 2 - floor(log10(fabs(value))));
	return isfinite(scale) && scale > 0 ? round(value * scale) / scale : 0;
}
