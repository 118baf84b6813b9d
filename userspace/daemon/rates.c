// SPDX-License-Identifier: GPL-2.0-only
/*
 * Per-second rates from a sample each second, and when the tables were last
 * full. What entries of the same number did for former backends is taken off
 * (packets_before, bytes_before).
 */
#include "daemon/history.h"

#define SAMPLE_USEC 1000000ull

/* What a former user of the number did is not this one's. */
static void since_taken(const struct tundish_backend *b, const struct tundish_traffic *t,
			struct tundish_traffic *ret)
{
	ret->packets =
		t->packets >= b->packets_before ? t->packets - b->packets_before : t->packets;
	ret->bytes = t->bytes >= b->bytes_before ? t->bytes - b->bytes_before : t->bytes;
}

void td_traffic_of(struct td_daemon *d, uint32_t backend, struct tundish_traffic *ret)
{
	const struct tundish_backend *b = &td_kernel_backends(d->kernel)[backend];
	struct tundish_traffic t = {0};

	if (d->traffic_read)
		t = d->traffic[backend];
	else if (td_kernel_traffic(d->kernel, backend, &t) < 0)
		t = (struct tundish_traffic){0};
	since_taken(b, &t, ret);
}

/* A call for each costs some eight times what one of many does. */
void td_traffic_begin(struct td_daemon *d, size_t n)
{
	d->traffic_read = n > d->settings.backends_max / 8 &&
			  td_kernel_traffic_all(d->kernel, d->traffic) == 0;
}

void td_traffic_recent(struct td_daemon *d)
{
	d->traffic_read = d->sampled_ns != 0;
}

void td_traffic_end(struct td_daemon *d)
{
	d->traffic_read = false;
}

static double rate(uint64_t now, uint64_t before, double seconds)
{
	return now > before ? (double)(now - before) / seconds : 0;
}

static void sample_one(struct td_daemon *d, uint32_t id, const struct tundish_traffic *traffic,
		       double seconds)
{
	const struct tundish_backend *b = &td_kernel_backends(d->kernel)[id];
	struct td_sample *s = &d->samples[id], new = {.valid = true};
	struct tundish_traffic t;

	if (b->state == TUNDISH_BACKEND_FREE) {
		*s = (struct td_sample){0};
		return;
	}
	since_taken(b, traffic, &t);
	new.connections = __atomic_load_n(&b->connections_total, __ATOMIC_RELAXED);
	new.packets = t.packets;
	new.bytes = t.bytes;
	if (s->valid && seconds > 0) {
		new.connections_rate = rate(new.connections, s->connections, seconds);
		new.packets_rate = rate(new.packets, s->packets, seconds);
		new.bytes_rate = rate(new.bytes, s->bytes, seconds);
	}
	*s = new;
	td_histories_add(d, b, s);
}

static int on_sample(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct td_daemon *d = userdata;
	uint64_t now = td_now_ns();
	double seconds = d->sampled_ns ? (double)(now - d->sampled_ns) / TD_NS_PER_S : 0;
	bool whole, counted;

	/* what was missed while the loop had no time is one long second, not many short ones */
	sd_event_source_set_time(source,
				 TD_MAX(usec + SAMPLE_USEC, (now / 1000) + SAMPLE_USEC / 2));
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	if (!d->kernel)
		return 0;
	td_histories_begin(d);
	whole = td_kernel_traffic_all(d->kernel, d->traffic) == 0;
	for (uint32_t id = 1; whole && id < d->settings.backends_max; id++)
		sample_one(d, id, &d->traffic[id], seconds);
	d->former_counters = d->counters;
	counted = td_kernel_counters(d->kernel, &d->counters) == 0;
	if (counted && d->sampled_ns) {
		if (d->counters.flow_full > d->former_counters.flow_full)
			d->full_flows_ns = now;
		if (d->counters.tuple_full > d->former_counters.tuple_full)
			d->full_tuples_ns = now;
		if (d->counters.own_no_family > d->former_counters.own_no_family)
			d->own_refused_ns = now;
	}
	if (whole && counted) /* a second that was not read is none of the history */
		td_histories_end(d, seconds);
	d->sampled_ns = now;
	return 0;
}

int td_rates_open(struct td_daemon *d)
{
	uint64_t now;

	d->samples = calloc(d->settings.backends_max, sizeof(*d->samples));
	d->traffic = calloc(d->settings.backends_max, sizeof(*d->traffic));
	if (!d->samples || !d->traffic)
		return -ENOMEM;
	sd_event_now(d->event, CLOCK_MONOTONIC, &now);
	return sd_event_add_time(d->event, NULL, CLOCK_MONOTONIC, now, 10000, on_sample, d);
}
