// SPDX-License-Identifier: GPL-2.0-only
/*
 * Connections of this host's own programs to its VIPs: led to backends while a service has
 * any elsewhere and the file does not say otherwise. Where the kernel refuses the programs
 * this is told in `status`, and all else goes on.
 */
#include "daemon/daemon.h"

/* Whether a service of this protocol has backends elsewhere. */
static bool is_wanted(const struct td_config *c, uint8_t protocol)
{
	for (size_t i = 0; c->own_connections && i < c->n_services; i++)
		if (c->services[i].delivery != TUNDISH_DELIVERY_WORKERS &&
		    c->services[i].protocol == protocol)
			return true;
	return false;
}

void td_own_connections_put(struct td_daemon *d, const struct td_config *c)
{
	bool udp = is_wanted(c, IPPROTO_UDP);
	struct td_error e = {0};

	if (!udp && !is_wanted(c, IPPROTO_TCP))
		td_kernel_own_close(d->kernel);
	else if (td_kernel_own_open(d->kernel, udp, &e) < 0 && strcmp(d->own_trouble, e.text))
		td_log(TD_LOG_WARNING, "own connections are not led to backends: %s", e.text);
	snprintf(d->own_trouble, sizeof(d->own_trouble), "%.255s", e.text);
}

void td_own_connections_attention(struct td_daemon *d, td_attention_add add, json_t *list)
{
	if (d->own_trouble[0])
		add(list, "own connections", d->own_trouble,
		    "programs of this host do not reach its VIPs; all else works; set "
		    "own_connections: off, or reload when the cause is gone");
	if (d->own_refused_ns && td_now_ns() - d->own_refused_ns < TD_RECENT_NS)
		add(list, "own connections",
		    "refused within the last minute: a socket of this host for IPv4, or one for "
		    "datagrams over IPv6, asked for a VIP whose backends have the other family alone",
		    "let the program take a VIP of the backends' family, or give a backend an address "
		    "of the VIP's");
}
