// SPDX-License-Identifier: GPL-2.0-only
/*
 * The loop of all probes.
 *
 * One heap has the time of each probe: when it begins, or while it runs when its time is
 * up. One timerfd is set to the earliest. Those that are due within the same few
 * milliseconds begin together, so that ten thousand a second take some hundred wake-ups.
 * Each call does a bounded number of things; what is left leaves the descriptor readable.
 */
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>

#include "lib/escape.h"
#include "probe/private.h"

#define KEEP_NS	 1000000000ull /* sockets are not kept for longer than that */
#define EVENTS	 256
#define ROUNDS	 4   /* of events, in one call */
#define BEGIN	 512 /* most probes that one call begins or ends for their time */
#define PROGRAMS 8   /* of them that are programs: each takes the loop a moment */

uint64_t td_probe_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/* ---- turns ------------------------------------------------------------------------ */

static struct td_turns *turns_of(struct td_probe *b)
{
	return b->kind->program ? &b->prober->programs : &b->prober->sockets;
}

static void begin(struct td_probe *b)
{
	int r;

	b->state = TD_PROBE_RUNNING;
	turns_of(b)->running++;
	b->started_ns = td_probe_now();
	b->length = b->taken = 0;
	b->exit_status = -1;
	b->astray = false;
	td_due_set(&b->prober->due, &b->due, b->started_ns + b->timeout_ms * 1000000ull);
	r = b->kind->start(b);
	if (r < 0)
		td_probe_end(b, TD_PROBE_UNABLE, "this host could not ask it: %s", strerror(-r));
}

/* It is due: now, or when others have ended. */
static void take_turn(struct td_probe *b)
{
	struct td_turns *t = turns_of(b);

	if (t->running < t->max) {
		begin(b);
		return;
	}
	td_due_remove(&b->prober->due, &b->due);
	b->state = TD_PROBE_WAITING;
	td_ring_append(&t->waiting, &b->queue);
	t->n_waiting++;
	b->prober->waited++;
}

static void leave_queue(struct td_probe *b)
{
	struct td_turns *t = turns_of(b);

	td_ring_remove(&b->queue);
	t->n_waiting--;
	b->state = TD_PROBE_IDLE;
}

static void next_turns(struct td_turns *t, unsigned int most)
{
	while (most-- && t->running < t->max && t->n_waiting) {
		struct td_probe *b = TD_OF(t->waiting.next, struct td_probe, queue);

		leave_queue(b);
		begin(b);
	}
}

static void stop(struct td_probe *b)
{
	if (b->state != TD_PROBE_RUNNING)
		return;
	b->kind->stop(b);
	td_probe_closed(b);
	turns_of(b)->running--;
	b->state = TD_PROBE_IDLE;
	b->again = false;
}

void td_probe_end(struct td_probe *b, enum td_probe_verdict verdict, const char *format, ...)
{
	struct td_probe_result r = {
		.verdict = verdict,
		.latency_ns = td_probe_now() - b->started_ns,
		.length = b->length,
		.status = b->exit_status,
	};
	_cleanup_free_ char *answer = NULL;
	va_list ap;

	if (b->state != TD_PROBE_RUNNING)
		return;
	va_start(ap, format);
	vsnprintf(r.reason, sizeof(r.reason), format, ap);
	va_end(ap);
	r.answer = answer = TD_TAKE_PTR(b->answer); /* which stop() frees */
	stop(b);
	/* Somebody else has answered. Where nobody has, the packets may have stayed here for want
	 * of a neighbour: the server is not there. */
	if (b->astray && (verdict == TD_PROBE_GOOD || verdict == TD_PROBE_REFUSED || b->connected ||
			  td_http_connected(b))) {
		r.verdict = TD_PROBE_UNABLE;
		snprintf(r.reason, sizeof(r.reason),
			 "its packets did not take the way that traffic takes");
	}
	b->done(b->context, &r);
	if (!b->again)
		td_due_remove(&b->prober->due, &b->due);
}

void td_probe_end_errno(struct td_probe *b, int code)
{
	switch (code) {
	case ECONNREFUSED: td_probe_end(b, TD_PROBE_REFUSED, "connection refused"); break;
	case ETIMEDOUT: td_probe_end(b, TD_PROBE_TIMEOUT, "no answer"); break;
	case EADDRNOTAVAIL:
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case ENOBUFS:
	case EPERM:
	case EACCES:
		td_probe_end(b, TD_PROBE_UNABLE, "this host could not ask it: %s", strerror(code));
		break;
	default: td_probe_end(b, TD_PROBE_BAD, "%s", strerror(code)); break;
	}
}

/* ---- time --------------------------------------------------------------------------- */

static void arm(struct td_prober *p, uint64_t ns)
{
	struct itimerspec t = {
		.it_value = {.tv_sec = (time_t)(ns / 1000000000ull),
			     .tv_nsec = (long)(ns % 1000000000ull)},
	};

	if (p->armed_ns == ns)
		return;
	p->armed_ns = ns;
	timerfd_settime(p->timer.fd, TFD_TIMER_ABSTIME, &t, NULL);
}

/* Somebody waits, and may begin: what one call does is bounded. */
static bool has_turn(const struct td_turns *t)
{
	return t->n_waiting && t->running < t->max;
}

/* To the earliest of all, on the grid of ticks. A time that has passed is one in which there
 * was too much to do: at once. */
static void rearm(struct td_prober *p, bool more)
{
	uint64_t at = 0;
	const struct td_due *first = td_due_first(&p->due, &at);
	/* Never later than told, while a timeout is never earlier. */
	bool begins = first && TD_OF(first, struct td_probe, due)->state == TD_PROBE_IDLE;

	if (p->curl_due_ns && (!at || p->curl_due_ns < at))
		at = p->curl_due_ns, begins = false;
	if (p->look_ns && (!at || p->look_ns < at))
		at = p->look_ns, begins = false;
	if (more || has_turn(&p->sockets) || has_turn(&p->programs))
		at = 1;
	else if (at)
		at = TD_MAX((at / TD_PROBE_TICK_NS + !begins) * TD_PROBE_TICK_NS, 1);
	arm(p, at);
}

static void time_is_up(struct td_probe *b)
{
	if (b->kind->program && b->taken >= TD_PROBE_OUTPUT_BYTES)
		td_probe_end(b, TD_PROBE_TIMEOUT,
			     "it wrote %u bytes, more of which are not read, "
			     "and was not done within %u ms",
			     TD_PROBE_OUTPUT_BYTES, b->timeout_ms);
	else if (b->kind->program)
		td_probe_end(b, TD_PROBE_TIMEOUT, "not done within %u ms", b->timeout_ms);
	else if (b->connected || td_http_connected(b))
		td_probe_end(b, TD_PROBE_TIMEOUT, "no answer within %u ms", b->timeout_ms);
	else
		td_probe_end(b, TD_PROBE_TIMEOUT, "no connection within %u ms", b->timeout_ms);
}

/* What is due. Returns whether there is more. */
static bool run_due(struct td_prober *p)
{
	uint64_t now = td_probe_now();
	unsigned int programs = 0;

	for (unsigned int i = 0; i < BEGIN; i++) {
		uint64_t at;
		struct td_due *first = td_due_first(&p->due, &at);
		struct td_probe *b;

		if (!first)
			return false;
		b = TD_OF(first, struct td_probe, due);
		if (b->state == TD_PROBE_RUNNING) {
			if (at > now)
				return false;
			time_is_up(b);
			continue;
		}
		if (at > now + TD_PROBE_TICK_NS)
			return false;
		if (b->kind->program && ++programs > PROGRAMS)
			return true;
		take_turn(b);
	}
	return true;
}

static void on_timer(struct td_watch *w, uint32_t events)
{
	TD_OF(w, struct td_prober, timer)->armed_ns = 0;
}

/* ---- the loop ------------------------------------------------------------------------ */

int td_watch_add(struct td_prober *p, struct td_watch *w, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = w};

	return epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, w->fd, &e) < 0 ? -errno : 0;
}

void td_prober_run(struct td_prober *p)
{
	struct epoll_event events[EVENTS];
	bool more = false;

	p->busy = true;
	for (unsigned int round = 0; round < ROUNDS; round++) {
		int n = epoll_wait(p->epoll_fd, events, EVENTS, 0);

		for (int i = 0; i < n; i++) {
			struct td_watch *w = events[i].data.ptr;

			/* One of the same probe may have closed it. */
			if (w->fd >= 0)
				w->ready(w, events[i].events);
		}
		if (p->curl_due_ns && p->curl_due_ns <= td_probe_now())
			td_http_due(p);
		next_turns(&p->programs, PROGRAMS);
		next_turns(&p->sockets, BEGIN);
		more = run_due(p);
		if (n <= 0)
			break;
	}
	p->busy = false;
	td_http_sweep(p);
	td_strays_look(p);
	rearm(p, more);
}

/* ---- beginning and end ---------------------------------------------------------------- */

int td_prober_open(const struct td_prober_options *options, struct td_prober **ret,
		   struct td_error *error)
{
	struct td_prober *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return td_fail(error, ENOMEM, "out of memory");
	p->options = *options;
	p->sockets.max = options->max_sockets;
	p->programs.max = options->max_programs;
	td_ring_init(&p->sockets.waiting);
	td_ring_init(&p->programs.waiting);
	td_ring_init(&p->probes);
	td_strays_open(p);
	p->timer = (struct td_watch){.ready = on_timer, .fd = -1};
	p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (p->epoll_fd >= 0)
		p->timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (p->timer.fd < 0 || td_watch_add(p, &p->timer, EPOLLIN | EPOLLET) < 0) {
		r = errno;
		td_prober_close(p);
		return td_fail(error, r, "cannot make an event loop for checks: %s", strerror(r));
	}
	*ret = p;
	return 0;
}

struct td_prober *td_prober_close(struct td_prober *p)
{
	if (!p)
		return NULL;
	while (p->probes.next != &p->probes)
		td_probe_free(TD_OF(p->probes.next, struct td_probe, all));
	td_strays_close(p);
	td_exec_close(p);
	td_http_close(p);
	td_fd_close(&p->timer.fd);
	td_fd_close(&p->epoll_fd);
	free(p->due.entry);
	free(p);
	return NULL;
}

int td_prober_fd(const struct td_prober *p)
{
	return p->epoll_fd;
}

struct td_prober_counts td_prober_counts(const struct td_prober *p)
{
	return (struct td_prober_counts){
		.sockets = p->sockets.running,
		.programs = p->programs.running,
		.waiting = p->sockets.n_waiting + p->programs.n_waiting,
		.waited = p->waited,
	};
}

static int read_bytes(const char *text, struct td_bytes *ret)
{
	ssize_t n;

	if (!text)
		return 0;
	ret->data = malloc(strlen(text) + 1);
	if (!ret->data)
		return -ENOMEM;
	n = td_escape_read(text, ret->data);
	ret->n = n < 0 ? 0 : (size_t)n;
	return n < 0 ? -EINVAL : 0;
}

static int set_up(struct td_probe *b, const struct td_probe_spec *spec, struct td_error *error)
{
	int r;

	switch (spec->kind) {
	case TD_PROBE_HTTP:
	case TD_PROBE_HTTPS:
		b->kind = &td_kind_http;
		r = read_bytes(spec->body, &b->expect);
		return r < 0 ? r : td_http_new(b, spec, error);
	case TD_PROBE_EXEC: b->kind = &td_kind_exec; return td_exec_new(b, spec);
	default:
		b->kind = &td_kind_talk;
		r = read_bytes(spec->send, &b->send);
		return r < 0 ? r : read_bytes(spec->expect, &b->expect);
	}
}

int td_probe_new(struct td_prober *p, const struct td_probe_spec *spec, td_probe_done done,
		 void *context, struct td_probe **ret, struct td_error *error)
{
	struct td_probe *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return td_fail(error, ENOMEM, "out of memory");
	b->prober = p;
	b->type = spec->kind;
	b->address = spec->address;
	b->port = spec->port;
	b->timeout_ms = spec->timeout_ms;
	b->status = spec->status;
	b->dynamic_weight = spec->dynamic_weight;
	b->done = done;
	b->context = context;
	b->watch.fd = b->process.fd = -1;
	td_ring_init(&b->queue);
	td_ring_append(&p->probes, &b->all);
	p->n_probes++;
	r = set_up(b, spec, error);
	if (r == 0)
		r = td_due_reserve(&p->due, p->n_probes);
	if (r < 0) {
		td_probe_free(b);
		return error && error->text[0] ? r : td_fail(error, -r, "%s", strerror(-r));
	}
	*ret = b;
	return 0;
}

struct td_probe *td_probe_free(struct td_probe *b)
{
	struct td_prober *p;

	if (!b)
		return NULL;
	p = b->prober;
	stop(b);
	if (b->state == TD_PROBE_WAITING)
		leave_queue(b);
	td_due_remove(&p->due, &b->due);
	td_ring_remove(&b->all);
	p->n_probes--;
	td_talk_forget(b);
	td_http_free(b);
	td_exec_free(b);
	free(b->send.data);
	free(b->expect.data);
	free(b->answer);
	free(b);
	if (!p->busy && (has_turn(&p->sockets) || has_turn(&p->programs)))
		rearm(p, true); /* its turn is another's now */
	return NULL;
}

void td_prober_stop_programs(struct td_prober *p)
{
	for (struct td_ring *r = p->probes.next; r != &p->probes; r = r->next) {
		struct td_probe *b = TD_OF(r, struct td_probe, all);

		if (!b->kind->program || b->state != TD_PROBE_RUNNING)
			continue;
		stop(b);
		td_probe_at(b, td_probe_now());
	}
	td_exec_wait(p);
	td_strays_end(p);
}

void td_probe_at(struct td_probe *b, uint64_t when_ns)
{
	struct td_prober *p = b->prober;

	if (b->state != TD_PROBE_IDLE)
		return;
	b->again = true;
	if (when_ns > td_probe_now() + KEEP_NS)
		td_talk_forget(b);
	td_due_set(&p->due, &b->due, when_ns);
	if (!p->busy && (!p->armed_ns || when_ns < p->armed_ns))
		rearm(p, false);
}

const char *td_probe_verdict_name(enum td_probe_verdict verdict)
{
	static const char *const names[] = {
		[TD_PROBE_GOOD] = "good",	[TD_PROBE_BAD] = "bad",
		[TD_PROBE_REFUSED] = "refused", [TD_PROBE_TIMEOUT] = "timeout",
		[TD_PROBE_UNABLE] = "unable",
	};

	return names[verdict];
}
