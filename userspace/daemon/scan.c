// SPDX-License-Identifier: GPL-2.0-only
/*
 * Scans: when they run and what they may cost. A round goes over the namespaces one
 * after the other, then over the descriptors of all processes, for who holds ports, and
 * then reads the table: all of it in slices of a millisecond or two, each by a timer that
 * is due at once, so that between two of them whoever else waits is served.
 *
 * From one beginning to the next it takes the configured interval, or so long that the CPU
 * of the last round is no more than its share (`ports.cpu`): with many sockets the interval
 * stretches by itself.
 *
 * A request that wants a scan of its own waits for the end of one that began after it.
 */
#include <time.h>

#include "daemon/source_ports.h"

#define PATIENCE_NS  (5 * TD_NS_PER_S) /* of a request that waits for a scan */
#define REST_USEC    100000ull
#define FORGOTTEN_NS (300 * TD_NS_PER_S) /* a trouble that has been away so long is told again */

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * TD_NS_PER_S + (uint64_t)t.tv_nsec;
}

/* The kernel's tick, which is what its coarse clocks go by; 0: unknown. */
static uint32_t kernel_hz(void)
{
	struct timespec t;

	if (clock_getres(CLOCK_MONOTONIC_COARSE, &t) < 0 || t.tv_sec || t.tv_nsec <= 0)
		return 0;
	return (uint32_t)((TD_NS_PER_S + (uint64_t)t.tv_nsec / 2) / (uint64_t)t.tv_nsec);
}

/* Each namespace's own numbers are odd and even in turn: a scan must not write where the
 * one before stands. */
static uint64_t next_number(struct td_source_ports *p, const struct td_space *s)
{
	p->scan++;
	if (s->scan && (p->scan - s->scan) % 2 == 0)
		p->scan++;
	return p->scan;
}

static void close_scan(struct td_source_ports *p)
{
	td_fd_close(&p->scan_fd);
	td_fd_close(&p->netns_fd);
}

void td_scan_leave(struct td_daemon *d)
{
	struct td_source_ports *p = d->source_ports;

	close_scan(p);
	p->phase = TD_SCAN_REST;
	p->at = 0;
}

/* ---- sockets of one namespace after the other ------------------------------------------- */

static int begin_scan(struct td_daemon *d, uint32_t index)
{
	struct td_source_ports *p = d->source_ports;
	struct td_space *s = &p->spaces[index];
	struct tundish_port_scan what = {.space = index, .hz = kernel_hz()};
	struct td_error e = {0};
	int r;

	s->scanned = false;
	r = td_space_enter(d, index, &p->netns_fd);
	if (r < 0)
		return r;
	what.scan = next_number(p, s);
	what.first = s->budget.first;
	what.last = s->budget.last;
	r = td_kernel_scan_start(d->kernel, &what, p->netns_fd, &p->scan_fd, &e);
	if (r < 0) {
		td_space_failed(d, index, e.text);
		close_scan(p);
	}
	return r;
}

/* To the next namespace that can be scanned; returns whether there is one. */
static bool go_on(struct td_daemon *d)
{
	struct td_source_ports *p = d->source_ports;

	close_scan(p);
	while (++p->at < TUNDISH_SPACES_MAX)
		if (p->spaces[p->at].wanted && begin_scan(d, p->at) == 0) {
			p->phase = TD_SCAN_TCP;
			return true;
		}
	p->at = 0;
	return false;
}

static int end_scan(struct td_daemon *d)
{
	struct td_source_ports *p = d->source_ports;
	struct td_space *s = &p->spaces[p->at];
	struct tundish_port_scan found = {0};
	int r = td_kernel_scan_result(d->kernel, &found);

	if (r < 0)
		return r;
	/* What has gone meanwhile was alive only for us, and that is over. */
	if (!td_space_stays(d, p->at, p->netns_fd))
		return 0;
	s->trouble[0] = '\0';
	s->scan = found.scan;
	s->sockets = found.sockets;
	s->overflow = found.overflow;
	s->scanned = true;
	return 0;
}

static int slice_of_sockets(struct td_daemon *d)
{
	struct td_source_ports *p = d->source_ports;
	int r = td_kernel_scan_slice(d->kernel, p->scan_fd);

	if (r)
		return r;
	td_fd_close(&p->scan_fd);
	if (p->phase == TD_SCAN_UDP)
		return end_scan(d);
	p->phase = TD_SCAN_UDP;
	return td_kernel_scan_start_udp(d->kernel, p->netns_fd, &p->scan_fd) ?: 1;
}

static void scan_sockets(struct td_daemon *d)
{
	struct td_source_ports *p = d->source_ports;
	int r = slice_of_sockets(d);
	char why[128];

	if (r > 0)
		return;
	if (r < 0) {
		snprintf(why, sizeof(why), "its scan failed: %s", strerror(-r));
		td_space_failed(d, p->at, why);
	}
	if (!go_on(d))
		p->phase = TD_SCAN_OWNERS;
}

/* ---- who holds them, and the table -------------------------------------------------------- */

static void forget_owners(struct td_daemon *d)
{
	_cleanup_free_ struct td_port_owner *owners = NULL;
	size_t n = 0;

	if (td_kernel_port_owners(d->kernel, &owners, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		if (owners[i].value.scan < d->source_ports->scan)
			td_kernel_delete_port_owner(d->kernel, &owners[i].key);
}

static void scan_owners(struct td_daemon *d)
{
	struct td_source_ports *p = d->source_ports;

	if (p->scan_fd < 0 && td_kernel_scan_start_owners(d->kernel, p->scan, &p->scan_fd) < 0)
		p->scan_fd = -1;
	else if (td_kernel_scan_slice(d->kernel, p->scan_fd) > 0)
		return;
	close_scan(p);
	forget_owners(d);
	for (uint32_t i = 1; i < TUNDISH_SPACES_MAX; i++)
		if (p->spaces[i].wanted && p->spaces[i].scanned)
			td_space_scanned(d, i);
	p->phase = TD_SCAN_TABLE;
	td_port_table_begin(d, true);
}

/* ---- the round ---------------------------------------------------------------------------- */

/* Told when it begins, which is when it was not so for a while. */
static void tell(struct td_daemon *d, struct td_trouble *t, bool is, const char *event,
		 const char *reason)
{
	uint64_t now = td_now_ns();

	if (is && !t->is && (!t->last_ns || now - t->last_ns > FORGOTTEN_NS))
		td_event(d, event, "source ports", "%s", reason);
	if (is)
		t->last_ns = now;
	t->is = is;
}

static uint64_t interval_for(const struct td_daemon *d, uint64_t cpu)
{
	uint64_t least = (d->config ? d->config->ports.interval_ms : 5000) * TD_NS_PER_MS;
	unsigned int share = d->config ? d->config->ports.cpu : 2;

	return TD_MAX(least, cpu * 100 / TD_MAX(share, 1u));
}

/* At the end of a round, and in one that does not come to its end. */
static void look_if_late(struct td_daemon *d, bool ended)
{
	struct td_source_ports *p = d->source_ports;
	uint64_t took = td_now_ns() - p->begun_ns, interval = interval_for(d, p->spent);
	bool late = took > interval;
	char why[200];

	if (!late && !ended)
		return;
	snprintf(why, sizeof(why),
		 "a scan %s %.1f s, longer than the %.1f s from one to the next: the figures "
		 "are older than they should be",
		 ended ? "took" : "has taken", (double)took / TD_NS_PER_S,
		 (double)interval / TD_NS_PER_S);
	tell(d, &p->late, late, "scan-late", why);
}

static void end_round(struct td_daemon *d)
{
	struct td_source_ports *p = d->source_ports;
	uint64_t now = td_now_ns(), overflow = 0;
	struct timespec t;
	char why[200];

	for (uint32_t i = 1; i < TUNDISH_SPACES_MAX; i++) {
		overflow += p->spaces[i].wanted ? p->spaces[i].overflow : 0;
		p->spaces[i].scanned = false;
	}
	clock_gettime(CLOCK_REALTIME, &t);
	p->phase = TD_SCAN_REST;
	p->rounds++;
	p->whole_ns = p->begun_ns;
	p->ended_ns = now;
	p->ended_ms = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
	p->duration_ns = now - p->begun_ns;
	p->cpu_ns = p->spent;
	p->interval_ns = interval_for(d, p->cpu_ns);
	look_if_late(d, true);
	snprintf(why, sizeof(why),
		 "%llu sockets are of tuples that found no place in the table and are counted "
		 "together; raise limits.ports",
		 (unsigned long long)overflow);
	tell(d, &p->full, overflow > 0, "ports-full", why);
}

static void begin_round(struct td_daemon *d)
{
	struct td_source_ports *p = d->source_ports;

	p->begun_ns = td_now_ns();
	p->spent = 0;
	p->at = 0;
	if (!go_on(d))
		p->phase = TD_SCAN_OWNERS;
}

static void slice(struct td_daemon *d)
{
	struct td_source_ports *p = d->source_ports;
	uint64_t begun = cpu_ns(); /* other work of this thread is not the scan's */
	bool ended = false;

	switch (p->phase) {
	case TD_SCAN_REST: begin_round(d); break;
	case TD_SCAN_TCP:
	case TD_SCAN_UDP: scan_sockets(d); break;
	case TD_SCAN_OWNERS: scan_owners(d); break;
	case TD_SCAN_TABLE: ended = td_port_table_step(d) <= 0; break;
	}
	p->spent += cpu_ns() - begun;
	if (ended)
		end_round(d);
	else
		look_if_late(d, false);
}

/* ---- when ----------------------------------------------------------------------------------- */

static bool is_due(const struct td_source_ports *p, uint64_t now)
{
	return p->asked_ns > p->whole_ns || now >= p->begun_ns + p->interval_ns;
}

void td_scan_schedule(struct td_daemon *d)
{
	struct td_source_ports *p = d->source_ports;
	uint64_t usec = td_now_ns() / 1000, due = (p->begun_ns + p->interval_ns) / 1000;

	if (!p->timer)
		return;
	if (!p->phase && !p->reading.on && p->asked_ns <= p->whole_ns)
		usec = TD_MAX(due, usec + REST_USEC);
	sd_event_source_set_time(p->timer, usec);
	sd_event_source_set_enabled(p->timer, SD_EVENT_ONESHOT);
}

/* Those who wait ask again. */
static void wake(struct td_daemon *d)
{
	d->source_ports->waiting_ns = 0;
	td_control_resume(d->control);
}

int td_scan_on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct td_daemon *d = userdata;
	struct td_source_ports *p = d->source_ports;
	uint64_t now = td_now_ns(), rounds = p->rounds;

	if (!d->kernel || !p->on)
		return 0;
	/* What a request has begun comes first, for it is short beside a round. */
	if (p->reading.on && !p->reading.after_scan)
		td_port_table_step(d);
	else if (p->phase || is_due(p, now))
		slice(d);
	if (p->waiting_ns && (p->rounds != rounds || now - p->waiting_ns > PATIENCE_NS))
		wake(d);
	td_scan_schedule(d);
	return 0;
}

bool td_scan_ready(struct td_daemon *d, const struct td_request *q, enum td_scan_wanted wanted,
		   struct td_reply *reply)
{
	struct td_source_ports *p = d->source_ports;

	if (p->rounds && (wanted == TD_SCAN_SOME || (wanted == TD_SCAN_WHOLE && !p->phase) ||
			  (wanted == TD_SCAN_FRESH && p->whole_ns >= q->since_ns)))
		return true;
	if (td_now_ns() - q->since_ns > PATIENCE_NS) {
		td_reply_error(reply, 503, 1,
			       "a scan takes longer than five seconds here; ask without --scan, "
			       "for what the last one found");
		return false;
	}
	if (wanted == TD_SCAN_FRESH)
		p->asked_ns = TD_MAX(p->asked_ns, q->since_ns);
	p->waiting_ns = p->waiting_ns ? TD_MIN(p->waiting_ns, q->since_ns) : q->since_ns;
	reply->later = true;
	td_scan_schedule(d);
	return false;
}
