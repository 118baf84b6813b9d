/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The first half of the plan, for core/plan.c alone: what each entry shall
 * become, and why. The second half (plan.c) puts the changes in order.
 */
#ifndef TD_CORE_TARGET_H
#define TD_CORE_TARGET_H

#include "core/plan.h"

#define TD_WHY_LEN sizeof(((struct td_step *)0)->why)

enum td_change {
	TD_CHANGE_NONE,
	TD_CHANGE_PUT,
	TD_CHANGE_PUT_AFTER_ROW, /* a backend that is disabled: its slots move first */
	TD_CHANGE_GONE,
	/* VIPs: the first two give numbers back that others take. */
	TD_CHANGE_NARROW,
	TD_CHANGE_DELETE_FIRST,
	TD_CHANGE_DELETE,
};

struct td_target_service {
	struct td_service_state s;
	const struct td_service_conf *conf; /* NULL: not wanted */
	enum td_change change;
	unsigned int row_changes; /* members whose weight in the row differs */
	char why[TD_WHY_LEN], row_why[TD_WHY_LEN];
};

struct td_target_backend {
	struct td_backend_state b; /* weight: what the row shall have */
	bool wanted;
	const struct td_service_conf *service_conf; /* where it is wanted */
	const struct td_backend_conf *conf;	    /* NULL: of delivery workers */
	enum td_change change;
	uint16_t installed_weight;
	char why[TD_WHY_LEN];
};

struct td_target_vip {
	struct td_vip_state v;
	enum td_change change;
	size_t installed_index; /* where it is deleted */
	char why[TD_WHY_LEN];
};

struct td_target_lane {
	struct td_lane_state l;
	uint8_t flags; /* as wanted */
	bool wanted, ranged;
	enum td_change change;
	char why[TD_WHY_LEN];
};

struct td_target_host {
	struct td_host_state h;
	uint16_t flags, installed_flags;
	bool named, installed;
	enum td_change change;
};

struct td_target_fan {
	struct td_fan_state f;
	enum td_change change;
	char why[TD_WHY_LEN];
};

struct td_target_quic {
	struct td_quic_state q;
	enum td_change change;
	size_t installed_index; /* where it is deleted */
	char why[TD_WHY_LEN];
};

struct td_target {
	struct td_target_lane *lanes;
	struct td_target_host *hosts;
	struct td_target_fan *fans;
	size_t n_lanes, n_hosts, n_fans;
	struct td_target_service *services;
	struct td_target_backend *backends;
	struct td_target_vip *vips;
	struct td_target_quic *quic;
	size_t n_services, n_backends, n_vips, n_quic;
};

void td_target_done(struct td_target *t);

int td_target_services(struct td_target *t, const struct td_state *installed,
		       const struct td_config *config, const struct tundish_settings *limits,
		       struct td_error *error);
int td_target_backends(struct td_target *t, const struct td_state *installed,
		       const struct tundish_settings *limits, struct td_error *error);
int td_target_pool(struct td_target *t); /* a part of the former */
/* After the backends. */
int td_target_lanes(struct td_target *t, const struct td_state *installed,
		    const struct td_plan_host *host, const struct tundish_settings *limits,
		    struct td_error *error);
int td_target_vips(struct td_target *t, const struct td_state *installed,
		   const struct td_config *config, const struct tundish_addr *endpoints,
		   size_t n_endpoints, const struct tundish_settings *limits,
		   struct td_error *error);
int td_target_quic(struct td_target *t, const struct td_state *installed); /* after backends */

#endif
