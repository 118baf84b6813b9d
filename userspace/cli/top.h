/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * `tundish top`: the lists, live, on a full screen.
 *
 *   verb_top.c     the loop: keys, news, screen
 *   top_source.c   a thread that asks the daemon, so that keys never wait for it
 *   top_rows.c     rows by a list's columns: text, order, filter. No screen
 *   top_keys.c     what a key does
 *   top_terminal.c whether this terminal can, its colours and keys
 *   top_draw.c     the screen, from all of that
 *
 * The thread hands over answers; everything else is the first thread's alone.
 */
#ifndef TD_CLI_TOP_H
#define TD_CLI_TOP_H

#include "cli/cli.h"

enum top_view { TOP_SERVICES, TOP_BACKENDS, TOP_WORKERS, TOP_VIEWS };

#define TOP_NAME 256 /* a name of a service, backend or worker, as the daemon sends it */

/* ---- the daemon ------------------------------------------------------------------ */

struct top_source;

/* What the thread has to hand over; the caller owns it. */
struct top_news {
	json_t *status, *rows; /* NULL: no answer; rows: of the view that was asked for */
	enum top_view view;
	char service[TOP_NAME];
	char trouble[512]; /* why there is no answer; "" */
	char told[512];	   /* what came of a command; "": there was none */
};

void top_news_done(struct top_news *n);
int top_source_start(const char *control, unsigned int interval_s, struct top_source **ret,
		     struct td_error *error);
int top_source_fd(const struct top_source *s); /* readable where there is news */
bool top_source_take(struct top_source *s, struct top_news *ret);
/* From now on rows of this view too; asked at once. */
void top_source_watch(struct top_source *s, enum top_view view, const char *service);
/* "drain" or "enable", of a backend or worker. */
void top_source_act(struct top_source *s, enum top_view view, const char *service, const char *name,
		    const char *verb);

/* ---- rows ------------------------------------------------------------------------- */

#define TOP_COLUMNS_MAX 16

struct top_row {
	const json_t *json;
	char *cell[TOP_COLUMNS_MAX];
	size_t place; /* in the daemon's list */
};

struct top_rows {
	const struct cli_column *columns;
	size_t n_columns, width[TOP_COLUMNS_MAX];
	struct top_row *row; /* those that pass the filter, in order */
	size_t n, all;
	json_t *json;
};

struct top_order {
	int column; /* -1: what is wrong first, then as the daemon lists them */
	bool reverse;
};

void top_rows_done(struct top_rows *r);
/* Takes the reference to @list, an array (NULL: no row). @columns are those of the view's list. */
void top_rows_make(struct top_rows *r, enum top_view view, json_t *list, struct top_order order,
		   const char *filter);
const struct cli_column *top_columns(enum top_view view);
const char *top_row_name(enum top_view view, const struct top_row *row);
/* 0: well, 1: not quite, 2: takes nothing */
int top_trouble_of(const char *state);

/* ---- the screen ------------------------------------------------------------------- */

enum top_mode { TOP_LIST, TOP_FILTER, TOP_CONFIRM, TOP_HELP, TOP_ATTENTION };

struct top {
	const struct cli *c;
	struct top_source *source;
	json_t *status, *list; /* list: of the backends or workers, NULL as long as unknown */
	struct top_rows rows;
	enum top_view view;
	enum top_mode mode;
	char service[TOP_NAME]; /* of the view of backends or workers */
	struct top_order order[TOP_VIEWS];
	char filter[TOP_VIEWS][128];
	char kept[TOP_VIEWS][TOP_NAME]; /* whose row the cursor is on */
	size_t cursor, first, left, scroll;
	char ask_verb[16], ask_name[TOP_NAME]; /* what a "y" would do */
	char trouble[512], told[512];
	double drops, drops_per_s;
	uint64_t heard_ns, drops_ns;
	bool quit;
};

uint64_t top_now_ns(void);
void top_rebuild(struct top *t); /* after news, and what else changes the rows */
void top_key(struct top *t, int key, bool is_code);
/* Of keys: which rows and lines there is room for. */
size_t top_page(void);

extern bool top_has_colours;
enum { TOP_PAIR_WARN = 1, TOP_PAIR_BAD };

/* Returns 0, or with a sentence why the terminal cannot. */
int top_screen_open(struct td_error *error);
void top_screen_close(void);
void top_draw(struct top *t);
/* The next key, false: none. *is_code: a function key (KEY_*). */
bool top_read_key(int *key, bool *is_code);

#endif
