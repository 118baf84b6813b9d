/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The arithmetic of source ports: what one (local IP, remote IP, remote port) has
 * used, what is left, and for how long. Pure: counts come in, the time is a parameter.
 *
 * A scan counts what there is; between two of them the figures move on by what
 * happened since (events) and by the TIME_WAITs that have ended meanwhile, which
 * nothing tells but the clock.
 */
#ifndef TD_CORE_BUDGET_H
#define TD_CORE_BUDGET_H

#include <netinet/in.h>

#include <tundish/ports.h>

#include "lib/util.h"

#define TD_TIME_WAIT_S	    60.0    /* TCP_TIMEWAIT_LEN, which no sysctl changes */
#define TD_BUDGET_HORIZON_S 86400.0 /* what is further off is not filling */
#define TD_INBOUND_PORTS    64512u  /* 1024-65535: what a client can have towards one (VIP, port) */
#define TD_INBOUND_HALF	    (TD_INBOUND_PORTS / 2)
#define TD_INBOUND_LOW	    (TD_INBOUND_PORTS * 45 / 100) /* below: no longer about one half */

/* Not a namespace: lanes of translated connections, lane_budget.h. Their keys stand in no map. */
#define TD_SPACE_NAT TUNDISH_SPACES_MAX

/* Whether a tuple is of connections to one destination: not of this host's UDP, where a port
 * counts for all, nor of binds that got no port. */
static inline bool td_port_has_remote(const struct tundish_port_key *key)
{
	static const struct tundish_addr none;

	if (key->space == TD_SPACE_NAT)
		return true;
	return key->protocol == IPPROTO_TCP && !tundish_addr_equal(&key->remote, &none);
}

/* What a network namespace gives, at its last whole scan. */
struct td_budget_space {
	uint64_t scan; /* its number; 0: none yet */
	uint16_t first, last;
	uint32_t reserved; /* of the range */
	uint32_t blocked;  /* of the range and not reserved: TCP, bound by a program */
	uint32_t cliff;	   /* ports that connect(2) tries first: of the parity of `first`, neither
			    * reserved nor blocked */
	uint32_t udp;	   /* of the range and not reserved: a UDP socket has it */
	uint32_t udp_any;  /* of these: by one without an address, in every address's way */
	uint8_t tw_reuse;  /* net.ipv4.tcp_tw_reuse */
	double reuse_delay_s; /* net.ipv4.tcp_tw_reuse_delay; 1 where there is none */
};

/* Counts ports: @reserved and @bits may be NULL, which is none. */
void td_budget_count_ports(struct td_budget_space *s, const uint64_t reserved[TUNDISH_PORT_WORDS],
			   const struct tundish_port_bits *bits);

/* Whether a port is in the range and could be given but for whoever has it. */
bool td_budget_in_range(const struct td_budget_space *s,
			const uint64_t reserved[TUNDISH_PORT_WORDS], uint16_t port);

/* What is remembered of one tuple from look to look. All zero: nothing yet. */
struct td_budget {
	/* At the last scan, and the events as they stood then. */
	uint64_t scan, scan_ns;
	struct tundish_port_count count;
	int64_t held;
	uint64_t entered, began;
	unsigned int empty_scans; /* in a row that found no socket, none having begun between */
	/* At the last look. */
	uint64_t look_ns;
	int64_t look_held;
	uint64_t look_entered, look_freed;
	/* Sums since the rates last jumped, of which older parts count less. */
	double seconds, opened, to_time_wait, freed;
	bool half, soon; /* what was told of it: over one half, exhausted within 10 minutes */
	unsigned int soon_looks; /* in a row that say so */
};

struct td_picture {
	uint32_t state[TUNDISH_PORT_STATE_MAX];
	uint32_t used;	   /* all of them */
	uint32_t reusable; /* at rest, and yet a new connection would get them: of the TIME_WAITs
			    * those that connect(2) would take; of lanes see lane_budget.h */
	uint32_t usable;
	uint32_t cliff; /* where connect(2) becomes dear; 0: no such place (UDP, lanes) */
	double utilization;
	double opening_rate, time_wait_rate, freed_rate; /* per second */
	double exhaustion_s, cliff_s; /* 0: it is so now; INFINITY: not filling */
};

/*
 * After each scan, in which @p was read: takes it as where all later figures begin.
 * Where the scan did not count the tuple it had no sockets.
 */
void td_budget_scanned(struct td_budget *b, const struct tundish_ports *p, uint64_t scan,
		       uint64_t now_ns);

/* From time to time, and after each scan: what opens and leaves per second. Looks closer
 * than half a second are passed over. */
void td_budget_look(struct td_budget *b, const struct tundish_ports *p, uint64_t now_ns);

void td_budget_picture(const struct td_budget *b, const struct tundish_port_key *key,
		       const struct tundish_ports *p, const struct td_budget_space *s,
		       uint64_t now_ns, struct td_picture *ret);

/* Nothing is left of it: two scans in a row found no socket, and nothing has happened
 * since. */
bool td_budget_over(const struct td_budget *b, const struct tundish_ports *p, uint64_t now_ns);

enum td_budget_change {
	TD_BUDGET_OVER_HALF = 1 << 0,
	TD_BUDGET_UNDER_HALF = 1 << 1,
	TD_BUDGET_SOON = 1 << 2, /* exhausted within 10 minutes */
	TD_BUDGET_NOT_SOON = 1 << 3,
};

/*
 * Which bounds the tuple has passed since it was last asked. With hysteresis: below one
 * half is below 45%. A burst is no fill and a start looks like one, so that exhaustion is
 * near has to be seen twice, with a tenth of the ports used, unless that might be too late.
 */
unsigned int td_budget_changes(struct td_budget *b, const struct td_picture *p, double interval_s);

/* VIPs over which a client's connections had to be spread to be below one half on each. */
uint32_t td_budget_vips(uint32_t active);

#endif
