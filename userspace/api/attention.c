// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an operator should look at: each entry says what is wrong, why, what to do about it, and
 * which command shows it from nearer. Those that clients feel come first, notes on what merely
 * costs more last. Backends' entries are bounded.
 */
#include "api/api.h"
#include "core/address.h"

static void add(json_t *list, const char *what, const char *why, const char *remedy)
{
	json_array_append_new(list,
			      json_pack("{s:s s:s s:s}", "what", what, "why", why, "do", remedy));
}

static void set_since(json_t *entry, uint64_t since_ns, uint64_t now_ns)
{
	if (since_ns && since_ns <= now_ns)
		json_object_set_new(entry, "seconds",
				    json_integer((json_int_t)((now_ns - since_ns) / TD_NS_PER_S)));
}

/* How long the last entry has been true, where that is known. */
static void add_since(json_t *list, uint64_t since_ns)
{
	set_since(json_array_get(list, json_array_size(list) - 1), since_ns, td_now_ns());
}

/* For how long it has been found, where nothing tells for how long it has been true. What is to be
 * done says of what kind it is: what it says of why has figures in it. */
static void add_found(struct td_daemon *d, json_t *entry, uint64_t now_ns)
{
	if (!json_object_get(entry, "seconds"))
		set_since(entry,
			  td_since_found(&d->since,
					 json_string_value(json_object_get(entry, "what")) ?: "",
					 json_string_value(json_object_get(entry, "do")) ?: "",
					 now_ns),
			  now_ns);
}

/* Every IPv6 path takes packets of 1280 bytes, and senders rely on it (RFC 8200, 5); IPv4
 * ones of 576, which is what a host has to be able to take (RFC 1122, 3.3.2). */
#define LEAST_V6 1280u
#define LEAST_V4 576u

/* Bytes of a tunnel's headers; 0: no tunnel. */
static uint32_t tunnel_bytes(const struct tundish_backend *b)
{
	uint32_t ip = tundish_addr_is_v4(&b->address) ? 20 : 40;

	switch (b->delivery) {
	case TUNDISH_DELIVERY_IPIP: return ip;
	case TUNDISH_DELIVERY_GUE: return ip + 8 + 4; /* UDP, GUE */
	default: return 0;
	}
}

static void tunnel_mtu(const struct td_daemon *d, const struct td_state *s,
		       const struct tundish_backend *b, const char *what, json_t *list)
{
	const struct tundish_nexthop *hop = &d->hops[b->nexthop].value;
	uint32_t header = tunnel_bytes(b), least = LEAST_V4;
	const struct td_service_conf *c;
	char why[300], remedy[100];

	if (!header || hop->flags & TUNDISH_NEXTHOP_LOCAL || hop->mtu >= LEAST_V6 + header)
		return;
	c = td_config_service(d->config, td_service_name(s, b->service));
	if (!c)
		return;
	for (size_t i = 0; i < c->n_vips; i++)
		if (!tundish_addr_is_v4(&c->vips[i].address))
			least = LEAST_V6;
	if (hop->mtu >= least + header)
		return;
	snprintf(
		why, sizeof(why),
		"the way to it takes packets of %u bytes, and the tunnel's headers are %u of them: "
		"clients' packets of %u bytes, which %s promises them, are refused",
		hop->mtu, header, least, least == LEAST_V6 ? "IPv6" : "IPv4");
	snprintf(remedy, sizeof(remedy), "raise the MTU on the way to it to %u", least + header);
	add(list, what, why, remedy);
}

static bool in_trouble(const struct td_daemon *d, const struct td_backend_state *v)
{
	return td_backend_state_wanted(&v->value) == TUNDISH_BACKEND_DOWN ||
	       d->memory[v->id].resolved < 0;
}

/* Surely nothing to tell; what else there may be is found by looking nearer. */
static bool is_well(const struct td_daemon *d, const struct td_backend_state *v)
{
	const struct tundish_backend *b = &v->value;
	const struct td_backend_memory *m = &d->memory[v->id];
	const struct tundish_nexthop *hop = td_hop_at(d, b->nexthop);

	return !in_trouble(d, v) && !m->no_source &&
	       !(b->delivery == TUNDISH_DELIVERY_DSR && m->via_gateway) &&
	       (!hop || !tunnel_bytes(b) || hop->mtu >= LEAST_V6 + tunnel_bytes(b) ||
		hop->flags & TUNDISH_NEXTHOP_LOCAL);
}

/* Those that are not told one by one. */
static void other_backends(const struct td_daemon *d, const struct td_state *s, size_t from,
			   json_t *list)
{
	size_t n = 0;
	char why[100];

	for (size_t i = from; i < s->n_backends; i++)
		n += td_backend_listed(&s->backends[i].value) && in_trouble(d, &s->backends[i]);
	if (!n)
		return;
	snprintf(why, sizeof(why), "%zu more are down or have no next hop", n);
	add(list, "backends", why, TD_MANY_REMEDY);
}

static void backends(const struct td_daemon *d, const struct td_state *s, json_t *list)
{
	size_t before = json_array_size(list);

	for (size_t i = 0; i < s->n_backends; i++) {
		const struct tundish_backend *b = &s->backends[i].value;
		const struct td_backend_memory *m = &d->memory[s->backends[i].id];
		char what[200], why[300], text[TD_ADDRESS_TEXT];

		/* Of very many nearly all are well, and cost nothing but these questions. */
		if (!td_backend_listed(b) || is_well(d, &s->backends[i]))
			continue;
		if (json_array_size(list) - before >= TD_ATTENTION_BACKENDS) {
			other_backends(d, s, i, list);
			return;
		}
		snprintf(what, sizeof(what), "backend %.63s/%.63s", td_service_name(s, b->service),
			 b->name);
		td_address_print(&b->address, text);
		if (td_backend_state_wanted(b) == TUNDISH_BACKEND_DOWN) {
			const char *reason;

			td_backend_health(d, s->backends[i].id, &reason);
			snprintf(why, sizeof(why), "%s: %s", reason ?: "unknown",
				 td_backend_is_last(b)
					 ? td_backend_kept_why(d, s->backends[i].id)
					 : "new connections go to the other backends");
			add(list, what, why,
			    "start its server, or make room for it; it comes back by itself");
			add_since(list, b->health_since_ns);
		}
		if (m->resolved < 0) {
			snprintf(why, sizeof(why), "no next hop for %s: %s; packets %s", text,
				 m->trouble,
				 td_backend_hop_known(d, s->backends[i].id)
					 ? "go to where it was last"
					 : "to it are dropped");
			add(list, what, why, TD_NO_HOP_REMEDY);
			add_since(list, m->unresolved_ns);
		}
		if (!m->resolved && b->delivery == TUNDISH_DELIVERY_DSR && m->via_gateway) {
			snprintf(
				why, sizeof(why),
				"delivery is dsr but %s is behind a gateway, which would route the "
				"packets back to the VIP",
				text);
			add(list, what, why, "put it on the same link, or use delivery: ipip");
		}
		if (!m->resolved && td_hop_at(d, b->nexthop))
			tunnel_mtu(d, s, b, what, list);
		if (!m->resolved && m->no_source) {
			snprintf(why, sizeof(why),
				 "no address of this host to send tunnels to %s from", text);
			add(list, what, why, "give the interface an address of that family");
		}
	}
}

static void services(const struct td_state *s, json_t *list)
{
	size_t n =
		s->n_services ? s->services[s->n_services - 1].id + 1 : 0; /* they are in order */
	_cleanup_free_ bool *usable = calloc(n + 1, sizeof(*usable));

	for (size_t i = 0; usable && i < s->n_backends; i++) {
		const struct tundish_backend *b = &s->backends[i].value;

		if (b->service < n && b->state == TUNDISH_BACKEND_UP && b->weight)
			usable[b->service] = true;
	}
	for (size_t i = 0; usable && i < s->n_services; i++) {
		const struct td_service_state *v = &s->services[i];
		char what[100];

		if (v->value.state != TUNDISH_SERVICE_ACTIVE || usable[v->id])
			continue;
		snprintf(what, sizeof(what), "service %.63s", v->value.name);
		add(list, what, "no usable backend: new connections are dropped",
		    "enable one, or give one a weight");
	}
}

/* Prefixes that are short enough for a number for each address, and have one. */
static void shared_numbers(const struct td_state *s, json_t *list)
{
	char why[300], text[TD_PREFIX_TEXT], more[40] = "";
	size_t n = 0;

	for (size_t i = 0; i < s->n_vips; i++) {
		struct td_prefix p = {s->vips[i].address, s->vips[i].prefix};

		if (s->vips[i].value.mask < td_vip_mask(&p) && !n++)
			td_prefix_print(&p, text);
	}
	if (!n)
		return;
	if (n > 1)
		snprintf(more, sizeof(more), " and %zu more", n - 1);
	snprintf(why, sizeof(why),
		 "connections are counted together and not by address in %s%s: %u addresses can be "
		 "told apart in all",
		 text, more, TUNDISH_VIPS_MAX - 1);
	add(list, "virtual IPs", why,
	    "if counts by address matter take fewer VIPs, and these out of the file and in again");
}

static void interfaces(const struct td_daemon *d, uint8_t mode, json_t *list)
{
	for (size_t i = 0; i < d->n_attachments; i++) {
		const struct td_attachment *a = &d->attachments[i];
		char what[IFNAMSIZ + 16];

		if (a->mode != mode)
			continue;
		snprintf(what, sizeof(what), "interface %s", a->name);
		if (mode == TD_MODE_NONE)
			add(list, what, a->note,
			    "bring it back, or take it out of the file; it is attached to by itself");
		else
			add(list, what,
			    a->note[0] ? a->note
				       : "generic mode: several times the cost per packet",
			    "use a driver with native XDP, or expect less");
	}
}

/* The command that shows it from nearer, by what it is about; "%": the name that follows, up to a
 * slash. */
static void add_command(json_t *entry)
{
	static const struct {
		const char *what, *command;
	} commands[] = {
		{"backend ", "tundish backend list %"},
		{"checks of backend ", "tundish backend list %"},
		{"backends", "tundish backend list"},
		{"service ", "tundish service show %"},
		{"interface ", "ip -details link show dev %"},
		{"client ", "tundish tuple list --top 10"},
		{"worker groups", "tundish worker list"},
		{"virtual IPs", "tundish service list"},
		{"flow table", "tundish flow count"},
		{"tuple table", "tundish tuple list --top 10"},
		{"egress ", "tundish egress list %"},
		{"egress", "tundish egress list"},
		{"source ports", "tundish port list --top 10"},
		{"table of source ports", "tundish port list --top 10"},
		{"table of translated", "tundish flow count"},
		{"limits", "tundish config show"},
	};
	const char *what = json_string_value(json_object_get(entry, "what"));

	for (size_t i = 0; what && i < TD_ARRAY_SIZE(commands); i++) {
		size_t n = strlen(commands[i].what), before = strcspn(commands[i].command, "%");

		if (strncmp(what, commands[i].what, n))
			continue;
		json_object_set_new(
			entry, "command",
			json_sprintf("%.*s%.*s", (int)before, commands[i].command,
				     commands[i].command[before] ? (int)strcspn(what + n, "/ ") : 0,
				     what + n));
		return;
	}
}

/* @asked: somebody waits for it. For nobody the table of tuples is not gone through, so of what that has it
 * is not known since when. */
static json_t *find(struct td_daemon *d, const struct td_state *s, bool asked)
{
	size_t clients, after;
	uint64_t now = td_now_ns();
	json_t *list = json_array(), *entry;
	size_t i;

	interfaces(d, TD_MODE_NONE, list);
	services(s, list);
	td_workers_attention(d, s, add, list);
	backends(d, s, list);
	clients = json_array_size(list);
	if (asked)
		td_clients_attention(d, s, add, list);
	after = json_array_size(list);
	td_choice_attention(d, s, add, list);
	td_nat_attention(d, s, add, list);
	td_source_ports_attention(d, add, list);
	td_egress_attention(d, add, list);
	if (d->vips_trouble[0])
		add(list, "virtual IPs", d->vips_trouble,
		    "see `ip address`; set own: false where another owns them");
	if (d->full_flows_ns && now - d->full_flows_ns < TD_RECENT_NS)
		add(list, "flow table",
		    "full within the last minute: new flows are served by Maglev alone",
		    "raise limits.flows and limits.flows6, then `tundish unload` and start again");
	if (d->full_tuples_ns && now - d->full_tuples_ns < TD_RECENT_NS)
		add(list, "tuple table",
		    "full within the last minute: connections are not counted there",
		    "raise limits.tuples, then `tundish unload` and start again");
	td_own_connections_attention(d, add, list);
	td_checks_attention(d, add, list);
	if (d->limits_note)
		add(list, "limits", d->limits_note,
		    "`tundish unload` and start again, when it suits");
	if (d->metrics_trouble[0])
		add(list, "metrics", d->metrics_trouble, "free the address, then reload");
	if (d->control_trouble[0])
		add(list, "control", d->control_trouble,
		    "name a group that there is and restart tundishd; where it does not run as "
		    "root it has to be a member");
	if (d->privileges[0])
		add(list, "daemon", d->privileges, "start it as root or from its systemd unit");
	shared_numbers(s, list);
	interfaces(d, TD_MODE_GENERIC, list);
	td_since_begin(&d->since);
	json_array_foreach (list, i, entry) {
		add_command(entry);
		if (i < clients || i >= after)
			add_found(d, entry, now);
	}
	td_since_end(&d->since);
	return list;
}

json_t *td_attention_json(struct td_daemon *d, const struct td_state *s)
{
	return find(d, s, true);
}

void td_attention_look(struct td_daemon *d)
{
	_cleanup_(td_state_done) struct td_state s = {0};

	if (td_kernel_read_state(d->kernel, &s) == 0)
		json_decref(find(d, &s, false));
}
