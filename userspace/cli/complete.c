// SPDX-License-Identifier: GPL-2.0-only
/*
 * What may follow, for shells: `tundish __complete WORD... LAST`, where LAST is as far as it is
 * typed ("" for nothing); global options may stand in front of `__complete`, too. Prints a line for
 * each candidate, the whole word, and where there is one a tab and a word of explanation. A line
 * ":files" or ":commands" tells the shell to offer its own.
 *
 * Commands come from the table that parses them, names from the daemon, which is asked for the kind
 * of thing that the table has there. Whatever answers on the socket is not trusted: a name
 * with a character that a shell could read is left out, and lists are bounded, as is the
 * time that is waited.
 */
#include <dirent.h>

#include <tundish/counters.h>

#include "cli/cli.h"
#include "core/events.h"

#define CANDIDATES_MAX 4096
#define SILENCE_S      2
#define WORDS_MAX      62

struct offer {
	const struct cli *cli;
	const char *before; /* stays in front of each: "--service=" */
	const char *typed;  /* what each begins with */
	size_t n;
};

static void put(struct offer *o, const char *word, const char *told)
{
	if (!word[0] || strncmp(word, o->typed, strlen(o->typed)) != 0 || o->n == CANDIDATES_MAX)
		return;
	o->n++;
	printf("%s%s", o->before, word);
	if (told && told[0]) {
		putchar('\t');
		cli_put_escaped(stdout, told, CLI_KEEP_NONE);
	}
	putchar('\n');
}

static void put_name(struct offer *o, const char *name, const char *told)
{
	if (name && name[0] != '-' &&
	    name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
			      "._:/@+-[]")] == '\0')
		put(o, name, told);
}

/* ---- names, from the daemon ----------------------------------------------------------- */

static json_t *ask(const struct cli *c, const char *path, const char *of)
{
	struct cli_answer answer = {0};
	struct cli_target target = {0};
	json_t *j = NULL;

	cli_target_word(&target, path);
	if (of)
		cli_target_word(&target, of);
	if (cli_send_within(c->control, &target, NULL, SILENCE_S, &answer, NULL) < 0)
		return NULL;
	if (answer.status == 200)
		j = json_loadb(answer.body, answer.length, 0, NULL);
	cli_answer_done(&answer);
	return j;
}

/* One row for each kind of thing that has a name. */
static const struct kind {
	const char *what; /* as a placeholder or an option of the table calls it */
	const char *path, *list, *key, *told;
	bool of_service;   /* asked for within the service that was typed */
	const char *every; /* a word for all of them */
} kinds[] = {
	{"service", "services", NULL, "service", "delivery", false, NULL},
	{"backend", "backends", NULL, "name", "state", true, NULL},
	{"worker", "workers", NULL, "worker", "command", true, "all"},
	{"egress", "egress", NULL, "pool", NULL, false, NULL},
	{"pool", "egress", NULL, "pool", NULL, false, NULL},
	{"interface", "status", "interfaces", "name", "mode", false, NULL},
};

static const char *text_of(const json_t *object, const char *key)
{
	return key ? json_string_value(json_object_get(object, key)) : NULL;
}

static void put_kind(struct offer *o, const struct kind *k, const char *service)
{
	const char *name, *former = "";
	json_t *answer = ask(o->cli, k->path, k->of_service ? service : NULL), *row;
	size_t i;

	if (k->every)
		put(o, k->every, NULL);
	json_array_foreach (k->list ? json_object_get(answer, k->list) : answer, i, row) {
		name = text_of(row, k->key);
		if (name && strcmp(name, former) != 0) /* a pool has a row for each source */
			put_name(o, name, text_of(row, k->told));
		former = name ?: "";
	}
	json_decref(answer);
}

/* Addresses of services, with `ports` each with its first port of each range. */
static void put_vips(struct offer *o, bool ports)
{
	json_t *services = ask(o->cli, "services", NULL), *service, *vip, *port;
	size_t i, k, m;
	char text[128];

	json_array_foreach (services, i, service) {
		json_array_foreach (json_object_get(service, "vips"), k, vip) {
			const char *a = json_string_value(vip);

			if (!a || strchr(a, '/'))
				continue;
			if (!ports) {
				put_name(o, a, text_of(service, "service"));
				continue;
			}
			json_array_foreach (json_object_get(service, "ports"), m, port) {
				unsigned int first = 0;
				bool v6 = strchr(a, ':');

				if (sscanf(json_string_value(port) ?: "", "%5u", &first) != 1)
					continue;
				snprintf(text, sizeof(text), "%s%.64s%s:%u", v6 ? "[" : "", a,
					 v6 ? "]" : "", first);
				put_name(o, text, text_of(service, "service"));
			}
		}
	}
	json_decref(services);
}

/* ---- what is not the daemon's ------------------------------------------------------------ */

static void put_processes(struct offer *o)
{
	DIR *d = opendir("/proc");
	struct dirent *e;

	while (d && (e = readdir(d))) {
		char path[300], command[32] = "";
		FILE *f;

		if (e->d_name[strspn(e->d_name, "0123456789")])
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", e->d_name);
		f = fopen(path, "re");
		if (f && fgets(command, sizeof(command), f))
			command[strcspn(command, "\n")] = '\0';
		if (f)
			fclose(f);
		put(o, e->d_name, command);
	}
	if (d)
		closedir(d);
}

static void put_words(struct offer *o, const char *const *words)
{
	for (; *words; words++)
		put(o, *words, NULL);
}

static const char *const protocols[] = {"tcp", "udp", NULL};
static const char *const points[] = {"all", "in", "out", "dropped", NULL};
static const char *const filter_words[] = {"and",  "host",    "src",	"dst",	     "net",
					   "port", "tcp",     "udp",	"icmp",	     "ip",
					   "ip6",  "service", "reason", "interface", NULL};
static const char *const reasons[] = {
#define TUNDISH_X(name, kind, help) #name,
	TUNDISH_COUNTERS(TUNDISH_X)
#undef TUNDISH_X
		NULL};
static const char *const states[] = {"syn",	     "established", "reopen",	    "closing",
				     "udp-new",	     "udp",	    "syn-received", "fin-client",
				     "fin-server",   "resting",	    "time-wait",    "reset-server",
				     "reset-client", NULL};

/* Events are not what becomes of a packet. */
static void put_reasons(struct offer *o)
{
	static const char *const kinds_of[] = {"drop_", "pass_", "sent_"};

	for (const char *const *r = reasons; *r; r++)
		for (size_t i = 0; i < TD_ARRAY_SIZE(kinds_of); i++)
			if (strncmp(*r, kinds_of[i], strlen(kinds_of[i])) == 0)
				put(o, *r, NULL);
}

/* What stands for `placeholder` of the table; `by` is the option or the object that has it. */
static void put_value(struct offer *o, const char *placeholder, const char *by)
{
	const struct cli *c = o->cli;
	const char *service = c->n_arguments ? c->argument[0]
			      : c->verb	     ? cli_option(c, "service")
					     : NULL;
	char what[32];
	size_t n = 0;

	for (const char *p = placeholder + strspn(placeholder, "["); *p && *p != ']'; p++)
		if (n + 1 < sizeof(what))
			what[n++] = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
	what[n] = '\0';
	if (!strcmp(what, "name") || !strcmp(what, "addr"))
		snprintf(what, sizeof(what), "%s", by);
	if (!strcmp(what, "file") || !strcmp(what, "path") || !strcmp(what, "dir"))
		puts(":files");
	else if (!strcmp(what, "pid"))
		put_processes(o);
	else if (!strcmp(what, "proto"))
		put_words(o, protocols);
	else if (!strcmp(what, "state"))
		put_words(o, states);
	else if (!strcmp(what, "point"))
		put_words(o, points);
	else if (!strcmp(what, "reason"))
		put_reasons(o);
	else if (!strcmp(what, "filter"))
		put_words(o, filter_words);
	else if (!strcmp(what, "vip") || !strcmp(what, "dst:port"))
		put_vips(o, what[0] == 'd');
	else if (!strcmp(what, "event"))
		for (size_t i = 0; i < TD_EVENT_KINDS; i++)
			put(o, td_event_kinds[i].name, td_event_kinds[i].help);
	else if (!strcmp(what, "object"))
		for (size_t i = 0; i < cli_n_objects; i++)
			put(o, cli_objects[i].name, cli_objects[i].help);
	else
		for (size_t i = 0; i < TD_ARRAY_SIZE(kinds); i++)
			if (!strcmp(what, kinds[i].what))
				put_kind(o, &kinds[i], service);
}

/* ---- where the cursor stands ---------------------------------------------------------------- */

static const struct cli_option *find_option(const struct cli *c, const char *name, size_t length)
{
	const struct cli_option *tables[] = {c->verb ? c->verb->options : NULL, cli_global_options};

	for (size_t i = 0; i < TD_ARRAY_SIZE(tables); i++)
		for (const struct cli_option *o = tables[i]; o && o->name; o++)
			if (strlen(o->name) == length && !strncmp(o->name, name, length))
				return o;
	return NULL;
}

static void put_options(struct offer *o)
{
	const struct cli *c = o->cli;
	const struct cli_option *tables[] = {c->verb ? c->verb->options : NULL, cli_global_options};
	char text[64];

	for (size_t i = 0; i < TD_ARRAY_SIZE(tables); i++)
		for (const struct cli_option *p = tables[i]; p && p->name; p++) {
			snprintf(text, sizeof(text), "--%s", p->name);
			put(o, text, p->help);
		}
}

/* In a filter the word before says what is due. */
static const char *placeholder_after(const struct cli *c, const char *argument)
{
	static const char *const named[] = {"service", "reason", "interface"};
	const char *last = c->n_words ? c->word[c->n_words - 1] : "";

	for (size_t i = 0; c->verb->words && i < TD_ARRAY_SIZE(named); i++)
		if (!strcmp(last, named[i]))
			return named[i];
	return argument;
}

static void put_next(struct offer *o)
{
	const struct cli *c = o->cli;
	const char *argument = NULL, *later = NULL;

	if (!c->object) {
		put_value(o, "OBJECT", "");
	} else if (!c->verb) {
		for (size_t i = 0; i < c->object->n_verbs; i++)
			put(o, c->object->verbs[i].name, c->object->verbs[i].help);
	} else {
		if (c->n_arguments < CLI_ARGUMENTS_MAX)
			argument = c->verb->arguments[c->n_arguments];
		if (argument && argument[0] == '[' && c->n_arguments + 1 < CLI_ARGUMENTS_MAX)
			later = c->verb->arguments[c->n_arguments + 1];
		if (argument)
			put_value(o, placeholder_after(c, argument), c->object->name);
		if (later && later[0] != '[') /* it may be left out */
			put_value(o, later, c->object->name);
	}
	if (o->typed[0] == '-' || (c->verb && !argument))
		put_options(o);
}

/* "--service=we", or "service=we" where a verb has filters. Returns the option. */
static const struct cli_option *split(const struct cli *c, const char *word, size_t *ret_before)
{
	size_t dashes = strncmp(word, "--", 2) ? 0 : 2, n = strcspn(word, "=");

	if (!word[n] || n < dashes || (!dashes && (!c->verb || c->verb->arguments[0])))
		return NULL;
	*ret_before = n + 1;
	return find_option(c, word + dashes, n - dashes);
}

/* Where "__complete" stands: first, or behind global options alone. 0: nowhere. */
static int find_complete(int argc, char *const argv[])
{
	static const struct cli none;
	int i = 1;

	while (i < argc && strncmp(argv[i], "--", 2) == 0) {
		const char *name = argv[i++] + 2;
		const struct cli_option *option = find_option(&none, name, strcspn(name, "="));

		if (!option)
			return 0;
		i += option->value && !strchr(name, '=');
	}
	return i < argc && strcmp(argv[i], "__complete") == 0 ? i : 0;
}

bool cli_is_complete(int argc, char *const argv[])
{
	return find_complete(argc, argv) != 0;
}

int cli_complete(int argc, char *const argv[])
{
	int word = find_complete(argc, argv);
	const struct cli_option *option = NULL;
	char *words[WORDS_MAX + 2], before[64] = "";
	const char *last, *previous;
	struct cli c;
	struct offer o = {.cli = &c, .before = before};
	size_t length = 0;
	int n = 0;

	if (!word || word == argc - 1 || argc - 1 > WORDS_MAX)
		return CLI_DONE;
	last = argv[argc - 1];
	previous = word < argc - 2 ? argv[argc - 2] : "";
	for (int i = 0; i < argc - 1; i++)
		if (i != word)
			words[n++] = argv[i];
	/* Help is asked for, so that what is not complete is no mistake. */
	words[n] = "--help";
	/* An option that waits for its value would take that for it. */
	if (!strncmp(previous, "--", 2) && previous[2]) {
		words[n - 1] = "--help";
		if (cli_parse(n, words, &c, NULL) == 0)
			option = find_option(&c, previous + 2, strlen(previous + 2));
		option = option && option->value ? option : NULL;
		words[n - 1] = argv[argc - 2];
	}
	if (!option && cli_parse(n + 1, words, &c, NULL) < 0)
		return CLI_DONE;
	if (!option && c.rest) { /* what follows is another program's */
		puts(":commands");
		return CLI_DONE;
	}
	o.typed = last;
	if (!option) {
		option = split(&c, last, &length);
		if (option && length < sizeof(before)) {
			snprintf(before, sizeof(before), "%.*s", (int)length, last);
			o.typed = last + length;
		}
	}
	if (!option)
		put_next(&o);
	else if (option->value)
		put_value(&o, option->value, option->name);
	return CLI_DONE;
}
