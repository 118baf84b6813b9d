// SPDX-License-Identifier: GPL-2.0-only
/* The configuration of health checks as a value: its end, and whether two say the same. */
#include "core/config.h"

static bool same(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

void td_health_conf_free(struct td_health_conf *h)
{
	if (!h)
		return;
	for (size_t i = 0; i < h->n_command; i++)
		free(h->command[i]);
	free(h->command);
	free(h->path);
	free(h->host);
	free(h->body);
	free(h->send);
	free(h->expect);
	free(h->server_name);
	free(h->ca);
	free(h->agent.send);
	free(h);
}

static bool commands_equal(const struct td_health_conf *a, const struct td_health_conf *b)
{
	if (a->n_command != b->n_command)
		return false;
	for (size_t i = 0; i < a->n_command; i++)
		if (strcmp(a->command[i], b->command[i]))
			return false;
	return true;
}

/* Without a port there is nothing that the rest could be said of. */
static bool agents_equal(const struct td_agent_conf *a, const struct td_agent_conf *b)
{
	return a->port == b->port &&
	       (!a->port || (a->interval_ms == b->interval_ms && same(a->send, b->send)));
}

/* Without failures there is nothing that the rest could be said of. */
static bool passives_equal(const struct td_passive_conf *a, const struct td_passive_conf *b)
{
	return a->failures == b->failures &&
	       (!a->failures ||
		(a->interval_ms == b->interval_ms && a->hold_down_ms == b->hold_down_ms &&
		 a->hold_down_max_ms == b->hold_down_max_ms && a->trials == b->trials));
}

bool td_health_conf_equal(const struct td_health_conf *a, const struct td_health_conf *b)
{
	if (!a || !b)
		return a == b;
	return a->type == b->type && a->port == b->port && a->interval_ms == b->interval_ms &&
	       a->fast_interval_ms == b->fast_interval_ms &&
	       a->down_interval_ms == b->down_interval_ms &&
	       a->dynamic_weight == b->dynamic_weight && a->timeout_ms == b->timeout_ms &&
	       a->rise == b->rise && a->fall == b->fall && a->hold_down_ms == b->hold_down_ms &&
	       a->slow_start_ms == b->slow_start_ms && a->max_ejected == b->max_ejected &&
	       a->resets == b->resets && a->method == b->method && same(a->path, b->path) &&
	       same(a->host, b->host) && same(a->body, b->body) &&
	       a->status.first == b->status.first && a->status.last == b->status.last &&
	       same(a->send, b->send) && same(a->expect, b->expect) && a->verify == b->verify &&
	       same(a->server_name, b->server_name) && same(a->ca, b->ca) && commands_equal(a, b) &&
	       agents_equal(&a->agent, &b->agent) && passives_equal(&a->passive, &b->passive);
}

void td_own_health_conf_free(struct td_own_health_conf *h)
{
	if (!h)
		return;
	free(h->path);
	free(h->host);
	free(h->server_name);
	free(h->send);
	free(h->expect);
	free(h);
}

static bool says_nothing(const struct td_own_health_conf *h)
{
	const struct tundish_addr none = {0};

	return !h ||
	       (!h->off && tundish_addr_equal(&h->address, &none) && !h->port && !h->agent_port &&
		!h->path && !h->host && !h->server_name && !h->send && !h->expect);
}

bool td_own_health_conf_equal(const struct td_own_health_conf *a,
			      const struct td_own_health_conf *b)
{
	if (says_nothing(a) || says_nothing(b))
		return says_nothing(a) == says_nothing(b);
	return a->off == b->off && tundish_addr_equal(&a->address, &b->address) &&
	       a->port == b->port && a->agent_port == b->agent_port && same(a->path, b->path) &&
	       same(a->host, b->host) && same(a->server_name, b->server_name) &&
	       same(a->send, b->send) && same(a->expect, b->expect);
}
