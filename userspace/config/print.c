// SPDX-License-Identifier: GPL-2.0-only
/*
 * A configuration as YAML that reads back as the same, every value written out,
 * defaults too. Order and form come from the schema. Words are quoted where any
 * YAML reader, not only ours, might take them for something else.
 */
#include "config/config.h"
#include "config/schema.h"
#include "config/value.h"
#include "core/address.h"
#include "core/server_id.h"

static void print_text(FILE *out, const char *text)
{
	static const char *const words[] = {"y",  "n",	 "yes",	  "no",	 "true",
					    "on", "off", "false", "null"};
	bool plain = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z');

	for (const char *p = text; *p; p++)
		plain = plain && ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
				  (*p >= '0' && *p <= '9') || *p == '.' || *p == '_' || *p == '-');
	for (size_t i = 0; i < TD_ARRAY_SIZE(words); i++)
		plain = plain && strcasecmp(text, words[i]);
	if (plain) {
		fputs(text, out);
		return;
	}
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		fputc(*text, out);
	}
	fputc('"', out);
}

static void print_address(FILE *out, const struct tundish_addr *a)
{
	const char *quote = tundish_addr_is_v4(a) ? "" : "\"";
	char text[TD_ADDRESS_TEXT];

	fprintf(out, "%s%s%s", quote, td_address_print(a, text), quote);
}

static void print_vip(FILE *out, const struct td_vip_conf *v)
{
	const char *quote = tundish_addr_is_v4(&v->address) ? "" : "\"";
	struct td_prefix p = {v->address, v->prefix};
	char text[TD_PREFIX_TEXT];

	fprintf(out, "%s%s%s", quote, td_prefix_print(&p, text), quote);
}

static void print_list(FILE *out, const struct td_row *row, const void *object)
{
	const void *array = *(void *const *)((const char *)object + row->offset);
	size_t n = *(const size_t *)((const char *)object + row->n_offset);
	char text[TD_PORTS_TEXT], listen[TD_LISTEN_TEXT];

	fputc('[', out);
	for (size_t i = 0; i < n; i++) {
		if (i)
			fputs(", ", out);
		if (row->type == TD_TYPE_SOURCES) {
			print_address(out, &((const struct td_source_conf *)array)[i].address);
			continue;
		}
		if (row->type == TD_TYPE_VIPS || row->type == TD_TYPE_PREFIXES) {
			print_vip(out, &((const struct td_vip_conf *)array)[i]);
			continue;
		}
		if (row->type == TD_TYPE_LISTENS) {
			fprintf(out, "\"%s\"",
				td_listen_print(&((const struct td_listen_conf *)array)[i],
						listen));
			continue;
		}
		if (row->type == TD_TYPE_WORDS) {
			print_text(out, ((char *const *)array)[i]);
			continue;
		}
		if (row->type == TD_TYPE_PATHS) {
			print_text(out, ((const struct td_netns_conf *)array)[i].path);
			continue;
		}
		td_ports_print(&((const struct td_port_conf *)array)[i], text);
		fprintf(out, strchr(text, '-') ? "\"%s\"" : "%s", text);
	}
	fputc(']', out);
}

static void print_choice(FILE *out, const struct td_row *row, const void *object)
{
	const char *name = row->standard;

	if (row->size)
		for (const struct td_choice *c = row->choices; c->name; c++)
			if (!c->later && c->value == td_value_number(row, object))
				name = c->name;
	fputs(name ? name : "", out);
}

static void print_number(FILE *out, const struct td_row *row, const void *object)
{
	uint32_t value = td_value_number(row, object);

	for (const struct td_choice *c = row->choices; c && c->name; c++)
		if (c->value == value) {
			fputs(c->name, out);
			return;
		}
	fprintf(out, "%u", value);
}

static void print_range(FILE *out, const struct td_row *row, const void *field)
{
	const struct td_range_conf *range = field;

	if (range->last && range->first == range->last && !row->choices)
		fprintf(out, "%u", range->first);
	else if (range->last)
		fprintf(out, "\"%u-%u\"", range->first, range->last);
	else
		fputs(row->choices->name, out);
}

static void print_value(FILE *out, const struct td_row *row, const void *object)
{
	const char *field = (const char *)object + row->offset;
	char duration[TD_DURATION_TEXT], id[TD_SERVER_ID_TEXT];

	switch (row->type) {
	case TD_TYPE_VIPS:
	case TD_TYPE_PORTS:
	case TD_TYPE_LISTENS:
	case TD_TYPE_PATHS:
	case TD_TYPE_SOURCES:
	case TD_TYPE_WORDS:
	case TD_TYPE_PREFIXES: print_list(out, row, object); break;
	case TD_TYPE_CHOICE: print_choice(out, row, object); break;
	case TD_TYPE_NUMBER: print_number(out, row, object); break;
	case TD_TYPE_RANGE: print_range(out, row, field); break;
	case TD_TYPE_PERCENT: fprintf(out, "%u%%", td_value_number(row, object)); break;
	case TD_TYPE_DURATION:
		fputs(td_duration_print(td_value_number(row, object), duration), out);
		break;
	case TD_TYPE_ADDRESS: print_address(out, (const struct tundish_addr *)field); break;
	case TD_TYPE_SERVER_ID: /* digits alone would be a number elsewhere */
		fprintf(out, "\"%s\"",
			td_server_id_print((const struct tundish_server_id *)field, id));
		break;
	case TD_TYPE_ENDPOINT:
		if (!*field && row->choices)
			fputs(row->choices->name, out);
		else
			print_text(out, field);
		break;
	case TD_TYPE_WORD:
	case TD_TYPE_ESCAPED:
	case TD_TYPE_FILE: print_text(out, *(char *const *)field); break;
	default: print_text(out, field); break;
	}
}

/* A key of a service that only nat and fullnat have. */
static bool of_nat(const struct td_row *row)
{
	return row->offset == offsetof(struct td_service_conf, sources) ||
	       (row->offset >= offsetof(struct td_service_conf, nat) &&
		row->offset < offsetof(struct td_service_conf, nat) + sizeof(struct td_nat_conf));
}

/* A key of a check of another type, or what is not given. */
static bool is_absent_health(const struct td_row *row, const void *object)
{
	const char *field = (const char *)object + row->offset;

	if (row->scope == TD_SCOPE_HEALTH && row->checks &&
	    !(row->checks & TD_OF(((const struct td_health_conf *)object)->type)))
		return true;
	switch (row->type) {
	case TD_TYPE_CHOICE: return !row->standard && !row->required && !*field;
	case TD_TYPE_ADDRESS:
		return tundish_addr_equal((const struct tundish_addr *)field,
					  &(const struct tundish_addr){0});
	case TD_TYPE_DURATION:
	case TD_TYPE_NUMBER: return !row->standard && !td_value_number(row, object);
	case TD_TYPE_WORD:
	case TD_TYPE_ESCAPED:
	case TD_TYPE_FILE: return !*(char *const *)field;
	case TD_TYPE_WORDS: return !*(const size_t *)((const char *)object + row->n_offset);
	case TD_TYPE_MAPPING:
		if (row->opens == TD_SCOPE_PASSIVE)
			return !((const struct td_passive_conf *)(const void *)field)->failures;
		return !((const struct td_agent_conf *)(const void *)field)->port;
	default: return false;
	}
}

/* Whether there is nothing to write: an optional list without members, an
 * optional endpoint that was not given, `workers` without a group, what is said of
 * another delivery. */
static bool is_absent(const struct td_row *row, const void *object)
{
	const char *field = (const char *)object + row->offset;

	if (row->scope == TD_SCOPE_SERVICE && of_nat(row) &&
	    !td_translates(((const struct td_service_conf *)object)->delivery))
		return true;
	if (row->scope == TD_SCOPE_HEALTH || row->scope == TD_SCOPE_OWN_HEALTH ||
	    row->scope == TD_SCOPE_AGENT || row->scope == TD_SCOPE_PASSIVE)
		return is_absent_health(row, object);
	switch (row->type) {
	case TD_TYPE_LATER: return true;
	case TD_TYPE_OPTION: return !*(void *const *)field;
	case TD_TYPE_SOURCES:
		return !row->required && !*(const size_t *)((const char *)object + row->n_offset);
	case TD_TYPE_ADDRESS: return ((const struct td_backend_conf *)object)->n_addresses != 0;
	case TD_TYPE_NUMBER: return !row->standard && !td_value_number(row, object);
	case TD_TYPE_PREFIXES:
	case TD_TYPE_OBJECTS:
		return !row->required && !*(const size_t *)((const char *)object + row->n_offset);
	case TD_TYPE_ENDPOINT: return !*field && !row->choices;
	case TD_TYPE_NAME: return !*field;
	case TD_TYPE_SERVER_ID: return !((const struct tundish_server_id *)field)->length;
	case TD_TYPE_MAPPING:
		if (row->opens == TD_SCOPE_SERVICE_GUE)
			return ((const struct td_service_conf *)object)->delivery !=
			       TUNDISH_DELIVERY_GUE;
		if (row->opens == TD_SCOPE_QUIC)
			return !((const struct td_quic_conf *)(const void *)field)
					->server_id_length;
		return row->opens == TD_SCOPE_WORKERS &&
		       !((const struct td_workers_conf *)(const void *)field)->n_listen;
	default: return false;
	}
}

static void print_object(FILE *out, enum td_scope scope, const void *object, unsigned int indent,
			 bool in_list);

static void print_objects(FILE *out, const struct td_row *row, const void *object,
			  unsigned int indent)
{
	const char *array = *(char *const *)((const char *)object + row->offset);
	size_t n = *(const size_t *)((const char *)object + row->n_offset);

	if (!n)
		fputs(" []", out);
	fputc('\n', out);
	for (size_t i = 0; i < n; i++) {
		fprintf(out, "%*s- ", (int)indent + 2, "");
		print_object(out, row->opens, array + i * td_scopes[row->opens].size, indent + 4,
			     true);
		fputs(td_scopes[row->opens].one_line ? "\n" : "", out);
	}
}

/* In a list the first key stands behind the dash. */
static void print_object(FILE *out, enum td_scope scope, const void *object, unsigned int indent,
			 bool in_list)
{
	bool one_line = td_scopes[scope].one_line, first = true;

	if (one_line)
		fputc('{', out);
	for (size_t i = 0; i < td_schema_rows; i++) {
		const struct td_row *row = &td_schema[i];

		if (row->scope != scope || is_absent(row, object))
			continue;
		if (one_line)
			fputs(first ? "" : ", ", out);
		else if (!first || !in_list)
			fprintf(out, "%*s", (int)indent, "");
		first = false;
		fprintf(out, "%s:", row->key);
		if (row->type == TD_TYPE_OBJECTS) {
			print_objects(out, row, object, indent);
		} else if (row->type == TD_TYPE_MAPPING || row->type == TD_TYPE_OPTION) {
			const void *inner = (const char *)object + row->offset;

			if (row->type == TD_TYPE_OPTION)
				inner = *(void *const *)inner;
			fputc(td_scopes[row->opens].one_line ? ' ' : '\n', out);
			print_object(out, row->opens, inner, indent + 2, false);
			fputs(td_scopes[row->opens].one_line && !one_line ? "\n" : "", out);
		} else {
			fputc(' ', out);
			print_value(out, row, object);
			fputs(one_line ? "" : "\n", out);
		}
	}
	if (one_line)
		fputc('}', out);
}

int td_config_print(const struct td_config *config, FILE *out)
{
	print_object(out, TD_SCOPE_TOP, config, 0, false);
	return ferror(out) ? -EIO : 0;
}
