// SPDX-License-Identifier: GPL-2.0-only
/*
 * Flows as JSON: read out of the mapped tables, filtered on the way.
 * Age is not kept for an established flow (it would cost the entry its size);
 * `idle_seconds` is what the sampled packets tell, so it is an upper bound; of UDP, and of
 * translated ones, it is right. A list of very many is asked for piece by piece, as one of backends.
 */
#include <netinet/in.h>

#include "api/api.h"
#include "api/flows.h"
#include "core/address.h"
#include "core/override.h"

#define LIMIT_DEFAULT 1000
#define LIMIT_MAX     1000000

const char *const td_flow_state_names[] = {
	[TUNDISH_FLOW_SYN] = "syn",	    [TUNDISH_FLOW_ESTABLISHED] = "established",
	[TUNDISH_FLOW_REOPEN] = "reopen",   [TUNDISH_FLOW_CLOSING] = "closing",
	[TUNDISH_FLOW_UDP_NEW] = "udp-new", [TUNDISH_FLOW_UDP] = "udp",
};

int td_read_number(const struct td_request *q, const char *key, unsigned long max, uint32_t *ret,
		   struct td_reply *reply)
{
	const char *text = q->query(q, key);
	char *end = NULL;
	unsigned long n;

	if (!text)
		return 0;
	n = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || n > max) {
		td_reply_error(reply, 400, 2, "%s: \"%.40s\" is not a number from 0 to %lu", key,
			       text, max);
		return -EINVAL;
	}
	*ret = n;
	return 0;
}

static int read_address(const struct td_request *q, const char *key, struct tundish_addr *ret,
			bool *ret_has, struct td_reply *reply)
{
	const char *text = q->query(q, key);

	if (!text)
		return 0;
	if (td_address_parse(text, ret) < 0) {
		td_reply_error(reply, 400, 2, "%s: \"%.60s\" is not an IP address", key, text);
		return -EINVAL;
	}
	*ret_has = true;
	return 0;
}

int td_read_protocol(const struct td_request *q, struct td_reply *reply)
{
	const char *text = q->query(q, "protocol");

	if (!text)
		return 0;
	if (!strcmp(text, "tcp"))
		return IPPROTO_TCP;
	if (!strcmp(text, "udp"))
		return IPPROTO_UDP;
	td_reply_error(reply, 400, 2, "protocol: \"%.40s\" is neither tcp nor udp", text);
	return -EINVAL;
}

static bool is_state(const char *name)
{
	bool is = false;

	for (uint32_t i = 1; !is && i < TD_ARRAY_SIZE(td_flow_state_names); i++)
		is = td_flow_state_names[i] && !strcmp(name, td_flow_state_names[i]);
	for (uint32_t i = 1; !is && i < TUNDISH_NAT_STATE_MAX; i++)
		is = !strcmp(name, td_nat_state_names[i]);
	return is;
}

static void tell_states(const char *name, struct td_reply *reply)
{
	td_reply_error(reply, 400, 2,
		       "state: \"%.40s\" is none of syn, established, reopen, closing, udp-new, "
		       "udp, and of translated ones syn-received, fin-client, fin-server, resting, "
		       "time-wait, reset-server, reset-client",
		       name);
}

static int read_filter(const struct td_request *q, struct td_flow_filter *f, struct td_reply *reply)
{
	const char *state = q->query(q, "state");
	uint32_t limit = LIMIT_DEFAULT, after = 0;
	int protocol = td_read_protocol(q, reply);

	*f = (struct td_flow_filter){.service = q->query(q, "service"),
				     .backend = q->query(q, "backend")};
	if (protocol < 0)
		return protocol;
	f->udp = protocol ? protocol == IPPROTO_UDP : -1;
	if (read_address(q, "client", &f->client, &f->has_client, reply) < 0 ||
	    read_address(q, "vip", &f->vip, &f->has_vip, reply) < 0 ||
	    td_read_number(q, "client_port", 65535, &f->client_port, reply) < 0 ||
	    td_read_number(q, "port", 65535, &f->port, reply) < 0 ||
	    td_read_number(q, "limit", LIMIT_MAX, &limit, reply) < 0 ||
	    td_read_number(q, "after", UINT32_MAX, &after, reply) < 0)
		return -EINVAL;
	f->limit = limit;
	f->after = after;
	if (state && !is_state(state)) {
		tell_states(state, reply);
		return -EINVAL;
	}
	f->state = state;
	return 0;
}

static int seconds_of(uint32_t ticks)
{
	return (int)((uint64_t)ticks * (1ull << TUNDISH_TICK_SHIFT) / TD_NS_PER_S);
}

json_t *td_flow_list(struct td_flow_listing *l, const struct td_flow_row *r)
{
	const struct td_flow_filter *f = l->f;
	char client[TD_ADDRESS_TEXT], vip[TD_PREFIX_TEXT];
	const struct td_backend_state *b;
	const char *service, *name;
	json_t *row;

	if ((f->wanted && (r->backend >= TUNDISH_BACKENDS_MAX || !f->wanted[r->backend])) ||
	    (f->state && strcmp(f->state, r->state)) || (f->udp >= 0 && f->udp != r->udp) ||
	    (f->has_client && !tundish_addr_equal(r->client, &f->client)) ||
	    (f->has_vip && (!r->vip || !tundish_addr_equal(r->vip, &f->vip))) ||
	    (f->client_port && f->client_port != __builtin_bswap16(r->client_port)) ||
	    (f->port && f->port != __builtin_bswap16(r->port)))
		return NULL;
	b = td_state_backend_by_id(l->s, r->backend);
	service = b ? td_service_name(l->s, b->value.service) : "unknown";
	name = b ? b->value.name : "unknown";
	row = json_pack(
		"{s:s s:i s:s? s:i s:s s:s s:s s:s s:o s:i s:I}", "client",
		td_address_print(r->client, client), "client_port",
		__builtin_bswap16(r->client_port), "vip",
		r->vip ? td_address_print(r->vip, vip) : NULL, "port", __builtin_bswap16(r->port),
		"protocol", td_protocol_name(r->udp ? IPPROTO_UDP : IPPROTO_TCP), "service",
		service, "backend", name, "state", r->state, "age_seconds",
		r->age < UINT32_MAX ? json_integer(seconds_of(r->age)) : json_null(),
		"idle_seconds", seconds_of(r->idle), "id", (json_int_t)(l->before + l->at + 1));
	json_array_append_new(l->list, row);
	return row;
}

static void one(struct td_flow_listing *l, const struct tundish_addr *client, __be16 client_port,
		__be16 port, union tundish_flow_value v)
{
	const struct tundish_addr *vip = &l->vip_of[v.live.vip];
	bool half_open = tundish_flow_half_open(v), known = vip->word[2] || vip->word[0];
	uint32_t idle = half_open ? tundish_age(l->tick, v.syn.seen, 7)
				  : tundish_age(l->tick, v.live.seen, 16);
	uint32_t state = v.live.state;

	if (state >= TD_ARRAY_SIZE(td_flow_state_names) || !td_flow_state_names[state])
		return;
	td_flow_list(l, &(struct td_flow_row){
				.client = client,
				.vip = known ? vip : NULL,
				.client_port = client_port,
				.port = port,
				.udp = v.live.udp,
				.backend = v.live.backend,
				.state = td_flow_state_names[state],
				.idle = idle,
				.age = state == TUNDISH_FLOW_SYN || state == TUNDISH_FLOW_UDP_NEW
					       ? idle
					       : UINT32_MAX,
			});
}

static void list_flows(struct td_flow_listing *l, const struct td_sweep_tables *t)
{
	uint64_t n = (uint64_t)t->flow_buckets * TUNDISH_BUCKET_ENTRIES;

	for (l->at = td_flow_list_from(l); l->at < n && !td_flow_list_is_full(l); l->at++) {
		struct tundish_flow *e = &t->flows[l->at / TUNDISH_BUCKET_ENTRIES]
						  .entry[l->at % TUNDISH_BUCKET_ENTRIES];
		union tundish_flow_value v;
		struct tundish_flow copy;
		struct tundish_addr client;

		v.raw = __atomic_load_n(&e->value.raw, __ATOMIC_ACQUIRE);
		if (!v.raw || !~v.raw)
			continue;
		copy = *e;
		client = tundish_addr_v4(copy.client_be);
		one(l, &client, copy.client_port_be, copy.port_be, v);
	}
}

static void list_flows6(struct td_flow_listing *l, const struct td_sweep_tables *t)
{
	uint64_t n = (uint64_t)t->flow6_buckets * TUNDISH_BUCKET_ENTRIES;

	for (l->at = td_flow_list_from(l); l->at < n && !td_flow_list_is_full(l); l->at++) {
		struct tundish_flow6 *e = &t->flows6[l->at / TUNDISH_BUCKET_ENTRIES]
						   .entry[l->at % TUNDISH_BUCKET_ENTRIES];
		union tundish_flow_value v;
		struct tundish_flow6 copy;

		v.raw = __atomic_load_n(&e->value.raw, __ATOMIC_ACQUIRE);
		if (!v.raw || !~v.raw)
			continue;
		copy = *e;
		one(l, &copy.client, copy.client_port_be, copy.port_be, v);
	}
}

static void count_flows(struct td_daemon *d, const struct td_sweep_tables *t,
			struct td_reply *reply)
{
	json_int_t flows = 0, flows6 = 0;

	for (uint32_t i = 0; i < t->flow_buckets; i++)
		for (unsigned int k = 0; k < TUNDISH_BUCKET_ENTRIES; k++)
			flows += !!t->flows[i].entry[k].value.raw;
	for (uint32_t i = 0; i < t->flow6_buckets; i++)
		for (unsigned int k = 0; k < TUNDISH_BUCKET_ENTRIES; k++)
			flows6 += !!t->flows6[i].entry[k].value.raw;
	reply->json = json_pack("{s:I s:I s:I}", "flows", flows, "flows6", flows6, "nat",
				(json_int_t)td_nat_count_flows(d));
}

/* By id; NULL: no memory. */
static struct tundish_addr *addresses_of_vips(const struct td_state *s)
{
	struct tundish_addr *of = calloc(TUNDISH_VIPS_MAX, sizeof(*of));

	for (size_t i = 0; of && i < s->n_vips; i++)
		for (uint32_t k = 0; k <= s->vips[i].value.mask; k++) {
			struct tundish_addr a = s->vips[i].address;

			a.word[3] |= htonl(k);
			of[(s->vips[i].value.id + k) % TUNDISH_VIPS_MAX] = a;
		}
	return of;
}

/* Once, or each of a million flows would look up names. NULL: no memory. */
static bool *wanted_backends(const struct td_state *s, const struct td_flow_filter *f)
{
	bool *wanted = calloc(TUNDISH_BACKENDS_MAX, sizeof(*wanted)), is = !f->service;
	uint32_t service = UINT32_MAX;

	for (size_t i = 0; wanted && i < s->n_backends; i++) {
		const struct td_backend_state *b = &s->backends[i];

		if (f->service && b->value.service != service) {
			service = b->value.service;
			is = !strcmp(f->service, td_service_name(s, service));
		}
		if (b->id < TUNDISH_BACKENDS_MAX)
			wanted[b->id] = is && (!f->backend || !strcmp(f->backend, b->value.name));
	}
	return wanted;
}

static void list_all(struct td_flow_listing *l, const struct td_sweep_tables *t)
{
	l->list = json_array();
	if (!l->f->has_client || tundish_addr_is_v4(&l->f->client))
		list_flows(l, t);
	l->before += (uint64_t)t->flow_buckets * TUNDISH_BUCKET_ENTRIES;
	list_flows6(l, t);
	l->before += (uint64_t)t->flow6_buckets * TUNDISH_BUCKET_ENTRIES;
	td_nat_list_flows(l);
}

void td_answer_flows(struct td_daemon *d, const struct td_request *q, struct td_reply *reply)
{
	_cleanup_(td_state_done) struct td_state s = {0};
	_cleanup_free_ struct tundish_addr *vip_of = NULL;
	_cleanup_free_ bool *wanted = NULL;
	struct td_sweep_tables t;
	struct td_flow_listing l = {.d = d, .s = &s, .tick = tundish_tick(td_now_ns())};
	struct td_flow_filter f;

	td_sweep_tables_of(d, &t);
	if (q->n_words == 2) {
		if (strcmp(q->word[1], "count"))
			td_reply_error(reply, 404, 2, "there is no /v1/flows/%.40s", q->word[1]);
		else
			count_flows(d, &t, reply);
		return;
	}
	if (read_filter(q, &f, reply) < 0)
		return;
	/* An empty list would say of a mistyped name that nothing flows there. */
	if (td_read_state(d, &s, reply) < 0 || td_names_known(&s, f.service, f.backend, reply) < 0)
		return;
	if (f.service || f.backend)
		f.wanted = wanted = wanted_backends(&s, &f);
	l.f = &f;
	l.vip_of = vip_of = addresses_of_vips(&s);
	if (!vip_of || ((f.service || f.backend) && !wanted)) {
		td_reply_error(reply, 500, 1, "out of memory");
		return;
	}
	list_all(&l, &t);
	reply->json = l.list;
}
