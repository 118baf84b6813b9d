// SPDX-License-Identifier: GPL-2.0-only
/*
 * Readers of single values. Each takes exactly the forms that the manual
 * shows: no signs, no leading zeros, no second spelling, so that what one
 * reader takes for octal or a truth value cannot mean something else here.
 * Addresses are read in value_address.c.
 */
#include "config/value.h"
#include "core/server_id.h"

const char *td_quote(const char *text, char buffer[TD_QUOTED])
{
	size_t n = 0;

	buffer[n++] = '"';
	for (; *text && n < TD_QUOTED - 6; text++)
		buffer[n++] = *text < ' ' || *text > '~' ? '?' : *text;
	memcpy(buffer + n, *text ? "...\"" : "\"", *text ? 5 : 2);
	return buffer;
}

static bool all_digits(const char *text)
{
	return *text && strspn(text, "0123456789") == strlen(text);
}

/* Decimal digits to a number that stops growing at 2^53. False for a leading
 * zero, which YAML takes for octal. */
static bool read_digits(const char *text, size_t n, uint64_t *ret)
{
	uint64_t value = 0;

	if (!n || (n > 1 && *text == '0'))
		return false;
	for (size_t i = 0; i < n; i++)
		if (value < 1ull << 53)
			value = value * 10 + (uint64_t)(text[i] - '0');
	*ret = value;
	return true;
}

static void store(const struct td_row *row, void *object, uint32_t value)
{
	void *field = (char *)object + row->offset;

	if (row->size == 1)
		memcpy(field, &(uint8_t){(uint8_t)value}, 1);
	else if (row->size == 2)
		memcpy(field, &(uint16_t){(uint16_t)value}, 2);
	else if (row->size == 4)
		memcpy(field, &value, 4);
}

uint32_t td_value_number(const struct td_row *row, const void *object)
{
	const char *field = (const char *)object + row->offset;
	uint16_t two;
	uint32_t four;

	if (row->size == 1)
		return *(const uint8_t *)field;
	if (row->size == 2)
		return memcpy(&two, field, 2), two;
	return memcpy(&four, field, 4), four;
}

static int read_number(const struct td_row *row, const char *text, void *object,
		       struct td_error *error)
{
	char quoted[TD_QUOTED];
	uint64_t value;

	if (*text == '-' && all_digits(text + 1))
		return td_fail(error, EINVAL, "%s %.24s is under %u", row->key, text, row->min);
	if (!all_digits(text) || !read_digits(text, strlen(text), &value))
		return td_fail(error, EINVAL, "%s %s is not a number; valid: %u to %u", row->key,
			       td_quote(text, quoted), row->min, row->max);
	if (value > row->max)
		return td_fail(error, EINVAL, "%s %.24s is over %u", row->key, text, row->max);
	if (value < row->min)
		return td_fail(error, EINVAL, "%s %.24s is under %u", row->key, text, row->min);
	store(row, object, (uint32_t)value);
	return 0;
}

/* A number, or a word that stands for one. */
static int read_number_or_word(const struct td_row *row, const char *text, void *object,
			       struct td_error *error)
{
	char quoted[TD_QUOTED], valid[80];

	for (const struct td_choice *c = row->choices; c && c->name; c++)
		if (!strcmp(c->name, text)) {
			store(row, object, c->value);
			return 0;
		}
	if (row->choices && !all_digits(text) && *text != '-')
		return td_fail(error, EINVAL, "%s %s is unknown; valid: %s, %u to %u", row->key,
			       td_quote(text, quoted),
			       td_schema_valid_choices(row->choices, NULL, valid, sizeof(valid)),
			       row->min, row->max);
	return read_number(row, text, object, error);
}

static int read_range(const struct td_row *row, const char *text, void *object,
		      struct td_error *error)
{
	struct td_range_conf *range = (struct td_range_conf *)((char *)object + row->offset);
	size_t n = strspn(text, "0123456789");
	uint64_t first, last;
	char quoted[TD_QUOTED];

	if (row->choices && !strcmp(text, row->choices->name)) {
		*range = (struct td_range_conf){0};
		return 0;
	}
	if (!row->choices && all_digits(text) && n < 6) { /* a range of one */
		char both[16];

		snprintf(both, sizeof(both), "%s-%s", text, text);
		return read_range(row, both, object, error);
	}
	if (!read_digits(text, n, &first) || text[n] != '-' || !all_digits(text + n + 1) ||
	    !read_digits(text + n + 1, strlen(text + n + 1), &last))
		return td_fail(error, EINVAL,
			       "%s %s is not a range; valid: %s, or one such as \"%u-%u\"",
			       row->key, td_quote(text, quoted),
			       row->choices ? row->choices->name : "a number", row->min, row->max);
	if (first < row->min || last > row->max || first > row->max || last < row->min)
		return td_fail(error, EINVAL, "%s %.24s is outside %u-%u", row->key, text, row->min,
			       row->max);
	if (first > last)
		return td_fail(error, EINVAL, "%s %.24s is reversed; write %u-%u", row->key, text,
			       (unsigned int)last, (unsigned int)first);
	*range = (struct td_range_conf){(uint16_t)first, (uint16_t)last};
	return 0;
}

static int read_percent(const struct td_row *row, const char *text, void *object,
			struct td_error *error)
{
	size_t digits = strspn(text, "0123456789");
	char quoted[TD_QUOTED];
	uint64_t value;

	if (!read_digits(text, digits, &value) || (text[digits] && strcmp(text + digits, "%")))
		return td_fail(error, EINVAL, "%s %s is not a share; valid: %u%% to %u%%", row->key,
			       td_quote(text, quoted), row->min, row->max);
	if (!text[digits])
		return td_fail(error, EINVAL, "%s %.24s has no percent sign; write %.24s%%",
			       row->key, text, text);
	if (value > row->max)
		return td_fail(error, EINVAL, "%s %.24s is over %u%%", row->key, text, row->max);
	if (value < row->min)
		return td_fail(error, EINVAL, "%s %.24s is under %u%%", row->key, text, row->min);
	store(row, object, (uint32_t)value);
	return 0;
}

const char *td_duration_print(uint32_t ms, char buffer[TD_DURATION_TEXT])
{
	uint32_t seconds = ms / 1000;

	if (ms % 1000)
		snprintf(buffer, TD_DURATION_TEXT, "%ums", ms);
	else if (seconds && seconds % 3600 == 0)
		snprintf(buffer, TD_DURATION_TEXT, "%uh", seconds / 3600);
	else if (seconds && seconds % 60 == 0)
		snprintf(buffer, TD_DURATION_TEXT, "%um", seconds / 60);
	else
		snprintf(buffer, TD_DURATION_TEXT, "%us", seconds);
	return buffer;
}

static int read_duration(const struct td_row *row, const char *text, void *object,
			 struct td_error *error)
{
	static const struct {
		const char *name;
		uint32_t ms;
	} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
	char quoted[TD_QUOTED], bound[TD_DURATION_TEXT];
	size_t digits = strspn(text, "0123456789");
	uint64_t value, ms = 0, step = row->step ? row->step : 1;

	if (!digits || !read_digits(text, digits, &value))
		return td_fail(error, EINVAL,
			       "%s %s is not a duration; valid: a number with ms, s, "
			       "m or h, such as %s",
			       row->key, td_quote(text, quoted), row->standard);
	if (!text[digits] && !row->step)
		return td_fail(error, EINVAL, "%s %.24s has no unit; write %.24sms or %.24ss",
			       row->key, text, text, text);
	if (!text[digits])
		return td_fail(error, EINVAL, "%s %.24s has no unit; write %.24ss for seconds",
			       row->key, text, text);
	for (size_t i = 0; i < TD_ARRAY_SIZE(units); i++)
		if (!strcmp(text + digits, units[i].name))
			ms = units[i].ms;
	if (!ms)
		return td_fail(error, EINVAL, "%s %s has an unknown unit; valid: ms, s, m, h",
			       row->key, td_quote(text, quoted));
	value = value > UINT32_MAX ? UINT32_MAX : value; /* far beyond any bound, in any unit */
	ms = (ms * value + step - 1) / step * step;
	if (ms > row->max)
		return td_fail(error, EINVAL, "%s %.24s is over %s", row->key, text,
			       td_duration_print(row->max, bound));
	if (ms < row->min)
		return td_fail(error, EINVAL, "%s %.24s is under %s", row->key, text,
			       td_duration_print(row->min, bound));
	store(row, object, (uint32_t)ms);
	return 0;
}

static int read_choice(const struct td_row *row, const char *text, void *object,
		       struct td_error *error)
{
	char quoted[TD_QUOTED], valid[160];

	for (const struct td_choice *c = row->choices; c->name; c++) {
		if (strcmp(c->name, text))
			continue;
		if (c->later)
			return td_fail(
				error, EINVAL, "%s %s is not in this version; valid: %s", row->key,
				td_quote(text, quoted),
				td_schema_valid_choices(row->choices, NULL, valid, sizeof(valid)));
		store(row, object, c->value);
		return 0;
	}
	return td_fail(error, EINVAL, "%s %s is unknown; valid: %s", row->key,
		       td_quote(text, quoted),
		       td_schema_valid_choices(row->choices, text, valid, sizeof(valid)));
}

/* Names are words of paths on the control socket and arguments of commands, so
 * they begin with neither a dot nor a dash. */
static int read_name(const struct td_row *row, const char *text, void *object,
		     struct td_error *error)
{
	size_t length = strlen(text);
	char quoted[TD_QUOTED];

	if (!length)
		return td_fail(error, EINVAL, "%s is empty; valid: letters, digits, '.', '_', '-'",
			       row->key);
	if (length >= row->size)
		return td_fail(error, EINVAL, "%s %s is longer than %zu characters", row->key,
			       td_quote(text, quoted), row->size - 1);
	for (const char *p = text; *p; p++)
		if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
		      (*p >= '0' && *p <= '9') || *p == '.' || *p == '_' || *p == '-'))
			return td_fail(error, EINVAL,
				       "%s %s has a character other than letters, "
				       "digits, '.', '_' and '-'",
				       row->key, td_quote(text, quoted));
	if (*text == '.' || *text == '-')
		return td_fail(error, EINVAL,
			       "%s %s begins with '%c'; begin with a letter or digit", row->key,
			       td_quote(text, quoted), *text);
	memset((char *)object + row->offset, 0, row->size);
	memcpy((char *)object + row->offset, text, length);
	return 0;
}

/* The kernel's own rule (dev_valid_name), without what is not printable. */
static int read_interface(const struct td_row *row, const char *text, void *object,
			  struct td_error *error)
{
	size_t length = strlen(text);
	char quoted[TD_QUOTED];
	bool good = length > 0 && strcmp(text, ".") && strcmp(text, "..");

	if (length >= row->size)
		return td_fail(error, EINVAL, "%s %s is longer than %zu characters", row->key,
			       td_quote(text, quoted), row->size - 1);
	for (const char *p = text; *p; p++)
		good = good && *p > ' ' && *p <= '~' && *p != '/' && *p != ':';
	if (!good)
		return td_fail(error, EINVAL, "%s %s cannot be an interface's name", row->key,
			       td_quote(text, quoted));
	memset((char *)object + row->offset, 0, row->size);
	memcpy((char *)object + row->offset, text, length);
	return 0;
}

static int read_cgroup(const struct td_row *row, const char *text, void *object,
		       struct td_error *error)
{
	size_t length = strlen(text);
	char quoted[TD_QUOTED];

	while (length > 1 && text[length - 1] == '/')
		length--;
	if (!length)
		return td_fail(error, EINVAL,
			       "%s is empty; valid: a path such as /sys/fs/cgroup/app, or one from "
			       "the root of the cgroup tree on such as app",
			       row->key);
	if (length >= row->size)
		return td_fail(error, EINVAL, "%s %s is longer than %zu characters", row->key,
			       td_quote(text, quoted), row->size - 1);
	for (size_t i = 0; i < length; i++)
		if (text[i] < ' ' || text[i] > '~')
			return td_fail(error, EINVAL,
				       "%s %s has a character that is not printable ASCII",
				       row->key, td_quote(text, quoted));
	for (const char *p = text; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL)
		if (!strcmp(p, "..") || !strncmp(p, "../", 3))
			return td_fail(error, EINVAL, "%s %s has \"..\" in it; write it out",
				       row->key, td_quote(text, quoted));
	memset((char *)object + row->offset, 0, row->size);
	memcpy((char *)object + row->offset, text, length);
	return 0;
}

int td_value_read_port(const char *text, struct td_port_conf *ret, struct td_error *error)
{
	static const char valid[] = "valid: 1 to 65535, a range such as \"8000-8999\", or any";
	size_t n = strspn(text, "0123456789");
	const char *rest = text + n;
	uint64_t first, last;
	char quoted[TD_QUOTED];

	if (!strcmp(text, "any")) {
		ret->first = 0;
		ret->last = UINT16_MAX;
		return 0;
	}
	if (!read_digits(text, n, &first))
		return td_fail(error, EINVAL, "port %s is not a port; %s", td_quote(text, quoted),
			       valid);
	last = first;
	if (*rest && (*rest != '-' || !all_digits(rest + 1) ||
		      !read_digits(rest + 1, strlen(rest + 1), &last)))
		return td_fail(error, EINVAL, "port %s is not a port; %s", td_quote(text, quoted),
			       valid);
	if (!first || !last || first > UINT16_MAX || last > UINT16_MAX)
		return td_fail(error, EINVAL, "port %.24s is out of bounds; %s", text, valid);
	if (first > last)
		return td_fail(error, EINVAL, "port range %.24s is reversed; write %u-%u", text,
			       (unsigned int)last, (unsigned int)first);
	ret->first = (uint16_t)first;
	ret->last = (uint16_t)last;
	return 0;
}

const char *td_ports_print(const struct td_port_conf *ports, char buffer[TD_PORTS_TEXT])
{
	if (!ports->first && ports->last == UINT16_MAX)
		snprintf(buffer, TD_PORTS_TEXT, "any");
	else if (ports->first == ports->last)
		snprintf(buffer, TD_PORTS_TEXT, "%u", ports->first);
	else
		snprintf(buffer, TD_PORTS_TEXT, "%u-%u", ports->first, ports->last);
	return buffer;
}

int td_value_read_path(const struct td_row *row, const char *text, struct td_netns_conf *ret,
		       struct td_error *error)
{
	char quoted[TD_QUOTED];

	if (*text != '/')
		return td_fail(error, EINVAL,
			       "%s %s is not the whole name of a file; valid: /run/netns/NAME, "
			       "/proc/PID/ns/net",
			       row->key, td_quote(text, quoted));
	if (strlen(text) >= sizeof(ret->path))
		return td_fail(error, EINVAL, "%s %s is longer than %zu characters", row->key,
			       td_quote(text, quoted), sizeof(ret->path) - 1);
	for (const char *p = text; *p; p++)
		if (*p <= ' ' || *p > '~' || *p == '"' || *p == '\\')
			return td_fail(error, EINVAL,
				       "%s %s has a character that no name of a namespace has",
				       row->key, td_quote(text, quoted));
	snprintf(ret->path, sizeof(ret->path), "%s", text);
	return 0;
}

static int read_server_id(const struct td_row *row, const char *text, void *object,
			  struct td_error *error)
{
	struct tundish_server_id id;
	char quoted[TD_QUOTED];

	switch (td_server_id_parse(text, &id)) {
	case 0: memcpy((char *)object + row->offset, &id, sizeof(id)); return 0;
	case -ERANGE:
		return td_fail(error, EINVAL,
			       "%s %s is not 1 to %u octets; valid: an even number of hexadecimal "
			       "digits, such as \"0a01\"",
			       row->key, td_quote(text, quoted), row->max);
	default:
		return td_fail(error, EINVAL, "%s %s has a character other than hexadecimal digits",
			       row->key, td_quote(text, quoted));
	}
}

int td_value_read(const struct td_row *row, const char *text, void *object, struct td_error *error)
{
	switch (row->type) {
	case TD_TYPE_NAME: return read_name(row, text, object, error);
	case TD_TYPE_CGROUP: return read_cgroup(row, text, object, error);
	case TD_TYPE_INTERFACE: return read_interface(row, text, object, error);
	case TD_TYPE_CHOICE: return read_choice(row, text, object, error);
	case TD_TYPE_NUMBER: return read_number_or_word(row, text, object, error);
	case TD_TYPE_RANGE: return read_range(row, text, object, error);
	case TD_TYPE_DURATION: return read_duration(row, text, object, error);
	case TD_TYPE_PERCENT: return read_percent(row, text, object, error);
	case TD_TYPE_ADDRESS: return td_value_read_address(row, text, object, error);
	case TD_TYPE_SERVER_ID: return read_server_id(row, text, object, error);
	case TD_TYPE_WORD:
	case TD_TYPE_ESCAPED:
	case TD_TYPE_FILE: return td_value_read_text(row, text, object, error);
	case TD_TYPE_ENDPOINT: return td_value_read_endpoint(row, text, object, error);
	default: return td_fail(error, EINVAL, "%s is not a single value", row->key);
	}
}
