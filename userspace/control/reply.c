// SPDX-License-Identifier: GPL-2.0-only
/*
 * Answers: what a handler gave, JSON or text, as bytes for the wire.
 */
#include "control/private.h"

/* A string of any bytes as JSON: what is not UTF-8 loses its high bytes. */
static json_t *json_of_text(char *text)
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

	json_decref(reply->json);
	free(reply->text);
	*reply = (struct td_reply){.status = status};
	reply->json = json_pack("{s:o, s:i}", "error", json_of_text(e.text), "exit", exit_code);
}

struct MHD_Response *td_reply_response(struct td_reply *reply, unsigned int *ret_status)
{
	const char *type = "application/json";
	unsigned int status = reply->status ? reply->status : MHD_HTTP_OK;
	struct MHD_Response *response;
	char *bytes;

	if (reply->text) {
		bytes = TD_TAKE_PTR(reply->text);
		type = reply->content_type ? reply->content_type : "text/plain; charset=utf-8";
	} else if (reply->json) {
		bytes = json_dumps(reply->json, JSON_COMPACT | JSON_ENCODE_ANY);
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
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	*ret_status = status;
	return response;
}
