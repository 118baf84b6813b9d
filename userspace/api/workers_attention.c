// SPDX-License-Identifier: GPL-2.0-only
/* What an operator should look at in groups of workers: none there, none for a family of addresses, full
 * or stopped ones, and what the daemon cannot do for them. */
#include "api/api.h"
#include "core/address.h"

static bool has_local(const struct td_daemon *d, const struct td_state *s, uint32_t service)
{
	bool has = false;

	for (size_t i = 0; i < s->n_backends && !has; i++)
		has = s->backends[i].value.service == service &&
		      s->backends[i].value.state != TUNDISH_BACKEND_GONE &&
		      td_nexthop_is_local(d, s->backends[i].id);
	return has;
}

const char *td_families_name(uint32_t families)
{
	if ((families & TUNDISH_WORKER_V4) && (families & TUNDISH_WORKER_V6))
		return "IPv4 and IPv6";
	return families & TUNDISH_WORKER_V4 ? "IPv4" : "IPv6";
}

/* Which ones a worker's socket can take. */
static uint32_t families_of(const struct tundish_worker *w)
{
	const uint32_t both = TUNDISH_WORKER_V4 | TUNDISH_WORKER_V6;

	return w->flags & both ?: both;
}

uint32_t td_group_lacks(struct td_daemon *d, const struct td_state *s,
			const struct td_service_state *v, uint32_t *ret_has)
{
	const struct tundish_group *g = td_group_of_service(d, v->id);
	const struct tundish_worker *all = td_kernel_workers(d->kernel);
	const uint32_t both = TUNDISH_WORKER_V4 | TUNDISH_WORKER_V6;
	const struct td_service_conf *c;
	uint32_t takes = 0, wanted = 0;
	bool alive = false;

	*ret_has = 0;
	if (!g)
		return 0;
	for (uint32_t i = 0; i < g->used; i++) {
		const struct tundish_worker *w = &all[g->first + i];

		alive |= w->cookie != 0;
		if (w->cookie && !(w->flags & TUNDISH_WORKER_DRAIN))
			takes |= families_of(w);
	}
	if (!alive || takes == both)
		return 0; /* nobody there is another matter */
	if (v->value.delivery != TUNDISH_DELIVERY_WORKERS && (!takes || !has_local(d, s, v->id)))
		return 0;
	c = td_config_service(d->config, v->value.name);
	for (size_t i = 0; c && i < c->n_vips; i++)
		wanted |= tundish_addr_is_v4(&c->vips[i].address) ? TUNDISH_WORKER_V4
								  : TUNDISH_WORKER_V6;
	*ret_has = wanted & takes;
	return wanted & ~takes;
}

/* Whether a command alone keeps connections of that family from a worker. */
static bool has_drained(const struct td_daemon *d, const struct tundish_group *g, uint32_t family)
{
	const struct tundish_worker *all = td_kernel_workers(d->kernel);

	for (uint32_t i = 0; i < g->used; i++) {
		const struct tundish_worker *w = &all[g->first + i];

		if (w->cookie && w->flags & TUNDISH_WORKER_DRAIN && families_of(w) & family)
			return true;
	}
	return false;
}

static void lacks_family(struct td_daemon *d, const struct td_state *s,
			 const struct td_service_state *v, const struct tundish_group *g,
			 const char *what, td_attention_add add, json_t *list)
{
	uint32_t has, lacks = td_group_lacks(d, s, v, &has);
	const char *families = td_families_name(lacks);
	bool drained = lacks && has_drained(d, g, lacks);
	char why[300], enable[200];

	if (!lacks)
		return;
	snprintf(enable, sizeof(enable), "`tundish worker enable %.63s all`: some were drained",
		 v->value.name);
	snprintf(why, sizeof(why),
		 "no worker on %.63s takes %s: new connections to its %s addresses are %s", g->name,
		 families, families, drained ? "not answered" : "refused");
	add(list, what, why,
	    drained ? enable
	    : lacks & TUNDISH_WORKER_V4
		    ? "let its server listen on [::] for both (IPV6_V6ONLY off; nginx: "
		      "ipv6only=off), or on 0.0.0.0, with that in workers.listen too"
		    : "let its server listen on [::], with that in workers.listen");
}

void td_workers_attention(struct td_daemon *d, const struct td_state *s, td_attention_add add,
			  json_t *list)
{
	const struct tundish_worker *all = td_kernel_workers(d->kernel);
	const struct tundish_steering *steering = td_kernel_steering(d->kernel);

	if (d->groups_on)
		td_kernel_measure_queues(d->kernel);
	for (size_t i = 0; i < s->n_services; i++) {
		const struct td_service_state *v = &s->services[i];
		const struct tundish_group *g = td_group_of_service(d, v->id);
		uint32_t alive = 0, stalled = 0, full = 0;
		char what[100], why[300];

		if (v->value.state != TUNDISH_SERVICE_ACTIVE || !g)
			continue;
		for (uint32_t k = 0; k < g->used; k++) {
			const struct tundish_worker *w = &all[g->first + k];

			if (!w->cookie)
				continue;
			alive++;
			full += w->queue > w->limit;
			stalled += td_worker_stalled(w, &steering[v->id]);
		}
		snprintf(what, sizeof(what), "service %.63s", v->value.name);
		if (v->value.delivery != TUNDISH_DELIVERY_WORKERS && !has_local(d, s, v->id))
			add(list, what,
			    "it has workers, but none of its backends is this host: they get no "
			    "connections",
			    "give a backend one of this host's addresses, or take workers out");
		else if (!alive) {
			snprintf(why, sizeof(why), "nothing listens on %.63s: new connections %s",
				 g->name,
				 v->value.delivery == TUNDISH_DELIVERY_WORKERS
					 ? "are refused"
					 : "to this host wait, and after restart_grace go to the "
					   "other backends");
			add(list, what, why,
			    g->flags & TUNDISH_GROUP_UDP
				    ? "start its server there, or see `ss -lunp` for where it is"
				    : "start its server there, or see `ss -ltnp` for where it listens");
		}
		lacks_family(d, s, v, g, what, add, list);
		if (full) {
			snprintf(why, sizeof(why), "the accept queue of %u of %u workers is full",
				 full, alive);
			add(list, what, why,
			    "more workers, or a longer queue (the server's backlog, "
			    "net.core.somaxconn)");
		} else if (stalled) {
			snprintf(why, sizeof(why),
				 "%u of %u workers have connections waiting and accept none",
				 stalled, alive);
			add(list, what, why, "`tundish worker list` names them");
		}
	}
	if (d->groups_trouble[0])
		add(list, "worker groups", d->groups_trouble,
		    "start tundishd with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, or set "
		    "net.ipv4.tcp_migrate_req=1: connections waiting on a worker that closes are "
		    "lost");
	if (d->accepts_trouble[0])
		add(list, "worker groups", d->accepts_trouble,
		    "take the key out of the file: only programs that ask accept(2) for the client's "
		    "address are timed");
	if (d->shadowed[0])
		add(list, "worker groups", d->shadowed,
		    "let it listen on workers.listen, or take its port out of the service");
	if (d->workers_refused_ns && td_now_ns() - d->workers_refused_ns < 10 * TD_RECENT_NS)
		add(list, "worker groups", d->workers_refused, "`tundish events` has the reason");
}
