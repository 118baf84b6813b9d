/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What requests are answered with: the daemon's state as JSON and as metrics, and the commands
 * that change it. Answers read; what changes is handed to daemon/, which does it.
 *
 *   handlers.c    which request is whose
 *   page.c        what is different for the stats page, and its text
 *   services.c    services, outlook.c: how one is; objects.c: backends; workers.c: groups, workers
 *                 and their commands
 *   status.c      one screen, with attention.c, nat_attention.c and workers_attention.c: what is
 *                 wrong, why, and what to do
 *   changes.c     the configuration, and commands on backends
 *   history.c     the last hour; doctor.c: queues and limits of this host
 *   flows.c       connections; nat_flows.c: translated ones; tuples.c: how many of each client
 *   ports.c, timewait.c, blocked.c  source ports of this host
 *   trace.c       a packet's way through the program, trace_steps.c: step by step;
 *                 what_if.c: after a change; egress_trace.c: a connection's source
 *   capture.h, and what it names    packets, as pcapng
 *   metrics.c, *_metrics.c          the same for Prometheus: metrics.h, exposition.h
 */
#ifndef TD_API_H
#define TD_API_H

#include "daemon/daemon.h"
#include "daemon/nat.h"

/* ---- handlers.c -------------------------------------------------------------- */
void td_handle(void *context, const struct td_request *request, struct td_reply *reply);

/* ---- page.c ------------------------------------------------------------------ */
/* GET / of the metrics address. */
void td_answer_page(const struct td_request *q, struct td_reply *reply);
/* Whether what is asked there may be asked there, by anybody; where not the reply says so. */
bool td_page_allows(const struct td_request *q, struct td_reply *reply);
/* The most rows of a list that one request there gets; others get all. */
uint32_t td_page_rows(const struct td_request *q);
/* Of status there: without services, which are read in pieces, and whether it takes commands. */
void td_page_status(const struct td_daemon *d, json_t *status);

/* ---- names.c ----------------------------------------------------------------- */
void td_no_service(const struct td_state *s, const char *name, struct td_reply *reply);
/* `service` NULL: of any. */
void td_no_backend(const struct td_state *s, const struct td_service_state *service,
		   const char *name, struct td_reply *reply);
/* Whether there are such, perhaps gone from the file but for their flows; either may be NULL.
 * -ENOENT after it has answered that there are none. */
int td_names_known(const struct td_state *s, const char *service, const char *backend,
		   struct td_reply *reply);

/* ---- services.c -------------------------------------------------------------- */
void td_answer_services(struct td_daemon *d, const struct td_request *q, struct td_reply *reply);
/* Lists between td_begin_traffic, or td_traffic_recent, and its end; NULL: out of memory. Of at most
 * `limit`, whose numbers are over `after`: */
json_t *td_services_json(struct td_daemon *d, const struct td_state *s, uint32_t after,
			 uint32_t limit);
/* of at most `limit`, those that are down first, then those that are degraded, then the others. */
json_t *td_services_worst_json(struct td_daemon *d, const struct td_state *s, uint32_t limit);

/* ---- objects.c --------------------------------------------------------------- */
/* What so many backends have had of traffic is asked for: of a page that asks again and again as
 * the last second's sample had it. td_traffic_end ends it. */
void td_begin_traffic(struct td_daemon *d, const struct td_request *q, size_t backends);
void td_answer_backends(struct td_daemon *d, const struct td_request *q, struct td_reply *reply);
/* Both return a negative errno after they have answered why. */
int td_read_state(struct td_daemon *d, struct td_state *s, struct td_reply *reply);
/* The state, and the service of that name in it (NULL, where `name` is NULL). */
int td_read_service(struct td_daemon *d, const char *name, struct td_state *s,
		    const struct td_service_state **ret, struct td_reply *reply);
void td_answer_command(struct td_daemon *d, const struct td_request *q, struct td_reply *reply);
const char *td_delivery_name(uint8_t delivery);
const char *td_protocol_name(uint8_t protocol); /* "tcp" or "udp" */

/* ---- outlook.c --------------------------------------------------------------- */
struct td_outlook {
	unsigned int all, up; /* in the file; of them in state up, and not down for health */
	unsigned int usable;  /* that take new connections */
	unsigned int trouble; /* down, or without a next hop */
	char first[260];      /* the first of those, and its reason */
};
/* One more of its backends. */
void td_outlook_add(const struct td_daemon *d, const struct td_backend_state *v,
		    struct td_outlook *o);
/* Why packets to a backend have nowhere to go, or only to where it was last; NULL: they have. A
 * neighbour that was asked only now has still a moment to answer. */
const char *td_backend_unreachable(const struct td_daemon *d, uint32_t backend);
/* And its virtual IPs of a family that no worker takes. */
void td_outlook_workers(struct td_daemon *d, const struct td_state *s,
			const struct td_service_state *v, struct td_outlook *o);
/* Into the JSON of a service: "backends", "backends_up"; "state", which is "up", "degraded" where some
 * of its backends are in trouble, or "down" where none takes new connections; and "reason", where it
 * has none yet. */
void td_outlook_json(const struct td_outlook *l, json_t *o);

/* ---- status.c ---------------------------------------------------------------- */
void td_answer_status(struct td_daemon *d, const struct td_request *q, struct td_reply *reply);
/* How far a reload or an apply is; NULL: none is under way. */
json_t *td_reload_json(const struct td_daemon *d);

/* ---- workers_attention.c ----------------------------------------------------- */
/* Of the families of a service's virtual IPs (enum tundish_worker_flag) those that no worker of its group
 * takes; 0 where all are taken, where nobody is there, where it has no group, where that gets no connections
 * and where they go to another backend meanwhile. *ret_has: those that are taken. */
uint32_t td_group_lacks(struct td_daemon *d, const struct td_state *s,
			const struct td_service_state *v, uint32_t *ret_has);
/* In words: "IPv4", "IPv6", or "IPv4 and IPv6". */
const char *td_families_name(uint32_t families);
void td_workers_attention(struct td_daemon *d, const struct td_state *s, td_attention_add add,
			  json_t *list);

/* ---- attention.c ------------------------------------------------------------- */
/* Entries of backends, of one kind of trouble: where a network is gone a hundred of them say what a
 * hundred thousand would. */
#define TD_ATTENTION_BACKENDS 100
#define TD_MANY_REMEDY	      "look at those above first: many at once have one cause"
#define TD_NO_HOP_REMEDY                                                                           \
	"check that the host is up and that `ip route get` and `ip neighbour` show it"
json_t *td_attention_json(struct td_daemon *d, const struct td_state *s);
/* Finds it for nobody, so that it is known since when. */
void td_attention_look(struct td_daemon *d);

/* ---- changes.c --------------------------------------------------------------- */
void td_answer_config(struct td_daemon *d, const struct td_request *q, struct td_reply *reply);

/* What applying `c` would do: from what is installed, which is read, to the plan. Both are the caller's to
 * empty. Returns 0 or a negative errno. */
int td_plan_for(struct td_daemon *d, const struct td_config *c, struct td_state *installed,
		struct td_plan *ret, struct td_error *error);

/* ---- workers.c --------------------------------------------------------------- */
void td_answer_workers(struct td_daemon *d, const char *service, struct td_reply *reply);
uint64_t td_worker_total(const struct tundish_worker *w);
bool td_worker_stalled(const struct tundish_worker *w, const struct tundish_steering *s);
const char *td_refusal_name(size_t refusal); /* below TUNDISH_REFUSAL_MAX */
void td_answer_worker_command(struct td_daemon *d, const struct td_request *q,
			      struct td_reply *reply);
/* The group that a service stands before, or NULL; the same for people. */
struct tundish_group *td_group_of_service(struct td_daemon *d, uint32_t service);
json_t *td_workers_of_service_json(struct td_daemon *d, uint32_t service);

/* ---- history.c --------------------------------------------------------------- */
void td_answer_history(struct td_daemon *d, const struct td_request *q, struct td_reply *reply);

/* ---- flows.c ----------------------------------------------------------------- */
void td_answer_flows(struct td_daemon *d, const struct td_request *q, struct td_reply *reply);
/* The query's "protocol" as IPPROTO_*; 0 where it is absent, or an error as reply. */
int td_read_protocol(const struct td_request *q, struct td_reply *reply);
/* A number of the query; 0 and *ret untouched where it is absent, or an error as reply. */
int td_read_number(const struct td_request *q, const char *key, unsigned long max, uint32_t *ret,
		   struct td_reply *reply);

/* ---- tuples.c ---------------------------------------------------------------- */
void td_answer_tuples(struct td_daemon *d, const struct td_request *q, struct td_reply *reply);
/* The `top` ones, those with most connections first. */
json_t *td_tuples_json(struct td_daemon *d, const struct td_state *s, size_t top);

/* ---- ports.c ----------------------------------------------------------------- */
void td_answer_ports(struct td_daemon *d, const struct td_request *q, struct td_reply *reply);
json_t *td_source_ports_json(struct td_daemon *d);
/* The fullest tuple, as the list has it; NULL: there is none. */
json_t *td_fullest_port_json(struct td_daemon *d, const struct td_state *s);
void td_source_ports_attention(struct td_daemon *d, td_attention_add add, json_t *list);

/* ---- blocked.c --------------------------------------------------------------- */
void td_answer_blocked(struct td_daemon *d, const struct td_request *q, struct td_reply *reply);

/* ---- doctor.c ---------------------------------------------------------------- */
void td_answer_doctor(struct td_daemon *d, const struct td_request *q, struct td_reply *reply);

/* ---- timewait.c -------------------------------------------------------------- */
void td_answer_timewait(struct td_daemon *d, const struct td_request *q, struct td_reply *reply);

/* ---- trace.c ----------------------------------------------------------------- */
void td_answer_trace(struct td_daemon *d, const struct td_request *q, struct td_reply *reply);

/* ---- trace_steps.c ----------------------------------------------------------- */
/* Step `i`, below n_steps, as a sentence of what people know, names and addresses in place of numbers,
 * into `line`, where 256 bytes do; "" where it tells nothing. */
void td_trace_step_text(struct td_daemon *d, const struct td_state *s,
			const struct tundish_trace *t, uint32_t i, char *line, size_t size);

/* ---- what_if.c --------------------------------------------------------------- */
struct td_endpoint {
	struct tundish_addr address;
	uint16_t port; /* host byte order */
};
/* What the trace's connection would meet, and how many others would move, without the backend that the
 * query names in "without", or with the configuration in the body: as "what_if" into the reply's
 * answer, or an error in its place. Nothing where neither is asked for. @s: what is installed */
void td_add_what_if(struct td_daemon *d, const struct td_request *q, const struct td_state *s,
		    const struct tundish_trace *t, const struct td_endpoint *from,
		    const struct td_endpoint *to, uint8_t protocol, struct td_reply *reply);

/* ---- capture.c --------------------------------------------------------------- */
void td_answer_capture(struct td_daemon *d, const struct td_request *q, struct td_reply *reply);

/* ---- egress_trace.c ---------------------------------------------------------- */
void td_answer_egress_trace(struct td_daemon *d, const struct td_request *q,
			    struct td_reply *reply);

/* ---- egress_objects.c -------------------------------------------------------- */
void td_answer_egress(struct td_daemon *d, const char *name, struct td_reply *reply);
json_t *td_egress_json(struct td_daemon *d); /* of `status`: one object for each pool */
void td_egress_attention(struct td_daemon *d, td_attention_add add, json_t *list);

/* ---- checks_objects.c -------------------------------------------------------- */
/* Why a healthy backend has less than its weight; NULL: it has not. */
const char *td_check_why(const struct tundish_backend *b);
/* Into the JSON of a backend. */
void td_check_add_json(const struct td_daemon *d, uint32_t backend, json_t *o);
void td_checks_attention(const struct td_daemon *d, td_attention_add add, json_t *list);

/* ---- nat_attention.c --------------------------------------------------------- */
json_t *td_nat_json(struct td_daemon *d,
		    const struct td_state *s); /* of `status`; NULL without lanes */
void td_nat_attention(struct td_daemon *d, const struct td_state *s, td_attention_add add,
		      json_t *list);

/* ---- metrics.c --------------------------------------------------------------- */
void td_answer_metrics(struct td_daemon *d, const struct td_request *q, struct td_reply *reply);

#endif
