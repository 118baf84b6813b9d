// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tuples as JSON, those with most connections first: read and put in order at once, so that a
 * list is of one moment, and told as it is taken. Each row ends its line, so that who reads may
 * take the first ones before the last.
 */
#include <netinet/in.h>

#include "api/api.h"
#include "core/address.h"
#include "core/budget.h"

#define TOP_DEFAULT 1000
#define TOP_MAX	    10000

static json_t *tuple_json(const struct td_state *s, const struct tundish_tuple *t)
{
	char client[TD_ADDRESS_TEXT], vip[TD_PREFIX_TEXT];
	bool udp = t->vip & TUNDISH_TUPLE_UDP;

	return json_pack("{s:s s:s? s:i s:s s:I s:I s:f s:i}", "client",
			 td_address_print(&t->client, client), "vip",
			 td_vip_text(s, t->vip & ~TUNDISH_TUPLE_UDP, vip), "port",
			 __builtin_bswap16(t->port_be), "protocol",
			 td_protocol_name(udp ? IPPROTO_UDP : IPPROTO_TCP), "active",
			 (json_int_t)t->value.active, "total", (json_int_t)t->value.total,
			 "utilization", (double)t->value.active / TD_INBOUND_PORTS, "vips_needed",
			 (int)td_budget_vips(t->value.active));
}

json_t *td_tuples_json(struct td_daemon *d, const struct td_state *s, size_t top)
{
	_cleanup_free_ struct tundish_tuple *best = calloc(top + 1, sizeof(*best));
	json_t *list = json_array();
	size_t n = best ? td_tuples_highest(d, best, top) : 0;

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, tuple_json(s, &best[i]));
	return list;
}

/* ---- the answer ------------------------------------------------------------------ */

struct listing {
	struct td_state vips; /* nothing else of it: backends take much memory */
	struct tundish_tuple *best;
	size_t n, at;
	bool begun, ended;
};

/* Appends to @n of @size bytes; where there is no room, nothing, and returns false. */
static bool put(char *buffer, size_t size, size_t *n, const char *text)
{
	size_t length = strlen(text);

	if (size - *n < length)
		return false;
	memcpy(buffer + *n, text, length);
	*n += length;
	return true;
}

/* One row with what stands before it, or neither. */
static bool put_row(struct listing *l, char *buffer, size_t size, size_t *n)
{
	size_t at = *n, length;
	json_t *row;

	if (!put(buffer, size, &at, l->at ? ",\n" : ""))
		return false;
	row = tuple_json(&l->vips, &l->best[l->at]);
	length = json_dumpb(row, buffer + at, size - at, TD_JSON_FLAGS);
	json_decref(row);
	if (!length || length > size - at)
		return false;
	l->at++;
	*n = at + length;
	return true;
}

static ssize_t more(void *context, char *buffer, size_t size)
{
	struct listing *l = context;
	size_t n = 0;

	if (!l->begun)
		l->begun = put(buffer, size, &n, "[");
	while (l->at < l->n)
		if (!put_row(l, buffer, size, &n))
			return n ? (ssize_t)n : -ENOMEM;
	if (!l->ended)
		l->ended = put(buffer, size, &n, "]");
	return (ssize_t)n;
}

static void done(void *context)
{
	struct listing *l = context;

	td_state_done(&l->vips);
	free(l->best);
	free(l);
}

void td_answer_tuples(struct td_daemon *d, const struct td_request *q, struct td_reply *reply)
{
	_cleanup_(td_state_done) struct td_state s = {0};
	uint32_t rows = td_page_rows(q), top = TD_MIN(TOP_DEFAULT, rows);
	struct listing *l;

	if (td_read_number(q, "top", TD_MIN(TOP_MAX, rows), &top, reply) < 0 ||
	    td_read_state(d, &s, reply) < 0)
		return;
	l = calloc(1, sizeof(*l));
	if (l)
		l->best = calloc(top + 1, sizeof(*l->best));
	if (!l || !l->best) {
		free(l);
		td_reply_error(reply, 500, 1, "out of memory");
		return;
	}
	l->n = td_tuples_highest(d, l->best, top);
	l->vips.vips = TD_TAKE_PTR(s.vips);
	l->vips.n_vips = s.n_vips;
	reply->stream = (struct td_stream){more, done, l};
	reply->content_type = "application/json";
}
