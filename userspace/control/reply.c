// SPDX-License-Identifier: GPL-2.0-only
/*
 * Answers: what a handler gave, JSON or text, as bytes for the wire.
 */
#include "control/private.h"

json_t *td_json_of_text(char *text)
{
	json_t *j = json_string(text);

	if (j)
		return j;
	for (char *c = text; *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	return json_string(text);
}

void td_reply_error(struct td_reply *reply, unsigned int status, int exit_code, const char *format,
		    ...)
{
	struct td_error e = {0};
	va_list ap;

	va_start(ap, format);
	vsnprintf(e.text, sizeof(e.text), format, ap);
	va_end(ap);

	td_reply_done(reply);
	reply->status = status;
	reply->json = json_pack("{s:o, s:i}", "error", td_json_of_text(e.text), "exit", exit_code);
}

void td_reply_done(struct td_reply *reply)
{
	json_decref(reply->json);
	free(reply->text);
	if (reply->stream.done)
		reply->stream.done(reply->stream.context);
	*reply = (struct td_reply){0};
}

/* ---- streams ------------------------------------------------------------------- */

#define BLOCK 32768 /* at once, where the connection's own memory does not set less */

struct streaming {
	struct td_stream stream;
	void (*wait)(void *context);
	void *context;
};

static ssize_t on_more(void *cls, uint64_t position, char *buffer, size_t size)
{
	struct streaming *s = cls;
	ssize_t n = s->stream.more(s->stream.context, buffer, size);

	if (n > 0)
		return n;
	if (n == 0)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (n != -EAGAIN)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	s->wait(s->context);
	return 0;
}

static void on_done(void *cls)
{
	struct streaming *s = cls;

	s->stream.done(s->stream.context);
	free(s);
}

static struct MHD_Response *response_of_stream(struct td_reply *reply, void (*wait)(void *context),
					       void *context)
{
	struct streaming *s = malloc(sizeof(*s));
	struct MHD_Response *response = NULL;

	if (!s)
		return NULL;
	*s = (struct streaming){reply->stream, wait, context};
	response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, on_more, s, on_done);
	if (response)
		reply->stream = (struct td_stream){0};
	else
		free(s);
	return response;
}

/* Of the metrics address, where browsers read: JSON is data and nothing else, shown nowhere else. */
static const struct td_header web_headers[] = {
	{"X-Content-Type-Options", "nosniff"},
	{"Referrer-Policy", "no-referrer"},
	{"Cross-Origin-Resource-Policy", "same-origin"},
	{0},
};
static const struct td_header usual_headers[] = {
	{"Cache-Control", "no-store"},
	{"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"},
	{0},
};

static void add_headers(struct MHD_Response *response, const struct td_header *headers)
{
	for (; headers->name; headers++)
		MHD_add_response_header(response, headers->name, headers->value);
}

static struct MHD_Response *finished(struct MHD_Response *response, const char *type,
				     const struct td_header *headers, bool web)
{
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	if (web)
		add_headers(response, web_headers);
	if (headers || web)
		add_headers(response, headers ? headers : usual_headers);
	else
		MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	return response;
}

struct MHD_Response *td_reply_response(struct td_reply *reply, bool web,
				       void (*wait)(void *context), void *context,
				       unsigned int *ret_status)
{
	const char *type = reply->content_type ? reply->content_type : "text/plain; charset=utf-8";
	unsigned int status = reply->status ? reply->status : MHD_HTTP_OK;
	const struct td_header *headers = reply->headers;
	struct MHD_Response *response;
	char *bytes;

	*ret_status = status;
	if (reply->stream.more || reply->fixed) {
		response = reply->fixed ? MHD_create_response_from_buffer(reply->fixed_length,
									  (void *)reply->fixed,
									  MHD_RESPMEM_PERSISTENT)
					: response_of_stream(reply, wait, context);
		td_reply_done(reply);
		return response ? finished(response, type, headers, web) : NULL;
	}
	if (!reply->text)
		type = "application/json";
	if (reply->text) {
		bytes = TD_TAKE_PTR(reply->text);
	} else if (reply->json) {
		bytes = json_dumps(reply->json, TD_JSON_FLAGS);
	} else {
		bytes = strdup("{}");
	}
	json_decref(reply->json);
	reply->json = NULL;
	if (!bytes) {
		status = MHD_HTTP_INTERNAL_SERVER_ERROR;
		bytes = strdup("{\"error\":\"no memory for the answer\",\"exit\":1}");
		if (!bytes)
			return NULL;
	}

	response = MHD_create_response_from_buffer(strlen(bytes), bytes, MHD_RESPMEM_MUST_FREE);
	if (!response) {
		free(bytes);
		return NULL;
	}
	*ret_status = status;
	return finished(response, type, headers, web);
}
