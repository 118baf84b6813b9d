/* SPDX-License-Identifier: GPL-2.0-only */
/* What the measuring programs have in common: rows of results, and a loaded data path to run. */
#ifndef TD_BENCH_H
#define TD_BENCH_H

#include <tundish/capture.h>
#include <tundish/counters.h>
#include <tundish/lane.h>
#include <tundish/maps.h>
#include <tundish/nat.h>

#include "knobs.h"
#include "lib/util.h"

/* ---- report.c ----------------------------------------------------------------- */

enum met {
	NO_GOAL,
	MET,
	MISSED,
};

/* One result: a line of JSON on standard output, which tests/bench/run gathers. */
struct row {
	const char *name;
	double value;
	const char *unit;
	double baseline;  /* in the same unit and run; 0: none */
	const char *goal; /* in words; NULL: none */
	enum met met;
};

void report(struct row row);

#define AT_MOST(x, limit) ((x) <= (limit) ? MET : MISSED)

_Noreturn void die(const char *format, ...) TD_PRINTF(1, 2);

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t now_ns(void);

/* One CPU for the whole program: $BENCH_CPU, or the last one that it may use. */
void pin_cpu(void);

/* ---- rig.c -------------------------------------------------------------------- */

/* Destinations, by what happens to their packets. */
#define RIG_VIP_IPIP	0xc000020au /* 192.0.2.10, host byte order */
#define RIG_VIP_DSR	0xc0000214u
#define RIG_VIP_WORKERS 0xc000021eu
#define RIG_VIP_NONE	0xc0000228u
#define RIG_VIP_UDP	0xc0000232u
#define RIG_VIP_BARE	0xc000023cu /* UDP without flows */
#define RIG_VIP_GUE	0xc0000246u
#define RIG_VIP_NAT	0xc0000250u
#define RIG_VIP_FULLNAT 0xc000025au
#define RIG_VIP6_IPIP	0x0000000au /* 2001:db8::a */
#define RIG_PORT	80

#define RIG_BACKENDS 16u /* of each service */

/* Service ids; backend b of service s is rig_number(s, b), from 1. */
enum rig_service {
	RIG_IPIP = 1,
	RIG_DSR,
	RIG_WORKERS,
	RIG_IPIP6,
	RIG_UDP,
	RIG_BARE,
	RIG_GUE,
	RIG_NAT, /* these two where rig_open_nat() was asked for connections */
	RIG_FULLNAT,
	RIG_SERVICES
};

enum rig_program {
	RIG_DATA4,
	RIG_DATA6,
	RIG_SYN4,
	RIG_SYN6,
	RIG_OPEN4,
	RIG_OPEN6,
	RIG_WHOLE4,
	RIG_WHOLE6,
	RIG_NOTE4,
	RIG_FLOOD4,
	RIG_CHECK4,
	RIG_ACK4,
	RIG_ANSWER4,
	RIG_TX,
	RIG_PROGRAMS
};

/* The shipped object with tables of its own, and the wrappers around it. */
struct rig {
	struct tundish *object;
	struct bpf_object *wrap;
	struct tundish_settings settings;
	int program_fd[RIG_PROGRAMS], target_fd;
	struct bench_knobs *knobs; /* shared with the wrappers */
	uint64_t *syn_went_to;
	/* Shared with the data path. */
	struct tundish_flow_bucket *flows;
	struct tundish_flow6_bucket *flows6;
	struct tundish_maglev *rows; /* by service */
	struct tundish_backend *backends;
	struct rig_nat *nat; /* NULL: none */
};

/* Loads and fills everything for so many flows, as the daemon would. Ends the
 * program where that fails. */
struct rig *rig_open(uint32_t flows, uint32_t flows6);
struct rig *rig_close(struct rig *r); /* returns NULL */

/* Likewise, and for so many translated connections, all to one of these two services. */
struct rig *rig_open_nat(uint32_t flows, uint32_t flows6, uint32_t connections);

/* What the wrappers go on with. */
enum rig_target { RIG_TUNDISH, RIG_BASELINE };
void rig_target(struct rig *r, enum rig_target t);

/* Where the wrappers send, and how many flows they draw from. */
void rig_aim(struct rig *r, uint32_t vip, uint16_t port, uint32_t flows);

/* Runs a wrapper so many times; returns ns per packet. Ends the program where the
 * last packet's verdict is not `wanted` (XDP_*). */
double rig_run(struct rig *r, enum rig_program p, uint32_t times, uint32_t wanted);

/* Gives the slots of a service to its backends with these weights (by number
 * within the service), as the daemon does: slots that change their owner ask. */
void rig_weigh(struct rig *r, enum rig_service service, const uint32_t weights[RIG_BACKENDS]);

/* All slots of a service ask, or none does (and no half-open flow is left in them). */
void rig_ask(struct rig *r, enum rig_service service, bool ask);
/* Whether the service compares two backends for each new connection (least-connections). */
void rig_choose(struct rig *r, enum rig_service service, bool least);

/* Opens flows first .. last-1 through the data path. */
void rig_establish(struct rig *r, bool v6, uint32_t first, uint32_t last);

/* An array in the kernel, shared with it. */
void *rig_share(int fd, size_t value_bytes, size_t entries);

uint32_t rig_number(enum rig_service service, uint32_t backend);

/* Entries in a state; and removes all half-open ones. */
uint64_t rig_count(struct rig *r, bool v6, enum tundish_flow_state state);
void rig_forget_udp(struct rig *r); /* and all of UDP over IPv4 */
void rig_forget_half_open(struct rig *r, bool v6);

struct tundish_counters rig_counters(struct rig *r);

/* Bytes of kernel memory of a map, as the kernel accounts them. */
uint64_t rig_map_bytes(int fd);
int rig_map_fd(struct rig *r, const char *name);

/* ---- rig_nat.c ---------------------------------------------------------------- */

/* What translates, sized before the object is loaded and filled after it. */
struct rig_nat {
	uint32_t buckets;
	struct tundish_nat *records;
	struct tundish_nat_bucket *tags;
	struct tundish_lane *lanes;
	struct tundish_lane_ports *ports;
	struct bench_answer *answers;
};

void rig_nat_size(struct rig *r, uint32_t connections);
void rig_nat_fill(struct rig *r);
void rig_nat_close(struct rig *r);

/* Opens connections first .. last-1 of a service, by the segments of both ends, and makes
 * the servers' answers of all up to there ready for RIG_ANSWER4. Returns how many there are. */
uint32_t rig_nat_establish(struct rig *r, enum rig_service service, uint32_t first, uint32_t last);

/* Removes those that have no answer yet. */
void rig_nat_forget(struct rig *r);

#endif
