// SPDX-License-Identifier: GPL-2.0-only
/* /v1/history: the last hour of all together, or of some services (daemon/history.h). */
#include <math.h>

#include "api/api.h"
#include "daemon/history.h"

#define SERVICES_MOST 64 /* of one request: 64 x 5 x 360 numbers */

#define WORD(name, kind) #name " "
#define SERIES_WORDS	 TD_HISTORY_SERIES(WORD)

static bool is_series(const char *name)
{
	for (unsigned int i = 0; i < TD_HISTORY_N; i++)
		if (!strcmp(td_history_name(i), name))
			return true;
	return false;
}

/* Three digits are enough for a plot, and short. */
static json_t *number_json(float value)
{
	double rounded = td_history_rounded(value);

	if (isnan(rounded))
		return json_null();
	if (fabs(rounded) < 1e15 && rounded == floor(rounded))
		return json_integer((json_int_t)rounded);
	return json_real(rounded);
}

/* @service: NULL: all together; @series: NULL: each */
static json_t *history_json(const char *service, const struct td_history *h, const char *series)
{
	json_t *o = json_pack("{s:s? s:i s:I}", "service", service, "step_seconds",
			      (int)TD_HISTORY_STEP_S, "end", (json_int_t)td_history_end_wall(h));
	float points[TD_HISTORY_POINTS];

	for (unsigned int i = 0; i < h->n_series; i++) {
		json_t *list;
		size_t n;

		if (series && strcmp(td_history_name(i), series))
			continue;
		n = td_history_read(h, i, points);
		list = json_array();
		for (size_t k = 0; k < n; k++)
			json_array_append_new(list, number_json(points[k]));
		json_object_set_new(o, td_history_name(i), list);
	}
	return o;
}

static const struct td_service_history *find(const struct td_daemon *d, const char *name)
{
	const struct td_histories *h = d->histories;

	for (uint32_t id = 0; id < h->services_max; id++)
		if (h->of[id].ring && !strncmp(h->of[id].name, name, sizeof(h->of[id].name)))
			return &h->of[id];
	return NULL;
}

static void refuse(struct td_daemon *d, const char *name, struct td_reply *reply)
{
	_cleanup_(td_state_done) struct td_state s = {0};

	if (td_read_state(d, &s, reply) < 0)
		return;
	if (td_state_service(&s, name))
		td_reply_error(reply, 503, 1, "there was no memory for a history of service \"%s\"",
			       name);
	else
		td_no_service(&s, name, reply);
}

static void answer_services(struct td_daemon *d, char *names, const char *series,
			    struct td_reply *reply)
{
	json_t *list = json_array();
	const char *name;

	while ((name = strsep(&names, ","))) {
		const struct td_service_history *s = find(d, name);

		if (s && json_array_size(list) < SERVICES_MOST) {
			json_array_append_new(list, history_json(name, s->ring, series));
			continue;
		}
		if (s)
			td_reply_error(
				reply, 400, 2,
				"service: at most %d names at once; ask again for the others",
				SERVICES_MOST);
		else
			refuse(d, name, reply);
		json_decref(list);
		return;
	}
	reply->json = list;
}

void td_answer_history(struct td_daemon *d, const struct td_request *q, struct td_reply *reply)
{
	const char *names = q->query(q, "service");
	const char *series = q->query(q, "series");
	_cleanup_free_ char *copy = names ? strdup(names) : NULL;

	if (series && !is_series(series))
		td_reply_error(reply, 404, 4,
			       "series: there is no \"%.40s\"; there are " SERIES_WORDS, series);
	else if (names && !copy)
		td_reply_error(reply, 500, 1, "out of memory");
	else if (names)
		answer_services(d, copy, series, reply);
	else
		reply->json = json_pack("[o]", history_json(NULL, d->histories->edge, series));
}
