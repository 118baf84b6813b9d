// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pools of source addresses as people and programs see them: `egress list`, `status`,
 * what needs attention.
 */
#include "api/api.h"
#include "core/address.h"
#include "lib/suggest.h"

static const char *const left_names[] = {
#define TUNDISH_X(name, help) #name,
	TUNDISH_EGRESS_LEFT(TUNDISH_X)
#undef TUNDISH_X
};

/* ---- the busiest destination of each source ------------------------------------------- */

struct busiest {
	struct tundish_port_key key;
	uint32_t used, usable;
};

struct usage {
	struct td_port_entry *entries;
	size_t n;
	struct tundish_space space;
	uint64_t now;
};

static void usage_done(struct usage *u)
{
	free(u->entries);
}

static void usage_read(struct td_daemon *d, struct usage *u)
{
	uint64_t cookie;

	u->now = td_now_ns();
	if (td_kernel_netns_cookie(-1, &cookie) < 0 ||
	    td_kernel_get_space(d->kernel, cookie, &u->space) < 0 ||
	    td_kernel_ports(d->kernel, &u->entries, &u->n) < 0)
		u->n = 0;
}

/* As the programs count. */
static uint32_t used_of(const struct tundish_ports *p, const struct usage *u)
{
	const struct tundish_port_count *c = &p->counted[u->space.scan & 1];
	uint32_t steps = tundish_leaving_steps(u->now - u->space.scanned);
	uint32_t used = (p->held > 0 ? (uint32_t)p->held : 0) + tundish_tw_count(p, u->now);

	if (!u->space.scan || c->scan != u->space.scan || steps == TUNDISH_LEAVING_STEPS)
		return used;
	return TD_MAX(used, tundish_port_counted(c, steps));
}

static bool usage_busiest(const struct usage *u, const struct tundish_addr *source,
			  struct busiest *ret)
{
	bool found = false;

	*ret = (struct busiest){.usable = u->space.scan
						  ? u->space.usable
						  : (uint32_t)u->space.last + 1 - u->space.first};
	for (size_t i = 0; i < u->n; i++) {
		const struct td_port_entry *e = &u->entries[i];
		uint32_t used;

		if (e->key.space != u->space.index || !tundish_addr_equal(&e->key.local, source))
			continue;
		used = used_of(&e->value, u);
		if (used <= ret->used)
			continue;
		ret->used = used;
		ret->key = e->key;
		found = true;
	}
	return found;
}

static void destination_text(const struct tundish_port_key *key, char *buffer, size_t size)
{
	char text[TD_ADDRESS_TEXT];

	td_address_print(&key->remote, text);
	if (key->protocol == IPPROTO_UDP)
		snprintf(buffer, size, "udp");
	else
		snprintf(buffer, size, tundish_addr_is_v4(&key->remote) ? "%s:%u" : "[%s]:%u", text,
			 ntohs(key->remote_port_be));
}

/* ---- egress list ------------------------------------------------------------------------ */

static json_t *source_json(struct td_daemon *d, uint32_t id, uint32_t place, const struct usage *u)
{
	const struct tundish_egress *e = &td_kernel_egress(d->kernel)[id];
	const struct tundish_egress_source *s = &e->source[place];
	char text[TD_ADDRESS_TEXT], why[256], destination[TD_ADDRESS_TEXT + 16];
	struct busiest b;
	bool busy = usage_busiest(u, &s->address, &b);
	const char *state = td_egress_source_state(d, id, place, why, sizeof(why));
	json_t *o;

	td_address_print(&s->address, text);
	if (busy)
		destination_text(&b.key, destination, sizeof(destination));
	o = json_pack("{s:s s:s s:s s:s s:I s:I s:I s:s? s:s?}", "pool", e->name, "cgroup",
		      d->pools[id].cgroup, "source", text, "state", state, "connections_total",
		      (json_int_t)s->connections, "used", (json_int_t)b.used, "usable",
		      (json_int_t)b.usable, "destination", busy ? destination : NULL, "reason",
		      why[0] ? why : NULL);
	json_object_set_new(o, "utilization", json_real(b.usable ? (double)b.used / b.usable : 0));
	return o;
}

void td_answer_egress(struct td_daemon *d, const char *name, struct td_reply *reply)
{
	_cleanup_(usage_done) struct usage u = {0};
	struct td_suggest suggest = {.given = name};
	char meant[TD_SUGGEST_TELL_BYTES];
	json_t *list = json_array();
	bool found = !name;

	if (d->egress_trouble[0]) {
		json_decref(list);
		td_reply_error(reply, 503, 1, "no egress pool is in force: %s", d->egress_trouble);
		return;
	}
	if (d->egress_on)
		usage_read(d, &u);
	for (uint32_t id = 1; d->egress_on && id < TUNDISH_EGRESS_MAX; id++) {
		const struct tundish_egress *e = &td_kernel_egress(d->kernel)[id];

		if (!e->name[0])
			continue;
		td_suggest_add(&suggest, e->name);
		if (name && strcmp(name, e->name))
			continue;
		found = true;
		for (size_t f = 0; f < 2; f++)
			for (uint32_t i = 0; i < e->n[f]; i++)
				json_array_append_new(list, source_json(d, id, e->order[f][i], &u));
	}
	if (found) {
		reply->json = list;
		return;
	}
	json_decref(list);
	td_reply_error(reply, 404, 4,
		       "there is no egress pool \"%.63s\"; `tundish egress list` has "
		       "those that there are%s",
		       name, td_suggest_tell(&suggest, meant, sizeof(meant)));
}

/* ---- status -------------------------------------------------------------------------------- */

json_t *td_egress_json(struct td_daemon *d)
{
	json_t *list = json_array();

	for (uint32_t id = 1; d->egress_on && id < TUNDISH_EGRESS_MAX; id++) {
		const struct tundish_egress *e = &td_kernel_egress(d->kernel)[id];
		json_t *left = json_object();
		json_int_t up = 0, n = 0, connections = 0;

		if (!e->name[0]) {
			json_decref(left);
			continue;
		}
		for (uint32_t i = 0; i < TUNDISH_EGRESS_SOURCES; i++) {
			n += e->source[i].flags & TUNDISH_SOURCE_LISTED;
			up += !!(e->source[i].flags & TUNDISH_SOURCE_PRESENT);
			if (e->source[i].flags & TUNDISH_SOURCE_LISTED)
				connections += (json_int_t)e->source[i].connections;
		}
		for (size_t i = 0; i < TUNDISH_EGRESS_LEFT_MAX; i++)
			json_object_set_new(left, left_names[i],
					    json_integer((json_int_t)e->left[i]));
		json_array_append_new(list,
				      json_pack("{s:s s:s s:b s:s s:I s:I s:I s:o s:I s:I}", "pool",
						e->name, "cgroup", d->pools[id].cgroup, "attached",
						!d->pools[id].trouble[0], "note",
						d->pools[id].trouble, "sources_up", up, "sources",
						n, "connections_total", connections, "left_alone",
						left, "exhausted_total", (json_int_t)e->exhausted,
						"shifts_total", (json_int_t)e->shifts));
	}
	return list;
}

void td_egress_attention(struct td_daemon *d, td_attention_add add, json_t *list)
{
	if (d->egress_trouble[0])
		add(list, "egress", d->egress_trouble,
		    "no pool is in force, and connections have the kernel's own source; "
		    "reload when the cause is gone");
	if (!d->egress_on)
		return;
	if (!td_kernel_ports_are_open(d->kernel))
		add(list, "egress", "source ports are not counted, so sources are used in turn",
		    "see what is said of source ports");
	for (uint32_t id = 1; id < TUNDISH_EGRESS_MAX; id++) {
		const struct tundish_egress *e = &td_kernel_egress(d->kernel)[id];
		const struct td_pool_memory *m = &d->pools[id];
		char what[100], why[300], text[TD_ADDRESS_TEXT];
		unsigned int n = 0, absent = 0;
		size_t used;

		if (!e->name[0])
			continue;
		snprintf(what, sizeof(what), "egress %.63s", e->name);
		if (m->trouble[0])
			add(list, what, m->trouble,
			    "make the cgroup, or correct `cgroup`; connections have the kernel's "
			    "own source meanwhile");
		used = (size_t)snprintf(why, sizeof(why), "not on this host:");
		for (uint32_t i = 0; i < TUNDISH_EGRESS_SOURCES; i++) {
			n += e->source[i].flags & TUNDISH_SOURCE_LISTED;
			if ((e->source[i].flags &
			     (TUNDISH_SOURCE_LISTED | TUNDISH_SOURCE_PRESENT)) !=
			    TUNDISH_SOURCE_LISTED)
				continue;
			td_address_print(&e->source[i].address, text);
			if (absent++ < 4)
				used += (size_t)snprintf(why + used, sizeof(why) - used, "%s %s",
							 absent > 1 ? "," : "", text);
		}
		if (absent) {
			snprintf(why + used, sizeof(why) - used, "%s (%u of %u sources)",
				 absent > 4 ? ", ..." : "", absent, n);
			add(list, what, why,
			    "add the addresses with `ip address add`, or take them out of the file");
		}
		if (m->exhausted_ns && td_now_ns() - m->exhausted_ns < 60 * TD_NS_PER_S)
			add(list, what,
			    "within the last minute no source had a port left for a connection",
			    "add sources, or let the other end close first, or keep connections open");
	}
}
