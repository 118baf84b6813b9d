// SPDX-License-Identifier: GPL-2.0-only
/* Reports as JSON, the same from the command and from the daemon; and what a daemon tells of itself,
 * which is not trusted. */
#include "doctor/json.h"

/* ---- what the daemon tells ------------------------------------------------------------- */

void td_doctor_take_tuple(const json_t *row, struct td_tuple_use *ret)
{
	const char *local = json_string_value(json_object_get(row, "local_ip"));
	const char *remote = json_string_value(json_object_get(row, "remote_ip"));
	const json_t *utilization = json_object_get(row, "utilization");
	const json_t *seconds = json_object_get(row, "seconds_to_exhaustion");
	const char *source = json_string_value(json_object_get(row, "source"));

	if (!local || !remote || !json_is_number(utilization))
		return;
	*ret = (struct td_tuple_use){
		.known = true,
		.nat = source && strcmp(source, "nat") == 0,
		.port = json_integer_value(json_object_get(row, "remote_port")),
		.used = json_integer_value(json_object_get(row, "used")),
		.time_wait = json_integer_value(json_object_get(row, "time_wait")),
		.usable = json_integer_value(json_object_get(row, "usable")),
		.utilization = json_number_value(utilization),
		.seconds = json_is_number(seconds) ? json_number_value(seconds) : -1,
	};
	snprintf(ret->local, sizeof(ret->local), "%s", local);
	snprintf(ret->remote, sizeof(ret->remote), "%s", remote);
}

/* How many there are, by `total` where not all are named. */
static int64_t take_list(const json_t *list, const json_t *total, char *first, size_t size)
{
	const char *text = json_string_value(json_array_get(list, 0));

	snprintf(first, size, "%s", text ? text : "");
	if (!text)
		return 0;
	return json_is_integer(total) ? json_integer_value(total) : (int64_t)json_array_size(list);
}

void td_doctor_take_nat(const json_t *o, struct td_nat_use *ret)
{
	const json_t *connections = json_object_get(o, "connections");

	if (!json_is_integer(connections))
		return;
	ret->known = true;
	ret->connections = json_integer_value(connections);
	ret->capacity = json_integer_value(json_object_get(o, "capacity"));
	ret->silent = take_list(json_object_get(o, "silent"), json_object_get(o, "silent_total"),
				ret->first_silent, sizeof(ret->first_silent));
	ret->unheard = take_list(json_object_get(o, "nics_missing"),
				 json_object_get(o, "nics_missing_total"), ret->first_unheard,
				 sizeof(ret->first_unheard));
	ret->missing = take_list(json_object_get(o, "sources_missing"), NULL, ret->first_missing,
				 sizeof(ret->first_missing));
}

/* ---- reports ----------------------------------------------------------------------------- */

static json_t *number_or_null(int64_t n)
{
	return n < 0 ? json_null() : json_integer(n);
}

json_t *td_doctor_json(const struct td_report *report)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < report->n; i++) {
		const struct td_row *r = &report->rows[i];

		json_array_append_new(
			rows,
			json_pack("{s:s, s:s, s:s, s:o, s:o, s:s, s:o, s:o, s:s, s:b, s:s, s:o}",
				  "id", r->id, "stage", r->stage, "what", r->what, "value",
				  number_or_null(r->value), "limit", number_or_null(r->limit),
				  "unit", r->unit, "drops_boot", number_or_null(r->drops_boot),
				  "drops_now",
				  r->drops_now < 0 ? json_null() : json_real(r->drops_now),
				  "verdict", td_verdict_name(r->verdict), "wrong", r->wrong,
				  "sentence", r->sentence, "setting",
				  r->setting[0] ? json_string(r->setting) : json_null()));
	}
	return rows;
}
