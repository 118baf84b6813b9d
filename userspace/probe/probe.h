/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What carries out health checks: thousands of them at once, in one thread.
 *
 * A prober has one descriptor, which an event loop watches; td_prober_run does whatever
 * is due. A probe is one thing to be asked again and again: it is told when to begin next,
 * and calls back with each result. It never waits: connections are non-blocking, programs
 * are watched by their pidfd, and each ends at its timeout.
 *
 * Sockets end by RST (SO_LINGER with no time), so that checks leave no TIME_WAIT behind.
 * A plain tcp probe is over before the kernel has acknowledged the server's SYN-ACK, so that
 * the server's application never hears of it, as HAProxy does.
 *
 * A prober has a clock, and no opinion: what follows from a result is another one's affair
 * (core/checks.h).
 */
#ifndef TD_PROBE_H
#define TD_PROBE_H

#include <sys/socket.h>

#include "core/config.h"

enum td_probe_kind {
	TD_PROBE_TCP = TD_CHECK_TCP,
	TD_PROBE_HTTP = TD_CHECK_HTTP,
	TD_PROBE_HTTPS = TD_CHECK_HTTPS,
	TD_PROBE_UDP = TD_CHECK_UDP,
	TD_PROBE_EXEC = TD_CHECK_EXEC,
	TD_PROBE_AGENT, /* HAProxy's agent-check: one line of answer */
};

/* Most of an answer that is looked at, and of a program's output that is taken. */
#define TD_PROBE_ANSWER_BYTES 65536u
#define TD_PROBE_OUTPUT_BYTES (1u << 20)
#define TD_PROBE_LINE_BYTES   256u

/* Texts may be NULL where they are not needed; all is copied. */
struct td_probe_spec {
	enum td_probe_kind kind;
	struct tundish_addr address;
	uint16_t port;
	uint32_t timeout_ms;
	const char *path, *host, *server_name, *ca; /* http, https */
	bool verify;
	uint8_t method; /* enum td_http_method */
	struct td_range_conf status;
	const char *body;	   /* escaped, as td_escape_read takes it; in the answer */
	const char *send, *expect; /* the same; tcp, udp; agent: what is sent */
	char *const *command;	   /* exec: n_command words */
	size_t n_command;
	bool dynamic_weight;	       /* exec: its status is a weight, see td_check_weigh */
	const char *service, *backend; /* for the program's environment */
};

enum td_probe_verdict {
	TD_PROBE_GOOD,
	TD_PROBE_BAD,
	TD_PROBE_REFUSED, /* nobody listens there */
	TD_PROBE_TIMEOUT, /* a kind of bad */
	TD_PROBE_UNABLE,  /* nothing was asked: this host could not */
};

/* "good", "bad", "refused", "timeout", "unable" */
const char *td_probe_verdict_name(enum td_probe_verdict verdict);

struct td_probe_result {
	enum td_probe_verdict verdict;
	uint64_t latency_ns;
	int status;	    /* exec: its exit status, where it had one; else -1 */
	char reason[160];   /* half a sentence; what was good too: "status 200" */
	const char *answer; /* agent: what it said, of `length`; valid during the call */
	size_t length;
};

struct td_prober;
struct td_probe;

/* May tell the probe when to begin again; must free none. */
typedef void (*td_probe_done)(void *context, const struct td_probe_result *result);

struct td_prober_options {
	/* With each socket, before it connects: may bind it, and change where it connects to,
	 * within the family. *ret_port: what `closed` is to be told; 0: it need not be.
	 * Returns 0 or a negative errno, with which the probe ends as one that could not be made.
	 * @probe_context: td_probe_new's. NULL: there is no such hook */
	int (*opened)(void *context, void *probe_context, int fd, struct sockaddr_storage *to,
		      uint16_t *ret_port);
	/* After its end. Returns whether its packets went as they should; if not the result says
	 * nothing. */
	bool (*closed)(void *context, void *probe_context, uint8_t protocol, uint16_t port);
	void *context;
	uint32_t max_sockets, max_programs; /* at the same time; others wait for their turn */
	/* This process has no children but programs of checks: what these leave behind comes to
	 * it, and is killed (strays.c). */
	bool owns_children;
};

/* Returns 0 and a prober that td_prober_close ends, or a negative errno with the sentence. */
int td_prober_open(const struct td_prober_options *options, struct td_prober **ret,
		   struct td_error *error);
/* Ends it with all its probes, and kills what programs run. NULL is allowed. Returns NULL. */
struct td_prober *td_prober_close(struct td_prober *p);
int td_prober_fd(const struct td_prober *p); /* readable when there is something to do */
void td_prober_run(struct td_prober *p);
/* Kills what programs run, without a result; they are due at once. For who executes itself anew:
 * they would be its children, and nobody's. */
void td_prober_stop_programs(struct td_prober *p);

struct td_prober_counts {
	uint32_t sockets, programs; /* that run */
	uint32_t waiting;	    /* that are due, and wait for their turn */
	uint64_t waited;	    /* that ever had to */
};
struct td_prober_counts td_prober_counts(const struct td_prober *p);

/* Returns 0 and a probe, which is not begun before td_probe_at; -ENOMEM, or -EINVAL with the
 * sentence. */
int td_probe_new(struct td_prober *p, const struct td_probe_spec *spec, td_probe_done done,
		 void *context, struct td_probe **ret, struct td_error *error);
/* Ends it, without a result, whatever it does. NULL is allowed. Returns NULL. */
struct td_probe *td_probe_free(struct td_probe *b);
/* Begins it then (CLOCK_MONOTONIC), or up to some milliseconds before. While it runs it has
 * no effect: a probe does not overlap itself. */
void td_probe_at(struct td_probe *b, uint64_t when_ns);

#endif
