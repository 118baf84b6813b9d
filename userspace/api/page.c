// SPDX-License-Identifier: GPL-2.0-only
/*
 * The metrics address, where whoever can connect asks: the stats page, what it reads, and the few
 * commands that it may have. Who asks is unknown, and may ask much: lists come in pieces there,
 * so that no answer is large; what costs more than a look is not there at all.
 */
#include "api/api.h"
#include "page.h" /* made of userspace/page/ by scripts/make-page */

#define ROWS_MAX 500u /* of a list, in one answer */

static const struct td_header headers[] = {
	{"Content-Security-Policy",
	 "default-src 'none'; script-src '" TD_PAGE_SCRIPT "'; style-src '" TD_PAGE_STYLE
	 "'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"},
	{"Cache-Control", "no-cache"},
	{"ETag", "\"" TD_PAGE_TAG "\""},
	{0},
};

void td_answer_page(const struct td_request *q, struct td_reply *reply)
{
	bool same = q->if_none_match && strstr(q->if_none_match, "\"" TD_PAGE_TAG "\"");

	reply->status = same ? 304 : 200;
	reply->fixed = td_page;
	reply->fixed_length = same ? 0 : sizeof(td_page);
	reply->headers = headers;
	reply->content_type = "text/html; charset=utf-8";
}

static bool is_of(const char *word, const char *const *list)
{
	for (; *list; list++)
		if (!strcmp(word, *list))
			return true;
	return false;
}

static bool allows(const struct td_request *q)
{
	static const char *const read[] = {"metrics", "status",	 "services", "backends",
					   "workers", "tuples",	 "ports",    "timewait",
					   "events",  "history", "doctor",   NULL};
	static const char *const acts[] = {"drain", "enable", "disable", "weight", NULL};

	/* A scan on demand is work that somebody without a name shall not order, as are blocked ports,
	 * which name other users' processes, too; and the workers of all services are a list that has
	 * no pieces. */
	if (!strcmp(q->method, "GET"))
		return is_of(q->word[0], read) && !q->query(q, "scan") &&
		       (strcmp(q->word[0], "ports") || q->n_words == 1) &&
		       (strcmp(q->word[0], "workers") || q->n_words > 1);
	return !strcmp(q->word[0], "backends") && q->n_words == 4 && is_of(q->word[3], acts);
}

bool td_page_allows(const struct td_request *q, struct td_reply *reply)
{
	if (allows(q))
		return true;
	td_reply_error(reply, strcmp(q->method, "GET") ? 405 : 404, 2,
		       "the metrics address has no %s /v1/%.40s; the control socket may", q->method,
		       q->word[0]);
	return false;
}

uint32_t td_page_rows(const struct td_request *q)
{
	return q->peer ? UINT32_MAX : ROWS_MAX;
}

void td_page_status(const struct td_daemon *d, json_t *status)
{
	json_object_del(status, "services");
	json_object_set_new(status, "commands", json_boolean(d->config->metrics_commands));
}
