// SPDX-License-Identifier: GPL-2.0-only
/*
 * http and https, by libcurl's multi interface: it tells which sockets to watch and when it
 * wants to be called, and is told what became ready.
 *
 * The server is named by its address; what name it is asked for and what name its certificate
 * has are said apart from that (CURLOPT_CONNECT_TO), so nothing is ever resolved. Each probe has
 * a connection of its own. No redirect is followed: its status is the answer. As soon as enough
 * of the answer has been seen the rest is not waited for.
 */
#include <sys/epoll.h>
#include <sys/socket.h>

#include "core/address.h"
#include "probe/private.h"

#define HEADER_BYTES 65536u

/* A socket of libcurl's. */
struct td_http_socket {
	struct td_watch watch;
	struct td_prober *prober;
	struct td_http_socket *next; /* of those that are over */
};

/* An event of it may have been fetched already, so it is freed when all of them are through. */
static void bury(struct td_http_socket *s)
{
	s->watch.fd = -1;
	s->next = s->prober->graves;
	s->prober->graves = s;
}

void td_http_sweep(struct td_prober *p)
{
	while (p->graves) {
		struct td_http_socket *s = p->graves;

		p->graves = s->next;
		free(s);
	}
}

/* ---- the answer ---------------------------------------------------------------------- */

static long status_of(struct td_probe *b)
{
	long status = 0;

	curl_easy_getinfo(b->easy, CURLINFO_RESPONSE_CODE, &status);
	return status;
}

static bool good_status(struct td_probe *b)
{
	long status = status_of(b);

	return status >= b->status.first && status <= b->status.last;
}

/* Returning less than was given ends the transfer. */
static size_t on_header(char *data, size_t one, size_t n, void *userdata)
{
	struct td_probe *b = userdata;

	b->taken += n;
	if (b->taken > HEADER_BYTES)
		return 0;
	/* The empty line behind them; of the final answer, and where that is all that counts. */
	if (n <= 2 && (*data == '\r' || *data == '\n') && status_of(b) >= 200) {
		b->headed = true;
		b->seen |= !b->expect.data;
	}
	return b->seen ? 0 : n;
}

static size_t on_body(char *data, size_t one, size_t n, void *userdata)
{
	struct td_probe *b = userdata;
	size_t room = TD_PROBE_ANSWER_BYTES - b->length, take = TD_MIN(n, room);

	b->seen = true;
	if (!b->expect.data || !good_status(b))
		return 0; /* the status says it all */
	if (!b->answer)
		b->answer = malloc(TD_PROBE_ANSWER_BYTES);
	if (!b->answer)
		return 0;
	memcpy(b->answer + b->length, data, take);
	b->length += take;
	if (td_bytes_in(&b->expect, b->answer, b->length) || b->length == TD_PROBE_ANSWER_BYTES)
		return 0;
	return n;
}

/* "status 302, a redirect to http://elsewhere/ which is not followed" */
static const char *status_text(struct td_probe *b, char buffer[128])
{
	struct curl_header *where = NULL;
	long status = status_of(b);

	if (status < 300 || status > 399 ||
	    curl_easy_header(b->easy, "Location", 0, CURLH_HEADER, -1, &where) != CURLHE_OK)
		snprintf(buffer, 128, "status %ld", status);
	else
		snprintf(buffer, 128, "status %ld, a redirect to %.60s which is not followed",
			 status, where->value);
	for (char *c = buffer; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	return buffer;
}

static void judge_answer(struct td_probe *b)
{
	long status = status_of(b);
	char text[128];

	if (!status) /* of HTTP/0.9 */
		td_probe_end(b, TD_PROBE_BAD, "its answer is not HTTP");
	else if (!b->headed) /* which libcurl does not mind */
		td_probe_end(b, TD_PROBE_BAD, "it closed the connection within its headers");
	else if (!good_status(b) && b->status.first == b->status.last)
		td_probe_end(b, TD_PROBE_BAD, "%s, not %u", status_text(b, text), b->status.first);
	else if (!good_status(b))
		td_probe_end(b, TD_PROBE_BAD, "%s, not %u to %u", status_text(b, text),
			     b->status.first, b->status.last);
	else if (b->expect.data && !td_bytes_in(&b->expect, b->answer, b->length))
		td_probe_end(b, TD_PROBE_BAD,
			     "status %ld, but the body is another one than expected", status);
	else
		td_probe_end(b, TD_PROBE_GOOD, "%s", status_text(b, text));
}

static void judge(struct td_probe *b, CURLcode code)
{
	long error = 0;

	if (code == CURLE_OK || (code == CURLE_WRITE_ERROR && b->seen)) {
		judge_answer(b);
		return;
	}
	curl_easy_getinfo(b->easy, CURLINFO_OS_ERRNO, &error);
	if (b->open_error)
		td_probe_end_errno(b, b->open_error);
	else if (code == CURLE_COULDNT_CONNECT && error)
		td_probe_end_errno(b, (int)error);
	else if (code == CURLE_OUT_OF_MEMORY)
		td_probe_end_errno(b, ENOMEM);
	else if (code == CURLE_SSL_CACERT_BADFILE)
		td_probe_end(b, TD_PROBE_UNABLE, "%.150s", b->curl_error);
	else if (code == CURLE_WRITE_ERROR)
		td_probe_end(b, TD_PROBE_BAD, "its headers are longer than %u bytes", HEADER_BYTES);
	else if (code == CURLE_PARTIAL_FILE)
		td_probe_end(b, TD_PROBE_BAD, "it closed the connection within its %s",
			     b->headed ? "answer" : "headers");
	else if (code == CURLE_PEER_FAILED_VERIFICATION)
		td_probe_end(b, TD_PROBE_BAD, "its certificate is not good: %.110s",
			     b->curl_error[0] ? b->curl_error : curl_easy_strerror(code));
	else
		td_probe_end(b, TD_PROBE_BAD, "%.150s",
			     b->curl_error[0] ? b->curl_error : curl_easy_strerror(code));
}

/* Those that are done, after any call of libcurl's. */
static void collect(struct td_prober *p)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(p->multi, &left))) {
		struct td_probe *b = NULL;
		CURLcode code = m->data.result;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&b);
		judge(b, code);
	}
}

/* ---- what libcurl asks for --------------------------------------------------------------- */

static void on_ready(struct td_watch *w, uint32_t events)
{
	struct td_prober *p = TD_OF(w, struct td_http_socket, watch)->prober;
	int running, what = (events & EPOLLIN ? CURL_CSELECT_IN : 0) |
			    (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
			    (events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);

	curl_multi_socket_action(p->multi, w->fd, what, &running);
	collect(p);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *userdata, void *known)
{
	struct td_prober *p = userdata;
	struct td_http_socket *s = known;
	struct epoll_event e = {0};

	if (what == CURL_POLL_REMOVE) {
		if (s) {
			epoll_ctl(p->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
			bury(s);
			curl_multi_assign(p->multi, fd, NULL);
		}
		return 0;
	}
	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return -1;
		s->prober = p;
		s->watch = (struct td_watch){.ready = on_ready, .fd = fd};
		curl_multi_assign(p->multi, fd, s);
	}
	e.events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
	e.data.ptr = &s->watch;
	if (epoll_ctl(p->epoll_fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &e) < 0)
		return -1;
	return 0;
}

static int on_timer(CURLM *multi, long ms, void *userdata)
{
	struct td_prober *p = userdata;

	p->curl_due_ns = ms < 0 ? 0 : td_probe_now() + (uint64_t)ms * 1000000ull;
	return 0;
}

void td_http_due(struct td_prober *p)
{
	int running;

	p->curl_due_ns = 0;
	curl_multi_socket_action(p->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	collect(p);
}

static curl_socket_t on_open(void *userdata, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct td_probe *b = userdata;
	struct sockaddr_storage to;
	socklen_t length = td_probe_fill(b, &to);
	int fd = td_probe_socket(b, SOCK_STREAM, &to);

	b->open_error = fd < 0 ? -fd : 0;
	if (length == a->addrlen) /* the hook may have changed it */
		memcpy(&a->addr, &to, length);
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

/* ---- beginning and end --------------------------------------------------------------------- */

static int start(struct td_probe *b)
{
	b->seen = b->headed = false;
	b->open_error = 0;
	b->curl_error[0] = '\0';
	if (curl_multi_add_handle(b->prober->multi, b->easy) != CURLM_OK)
		return -ENOMEM;
	b->added = true;
	return 0;
}

static void stop(struct td_probe *b)
{
	if (b->added)
		curl_multi_remove_handle(b->prober->multi, b->easy);
	b->added = false;
	free(b->answer);
	b->answer = NULL;
}

const struct td_kind td_kind_http = {.start = start, .stop = stop};

static int open_multi(struct td_prober *p)
{
	if (p->multi)
		return 0;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return -ENOMEM;
	p->multi = curl_multi_init();
	if (!p->multi)
		return -ENOMEM;
	curl_multi_setopt(p->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(p->multi, CURLMOPT_SOCKETDATA, p);
	curl_multi_setopt(p->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(p->multi, CURLMOPT_TIMERDATA, p);
	return 0;
}

bool td_http_connected(struct td_probe *b)
{
	curl_off_t us = 0;

	return b->easy && curl_easy_getinfo(b->easy, CURLINFO_CONNECT_TIME_T, &us) == CURLE_OK &&
	       us > 0;
}

void td_http_close(struct td_prober *p)
{
	if (p->multi)
		curl_multi_cleanup(p->multi);
	p->multi = NULL;
	td_http_sweep(p);
}

/* "[2001:db8::1]", "192.0.2.1" */
static void host_text(const struct tundish_addr *a, char *buffer, size_t size)
{
	char text[TD_ADDRESS_TEXT];

	td_address_print(a, text);
	snprintf(buffer, size, tundish_addr_is_v4(a) ? "%s" : "[%s]", text);
}

/* The name in the certificate: without the port that a Host header may have. */
static void name_of(const struct td_probe_spec *s, char *buffer, size_t size)
{
	const char *name = s->server_name ? s->server_name : s->host;

	if (s->kind == TD_PROBE_HTTPS && name)
		snprintf(buffer, size, "%.*s", s->server_name ? 253 : (int)strcspn(name, ":"),
			 name);
	else
		host_text(&s->address, buffer, size);
}

static bool set_url(struct td_probe *b, const struct td_probe_spec *s)
{
	char address[TD_ADDRESS_TEXT + 2], name[256], text[1600];
	CURLcode r;

	host_text(&s->address, address, sizeof(address));
	name_of(s, name, sizeof(name));
	snprintf(text, sizeof(text), "::%s:%u", address, s->port);
	b->connect_to = curl_slist_append(NULL, text);
	if (s->host) {
		snprintf(text, sizeof(text), "Host: %s", s->host);
		b->headers = curl_slist_append(NULL, text);
	}
	snprintf(text, sizeof(text), "%s://%s:%u%s", s->kind == TD_PROBE_HTTPS ? "https" : "http",
		 name, s->port, s->path ? s->path : "/");
	r = curl_easy_setopt(b->easy, CURLOPT_URL, text);
	return r == CURLE_OK && b->connect_to && (b->headers || !s->host);
}

static void set_limits(CURL *e)
{
	curl_easy_setopt(e, CURLOPT_PROXY, ""); /* whatever the environment says */
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_HTTP09_ALLOWED, 0L);
	curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(e, CURLOPT_TCP_NODELAY, 1L);
	curl_easy_setopt(e, CURLOPT_USERAGENT, "tundish");
	curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 0L);
}

static void set_callbacks(struct td_probe *b)
{
	curl_easy_setopt(b->easy, CURLOPT_PRIVATE, b);
	curl_easy_setopt(b->easy, CURLOPT_ERRORBUFFER, b->curl_error);
	curl_easy_setopt(b->easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(b->easy, CURLOPT_WRITEDATA, b);
	curl_easy_setopt(b->easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(b->easy, CURLOPT_HEADERDATA, b);
	curl_easy_setopt(b->easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
	curl_easy_setopt(b->easy, CURLOPT_OPENSOCKETDATA, b);
}

static void set_tls(CURL *e, const struct td_probe_spec *s)
{
	curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, s->verify ? 1L : 0L);
	curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, s->verify ? 2L : 0L);
	/* A session that goes on shows no certificate: one that has expired, or another one,
	 * would not be seen. */
	curl_easy_setopt(e, CURLOPT_SSL_SESSIONID_CACHE, s->verify ? 0L : 1L);
	if (s->ca)
		curl_easy_setopt(e, CURLOPT_CAINFO, s->ca);
}

int td_http_new(struct td_probe *b, const struct td_probe_spec *s, struct td_error *error)
{
	if (open_multi(b->prober) < 0)
		return td_fail(error, ENOMEM, "libcurl cannot be started");
	b->easy = curl_easy_init();
	if (!b->easy || !set_url(b, s))
		return td_fail(error, ENOMEM, "out of memory");
	curl_easy_setopt(b->easy, CURLOPT_CONNECT_TO, b->connect_to);
	if (b->headers)
		curl_easy_setopt(b->easy, CURLOPT_HTTPHEADER, b->headers);
	if (s->method == TD_HTTP_HEAD)
		curl_easy_setopt(b->easy, CURLOPT_NOBODY, 1L);
	if (s->method == TD_HTTP_OPTIONS)
		curl_easy_setopt(b->easy, CURLOPT_CUSTOMREQUEST, "OPTIONS");
	set_limits(b->easy);
	set_callbacks(b);
	if (s->kind == TD_PROBE_HTTPS)
		set_tls(b->easy, s);
	return 0;
}

void td_http_free(struct td_probe *b)
{
	if (b->easy)
		curl_easy_cleanup(b->easy);
	curl_slist_free_all(b->headers);
	curl_slist_free_all(b->connect_to);
}
