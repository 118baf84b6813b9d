// SPDX-License-Identifier: GPL-2.0-only
/*
 * `capture`: a request, and packets as pcapng for as long as somebody reads. Packets stay in the
 * kernel's ring until the connection has room for them; here are at most BUFFER bytes.
 *
 * While there is nothing to tell a block of statistics leaves each second: it says what was
 * left out so far, and finds out that nobody reads any more.
 */
#include <net/if.h>
#include <time.h>

#include "api/api.h"
#include "api/capture.h"
#include "api/pcapng.h"

#define BUFFER		(64u << 10)
#define ENOUGH		(32u << 10) /* of it, in one turn */
#define INTERFACES_MAX	64u
#define SNAPLEN_DEFAULT 256u
#define SECONDS_DEFAULT 60u
#define MIB_DEFAULT	64u

_Static_assert(BUFFER > ENOUGH + TUNDISH_CAPTURE_BYTES + 2 * TD_PCAPNG_BLOCK_MAX,
	       "one more packet");

struct reader {
	struct td_capture capture;
	struct td_daemon *d;
	uint64_t count, bytes; /* limits; count 0: none */
	uint64_t sent;	       /* bytes so far */
	uint64_t began_ns, told_ns, offset_ns;
	bool begun, closed;
	struct td_pcapng blocks;
	size_t at; /* of them, what has left */
	struct {
		uint32_t ifindex, point;
	} interface[INTERFACES_MAX];
	uint32_t n_interfaces;
	struct {
		uint32_t id;
		char name[TUNDISH_NAME_LEN];
	} service; /* that was named last */
	unsigned char bytes_of_blocks[BUFFER];
};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * TD_NS_PER_S + (uint64_t)t.tv_nsec;
}

/* ---- blocks ---------------------------------------------------------------------------- */

static const char *service_name(struct reader *r, uint32_t id)
{
	if (!id)
		return "";
	if (r->service.id != id) {
		r->service.id = id;
		if (td_kernel_service_name(r->d->kernel, id, r->service.name) < 0)
			snprintf(r->service.name, sizeof(r->service.name), "number %u", id);
	}
	return r->service.name;
}

static const char *backend_name(struct reader *r, uint32_t id, char name[TUNDISH_NAME_LEN])
{
	name[0] = '\0';
	if (id && id < td_kernel_settings(r->d->kernel)->backends_max)
		memcpy(name, td_kernel_backends(r->d->kernel)[id].name, TUNDISH_NAME_LEN);
	name[TUNDISH_NAME_LEN - 1] = '\0';
	return name;
}

/* The number of a NIC's block, which is made where there is none yet; the last one is for all others. */
static uint32_t interface_of(struct reader *r, uint32_t ifindex, uint32_t point)
{
	char name[IF_NAMESIZE + 12];
	uint32_t i;

	for (i = 0; i < r->n_interfaces; i++)
		if (r->interface[i].ifindex == ifindex && r->interface[i].point == point)
			return i;
	if (i == INTERFACES_MAX)
		return INTERFACES_MAX - 1;
	if (i == INTERFACES_MAX - 1) {
		td_pcapng_interface(&r->blocks, "others", "more interfaces than are told apart",
				    r->capture.conf.text, r->capture.conf.filter.snaplen);
		return r->n_interfaces++; /* under 0, which no packet has */
	}
	if (!if_indextoname(ifindex, name))
		snprintf(name, sizeof(name), "number %u", ifindex);
	td_pcapng_interface(&r->blocks, name,
			    point == TUNDISH_CAPTURE_IN ? "as packets arrive"
							: "as packets leave, after the rewrite",
			    r->capture.conf.text, r->capture.conf.filter.snaplen);
	r->interface[i].ifindex = ifindex;
	r->interface[i].point = point;
	return r->n_interfaces++;
}

/* Nothing more is asked for. */
static bool is_full(const struct reader *r)
{
	return (r->count && r->capture.packets >= r->count) ||
	       r->sent + r->blocks.length >= r->bytes;
}

/* The first reason to stop stays. */
static void stop_full(struct reader *r)
{
	if (r->count && r->capture.packets >= r->count)
		td_capture_stop(&r->capture, "%llu packets were captured",
				(unsigned long long)r->count);
	else
		td_capture_stop(&r->capture, "%llu MiB were captured",
				(unsigned long long)r->bytes >> 20);
}

static bool on_packet(void *context, const struct tundish_captured *p, const void *frame)
{
	struct reader *r = context;
	char backend[TUNDISH_NAME_LEN], comment[2 * TUNDISH_NAME_LEN + 64];
	struct td_pcapng_packet out = {
		.time_ns = p->at_ns + r->offset_ns,
		.frame = frame,
		.captured = p->captured,
		.length = p->length,
		.direction =
			p->point == TUNDISH_CAPTURE_IN ? TD_PCAPNG_INBOUND : TD_PCAPNG_OUTBOUND,
		.number = p->number,
		.queue = p->queue,
		.action = p->action,
		.comment = comment,
	};

	if (is_full(r))
		return false;
	td_capture_comment(p->counter, service_name(r, p->service),
			   backend_name(r, p->backend, backend), comment, sizeof(comment));
	out.interface = interface_of(r, p->ifindex, p->point);
	td_pcapng_add(&r->blocks, &out);
	r->capture.packets++;
	if (is_full(r))
		stop_full(r);
	return r->blocks.length < ENOUGH && !is_full(r);
}

static void begin(struct reader *r)
{
	uint32_t only = r->capture.conf.filter.ifindex;

	r->begun = true;
	td_pcapng_section(&r->blocks, "tundish " TD_VERSION, r->capture.conf.text);
	if (only)
		interface_of(r, only, TUNDISH_CAPTURE_IN);
	for (size_t i = 0; !only && i < TD_MIN(r->d->n_attachments, (size_t)INTERFACES_MAX / 2);
	     i++)
		interface_of(r, r->d->attachments[i].ifindex, TUNDISH_CAPTURE_IN);
	if (!r->n_interfaces)
		interface_of(r, 0, TUNDISH_CAPTURE_IN);
}

/* The last one ends with why, which is what `tundish capture` tells. */
static void tell(struct reader *r, uint64_t now)
{
	const struct td_capture *c = &r->capture;
	uint64_t lost = c->sampled + c->full + c->left;
	char comment[TD_PCAPNG_TEXT_MAX], left[64] = "";
	int n;

	if (c->left)
		snprintf(left, sizeof(left), ", %llu that were not read in time",
			 (unsigned long long)c->left);

	n = snprintf(comment, sizeof(comment), "%llu packets", (unsigned long long)c->packets);
	if (lost)
		n += snprintf(
			comment + n, sizeof(comment) - (size_t)n,
			", %llu more left out (%llu by sampling while the ring was half full, "
			"%llu while it was full%s)",
			(unsigned long long)lost, (unsigned long long)c->sampled,
			(unsigned long long)c->full, left);
	if (c->why[0])
		snprintf(comment + n, sizeof(comment) - (size_t)n, "; %s", c->why);
	td_pcapng_statistics(&r->blocks, 0, r->began_ns, clock_ns(CLOCK_REALTIME), c->packets, lost,
			     comment);
	r->told_ns = now;
}

/* More blocks, where there are any. */
static void fill(struct reader *r)
{
	uint64_t now = td_now_ns();

	r->at = r->blocks.length = 0;
	r->service.id = 0; /* its name may be another's by now */
	r->offset_ns = clock_ns(CLOCK_REALTIME) - now;
	if (!r->begun)
		begin(r);
	else if (!is_full(r))
		td_capture_read(&r->capture);
	if (is_full(r)) { /* by a block of statistics, too */
		stop_full(r);
		td_capture_close(&r->capture); /* others may capture while this one is sent */
	}
	if (r->blocks.length)
		return;
	if (r->capture.why[0]) {
		r->closed = true;
		td_capture_close(&r->capture);
		tell(r, now);
	} else if (now - r->told_ns >= TD_NS_PER_S) {
		tell(r, now);
	}
}

static ssize_t more(void *context, char *buffer, size_t size)
{
	struct reader *r = context;
	size_t n;

	if (r->at == r->blocks.length) {
		if (r->closed)
			return 0;
		fill(r);
	}
	if (r->at == r->blocks.length) {
		td_capture_wait(&r->capture);
		return -EAGAIN;
	}
	n = TD_MIN(size, r->blocks.length - r->at);
	memcpy(buffer, r->blocks.data + r->at, n);
	r->at += n;
	r->sent += n;
	return (ssize_t)n;
}

static void done(void *context)
{
	struct reader *r = context;

	td_capture_close(&r->capture);
	free(r);
}

/* ---- the request ----------------------------------------------------------------------- */

static const struct {
	const char *name;
	uint32_t points;
} points[] = {
	{"all", TUNDISH_CAPTURE_IN | TUNDISH_CAPTURE_OUT},
	{"in", TUNDISH_CAPTURE_IN},
	{"out", TUNDISH_CAPTURE_OUT},
	{"dropped", TUNDISH_CAPTURE_DROPPED},
};

static int read_points(const struct td_request *q, uint32_t *ret, struct td_reply *reply)
{
	const char *name = q->query(q, "point") ?: "all";

	for (size_t i = 0; i < TD_ARRAY_SIZE(points); i++)
		if (!strcmp(points[i].name, name)) {
			*ret = points[i].points;
			return 0;
		}
	td_reply_error(reply, 400, 2, "point: \"%.20s\" is none; valid: all, in, out, dropped",
		       name);
	return -EINVAL;
}

/* A number from 1 to `max`; what *ret is stays where it is absent. */
static int read_limit(const struct td_request *q, const char *key, uint32_t max, uint32_t *ret,
		      struct td_reply *reply)
{
	if (td_read_number(q, key, max, ret, reply) < 0)
		return -EINVAL;
	if (*ret || !q->query(q, key))
		return 0;
	td_reply_error(reply, 400, 2, "%s: 0 captures nothing; valid: 1 to %u", key, max);
	return -EINVAL;
}

static int read_request(struct td_daemon *d, const struct td_request *q, struct reader *r,
			struct td_reply *reply)
{
	_cleanup_(td_state_done) struct td_state s = {0};
	struct td_capture_names names = {&s, d->attachments, d->n_attachments};
	struct td_capture_conf *c = &r->capture.conf;
	uint32_t count = 0, mib = MIB_DEFAULT;
	struct td_error e = {0};
	int code;

	c->seconds = SECONDS_DEFAULT;
	c->filter.snaplen = SNAPLEN_DEFAULT;
	if (read_points(q, &c->filter.points, reply) < 0 ||
	    read_limit(q, "count", UINT32_MAX, &count, reply) < 0 ||
	    read_limit(q, "seconds", TD_CAPTURE_SECONDS_MAX, &c->seconds, reply) < 0 ||
	    read_limit(q, "size", TD_CAPTURE_MIB_MAX, &mib, reply) < 0 ||
	    read_limit(q, "snaplen", TUNDISH_CAPTURE_BYTES, &c->filter.snaplen, reply) < 0 ||
	    td_read_state(d, &s, reply) < 0)
		return -EINVAL;
	r->count = count;
	r->bytes = (uint64_t)mib << 20;
	code = td_capture_filter(q->query(q, "filter") ?: "", &names, c, &e);
	if (code < 0)
		td_reply_error(reply, code == -ENOENT ? 404 : 400, code == -ENOENT ? 4 : 2, "%s",
			       e.text);
	return code;
}

/* Whether that process began it; one in a namespace of its own knows its id by another number, and is
 * known by its connections. */
static bool is_of(const struct td_capture *c, const struct td_request *q, uint32_t process)
{
	return c->process &&
	       (c->process == (int)process || (q->peer && (int)q->peer->pid == c->process));
}

/* By anybody who may capture; with "process" only what that one began. */
static void answer_end(struct td_daemon *d, const struct td_request *q, struct td_reply *reply)
{
	uint32_t process = 0;
	bool ends;

	if (strcmp(q->word[1], "end")) {
		td_reply_error(reply, 404, 2, "there is no /v1/capture/%.40s; there is: end",
			       q->word[1]);
		return;
	}
	if (td_read_number(q, "process", INT32_MAX, &process, reply) < 0)
		return;
	ends = d->capture && (!q->query(q, "process") || is_of(d->capture, q, process));
	if (ends) {
		td_capture_end(d, "it was ended by command");
		td_control_resume(d->control);
	}
	reply->json = json_pack("{s:b}", "ended", ends);
}

void td_answer_capture(struct td_daemon *d, const struct td_request *q, struct td_reply *reply)
{
	struct reader *r;
	struct td_error e = {0};
	int code;

	if (q->n_words > 1) {
		answer_end(d, q, reply);
		return;
	}
	r = calloc(1, sizeof(*r));
	if (!r) {
		td_reply_error(reply, 500, 1, "out of memory");
		return;
	}
	r->d = d;
	r->blocks =
		(struct td_pcapng){.data = r->bytes_of_blocks, .room = sizeof(r->bytes_of_blocks)};
	r->told_ns = td_now_ns();
	r->began_ns = clock_ns(CLOCK_REALTIME);
	if (read_request(d, q, r, reply) < 0) {
		free(r);
		return;
	}
	r->capture.process = q->peer ? (int)q->peer->pid : 0;
	snprintf(r->capture.who, sizeof(r->capture.who), "uid %u (process %d)",
		 q->peer ? q->peer->uid : 0, r->capture.process);
	code = td_capture_open(d, &r->capture, on_packet, r, &e);
	if (code < 0) {
		td_reply_error(reply, code == -EBUSY ? 409 : 500, 1, "%s", e.text);
		free(r);
		return;
	}
	reply->stream = (struct td_stream){more, done, r};
	reply->content_type = "application/vnd.tcpdump.pcap";
}
