/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of control/ share among themselves and with their test.
 *
 *   listen.c     sockets: the control socket's file, the metrics address
 *   peer.c       who is at the other end of the control socket
 *   web.c        who may be heard on the metrics address, where browsers ask, pure
 *   uri.c     the request target as words and query, pure
 *   reply.c      answers, from JSON or text to bytes
 *   transport.c  one listener: an MHD daemon and its connections
 *   control.c    the two listeners behind one descriptor
 */
#ifndef TD_CONTROL_PRIVATE_H
#define TD_CONTROL_PRIVATE_H

#include <microhttpd.h>
#include <sys/types.h>

#include "control/control.h"

/* ---- listen.c ------------------------------------------------------------ */

/* Which file a socket is, so that nobody else's is ever unlinked. */
struct td_file_id {
	dev_t device;
	ino_t inode;
};

/* Both return a listening, non-blocking descriptor or a negative errno. */
int td_listen_unix(const char *path, struct td_file_id *ret_id, struct td_error *error);
int td_listen_tcp(const char *address, struct td_error *error);

/* Whether the descriptor is a listening socket bound there, and which file it is. */
bool td_is_unix(int fd, const char *path, struct td_file_id *ret_id);

void td_unlink_unix(const char *path, const struct td_file_id *id);
int td_chgrp_unix(const char *path, const struct td_file_id *id, gid_t group,
		  struct td_error *error);

/* ---- peer.c ------------------------------------------------------------ */

int td_peer_read(int fd, struct td_peer *ret);
void td_peer_done(struct td_peer *p); /* zeroes are allowed */

/* ---- uri.c ------------------------------------------------------------ */

#define TD_URI_WORDS_MAX 7 /* "v1" and the six of struct td_request */
#define TD_URI_QUERY_MAX 16

struct td_uri {
	char *text; /* what all the others point into */
	const char *word[TD_URI_WORDS_MAX];
	size_t n_words;
	struct {
		const char *key, *value;
	} query[TD_URI_QUERY_MAX];
	size_t n_query;
};

/*
 * Splits "/a/b?k=v" as it came over the wire and percent-decodes the pieces
 * after splitting, so that an encoded slash or ampersand is data. Returns 0, or
 * -EINVAL: not a path, a bad escape, an encoded NUL, not UTF-8; -ENOENT: an
 * empty word or too many of them; -E2BIG: too many query keys; -ENOMEM.
 */
int td_uri_parse(const char *raw, struct td_uri *ret);
void td_uri_done(struct td_uri *t);
const char *td_uri_query(const struct td_uri *t, const char *key);

/* ---- web.c -------------------------------------------------------------- */

#define TD_WEB_BODY_MAX 4096u /* of a request on the metrics address */

/* What decides, as it came over the wire; NULL: absent. */
struct td_web {
	const char *method; /* GET for HEAD */
	const struct td_uri *uri;
	const char *host, *origin, *mark; /* Host, Origin, X-Tundish */
	bool repeated;			  /* one of them came twice */
	const char *own_name;		  /* of this host */
};

/*
 * Whether such a request goes to the handler. "/metrics" is for everybody. All below "/v1/" takes a
 * Host that no DNS server of others can make this address: an IP address, localhost or the host's
 * name; where there is an Origin, that of this host; and for POST a header that neither a form nor a
 * page of another origin can send. Otherwise the reply says why not.
 */
bool td_web_allows(const struct td_web *w, struct td_reply *reply);

/* ---- reply.c ------------------------------------------------------------- */

/* Takes all that `reply` holds. `web`: with what keeps browsers from misunderstanding it. NULL only where there is no memory. A stream that says -EAGAIN has `wait`
 * called, which suspends the connection. */
struct MHD_Response *td_reply_response(struct td_reply *reply, bool web,
				       void (*wait)(void *context), void *context,
				       unsigned int *ret_status);
void td_reply_done(struct td_reply *reply);

/* ---- transport.c --------------------------------------------------------- */

/* The defaults are TD_CONTROL_LIMITS; a test makes them small. */
struct td_control_limits {
	unsigned int connections; /* open at the same time, further ones wait in the backlog */
	unsigned int per_user;	  /* of them, unless it is root; on the control socket */
	unsigned int for_root;	  /* of them, which nobody else gets; the same */
	unsigned int idle_s;	  /* without a byte: the connection ends */
	unsigned int request_ms;  /* from its first chance until it has been read whole */
	unsigned int answer_ms;	  /* from its first byte to its last one, on the metrics address */
	size_t head_bytes;	  /* MHD's memory per connection: request line and headers */
	size_t body_bytes;	  /* of one request */
	size_t bodies_bytes;	  /* of all requests being read */
};

#define TD_CONTROL_LIMITS                                                                          \
	{                                                                                          \
		.connections = 64, .per_user = 16, .for_root = 16, .idle_s = 10,                   \
		.request_ms = 30000, .answer_ms = 60000, .head_bytes = 32 << 10,                   \
		.body_bytes = TD_CONTROL_BODY_MAX, .bodies_bytes = 2 * (size_t)TD_CONTROL_BODY_MAX \
	}

struct td_client;
struct pending;

struct td_listener {
	struct MHD_Daemon *daemon; /* owns the listening socket */
	bool metrics;		   /* the metrics address: td_web_allows */
	struct td_control_limits limits;
	td_handler handler;
	void *context;
	struct td_client *clients; /* open connections, doubly linked */
	unsigned int n_clients;
	struct pending *waiting;  /* requests to be answered later */
	unsigned int n_answering; /* answers queued and not yet sent */
	bool resumed;		  /* since the last run: libmicrohttpd does not wake us for it */
	bool ends;		  /* nobody is told to wait */
	size_t bodies_bytes;
};

/* Takes `fd` in any case. The listener must stay where it is until stopped. */
int td_listener_start(struct td_listener *l, int fd, struct td_error *error);
void td_listener_stop(struct td_listener *l); /* a listener of zeroes is allowed */
int td_listener_fd(const struct td_listener *l);
int td_listener_wait_ms(struct td_listener *l);
void td_listener_run(struct td_listener *l);
/* All that wait are asked again in the next run. */
void td_listener_resume(struct td_listener *l);
/* Accepts no more, answers who has just come and sends what is queued, for at most `timeout_ms`. Returns the listening
 * socket, which is the caller's then, or -1. */
int td_listener_drain(struct td_listener *l, int timeout_ms);

/* ---- control.c ----------------------------------------------------------- */

int td_control_open_limited(const char *socket_path, const char *metrics,
			    const struct td_control_limits *limits, td_handler handler,
			    void *context, struct td_control **ret, struct td_error *error);

#endif
