/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files on health checks share.
 *
 *   checks.c          results: from a probe's to a verdict, to a backend's entry
 *   checks_plan.c     which backends are checked, and how, as the file says
 *   checks_way.c      checks of VIPs led as traffic is
 *   checks_passive.c  clients' connections that fail
 *   checks_socket.c   where the sockets of checks come from and go to
 */
#ifndef TD_DAEMON_CHECKS_H
#define TD_DAEMON_CHECKS_H

#include <sys/socket.h>

#include "core/checks.h"
#include "core/passive.h"
#include "daemon/daemon.h"
#include "probe/probe.h"
#include "tundish/workers.h"

/* One question that is asked again and again. */
struct td_inquiry {
	struct td_probe *probe; /* NULL: it is not asked */
	struct td_check_pace pace;
	uint64_t due_ns;
	bool answered;
	enum td_probe_verdict verdict; /* the last one, and when */
	uint64_t at_ns, latency_ns;
	char reason[160];
};

/* What it knows of connections of clients to one backend. */
struct td_passive {
	struct td_passive_rules rules;
	struct td_passive_state state;
	uint64_t interval_ns, due_ns;
	uint32_t timeout_ms; /* of a trial */
	uint16_t first_port; /* where a way to the server has all of them */
	bool looked;

	uint64_t fan; /* its lanes, as one number */
	struct td_passive_way *ways;
	uint32_t n_ways;
	struct td_passive_row row; /* the last look's */

	struct tundish_addr address; /* where connections failed, and are tried */
	uint16_t port;
	char why[80];		 /* "refused 5 connections in a row" */
	struct td_inquiry trial; /* its probe lasts until the next one */
	bool trying;
	bool told; /* that a trial was good, since a client's connection was */
	uint64_t ejections;
};

/* What the daemon knows of one backend's checks. */
struct td_check {
	struct td_daemon *d;
	uint32_t backend, service;
	char name[TUNDISH_NAME_LEN], service_name[TUNDISH_NAME_LEN];
	uint64_t as_file; /* a hash of all that the file says of it, to be compared */
	bool mixed;	  /* the service has a worker group, and others than this host */
	bool local;	  /* the backend is this host, with a worker group */
	uint8_t delivery;
	struct tundish_addr own;    /* the backend's */
	struct tundish_addr source; /* that its sockets are bound to; zero: none */

	uint8_t type; /* enum td_check_type */
	struct tundish_addr address;
	uint16_t port, agent_port;
	struct td_check_rules rules;
	struct td_check_state state;
	bool weighs, weight_known; /* its program's status says how much of the weight */
	uint16_t percent;	   /* that it said */
	struct td_inquiry check, agent;
	struct td_agent_state said; /* by the agent */
	bool agent_known;
	struct td_passive *passive; /* NULL: clients' connections are not watched */
};

/* How long the checks of a service took, those of who had its number before left out. */
struct td_check_times {
	char service[TUNDISH_NAME_LEN];
	struct tundish_waits waits;
};

struct td_checks {
	struct td_prober *prober;
	struct td_check_times *times; /* [services_max] */
	struct td_check **of;	      /* [backends_max] */
	uint32_t *ids, n_ids;	      /* those that are not NULL */
	uint64_t results[TD_PROBE_UNABLE + 1];
	uint64_t trials[TD_PROBE_UNABLE + 1];
	uint32_t seed;
	char trouble[256]; /* why some are not checked as the file says; "" */
	sd_event_source *ready, *shares;

	/* checks_way.c */
	char way_trouble[256]; /* why some cannot be led; "" */
	uint64_t interfaces;   /* which ones the programs are on, as one number */
	uint64_t looked_ns;
	struct td_check_host {
		uint64_t at_ns; /* 0: never */
		unsigned int ifindex;
		struct tundish_addr source;
		bool filtered;
	} host[2];	/* this host as checks across families meet it, of IPv6 and of IPv4 */
	bool way_clear; /* on none, also of a former daemon's */
	bool astray;	/* something was not led */
};

uint32_t td_checks_chance(struct td_checks *k);

/* checks.c: a check begins, with what a former daemon left in the backend's entry; and ends.
 * The latter frees it. */
void td_check_begin(struct td_daemon *d, struct td_check *c);
void td_check_end(struct td_daemon *d, struct td_check *c);
void td_check_free(struct td_check *c);
/* What a former daemon has left in the entry of a backend that is not checked any more. */
void td_check_forget(struct td_daemon *d, uint32_t backend);
/* Results of its two questions. */
void td_check_on_result(void *context, const struct td_probe_result *r);
void td_check_on_agent(void *context, const struct td_probe_result *r);

/* What is known of it, into the backend's entry; and to the one who sums up. */
void td_check_settle(struct td_check *c, uint64_t now);
void td_check_speak(struct td_check *c, enum td_health_source source, enum td_opinion says,
		    const char *format, ...) TD_PRINTF(4, 5);

/* checks_passive.c: whether and how a check's backend is watched, as the file says; @first_port:
 * that of its connections. Returns 0 or -ENOMEM. */
int td_passive_want(struct td_check *c, const struct td_health_conf *h, uint16_t first_port);
/* With what a former daemon left in the entry. */
void td_passive_resumed(struct td_check *c, const struct tundish_backend *b);
/* What it has under way ends without a result; its end. NULL is allowed. */
void td_passive_stop(struct td_passive *p);
struct td_passive *td_passive_free(struct td_passive *p);

/* checks_socket.c: hooks of the prober. */
int td_check_opened(void *context, void *probe_context, int fd, struct sockaddr_storage *to,
		    uint16_t *ret_port);
bool td_check_closed(void *context, void *probe_context, uint8_t protocol, uint16_t port);
/* Whether the packets go to the VIP, by the delivery's own way. */
bool td_check_is_led(uint8_t delivery);

/* checks_way.c: the programs that lead such packets, after the configuration, or what it meets on
 * this host, has changed. */
void td_checks_way_configure(struct td_daemon *d);
void td_checks_way_look(struct td_daemon *d);
/* A socket before connect(2), and after its end. */
int td_check_lead(struct td_daemon *d, const struct td_check *c, int fd,
		  struct sockaddr_storage *to, uint16_t *ret_port);
bool td_check_was_led(struct td_daemon *d, uint8_t protocol, uint16_t port);

/* The backend's, or NULL. */
const struct td_check *td_check_of(const struct td_daemon *d, uint32_t backend);

#endif
