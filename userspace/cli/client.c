// SPDX-License-Identifier: GPL-2.0-only
/*
 * One HTTP request over the control socket, by libcurl: its answer whole, or as it comes.
 */
#include <curl/curl.h>
#include <unistd.h>

#include "cli/cli.h"

#define ANSWER_MAX ((size_t)2 << 30)
#define CONNECT_MS 5000L
#define SILENCE_S  60L /* a daemon that sends nothing for so long hangs */
#define VERSION_S  5L  /* the same, of one that is asked for its version */

int cli_fail(int code, const char *format, ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	fputs("tundish: ", stderr);
	cli_put_escaped(stderr, text, CLI_KEEP_NONE);
	fputc('\n', stderr);
	return code;
}

/* ---- targets ------------------------------------------------------------------ */

static void target_add(struct cli_target *t, char c)
{
	if (t->length + 1 >= sizeof(t->text))
		t->overflow = true;
	else
		t->text[t->length++] = c;
	t->text[t->length] = '\0';
}

static void target_escape(struct cli_target *t, const char *text)
{
	static const char plain[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	static const char hex[] = "0123456789ABCDEF";

	for (; *text; text++) {
		if (strchr(plain, *text)) {
			target_add(t, *text);
			continue;
		}
		target_add(t, '%');
		target_add(t, hex[(unsigned char)*text >> 4]);
		target_add(t, hex[(unsigned char)*text & 15]);
	}
}

void cli_target_word(struct cli_target *t, const char *word)
{
	if (t->length == 0)
		t->length = snprintf(t->text, sizeof(t->text), "/v1");
	target_add(t, '/');
	target_escape(t, word);
}

void cli_target_query(struct cli_target *t, const char *key, const char *value)
{
	target_add(t, t->query ? '&' : '?');
	t->query = true;
	target_escape(t, key);
	target_add(t, '=');
	target_escape(t, value);
}

/* ---- the request ------------------------------------------------------------------ */

struct transfer {
	CURL *curl;
	struct cli_buffer answer;
	const struct cli_stream *stream; /* NULL: the answer is kept whole */
	bool ended;			 /* by the stream's own word */
};

static size_t receive(char *bytes, size_t size, size_t n, void *context)
{
	struct transfer *t = context;
	long status = 0;

	curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
	if (t->stream && t->stream->take && status == 200) {
		t->ended = !t->stream->take(t->stream->context, bytes, n);
		return t->ended ? 0 : n;
	}
	if (t->answer.length + n > ANSWER_MAX)
		return 0;
	cli_buffer_add(&t->answer, bytes, n);
	return n;
}

static int on_tick(void *context, curl_off_t all, curl_off_t so_far, curl_off_t up_all,
		   curl_off_t up_so_far)
{
	struct transfer *t = context;

	t->ended = t->ended || !t->stream->tick(t->stream->context);
	return t->ended;
}

static int tell_transport(const char *control, CURLcode code, long os_errno, const char *detail,
			  struct td_error *error)
{
	if (code != CURLE_COULDNT_CONNECT)
		return td_fail(error, EIO, "the daemon on %s did not answer: %s", control,
			       detail[0] ? detail : curl_easy_strerror(code));
	if (os_errno == EACCES || os_errno == EPERM)
		return td_fail(
			error, EACCES,
			"no permission to connect to %s; run it as root or as the socket's group",
			control);
	return td_fail(
		error, ECONNREFUSED,
		"no daemon answers on %s (%s); start tundishd, or name its socket with --control",
		control, strerror(os_errno ? (int)os_errno : ECONNREFUSED));
}

int cli_send(const char *control, const struct cli_target *target, const char *body,
	     struct cli_answer *ret, struct td_error *error)
{
	return cli_send_within(control, target, body, SILENCE_S, ret, error);
}

static int transfer(const char *control, const struct cli_target *target, const char *body,
		    long silence_s, const struct cli_stream *stream, struct cli_answer *ret,
		    struct td_error *error)
{
	char url[sizeof(target->text) + 32], detail[CURL_ERROR_SIZE] = "";
	struct transfer t = {.stream = stream};
	struct curl_slist *headers = NULL;
	long status = 0, os_errno = 0;
	CURLcode code;
	CURL *curl;

	if (target->overflow)
		return td_fail(error, EIO, "the arguments are too long");
	curl = curl_easy_init();
	if (!curl)
		return td_fail(error, EIO, "out of memory");
	snprintf(url, sizeof(url), "http://localhost%s", target->text);
	cli_buffer_add(&t.answer, "", 0);
	t.curl = curl;

	code = curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, control);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L); /* ".." is a name like others */
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, silence_s);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &t);
	if (stream && stream->tick) {
		curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_tick);
		curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &t);
		curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	}
	if (body) {
		headers = curl_slist_append(NULL, "Content-Type: application/octet-stream");
		curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
		curl_easy_setopt(curl, CURLOPT_POST, 1L);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
	}
	if (code == CURLE_OK)
		code = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &os_errno);
	curl_easy_cleanup(curl);
	curl_slist_free_all(headers);

	if (code != CURLE_OK) {
		cli_buffer_done(&t.answer);
		if (t.ended)
			return -ECANCELED;
		return tell_transport(control, code, os_errno, detail, error);
	}
	*ret = (struct cli_answer){
		.status = status, .body = t.answer.data, .length = t.answer.length};
	return 0;
}

int cli_send_within(const char *control, const struct cli_target *target, const char *body,
		    long silence_s, struct cli_answer *ret, struct td_error *error)
{
	return transfer(control, target, body, silence_s, NULL, ret, error);
}

int cli_fail_version(const struct cli *c, const char *what)
{
	struct cli_target t = {0};
	struct cli_answer a = {0};
	const char *version;
	json_t *status;

	cli_target_word(&t, "status");
	cli_target_query(&t, "services", "1");
	status = cli_send_within(c->control, &t, NULL, VERSION_S, &a, NULL) < 0
			 ? NULL
			 : json_loadb(a.body, a.length, 0, NULL);
	version = json_string_value(json_object_get(status, "version"));
	if (version && !strcmp(version, TD_VERSION))
		cli_fail(CLI_FAILED, "%.300s", what);
	else if (version)
		cli_fail(
			CLI_FAILED,
			"%.300s: the daemon on %.300s is version %.64s, this is %s; restart it, or run "
			"`tundish daemon reexec`, so that it is the one that is installed",
			what, c->control, version, TD_VERSION);
	else
		cli_fail(
			CLI_FAILED,
			"%.300s: what answers on %.300s is no daemon that this version, %s, knows; is it "
			"another program's socket?",
			what, c->control, TD_VERSION);
	json_decref(status);
	cli_answer_done(&a);
	return CLI_FAILED;
}

/* What daemons say of a path that they do not know, which nobody has typed. */
static bool is_unknown_path(const struct cli_answer *a, const char *sentence)
{
	static const char *const beginnings[] = {"there is no /v1/", "no such path"};

	for (size_t i = 0; a->status == 404 && i < TD_ARRAY_SIZE(beginnings); i++)
		if (!strncmp(sentence, beginnings[i], strlen(beginnings[i])))
			return true;
	return false;
}

/* Tells the daemon's own sentence. One about a file begins with the file's
 * name, line and column, as editors know it, so nothing stands before it. */
static int tell_refusal(const struct cli *c, const struct cli_answer *a)
{
	json_t *j = json_loadb(a->body, a->length, 0, NULL);
	const char *sentence = json_string_value(json_object_get(j, "error"));
	int code = (int)json_integer_value(json_object_get(j, "exit"));

	if (code < CLI_FAILED || code > CLI_FOUND)
		code = a->status == 404 ? CLI_NO_SUCH_THING : CLI_FAILED;
	if (sentence && is_unknown_path(a, sentence)) {
		code = cli_fail_version(c, sentence);
	} else if (!sentence) {
		cli_fail(code, "the daemon refused with HTTP status %ld", a->status);
	} else if (c->object && strcmp(c->object->name, "config") == 0) {
		cli_put_escaped(stderr, sentence, CLI_KEEP_LINES);
		fputc('\n', stderr);
	} else {
		cli_fail(code, "%s", sentence);
	}
	json_decref(j);
	return code;
}

static int ask(const struct cli *c, const struct cli_target *target, const char *body,
	       const struct cli_stream *stream, struct cli_answer *ret)
{
	bool watches = body && !stream && !c->json && isatty(STDERR_FILENO);
	struct cli_progress progress = {0};
	struct cli_stream watch;
	struct cli_answer a = {0};
	struct td_error error = {0};
	int r;

	if (watches) {
		watch = cli_progress_begin(&progress, c);
		stream = &watch;
	}
	r = transfer(c->control, target, body, SILENCE_S, stream, &a, &error);
	cli_progress_end(&progress);
	if (r == -ECANCELED)
		return CLI_FAILED;
	if (r < 0)
		return cli_fail(r == -ECONNREFUSED ? CLI_NO_DAEMON : CLI_FAILED, "%s", error.text);
	if (a.status >= 400) {
		r = tell_refusal(c, &a);
		cli_answer_done(&a);
		return r;
	}
	*ret = a;
	return CLI_DONE;
}

int cli_ask_raw(const struct cli *c, const struct cli_target *target, const char *body,
		struct cli_answer *ret)
{
	return ask(c, target, body, NULL, ret);
}

int cli_ask_stream(const struct cli *c, const struct cli_target *target, const char *body,
		   const struct cli_stream *stream)
{
	_cleanup_(cli_answer_done) struct cli_answer a = {0};

	return ask(c, target, body, stream, &a);
}

static bool has_key(const json_t *object, const char *key)
{
	return json_is_object(object) && (!key || json_object_get(object, key));
}

static bool are_rows(const json_t *rows, const char *key)
{
	for (size_t i = 0; i < json_array_size(rows); i++)
		if (!has_key(json_array_get(rows, i), i ? NULL : key))
			return false;
	return json_is_array(rows);
}

static bool is_of_form(const json_t *j, enum cli_form form, const char *key)
{
	return (form != CLI_ROWS && has_key(j, key)) || (form != CLI_OBJECT && are_rows(j, key));
}

static int tell_no_json(const struct cli *c, const json_error_t *where)
{
	return cli_fail(CLI_FAILED,
			"what answers on %s sent no JSON (%s); is it another program's socket?",
			c->control, where->text);
}

static int tell_form(const struct cli *c, const struct cli_target *target)
{
	char what[320];

	snprintf(what, sizeof(what), "the answer to %.*s is not as it should be",
		 (int)TD_MIN(strcspn(target->text, "?"), (size_t)200), target->text);
	return cli_fail_version(c, what);
}

int cli_ask(const struct cli *c, const struct cli_target *target, const char *body,
	    enum cli_form form, const char *key, json_t **ret)
{
	_cleanup_(cli_answer_done) struct cli_answer a = {0};
	json_error_t where;
	json_t *j;
	int r;

	r = cli_ask_raw(c, target, body, &a);
	if (r != CLI_DONE)
		return r;
	j = json_loadb(a.body, a.length, JSON_DECODE_ANY, &where);
	if (!j)
		return tell_no_json(c, &where);
	if (!is_of_form(j, form, key)) {
		json_decref(j);
		return tell_form(c, target);
	}
	*ret = j;
	return CLI_DONE;
}

/* ---- rows as they come ------------------------------------------------------------------ */

struct row_reader {
	const char *key;
	bool (*take)(void *context, const json_t *rows);
	void *context;
	struct cli_buffer text; /* what is not taken yet, as an array from its '[' on */
	size_t lines;		/* that end in it */
	bool tried;		/* the first ones were taken, or are no rows */
	bool ended;		/* nobody takes more */
	bool endless;
};

/* The first @length bytes, which are an array: false where they are none of such rows. */
static bool take_rows(struct row_reader *r, size_t length, json_error_t *where)
{
	json_t *rows = json_loadb(r->text.data, length, JSON_DECODE_ANY, where);
	bool are = are_rows(rows, r->key);

	r->ended = are && !r->take(r->context, rows);
	json_decref(rows);
	return are;
}

/* The first lines, of which each one is a row and a comma: the last comma ends an array, and the end of its
 * line begins the next one. All others are taken at the end: who reads what is printed page by page must not
 * keep this from reading on, or the daemon gives it up. */
static void take_first(struct row_reader *r)
{
	char *end = r->text.data - 1;
	json_error_t where;
	size_t length;

	for (size_t i = 0; i < CLI_ROWS_FIRST && end; i++)
		end = memchr(end + 1, '\n', r->text.length - (size_t)(end + 1 - r->text.data));
	r->tried = true;
	if (!end || end - r->text.data < 2 || end[-1] != ',')
		return;
	length = (size_t)(end - r->text.data);
	end[-1] = ']';
	if (!take_rows(r, length, &where)) {
		end[-1] = ',';
		return;
	}
	*end = '[';
	r->text.length -= length;
	memmove(r->text.data, end, r->text.length + 1);
}

static bool take_bytes(void *context, const char *bytes, size_t n)
{
	struct row_reader *r = context;

	r->endless = r->text.length + n > ANSWER_MAX;
	if (r->endless)
		return false;
	cli_buffer_add(&r->text, bytes, n);
	for (size_t i = 0; i < n && !r->tried; i++)
		r->lines += bytes[i] == '\n';
	if (r->lines >= CLI_ROWS_MANY && !r->tried)
		take_first(r);
	return !r->ended;
}

int cli_ask_rows(const struct cli *c, const struct cli_target *target, const char *key,
		 bool (*take)(void *context, const json_t *rows), void *context)
{
	struct row_reader r = {.key = key, .take = take, .context = context};
	const struct cli_stream stream = {take_bytes, NULL, &r};
	json_error_t where = {0};
	int x;

	cli_buffer_add(&r.text, "", 0);
	x = cli_ask_stream(c, target, NULL, &stream);
	if (r.ended)
		x = CLI_DONE;
	else if (r.endless)
		cli_fail(x,
			 "what answers on %s sends without an end; is it another program's socket?",
			 c->control);
	else if (x == CLI_DONE && !take_rows(&r, r.text.length, &where))
		x = where.text[0] ? tell_no_json(c, &where) : tell_form(c, target);
	cli_buffer_done(&r.text);
	return x;
}
