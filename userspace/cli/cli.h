/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The command line's own types.
 *
 * One table (commands.c) says which commands there are; parsing, help and
 * completion come from it. A list is a row there too: a path to ask and the
 * columns to show, so most verbs have no code. Text and --json are made of the
 * same JSON, so they cannot drift.
 *
 *   main.c       from argv to an exit status
 *   commands.c   the table
 *   parse.c      argv against the table, pure
 *   help.c       help, from the table
 *   complete.c   what a shell may offer next, from the table and the daemon
 *   client.c     one request to the daemon
 *   progress.c   and what a terminal shows while it waits for the answer
 *   table.c      JSON as aligned columns
 *   text.c       numbers for people, strings made harmless
 *   verb_*.c     what a verb does beyond one list
 *   top_*.c      `top`: the lists on a full screen, see top.h
 *   exec.c       `exec`: the sockets of a group, for a server that is started with them
 *   supervise.c  and the server's instances
 */
#ifndef TD_CLI_H
#define TD_CLI_H

#include <jansson.h>

#include "lib/util.h"

#define CLI_CONTROL "/run/tundish/control.sock"
#define CLI_PIN	    "/sys/fs/bpf/tundish"

#ifndef TD_VERSION
#define TD_VERSION "unknown" /* the Makefile tells it */
#endif

enum cli_exit {
	CLI_DONE = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_NO_DAEMON = 3,
	CLI_NO_SUCH_THING = 4,
	CLI_FOUND = 5, /* `doctor` found something */
};

/* ---- the table ------------------------------------------------------------- */

#define CLI_ARGUMENTS_MAX 3
#define CLI_WORDS_MAX	  64
#define CLI_OPTIONS_MAX	  10 /* with the row of zeroes that ends them */

enum cli_format {
	CLI_TEXT,
	CLI_LIST,    /* an array of strings, joined by commas */
	CLI_NUMBER,  /* exact: ports, ids */
	CLI_COUNT,   /* 1.2M */
	CLI_BYTES,   /* 1.2 MiB */
	CLI_SECONDS, /* 3m20s */
	CLI_LATENCY, /* seconds, shown as 1.8ms */
	CLI_PERCENT, /* 0.25 is shown as 25% */
	CLI_YES,     /* true: yes, false: no */
};

/* A row of zeroes ends a list of columns. */
struct cli_column {
	const char *title;
	const char *key; /* "a.b": key b of the object a */
	enum cli_format format;
	const char *of; /* another key: shown as "value/of" */
};

struct cli_option {
	const char *name;  /* "top", written --top */
	const char *value; /* what is shown for it; NULL: a switch. "N", "PID", "SECONDS" and
			    * "PORT" are numbers, as among arguments */
	const char *help;
};

struct cli;

struct cli_verb {
	const char *name;			  /* NULL: the object alone is the command */
	const char *arguments[CLI_ARGUMENTS_MAX]; /* "SERVICE", or "[SERVICE]": optional */
	struct cli_option options[CLI_OPTIONS_MAX];
	const char *help;
	int (*run)(const struct cli *c); /* returns enum cli_exit; NULL: not in this version */
	const char *path;		 /* of a list: below /v1/, arguments and options follow */
	const struct cli_column *columns;
	size_t rows; /* of a list: how many the daemon sends where the last option is absent */
	bool pieces; /* of a list without arguments: asked for by ?limit= and ?after=ID. An option
		      * "limit" is how many rows of all */
	bool rest;   /* takes a command after "--" */
	bool words;  /* its one argument may be many words: struct cli's */
};

struct cli_object {
	const char *name;
	const char *help;
	const struct cli_verb *verbs;
	size_t n_verbs;
};

extern const struct cli_object cli_objects[];
extern const size_t cli_n_objects;
extern const struct cli_option cli_global_options[]; /* ended by a row of zeroes */

/* ---- what was typed ---------------------------------------------------------- */

struct cli {
	bool json, help, version;
	const char *control, *pin; /* never NULL after parsing */
	bool control_given, pin_given;
	const struct cli_object *object; /* NULL only where help or version was asked */
	const struct cli_verb *verb;
	const char *argument[CLI_ARGUMENTS_MAX];
	size_t n_arguments;
	const char *word[CLI_WORDS_MAX]; /* in place of arguments, where the verb takes words */
	size_t n_words;
	char *const *rest; /* what stood after "--", where the verb takes a command; ends with
			    * argv's NULL */
	const char *option[CLI_OPTIONS_MAX]; /* by their place in the verb's row; "" for a switch */
};

/* Returns 0 or -EINVAL with a sentence that lists what is valid at that point. */
int cli_parse(int argc, char *const argv[], struct cli *ret, struct td_error *error);

/* An option's value by name, NULL where it was not given. */
const char *cli_option(const struct cli *c, const char *name);

/*
 * Finds `word` among `n` names by name or unique prefix. Returns its place, or
 * -EINVAL with a sentence; `what` is "object", "verb", "option".
 */
int cli_match(const char *word, const char *const *names, size_t n, const char *what,
	      struct td_error *error);

void cli_usage(const struct cli_object *object, const struct cli_verb *verb, char *buffer,
	       size_t size);
int cli_help(const struct cli *c);
/* Whether "__complete" is the first word that is no global option. */
bool cli_is_complete(int argc, char *const argv[]);
/* `argv` is main()'s; behind "__complete" are all words up to the cursor, the last one as far as it
 * is typed. */
int cli_complete(int argc, char *const argv[]);

/* ---- the daemon ---------------------------------------------------------------- */

struct cli_answer {
	long status;
	char *body; /* NUL-terminated, never NULL after success */
	size_t length;
};

static inline void cli_answer_done(struct cli_answer *a)
{
	free(a->body);
	*a = (struct cli_answer){0};
}

/* A request's target, built piece by piece; all pieces are percent-encoded. */
struct cli_target {
	char text[16384];
	size_t length;
	bool query, overflow;
};

void cli_target_word(struct cli_target *t, const char *word); /* the first one adds "/v1" */
void cli_target_query(struct cli_target *t, const char *key, const char *value);

/*
 * One request. `body` NULL: GET, else POST. Returns 0 whatever the status is,
 * or with a sentence -ECONNREFUSED where no daemon answers, -EACCES, -EIO.
 */
int cli_send(const char *control, const struct cli_target *target, const char *body,
	     struct cli_answer *ret, struct td_error *error);
/* The same, for a daemon that need not answer: one that is silent for so long is none. */
int cli_send_within(const char *control, const struct cli_target *target, const char *body,
		    long silence_s, struct cli_answer *ret, struct td_error *error);

/* cli_send, and what went wrong is told on stderr. Returns enum cli_exit. */
int cli_ask_raw(const struct cli *c, const struct cli_target *target, const char *body,
		struct cli_answer *ret);
/* What an answer has to be. */
enum cli_form {
	CLI_OBJECT, /* with a key, whatever its value */
	CLI_ROWS,   /* an array of objects, the first one with a key */
	CLI_EITHER, /* an object, or rows */
};
/* The same for JSON of that form; `key` NULL: whatever it has. One of another form, from a daemon of another
 * version or from no daemon, is told as such. The caller owns *ret. */
int cli_ask(const struct cli *c, const struct cli_target *target, const char *body,
	    enum cli_form form, const char *key, json_t **ret);
/* Tells `what` went wrong between this version and what answers, whose version it asks for, and
 * returns CLI_FAILED. */
int cli_fail_version(const struct cli *c, const char *what);

/* An answer that is taken while it comes. */
struct cli_stream {
	/* false: no more of it. NULL: the answer is kept whole */
	bool (*take)(void *context, const char *bytes, size_t n);
	/* About each second, and after a signal; false: no more of it. NULL: it goes on */
	bool (*tick)(void *context);
	void *context;
};
/* As cli_ask_raw; what is refused never comes to `take`. CLI_FAILED where one of both wants no more, which
 * tells why itself. */
int cli_ask_stream(const struct cli *c, const struct cli_target *target, const char *body,
		   const struct cli_stream *stream);

/*
 * A list, whose rows are given to `take`, each one with `key`, an empty list too: of very many, that come a row
 * a line, the first ones as soon as it is seen that they are, then the others; else all at once. false: no
 * more of them, which is no failure.
 */
#define CLI_ROWS_MANY  1000u
#define CLI_ROWS_FIRST 64u
int cli_ask_rows(const struct cli *c, const struct cli_target *target, const char *key,
		 bool (*take)(void *context, const json_t *rows), void *context);

/* ---- progress ------------------------------------------------------------------ */

struct cli_progress {
	const char *control;
	uint64_t begun_ms, told_ms; /* told_ms 0: not yet */
	size_t shown;		    /* columns, now */
};
/* For a request that changes something, if stderr is a terminal: from the first second on it shows what the
 * daemon does meanwhile. */
struct cli_stream cli_progress_begin(struct cli_progress *p, const struct cli *c);
void cli_progress_end(struct cli_progress *p); /* clears it */
/* "applying: 420 of 1000 steps, 2s", of what /v1/reload answers; 80 bytes do. */
void cli_reload_text(const json_t *o, char *buffer, size_t size);

/* Tells the sentence on stderr and returns `code`. */
int cli_fail(int code, const char *format, ...) TD_PRINTF(2, 3);

/* ---- text ------------------------------------------------------------------------- */

/* A growing string; where memory ends the program ends (it holds nothing). */
struct cli_buffer {
	char *data;
	size_t length, room;
};

void cli_buffer_add(struct cli_buffer *b, const char *bytes, size_t n);
static inline void cli_buffer_done(struct cli_buffer *b)
{
	free(b->data);
}

/* Appends `text` with what could act on a terminal written as \xNN or \uNNNN. */
enum cli_keep { CLI_KEEP_NONE, CLI_KEEP_LINES /* newline and tab */ };
void cli_escape(struct cli_buffer *b, const char *text, enum cli_keep keep);
void cli_put_escaped(FILE *f, const char *text, enum cli_keep keep);

/* Decodes one UTF-8 sequence; returns its length, 0 where it is none. */
size_t cli_decode(const char *text, uint32_t *ret);
/* Columns on a terminal of this locale. */
size_t cli_width(const char *text);

/* Writes into `buffer` (24 bytes do) and returns it. */
const char *cli_count(double value, char *buffer, size_t size);
const char *cli_bytes(double value, char *buffer, size_t size);
const char *cli_seconds(double value, char *buffer, size_t size);
/* What an entry of `attention` is about, and for how long where that is known: "backend web/b1, for
 * 12m3s". Not escaped; cut where the buffer ends. "" where it says nothing. */
const char *cli_what_since(const json_t *entry, char *buffer, size_t size);
const char *cli_latency(double seconds, char *buffer, size_t size);

/* ---- output ------------------------------------------------------------------------ */

/* A column's value; NULL where the row has none. */
const json_t *cli_value(const json_t *row, const char *key);
void cli_cell(struct cli_buffer *b, const struct cli_column *column, const json_t *row);
/* A list that comes in pieces: the first one says how wide columns are, unless a later one is wider. */
#define CLI_COLUMNS_MAX 16
struct cli_table {
	size_t width[CLI_COLUMNS_MAX];
	bool begun;
};
void cli_table_add(FILE *f, struct cli_table *t, const struct cli_column *columns,
		   const json_t *rows);
/* The same as JSON, one array of all; `before`: rows that were printed already. */
void cli_json_add(FILE *f, const json_t *rows, size_t before);
void cli_json_end(FILE *f, size_t n);
void cli_print_table(FILE *f, const struct cli_column *columns, const json_t *rows);
/* One object, a line for each column. */
void cli_print_record(FILE *f, const struct cli_column *columns, const json_t *object);
void cli_print_json(FILE *f, const json_t *j);
/* Ends a line of stdout: with the answer's reason, where it has one. */
void cli_print_reason(const json_t *answer);

/* ---- verbs --------------------------------------------------------------------------- */

int cli_run_list(const struct cli *c); /* verb_list.c */
int cli_run_show(const struct cli *c);
int cli_run_count(const struct cli *c);
int cli_run_status(const struct cli *c);
int cli_run_backend_state(const struct cli *c); /* enable, disable */
int cli_run_backend_drain(const struct cli *c);
int cli_run_backend_weight(const struct cli *c);
int cli_run_worker_list(const struct cli *c);
int cli_run_worker_state(const struct cli *c); /* drain, enable */
int cli_run_worker_adopt(const struct cli *c);
int cli_run_exec(const struct cli *c);
int cli_run_timewait(const struct cli *c);
int cli_run_trace(const struct cli *c);
int cli_run_doctor(const struct cli *c);
int cli_run_config_change(const struct cli *c); /* check, diff, apply */
/* The whole file, "-" is standard input; *ret is the caller's to free. Returns enum cli_exit, told. */
int cli_read_file(const char *name, char **ret);
int cli_run_config_show(const struct cli *c);
int cli_run_top(const struct cli *c);
int cli_run_capture(const struct cli *c);
int cli_run_events(const struct cli *c);
int cli_run_daemon_reexec(const struct cli *c);
int cli_run_unload(const struct cli *c);
int cli_run_help(const struct cli *c);

#endif
