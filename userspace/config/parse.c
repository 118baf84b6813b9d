// SPDX-License-Identifier: GPL-2.0-only
/*
 * From YAML nodes to struct td_config, by the rows of the schema.
 *
 * A mapping is read in three steps, so that the first error told is the one
 * that explains the others: are its keys known and given once, is each value
 * good, is something missing. What concerns several objects is left to check.c.
 */
#include <fcntl.h>
#include <netinet/in.h>

#include <tundish/workers.h>

#include "config/check.h"
#include "config/config.h"
#include "config/schema.h"
#include "config/value.h"

static int parse_mapping(struct td_document *d, const struct td_node *node, enum td_scope scope,
			 void *object);

/* "in service "web"", or "at the top". */
static const char *in_where(const struct td_document *d, char buffer[272])
{
	snprintf(buffer, 272, *d->where ? "in %s" : "at the top%s", d->where);
	return buffer;
}

/* Errors about keys name the object after the word, so not before it too. */
static int fail_key(struct td_document *d, const struct td_node *node, const char *format, ...)
	TD_PRINTF(3, 4);
static int fail_key(struct td_document *d, const struct td_node *node, const char *format, ...)
{
	char sentence[sizeof(d->error->text)];
	va_list ap;

	va_start(ap, format);
	vsnprintf(sentence, sizeof(sentence), format, ap);
	va_end(ap);
	*d->where = '\0';
	return td_document_fail(d, node, "%s", sentence);
}

static int check_keys(struct td_document *d, const struct td_node *node, enum td_scope scope)
{
	unsigned int line_of[32] = {0}; /* by the row's number within the scope */
	char quoted[TD_QUOTED], where[272], valid[400];
	const struct td_row *first = NULL;

	for (size_t i = 0; !first && i < td_schema_rows; i++)
		if (td_schema[i].scope == scope)
			first = &td_schema[i];

	for (size_t i = 0; i < node->n; i++) {
		const struct td_node *key = td_node_key(node, i);
		const char *text = td_node_text(key);
		const struct td_row *row;
		unsigned int *line;

		if (!text)
			return fail_key(d, key, "a key %s has to be a plain word; valid: %s",
					in_where(d, where),
					td_schema_valid_keys(scope, NULL, valid, sizeof(valid)));
		row = td_schema_find(scope, text);
		if (!row)
			return fail_key(d, key, "unknown key %s %s; valid: %s",
					td_quote(text, quoted), in_where(d, where),
					td_schema_valid_keys(scope, text, valid, sizeof(valid)));
		if (row->type == TD_TYPE_LATER)
			return fail_key(d, key, "key %s %s is not in this version; valid: %s",
					td_quote(text, quoted), in_where(d, where),
					td_schema_valid_keys(scope, NULL, valid, sizeof(valid)));
		line = &line_of[(size_t)(row - first) % TD_ARRAY_SIZE(line_of)];
		if (*line)
			return fail_key(d, key, "key %s stands twice %s, first in line %u",
					td_quote(text, quoted), in_where(d, where), *line);
		*line = td_node_place(key).line;
	}
	return 0;
}

/* The object's name for errors, before it has been read. */
static size_t enter_object(struct td_document *d, const struct td_node *node, enum td_scope scope,
			   size_t number)
{
	const char *noun = td_scopes[scope].noun;
	const char *name = td_node_text(td_node_value(d, node, "name"));
	char quoted[TD_QUOTED];

	if (!name || !*name)
		return td_document_enter(d, "%s number %zu", noun, number);
	if (strlen(name) < TUNDISH_NAME_LEN && strspn(name, "abcdefghijklmnopqrstuvwxyz"
							    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
							    "0123456789._-") == strlen(name))
		return td_document_enter(d, "%s \"%s\"", noun, name);
	return td_document_enter(d, "%s %s", noun, td_quote(name, quoted));
}

static int check_count(struct td_document *d, const struct td_row *row, const struct td_node *node)
{
	if (node->kind != TD_NODE_LIST)
		return td_document_fail(d, node, "\"%s\" has to be a list, not %s", row->key,
					td_node_kind(node));
	if (node->n > row->max)
		return td_document_fail(d, td_node_item(d, node, row->max),
					"\"%s\" has more than %u members", row->key, row->max);
	return 0;
}

/* A backend has one address or a list of them, whose first stands for the others. */
static int settle_backend(struct td_document *d, const struct td_node *node,
			  struct td_backend_conf *b)
{
	const struct td_node *one = td_node_value(d, node, "address");

	if (one && b->n_addresses)
		return td_document_fail(
			d, one,
			"\"address\" and \"addresses\" both stand here; put it into "
			"the list");
	if (!one && !b->n_addresses)
		return td_document_fail(d, node, "\"address\" is missing; it has to be given");
	if (b->n_addresses)
		b->address = b->addresses[0].address;
	return 0;
}

static int parse_objects(struct td_document *d, const struct td_node *node,
			 const struct td_row *row, void *object)
{
	const struct td_scope_info *info = &td_scopes[row->opens];
	void **array = (void **)((char *)object + row->offset);
	size_t *n = (size_t *)((char *)object + row->n_offset);
	int r;

	if (td_node_is_null(node))
		return 0;
	r = check_count(d, row, node);
	if (r < 0)
		return r;
	*array = calloc(node->n + 1, info->size);
	if (!*array)
		return td_fail(d->error, ENOMEM, "out of memory");
	for (size_t i = 0; r == 0 && i < node->n; i++) {
		const struct td_node *item = td_node_item(d, node, i);
		char *element = (char *)*array + i * info->size;
		struct td_place at = td_node_place(item);
		size_t mark = enter_object(d, item, row->opens, i + 1);

		*n = i + 1; /* so that what it holds is freed on failure too */
		td_schema_defaults(row->opens, element);
		memcpy(element + info->place_offset, &at, sizeof(at));
		r = parse_mapping(d, item, row->opens, element);
		if (r == 0 && row->opens == TD_SCOPE_BACKEND)
			r = settle_backend(d, item, (struct td_backend_conf *)element);
		if (r == 0)
			td_document_leave(d, mark);
	}
	return r;
}

static int parse_item(struct td_document *d, const struct td_node *item, const struct td_row *row,
		      void *element)
{
	struct td_vip_conf *vip = element;
	struct td_port_conf *port = element;
	struct td_listen_conf *listen = element;
	struct td_netns_conf *netns = element;
	struct td_source_conf *source = element;
	char **word = element;
	const char *text = td_node_text(item);
	struct td_error error = {0};
	int r;

	if (!text)
		return td_document_fail(d, item, "a member of \"%s\" has to be one value, not %s",
					row->key, td_node_kind(item));
	if (row->type == TD_TYPE_VIPS) {
		vip->at = td_node_place(item);
		r = td_value_read_vip(text, vip, &error);
	} else if (row->type == TD_TYPE_PORTS) {
		port->at = td_node_place(item);
		r = td_value_read_port(text, port, &error);
	} else if (row->type == TD_TYPE_WORDS) {
		r = td_value_read_argument(row, text, word, &error);
	} else if (row->type == TD_TYPE_PATHS) {
		netns->at = td_node_place(item);
		r = td_value_read_path(row, text, netns, &error);
	} else if (row->type == TD_TYPE_SOURCES) {
		source->at = td_node_place(item);
		r = td_value_read_source(row, text, source, &error);
	} else if (row->type == TD_TYPE_PREFIXES) {
		vip->at = td_node_place(item);
		r = td_value_read_prefix(row, text, vip, &error);
	} else {
		listen->at = td_node_place(item);
		r = td_value_read_listen(text, listen, &error);
	}
	return r < 0 ? td_document_fail(d, item, "%s", error.text) : 0;
}

/* In the order of the configuration; what stands twice, in that of the file. */
static int by_listen(const void *a, const void *b)
{
	const struct td_listen_conf *x = a, *y = b;
	int r = memcmp(&x->address, &y->address, sizeof(x->address));

	if (r || x->port != y->port)
		return r ? r : (x->port > y->port) - (x->port < y->port);
	if (x->at.line != y->at.line)
		return x->at.line < y->at.line ? -1 : 1;
	return (x->at.column > y->at.column) - (x->at.column < y->at.column);
}

/* A list of values; one value may stand for a list of one. */
static int parse_list(struct td_document *d, const struct td_node *node, const struct td_row *row,
		      void *object)
{
	char **array = (char **)((char *)object + row->offset);
	size_t *n = (size_t *)((char *)object + row->n_offset);
	bool single = node->kind == TD_NODE_SCALAR && !td_node_is_null(node);
	size_t count = 0;
	int r;

	if (!single && !td_node_is_null(node)) {
		r = check_count(d, row, node);
		if (r < 0)
			return r;
		count = node->n;
	}
	if (single)
		count = 1;
	if (count < row->min)
		return td_document_fail(d, node, "\"%s\" is empty; give at least one", row->key);
	*array = calloc(count, row->size);
	if (!*array)
		return td_fail(d->error, ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++) {
		r = parse_item(d, single ? node : td_node_item(d, node, i), row,
			       *array + i * row->size);
		if (r < 0)
			return r;
		*n = i + 1;
	}
	if (row->type == TD_TYPE_LISTENS)
		qsort(*array, count, row->size, by_listen);
	return 0;
}

static int parse_value(struct td_document *d, const struct td_node *node, const struct td_row *row,
		       void *object)
{
	const char *text = td_node_text(node);
	struct td_error error = {0};

	if (node->kind != TD_NODE_SCALAR)
		return td_document_fail(d, node, "\"%s\" has to be one value, not %s", row->key,
					td_node_kind(node));
	if (!text)
		return td_document_fail(d, node, "\"%s\" has a zero byte in it", row->key);
	if (td_value_read(row, text, object, &error) < 0)
		return td_document_fail(d, node, "%s", error.text);
	return 0;
}

/* A mapping that is made only where it is given. */
static int parse_option(struct td_document *d, const struct td_node *node, const struct td_row *row,
			void *object)
{
	void **option = (void **)((char *)object + row->offset);
	size_t mark;
	int r;

	if (td_node_is_null(node))
		return 0;
	*option = calloc(1, td_scopes[row->opens].size);
	if (!*option)
		return td_fail(d->error, ENOMEM, "out of memory");
	td_schema_defaults(row->opens, *option);
	mark = td_document_enter(d, "%s", row->key);
	r = parse_mapping(d, node, row->opens, *option);
	if (r == 0)
		td_document_leave(d, mark);
	return r;
}

static int parse_row(struct td_document *d, const struct td_node *node, const struct td_row *row,
		     void *object)
{
	size_t mark;
	int r;

	switch (row->type) {
	case TD_TYPE_OBJECTS: return parse_objects(d, node, row, object);
	case TD_TYPE_OPTION: return parse_option(d, node, row, object);
	case TD_TYPE_VIPS:
	case TD_TYPE_PORTS:
	case TD_TYPE_LISTENS:
	case TD_TYPE_PATHS:
	case TD_TYPE_SOURCES:
	case TD_TYPE_WORDS:
	case TD_TYPE_PREFIXES: return parse_list(d, node, row, object);
	case TD_TYPE_MAPPING:
		if (td_node_is_null(node))
			return 0;
		mark = td_document_enter(d, "%s", row->key);
		r = parse_mapping(d, node, row->opens, (char *)object + row->offset);
		if (r == 0)
			td_document_leave(d, mark);
		return r;
	default: return parse_value(d, node, row, object);
	}
}

static int parse_mapping(struct td_document *d, const struct td_node *node, enum td_scope scope,
			 void *object)
{
	char valid[400];
	int r;

	if (node->kind != TD_NODE_MAPPING)
		return td_document_fail(d, node,
					"a mapping has to stand here, not %s; valid keys: %s",
					td_node_kind(node),
					td_schema_valid_keys(scope, NULL, valid, sizeof(valid)));
	r = check_keys(d, node, scope);
	for (size_t i = 0; r == 0 && i < node->n; i++)
		r = parse_row(d, td_node_of_key(node, i),
			      td_schema_find(scope, td_node_text(td_node_key(node, i))), object);
	for (size_t i = 0; r == 0 && i < td_schema_rows; i++) {
		const struct td_row *row = &td_schema[i];

		if (row->scope == scope && row->required && !td_node_value(d, node, row->key))
			r = td_document_fail(d, node, "\"%s\" is missing; it has to be given",
					     row->key);
	}
	return r;
}

/* What is said of queues says nothing of datagrams, so there the default is another. */
static void default_steering(struct td_document *d, struct td_config *c)
{
	const struct td_node *services = td_node_value(d, td_document_root(d), "services");

	for (size_t i = 0; i < c->n_services; i++) {
		struct td_service_conf *s = &c->services[i];
		const struct td_node *node = td_node_item(d, services, i);
		const struct td_node *workers = td_node_value(d, node, "workers");

		if (s->protocol == IPPROTO_UDP && s->workers.n_listen &&
		    !td_node_value(d, workers, "steering"))
			s->workers.steering = TUNDISH_STEERING_HASH;
	}
}

int td_config_parse(const char *name, const char *text, size_t length, struct td_config **ret,
		    struct td_error *error)
{
	_cleanup_(td_config_freep) struct td_config *c = NULL;
	struct td_error unwanted;
	struct td_document d;
	int r;

	r = td_document_open(&d, name, text, length, error ? error : &unwanted);
	if (r == 0) {
		c = calloc(1, sizeof(*c));
		if (!c)
			r = td_fail(error, ENOMEM, "out of memory");
	}
	if (r == 0) {
		td_schema_defaults(TD_SCOPE_TOP, c);
		r = parse_mapping(&d, td_document_root(&d), TD_SCOPE_TOP, c);
	}
	if (r == 0) {
		default_steering(&d, c);
		r = td_check(&d, c);
	}
	td_document_done(&d);
	if (r == 0)
		*ret = TD_TAKE_PTR(c);
	return r;
}

int td_config_load(const char *path, struct td_config **ret, struct td_error *error)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int fd = -1;
	size_t length = 0;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0) {
		int r = errno;

		return td_fail(error, r,
			       "cannot open %s: %s; give the configuration's place with "
			       "--config",
			       path, strerror(r));
	}
	/* One byte more than is taken, so that a longer file is told from one of
	 * exactly that size; what cannot be sized, such as a pipe, is read too. */
	text = malloc(TD_DOCUMENT_BYTES_MAX + 1);
	if (!text)
		return td_fail(error, ENOMEM, "out of memory");
	while (length <= TD_DOCUMENT_BYTES_MAX) {
		ssize_t n = read(fd, text + length, TD_DOCUMENT_BYTES_MAX + 1 - length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int r = errno;

			return td_fail(error, r, "cannot read %s: %s", path, strerror(r));
		}
		if (n == 0)
			break;
		length += (size_t)n;
	}
	return td_config_parse(path, text, length, ret, error);
}
