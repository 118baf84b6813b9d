// SPDX-License-Identifier: GPL-2.0-only
/*
 * Names in requests that nothing has: said with what there is, and with what was probably meant.
 * Names that are asked for are bounded by the request, those that there are by the file.
 */
#include "api/api.h"
#include "lib/suggest.h"

void td_no_service(const struct td_state *s, const char *name, struct td_reply *reply)
{
	struct td_suggest suggest = {.given = name};
	char names[200] = "", meant[TD_SUGGEST_TELL_BYTES];

	for (size_t i = 0; i < s->n_services; i++) {
		if (s->services[i].value.state != TUNDISH_SERVICE_ACTIVE)
			continue;
		td_suggest_add(&suggest, s->services[i].value.name);
		if (strlen(names) + 70 < sizeof(names))
			snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%.63s",
				 names[0] ? ", " : "", s->services[i].value.name);
	}
	td_reply_error(reply, 404, 4, "there is no service \"%.63s\"%s%s%s", name,
		       names[0] ? "; there are: " : "", names,
		       td_suggest_tell(&suggest, meant, sizeof(meant)));
}

void td_no_backend(const struct td_state *s, const struct td_service_state *service,
		   const char *name, struct td_reply *reply)
{
	const char *of = service ? service->value.name : NULL;
	struct td_suggest suggest = {.given = name};
	char meant[TD_SUGGEST_TELL_BYTES];

	for (size_t i = 0; i < s->n_backends; i++) {
		const struct tundish_backend *b = &s->backends[i].value;

		if (b->state != TUNDISH_BACKEND_FREE && b->state != TUNDISH_BACKEND_GONE &&
		    b->delivery != TUNDISH_DELIVERY_WORKERS &&
		    (!service || b->service == service->id))
			td_suggest_add(&suggest, b->name);
	}
	td_suggest_tell(&suggest, meant, sizeof(meant));
	if (of)
		td_reply_error(reply, 404, 4,
			       "service \"%.63s\" has no backend \"%.63s\"; `tundish backend list "
			       "%.63s` shows those it has%s",
			       of, name, of, meant);
	else
		td_reply_error(reply, 404, 4,
			       "there is no backend \"%.63s\"; `tundish backend list` shows those "
			       "that there are%s",
			       name, meant);
}

int td_names_known(const struct td_state *s, const char *service, const char *backend,
		   struct td_reply *reply)
{
	const struct td_service_state *of = NULL;
	bool found = !service;

	for (size_t i = 0; !found && i < s->n_services; i++) {
		of = &s->services[i];
		found = of->value.state != TUNDISH_SERVICE_FREE && !strcmp(of->value.name, service);
	}
	if (!found) {
		td_no_service(s, service, reply);
		return -ENOENT;
	}
	found = !backend;
	for (size_t i = 0; !found && i < s->n_backends; i++)
		found = s->backends[i].value.state != TUNDISH_BACKEND_FREE &&
			!strcmp(s->backends[i].value.name, backend) &&
			(!of || s->backends[i].value.service == of->id);
	if (found)
		return 0;
	td_no_backend(s, of, backend, reply);
	return -ENOENT;
}
