// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which backends are checked, and how: from the configuration that is in force, each backend
 * beside its entry in the map. A check whose settings are what they were goes on, with all
 * that it knows; one with other settings asks anew, and keeps its verdict until the answers
 * contradict.
 */
#include <netinet/in.h>

#include "core/address.h"
#include "daemon/checks.h"

/* ---- one backend ------------------------------------------------------------------------ */

static const struct tundish_addr nowhere;

static bool given(const struct tundish_addr *a)
{
	return !tundish_addr_equal(a, &nowhere);
}

/* Where a group listens: of several addresses the first; of all of them, loopback. */
static struct tundish_addr group_address(const struct td_service_conf *s)
{
	struct tundish_addr a =
		s->workers.n_listen ? s->workers.listen[0].address : s->vips[0].address;

	if (tundish_addr_is_v4(&a) && !a.word[3])
		return tundish_addr_v4(htonl(INADDR_LOOPBACK));
	if (!given(&a))
		a.word[3] = htonl(1);
	return a;
}

/* The VIP that is asked: of the server's family, if there is one. */
static struct tundish_addr vip_of(const struct td_service_conf *s, const struct tundish_addr *own)
{
	for (size_t i = 0; i < s->n_vips; i++)
		if (tundish_addr_is_v4(&s->vips[i].address) == tundish_addr_is_v4(own))
			return s->vips[i].address;
	return s->vips[0].address;
}

static uint16_t port_of(const struct td_service_conf *s, const struct td_backend_conf *b,
			bool local)
{
	if (b && b->health && b->health->port)
		return b->health->port;
	if (s->health->port)
		return s->health->port;
	if (local && s->workers.n_listen)
		return s->workers.listen[0].port;
	return b && b->port ? b->port : s->ports[0].first;
}

static void settle_addresses(struct td_check *c, const struct td_service_conf *s,
			     const struct td_backend_conf *b)
{
	const struct td_own_health_conf *h = b ? b->health : NULL;

	c->own = b ? b->address : nowhere;
	c->source = nowhere;
	if (h && given(&h->address)) {
		c->address = h->address;
		c->delivery = TUNDISH_DELIVERY_NONE; /* straight there */
	} else if (c->local) {
		c->address = group_address(s);
	} else if (td_check_is_led(s->delivery)) {
		c->address = vip_of(s, &b->address);
	} else {
		c->address = b->address;
	}
	for (size_t i = 0; s->delivery == TUNDISH_DELIVERY_FULLNAT && i < s->n_sources; i++)
		if (!given(&c->source) &&
		    tundish_addr_is_v4(&s->sources[i].address) == tundish_addr_is_v4(&c->address))
			c->source = s->sources[i].address;
}

/* FNV-1a (Fowler, Noll, Vo), 64 bits. */
static uint64_t mix(uint64_t hash, const void *data, size_t n)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ p[i]) * 0x100000001b3ull;
	return hash;
}

/* With its end, so that two texts are told from one. */
static uint64_t mix_text(uint64_t hash, const char *text)
{
	return mix(hash, text ? text : "", text ? strlen(text) + 1 : 1);
}

#define FNV_BASIS 0xcbf29ce484222325ull

/* All that a check is made of, so that a change of it is seen. */
static uint64_t signature(const struct td_check *c, const struct td_probe_spec *p,
			  const struct td_health_conf *h)
{
	const uint32_t numbers[] = {c->service,
				    c->type,
				    c->local,
				    p->kind,
				    p->port,
				    c->delivery,
				    h->interval_ms,
				    h->fast_interval_ms,
				    h->down_interval_ms,
				    h->dynamic_weight,
				    h->timeout_ms,
				    h->verify,
				    h->method,
				    h->status.first,
				    h->status.last,
				    c->agent_port,
				    h->agent.port ? h->agent.interval_ms : 0,
				    h->passive.failures != 0,
				    p->n_command};
	const char *const texts[] = {c->name, p->path, p->host,	  p->server_name, p->ca,
				     p->body, p->send, p->expect, h->agent.send};
	uint64_t hash = mix(FNV_BASIS, numbers, sizeof(numbers));

	hash = mix(hash, &c->address, sizeof(c->address));
	hash = mix(hash, &c->own, sizeof(c->own));
	hash = mix(hash, &c->source, sizeof(c->source));
	for (size_t i = 0; i < TD_ARRAY_SIZE(texts); i++)
		hash = mix_text(hash, texts[i]);
	for (size_t i = 0; i < p->n_command; i++)
		hash = mix_text(hash, p->command[i]);
	return hash;
}

static struct td_probe_spec spec_of(const struct td_check *c, const struct td_service_conf *s,
				    const struct td_backend_conf *b)
{
	const struct td_own_health_conf none = {0}, *own = b && b->health ? b->health : &none;
	const struct td_health_conf *h = s->health;

	return (struct td_probe_spec){
		.kind = (enum td_probe_kind)h->type,
		.address = h->type == TD_CHECK_EXEC && !c->local && given(&c->own) ? c->own
										   : c->address,
		.port = c->port,
		.timeout_ms = h->timeout_ms,
		.path = own->path ?: h->path,
		.host = own->host ?: h->host,
		.server_name = own->server_name ?: h->server_name,
		.ca = h->ca,
		.verify = h->verify,
		.method = h->method,
		.status = h->status,
		.body = h->body,
		.send = own->send ?: h->send,
		.expect = own->expect ?: h->expect,
		.command = h->command,
		.n_command = h->n_command,
		.dynamic_weight = h->dynamic_weight,
		.service = c->service_name,
		.backend = c->name,
	};
}

/* Those that are not given are as the first. */
static struct td_check_pace pace_of(uint32_t ms, uint32_t fast_ms, uint32_t down_ms)
{
	return (struct td_check_pace){
		.interval_ns = ms * TD_NS_PER_MS,
		.fast_ns = (fast_ms ?: ms) * TD_NS_PER_MS,
		.down_ns = (down_ms ?: ms) * TD_NS_PER_MS,
	};
}

static int make_probes(struct td_daemon *d, struct td_check *c, const struct td_service_conf *s,
		       const struct td_probe_spec *spec, struct td_error *error)
{
	const struct td_health_conf *h = s->health;
	struct td_probe_spec agent = {
		.kind = TD_PROBE_AGENT,
		/* An agent speaks for its host. */
		.address = !c->local && given(&c->own) ? c->own : c->address,
		.port = c->agent_port,
		.timeout_ms = h->timeout_ms,
		.send = h->agent.send,
	};
	int r = 0;

	c->check.pace = pace_of(h->interval_ms, h->fast_interval_ms, h->down_interval_ms);
	c->agent.pace = pace_of(h->agent.interval_ms, 0, 0);
	if (c->type != TD_CHECK_NONE)
		r = td_probe_new(d->checks->prober, spec, td_check_on_result, c, &c->check.probe,
				 error);
	if (r == 0 && c->agent_port)
		r = td_probe_new(d->checks->prober, &agent, td_check_on_agent, c, &c->agent.probe,
				 error);
	return r;
}

/* Of connections themselves, whatever the checks' is. */
static uint16_t first_port(const struct td_service_conf *s, const struct td_backend_conf *b)
{
	return b && b->port ? b->port : s->ports[0].first;
}

/* What is known of connections goes on, with the rules of now. */
static void keep_passive(struct td_check *c, struct td_check *old)
{
	struct td_passive *p = old->passive, *fresh = c->passive;

	if (!p || !fresh)
		return;
	td_passive_stop(p); /* its result would be told to the former check */
	p->rules = fresh->rules;
	p->interval_ns = fresh->interval_ns;
	p->timeout_ms = fresh->timeout_ms;
	p->first_port = fresh->first_port;
	td_passive_free(fresh);
	c->passive = p;
	old->passive = NULL;
}

/* Makes or changes the check of one backend. */
static int want(struct td_daemon *d, uint32_t id, const struct td_service_conf *s,
		const struct td_backend_conf *b, struct td_error *error)
{
	const struct tundish_backend *entry = &td_kernel_backends(d->kernel)[id];
	const struct td_health_conf *h = s->health;
	const struct td_own_health_conf *own = b ? b->health : NULL;
	struct td_check *old = d->checks->of[id], *c;
	struct td_probe_spec spec;
	struct td_check wanted = {
		.d = d,
		.backend = id,
		.service = entry->service,
		.delivery = s->delivery,
		.mixed = b && s->workers.n_listen,
		.local = !b || (s->workers.n_listen && td_nexthop_is_local(d, id)),
		.type = own && own->off ? TD_CHECK_NONE : h->type,
		.agent_port = !h->agent.port	       ? 0
			      : own && own->agent_port ? own->agent_port
						       : h->agent.port,
		.rules = {.rise = h->rise,
			  .fall = h->fall,
			  .hold_down_ns = h->hold_down_ms * TD_NS_PER_MS,
			  .slow_start_ns = h->slow_start_ms * TD_NS_PER_MS},
		.said = {.percent = TD_AGENT_FULL},
		.weighs = h->type == TD_CHECK_EXEC && h->dynamic_weight && !(own && own->off),
		.percent = TD_AGENT_FULL,
	};
	int r;

	snprintf(wanted.name, sizeof(wanted.name), "%s", b ? b->name : TD_BACKEND_LOCAL);
	snprintf(wanted.service_name, sizeof(wanted.service_name), "%s", s->name);
	wanted.port = port_of(s, b, wanted.local);
	settle_addresses(&wanted, s, b);
	spec = spec_of(&wanted, s, b);
	wanted.as_file = signature(&wanted, &spec, h);
	if (old && old->as_file == wanted.as_file) {
		old->rules = wanted.rules;
		old->mixed = wanted.mixed;
		return td_passive_want(old, h, first_port(s, b));
	}
	c = malloc(sizeof(*c));
	if (!c)
		return -ENOMEM;
	*c = wanted;
	r = td_passive_want(c, h, first_port(s, b));
	r = r < 0 ? r : make_probes(d, c, s, &spec, error);
	if (r < 0) {
		td_check_free(c);
		return r;
	}
	if (old) {
		c->state = old->state;
		c->said = old->said;
		c->agent_known = old->agent_known;
		c->percent = wanted.weighs && old->weighs ? old->percent : TD_AGENT_FULL;
		c->weight_known = wanted.weighs && old->weighs && old->weight_known;
		keep_passive(c, old);
		td_check_free(old);
	}
	d->checks->of[id] = c;
	td_check_begin(d, c);
	return 0;
}

/* ---- all of them -------------------------------------------------------------------------- */

/* The entries that are in the file, by a hash of (service, name). */
struct index {
	const struct td_state *state;
	uint32_t *at; /* which of the state's backends, less one; 0: none */
	size_t mask;
};

static size_t place_of(const struct index *x, uint32_t service, const char *name)
{
	return mix(mix(FNV_BASIS, &service, sizeof(service)), name,
		   strnlen(name, TUNDISH_NAME_LEN)) &
	       x->mask;
}

static int index_make(struct index *x, const struct td_state *s)
{
	size_t size = 64;

	while (size < 2 * s->n_backends)
		size *= 2;
	*x = (struct index){s, calloc(size, sizeof(*x->at)), size - 1};
	if (!x->at)
		return -ENOMEM;
	for (size_t i = 0; i < s->n_backends; i++) {
		const struct tundish_backend *b = &s->backends[i].value;
		size_t at = place_of(x, b->service, b->name);

		if (b->state == TUNDISH_BACKEND_FREE || b->state == TUNDISH_BACKEND_GONE)
			continue;
		while (x->at[at])
			at = (at + 1) & x->mask;
		x->at[at] = (uint32_t)i + 1;
	}
	return 0;
}

/* Its id, or 0. There are free places, so it ends. */
static uint32_t id_of(const struct index *x, uint32_t service, const char *name)
{
	for (size_t at = place_of(x, service, name); x->at[at]; at = (at + 1) & x->mask) {
		const struct td_backend_state *b = &x->state->backends[x->at[at] - 1];

		if (b->value.service == service && !strncmp(b->value.name, name, TUNDISH_NAME_LEN))
			return b->id;
	}
	return 0;
}

static bool is_checked(const struct td_service_conf *s, const struct td_backend_conf *b)
{
	if (!s->health)
		return false;
	return s->health->agent.port || s->health->passive.failures ||
	       (s->health->type != TD_CHECK_NONE && !(b && b->health && b->health->off));
}

static void tell_trouble(struct td_daemon *d, const struct td_service_conf *s, const char *why)
{
	if (!d->checks->trouble[0])
		td_log(TD_LOG_WARNING, "service %s is not checked as the file says: %s", s->name,
		       why);
	snprintf(d->checks->trouble, sizeof(d->checks->trouble), "service %.63s: %.180s", s->name,
		 why);
}

/* @keep: backends that shall be checked, by id */
static void want_service(struct td_daemon *d, const struct td_service_conf *s, uint32_t service,
			 const struct index *index, bool *keep)
{
	bool local = s->delivery == TUNDISH_DELIVERY_WORKERS;

	for (size_t i = 0; i < (local ? 1 : s->n_backends); i++) {
		const struct td_backend_conf *b = local ? NULL : &s->backends[i];
		uint32_t id = id_of(index, service, local ? TD_BACKEND_LOCAL : b->name);
		struct td_error e = {0};
		int r;

		if (!id || id >= d->settings.backends_max || !is_checked(s, b))
			continue;
		r = want(d, id, s, b, &e);
		if (r < 0)
			tell_trouble(d, s, e.text[0] ? e.text : strerror(-r));
		keep[id] = true; /* also where it cannot be made: then its state stands */
	}
}

void td_checks_configure(struct td_daemon *d)
{
	_cleanup_(td_state_done) struct td_state s = {0};
	struct index index = {0};
	_cleanup_free_ bool *keep = calloc(d->settings.backends_max, sizeof(*keep));
	struct td_checks *k = d->checks;

	k->trouble[0] = '\0';
	if (!keep || td_kernel_read_state(d->kernel, &s) < 0 || index_make(&index, &s) < 0) {
		snprintf(k->trouble, sizeof(k->trouble), "the maps cannot be read");
		return;
	}
	for (size_t i = 0; i < d->config->n_services; i++) {
		const struct td_service_conf *c = &d->config->services[i];
		const struct td_service_state *v = c->health ? td_state_service(&s, c->name) : NULL;

		if (v)
			want_service(d, c, v->id, &index, keep);
	}
	k->n_ids = 0;
	for (uint32_t id = 1; id < d->settings.backends_max; id++) {
		if (k->of[id] && !keep[id])
			td_check_end(d, k->of[id]);
		if (!k->of[id] && !keep[id])
			td_check_forget(d, id);
		if (k->of[id])
			k->ids[k->n_ids++] = id;
	}
	free(index.at);
	td_checks_way_configure(d);
}

void td_checks_look(struct td_daemon *d)
{
	const struct td_checks *k = d->checks;

	td_checks_way_look(d);
	for (uint32_t i = 0; i < k->n_ids; i++) {
		const struct td_check *c = k->of[k->ids[i]];

		if (c->mixed && c->local != td_nexthop_is_local(d, c->backend)) {
			td_checks_configure(d);
			return;
		}
	}
}
