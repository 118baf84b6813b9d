// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checks of connection ids that name backends: all backends of such a service have a
 * server id, each its own and of the length that the service says, and nobody else has.
 */
#include <netinet/in.h>

#include "config/check.h"
#include "core/server_id.h"

static const struct td_node *id_of(struct td_document *d, const struct td_node *service,
				   size_t backend)
{
	const struct td_node *item =
		td_node_item(d, td_node_value(d, service, "backends"), backend);
	const struct td_node *id = td_node_value(d, item, "server_id");

	return id && !td_node_is_null(id) ? id : td_node_value(d, item, "name");
}

int td_check_quic(struct td_document *d, const struct td_service_conf *s,
		  const struct td_node *node)
{
	uint32_t length = s->quic.server_id_length;
	char text[TD_SERVER_ID_TEXT];
	size_t first, again;
	int r;

	if (length && s->protocol != IPPROTO_UDP)
		return td_document_fail(d, td_node_value(d, node, "quic"),
					"\"quic\" needs protocol udp; leave it out, or set "
					"protocol: udp");
	if (length && s->delivery == TUNDISH_DELIVERY_WORKERS)
		return td_document_fail(d, td_node_value(d, node, "quic"),
					"\"quic\" says which backend a connection is with, and "
					"delivery workers has none: leave it out");
	if (length && s->delivery >= TUNDISH_DELIVERY_NAT)
		return td_document_fail(
			d, td_node_value(d, node, "quic"),
			"\"quic\" with delivery nat or fullnat is not in this version; "
			"leave it out, or choose delivery dsr, ipip or gue");
	for (size_t i = 0; i < s->n_backends; i++) {
		const struct td_backend_conf *b = &s->backends[i];

		if (b->server_id.length && !length)
			return td_document_fail(
				d, id_of(d, node, i),
				"backend \"%s\": server_id \"%s\" does nothing without \"quic\" of "
				"its service; add quic: {server_id_length: %u}",
				b->name, td_server_id_print(&b->server_id, text),
				b->server_id.length);
		if (!b->server_id.length && length)
			return td_document_fail(
				d, id_of(d, node, i),
				"backend \"%s\" has no server_id, by which \"quic\" knows it; give "
				"it %u hexadecimal digits of its own",
				b->name, 2 * length);
		if (b->server_id.length != length)
			return td_document_fail(
				d, id_of(d, node, i),
				"backend \"%s\": server_id \"%s\" has %u octets, and "
				"quic.server_id_length is %u; give it %u digits",
				b->name, td_server_id_print(&b->server_id, text),
				b->server_id.length, length, 2 * length);
	}
	if (!length)
		return 0;
	r = TD_CHECK_REPEATED(s->backends, s->n_backends, server_id, &first, &again);
	if (r > 0)
		return td_document_fail(d, id_of(d, node, again),
					"backend \"%s\": server_id \"%s\" is that of backend "
					"\"%s\" in line %u; give each its own",
					s->backends[again].name,
					td_server_id_print(&s->backends[again].server_id, text),
					s->backends[first].name, s->backends[first].at.line);
	return r < 0 ? td_fail(d->error, ENOMEM, "out of memory") : 0;
}
