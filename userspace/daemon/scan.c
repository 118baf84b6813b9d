// SPDX-License-Identifier: GPL-2.0-only
/*
 * Scans: when they run and what they may cost. A round goes over the namespaces one
 * after the other, in slices of about a millisecond between which the event loop
 * serves whoever waits; at its end it looks at who holds ports, and reads the table.
 *
 * From one beginning to the next it takes the configured interval, or so long that the CPU
 * of the last round is no more than its share (`ports.cpu`): with many sockets the interval
 * stretches by itself.
 */
#include <time.h>

#include "daemon/source_ports.h"

#define AT_ONCE_NS   (5 * TD_NS_PER_S)
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

void td_scan_leave(struct td_source_ports *p)
{
	if (p->scan_fd >= 0)
		close(p->scan_fd);
	if (p->netns_fd >= 0)
		close(p->netns_fd);
	p->scan_fd = p->netns_fd = -1;
}

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
		snprintf(s->trouble, sizeof(s->trouble), "%.255s", e.text);
		td_scan_leave(p);
	}
	return r;
}

/* To the next namespace that can be scanned; returns whether there is one. */
static bool go_on(struct td_daemon *d)
{
	struct td_source_ports *p = d->source_ports;

	td_scan_leave(p);
	while (++p->at < TUNDISH_SPACES_MAX)
		if (p->spaces[p->at].wanted && begin_scan(d, p->at) == 0)
			return true;
	p->at = 0;
	return false;
}

static void end_scan(struct td_daemon *d)
{
	struct td_source_ports *p = d->source_ports;
	struct td_space *s = &p->spaces[p->at];
	struct tundish_port_scan found = {0};
	int r = td_kernel_scan_udp(d->kernel, p->netns_fd);

	r = r < 0 ? r : td_kernel_scan_result(d->kernel, &found);
	if (r < 0) {
		snprintf(s->trouble, sizeof(s->trouble), "its scan failed: %s", strerror(-r));
		return;
	}
	s->trouble[0] = '\0';
	s->scan = found.scan;
	s->sockets = found.sockets;
	s->overflow = found.overflow;
	s->scanned = true;
}

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

/* Once each, and again when it has been otherwise. */
/* Told when it begins, which is when it was not so for a while. */
static void tell(struct td_daemon *d, struct td_trouble *t, bool is, const char *event,
		 const char *reason)
{
	uint64_t now = td_now_ns();

	if (is && (!t->last_ns || now - t->last_ns > FORGOTTEN_NS))
		td_event(d, event, "source ports", "%s", reason);
	if (is)
		t->last_ns = now;
	t->is = is;
}

static void end_round(struct td_daemon *d)
{
	struct td_source_ports *p = d->source_ports;
	uint64_t now, share = d->config ? d->config->ports.cpu : 2;
	uint64_t least = (d->config ? d->config->ports.interval_ms : 5000) * TD_NS_PER_MS;
	uint64_t overflow = 0;
	struct timespec t;
	char why[200];

	td_kernel_scan_owners(d->kernel, p->scan);
	forget_owners(d);
	for (uint32_t i = 1; i < TUNDISH_SPACES_MAX; i++) {
		if (p->spaces[i].wanted && p->spaces[i].scanned)
			td_space_scanned(d, i);
		overflow += p->spaces[i].wanted ? p->spaces[i].overflow : 0;
	}
	td_port_table_read(d, true);
	for (uint32_t i = 1; i < TUNDISH_SPACES_MAX; i++)
		p->spaces[i].scanned = false;

	now = td_now_ns();
	clock_gettime(CLOCK_REALTIME, &t);
	p->rounds++;
	p->ended_ns = now;
	p->ended_ms = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
	p->duration_ns = now - p->begun_ns;
	p->cpu_ns = p->spent + cpu_ns() - p->begun_cpu;
	p->interval_ns = TD_MAX(least, p->cpu_ns * 100 / TD_MAX(share, 1u));
	snprintf(why, sizeof(why),
		 "a scan took %.1f s, longer than the %.1f s from one to the next: the figures "
		 "are older than they should be",
		 (double)p->duration_ns / TD_NS_PER_S, (double)p->interval_ns / TD_NS_PER_S);
	tell(d, &p->late, p->duration_ns > p->interval_ns, "scan-late", why);
	snprintf(why, sizeof(why),
		 "%llu sockets are of tuples that found no place in the table and are counted "
		 "together; raise limits.ports",
		 (unsigned long long)overflow);
	tell(d, &p->full, overflow > 0, "ports-full", why);
}

static void begin_round(struct td_source_ports *p)
{
	p->begun_ns = td_now_ns();
	p->spent = 0;
	p->begun_cpu = cpu_ns();
	p->at = 0;
}

void td_scan_schedule(struct td_daemon *d)
{
	struct td_source_ports *p = d->source_ports;
	uint64_t now = td_now_ns(), due = p->begun_ns + p->interval_ns;

	if (!p->timer)
		return;
	sd_event_source_set_enabled(p->slices, SD_EVENT_OFF);
	sd_event_source_set_time(p->timer, TD_MAX(due / 1000, now / 1000 + REST_USEC));
	sd_event_source_set_enabled(p->timer, SD_EVENT_ONESHOT);
}

/* One slice; returns whether there is more of the round. */
static bool slice(struct td_daemon *d)
{
	struct td_source_ports *p = d->source_ports;
	int r = td_kernel_scan_slice(d->kernel, p->scan_fd);

	if (r > 0)
		return true;
	if (r < 0)
		snprintf(p->spaces[p->at].trouble, sizeof(p->spaces[p->at].trouble),
			 "its scan failed: %s", strerror(-r));
	else
		end_scan(d);
	if (go_on(d))
		return true;
	end_round(d);
	return false;
}

int td_scan_on_slice(sd_event_source *source, void *userdata)
{
	struct td_daemon *d = userdata;
	struct td_source_ports *p = d->source_ports;

	if (!d->kernel || !p->on || !p->at) {
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
		return 0;
	}
	/* Other work of this thread is not the scan's. */
	p->begun_cpu = cpu_ns();
	if (!slice(d)) {
		td_scan_schedule(d);
		return 0;
	}
	p->spent += cpu_ns() - p->begun_cpu;
	return 0;
}

int td_scan_on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct td_daemon *d = userdata;
	struct td_source_ports *p = d->source_ports;

	if (!d->kernel || !p->on)
		return 0;
	begin_round(p);
	if (!go_on(d)) {
		end_round(d);
		td_scan_schedule(d);
		return 0;
	}
	p->spent += cpu_ns() - p->begun_cpu;
	return sd_event_source_set_enabled(p->slices, SD_EVENT_ON);
}

int td_scan_now(struct td_daemon *d, struct td_error *error)
{
	struct td_source_ports *p = d->source_ports;
	bool more;

	td_scan_leave(
		p); /* one that is under way has looked at some sockets before it was asked for */
	begin_round(p);
	more = go_on(d);
	if (!more)
		end_round(d);
	while (more && td_now_ns() - p->begun_ns < AT_ONCE_NS)
		more = slice(d);
	if (more) {
		td_scan_leave(p);
		p->at = 0;
	}
	td_scan_schedule(d);
	return more ? td_fail(error, ETIMEDOUT,
			      "a scan takes longer than five seconds here; ask without --scan, for "
			      "what the last one found")
		    : 0;
}
