// SPDX-License-Identifier: GPL-2.0-only
/* Source ports as JSON: /v1/ports, and what `status` says of them. */
#include <math.h>

#include "api/api.h"
#include "core/address.h"

#define ATTENTION_MOST 5
#define ATTENTION_NS   (300 * TD_NS_PER_S)

const char *const td_port_state_names[TUNDISH_PORT_STATE_MAX] = {
#define TUNDISH_X(name, help) #name,
	TUNDISH_PORT_STATES(TUNDISH_X)
#undef TUNDISH_X
};

const char *const td_port_failure_names[TUNDISH_PORT_FAILED_MAX] = {
#define TUNDISH_X(name, help) #name,
	TUNDISH_PORT_FAILURES(TUNDISH_X)
#undef TUNDISH_X
};

/* Whole seconds; null where it is not so at all. */
static json_t *seconds_json(double s)
{
	return isinf(s) ? json_null() : json_integer((json_int_t)llround(s));
}

static json_t *states_json(const struct td_picture *p)
{
	json_t *o = json_object();

	for (size_t i = 0; i < TUNDISH_PORT_STATE_MAX; i++)
		json_object_set_new(o, td_port_state_names[i], json_integer(p->state[i]));
	return o;
}

static json_t *failures_json(const __u64 *failed)
{
	json_t *o = json_object();

	for (size_t i = 0; i < TUNDISH_PORT_FAILED_MAX; i++)
		json_object_set_new(o, td_port_failure_names[i],
				    json_integer((json_int_t)failed[i]));
	return o;
}

static json_int_t sum(const __u64 *failed)
{
	json_int_t n = 0;

	for (size_t i = 0; i < TUNDISH_PORT_FAILED_MAX; i++)
		n += (json_int_t)failed[i];
	return n;
}

static double tenths(double rate)
{
	return round(rate * 10) / 10;
}

/* When what it says was counted; 0: not yet. */
static uint64_t counted_ns(const struct td_daemon *d, const struct td_tuple *t)
{
	return t->key.space == TD_SPACE_NAT ? d->nat->pass_ns
	       : t->budget.scan		    ? t->budget.scan_ns
					    : 0;
}

static json_t *tuple_json(const struct td_daemon *d, const struct td_state *state,
			  const struct td_tuple *t)
{
	const struct td_space *s = &d->source_ports->spaces[t->key.space];
	const struct td_picture *p = &t->picture;
	bool tcp = t->key.protocol == IPPROTO_TCP, has_remote = td_port_has_remote(&t->key);
	bool nat = t->key.space == TD_SPACE_NAT;
	char local[TD_ADDRESS_TEXT], remote[TD_ADDRESS_TEXT], service[100];
	uint64_t now = td_now_ns(), counted = counted_ns(d, t);

	return json_pack(
		"{s:s s:s? s:s s:s? s:o s:s? s:s s:i s:i s:i s:f s:o s:o s:o s:i s:f s:f s:f s:o s:I "
		"s:o}",
		"source", nat ? "nat" : "host", "service",
		nat ? td_lane_service(d, state, t->lane, service, sizeof(service)) : NULL,
		"local_ip", td_address_print(&t->key.local, local), "remote_ip",
		has_remote ? td_address_print(&t->key.remote, remote) : NULL, "remote_port",
		has_remote && t->key.remote_port_be
			? json_integer(__builtin_bswap16(t->key.remote_port_be))
			: json_null(),
		"namespace", s->name[0] ? s->name : NULL, "protocol", tcp ? "tcp" : "udp", "used",
		(int)p->used, "time_wait", (int)p->state[TUNDISH_PORT_time_wait], "usable",
		(int)p->usable, "utilization", p->utilization, "seconds_to_exhaustion",
		seconds_json(p->exhaustion_s), "seconds_to_cliff",
		has_remote ? seconds_json(p->cliff_s) : json_null(), "states", states_json(p),
		"reusable", (int)p->reusable, "opening_rate", tenths(p->opening_rate),
		"time_wait_rate", tenths(p->time_wait_rate), "freed_rate", tenths(p->freed_rate),
		"failures", failures_json(t->value.failed), "failed", sum(t->value.failed),
		"scan_age_seconds",
		counted ? json_real(tenths((double)(now - counted) / TD_NS_PER_S)) : json_null());
}

static json_t *other_json(const struct td_selection *s)
{
	return json_pack("{s:n s:n s:s s:s s:n s:n s:s s:i s:i s:n s:n s:n s:n s:o s:i s:f s:o s:I "
			 "s:I}",
			 "source", "service", "local_ip", "other", "remote_ip", "other",
			 "remote_port", "namespace", "protocol", "tcp", "used", (int)s->other.used,
			 "time_wait", (int)s->other.state[TUNDISH_PORT_time_wait], "usable",
			 "utilization", "seconds_to_exhaustion", "seconds_to_cliff", "states",
			 states_json(&s->other), "reusable", (int)s->other.reusable, "opening_rate",
			 tenths(s->other.opening_rate), "failures", failures_json(s->other_failed),
			 "failed", sum(s->other_failed), "tuples", (json_int_t)s->n_other);
}

static bool is_watched(struct td_daemon *d, struct td_reply *reply)
{
	if (d->source_ports->on)
		return true;
	if (d->source_ports->trouble[0])
		td_reply_error(reply, 503, 1, "source ports are not watched: %s",
			       d->source_ports->trouble);
	else
		td_reply_error(reply, 503, 1,
			       "source ports are not watched; set ports: {watch: on}");
	return false;
}

static void answer_list(struct td_daemon *d, const struct td_request *q, struct td_reply *reply)
{
	_cleanup_(td_selection_done) struct td_selection s = {0};
	_cleanup_(td_state_done) struct td_state state = {0};
	const char *scan = q->query(q, "scan");
	uint32_t rows = td_page_rows(q), top = TD_MIN(TD_TUPLES_SHOWN, rows);
	int r;

	if (td_read_number(q, "top", TD_MIN(TD_TUPLES_MOST, rows), &top, reply) < 0)
		return;
	/* Lanes are known without a scan. */
	if (!td_nat_is_on(d) && !is_watched(d, reply))
		return;
	if (d->source_ports->on &&
	    !td_scan_ready(d, q, scan && strcmp(scan, "0") ? TD_SCAN_FRESH : TD_SCAN_SOME, reply))
		return;
	if (td_nat_is_on(d) && td_read_state(d, &state, reply) < 0)
		return;
	r = td_port_table_select(d, TD_TUPLES_BY_USE, top, !q->query(q, "top"), false, &s);
	if (r < 0) {
		td_reply_error(reply, 500, 1, "cannot read the map ports: %s", strerror(-r));
		return;
	}
	reply->json = json_array();
	for (size_t i = 0; i < s.n; i++)
		json_array_append_new(reply->json, tuple_json(d, &state, s.rows[i]));
	if (s.n_other)
		json_array_append_new(reply->json, other_json(&s));
}

json_t *td_fullest_port_json(struct td_daemon *d, const struct td_state *s)
{
	_cleanup_(td_selection_done) struct td_selection found = {0};
	bool host = d->source_ports->on && d->source_ports->rounds;

	if ((!host && !td_nat_is_on(d)) ||
	    td_port_table_select(d, TD_TUPLES_BY_USE, 1, false, false, &found) < 0 || !found.n)
		return NULL;
	return tuple_json(d, s, found.rows[0]);
}

void td_answer_ports(struct td_daemon *d, const struct td_request *q, struct td_reply *reply)
{
	if (q->n_words == 1) {
		answer_list(d, q, reply);
	} else if (!strcmp(q->word[1], "blocked")) {
		if (is_watched(d, reply))
			td_answer_blocked(d, q, reply);
	} else {
		td_reply_error(reply, 404, 2, "there is no /v1/ports/%.40s; there is: blocked",
			       q->word[1]);
	}
}

/* ---- status --------------------------------------------------------------------------------- */

json_t *td_source_ports_json(struct td_daemon *d)
{
	const struct td_source_ports *p = d->source_ports;
	const struct td_tuple *fullest = NULL;
	char text[TD_TUPLE_TEXT];
	uint32_t sockets = 0;
	size_t n = 0;

	if (!p->on)
		return json_pack("{s:b}", "watch", 0);
	td_port_table_read(d);
	for (size_t i = 0; i < p->tuples.n; i++) {
		const struct td_tuple *t = &p->tuples.row[i];

		if (!t->key.protocol || !t->picture.used)
			continue;
		n++;
		if (!fullest || t->picture.utilization > fullest->picture.utilization)
			fullest = t;
	}
	for (uint32_t i = 1; i < TUNDISH_SPACES_MAX; i++)
		sockets += p->spaces[i].wanted && p->spaces[i].present ? p->spaces[i].sockets : 0;
	return json_pack(
		"{s:b s:I s:f s:s? s:{s:o s:f s:f s:f s:I}}", "watch", 1, "tuples", (json_int_t)n,
		"utilization_max", fullest ? fullest->picture.utilization : 0.0, "fullest",
		fullest ? td_tuple_text(&fullest->key, text) : NULL, "scan", "age_seconds",
		p->rounds ? json_real(tenths((double)(td_now_ns() - p->ended_ns) / TD_NS_PER_S))
			  : json_null(),
		"interval_seconds", (double)p->interval_ns / TD_NS_PER_S, "duration_seconds",
		(double)p->duration_ns / TD_NS_PER_S, "cpu_seconds",
		(double)p->cpu_ns / TD_NS_PER_S, "sockets", (json_int_t)sockets);
}

static void lanes_attention(struct td_daemon *d, td_attention_add add, json_t *list)
{
	uint64_t now = td_now_ns();
	size_t shown = 0;

	if (td_lane_ports_read(d, false) < 0)
		return;
	for (size_t i = 0; i < d->nat->rows.n && shown < ATTENTION_MOST; i++) {
		const struct td_tuple *t = &d->nat->rows.row[i];
		bool refused = t->failed_ns && now - t->failed_ns < ATTENTION_NS;
		char what[TD_TUPLE_TEXT], why[300];

		if (!refused && !t->budget.half && !t->budget.soon)
			continue;
		shown++;
		snprintf(why, sizeof(why),
			 "%u of %u NAT source ports are used, %u of them at rest%s%s",
			 t->picture.used, t->picture.usable, t->picture.reusable,
			 refused ? "; connections were refused within the last five minutes" : "",
			 t->budget.soon ? "; at this rate there is none left within ten minutes"
					: "");
		add(list, td_tuple_text(&t->key, what), why, TD_LANE_REMEDY);
	}
}

void td_source_ports_attention(struct td_daemon *d, td_attention_add add, json_t *list)
{
	const struct td_source_ports *p = d->source_ports;
	uint64_t now = td_now_ns();
	size_t shown = 0;
	char why[300], of[sizeof(p->spaces[0].name) + 32];

	lanes_attention(d, add, list);
	if (p->trouble[0])
		add(list, "source ports", p->trouble,
		    "`tundish port list` and `timewait` need it; all else works; reload when the "
		    "cause is gone");
	if (!p->on)
		return;
	if (p->bind_trouble[0])
		add(list, "ports.failures", p->bind_trouble,
		    "failures of connect(2) are counted as ever; set ports: {failures: connect}");
	for (uint32_t i = 1; i < TUNDISH_SPACES_MAX; i++) {
		if (!p->spaces[i].wanted || !p->spaces[i].trouble[0])
			continue;
		snprintf(of, sizeof(of), "source ports%s%s", p->spaces[i].name[0] ? " of " : "",
			 p->spaces[i].name);
		add(list, of, p->spaces[i].trouble,
		    "it is tried again with each scan; see ports.namespaces");
	}
	for (size_t i = 0; i < p->tuples.n && shown < ATTENTION_MOST; i++) {
		const struct td_tuple *t = &p->tuples.row[i];
		bool refused = t->failed_ns && now - t->failed_ns < ATTENTION_NS;
		char what[TD_TUPLE_TEXT];

		if (!t->key.protocol || (!refused && !t->budget.half && !t->budget.soon))
			continue;
		shown++;
		td_tuple_text(&t->key, what);
		if (refused && t->key.protocol == IPPROTO_TCP && !td_port_has_remote(&t->key)) {
			add(list, what, "bind(2) got EADDRINUSE within the last five minutes",
			    "see who has ports: `tundish port blocked`; a program that only wants a "
			    "source address should set IP_BIND_ADDRESS_NO_PORT");
			continue;
		}
		snprintf(why, sizeof(why), "%u of %u source ports are used, %u by TIME_WAIT%s%s",
			 t->picture.used, t->picture.usable,
			 t->picture.state[TUNDISH_PORT_time_wait],
			 refused ? "; connections were refused within the last five minutes" : "",
			 t->budget.soon ? "; at this rate there is none left within ten minutes"
					: "");
		add(list, what, why,
		    "let the other end close first, keep connections alive, or add "
		    "source addresses; see `tundish timewait`");
	}
	if (p->phase && now - p->begun_ns > p->interval_ns)
		snprintf(why, sizeof(why),
			 "a scan has been under way for %.1f s, the interval is %.1f s",
			 (double)(now - p->begun_ns) / TD_NS_PER_S,
			 (double)p->interval_ns / TD_NS_PER_S);
	else
		snprintf(why, sizeof(why), "the last scan took %.1f s, the interval is %.1f s",
			 (double)p->duration_ns / TD_NS_PER_S,
			 (double)p->interval_ns / TD_NS_PER_S);
	if (p->late.is)
		add(list, "socket scan", why,
		    "give tundishd more of a processor, watch fewer namespaces, or raise "
		    "ports.interval");
	if (p->full.is)
		add(list, "table of source ports",
		    "full: tuples without a place are counted together, as \"other\"",
		    "raise limits.ports, then `tundish unload` and start again");
}
