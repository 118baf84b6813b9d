/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Source ports and TIME_WAIT, as the daemon knows them. Shared by:
 *
 *   source_ports.c  on and off
 *   scan.c          when scans run, in slices, and what they may cost
 *   spaces.c        the network namespaces that are watched
 *   port_table.c    tuples, remembered from scan to scan; what is worth an event
 *   port_tuples.c   where a tuple stands in memory
 *   port_select.c   the fullest tuples
 */
#ifndef TD_DAEMON_SOURCE_PORTS_H
#define TD_DAEMON_SOURCE_PORTS_H

#include "core/budget.h"
#include "daemon/daemon.h"
#include "host/netns.h"

extern const char *const td_port_state_names[TUNDISH_PORT_STATE_MAX];
extern const char *const td_port_failure_names[TUNDISH_PORT_FAILED_MAX];

/* How many connections ended, in whichever way. */
static inline uint64_t td_closer_all(const struct tundish_closer *c)
{
	return c->here + c->there + c->reset_here + c->reset_there;
}

struct td_space {
	char name[TD_NETNS_PATH]; /* of its file; "" is the daemon's own namespace */
	bool wanted, present;
	uint64_t former_until; /* rounds: by then the tuples of who had this place have gone */
	uint64_t cookie;
	char trouble[256]; /* why it is not watched */
	struct td_netns_facts facts;
	struct td_budget_space budget;
	uint64_t facts_ns;
	double entered_rate;		/* into TIME_WAIT, per second, of the kernel's own count */
	uint64_t rate_ns, rate_entered; /* from when on that is, and the count then */
	uint64_t tw_overflow_ns;	/* when that count last rose; 0: never */
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
	struct tundish_ports value; /* as last read */
	uint32_t seen;		    /* the last reading that found it */
	struct td_budget budget;
	struct td_picture picture;
	uint64_t failed[TUNDISH_PORT_FAILED_MAX]; /* as last seen */
	uint64_t failed_ns;			  /* when they last rose; 0: never */
	/* Of a lane (nat.h). There `failed` are those that were told. */
	uint32_t lane, early;
	uint64_t refused, told_ns; /* as last seen; when an event told of them */
};

/* In no order, each found by its key. */
struct td_tuples {
	struct td_tuple *row;
	size_t n, room;
	uint32_t *place; /* by hash: a row's number and one, 0 where there is none */
	uint32_t mask;	 /* of places */
	struct tundish_siphash_key secret;
};

/* A round of scans goes through these, for each namespace the first two. */
enum td_scan_phase {
	TD_SCAN_REST, /* none is under way */
	TD_SCAN_TCP,
	TD_SCAN_UDP,
	TD_SCAN_OWNERS,
	TD_SCAN_TABLE,
};

struct td_source_ports {
	bool on;
	char trouble[256];	/* why nothing is watched */
	char bind_trouble[256]; /* why binds that fail are not counted */
	/* By index; 0 is none, 1 the daemon's own, the last stands for lanes and is empty. */
	struct td_space spaces[TUNDISH_SPACES_MAX + 1];

	struct td_tuples tuples;
	uint64_t read_ns, read_cost_ns;		       /* when it was read; 0: not yet */
	uint64_t gone_failed[TUNDISH_PORT_FAILED_MAX]; /* of tuples that were deleted */
	uint64_t failed_ns;			       /* when any port was last refused */
	/* The reading that is under way. */
	struct td_table_reading {
		struct td_ports_reading *entries; /* NULL: the kernel's are through, or none is */
		bool on, after_scan;
		uint32_t number;
		size_t row; /* next to look at, whether it was found */
		uint64_t begun_ns, cost_ns;
		size_t told, more; /* events */
	} reading;

	/* The round of scans, one namespace after the other. */
	enum td_scan_phase phase;
	uint32_t at; /* space whose scan is under way */
	int scan_fd, netns_fd;
	uint64_t scan;		  /* the last number that was given */
	uint64_t begun_ns, spent; /* of the round under way, or the last; CPU in ns */
	uint64_t asked_ns;	  /* a request wants one that begins after this */
	uint64_t waiting_ns;	  /* the oldest request that waits for an end; 0: none */
	/* Of the last whole round; `whole_ns` is its beginning. */
	uint64_t rounds, whole_ns, ended_ns, duration_ns, cpu_ns, interval_ns;
	int64_t ended_ms; /* since the epoch */
	struct td_trouble {
		bool is;
		uint64_t last_ns; /* when it last was; 0: never */
	} late, full;
	sd_event_source *timer, *events;
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

/* A scan of it has failed, or it is not there any more: told once. */
void td_space_failed(struct td_daemon *d, uint32_t index, const char *why);
/* Whether what was opened still stands under its name. If not, that is told. */
bool td_space_stays(struct td_daemon *d, uint32_t index, int fd);

/* ---- scan.c ------------------------------------------------------------------------- */
enum td_scan_wanted {
	TD_SCAN_SOME,  /* one that has ended */
	TD_SCAN_WHOLE, /* and none that is under way: what this has cleared it has not found again */
	TD_SCAN_FRESH, /* one that began after the request */
};
/* Whether there is the scan that the request needs. Where not it is answered later, when
 * this is to be asked again, or after five seconds with a sentence. */
bool td_scan_ready(struct td_daemon *d, const struct td_request *q, enum td_scan_wanted wanted,
		   struct td_reply *reply);
/* The next round, when it is due; or the next slice of what is under way. */
void td_scan_schedule(struct td_daemon *d);
/* Ends the round that is under way, without a result. */
void td_scan_leave(struct td_daemon *d);
int td_scan_on_timer(sd_event_source *source, uint64_t usec, void *userdata);

/* ---- port_tuples.c ------------------------------------------------------------------ */
/* `row` with that key: what there is, or a new one, all zero but the key; NULL: no memory. */
struct td_tuple *td_tuples_take(struct td_tuples *t, const struct tundish_port_key *key);
/* The last row takes its place. */
void td_tuples_remove(struct td_tuples *t, size_t row);
int td_tuples_new(struct td_tuples *t, uint32_t most, const struct tundish_siphash_key *secret);
void td_tuples_done(struct td_tuples *t);

/* ---- port_table.c ------------------------------------------------------------------- */
/* Begins to read the table anew; one reading that is under way ends. */
int td_port_table_begin(struct td_daemon *d, bool after_scan);
/* A millisecond or two of it. Returns 1 while there is more, 0 at the end, negative errno. */
int td_port_table_step(struct td_daemon *d);
/* For a request: reads anew what is read quickly, unless it has just been; of a large
 * table the rest is read meanwhile. */
int td_port_table_read(struct td_daemon *d);
void td_port_table_done(struct td_source_ports *s);
void td_port_table_on_event(const struct tundish_port_event *e, void *context);

/* ---- port_select.c ------------------------------------------------------------------ */

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
enum td_tuple_order {
	TD_TUPLES_BY_USE,
	TD_TUPLES_BY_TIME_WAIT,
};
int td_tuple_compare(enum td_tuple_order order, const struct td_tuple *a, const struct td_tuple *b);
/* Whether it is listed at all: of a namespace that is there, and with a place of its own. */
bool td_tuple_listed(const struct td_source_ports *p, const struct td_tuple *t);
/* The first `top`, and where `and_above` all that have used a tenth; where `idle` those too that
 * use nothing now. Reads the table. Lanes are among them by use: the TIME_WAITs of their
 * connections are at the servers. */
int td_port_table_select(struct td_daemon *d, enum td_tuple_order order, size_t top, bool and_above,
			 bool idle, struct td_selection *ret);
static inline void td_selection_done(struct td_selection *s)
{
	free(s->rows);
}
/* "10.0.0.1 to 10.0.0.5:80" */
#define TD_TUPLE_TEXT (2 * 48 + 16)
const char *td_tuple_text(const struct tundish_port_key *key, char *buffer);

#endif
