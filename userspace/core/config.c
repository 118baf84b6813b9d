// SPDX-License-Identifier: GPL-2.0-only
/*
 * The configuration as a value: its end, and whether two of them say the same.
 */
#include "core/config.h"

static void free_backend(struct td_backend_conf *b)
{
	free(b->addresses);
	td_own_health_conf_free(b->health);
}

struct td_config *td_config_free(struct td_config *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < c->n_services; i++) {
		for (size_t j = 0; j < c->services[i].n_backends; j++)
			free_backend(&c->services[i].backends[j]);
		td_health_conf_free(c->services[i].health);
		free(c->services[i].sources);
		free(c->services[i].vips);
		free(c->services[i].ports);
		free(c->services[i].backends);
		free(c->services[i].workers.listen);
		free(c->services[i].workers.trusted);
	}
	for (size_t i = 0; i < c->n_egress; i++) {
		free(c->egress[i].sources);
		free(c->egress[i].except);
	}
	free(c->egress);
	free(c->services);
	free(c->interfaces);
	free(c->ports.namespaces);
	free(c);
	return NULL;
}

static bool sources_equal(const struct td_source_conf *a, size_t n_a,
			  const struct td_source_conf *b, size_t n_b)
{
	if (n_a != n_b)
		return false;
	for (size_t i = 0; i < n_a; i++)
		if (!tundish_addr_equal(&a[i].address, &b[i].address))
			return false;
	return true;
}

static bool backend_equal(const struct td_backend_conf *a, const struct td_backend_conf *b)
{
	return a->port == b->port &&
	       sources_equal(a->addresses, a->n_addresses, b->addresses, b->n_addresses) &&
	       !strcmp(a->name, b->name) && tundish_addr_equal(&a->address, &b->address) &&
	       a->weight == b->weight && a->state == b->state && a->backup == b->backup &&
	       a->max_connections == b->max_connections &&
	       td_own_health_conf_equal(a->health, b->health) &&
	       !memcmp(&a->server_id, &b->server_id, sizeof(a->server_id));
}

static bool prefixes_equal(const struct td_vip_conf *a, size_t n, const struct td_vip_conf *b,
			   size_t n_b)
{
	if (n != n_b)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!tundish_addr_equal(&a[i].address, &b[i].address) || a[i].prefix != b[i].prefix)
			return false;
	return true;
}

static bool workers_equal(const struct td_workers_conf *a, const struct td_workers_conf *b)
{
	if (a->n_listen != b->n_listen)
		return false;
	for (size_t i = 0; i < a->n_listen; i++)
		if (!tundish_addr_equal(&a->listen[i].address, &b->listen[i].address) ||
		    a->listen[i].port != b->listen[i].port)
			return false;
	/* Without a group there is nothing that the rest could be said of. */
	return !a->n_listen ||
	       (a->steering == b->steering && a->refuse == b->refuse && a->share == b->share &&
		a->stall_ms == b->stall_ms && a->restart_grace_ms == b->restart_grace_ms &&
		a->size == b->size && a->accept_times == b->accept_times &&
		a->client_address == b->client_address &&
		prefixes_equal(a->trusted, a->n_trusted, b->trusted, b->n_trusted));
}

static bool nat_equal(const struct td_service_conf *a, const struct td_service_conf *b)
{
	const struct td_nat_conf *x = &a->nat, *y = &b->nat;

	return !td_translates(a->delivery) ||
	       (x->source_ports.first == y->source_ports.first &&
		x->source_ports.last == y->source_ports.last && x->mss == y->mss &&
		x->toa == y->toa && x->early_reuse == y->early_reuse &&
		x->time_wait_ms == y->time_wait_ms &&
		sources_equal(a->sources, a->n_sources, b->sources, b->n_sources));
}

static bool service_equal(const struct td_service_conf *a, const struct td_service_conf *b)
{
	if (strcmp(a->name, b->name) || !workers_equal(&a->workers, &b->workers) ||
	    a->protocol != b->protocol || a->delivery != b->delivery || a->own != b->own ||
	    a->flows != b->flows || a->scheduler != b->scheduler ||
	    a->max_connections != b->max_connections || a->n_vips != b->n_vips ||
	    a->n_ports != b->n_ports || a->n_backends != b->n_backends || !nat_equal(a, b) ||
	    (a->delivery == TUNDISH_DELIVERY_GUE && a->gue.port != b->gue.port) ||
	    memcmp(&a->quic, &b->quic, sizeof(a->quic)) ||
	    !td_health_conf_equal(a->health, b->health))
		return false;
	for (size_t i = 0; i < a->n_vips; i++)
		if (!tundish_addr_equal(&a->vips[i].address, &b->vips[i].address) ||
		    a->vips[i].prefix != b->vips[i].prefix)
			return false;
	for (size_t i = 0; i < a->n_ports; i++)
		if (a->ports[i].first != b->ports[i].first || a->ports[i].last != b->ports[i].last)
			return false;
	for (size_t i = 0; i < a->n_backends; i++)
		if (!backend_equal(&a->backends[i], &b->backends[i]))
			return false;
	return true;
}

bool td_ports_conf_equal(const struct td_ports_conf *a, const struct td_ports_conf *b)
{
	if (a->watch != b->watch || a->interval_ms != b->interval_ms || a->cpu != b->cpu ||
	    a->every_failure != b->every_failure || a->n_namespaces != b->n_namespaces)
		return false;
	for (size_t i = 0; i < a->n_namespaces; i++)
		if (strcmp(a->namespaces[i].path, b->namespaces[i].path))
			return false;
	return true;
}

static bool egress_equal(const struct td_egress_conf *a, const struct td_egress_conf *b)
{
	return !strcmp(a->name, b->name) && !strcmp(a->cgroup, b->cgroup) &&
	       sources_equal(a->sources, a->n_sources, b->sources, b->n_sources) &&
	       prefixes_equal(a->except, a->n_except, b->except, b->n_except);
}

bool td_config_equal(const struct td_config *a, const struct td_config *b)
{
	if (a->n_interfaces != b->n_interfaces || a->n_services != b->n_services ||
	    a->n_egress != b->n_egress)
		return false;
	for (size_t i = 0; i < a->n_interfaces; i++)
		if (strcmp(a->interfaces[i].name, b->interfaces[i].name) ||
		    a->interfaces[i].attach != b->interfaces[i].attach)
			return false;
	for (size_t i = 0; i < a->n_services; i++)
		if (!service_equal(&a->services[i], &b->services[i]))
			return false;
	for (size_t i = 0; i < a->n_egress; i++)
		if (!egress_equal(&a->egress[i], &b->egress[i]))
			return false;
	/* Both are made of 32-bit words alone, so there is no padding to differ. */
	return !memcmp(&a->timeouts, &b->timeouts, sizeof(a->timeouts)) &&
	       !memcmp(&a->limits, &b->limits, sizeof(a->limits)) &&
	       td_ports_conf_equal(&a->ports, &b->ports) &&
	       a->own_connections == b->own_connections && a->gue.port == b->gue.port &&
	       !strcmp(a->metrics_listen, b->metrics_listen) &&
	       a->metrics_commands == b->metrics_commands &&
	       !strcmp(a->control.group, b->control.group) &&
	       !strcmp(a->control.admin_group, b->control.admin_group);
}

bool td_service_chooses(const struct td_service_conf *s)
{
	bool chooses = s->scheduler == TD_SCHEDULER_LEAST_CONNECTIONS;

	for (size_t i = 0; i < s->n_backends && !chooses; i++)
		chooses = td_backend_max_connections(s, &s->backends[i]) > 0;
	return chooses;
}

const struct td_service_conf *td_config_service(const struct td_config *c, const char *name)
{
	for (size_t i = 0; i < c->n_services; i++)
		if (!strncmp(c->services[i].name, name, TUNDISH_NAME_LEN))
			return &c->services[i];
	return NULL;
}
