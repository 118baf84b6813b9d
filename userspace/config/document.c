// SPDX-License-Identifier: GPL-2.0-only
/*
 * From bytes to a tree of YAML nodes, each with its place.
 *
 * Three passes, each over input that the former found good: bytes (size, UTF-8,
 * control characters), events (one document, no anchors, aliases or tags,
 * bounded depth and number of nodes), and only then libyaml's document. So the
 * tree is a tree, no larger than the text, and reading it needs no guards.
 */
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

int td_document_fail(struct td_document *d, const yaml_node_t *node, const char *format, ...)
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

struct td_place td_node_place(const yaml_node_t *node)
{
	return place_of_mark(node->start_mark);
}

const char *td_node_kind(const yaml_node_t *node)
{
	switch (node->type) {
	case YAML_SEQUENCE_NODE: return "a list";
	case YAML_MAPPING_NODE: return "a mapping";
	default: return "one value";
	}
}

const char *td_node_text(const yaml_node_t *node)
{
	const char *text;

	if (!node || node->type != YAML_SCALAR_NODE)
		return NULL;
	text = (const char *)node->data.scalar.value;
	return strlen(text) == node->data.scalar.length ? text : NULL;
}

bool td_node_is_null(const yaml_node_t *node)
{
	const char *text = td_node_text(node);

	return text && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       (!*text || !strcmp(text, "~") || !strcmp(text, "null"));
}

const yaml_node_t *td_document_root(struct td_document *d)
{
	return yaml_document_get_root_node(&d->yaml);
}

const yaml_node_t *td_node_item(struct td_document *d, const yaml_node_t *node, size_t index)
{
	if (!node || node->type != YAML_SEQUENCE_NODE ||
	    index >= (size_t)(node->data.sequence.items.top - node->data.sequence.items.start))
		return NULL;
	return yaml_document_get_node(&d->yaml, node->data.sequence.items.start[index]);
}

const yaml_node_t *td_node_value(struct td_document *d, const yaml_node_t *node, const char *key)
{
	if (!node || node->type != YAML_MAPPING_NODE)
		return NULL;
	for (const yaml_node_pair_t *p = node->data.mapping.pairs.start;
	     p < node->data.mapping.pairs.top; p++) {
		const char *text = td_node_text(yaml_document_get_node(&d->yaml, p->key));

		if (text && !strcmp(text, key))
			return yaml_document_get_node(&d->yaml, p->value);
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

/* What the check of events remembers from one to the next. */
struct shape {
	unsigned int depth, documents, nodes;
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
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT: s->depth--; return 0;
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

static int parser_open(struct td_document *d, yaml_parser_t *p)
{
	if (!yaml_parser_initialize(p))
		return td_fail(d->error, ENOMEM, "out of memory");
	yaml_parser_set_encoding(p, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(p, (const unsigned char *)d->text, d->length);
	return 0;
}

static int check_events(struct td_document *d)
{
	struct shape shape = {0};
	yaml_parser_t parser;
	bool end = false;
	int r = parser_open(d, &parser);

	if (r < 0)
		return r;
	while (!end && r == 0) {
		yaml_event_t event;

		if (!yaml_parser_parse(&parser, &event)) {
			r = fail_syntax(d, &parser);
			break;
		}
		end = event.type == YAML_STREAM_END_EVENT;
		r = check_event(d, &event, &shape);
		yaml_event_delete(&event);
	}
	if (r == 0 && !shape.documents)
		r = td_document_fail_at(d, (struct td_place){1, 1},
					"the file is empty; it needs at least \"interfaces:\"");
	yaml_parser_delete(&parser);
	return r;
}

int td_document_open(struct td_document *d, const char *name, const char *text, size_t length,
		     struct td_error *error)
{
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
	r = check_events(d);
	if (r < 0)
		return r;
	r = parser_open(d, &parser);
	if (r < 0)
		return r;
	if (yaml_parser_load(&parser, &d->yaml))
		d->loaded = true;
	else
		r = fail_syntax(d, &parser);
	yaml_parser_delete(&parser);
	return r;
}

void td_document_done(struct td_document *d)
{
	if (d->loaded)
		yaml_document_delete(&d->yaml);
	d->loaded = false;
}
