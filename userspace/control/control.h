/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * HTTP and JSON on the control socket, and for browsers and Prometheus on an address:
 * transport only (libmicrohttpd). What a request means is asked of a table of handlers
 * that the daemon gives; so this part can be tested without a kernel.
 */
#ifndef TD_CONTROL_H
#define TD_CONTROL_H

#include <jansson.h>
#include <sys/types.h>

#include "lib/util.h"

struct td_control;

/* The process that connected to the control socket, when it did. */
struct td_peer {
	uid_t uid;
	gid_t gid, *groups; /* `groups`: the supplementary ones */
	size_t n_groups;
	pid_t pid;
};

bool td_peer_in(const struct td_peer *p, gid_t group);

/* A request as a handler sees it. Path words are split at '/', after "/v1/",
 * and percent-decoded; of "/metrics" it is that word, of "/" there is none. */
struct td_request {
	const char *method; /* "GET" or "POST" */
	const char *word[6];
	size_t n_words;
	const char *body; /* NUL-terminated, never NULL; at most TD_CONTROL_BODY_MAX */
	size_t body_length;
	const char *(*query)(const struct td_request *r, const char *key); /* NULL: absent */
	const char *accept;	    /* that header; NULL: absent */
	uint64_t since_ns;	    /* CLOCK_MONOTONIC: when the handler was first asked */
	const struct td_peer *peer; /* NULL: over TCP, where nobody is known */
	const char *from;	    /* over TCP: the address, as text; else NULL */
	const char *if_none_match;  /* that header; NULL: absent */
	void *transport;
};

#define TD_CONTROL_BODY_MAX (16u << 20)

/* An answer that is made while it is sent, and never whole in memory. */
struct td_stream {
	/* Makes more of it, at most `size` bytes. 0: that was all; -EAGAIN: not now, it is asked again after
	 * td_control_resume; another negative errno: the connection ends in the midst of it. */
	ssize_t (*more)(void *context, char *buffer, size_t size);
	void (*done)(void *context); /* once, also where nobody has read it */
	void *context;
};

struct td_header {
	const char *name, *value;
};

/* What a handler answers: JSON, text where `text` is not NULL, a stream where it has `more`, or bytes that
 * stay where they are. The control part takes all but the last. An error is {"error": "sentence", "exit": N} with its HTTP
 * status; td_reply_error makes it. */
struct td_reply {
	unsigned int status; /* 200 unless set */
	json_t *json;
	char *text;
	struct td_stream stream;
	const void *fixed; /* never freed; with `fixed_length` bytes */
	size_t fixed_length;
	const struct td_header
		*headers; /* over those that are usual; until one without a name; stay too */
	const char *content_type; /* of all but JSON; "text/plain; charset=utf-8" where NULL */
	bool later; /* no answer yet: the handler is asked again after td_control_resume */
};

void td_reply_error(struct td_reply *reply, unsigned int status, int exit_code, const char *format,
		    ...) TD_PRINTF(4, 5);

/* How answers are written: numbers as short as they are exact, 0.1, not 0.10000000000000001. */
#define TD_JSON_FLAGS (JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15))

/* A string of any bytes as JSON: in what is not UTF-8 all that is not ASCII becomes '?', in `text` too. */
json_t *td_json_of_text(char *text);

typedef void (*td_handler)(void *context, const struct td_request *request, struct td_reply *reply);

/*
 * @socket_path: the control socket; a stale one (nobody answers) is replaced,
 *               a live one is -EADDRINUSE; mode 0660; its directory is made
 *               where it is missing (0755). NULL: none.
 * @metrics:     "ADDR:PORT"; "" or NULL: none. There are /metrics, / and what is below
 *               /v1/, as far as browsers may be heard: private.h says, at web.c.
 * At most 64 connections each, on the socket 16 of a user and 48 of all but root;
 * 10 s without progress end one; a request over the limit is answered 413, garbage
 * 400, a connection over it 503.
 */
int td_control_open(const char *socket_path, const char *metrics, td_handler handler, void *context,
		    struct td_control **ret, struct td_error *error);
struct td_control *td_control_close(struct td_control *c); /* unlinks the socket; NULL is allowed */

/* For who executes itself anew: sockets that go on listening (-1: none). */
struct td_control_former {
	int socket_fd, metrics_fd;
	char metrics_address[64];
};
/* Answers who has asked, and accepts nobody any more: they wait for who comes next. */
void td_control_hand_over(struct td_control *c, struct td_control_former *ret);
/* Nobody came: as it was before. */
int td_control_take_back(struct td_control *c, const struct td_control_former *former,
			 struct td_error *error);
/* td_control_open, going on with such sockets; those that are not wanted any more are closed. */
int td_control_open_again(const char *socket_path, const struct td_control_former *former,
			  td_handler handler, void *context, struct td_control **ret,
			  struct td_error *error);

/* For the event loop: an epoll descriptor that is readable when td_control_run
 * has something to do, and the longest wait until it must be called anyway
 * (milliseconds, -1: none). td_control_run never blocks. */
int td_control_fd(const struct td_control *c);
int td_control_wait_ms(struct td_control *c);
void td_control_run(struct td_control *c);

/* Something has come that requests may wait for: all that were told "later" are asked
 * again, by td_control_run. NULL is allowed. */
void td_control_resume(struct td_control *c);

/* Whose group the control socket is from now on; the daemon has to be its member, or
 * to have CAP_CHOWN. */
int td_control_set_group(struct td_control *c, gid_t group, struct td_error *error);

/* Where to answer now, for moving the metrics listener on reload. */
int td_control_set_metrics(struct td_control *c, const char *metrics, struct td_error *error);

#endif
