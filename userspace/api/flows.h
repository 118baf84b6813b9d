/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a list of connections is made of. Shared by flows.c, of which the flow tables are, and
 * nat_flows.c, of translated ones.
 */
#ifndef TD_API_FLOWS_H
#define TD_API_FLOWS_H

#include "api/api.h"

struct td_flow_filter {
	struct tundish_addr client, vip;
	bool has_client, has_vip;
	uint32_t client_port, port;
	int udp;	   /* -1: both */
	const char *state; /* a name; NULL: all */
	const char *service, *backend;
	size_t limit;
	uint64_t after; /* only rows with a greater number */
	/* [TUNDISH_BACKENDS_MAX], those of `service` and `backend`; NULL: all */
	const bool *wanted;
};

struct td_flow_listing {
	struct td_daemon *d;
	const struct td_state *s;
	const struct td_flow_filter *f;
	json_t *list;
	uint32_t tick;
	struct tundish_addr *vip_of; /* by id */
	/* Each place of the tables has a number, from 1 on, one table after the other: flows, flows6, nat. So a
	 * list is gone on with after any row, and each flow that stays is in it once. */
	uint64_t before; /* places of the tables before this one */
	uint64_t at;	 /* of this row, in its table */
};
/* Where to begin in this table. */
static inline uint64_t td_flow_list_from(const struct td_flow_listing *l)
{
	return l->f->after > l->before ? l->f->after - l->before : 0;
}

struct td_flow_row {
	const struct tundish_addr *client, *vip; /* vip NULL: not in the file any more */
	__be16 client_port, port;
	bool udp;
	uint32_t backend;
	const char *state;
	uint32_t idle, age; /* ticks; age UINT32_MAX: not known */
};

/* Adds it, where the filter has nothing against it. Returns the new row, of which the list is
 * the owner, or NULL. */
json_t *td_flow_list(struct td_flow_listing *l, const struct td_flow_row *r);
static inline bool td_flow_list_is_full(const struct td_flow_listing *l)
{
	return json_array_size(l->list) >= l->f->limit;
}

/* ---- flows.c ------------------------------------------------------------------------ */
extern const char *const td_flow_state_names[]; /* [TUNDISH_FLOW_BUSY], FREE has none */

/* ---- nat_flows.c -------------------------------------------------------------------- */
extern const char *const td_nat_state_names[]; /* [TUNDISH_NAT_STATE_MAX], FREE has none */
void td_nat_list_flows(struct td_flow_listing *l);
uint64_t td_nat_count_flows(struct td_daemon *d);

#endif
