// SPDX-License-Identifier: GPL-2.0-only
/*
 * /v1/timewait: how many, how fast, who closes first, and whether it matters here.
 * Numbers of all sockets are the kernel's own; whose they are comes from the events, of
 * sockets since the programs are there.
 */
#include "api/api.h"
#include "core/address.h"
#include "core/timewait.h"
#include "daemon/source_ports.h"

#define TOP	  10
#define RECENT_NS (300 * TD_NS_PER_S)

static const char *side(const struct tundish_closer *c)
{
	uint64_t here = c->here + c->reset_here, there = c->there + c->reset_there;

	return here > there ? "this host" : there > here ? "the other end" : "both alike";
}

/* To a row, whose connections ended so. */
static json_t *with_closer(json_t *o, const struct tundish_closer *c)
{
	json_object_update_new(o,
			       json_pack("{s:I s:I s:I s:I s:I s:s}", "closed_here",
					 (json_int_t)c->here, "closed_there", (json_int_t)c->there,
					 "reset_here", (json_int_t)c->reset_here, "reset_there",
					 (json_int_t)c->reset_there, "closed_then_reset",
					 (json_int_t)c->then_reset, "closes_first", side(c)));
	return o;
}

static int by_count(const void *a, const void *b)
{
	const struct td_closer *x = a, *y = b;
	uint64_t n = td_closer_all(&x->value), m = td_closer_all(&y->value);

	return n != m ? (n > m ? -1 : 1) : memcmp(&x->key, &y->key, sizeof(x->key));
}

static json_t *services_json(struct td_daemon *d)
{
	_cleanup_free_ struct td_closer *all = NULL;
	json_t *list = json_array();
	size_t n = 0;

	if (td_kernel_closers(d->kernel, &all, &n) < 0 || !n)
		return list;
	qsort(all, n, sizeof(*all), by_count);
	for (size_t i = 0; i < TD_MIN(n, (size_t)TOP); i++) {
		const struct td_space *s =
			&d->source_ports->spaces[all[i].key.space % TUNDISH_SPACES_MAX];
		char text[TD_ADDRESS_TEXT];

		json_array_append_new(
			list, with_closer(json_pack("{s:s s:i s:s?}", "local_ip",
						    td_address_print(&all[i].key.local, text),
						    "local_port", (int)all[i].key.port, "namespace",
						    s->name[0] ? s->name : NULL),
					  &all[i].value));
	}
	return list;
}

/* Those with most in TIME_WAIT, as destinations: who closes first there. */
static json_t *tuples_json(struct td_daemon *d, const struct td_selection *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->n; i++) {
		const struct td_tuple *t = s->rows[i];
		const struct td_space *space = &d->source_ports->spaces[t->key.space];
		char local[TD_ADDRESS_TEXT], remote[TD_ADDRESS_TEXT];

		if (!td_port_has_remote(&t->key))
			continue;
		json_array_append_new(
			list,
			with_closer(json_pack("{s:s s:s s:i s:s? s:i s:i s:f s:f}", "local_ip",
					      td_address_print(&t->key.local, local), "remote_ip",
					      td_address_print(&t->key.remote, remote),
					      "remote_port",
					      __builtin_bswap16(t->key.remote_port_be), "namespace",
					      space->name[0] ? space->name : NULL, "time_wait",
					      (int)t->picture.state[TUNDISH_PORT_time_wait], "used",
					      (int)t->picture.used, "utilization",
					      t->picture.utilization, "entered_per_second",
					      t->picture.time_wait_rate),
				    &t->value.closed));
	}
	return list;
}

static json_t *namespaces_json(const struct td_source_ports *p)
{
	json_t *list = json_array();

	for (uint32_t i = 1; i < TUNDISH_SPACES_MAX; i++) {
		const struct td_space *s = &p->spaces[i];

		if (!s->wanted || !s->present)
			continue;
		json_array_append_new(
			list,
			json_pack("{s:s? s:I s:I s:I s:f s:I s:I s:I}", "namespace",
				  s->name[0] ? s->name : NULL, "sockets", (json_int_t)s->facts.tw,
				  "limit", (json_int_t)s->facts.tw_limit, "entered",
				  (json_int_t)s->facts.tw_entered, "entered_per_second",
				  s->entered_rate, "reused", (json_int_t)s->facts.tw_recycled,
				  "killed", (json_int_t)s->facts.tw_killed, "overflowed",
				  (json_int_t)s->facts.tw_overflow));
	}
	return list;
}

static void of_tuple(struct td_timewait *t, const struct td_tuple *f, uint64_t now, char *text)
{
	t->tuple = td_tuple_text(&f->key, text);
	t->used = f->picture.used;
	t->usable = f->picture.usable;
	t->in_time_wait = f->picture.state[TUNDISH_PORT_time_wait];
	t->utilization = f->picture.utilization;
	t->refused = f->failed_ns && now - f->failed_ns < RECENT_NS;
}

void td_answer_timewait(struct td_daemon *d, const struct td_request *q, struct td_reply *reply)
{
	static const char *const words[] = {"fine", "symptom", "cause"};
	struct td_source_ports *p = d->source_ports;
	_cleanup_(td_selection_done) struct td_selection s = {0};
	struct td_timewait t = {0};
	char text[TD_TUPLE_TEXT], sentence[512];
	json_int_t entered = 0, reused = 0, overflowed = 0;
	uint64_t now = td_now_ns();
	const struct td_tuple *fullest = NULL;
	enum td_timewait_verdict verdict;
	json_t *tuples;

	if (!p->on) {
		td_reply_error(reply, 503, 1, "source ports are not watched%s%s",
			       p->trouble[0] ? ": " : "; set ports: {watch: on}", p->trouble);
		return;
	}
	if (!td_scan_ready(d, q, TD_SCAN_SOME, reply))
		return;
	for (uint32_t i = 1; i < TUNDISH_SPACES_MAX; i++) {
		const struct td_space *space = &p->spaces[i];

		if (!space->wanted || !space->present)
			continue;
		t.sockets += space->facts.tw;
		/* Each namespace has its own: the fullest one counts. */
		if (space->facts.tw_limit && (!t.limit || i == 1))
			t.limit = space->facts.tw_limit;
		t.entered_rate += space->entered_rate;
		t.overflowed_lately +=
			space->tw_overflow_ns && now - space->tw_overflow_ns < RECENT_NS;
		entered += (json_int_t)space->facts.tw_entered;
		reused += (json_int_t)space->facts.tw_recycled;
		overflowed += (json_int_t)space->facts.tw_overflow;
	}
	if (td_port_table_select(d, TD_TUPLES_BY_TIME_WAIT, TOP, false, true, &s) < 0) {
		td_reply_error(reply, 500, 1, "cannot read the map ports");
		return;
	}
	for (size_t i = 0; i < p->tuples.n; i++) {
		const struct td_tuple *tuple = &p->tuples.row[i];

		if (!td_tuple_listed(p, tuple))
			continue;
		t.outbound += tuple->picture.state[TUNDISH_PORT_time_wait];
		if (td_port_has_remote(&tuple->key) &&
		    (!fullest || td_tuple_compare(TD_TUPLES_BY_USE, tuple, fullest) < 0))
			fullest = tuple;
	}
	if (fullest)
		of_tuple(&t, fullest, now, text);
	verdict = td_timewait_judge(&t, sentence, sizeof(sentence));
	tuples = tuples_json(d, &s);
	reply->json = json_pack("{s:I s:I s:I s:I s:f s:I s:I s:s s:s s:o s:o s:o}", "sockets",
				(json_int_t)t.sockets, "outbound", (json_int_t)t.outbound, "limit",
				(json_int_t)t.limit, "entered", entered, "entered_per_second",
				t.entered_rate, "reused", reused, "overflowed", overflowed,
				"verdict", words[verdict], "why", sentence, "namespaces",
				namespaces_json(p), "services", services_json(d), "tuples", tuples);
}
