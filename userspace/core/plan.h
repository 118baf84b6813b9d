/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From what is installed and what the configuration wants to the steps
 * between, in an order in which the data path is right after each of them:
 * what is new is complete before anything refers to it, and what is no longer
 * referred to goes last. A daemon that dies between two steps leaves a working
 * data path, and the next one finds the remaining difference and goes on.
 *
 * Pure: no I/O, no clock, no log.
 */
#ifndef TD_CORE_PLAN_H
#define TD_CORE_PLAN_H

#include "core/state.h"

/*
 * In this order, but that a backend is disabled after its row was set, the row of a
 * service that goes is emptied after its VIPs, and server ids are put behind backends.
 *
 * `weight` in a backend's entry is the weight its service's row was last made
 * with, and is written by ROW_SET alone: TD_WEIGHT_UNSETTLED where it is about
 * to change, then the slots, then the new ones. So a daemon that died within a
 * row finds that it has to be set again, whatever the file says by then.
 */
#define TD_WEIGHT_UNSETTLED 0xffff
/* `chooses` of a service likewise: TUNDISH_ROW_UNSETTLED. */

enum td_step_kind {
	TD_STEP_SERVICE_PUT, /* write deliveries[id] and services[id] */
	TD_STEP_HOST_PUT,    /* write nat_hosts[address] */
	TD_STEP_LANE_PUT,    /* write lanes[id] (but its counts and next hop), then its ports */
	TD_STEP_FAN_PUT,     /* write fans[id] */
	TD_STEP_BACKEND_PUT, /* write backends[id] (its counts, next hop and weight untouched) */
	TD_STEP_ROW_SET,     /* give the slots of maglev[id] to the members of the target that have
			      * a weight, mark changed ones; weights as said above */
	TD_STEP_VIP_PUT,     /* replace vips[address], or prefixes[] */
	TD_STEP_VIP_DELETE,
	TD_STEP_BACKEND_GONE, /* state GONE: none new, until its last flow has ended */
	TD_STEP_FAN_GONE,     /* without lanes */
	TD_STEP_LANE_GONE,    /* until its last connection has ended */
	TD_STEP_HOST_DELETE,  /* one that no lane names */
	TD_STEP_SERVICE_GONE,
	TD_STEP_QUIC_PUT, /* quic_ids[key], after its backend */
	TD_STEP_QUIC_DELETE,
};
#define TD_STEP_KINDS (TD_STEP_QUIC_DELETE + 1u)

struct td_step {
	enum td_step_kind kind;
	uint32_t id;   /* service or backend */
	size_t index;  /* into the target state's array of that kind; the deletions: into the
			 * installed state's */
	char why[128]; /* one sentence for events and `config diff` */
};

/* The one backend of a service with delivery to this host's workers. */
#define TD_BACKEND_LOCAL	"local"
#define TD_BACKEND_LOCAL_WEIGHT 100

struct td_plan {
	struct td_state target; /* the installed state after the last step */
	struct td_step *steps;
	size_t n_steps;
};

/* What of this host the plan depends on. */
struct td_plan_host {
	const struct tundish_addr *endpoints; /* its own addresses, at which tunnels end */
	size_t n_endpoints;
	/* The source that it would use towards addresses of backends. */
	const struct td_towards {
		struct tundish_addr host, source;
		bool has_source;
	} * towards;
	size_t n_towards;
	/* Those that its own sockets use. */
	const struct tundish_addr *own;
	size_t n_own;
};

void td_plan_done(struct td_plan *p);

/*
 * @installed: what the maps hold
 * @config:    what is wanted
 * @host:      may know of nothing
 * @limits:    of the maps as they were made
 * Returns 0 and a plan that the caller empties with td_plan_done, or -ENOSPC
 * with the sentence which limit to raise, or -ENOMEM; *ret untouched then.
 */
int td_plan_make(const struct td_state *installed, const struct td_config *config,
		 const struct td_plan_host *host, const struct tundish_settings *limits,
		 struct td_plan *ret, struct td_error *error);

/*
 * The claims of all services on one VIP and on the prefixes around it, cut into
 * disjoint ascending ranges: the more specific VIP wins, on one VIP a single port
 * over a range, a narrower range over a wider one, any port over nothing.
 * @config must have passed its checks (no equal claims). `service` of a range is
 * an index into config->services here.
 * Returns the number of ranges, -ENOSPC over TUNDISH_RANGES_MAX, or -ENOMEM.
 */
int td_ports_flatten(const struct td_config *config, const struct td_prefix *vip,
		     struct tundish_port_range ret[TUNDISH_RANGES_MAX]);

#endif
