/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Source ports and TIME_WAIT, as the daemon knows them. Shared by:
 *
 *   source_ports.c  on and off
 *   scan.c          when scans run, in slices, and what they may cost
 *   spaces.c        the network namespaces that are watched
 *   port_table.c    tuples, remembered from scan to scan; what is worth an event
 *   ports.c         `port list`; status
 *   blocked.c       `port blocked`
 *   timewait.c      `timewait`
 *   port_metrics.c  metrics
 */
#ifndef TD_DAEMON_SOURCE_PORTS_H
#define TD_DAEMON_SOURCE_PORTS_H

#include "core/budget.h"
#include "daemon/daemon.h"
#include "host/netns.h"

extern const char *const td_port_state_names[TUNDISH_PORT_STATE_MAX];
extern const char *const td_port_failure_names[TUNDISH_PORT_FAILED_MAX];

struct td_space {
	char name[TD_NETNS_PATH]; /* of its file; "" is the daemon's own namespace */
	bool wanted, present;
	uint64_t cookie;
	char trouble[256]; /* why it is not watched */
	struct td_netns_facts facts;
	struct td_budget_space budget;
	uint64_t facts_ns;
	double entered_rate;	 /* into TIME_WAIT, per second, of the kernel's own count */
	uint64_t tw_overflow_ns; /* when that count last rose; 0: never */
	/* Of the scan: under way, then the last one that is whole. */
	uint64_t scan;
	bool scanned;	     /* in this round */
	uint64_t scanned_ns; /* when the last one ended; 0: none yet */
	uint32_t sockets;
	uint64_t overflow; /* sockets of tuples that found no place */
};

/* One (local IP, remote IP, remote port); `key` all zero but `space`: those without a place. */
struct td_tuple {
	struct tundish_port_key key;
	const struct tundish_ports *value; /* in `entries` */
	struct td_budget budget;
	struct td_picture picture;
	uint64_t failed[TUNDISH_PORT_FAILED_MAX]; /* as last seen */
	uint64_t failed_ns;			  /* when they last rose; 0: never */
};

struct td_source_ports {
	bool on;
	char trouble[256];			    /* why nothing is watched */
	char bind_trouble[256];			    /* why binds that fail are not counted */
	struct td_space spaces[TUNDISH_SPACES_MAX]; /* by index; 0 is none, 1 the daemon's own */

	/* The table, ascending by key. */
	struct td_tuple *tuples;
	size_t n_tuples;
	struct td_port_entry *entries;
	uint64_t read_ns, read_cost_ns;		       /* when it was read; 0: not yet */
	uint64_t gone_failed[TUNDISH_PORT_FAILED_MAX]; /* of tuples that were deleted */
	uint64_t failed_ns;			       /* when any port was last refused */

	/* The round of scans, one namespace after the other. */
	uint32_t at; /* space whose scan is under way; 0: none */
	int scan_fd, netns_fd;
	uint64_t scan;			     /* the last number that was given */
	uint64_t begun_ns, begun_cpu, spent; /* of the round under way; CPU in ns */
	/* Of the last whole round. */
	uint64_t rounds, ended_ns, duration_ns, cpu_ns, interval_ns;
	int64_t ended_ms; /* since the epoch */
	struct td_trouble {
		bool is;
		uint64_t last_ns; /* when it last was; 0: never */
	} late, full;
	sd_event_source *timer, *slices, *events;
};

/* ---- spaces.c ---------------------------------------------------------------------- */
/* The configuration's namespaces, those gone from it out. */
void td_spaces_set(struct td_daemon *d, const struct td_config *c);
/* Opens it, learns what it allows, and tells the kernel. Returns 0 and a descriptor (-1: the
 * daemon's own), or with its `trouble` set. */
int td_space_enter(struct td_daemon *d, uint32_t index, int *ret_fd);
/* After its scan: how many ports there are. */
void td_space_scanned(struct td_daemon *d, uint32_t index);
/* "host" or the file's name. */
const char *td_space_name(const struct td_space *s);

/* ---- scan.c ------------------------------------------------------------------------- */
/* A whole round at once, at most five seconds of it. Returns 0 or with a sentence. */
int td_scan_now(struct td_daemon *d, struct td_error *error);
/* The next round, when it is due. */
void td_scan_schedule(struct td_daemon *d);
/* Ends the scan that is under way. */
void td_scan_leave(struct td_source_ports *p);
int td_scan_on_slice(sd_event_source *source, void *userdata);
int td_scan_on_timer(sd_event_source *source, uint64_t usec, void *userdata);

/* ---- port_table.c ------------------------------------------------------------------- */
/* Reads the table anew: after a scan, and otherwise unless it has just been. */
int td_port_table_read(struct td_daemon *d, bool after_scan);
void td_port_table_done(struct td_source_ports *s);
void td_port_table_on_event(const struct tundish_port_event *e, void *context);

/* ---- blocked.c ---------------------------------------------------------------------- */
void td_answer_blocked(struct td_daemon *d, struct td_reply *reply);

/* Tuples in the order of how much they have used. */
struct td_selection {
	struct td_tuple **rows;
	size_t n;
	struct td_picture other; /* all that are left out, together; `usable` 0 */
	__u64 other_failed[TUNDISH_PORT_FAILED_MAX];
	size_t n_other;
};
#define TD_TUPLES_SHOWN 1000
#define TD_TUPLES_MOST	10000
#define TD_TUPLES_ABOVE 0.1
/* The first `top`, and where `and_above` all that have used a tenth; where `idle` those too that
 * use nothing now. Reads the table. */
int td_port_table_select(struct td_daemon *d, size_t top, bool and_above, bool idle,
			 struct td_selection *ret);
static inline void td_selection_done(struct td_selection *s)
{
	free(s->rows);
}
/* "10.0.0.1 to 10.0.0.5:80" */
#define TD_TUPLE_TEXT (2 * 48 + 16)
const char *td_tuple_text(const struct tundish_port_key *key, char *buffer);

#endif
