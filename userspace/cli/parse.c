// SPDX-License-Identifier: GPL-2.0-only
/*
 * argv against the table of commands, without side effects.
 *
 * Options may stand anywhere before "--". Objects, verbs and options may be
 * cut to any unique prefix. Every refusal says what would be valid at that
 * point, and the nearest of it where the word looks mistyped.
 */
#include "cli/cli.h"
#include "lib/suggest.h"

#define NAMES_MAX	  32
#define SOCKET_PATH_BYTES 108 /* sun_path, unix(7) */

static void append(char *buffer, size_t size, const char *format, ...) TD_PRINTF(3, 4);
static void append(char *buffer, size_t size, const char *format, ...)
{
	size_t n = strlen(buffer);
	va_list ap;

	va_start(ap, format);
	vsnprintf(buffer + n, size - n, format, ap);
	va_end(ap);
}

int cli_match(const char *word, const char *const *names, size_t n, const char *what,
	      struct td_error *error)
{
	const char *dashes = strcmp(what, "option") == 0 ? "--" : "", *guess;
	struct td_suggest suggest = {.given = word};
	char list[384] = "";
	size_t length = strlen(word), hits = 0, hit = 0;

	for (size_t i = 0; i < n; i++) {
		if (strcmp(word, names[i]) == 0)
			return i;
		if (length > 0 && strncmp(word, names[i], length) == 0) {
			append(list, sizeof(list), "%s%s%s", hits ? ", " : "", dashes, names[i]);
			hits++;
			hit = i;
		}
	}
	if (hits == 1)
		return hit;
	if (hits > 1)
		return td_fail(error, EINVAL, "%s \"%s%.32s\" is ambiguous: %s", what, dashes, word,
			       list);
	for (size_t i = 0; i < n; i++) {
		append(list, sizeof(list), "%s%s%s", i ? ", " : "", dashes, names[i]);
		td_suggest_add(&suggest, names[i]);
	}
	guess = td_suggest_word(&suggest);
	if (guess)
		return td_fail(error, EINVAL,
			       "no %s \"%s%.32s\"; did you mean %s%s? Valid here: %s", what, dashes,
			       word, dashes, guess, list);
	return td_fail(error, EINVAL, "no %s \"%s%.32s\"; valid here: %s", what, dashes, word,
		       list);
}

static bool is_optional(const char *argument)
{
	return argument[0] == '[';
}

static size_t count_arguments(const struct cli_verb *verb, bool required_only)
{
	size_t n = 0;

	while (n < CLI_ARGUMENTS_MAX && verb->arguments[n] &&
	       !(required_only && is_optional(verb->arguments[n])))
		n++;
	return n;
}

void cli_usage(const struct cli_object *object, const struct cli_verb *verb, char *buffer,
	       size_t size)
{
	buffer[0] = '\0';
	append(buffer, size, "tundish %s", object->name);
	if (verb->name)
		append(buffer, size, " %s", verb->name);
	for (size_t i = 0; i < count_arguments(verb, false); i++)
		append(buffer, size, " %s", verb->arguments[i]);
	for (const struct cli_option *o = verb->options; o->name; o++)
		append(buffer, size, o->value ? " [--%s %s]" : " [--%s]", o->name, o->value);
	if (verb->rest)
		append(buffer, size, " -- COMMAND [ARGUMENTS]");
}

static int check_number(const char *where, const char *kind, const char *value,
			struct td_error *error)
{
	unsigned long max = strcmp(kind, "PORT") == 0 ? 65535 : UINT32_MAX;
	char *end;

	if (strcmp(kind, "PORT") != 0 && strcmp(kind, "N") != 0 && strcmp(kind, "PID") != 0 &&
	    strcmp(kind, "SECONDS") != 0)
		return 0;
	errno = 0;
	if (value[0] < '0' || value[0] > '9' || strtoul(value, &end, 10) > max || *end || errno)
		return td_fail(error, EINVAL, "%s: \"%.32s\" is no number from 0 to %lu", where,
			       value, max);
	return 0;
}

/* ---- options --------------------------------------------------------------------- */

struct parser {
	struct cli *cli;
	int argc, next;
	char *const *argv;
	struct td_error *error;
};

static size_t option_names(const struct cli *c, const char **names,
			   const struct cli_option **options)
{
	size_t n = 0;

	if (c->verb)
		for (const struct cli_option *o = c->verb->options; o->name; o++) {
			options[n] = o;
			names[n++] = o->name;
		}
	for (const struct cli_option *o = cli_global_options; o->name; o++) {
		options[n] = o;
		names[n++] = o->name;
	}
	return n;
}

static int set_option(struct parser *p, const struct cli_option *o, const char *value)
{
	struct cli *c = p->cli;
	char where[48];

	for (size_t i = 0; c->verb && c->verb->options[i].name; i++) {
		if (o != &c->verb->options[i])
			continue;
		snprintf(where, sizeof(where), "--%s", o->name);
		if (o->value && check_number(where, o->value, value, p->error) < 0)
			return -EINVAL;
		c->option[i] = value;
		return 0;
	}
	if (strcmp(o->name, "json") == 0) {
		c->json = true;
	} else if (strcmp(o->name, "help") == 0) {
		c->help = true;
	} else if (strcmp(o->name, "version") == 0) {
		c->version = true;
	} else if (!value[0]) {
		return td_fail(p->error, EINVAL, "option --%s needs a value: --%s %s", o->name,
			       o->name, o->value);
	} else if (strcmp(o->name, "control") == 0) {
		if (strlen(value) >= SOCKET_PATH_BYTES)
			return td_fail(p->error, EINVAL,
				       "--control: a socket's path has %d bytes at most",
				       SOCKET_PATH_BYTES - 1);
		c->control = value;
		c->control_given = true;
	} else {
		c->pin = value;
		c->pin_given = true;
	}
	return 0;
}

static int parse_option(struct parser *p, const char *word)
{
	const struct cli_option *options[NAMES_MAX];
	const char *names[NAMES_MAX], *value;
	char name[64];
	size_t n = option_names(p->cli, names, options), length = strcspn(word, "=");
	int i;

	snprintf(name, sizeof(name), "%.*s", (int)TD_MIN(length, sizeof(name) - 1), word);
	value = word[length] ? word + length + 1 : NULL;
	i = cli_match(name, names, n, "option", p->error);
	if (i < 0)
		return i;
	if (!options[i]->value) {
		if (value)
			return td_fail(p->error, EINVAL, "option --%s takes no value", names[i]);
		return set_option(p, options[i], "");
	}
	if (!value) {
		if (p->next == p->argc)
			return td_fail(p->error, EINVAL, "option --%s needs a value: --%s %s",
				       names[i], names[i], options[i]->value);
		value = p->argv[p->next++];
	}
	return set_option(p, options[i], value);
}

/* KEY=VALUE where a verb takes options but no arguments. */
static int parse_filter(struct parser *p, const char *word, bool *ret_taken)
{
	const struct cli_verb *v = p->cli->verb;
	const char *names[CLI_OPTIONS_MAX];
	char key[64];
	size_t n = 0, length = strcspn(word, "=");
	int i;

	*ret_taken = false;
	if (!word[length] || v->arguments[0])
		return 0;
	for (const struct cli_option *o = v->options; o->name; o++)
		if (o->value)
			names[n++] = o->name;
	if (n == 0)
		return 0;
	*ret_taken = true;
	snprintf(key, sizeof(key), "%.*s", (int)TD_MIN(length, sizeof(key) - 1), word);
	for (char *c = key; *c; c++)
		if (*c == '_')
			*c = '-'; /* as the JSON writes it */
	i = cli_match(key, names, n, "filter", p->error);
	if (i < 0)
		return i;
	for (const struct cli_option *o = v->options; o->name; o++)
		if (o->name == names[i])
			return set_option(p, o, word + length + 1);
	return -EINVAL;
}

/* ---- words -------------------------------------------------------------------------- */

static int parse_object(struct parser *p, const char *word)
{
	const char *names[NAMES_MAX];
	int i;

	for (size_t n = 0; n < cli_n_objects; n++)
		names[n] = cli_objects[n].name;
	i = cli_match(word, names, cli_n_objects, "object", p->error);
	if (i < 0)
		return i;
	p->cli->object = &cli_objects[i];
	if (!p->cli->object->verbs[0].name)
		p->cli->verb = p->cli->object->verbs;
	return 0;
}

static int parse_verb(struct parser *p, const char *word)
{
	const struct cli_object *o = p->cli->object;
	const char *names[NAMES_MAX];
	int i;

	for (size_t n = 0; n < o->n_verbs; n++)
		names[n] = o->verbs[n].name;
	i = cli_match(word, names, o->n_verbs, "verb", p->error);
	if (i < 0)
		return i;
	p->cli->verb = &o->verbs[i];
	return 0;
}

static int parse_argument(struct parser *p, const char *word)
{
	struct cli *c = p->cli;
	char usage[384];
	bool taken;
	int r;

	r = parse_filter(p, word, &taken);
	if (r < 0 || taken)
		return r;
	if (c->verb->words) {
		if (c->n_words == CLI_WORDS_MAX)
			return td_fail(p->error, EINVAL,
				       "\"%.32s\" is one word too many, %d are read", word,
				       CLI_WORDS_MAX);
		c->word[c->n_words++] = word;
		return 0;
	}
	if (c->n_arguments == count_arguments(c->verb, false)) {
		cli_usage(c->object, c->verb, usage, sizeof(usage));
		return td_fail(p->error, EINVAL, "nothing more is expected at \"%.32s\"; usage: %s",
			       word, usage);
	}
	if (!word[0]) {
		cli_usage(c->object, c->verb, usage, sizeof(usage));
		return td_fail(p->error, EINVAL, "%s is empty; usage: %s",
			       c->verb->arguments[c->n_arguments], usage);
	}
	r = check_number(c->verb->arguments[c->n_arguments], c->verb->arguments[c->n_arguments],
			 word, p->error);
	if (r < 0)
		return r;
	c->argument[c->n_arguments++] = word;
	return 0;
}

static int check_complete(struct parser *p)
{
	struct cli *c = p->cli;
	char list[384] = "";

	if (c->help || c->version)
		return 0;
	if (!c->object)
		return parse_object(p, "status");
	if (!c->verb) {
		for (size_t i = 0; i < c->object->n_verbs; i++)
			append(list, sizeof(list), "%s%s", i ? ", " : "", c->object->verbs[i].name);
		return td_fail(p->error, EINVAL, "\"%s\" needs a verb; valid here: %s",
			       c->object->name, list);
	}
	if (c->verb->run && c->n_arguments < count_arguments(c->verb, true)) {
		cli_usage(c->object, c->verb, list, sizeof(list));
		return td_fail(p->error, EINVAL, "%s is missing; usage: %s",
			       c->verb->arguments[c->n_arguments], list);
	}
	if (c->verb->run && c->verb->rest && (!c->rest || p->next == p->argc)) {
		cli_usage(c->object, c->verb, list, sizeof(list));
		return td_fail(p->error, EINVAL, "COMMAND is missing; usage: %s", list);
	}
	return 0;
}

int cli_parse(int argc, char *const argv[], struct cli *ret, struct td_error *error)
{
	struct cli c = {.control = CLI_CONTROL, .pin = CLI_PIN};
	struct parser p = {.cli = &c, .argc = argc, .next = 1, .argv = argv, .error = error};
	bool options = true;
	int r = 0;

	while (r == 0 && p.next < argc) {
		const char *word = argv[p.next++];

		if (c.verb && !c.verb->run) { /* of a later version, whatever follows */
			c.help |= strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0;
			continue;
		}
		if (options && strcmp(word, "--") == 0) {
			options = false;
			if (c.verb && c.verb->rest) {
				c.rest = argv + p.next;
				break;
			}
		} else if (options && strncmp(word, "--", 2) == 0) {
			r = parse_option(&p, word + 2);
		} else if (options && strcmp(word, "-h") == 0) {
			c.help = true;
		} else if (options && word[0] == '-' && word[1]) {
			r = td_fail(
				error, EINVAL,
				"no option \"%.32s\"; the only short one is -h, long ones begin "
				"with --",
				word);
		} else if (!c.object) {
			r = parse_object(&p, word);
		} else if (!c.verb) {
			r = parse_verb(&p, word);
		} else {
			r = parse_argument(&p, word);
		}
	}
	if (r == 0)
		r = check_complete(&p);
	if (r < 0)
		return r;
	*ret = c;
	return 0;
}

const char *cli_option(const struct cli *c, const char *name)
{
	for (size_t i = 0; c->verb->options[i].name; i++)
		if (strcmp(c->verb->options[i].name, name) == 0)
			return c->option[i];
	return NULL;
}
