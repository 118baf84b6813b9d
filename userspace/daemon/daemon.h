/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the daemon share. One thread, one event loop: nothing here
 * needs a lock. Four files have threads of their own, which see nothing of this: load.c, rows.c,
 * looks.c and progress.c.
 *
 *   daemon.c      start, event loop, signals, end
 *   interfaces.c  the program on its interfaces
 *   reexec.c      another program takes over this process
 *   load.c        reloads of the file, one at a time; the daemon's breath between steps
 *   reload.c      from a configuration to the data path
 *   apply.c       the steps of a plan, carried out; rows.c: rows of slots, made ahead
 *   threads.c     how those that have threads start them
 *   groups.c      worker groups: into the maps, and who comes and goes
 *   health.c      verdicts on backends, brought into force
 *   checks.h, and what it names: health checks
 *   egress.c      pools of source addresses: into the maps, onto their cgroups
 *   nexthop.c     where backends are, kept fresh
 *   lanes.h, and what it names: source ports of translated connections
 *   addresses.c   VIPs on this host, and its own addresses as ends of tunnels
 *   sweeper.c     the sweep of flows, in slices
 *   nat.h, and what it names: translated connections
 *   clients.c     which clients are short of ports towards a VIP
 *   events.c      what the daemon did and why
 *   rates.c       per second; history.h: the last hour of it
 *   progress.c    what keeps the daemon for more than a second, told
 *   looks.c       this host's queues and limits, looked at by a thread
 *   capture.c     packets for people: one capture at a time, its lease and its end
 *   source_ports.h, and what it names: source ports and TIME_WAIT
 *   privileges.c  what the daemon keeps once it runs; filter.c: which calls
 *   rights.c      who may ask what on the control socket; share.c: how much of it
 *
 * What requests are answered with is above, in api/.
 */
#ifndef TD_DAEMON_H
#define TD_DAEMON_H

#include <jansson.h>
#include <pthread.h>
#include <systemd/sd-event.h>

#include "control/control.h"
#include "core/events.h"
#include "core/health.h"
#include "core/plan.h"
#include "core/since.h"
#include "core/sweep.h"
#include "daemon/snapshots.h"
#include "kernel/kernel.h"
#include "net/net.h"

#ifndef TD_VERSION
#define TD_VERSION "unknown"
#endif

#define TD_EVENTS_MAX	    1024
#define TD_EVENT_MESSAGE_ID "04e584f3a9834ab4847e0e932a3aa783" /* of all events, in the journal */
#define TD_NS_PER_MS	    1000000ull
#define TD_NS_PER_S	    1000000000ull
#define TD_RECENT_NS	    (60 * TD_NS_PER_S) /* what `status` still speaks of */

struct td_options {
	const char *config, *control, *pin;
	const char *metrics; /* NULL: what the file says; "": none */
	bool check, debug;
};

struct td_event {
	uint64_t seq;
	int64_t time_ms; /* since the epoch, for people */
	enum td_log_level level;
	char event[24], object[160], reason[256];
};

/* What the daemon knows of one backend beside its entry. */
struct td_backend_memory {
	int resolved; /* 0, or the negative errno of the last look-up */
	bool via_gateway, no_source;
	bool told_unreachable;	/* by an event, and not yet that it can be reached again */
	uint64_t unresolved_ns; /* since when it has no next hop; 0: it has one */
	char trouble[128];	/* what that look-up said */
	struct td_health health;
	bool told_last;	    /* that it goes on though health says down */
	bool kept_by_limit; /* for max_ejected, and not for want of others */
};

/* What it knows of one service's group, as the health of a backend that is this host. */
struct td_group_memory {
	uint32_t group; /* that `health` is about */
	uint64_t grace_ns;
	struct td_group_health health;
};

struct td_sample {
	uint64_t connections, packets, bytes;
	double connections_rate, packets_rate, bytes_rate; /* per second */
	bool valid;
};

struct td_hop {
	struct tundish_nexthop value;
	uint32_t users;
	uint64_t free_since_ns; /* when the last user left */
	bool written;
};

/* The pace of a sweep: 0 at first. */
struct td_pace {
	uint32_t done, ticks; /* slices of this pass, and timer ticks */
	uint32_t ticks_due;   /* that this pass shall take */
	uint64_t cost_ns;     /* spent on this pass so far */
};

/* What the daemon knows of a pool of source addresses beside its entry. */
struct td_pool_memory {
	char cgroup[TD_CGROUP_PATH];
	char trouble[256];     /* why it is on no cgroup; "" it is on one */
	uint64_t exhausted;    /* as last seen */
	uint64_t exhausted_ns; /* when it last rose; 0: never */
};

struct td_daemon {
	struct td_options options;
	char program[4096]; /* that runs, as it was found at the start */
	char **argv;
	struct td_config *config;
	char config_name[256]; /* where it came from */
	struct td_kernel *kernel;
	struct tundish_settings settings;
	struct td_net *net;
	struct td_control *control;
	sd_event *event;
	uint64_t started_ns, reloads; /* of the file, also those that were refused */
	char *limits_note;
	char vips_trouble[256], metrics_trouble[256], privileges[160];
	char control_trouble[256];
	gid_t read_group, admin_group; /* of the control socket */
	bool admins;		       /* there is an admin_group */
	uint64_t refused, refused_event_ns;
	sd_event_source *share_timer;
	uint64_t rests_until_ns[3];    /* until then readers, scrapes, and pages are not answered */
	bool leaves;		       /* who has asked is answered, and nobody else */
	struct td_snapshots snapshots; /* of metrics, that somebody reads */

	struct td_attachment *attachments;
	size_t n_attachments;
	int sink_fd[2];	 /* a listener and a UDP socket that take nothing; -1: none */
	bool udp_groups; /* some group's workers are UDP sockets */
	bool udp_bound;	 /* and one came just now */
	bool groups_on;	 /* there are worker groups, and the programs for them */
	bool workers_changed;
	char groups_trouble[256], accepts_trouble[256], workers_refused[256];
	uint64_t workers_refused_ns;
	char shadowed[256]; /* a listener whose connections a group gets; "" none */
	uint64_t shadowed_ns, shadowed_cookie;
	bool cares_stale;    /* a backend is gone: its neighbour may be nobody's any more */
	bool attach_missing; /* one of them is there but carries nothing: to be tried again */
	struct tundish_addr *endpoints;
	size_t n_endpoints;

	struct td_backend_memory *memory; /* [backends_max] */
	struct td_hop *hops;		  /* [hops_max] */
	uint32_t hops_max, n_unresolved;
	bool ready;

	struct td_lanes *lanes;
	bool unloading;

	struct td_group_memory *group_memory; /* [services_max] */
	bool health_on;			      /* some service's backends are looked at */
	bool health_clear;		      /* none was, when it was looked last */
	bool health_stale;		      /* the plan has yet to follow */
	uint64_t health_wait_usec;	      /* from a change until it does */
	sd_event_source *health_timer;
	struct td_checks *checks; /* checks.h */

	struct td_sweep *sweep;
	struct td_pace sweep_pace;
	struct td_nat *nat;			      /* nat.h */
	struct tundish_tuple crowded[TD_CROWDED_MAX]; /* clients that were told of */
	uint32_t n_crowded;

	struct td_sample *samples;	 /* [backends_max] */
	struct tundish_traffic *traffic; /* [backends_max], as last sampled */
	bool traffic_read;		 /* just now, for the answer that is made */
	uint64_t sampled_ns;
	struct td_histories *histories;	   /* history.h */
	void (*look)(struct td_daemon *d); /* each ten seconds */
	struct td_since since;		   /* what needs attention */
	struct tundish_counters counters, former_counters;
	/* when such a counter last rose; 0: never */
	struct td_crowd *crowds; /* by service */
	bool choice_stale;	 /* a drain has ended, and the plan did not go through */
	uint64_t full_flows_ns, full_tuples_ns, own_refused_ns;

	struct td_source_ports *source_ports;
	struct td_pool_memory *pools; /* [TUNDISH_EGRESS_MAX]; NULL: none was ever needed */
	bool egress_on;
	char egress_trouble[256]; /* why no pool is in force */
	sd_event_source *egress_timer;
	char own_trouble[256]; /* why own connections are not led to backends */

	struct td_event *events;	  /* ring */
	uint64_t n_events, events_before; /* their numbers begin beyond that */

	struct td_looks *looks;	      /* looks.h */
	struct td_progress *progress; /* progress.h */
	struct td_capture *capture;   /* capture.c; NULL: none */
	struct td_load *load;	      /* load.c */
	struct td_offer *offer;	      /* offer.c */
	bool breathes; /* a configuration is put in force, and requests are answered between its steps */
	uint64_t breath_ns;	     /* the last time */
	bool undone;		     /* the last reload, after a step that failed */
	size_t steps_planned;	     /* of the last one, */
	size_t steps_at;	     /* and how far that is */
	uint64_t die_at, steps_done; /* TUNDISH_TEST_DIE_AT */
	uint64_t fail_from, fail_at; /* TUNDISH_TEST_FAIL_AT */

	sd_event_source *nexthop_timer, *control_timer, *address_timer, *route_timer;
	sd_event_source *processes_timer, *worker_events;
};

/* ---- attention ------------------------------------------------------------------ */
/* Each part that can be in trouble tells it so: what, why, and what to do. */
typedef void (*td_attention_add)(json_t *list, const char *what, const char *why,
				 const char *remedy);

/* ---- time: CLOCK_MONOTONIC, as bpf_ktime_get_ns ------------------------------ */
uint64_t td_now_ns(void);

/* ---- daemon.c ------------------------------------------------------------------ */
/* A timer that is off until it is armed, for once. A second time does not put it off:
 * a stream of events must not. */
int td_timer_add(struct td_daemon *d, sd_event_source **ret, uint64_t accuracy_usec,
		 sd_event_time_handler_t handler);
bool td_timer_arm(sd_event_source *source, uint64_t usec); /* false: it was due already */
/* @handler: answers requests of the control socket and of metrics, with the daemon as its
 * context. @look: finds what needs attention, so that since when it does is known although nobody
 * asks. Returns the exit status. */
int td_daemon_run(struct td_daemon *d, td_handler handler, void (*look)(struct td_daemon *d));
/* To systemd: ready, with what is served. */
void td_tell_services(const struct td_daemon *d);
/* Down with everything; the daemon ends soon after. */
int td_daemon_unload(struct td_daemon *d, struct td_error *error);

/* ---- interfaces.c --------------------------------------------------------------- */
int td_attach_all(struct td_daemon *d, const struct td_config *config, struct td_error *error);
/* Links have changed: brings the program back where it is gone. */
void td_attach_check(struct td_daemon *d);

/* ---- reexec.c ------------------------------------------------------------------- */
void td_reexec_remember(struct td_daemon *d, char **argv); /* at the very start */
/* What who ran before in this process has left; false: nobody did. */
bool td_reexec_former(struct td_daemon *d, struct td_control_former *ret);
/* Whether the program on disk would go on; told, too. Then the step itself, which comes back
 * only where the kernel refused. */
int td_reexec_check(struct td_daemon *d, struct td_error *error);
bool td_reexec_asks(void);    /* in the process of --check: who asks is such a daemon ... */
#define TD_EXIT_OTHER_BUILD 3 /* ... and is told that other programs would be attached */
void td_reexec(struct td_daemon *d);

/* ---- privileges.c --------------------------------------------------------------- */
int td_privileges_drop(struct td_daemon *d, struct td_error *error);

/* ---- filter.c ------------------------------------------------------------------- */
int td_filter_put(void);

/* ---- rights.c --------------------------------------------------------------------- */
void td_rights_apply(struct td_daemon *d, const struct td_config *c);
/* Whether who asks may; where not the reply says so. */
bool td_rights_ask(struct td_daemon *d, const struct td_request *q, bool change,
		   struct td_reply *reply);

/* Whether this process may change things, as well as read. NULL: nobody known, on the metrics address. */
bool td_rights_may_change(const struct td_daemon *d, const struct td_peer *peer);

/* ---- share.c ---------------------------------------------------------------------- */
int td_share_open(struct td_daemon *d); /* its timer */
void td_share_close(struct td_daemon *d);
/* Whether the request is answered now; where not the reply says when. */
bool td_share_ask(struct td_daemon *d, const struct td_request *q, struct td_reply *reply);
/* Whose time a request takes; NULL: that of who may change things, and never waits. */
uint64_t *td_share_of(struct td_daemon *d, const struct td_request *q);
/* Whether more than `ahead_ns` of rest are due. If so, all that wait are asked again when they are over. */
bool td_share_rests(struct td_daemon *d, const uint64_t *share, uint64_t ahead_ns);
void td_share_took(uint64_t *share, uint64_t begun_ns); /* NULL: of nobody's */

/* ---- reload.c ------------------------------------------------------------------- */
/* Checks against this host (interfaces). */
int td_config_check_host(const char *name, const struct td_config *c, struct td_error *error);
/* Makes `*config` the one that is applied, and takes it; on failure nothing has
 * changed, or all has been undone (d->undone), and it stays the caller's. */
int td_reload(struct td_daemon *d, struct td_config **config, const char *name,
	      struct td_error *error);
/* The same configuration over the present state: after a run-time command, or
 * when this host's addresses changed. */
int td_replan(struct td_daemon *d, struct td_error *error);

/* ---- load.c --------------------------------------------------------------------- */
int td_load_open(struct td_daemon *d);
void td_load_close(struct td_daemon *d);
/* A reload of the file of --config, soon; `by` tells in the event who asked. */
void td_load_ask(struct td_daemon *d, const char *by);
/* Asks for one, and answers what came of it, later. */
void td_load_answer(struct td_daemon *d, const struct td_request *q, struct td_reply *reply);
/* Whether who wants to apply something else since then has to wait for a reload. */
bool td_load_waits(const struct td_daemon *d, uint64_t since_ns);
/* td_reload, while requests that read are answered between its steps; not in the midst of a request. */
int td_load_put(struct td_daemon *d, struct td_config **config, const char *name,
		struct td_error *error);
struct td_load_progress {
	bool command;	    /* `config apply`, else a reload of the file */
	bool applies;	    /* else it is being read */
	size_t done, steps; /* of the plan, once it applies */
	uint64_t since_ns;  /* when it began */
};
/* Whether one is under way, and how far it is. */
bool td_load_progress(const struct td_daemon *d, struct td_load_progress *ret);
/* Between two steps, where the state is whole: answers requests, within td_load_put. */
void td_breathe(struct td_daemon *d);

/* ---- offer.c -------------------------------------------------------------------- */
int td_offer_open(struct td_daemon *d);
void td_offer_close(struct td_daemon *d);
/* The configuration in the request's body, which is the caller's then; where *ret stays as it is `reply`
 * says why not, or "later". @name: what messages call it; @applies: it is to be applied */
void td_offer_read(struct td_daemon *d, const struct td_request *q, const char *name, bool applies,
		   struct td_config **ret, struct td_reply *reply);
/* What applying it would change, as a list; NULL with the error filled in. */
typedef json_t *(*td_offer_tell)(struct td_daemon *d, const struct td_config *c,
				 struct td_error *error);
/* Takes what td_offer_read has just given, to put it in force, later: td_offer_answer has what came of it,
 * with what `tell` said before. */
void td_offer_apply(struct td_daemon *d, const struct td_request *q, struct td_config **config,
		    const char *name, td_offer_tell tell, struct td_reply *reply);
/* Whether what the request brought has been read, and waits for it alone: not long. */
bool td_offer_is_read(const struct td_daemon *d, const struct td_request *q);
/* Whether the request is that of td_offer_apply, and so has its answer here; or one whose body is still
 * being read, which has none yet. */
bool td_offer_answer(struct td_daemon *d, const struct td_request *q, struct td_reply *reply);
/* As td_load_progress, of one that is to be applied. */
bool td_offer_progress(const struct td_daemon *d, struct td_load_progress *ret);

/* ---- threads.c ------------------------------------------------------------------ */
/* Starts one that no signal reaches, which are the event loop's; joined by who started it.
 * Returns a negative errno. */
int td_thread_start(pthread_t *ret, void *(*work)(void *), void *context);
/* The first that one does: all else on this host goes before it, traffic above all. */
void td_thread_gives_way(void);
/* A job that one thread does at a time, while the event loop goes on. */
struct td_job {
	void (*work)(void *context); /* the thread's, which sees that alone */
	void *context;
	void (*ended)(struct td_daemon *d); /* the loop's, afterwards */
	struct td_daemon *d;
	bool works; /* from td_job_begin on, until `ended` is called */
	int done_fd;
	sd_event_source *done;
	pthread_t thread;
};
/* With the first three filled in. Returns a negative errno; td_job_close is called all the same. */
int td_job_open(struct td_job *j, struct td_daemon *d);
int td_job_begin(struct td_job *j);  /* 0 or a negative errno: then it does not work */
void td_job_close(struct td_job *j); /* waits for its end, and `ended` is not called */

/* ---- rows.c --------------------------------------------------------------------- */
struct td_rows;
/* The rows that the plan sets, in its order; the plan stays as it is until td_rows_end.
 * NULL: no memory. */
struct td_rows *td_rows_start(const struct td_plan *plan, const struct td_members *of);
struct td_rows *td_rows_end(struct td_rows *r); /* NULL is allowed */
/* That of the plan's step, TUNDISH_MAGLEV_SLOTS backends, until the next call; steps are
 * asked for in their order. Returns 0 or as td_maglev_fill; breathes while it waits. */
int td_rows_get(struct td_rows *r, struct td_daemon *d, size_t step, const uint32_t **ret);

/* ---- apply.c -------------------------------------------------------------------- */
int td_apply(struct td_daemon *d, const struct td_state *installed, const struct td_plan *plan,
	     struct td_error *error);
/* For the crash tests: counts one step, and ends the process at the chosen one. */
void td_step_done(struct td_daemon *d);
/* For the tests of the way back: TUNDISH_TEST_FAIL_AT=1 lets the first step of a reload fail,
 * the second of the next one, and so on. Asked before each step that may fail: 0 or -ENOSPC. */
int td_step_fails(struct td_daemon *d);
void td_step_failing(struct td_daemon *d); /* a reload begins */
/* "web", "web/web1", "192.0.2.10": together with the kind's name it says what */
void td_step_object(const struct td_state *installed, const struct td_plan *plan,
		    const struct td_step *step, char *buffer, size_t size);
const char *td_step_kind_name(enum td_step_kind kind);

/* ---- groups.c ------------------------------------------------------------------- */
struct td_group_want;
struct td_groups {
	struct td_group_want *want;
	size_t n;
	bool *leaving; /* [groups_max] */
};
/* What has to be done about groups; the caller ends *ret with td_groups_done. */
int td_groups_plan(struct td_daemon *d, const struct td_config *config, struct td_groups *ret,
		   struct td_error *error);
void td_groups_done(struct td_groups *g);
/* Does it. `target` has the ids of the services. */
int td_groups_put(struct td_daemon *d, const struct td_config *config, const struct td_groups *g,
		  const struct td_state *target, struct td_error *error);
int td_groups_open(struct td_daemon *d); /* its timers */
void td_groups_close(struct td_daemon *d);

/* ---- groups_migrate.c ------------------------------------------------------------ */
/* Whether the worker's group has the migration program, or needs none. */
bool td_migrates(const struct tundish_worker *w);
/* Gives it to the group of @w, of which the process @pid has a descriptor. */
void td_migrate_put(struct td_daemon *d, struct tundish_worker *w, pid_t pid);
/* Takes it off the groups of these workers. */
void td_migrate_off(struct td_daemon *d, uint32_t first, uint32_t size);

/* Whether, and of whom, the service takes a client's address for true; NULL: of nobody. */
void td_client_address_put(struct td_daemon *d, uint32_t service, const struct td_service_conf *c);
/* "w3": the fourth index of its group. */
void td_worker_name(const struct td_daemon *d, uint32_t index, char *buffer, size_t size);

/* ---- health.c ------------------------------------------------------------------- */
/* An empty group of a service with other backends resets nobody until the daemon has
 * surely sent the next SYN there: beyond restart_grace for so long. */
#define TD_HEALTH_SLACK_MS 5000u
int td_health_open(struct td_daemon *d);
/* "none", "up" or "down"; *ret_reason is why it is down, else NULL. */
const char *td_backend_health(const struct td_daemon *d, uint32_t backend, const char **ret_reason);
/* The service has a group. */
void td_health_configure(struct td_daemon *d, uint32_t service, const struct td_service_conf *c);
/* Once a second: asks all, and brings into force what has changed. */
void td_health_look(struct td_daemon *d);
/* A verdict; the plan follows soon. @service: its name */
void td_health_hear(struct td_daemon *d, uint32_t backend, const char *service,
		    enum td_health_source source, const struct td_verdict *v);
/* An entry has changed in what the plan depends on. */
void td_health_stale(struct td_daemon *d);
/* Why one that is unhealthy is in use all the same. */
const char *td_backend_kept_why(const struct td_daemon *d, uint32_t backend);

/* ---- checks.c, checks_plan.c, checks_objects.c ----------------------------------- */
int td_checks_open(struct td_daemon *d, struct td_error *error);
void td_checks_close(struct td_daemon *d);
/* Before this process executes another program. */
void td_checks_stop_programs(struct td_daemon *d);
/* The configuration in force is another one. */
void td_checks_configure(struct td_daemon *d);
/* Once a second: what of this host has changed that they depend on. */
void td_checks_look(struct td_daemon *d);
/* Whether checks say how the backend is. */
bool td_check_is_asked(const struct td_daemon *d, uint32_t backend);
/* Each second, where connections are translated: those of clients that fail. */
void td_passives_look(struct td_daemon *d);

/* ---- choice.c ------------------------------------------------------------------- */
struct td_crowd;
int td_choice_open(struct td_daemon *d);
/* What a request to drain says beside, into the entry; a negative errno after it has answered. */
int td_drain_read(const struct td_request *q, struct tundish_backend *b, struct td_reply *reply);
/* Seconds until a backend that drains is disabled; -1: it is not to be. */
int64_t td_drain_left(const struct tundish_backend *b);
void td_choice_attention(struct td_daemon *d, const struct td_state *s, td_attention_add add,
			 json_t *list);

/* ---- own.c ---------------------------------------------------------------------- */
/* As the file says; what fails is told in `status`. */
void td_own_connections_put(struct td_daemon *d, const struct td_config *config);
void td_own_connections_attention(struct td_daemon *d, td_attention_add add, json_t *list);

/* ---- egress.c ------------------------------------------------------------------- */
/* Before anything changes. Programs that the kernel refuses are no error: that is told in
 * `status`, and all else goes on. */
int td_egress_plan(struct td_daemon *d, const struct td_config *config, struct td_error *error);
/* Does it; what fails for one pool is told in `status`, for it may mend. */
void td_egress_put(struct td_daemon *d, const struct td_config *config);
int td_egress_open(struct td_daemon *d); /* its timer */
/* Cgroups, and with `addresses` sources, may have come or gone. */
void td_egress_check(struct td_daemon *d, bool addresses);
/* One of td_kernel_read_port_events: shifts become events with their reason. */
void td_egress_on_event(struct td_daemon *d, const struct tundish_port_event *e);
/* "up", "absent", "resting", "detached", and why in words. */
const char *td_egress_source_state(const struct td_daemon *d, uint32_t pool, uint32_t place,
				   char *why, size_t size);
/* Which pool a process's new sockets have; 0: none. *ret_cgroup (TD_CGROUP_PATH) tells where
 * that is said. Returns 0 or with a sentence. */
int td_egress_pool_of(struct td_daemon *d, pid_t pid, uint32_t *ret_pool, struct td_error *error);

/* ---- nexthop.c ------------------------------------------------------------------ */
int td_nexthops_open(struct td_daemon *d);
/* Looks one backend up and stores what is found. Returns 0, or why not. */
int td_nexthop_refresh(struct td_daemon *d, uint32_t backend);
/* Whether packets to it can be sent: where it is, or where it was last. */
bool td_backend_hop_known(const struct td_daemon *d, uint32_t backend);
void td_nexthops_refresh_all(struct td_daemon *d, bool unresolved_only);
void td_nexthop_forget(struct td_daemon *d, uint32_t backend);
/* Whether the backend is this host. */
bool td_nexthop_is_local(const struct td_daemon *d, uint32_t backend);
void td_nexthops_wait(struct td_daemon *d, uint64_t limit_ms);
/* The same for any address; `*where` lies in a map, or counts as a user of the entry
 * all the same. `tunnels`: a source address is needed. */
int td_hop_refresh(struct td_daemon *d, const struct tundish_addr *address, uint32_t *where,
		   struct td_backend_memory *m, bool tunnels);
void td_hop_point(struct td_daemon *d, uint32_t *where, uint32_t index);
void td_hop_adopt(struct td_daemon *d, const uint32_t *where); /* as a former daemon left it */
/* What an entry says; NULL: there is none. */
const struct tundish_nexthop *td_hop_at(const struct td_daemon *d, uint32_t index);
/* Whether packets can be sent by it. */
bool td_hop_is_known(const struct td_daemon *d, uint32_t index);
/* Whether there is something to tell after td_hop_refresh, once for each trouble and each end of one;
 * `before`: what `resolved` was. */
bool td_hop_is_news(struct td_backend_memory *m, int before);
/* That, as an event; `index`: the entry that it has now. */
void td_hop_tell(struct td_daemon *d, const struct td_backend_memory *m, uint32_t index,
		 const struct tundish_addr *address, const char *object);

/* ---- lanes.c, lane_hops.c ------------------------------------------------------- */
int td_lanes_open(struct td_daemon *d); /* before the next hops */
void td_lanes_close(struct td_daemon *d);
/* Before anything changes: what of this host would be left. */
int td_lanes_check(struct td_daemon *d, const struct td_plan *plan, struct td_error *error);
int td_lane_put(struct td_daemon *d, const struct td_lane_state *s); /* a step of the plan */
/* After the steps: ports of all lanes, near networks. */
void td_lanes_settle(struct td_daemon *d, const struct td_state *target);
/* After each pass of the sweep: lanes that nothing uses any more are freed. */
void td_lanes_swept(struct td_daemon *d);
/* A backend that is freed. */
void td_fan_forget(struct td_daemon *d, uint32_t backend);
/* For unload: what was kept from this host's own sockets is theirs again. */
void td_lanes_unreserve(struct td_daemon *d);
/* Ports of a lane that are taken for nobody, TUNDISH_LANE_WORDS words; NULL: none.
 * @context: the daemon */
const uint64_t *td_lane_reserved(void *context, uint32_t lane);
/* "10.0.1.250 to 10.0.1.21 port 8443", "clients to 10.0.1.21 any port" */
#define TD_LANE_TEXT (2 * TD_ADDRESS_TEXT + 20)
const char *td_lane_text(const struct tundish_lane *l, char *buffer);
void td_lane_hops_open(struct td_daemon *d);
void td_lane_hop_refresh(struct td_daemon *d, uint32_t lane);
void td_lane_hops_refresh_all(struct td_daemon *d, bool unresolved_only);
void td_lane_hop_forget(struct td_daemon *d, uint32_t lane);
bool td_lane_hops_wait(const struct td_daemon *d); /* some neighbour is on its way */

/* ---- addresses.c ---------------------------------------------------------------- */
int td_endpoints_read(struct td_daemon *d, const struct td_config *config);
/* Owns the configuration's VIPs, and lets go those of `former` that are not;
 * without `add` only the latter. */
int td_vips_own(struct td_daemon *d, const struct td_config *config, const struct td_state *former,
		bool add, struct td_error *error);

/* ---- sweeper.c ------------------------------------------------------------------ */
int td_sweeper_open(struct td_daemon *d);
void td_sweep_tables_of(struct td_daemon *d, struct td_sweep_tables *ret);
/* Each tick: as many slices of a pass as are due, of `slices` in all, within its budget of
 * time. Returns true where a slice has ended the pass, which is what `slice` says. */
#define TD_SWEEP_BUCKETS 256u /* of a slice */
bool td_pace_run(struct td_pace *p, uint32_t slices,
		 bool (*slice)(void *context, uint64_t now_ns, uint32_t buckets), void *context);

/* ---- clients.c ------------------------------------------------------------------ */
/* After each pass of the sweep: clients that came above one half, and those that went. */
void td_clients_check(struct td_daemon *d);
void td_clients_attention(struct td_daemon *d, const struct td_state *s, td_attention_add add,
			  json_t *list);
/* Of all tuples of inbound connections those that have most, at most `top`, into best[];
 * returns how many there are. */
size_t td_tuples_highest(struct td_daemon *d, struct tundish_tuple *best, size_t top);

/* ---- scan.c: source ports ------------------------------------------------------- */
int td_source_ports_new(struct td_daemon *d);
int td_source_ports_open(struct td_daemon *d); /* its timers */
void td_source_ports_close(struct td_daemon *d);
/* On or off and where, as the file says. What fails is told in `status`. */
void td_source_ports_apply(struct td_daemon *d, const struct td_config *c);

/* ---- events.c ------------------------------------------------------------------- */
void td_log(enum td_log_level level, const char *format, ...) TD_PRINTF(2, 3);
/* One act, into the ring and the log. @event: of core/events.h, which says how grave it is ... */
void td_event(struct td_daemon *d, const char *event, const char *object, const char *format, ...)
	TD_PRINTF(4, 5);
/* ... or a warning, where this one is the bad of its two directions. */
void td_event_bad(struct td_daemon *d, const char *event, const char *object, const char *format,
		  ...) TD_PRINTF(4, 5);
json_t *td_events_json(const struct td_daemon *d, uint64_t since);

/* ---- capture.c ------------------------------------------------------------------ */
#define TD_CAPTURE_SECONDS_MAX 3600u
#define TD_CAPTURE_MIB_MAX     1024u
#define TD_CAPTURE_RING	       (4u << 20) /* bytes */

/* What is asked for. */
struct td_capture_conf {
	struct tundish_capture filter;
	char text[256];			/* the filter as it was typed */
	char service[TUNDISH_NAME_LEN]; /* filter.service's name; "": none */
	char interface[IF_NAMESIZE];	/* filter.ifindex's name; "": any */
	uint32_t seconds;
};

/* One that is under way, its reader's. */
struct td_capture {
	struct td_daemon *d; /* NULL: it has no ring any more */
	struct td_capture_conf conf;
	char who[64];
	int process;   /* id of who asked for it; 0: not known */
	char why[200]; /* why it ended; "": it goes on */
	uint64_t ends_ns, stopped_ns, woken_ns, sampled, full;
	uint64_t left;	  /* in the ring, as it was closed over a reader that did not read them */
	uint64_t packets; /* that were read; its reader counts */
	sd_event_source *timer, *io, *wake;
};

/* Begins it, with conf and who as they stand in *c, which stays where it is until it is closed. -EBUSY
 * where there is another one, and what td_kernel_capture_begin says. */
int td_capture_open(struct td_daemon *d, struct td_capture *c, td_capture_each each, void *context,
		    struct td_error *error);
/* Nothing more is captured; what is in the ring can still be read. The first reason stays. */
void td_capture_stop(struct td_capture *c, const char *format, ...) TD_PRINTF(2, 3);
/* Hands what there is to `each`; the counts follow. */
void td_capture_read(struct td_capture *c);
/* Requests that wait are asked again when there is something to read, and each second. */
void td_capture_wait(struct td_capture *c);
/* Its ring is gone. More than once is allowed. */
void td_capture_close(struct td_capture *c);
/* Of that which is under way, if any: td_capture_stop ... */
void td_capture_end(struct td_daemon *d, const char *why);
/* ... td_capture_close, with what nobody has read counted ... */
void td_capture_abandon(struct td_daemon *d);
/* ... and while the event loop stands still: the lease, and who waits. */
void td_capture_breathe(struct td_daemon *d);

/* ---- rates.c -------------------------------------------------------------------- */
int td_rates_open(struct td_daemon *d);
void td_traffic_of(struct td_daemon *d, uint32_t backend, struct tundish_traffic *ret);
/* Around an answer that asks for so many of them: they are read at once. */
void td_traffic_begin(struct td_daemon *d, size_t n);
/* The same with the sample of the last second, for figures that may be so old. */
void td_traffic_recent(struct td_daemon *d);
void td_traffic_end(struct td_daemon *d);

#endif
