// SPDX-License-Identifier: GPL-2.0-only
/*
 * From bytes to a tree of YAML nodes, each with its place.
 *
 * Two passes: bytes (size, UTF-8, control characters), and libyaml's events (one
 * document, no anchors, aliases or tags, bounded depth and number of nodes), each of which
 * becomes a node at once. So the tree is a tree, in proportion to the text, and reading it
 * needs no guards. Nodes lie in a few large chunks, in the order of the file: a hundred
 * thousand backends are read in a tenth of a second or two, most of it libyaml's.
 */
#include <yaml.h>

#include "config/document.h"

#define NAME_SHOWN 160 /* of the file's name, so that the sentence has room */

static int fail_v(struct td_document *d, struct td_place at, int code, const char *format,
		  va_list ap)
{
	size_t length = strlen(d->name);
	bool cut = length > NAME_SHOWN;
	char sentence[sizeof(d->error->text)];

	vsnprintf(sentence, sizeof(sentence), format, ap);
	return td_fail(d->error, code, "%s%s:%u:%u: %s%s%s", cut ? "..." : "",
		       cut ? d->name + length - NAME_SHOWN : d->name, at.line, at.column, d->where,
		       *d->where ? ": " : "", sentence);
}

int td_document_fail_at(struct td_document *d, struct td_place at, const char *format, ...)
{
	va_list ap;
	int r;

	va_start(ap, format);
	r = fail_v(d, at, EINVAL, format, ap);
	va_end(ap);
	return r;
}

int td_document_fail(struct td_document *d, const struct td_node *node, const char *format, ...)
{
	va_list ap;
	int r;

	va_start(ap, format);
	r = fail_v(d, td_node_place(node), EINVAL, format, ap);
	va_end(ap);
	return r;
}

size_t td_document_enter(struct td_document *d, const char *format, ...)
{
	size_t mark = strlen(d->where), used = mark;
	va_list ap;

	if (used && used + 2 < sizeof(d->where)) {
		memcpy(d->where + used, ": ", 3);
		used += 2;
	}
	va_start(ap, format);
	vsnprintf(d->where + used, sizeof(d->where) - used, format, ap);
	va_end(ap);
	return mark;
}

void td_document_leave(struct td_document *d, size_t mark)
{
	d->where[mark] = '\0';
}

static struct td_place place_of_mark(yaml_mark_t mark)
{
	return (struct td_place){(unsigned int)mark.line + 1, (unsigned int)mark.column + 1};
}

struct td_place td_node_place(const struct td_node *node)
{
	return node->at;
}

const char *td_node_kind(const struct td_node *node)
{
	switch (node->kind) {
	case TD_NODE_LIST: return "a list";
	case TD_NODE_MAPPING: return "a mapping";
	default: return "one value";
	}
}

const char *td_node_text(const struct td_node *node)
{
	return node && node->kind == TD_NODE_SCALAR ? node->text : NULL;
}

bool td_node_is_null(const struct td_node *node)
{
	const char *text = td_node_text(node);

	return text && node->plain && (!*text || !strcmp(text, "~") || !strcmp(text, "null"));
}

const struct td_node *td_document_root(struct td_document *d)
{
	return d->root;
}

const struct td_node *td_node_item(struct td_document *d, const struct td_node *node, size_t index)
{
	if (!node || node->kind != TD_NODE_LIST || index >= node->n)
		return NULL;
	return node->items[index];
}

const struct td_node *td_node_value(struct td_document *d, const struct td_node *node,
				    const char *key)
{
	if (!node || node->kind != TD_NODE_MAPPING)
		return NULL;
	for (size_t i = 0; i < node->n; i++) {
		const char *text = td_node_text(td_node_key(node, i));

		if (text && !strcmp(text, key))
			return td_node_of_key(node, i);
	}
	return NULL;
}

/* Bytes of the UTF-8 character at `p`, 0 where it is none (RFC 3629, section 4:
 * no overlong forms, no surrogates, nothing over U+10FFFF). */
static size_t utf8_length(const unsigned char *p, size_t left)
{
	size_t n = *p < 0x80   ? 1
		   : *p < 0xc2 ? 0
		   : *p < 0xe0 ? 2
		   : *p < 0xf0 ? 3
		   : *p < 0xf5 ? 4
			       : 0;

	if (!n || n > left)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

static int check_bytes(struct td_document *d)
{
	const unsigned char *p = (const unsigned char *)d->text;
	struct td_place at = {1, 1};
	bool blank = true;

	if (d->length > TD_DOCUMENT_BYTES_MAX)
		return td_fail(d->error, E2BIG, "%.*s:1:1: the configuration is over 16 MiB",
			       NAME_SHOWN, d->name);
	for (size_t i = 0, n; i < d->length; i += n) {
		n = utf8_length(p + i, d->length - i);
		if (!n)
			return td_document_fail_at(d, at, "byte 0x%02x is not UTF-8", p[i]);
		if (p[i] == '\n') {
			at.line++;
			at.column = 1;
			continue;
		}
		if ((p[i] < 0x20 && p[i] != '\t' && p[i] != '\r') || p[i] == 0x7f)
			return td_document_fail_at(d, at, "control character 0x%02x is not allowed",
						   p[i]);
		if (p[i] > ' ')
			blank = false;
		at.column++;
	}
	if (blank)
		return td_document_fail_at(d, (struct td_place){1, 1},
					   "the file is empty; it needs at least \"interfaces:\"");
	return 0;
}

/* Tabs are the one mistake of YAML that cannot be seen. libyaml's index counts
 * characters. */
static bool is_tab(const struct td_document *d, size_t character)
{
	for (size_t i = 0; i < d->length; i++) {
		if (((unsigned char)d->text[i] & 0xc0) == 0x80)
			continue;
		if (!character--)
			return d->text[i] == '\t';
	}
	return false;
}

static int fail_syntax(struct td_document *d, const yaml_parser_t *p)
{
	struct td_place at = place_of_mark(p->problem_mark);

	if (p->error == YAML_MEMORY_ERROR)
		return td_fail(d->error, ENOMEM, "out of memory");
	if (p->error == YAML_SCANNER_ERROR && is_tab(d, p->problem_mark.index))
		return td_document_fail_at(d, at, "a tab cannot stand here; indent with spaces");
	return td_document_fail_at(d, at, "not valid YAML: %s%s%s",
				   p->problem ? p->problem : "unreadable", p->context ? " " : "",
				   p->context ? p->context : "");
}

/* ---- memory of nodes ---------------------------------------------------------- */

struct td_chunk {
	struct td_chunk *former;
	size_t used, size;
	_Alignas(max_align_t) char bytes[];
};

#define CHUNK_BYTES (256u << 10)

static void *allocate(struct td_document *d, size_t size)
{
	struct td_chunk *c = d->memory;
	void *p;

	size = (size + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
	if (!c || c->size - c->used < size) {
		size_t bytes = TD_MAX((size_t)CHUNK_BYTES, size);

		c = malloc(sizeof(*c) + bytes);
		if (!c)
			return NULL;
		*c = (struct td_chunk){.former = d->memory, .size = bytes};
		d->memory = c;
	}
	p = c->bytes + c->used;
	c->used += size;
	return p;
}

/* ---- events to nodes ------------------------------------------------------------ */

/* What is remembered from one event to the next. */
struct shape {
	unsigned int depth, documents, nodes;
	struct td_node *open[TD_DOCUMENT_DEPTH_MAX]; /* lists and mappings that go on */
	size_t first[TD_DOCUMENT_DEPTH_MAX];	     /* of each, below: what is in it */
	struct td_node **items;
	size_t n_items;
};

static int check_event(struct td_document *d, const yaml_event_t *e, struct shape *s)
{
	struct td_place at = place_of_mark(e->start_mark);
	const yaml_char_t *anchor = NULL, *tag = NULL;

	switch (e->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (++s->documents > 1)
			return td_document_fail_at(d, at, "a second YAML document; valid: one");
		return 0;
	case YAML_ALIAS_EVENT:
		return td_document_fail_at(d, at,
					   "YAML aliases (*name) are not taken; write it out");
	case YAML_SCALAR_EVENT:
		anchor = e->data.scalar.anchor;
		tag = e->data.scalar.tag;
		break;
	case YAML_SEQUENCE_START_EVENT:
		anchor = e->data.sequence_start.anchor;
		tag = e->data.sequence_start.tag;
		s->depth++;
		break;
	case YAML_MAPPING_START_EVENT:
		anchor = e->data.mapping_start.anchor;
		tag = e->data.mapping_start.tag;
		s->depth++;
		break;
	default: return 0;
	}

	if (anchor)
		return td_document_fail_at(d, at,
					   "YAML anchors (&name) are not taken; leave it out");
	if (tag)
		return td_document_fail_at(d, at, "YAML tags (!name) are not taken; leave it out");
	if (s->depth > TD_DOCUMENT_DEPTH_MAX)
		return td_document_fail_at(d, at, "nested deeper than %u levels",
					   TD_DOCUMENT_DEPTH_MAX);
	if (++s->nodes > TD_DOCUMENT_NODES_MAX)
		return td_document_fail_at(d, at, "more than %u values", TD_DOCUMENT_NODES_MAX);
	return 0;
}

static int out_of_memory(struct td_document *d)
{
	return td_fail(d->error, ENOMEM, "out of memory");
}

/* Into what is open. */
static struct td_node *add_node(struct td_document *d, struct shape *s, const yaml_event_t *e,
				enum td_node_kind kind)
{
	struct td_node *node = allocate(d, sizeof(*node));

	if (!node || td_grow(&s->items, s->n_items, sizeof(struct td_node *)) < 0)
		return NULL;
	*node = (struct td_node){.kind = kind, .at = place_of_mark(e->start_mark)};
	s->items[s->n_items++] = node;
	return node;
}

static int add_scalar(struct td_document *d, struct shape *s, const yaml_event_t *e)
{
	struct td_node *node = add_node(d, s, e, TD_NODE_SCALAR);
	size_t length = e->data.scalar.length;
	char *text;

	if (!node)
		return out_of_memory(d);
	node->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	if (memchr(e->data.scalar.value, 0, length))
		return 0;
	text = allocate(d, length + 1);
	if (!text)
		return out_of_memory(d);
	memcpy(text, e->data.scalar.value, length);
	text[length] = '\0';
	node->text = text;
	return 0;
}

/* @s->depth counts it already. */
static int begin(struct td_document *d, struct shape *s, const yaml_event_t *e,
		 enum td_node_kind kind)
{
	struct td_node *node = add_node(d, s, e, kind);

	if (!node)
		return out_of_memory(d);
	s->open[s->depth - 1] = node;
	s->first[s->depth - 1] = s->n_items;
	return 0;
}

static int end(struct td_document *d, struct shape *s)
{
	struct td_node *node = s->open[--s->depth];
	size_t n = s->n_items - s->first[s->depth];

	node->items = allocate(d, n * sizeof(struct td_node *));
	if (!node->items)
		return out_of_memory(d);
	memcpy(node->items, s->items + s->first[s->depth], n * sizeof(struct td_node *));
	node->n = node->kind == TD_NODE_MAPPING ? n / 2 : n;
	s->n_items -= n;
	return 0;
}

static int take_event(struct td_document *d, const yaml_event_t *e, struct shape *s)
{
	int r = check_event(d, e, s);

	if (r < 0)
		return r;
	switch (e->type) {
	case YAML_SCALAR_EVENT: return add_scalar(d, s, e);
	case YAML_SEQUENCE_START_EVENT: return begin(d, s, e, TD_NODE_LIST);
	case YAML_MAPPING_START_EVENT: return begin(d, s, e, TD_NODE_MAPPING);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT: return end(d, s);
	default: return 0;
	}
}

static int read_events(struct td_document *d, yaml_parser_t *parser, struct shape *shape)
{
	bool ended = false;
	int r = 0;

	while (!ended && r == 0) {
		yaml_event_t event;

		if (!yaml_parser_parse(parser, &event))
			return fail_syntax(d, parser);
		ended = event.type == YAML_STREAM_END_EVENT;
		r = take_event(d, &event, shape);
		yaml_event_delete(&event);
	}
	if (r == 0 && !shape->documents)
		r = td_document_fail_at(d, (struct td_place){1, 1},
					"the file is empty; it needs at least \"interfaces:\"");
	if (r == 0)
		d->root = shape->items[0];
	return r;
}

int td_document_open(struct td_document *d, const char *name, const char *text, size_t length,
		     struct td_error *error)
{
	struct shape shape = {0};
	yaml_parser_t parser;
	int r;

	if (length >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) { /* some editors' byte order mark */
		text += 3;
		length -= 3;
	}
	*d = (struct td_document){.name = name, .text = text, .length = length, .error = error};
	r = check_bytes(d);
	if (r < 0)
		return r;
	if (!yaml_parser_initialize(&parser))
		return out_of_memory(d);
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)d->text, d->length);
	r = read_events(d, &parser, &shape);
	yaml_parser_delete(&parser);
	free(shape.items);
	return r;
}

void td_document_done(struct td_document *d)
{
	while (d->memory) {
		struct td_chunk *c = d->memory;

		d->memory = c->former;
		free(c);
	}
	d->root = NULL;
}
