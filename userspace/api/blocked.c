// SPDX-License-Identifier: GPL-2.0-only
/*
 * /v1/ports/blocked: ports of the range that connect(2) passes over whatever the
 * destination, and who holds them.
 */
#include "api/api.h"
#include "core/address.h"
#include "daemon/source_ports.h"

static const char *reason_words(uint8_t reason)
{
	switch (reason) {
	case TUNDISH_PORT_BOUND: return "bound to this port";
	case TUNDISH_PORT_ADDRESS:
		return "bound to an address without IP_BIND_ADDRESS_NO_PORT, so the port was "
		       "taken at once, for all destinations";
	case TUNDISH_PORT_LISTENS: return "listens";
	default:
		return "in TIME_WAIT, or held by no process that can be seen: a program had bound it";
	}
}

static const char *reason_name(uint8_t reason)
{
	switch (reason) {
	case TUNDISH_PORT_BOUND: return "bound";
	case TUNDISH_PORT_ADDRESS: return "address-bound";
	case TUNDISH_PORT_LISTENS: return "listening";
	default: return "left";
	}
}

static json_t *owner_json(const struct td_space *s, uint16_t port,
			  const struct tundish_port_owner *o)
{
	char command[sizeof(((struct tundish_port_owner *)0)->command) + 1] = "",
									 local[TD_ADDRESS_TEXT];
	uint8_t reason = o ? o->reason : 0;

	for (size_t i = 0; o && i < sizeof(o->command) && o->command[i]; i++)
		command[i] =
			(char)(o->command[i] < ' ' || o->command[i] > '~' ? '?' : o->command[i]);
	return json_pack("{s:i s:s s:s? s:o s:o s:s? s:s s:s s:s? s:i}", "port", port, "protocol",
			 "tcp", "program", command[0] ? command : NULL, "pid",
			 o && o->pid ? json_integer(o->pid) : json_null(), "uid",
			 o ? json_integer(o->uid) : json_null(), "address",
			 o ? td_address_print(&o->local, local) : NULL, "reason",
			 reason_name(reason), "why", reason_words(reason), "namespace",
			 s->name[0] ? s->name : NULL, "descriptors", o ? (int)o->descriptors : 0);
}

static int by_owner(const void *a, const void *b)
{
	const struct td_port_owner *x = a, *y = b;

	if (x->key.space != y->key.space)
		return x->key.space < y->key.space ? -1 : 1;
	return (x->key.port > y->key.port) - (x->key.port < y->key.port);
}

static void blocked_of(struct td_daemon *d, uint32_t space, const struct td_port_owner *owners,
		       size_t n, json_t *list)
{
	const struct td_space *s = &d->source_ports->spaces[space];
	const struct tundish_port_bits *bits = td_kernel_port_bits(d->kernel, space);

	for (unsigned int port = s->budget.first; port <= s->budget.last; port++) {
		const struct td_port_owner wanted = {
			.key = {.space = space, .port = (uint16_t)port}};
		const struct td_port_owner *o;

		if (!td_budget_in_range(&s->budget, s->facts.reserved, (uint16_t)port) ||
		    !((bits->blocked[port / 64] | bits->listening[port / 64]) >> port % 64 & 1))
			continue;
		o = n ? bsearch(&wanted, owners, n, sizeof(*owners), by_owner) : NULL;
		json_array_append_new(list, owner_json(s, (uint16_t)port, o ? &o->value : NULL));
	}
}

void td_answer_blocked(struct td_daemon *d, const struct td_request *q, struct td_reply *reply)
{
	struct td_source_ports *p = d->source_ports;
	_cleanup_free_ struct td_port_owner *owners = NULL;
	size_t n = 0;
	int r;

	if (!td_scan_ready(d, q, TD_SCAN_WHOLE, reply))
		return;
	r = td_kernel_port_owners(d->kernel, &owners, &n);
	if (r < 0) {
		td_reply_error(reply, 500, 1, "cannot read the map port_owners: %s", strerror(-r));
		return;
	}
	if (n)
		qsort(owners, n, sizeof(*owners), by_owner);
	reply->json = json_array();
	for (uint32_t i = 1; i < TUNDISH_SPACES_MAX; i++)
		if (p->spaces[i].wanted && p->spaces[i].present)
			blocked_of(d, i, owners, n, reply->json);
}
