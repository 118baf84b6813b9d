/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Translated connections, as the daemon reads them. Shared by:
 *
 *   nat_sweeper.c    the sweep, and what follows from a pass
 *   lane_ports.c     source ports of lanes: remembered, and what is worth an event
 *   nat_answers.c    servers whose answers do not come by
 *   nat_sources.c    sources that are not addresses of this host
 *   nat_nics.c       routes and NICs that do not fit
 *   links.c          NICs, for the data path
 */
#ifndef TD_DAEMON_NAT_H
#define TD_DAEMON_NAT_H

#include "core/answers.h"
#include "core/lane_budget.h"
#include "daemon/source_ports.h"

/* What fans say of a lane. */
struct td_lane_use {
	uint16_t service; /* 0: no fan names it */
	uint16_t time_wait_s;
	bool early;
	bool shared; /* by several services; `service` is the first */
};

struct td_nat {
	struct td_nat_sweep *sweep; /* NULL: there are no lanes, so no connections */
	struct td_pace pace;
	uint32_t ticks;
	uint64_t pass_ns, former_ns; /* when the last pass ended, and the one before; 0: none */
	uint32_t ways;		     /* back to clients, that are known */
	uint8_t unnamed[TUNDISH_NAT_HOPS]; /* passes in a row that met no record with this hop */

	struct td_lane_use *uses; /* [lanes_max] */
	struct td_tuples rows;	  /* of lanes that have ports and were ever used */
	uint32_t reading;
	uint64_t refused_before, early_before; /* of lanes that are no more */
	struct td_answers *answers;	       /* [backends_max] */
	bool *missed;			       /* [backends_max]: NICs, as was told */
	struct tundish_addr *missing;	       /* sources that are not on this host */
	size_t n_missing;
};

#define TD_LANE_REMEDY "add a source under services[].sources, or an address to the backend"

static inline bool td_nat_is_on(const struct td_daemon *d)
{
	return d->nat && d->nat->sweep;
}

/* Connections that there is room for; and how many there are, at the last pass. */
static inline uint64_t td_nat_capacity(const struct td_daemon *d)
{
	return (uint64_t)d->settings.nat_buckets * 9 / 2;
}

static inline uint64_t td_nat_records(const struct td_daemon *d)
{
	return td_nat_is_on(d) ? td_nat_sweep_counts(d->nat->sweep, NULL)->records : 0;
}

/* ---- nat_sweeper.c ---------------------------------------------------------------- */
int td_nat_new(struct td_daemon *d);
void td_nat_free(struct td_daemon *d);
/* On the sweep's timer. */
void td_nat_tick(struct td_daemon *d);
void td_nat_tables_of(struct td_daemon *d, struct td_nat_tables *ret);
/* Whether no translated connection names the backend's entry any more. */
bool td_nat_backend_may_go(struct td_daemon *d, uint32_t backend);

/* ---- lane_ports.c ------------------------------------------------------------------- */
/* Who has which lane. */
void td_lane_uses_read(struct td_daemon *d);
/* Brings the rows up to date; `after_pass` with what that has counted. */
int td_lane_ports_read(struct td_daemon *d, bool after_pass);
/* Each second: those that got no port. */
void td_lane_ports_watch(struct td_daemon *d);
/* Forgets all rows, but for what metrics go on to count. */
void td_lane_ports_done(struct td_nat *n);
/* "shop", or "shop and others"; NULL: none has it any more. */
const char *td_lane_service(const struct td_daemon *d, const struct td_state *s, uint32_t lane,
			    char *buffer, size_t size);
/* "fullest" is NULL where none is used. */
void td_lanes_count(struct td_daemon *d, uint32_t *ret_used, const struct td_tuple **ret_fullest);

/* ---- nat_answers.c -------------------------------------------------------------------- */
/* Every TD_ANSWERS_LOOK_S. */
void td_nat_answers_look(struct td_daemon *d);
/* Nobody hears its answers, and health does not call it down. */
bool td_nat_is_silent(const struct td_daemon *d, uint32_t backend);
const char *td_nat_answers_remedy(const struct tundish_backend *b);

/* ---- nat_sources.c ---------------------------------------------------------------------- */
/* This host's addresses, or lanes, may have changed. */
void td_nat_sources_look(struct td_daemon *d);
void td_nat_sources_attention(const struct td_daemon *d, td_attention_add add, json_t *list);

/* ---- links.c ------------------------------------------------------------------------------ */
/* Links, or what carries the program, may have changed. @forget: those that carry it no more. */
void td_links_refresh(struct td_daemon *d, bool forget);
void td_links_attention(struct td_daemon *d, td_attention_add add, json_t *list);

/* ---- nat_nics.c --------------------------------------------------------------------- */
/* Every few seconds: whether answers come in by NICs that carry the program. */
void td_nat_nics_look(struct td_daemon *d);
/* The backend's first lane whose answers come in by a NIC without the program (`missed`), or
 * to whose server, beside the backend's first address, there is no way; NULL: none. */
const struct tundish_lane *td_nat_lane_troubled(struct td_daemon *d, uint32_t backend, bool missed);
/* Whether any lane of the backend's has a way to its server. */
bool td_nat_has_way(const struct td_daemon *d, uint32_t backend);

#endif
