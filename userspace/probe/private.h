/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of probe/ share.
 *
 *   prober.c  the loop: what is due, what is ready, whose turn it is
 *   talk.c    tcp, udp and agents: a socket, a question, an answer
 *   http.c    http and https, by libcurl
 *   exec.c    programs
 *   strays.c  what they leave behind
 *   due.c     a heap of times
 *
 * A probe is idle (due: its next beginning), waits for its turn, or runs (due: its
 * timeout). A kind begins it by `start` and ends it by td_probe_end, once; `stop` lets
 * go of all that a running one holds.
 */
#ifndef TD_PROBE_PRIVATE_H
#define TD_PROBE_PRIVATE_H

#include <curl/curl.h>

#include "probe/due.h"
#include "probe/probe.h"

#define TD_PROBE_TICK_NS 4000000ull /* what is due within one is begun together */

/* What epoll tells of a descriptor. */
struct td_watch {
	void (*ready)(struct td_watch *w, uint32_t events);
	int fd; /* -1: none */
};

/* A ring: its head, and who is in it; empty where the head points at itself. */
struct td_ring {
	struct td_ring *next, *prev;
};

static inline void td_ring_init(struct td_ring *r)
{
	r->next = r->prev = r;
}

static inline void td_ring_append(struct td_ring *head, struct td_ring *r)
{
	r->prev = head->prev;
	r->next = head;
	head->prev->next = r;
	head->prev = r;
}

static inline void td_ring_remove(struct td_ring *r)
{
	r->prev->next = r->next;
	r->next->prev = r->prev;
	td_ring_init(r);
}

#define TD_OF(w, type, member) ((type *)(void *)((char *)(w)-offsetof(type, member)))

enum td_probe_state {
	TD_PROBE_IDLE,
	TD_PROBE_WAITING,
	TD_PROBE_RUNNING,
};

struct td_bytes {
	char *data; /* NULL: none */
	size_t n;
};

struct td_kind {
	/* Returns 0, or a negative errno where this host could not. It may have ended already. */
	int (*start)(struct td_probe *b);
	void (*stop)(struct td_probe *b);
	bool program; /* runs one */
};

struct td_probe {
	struct td_prober *prober;
	const struct td_kind *kind;
	struct td_due due;
	enum td_probe_state state;
	bool again; /* it was told when to begin next, since it ended */
	uint64_t started_ns;
	td_probe_done done;
	void *context;
	struct td_ring queue; /* while it waits; of programs, while they run too */
	struct td_ring all;

	/* What it shall do. */
	enum td_probe_kind type;
	struct tundish_addr address;
	uint16_t port;
	uint32_t timeout_ms;
	struct td_bytes send, expect; /* http: what the body has in it */
	struct td_range_conf status;
	char **command, **environment;
	bool dynamic_weight;

	/* What it does: sockets of talk.c, pipe of exec.c. */
	struct td_watch watch;
	bool connected, astray;
	bool kept;	   /* idle, with a socket for the next time */
	uint8_t protocol;  /* of the socket that `closed` has to hear of */
	uint16_t way_port; /* 0: none */
	char *answer;
	size_t length, taken;

	struct td_watch process; /* exec: pidfd */
	int pid;
	int exit_status; /* -1: none */

	CURL *easy; /* http; stays from one to the next */
	struct curl_slist *headers, *connect_to;
	bool added;  /* to the multi handle */
	bool seen;   /* enough of the answer to know */
	bool headed; /* its headers are whole */
	int open_error;
	char curl_error[CURL_ERROR_SIZE];
};

struct td_turns {
	struct td_ring waiting; /* probes by `queue` */
	uint32_t running, max, n_waiting;
};

struct td_prober {
	struct td_prober_options options;
	int epoll_fd;
	struct td_watch timer;
	bool busy;	   /* in td_prober_run, which arms the timer in the end */
	uint64_t armed_ns; /* what the timer is set to; 0: off */
	struct td_due_heap due;
	struct td_turns sockets, programs;
	uint64_t waited;
	size_t n_probes, n_kept;
	struct td_ring probes; /* by `all` */
	CURLM *multi;	       /* NULL until the first http probe */
	uint64_t curl_due_ns;  /* 0: libcurl waits for nothing */
	struct td_http_socket *graves;
	struct td_dying *dying;	  /* programs that were killed and have not ended yet */
	struct td_ring under_way; /* programs, by `queue` */
	uint64_t look_ns;	  /* for strays; 0: not */
	uint64_t look_wait_ns;	  /* until the next one */
	unsigned int looks;	  /* that are left */
	char scratch[16384];
};

uint64_t td_probe_now(void);

/* The end of a running probe: stops it, and calls back. */
void td_probe_end(struct td_probe *b, enum td_probe_verdict verdict, const char *format, ...)
	TD_PRINTF(3, 4);
/* By an errno of the network: refused, or bad, or not this one's fault. */
void td_probe_end_errno(struct td_probe *b, int code);

/* Watches a descriptor; 0 or a negative errno. Closing it ends that. */
int td_watch_add(struct td_prober *p, struct td_watch *w, uint32_t events);

/* Where the probe goes. */
socklen_t td_probe_fill(const struct td_probe *b, struct sockaddr_storage *ret);
/* A non-blocking socket of the address' family that ends by RST, after the hook, which may
 * change *to; a negative errno. */
int td_probe_socket(struct td_probe *b, int type, struct sockaddr_storage *to);
/* The socket that is kept for the next time, if there is one. */
void td_talk_forget(struct td_probe *b);
/* It has been closed. */
void td_probe_closed(struct td_probe *b);

extern const struct td_kind td_kind_talk, td_kind_http, td_kind_exec;

/* http.c: libcurl's clock has come; its end. */
void td_http_due(struct td_prober *p);
void td_http_sweep(struct td_prober *p); /* after events: what they may have named */
bool td_http_connected(struct td_probe *b);
void td_http_close(struct td_prober *p);
int td_http_new(struct td_probe *b, const struct td_probe_spec *spec, struct td_error *error);
void td_http_free(struct td_probe *b);

/* strays.c: a program has ended; looks for what it left, if it is time to. */
void td_strays_open(struct td_prober *p);
void td_strays_expect(struct td_prober *p);
void td_strays_look(struct td_prober *p);
void td_strays_end(struct td_prober *p); /* all, or most: it takes a moment */
void td_strays_close(struct td_prober *p);

/* exec.c */
int td_exec_new(struct td_probe *b, const struct td_probe_spec *spec);
void td_exec_free(struct td_probe *b);
void td_exec_close(struct td_prober *p);
void td_exec_wait(struct td_prober *p); /* a moment, for those that die */
bool td_exec_is_dying(const struct td_prober *p, int pid);

/* Whether `n` bytes have these in them; none are in all. */
static inline bool td_bytes_in(const struct td_bytes *what, const char *where, size_t n)
{
	return !what->data || (n && memmem(where, n, what->data, what->n));
}

#endif
