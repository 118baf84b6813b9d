// SPDX-License-Identifier: GPL-2.0-only
/*
 * Health checks: keys that the type of the check has, and what it needs; a port that is
 * known; and backends that change something where there is something to be changed.
 */
#include <netinet/in.h>

#include "config/check.h"
#include "config/schema.h"

static const char *type_name(uint8_t type)
{
	const struct td_row *row = td_schema_find(TD_SCOPE_HEALTH, "type");

	for (const struct td_choice *c = row->choices; c->name; c++)
		if (c->value == type)
			return c->name;
	return "none";
}

/* "http and https" */
static const char *types_text(unsigned int checks, char buffer[64])
{
	size_t used = 0;

	*buffer = '\0';
	for (uint8_t type = TD_CHECK_TCP; type <= TD_CHECK_EXEC; type++) {
		unsigned int rest = checks >> (type + 1);

		if (!(checks & TD_OF(type)))
			continue;
		used += (size_t)snprintf(buffer + used, 64 - used, "%s%s", type_name(type),
					 !rest		     ? ""
					 : rest & (rest - 1) ? ", "
							     : " and ");
	}
	return buffer;
}

/* No key that says nothing of this type. */
static int check_keys(struct td_document *d, const struct td_node *node, enum td_scope scope,
		      uint8_t type)
{
	char text[64];

	for (size_t i = 0; i < td_schema_rows; i++) {
		const struct td_row *row = &td_schema[i];
		const struct td_node *value;

		if (row->scope != scope || !row->checks || row->checks & TD_OF(type))
			continue;
		value = td_node_value(d, node, row->key);
		if (value)
			return td_document_fail(
				d, value,
				"\"%s\" is of checks of type %s; leave it out with type %s",
				row->key, types_text(row->checks, text), type_name(type));
	}
	return 0;
}

static int need(struct td_document *d, const struct td_node *node, bool given, const char *sentence)
{
	return given ? 0 : td_document_fail(d, node, "%s", sentence);
}

/* The port of connections is that of checks too, where there is one. */
static bool has_port(const struct td_service_conf *s, const struct td_backend_conf *b)
{
	if (s->health->port || (b && b->port) || (b && b->health && b->health->port))
		return true;
	if (s->delivery == TUNDISH_DELIVERY_WORKERS && s->workers.n_listen)
		return true;
	return s->n_ports && s->ports[0].first && s->ports[0].first == s->ports[0].last;
}

static int check_port(struct td_document *d, const struct td_service_conf *s,
		      const struct td_node *health)
{
	bool all = s->delivery != TUNDISH_DELIVERY_WORKERS || has_port(s, NULL);

	if (s->health->type == TD_CHECK_NONE || s->health->type == TD_CHECK_EXEC)
		return 0;
	for (size_t i = 0; i < s->n_backends; i++)
		all = all && (has_port(s, &s->backends[i]) ||
			      (s->backends[i].health && s->backends[i].health->off));
	return need(d, health, all,
		    "the service has no single port that could be checked; give \"port\"");
}

/* Each backend has to have the name, or the service for all. */
static bool all_named(const struct td_service_conf *s)
{
	if (s->health->server_name || s->health->host)
		return true;
	for (size_t i = 0; i < s->n_backends; i++) {
		const struct td_own_health_conf *h = s->backends[i].health;

		if (!h || (!h->off && !h->server_name && !h->host))
			return false;
	}
	return s->n_backends;
}

static int check_needs(struct td_document *d, const struct td_service_conf *s,
		       const struct td_node *node)
{
	const struct td_health_conf *h = s->health;
	bool sends = h->send;
	int r = 0;

	for (size_t i = 0; !sends && i < s->n_backends; i++)
		sends = s->backends[i].health && s->backends[i].health->send;
	if (h->type == TD_CHECK_UDP)
		r = need(d, node, sends,
			 "checks of type udp ask and wait for the answer; give \"send\"");
	if (h->type == TD_CHECK_EXEC) {
		r = need(d, node, h->n_command,
			 "checks of type exec run a program; give \"command\"");
		if (r == 0 && h->command[0][0] != '/')
			r = td_document_fail(d, td_node_value(d, node, "command"),
					     "command has to begin with the whole name of a "
					     "program, such as /usr/local/bin/check");
	}
	if (h->type == TD_CHECK_HTTPS && h->verify)
		r = need(d, node, all_named(s),
			 "a certificate is verified against a name; give \"server_name\" or "
			 "\"host\", or write verify: false");
	if (h->type == TD_CHECK_HTTPS && !h->verify && h->ca)
		r = td_document_fail(d, td_node_value(d, node, "ca"),
				     "\"ca\" says nothing with verify: false; leave one of "
				     "them out");
	if (r == 0 && (h->type == TD_CHECK_HTTP || h->type == TD_CHECK_HTTPS) && h->path[0] != '/')
		r = td_document_fail(d, td_node_value(d, node, "path"),
				     "path does not begin with '/'");
	if (r == 0 && h->method == TD_HTTP_HEAD && h->body)
		r = td_document_fail(d, td_node_value(d, node, "body"),
				     "an answer to HEAD has no body; leave \"body\" out, or take "
				     "method: GET");
	return r;
}

static int check_own(struct td_document *d, const struct td_service_conf *s,
		     const struct td_backend_conf *b, const struct td_node *node)
{
	const struct td_node *path = td_node_value(d, node, "path");
	const struct td_node *agent = td_node_value(d, node, "agent_port");
	size_t mark = td_document_enter(d, "backend \"%s\": health", b->name);
	int r = 0;

	if (!s->health)
		r = td_document_fail(d, node,
				     "it changes what the service's \"health\" says, and there is "
				     "none");
	if (r == 0)
		r = check_keys(d, node, TD_SCOPE_OWN_HEALTH, s->health->type);
	if (r == 0 && path && b->health->path && b->health->path[0] != '/')
		r = td_document_fail(d, path, "path does not begin with '/'");
	if (r == 0 && agent && !s->health->agent.port)
		r = td_document_fail(d, agent,
				     "\"agent_port\" changes the port of the service's agents, "
				     "and it has none");
	if (r == 0)
		td_document_leave(d, mark);
	return r;
}

static int check_backends(struct td_document *d, const struct td_service_conf *s,
			  const struct td_node *node)
{
	const struct td_node *list = td_node_value(d, node, "backends");
	bool any = !s->n_backends;
	int r = 0;

	for (size_t i = 0; i < s->n_backends; i++)
		any |= !s->backends[i].backup;
	if (!any)
		return td_document_fail(d, list,
					"each of the backends is a backup, of nothing; leave "
					"\"backup\" out");
	for (size_t i = 0; r == 0 && i < s->n_backends; i++)
		if (s->backends[i].health)
			r = check_own(d, s, &s->backends[i],
				      td_node_value(d, td_node_item(d, list, i), "health"));
	return r;
}

/* The server's port is the file's choice, and not that of whoever sends a SYN. */
static bool has_own_ports(const struct td_service_conf *s)
{
	for (size_t i = 0; i < s->n_ports; i++)
		if (!s->ports[i].first || s->ports[i].first != s->ports[i].last)
			return false;
	return true;
}

static int check_passive(struct td_document *d, const struct td_service_conf *s,
			 const struct td_node *health)
{
	const struct td_node *node = td_node_value(d, health, "passive");
	const struct td_passive_conf *p = &s->health->passive;

	if (!p->failures)
		return 0;
	if (s->delivery == TUNDISH_DELIVERY_WORKERS)
		return td_document_fail(d, node,
					"a service of workers is as well as its group, which is "
					"looked at without being told; leave \"passive\" out");
	if (!td_translates(s->delivery))
		return td_document_fail(
			d, node,
			"\"passive\" needs the servers' answers, which pass by here with delivery "
			"nat and fullnat alone; leave it out, and check them actively");
	if (s->protocol != IPPROTO_TCP)
		return td_document_fail(d, node,
					"\"passive\" counts SYNs, so it is of protocol tcp; leave "
					"it out");
	if (!has_own_ports(s))
		return td_document_fail(
			d, node,
			"with ranges of ports a client could ask for one that is closed, and eject "
			"a server by that; list the ports one by one, or leave \"passive\" out");
	if (p->hold_down_max_ms < p->hold_down_ms)
		return td_document_fail(
			d, node,
			"hold_down_max is shorter than hold_down, which grows up to "
			"it");
	return 0;
}

int td_check_health(struct td_document *d, const struct td_service_conf *s,
		    const struct td_node *node)
{
	const struct td_node *health = td_node_value(d, node, "health");
	size_t mark;
	int r = check_backends(d, s, node);

	if (r < 0 || !s->health)
		return r;
	mark = td_document_enter(d, "health");
	r = check_keys(d, health, TD_SCOPE_HEALTH, s->health->type);
	if (r == 0)
		r = check_needs(d, s, health);
	if (r == 0)
		r = check_port(d, s, health);
	if (r == 0)
		r = check_passive(d, s, health);
	if (r == 0)
		td_document_leave(d, mark);
	return r;
}
