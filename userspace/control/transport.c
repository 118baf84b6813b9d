// SPDX-License-Identifier: GPL-2.0-only
/*
 * One listener: an MHD daemon without a thread, its connections and requests.
 *
 * libmicrohttpd parses HTTP and ends connections that are silent. What it
 * leaves open is closed here: bodies have a size of their own and one in
 * common, and a request has to be complete within a time, so that a client
 * that sends a byte now and then cannot hold a connection for ever. No user but root
 * gets more than a share of the connections, and all of them leave some for root.
 *
 * A request lives from the callback that sees its target (on_uri) to the
 * one that sees its end (on_completed); in between on_request is called once
 * with the head, once or more with pieces of the body, and once at the end,
 * where the handler is asked. Where that says "later" the connection is suspended,
 * and on_request is called once more for each time that it is resumed.
 */
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include "control/private.h"

#define EXPECT_MS 100 /* from connecting to the question, of those who are waited for at the end */

struct td_client {
	struct td_client *previous, *next;
	int fd;
	uint64_t since_ms; /* waiting for a request, in the middle of one, or sending, since */
	uint64_t limit_ms; /* how long that may take; 0: the delay is ours */
	bool asked;	   /* at least once */
	bool counted;	   /* one of its user's and of all but root's */
	uid_t uid;
};

struct pending {
	struct td_listener *listener;
	struct pending *next; /* of those that wait */
	struct MHD_Connection *connection;
	uint64_t asked_ns;
	struct td_uri uri;
	int uri_error;
	char *body;
	size_t length, room;
	unsigned int refuse; /* status to refuse the body with; what follows is dropped */
	size_t dropped;
	bool begun, answered, head;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static uint64_t now_ms(void)
{
	return now_ns() / 1000000;
}

static struct td_client *client_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

static int fd_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	return info ? info->connect_fd : -1;
}

/* From now on: the connection ends where that takes longer. */
static void client_limit(struct td_client *client, unsigned int limit_ms)
{
	if (!client)
		return;
	client->limit_ms = limit_ms;
	client->since_ms = now_ms();
}

/* Too many of this user, or of all but root: told once, and ended by MHD, which finds it
 * shut. The answer fits into an empty socket's buffer. */
static void refuse_connection(int fd)
{
	static const char answer[] =
		"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"
		"Content-Type: application/json\r\nContent-Length: 75\r\n\r\n"
		"{\"error\": \"too many connections of this user, end some of them\", \"exit\": 1}";

	send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	shutdown(fd, SHUT_RDWR);
}

static void count_client(struct td_listener *l, struct td_client *client)
{
	unsigned int same = 0, all = 0;
	struct td_peer peer;

	if (l->metrics || td_peer_read(client->fd, &peer) < 0)
		return;
	client->uid = peer.uid;
	td_peer_done(&peer);
	if (!client->uid)
		return;
	for (struct td_client *c = l->clients; c; c = c->next) {
		same += c->counted && c->uid == client->uid;
		all += c->counted;
	}
	client->counted =
		same < l->limits.per_user && all + l->limits.for_root < l->limits.connections;
	if (!client->counted)
		refuse_connection(client->fd);
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **socket_context,
			  enum MHD_ConnectionNotificationCode code)
{
	struct td_client *client = *socket_context;
	struct td_listener *l = cls;
	int fd;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		fd = fd_of(connection);
		client = calloc(1, sizeof(*client));
		if (!client || fd < 0) {
			free(client);
			return; /* lives without a deadline, under MHD's own */
		}
		client->fd = fd;
		count_client(l, client);
		client->next = l->clients;
		if (l->clients)
			l->clients->previous = client;
		l->clients = client;
		l->n_clients++;
		client_limit(client, l->limits.request_ms);
		*socket_context = client;
	} else if (client) {
		if (client->previous)
			client->previous->next = client->next;
		else
			l->clients = client->next;
		if (client->next)
			client->next->previous = client->previous;
		l->n_clients--;
		free(client);
		*socket_context = NULL;
	}
}

static void *on_uri(void *cls, const char *uri, struct MHD_Connection *connection)
{
	struct pending *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	if (client_of(connection))
		client_of(connection)->asked = true;
	p->listener = cls;
	p->uri_error = td_uri_parse(uri, &p->uri);
	return p;
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **req_cls,
			 enum MHD_RequestTerminationCode code)
{
	struct td_listener *l = cls;
	struct pending *p = *req_cls;

	client_limit(client_of(connection), l->limits.request_ms);
	*req_cls = NULL;
	if (!p)
		return;
	if (p->answered)
		l->n_answering--;
	l->bodies_bytes -= p->room;
	td_uri_done(&p->uri);
	free(p->body);
	free(p);
}

static const char *request_query(const struct td_request *r, const char *key)
{
	const struct pending *p = r->transport;

	return td_uri_query(&p->uri, key);
}

/* ---- later ------------------------------------------------------------------ */

static void wait_for(void *context)
{
	struct pending *p = context;
	struct td_listener *l = p->listener;

	p->next = l->waiting;
	l->waiting = p;
	client_limit(client_of(p->connection), 0); /* the delay is ours */
	MHD_suspend_connection(p->connection);
}

/* ---- answers ---------------------------------------------------------------- */

static enum MHD_Result answer(struct pending *p, struct MHD_Connection *connection,
			      struct td_reply *reply)
{
	bool bodiless = p->head && reply->stream.more;
	struct MHD_Response *response;
	enum MHD_Result result;
	unsigned int status;

	response = td_reply_response(reply, p->listener->metrics, wait_for, p, &status);
	if (!response)
		return MHD_NO;
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW,
					p->listener->metrics && p->uri.n_words < 2
						? "GET, HEAD"
						: "GET, HEAD, POST");
	/* Who comes again and again keeps no place that another one may want. */
	if (p->listener->metrics && 2 * p->listener->n_clients > p->listener->limits.connections)
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	/* Or libmicrohttpd ends a body that is not there, after which the next answer is garbage. */
	if (bodiless)
		MHD_set_response_options(response, MHD_RF_HTTP_VERSION_1_0_ONLY, MHD_RO_END);
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	if (result == MHD_YES && !p->answered) {
		p->answered = true;
		p->listener->n_answering++;
	}
	client_limit(client_of(connection),
		     p->listener->metrics ? p->listener->limits.answer_ms : 0);
	return result;
}

static void refuse_body(struct pending *p, unsigned int status, struct td_reply *reply)
{
	if (status == MHD_HTTP_SERVICE_UNAVAILABLE)
		td_reply_error(reply, status, 1, "too many large requests at once, try again");
	else
		td_reply_error(reply, status, 1,
			       "the request's body is over the limit of %zu bytes",
			       p->listener->limits.body_bytes);
}

/* Takes a piece of the body; false where the connection is to be cut. */
static bool take_body(struct pending *p, const char *data, size_t length)
{
	struct td_listener *l = p->listener;
	size_t room = p->room;
	char *bigger;

	if (!p->refuse && p->length + length > l->limits.body_bytes)
		p->refuse = MHD_HTTP_CONTENT_TOO_LARGE;
	if (!p->refuse && p->length + length + 1 > room) {
		room = TD_MAX(room * 2, p->length + length + 1);
		room = TD_MIN(room, l->limits.body_bytes + 1);
		if (l->bodies_bytes - p->room + room > l->limits.bodies_bytes) {
			p->refuse = MHD_HTTP_SERVICE_UNAVAILABLE;
		} else {
			bigger = realloc(p->body, room);
			if (!bigger)
				return false;
			l->bodies_bytes += room - p->room;
			p->body = bigger;
			p->room = room;
		}
	}
	if (p->refuse) {
		/* An answer can be given only at the end: hear a sender out that
		 * is a little over, not one that never ends. */
		p->dropped += length;
		return p->dropped <= 4 * l->limits.body_bytes;
	}
	memcpy(p->body + p->length, data, length);
	p->length += length;
	return true;
}

/* The length that the head declares; 0 where it declares none. */
static unsigned long long declared_length(struct MHD_Connection *connection)
{
	const char *text = MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
						       MHD_HTTP_HEADER_CONTENT_LENGTH);

	return text ? strtoull(text, NULL, 10) : 0; /* checked by MHD */
}

static const char *header_of(struct pending *p, const char *name)
{
	return MHD_lookup_connection_value(p->connection, MHD_HEADER_KIND, name);
}

/* The address of who asks over TCP, as numbers. */
static void print_client(struct pending *p, char *text, size_t size)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(p->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const struct sockaddr *a = info ? info->client_addr : NULL;
	socklen_t length = a && a->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
							 : sizeof(struct sockaddr_in);

	if (!a || getnameinfo(a, length, text, size, NULL, 0, NI_NUMERICHOST) != 0)
		snprintf(text, size, "an unknown address");
	else if (!strncmp(text, "::ffff:", 7)) /* IPv4, on a listener of both */
		memmove(text, text + 7, strlen(text + 7) + 1);
}

static void ask_handler(struct pending *p, const char *method, struct td_reply *reply)
{
	const struct td_uri *t = &p->uri;
	struct td_request request = {
		.method = method,
		.body = p->body ? p->body : "",
		.body_length = p->length,
		.query = request_query,
		.accept = header_of(p, MHD_HTTP_HEADER_ACCEPT),
		.if_none_match = header_of(p, MHD_HTTP_HEADER_IF_NONE_MATCH),
		.since_ns = p->asked_ns,
		.transport = p,
	};
	size_t skip = t->n_words && !strcmp(t->word[0], "v1") ? 1 : 0;
	struct td_peer peer = {0};
	char from[NI_MAXHOST];

	if (p->body)
		p->body[p->length] = '\0';
	for (size_t i = skip; i < t->n_words; i++)
		request.word[request.n_words++] = t->word[i];
	if (p->listener->metrics) {
		print_client(p, from, sizeof(from));
		request.from = from;
	} else {
		if (td_peer_read(fd_of(p->connection), &peer) < 0) {
			td_reply_error(reply, MHD_HTTP_INTERNAL_SERVER_ERROR, 1,
				       "the kernel does not say who asks");
			return;
		}
		request.peer = &peer;
	}
	p->listener->handler(p->listener->context, &request, reply);
	td_peer_done(&peer);
}

/* A header that decides came more than once. */
struct repeats {
	unsigned int host, origin, mark;
};

static enum MHD_Result count_header(void *cls, enum MHD_ValueKind kind, const char *name,
				    const char *value)
{
	struct repeats *r = cls;

	r->host += !strcasecmp(name, "Host");
	r->origin += !strcasecmp(name, "Origin");
	r->mark += !strcasecmp(name, "X-Tundish");
	return MHD_YES;
}

static bool is_allowed(struct pending *p, const char *method, struct td_reply *reply)
{
	char own_name[256] = "";
	struct repeats n = {0};
	struct td_web web = {
		.method = method,
		.uri = &p->uri,
		.host = header_of(p, "Host"),
		.origin = header_of(p, "Origin"),
		.mark = header_of(p, "X-Tundish"),
		.own_name = own_name,
	};

	MHD_get_connection_values(p->connection, MHD_HEADER_KIND, count_header, &n);
	web.repeated = n.host > 1 || n.origin > 1 || n.mark > 1;
	gethostname(own_name, sizeof(own_name) - 1);
	return td_web_allows(&web, reply);
}

static void ask(struct pending *p, const char *method, struct td_reply *reply)
{
	bool metrics = p->listener->metrics, post = strcmp(method, "POST") == 0;
	const struct td_uri *t = &p->uri;

	p->head = strcmp(method, "HEAD") == 0;
	if (p->head)
		method = "GET"; /* libmicrohttpd leaves the body out */

	if (strcmp(method, "GET") != 0 && !post)
		td_reply_error(reply, MHD_HTTP_METHOD_NOT_ALLOWED, 2, "requests are GET or POST");
	else if (p->uri_error == -EINVAL || p->uri_error == -E2BIG)
		td_reply_error(reply, MHD_HTTP_BAD_REQUEST, 2,
			       "the request's path or query is malformed");
	else if (p->uri_error == -ENOMEM)
		td_reply_error(reply, MHD_HTTP_INTERNAL_SERVER_ERROR, 1, "out of memory");
	else if (p->uri_error < 0 ||
		 (!metrics && (t->n_words < 2 || strcmp(t->word[0], "v1") != 0)))
		td_reply_error(reply, MHD_HTTP_NOT_FOUND, 4, "no such path; all are below /v1/");
	else if (metrics && !is_allowed(p, method, reply))
		return;
	else if (p->refuse)
		refuse_body(p, p->refuse, reply);
	else
		ask_handler(p, method, reply);
}

void td_listener_resume(struct td_listener *l)
{
	while (l->waiting) {
		struct pending *p = l->waiting;

		l->waiting = p->next;
		l->resumed = true;
		MHD_resume_connection(p->connection);
	}
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *upload_data,
				  size_t *upload_data_size, void **req_cls)
{
	struct pending *p = *req_cls;
	struct td_reply reply = {0};

	if (!p)
		return MHD_NO; /* no memory when it began */
	if (!p->begun) {
		p->begun = true;
		if (declared_length(connection) <= p->listener->limits.body_bytes)
			return MHD_YES;
		refuse_body(p, MHD_HTTP_CONTENT_TOO_LARGE, &reply);
		return answer(p, connection, &reply);
	}
	if (*upload_data_size) {
		bool ok = take_body(p, upload_data, *upload_data_size);

		*upload_data_size = 0;
		return ok ? MHD_YES : MHD_NO;
	}
	if (!p->asked_ns)
		p->asked_ns = now_ns();
	p->connection = connection;
	ask(p, method, &reply);
	if (reply.later && !p->listener->ends) {
		wait_for(p);
		return MHD_YES;
	}
	if (reply.later)
		td_reply_error(&reply, MHD_HTTP_SERVICE_UNAVAILABLE, 1, "the daemon is ending");
	return answer(p, connection, &reply);
}

int td_listener_start(struct td_listener *l, int fd, struct td_error *error)
{
	l->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, l,
		MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, l->limits.connections,
		MHD_OPTION_CONNECTION_TIMEOUT, l->limits.idle_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		l->limits.head_bytes, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_URI_LOG_CALLBACK,
		on_uri, l, MHD_OPTION_NOTIFY_COMPLETED, on_completed, l,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, l, MHD_OPTION_END);
	if (!l->daemon) {
		close(fd);
		return td_fail(error, ENOMEM, "cannot start the HTTP server: %s", strerror(errno));
	}
	return 0;
}

void td_listener_stop(struct td_listener *l)
{
	td_listener_resume(l); /* libmicrohttpd does not end while somebody waits */
	if (l->daemon)
		MHD_stop_daemon(l->daemon); /* closes the listening socket too */
	l->daemon = NULL;
}

int td_listener_fd(const struct td_listener *l)
{
	return MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
}

int td_listener_wait_ms(struct td_listener *l)
{
	uint64_t now = now_ms(), deadline;
	MHD_UNSIGNED_LONG_LONG ms;
	uint64_t wait = INT32_MAX;

	if (!l->daemon)
		return -1;
	if (l->resumed)
		return 0;
	if (MHD_get_timeout(l->daemon, &ms) == MHD_YES)
		wait = TD_MIN(wait, ms);
	for (struct td_client *c = l->clients; c; c = c->next) {
		if (!c->limit_ms)
			continue;
		deadline = c->since_ms + c->limit_ms;
		wait = TD_MIN(wait, deadline > now ? deadline - now : 0);
	}
	return wait == INT32_MAX ? -1 : (int)wait;
}

static bool is_full(const struct td_listener *l)
{
	return MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)
		       ->num_connections >= l->limits.connections;
}

void td_listener_run(struct td_listener *l)
{
	MHD_UNSIGNED_LONG_LONG ms;
	uint64_t now = now_ms();
	bool full;

	if (!l->daemon)
		return;
	l->resumed = false;
	for (struct td_client *c = l->clients; c; c = c->next)
		if (c->limit_ms && now - c->since_ms >= c->limit_ms)
			shutdown(c->fd, SHUT_RDWR); /* MHD sees its end and closes it */

	/* One pass reads, the next one answers; bounded, as others wait too. One that makes room
	 * needs the next: libmicrohttpd looks at its beginning alone whether it may accept again, and
	 * where all have gone at once nothing would ever wake it. */
	full = is_full(l);
	for (int i = 0; i < 8; i++) {
		bool was_full = full, again;

		MHD_run(l->daemon);
		full = is_full(l);
		again = was_full && !full;
		l->resumed |= again; /* or a handler has said so */
		if (!again && (MHD_get_timeout(l->daemon, &ms) != MHD_YES || ms > 0))
			break;
	}
}

/* Somebody has just come, and is about to ask. */
static bool is_expecting(const struct td_listener *l, uint64_t now)
{
	for (const struct td_client *c = l->clients; c; c = c->next)
		if (!c->asked && now - c->since_ms < EXPECT_MS)
			return true;
	return false;
}

int td_listener_drain(struct td_listener *l, int timeout_ms)
{
	uint64_t end = now_ms() + timeout_ms, now;
	struct pollfd p;
	int fd;

	if (!l->daemon)
		return -1;
	l->ends = true;
	td_listener_resume(l);
	fd = MHD_quiesce_daemon(l->daemon);
	td_listener_run(l); /* those are answered now */
	while ((now = now_ms()) < end && (l->n_answering || is_expecting(l, now))) {
		p = (struct pollfd){.fd = td_listener_fd(l), .events = POLLIN};
		poll(&p, 1, TD_MIN(end - now, 10));
		td_listener_run(l);
	}
	return fd;
}
