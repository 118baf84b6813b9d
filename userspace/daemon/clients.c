// SPDX-License-Identifier: GPL-2.0-only
/*
 * Clients that are short of ports towards one VIP and port: proxies and NAT gateways with
 * one address. The pass of the sweep that counts tuples finds them, and each is told once
 * when it comes above one half, and once when it has gone below 45%. `status` looks by itself,
 * so that it need not wait for a pass.
 */
#include "core/address.h"
#include "core/budget.h"
#include "daemon/daemon.h"

#define OBJECT_TEXT (TD_ADDRESS_TEXT + TD_PREFIX_TEXT + 20)

static bool is_same(const struct tundish_tuple *a, const struct tundish_tuple *b)
{
	return a->vip == b->vip && a->port_be == b->port_be &&
	       tundish_addr_equal(&a->client, &b->client);
}

static const struct tundish_tuple *find(const struct tundish_tuple *list, uint32_t n,
					const struct tundish_tuple *wanted)
{
	for (uint32_t i = 0; i < n; i++)
		if (is_same(&list[i], wanted))
			return &list[i];
	return NULL;
}

static const char *object_of(const struct td_state *s, const struct tundish_tuple *t, char *text)
{
	char client[TD_ADDRESS_TEXT], vip[TD_PREFIX_TEXT];
	const char *to = td_vip_text(s, t->vip & ~TUNDISH_TUPLE_UDP, vip) ?: "a former VIP";
	const char *format = strchr(to, ':') ? "%s to [%s]:%u" : "%s to %s:%u";

	snprintf(text, OBJECT_TEXT, format, td_address_print(&t->client, client), to,
		 __builtin_bswap16(t->port_be));
	return text;
}

void td_clients_check(struct td_daemon *d)
{
	const struct td_sweep_counts *c = td_sweep_counts(d->sweep, NULL);
	_cleanup_(td_state_done) struct td_state s = {0};
	char object[OBJECT_TEXT];
	uint32_t kept = 0;

	if ((!c->n_crowded && !d->n_crowded) || td_kernel_read_state(d->kernel, &s) < 0)
		return;
	for (uint32_t i = 0; i < d->n_crowded; i++) {
		if (find(c->crowded, c->n_crowded, &d->crowded[i]))
			d->crowded[kept++] = d->crowded[i];
		else
			td_event(d, "client-half-over", object_of(&s, &d->crowded[i], object),
				 "it has fewer than %u connections there again", TD_INBOUND_LOW);
	}
	d->n_crowded = kept;
	for (uint32_t i = 0; i < c->n_crowded && d->n_crowded < TD_CROWDED_MAX; i++) {
		const struct tundish_tuple *t = &c->crowded[i];

		if (t->value.active < TD_INBOUND_HALF || find(d->crowded, d->n_crowded, t))
			continue;
		d->crowded[d->n_crowded++] = *t;
		td_event(d, "client-half", object_of(&s, t, object),
			 "it has %u connections there, of about %u that one address can have: "
			 "spread it over %u VIPs (or ports)",
			 (unsigned int)t->value.active, TD_INBOUND_PORTS,
			 td_budget_vips(t->value.active));
	}
}

static bool above(const struct tundish_tuple *a, const struct tundish_tuple *b)
{
	return a->value.active != b->value.active ? a->value.active > b->value.active
						  : a->value.total > b->value.total;
}

static int by_rank(const void *a, const void *b)
{
	return above(a, b) ? -1 : above(b, a);
}

/* A heap, the lowest at its root: from there it goes down to where none below is lower. */
static void sift(struct tundish_tuple *heap, size_t n, size_t at)
{
	for (size_t child; (child = 2 * at + 1) < n; at = child) {
		struct tundish_tuple was = heap[at];

		if (child + 1 < n && above(&heap[child], &heap[child + 1]))
			child++;
		if (!above(&was, &heap[child]))
			return;
		heap[at] = heap[child];
		heap[child] = was;
	}
}

size_t td_tuples_highest(struct td_daemon *d, struct tundish_tuple *best, size_t top)
{
	struct td_sweep_tables t;
	size_t n = 0;

	td_sweep_tables_of(d, &t);
	for (uint32_t i = 0; i < t.tuple_buckets; i++)
		for (unsigned int k = 0; k < TUNDISH_BUCKET_ENTRIES; k++) {
			struct tundish_tuple e = t.tuples[i].entry[k];

			if (!e.value.raw || !~e.value.raw || (n == top && !above(&e, best)))
				continue;
			if (n == top) {
				best[0] = e;
				sift(best, n, 0);
				continue;
			}
			best[n++] = e;
			for (size_t at = n / 2; n == top && at-- > 0;)
				sift(best, n, at);
		}
	qsort(best, n, sizeof(*best), by_rank);
	return n;
}

void td_clients_attention(struct td_daemon *d, const struct td_state *s, td_attention_add add,
			  json_t *list)
{
	char what[120], why[300], remedy[200], client[TD_ADDRESS_TEXT], vip[TD_PREFIX_TEXT];
	struct tundish_tuple most;

	if (td_tuples_highest(d, &most, 1) == 0 || most.value.active < TD_INBOUND_HALF)
		return;
	snprintf(what, sizeof(what), "client %s", td_address_print(&most.client, client));
	snprintf(why, sizeof(why),
		 "has %u connections to %s port %u, of about %u that one address can have there",
		 (unsigned int)most.value.active,
		 td_vip_text(s, most.vip & ~TUNDISH_TUPLE_UDP, vip) ?: "a former VIP",
		 __builtin_bswap16(most.port_be), TD_INBOUND_PORTS);
	snprintf(remedy, sizeof(remedy),
		 "spread it over %u VIPs (or ports), or let it use more addresses",
		 td_budget_vips(most.value.active));
	add(list, what, why, remedy);
}
