// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who may be heard on the metrics address. Browsers of operators ask there, and a browser asks
 * for any page that it has open: so what decides is not who connects but which page asks.
 *
 * A page of another site cannot read an answer, for none carries CORS headers, unless the site makes
 * its own name this address (DNS rebinding): its requests then have that name as Host. It can send a
 * POST that a form could send; X-Tundish is none of those, and what is asked beforehand (OPTIONS)
 * is not answered. RFC 6454 has the rest.
 */
#include <arpa/inet.h>

#include "control/private.h"

/* The name in "NAME", "NAME:PORT", "[ADDRESS]:PORT"; false where it is none of them. */
static bool read_host(const char *host, char *name, size_t size, bool *ret_bracketed)
{
	const char *end, *port;

	*ret_bracketed = host[0] == '[';
	if (*ret_bracketed)
		host++;
	end = strpbrk(host, *ret_bracketed ? "]" : ":") ?: host + strlen(host);
	if (end == host || (size_t)(end - host) >= size || (*ret_bracketed && !*end))
		return false;
	port = *ret_bracketed ? end + 1 : end;
	if (*port && (*port != ':' || strspn(port + 1, "0123456789") != strlen(port + 1)))
		return false;
	memcpy(name, host, end - host);
	name[end - host] = '\0';
	return true;
}

/* As this host calls itself, or its first part. */
static bool is_own_name(const char *name, const char *own)
{
	size_t first = strcspn(own, ".");

	return own[0] && (!strcasecmp(name, own) ||
			  (strlen(name) == first && first && !strncasecmp(name, own, first)));
}

static bool is_trusted_host(const char *host, const char *own)
{
	struct in6_addr any;
	char name[256];
	bool bracketed;

	if (!host || !read_host(host, name, sizeof(name), &bracketed))
		return false;
	if (bracketed)
		return inet_pton(AF_INET6, name, &any) == 1;
	return inet_pton(AF_INET, name, &any) == 1 || !strcasecmp(name, "localhost") ||
	       is_own_name(name, own);
}

/* "http://HOST", or with TLS before this host. */
static bool is_origin_of(const char *origin, const char *host)
{
	static const char *const schemes[] = {"http://", "https://"};

	for (size_t i = 0; i < TD_ARRAY_SIZE(schemes); i++)
		if (!strncasecmp(origin, schemes[i], strlen(schemes[i])))
			return !strcasecmp(origin + strlen(schemes[i]), host);
	return false;
}

static bool allows_object(const struct td_web *w, struct td_reply *reply)
{
	if (w->repeated)
		td_reply_error(reply, MHD_HTTP_BAD_REQUEST, 2,
			       "Host, Origin or X-Tundish came more than once");
	else if (!is_trusted_host(w->host, w->own_name))
		td_reply_error(
			reply, MHD_HTTP_FORBIDDEN, 1,
			"this host is not asked by the name \"%.100s\" here: use an address of "
			"it, localhost or its own name",
			w->host ?: "");
	else if (w->origin && !is_origin_of(w->origin, w->host))
		td_reply_error(reply, MHD_HTTP_FORBIDDEN, 1, "pages of \"%.100s\" may not ask here",
			       w->origin);
	else if (strcmp(w->method, "GET") && (!w->mark || strcmp(w->mark, "1")))
		td_reply_error(reply, MHD_HTTP_FORBIDDEN, 1,
			       "what changes something takes the header \"X-Tundish: 1\"");
	else
		return true;
	return false;
}

bool td_web_allows(const struct td_web *w, struct td_reply *reply)
{
	const struct td_uri *t = w->uri;

	if (t->n_words == 0 || (t->n_words == 1 && !strcmp(t->word[0], "metrics"))) {
		if (!strcmp(w->method, "GET"))
			return true;
		td_reply_error(reply, MHD_HTTP_METHOD_NOT_ALLOWED, 2,
			       "metrics and the page are read with GET");
		return false;
	}
	if (t->n_words >= 2 && !strcmp(t->word[0], "v1"))
		return allows_object(w, reply);
	td_reply_error(reply, MHD_HTTP_NOT_FOUND, 4,
		       "no such path; here are /, /metrics and what the page reads below /v1/");
	return false;
}
