// SPDX-License-Identifier: GPL-2.0-only
/*
 * The screen of `top`: each time all of it, from what is known; curses sends what differs. No
 * text reaches it but through put(), which takes escaped text and counts columns, so that nothing
 * is written beyond the edge of a screen of any size, and nothing that acts on a terminal.
 *
 * What colours say is said in words, too: without them only the weight of letters differs.
 */
#include <curses.h>
#include <time.h>
#include <wchar.h>

#include "cli/top.h"

#define LINE_MAX_COLUMNS 512
#define CELL_MAX	 40 /* columns that one cell may take from all others */
#define MARKS_MAX	 2  /* on one character: some fonts grow with them */

static attr_t attr_of(int trouble)
{
	if (!top_has_colours)
		return trouble == 2 ? A_BOLD : A_NORMAL;
	return trouble == 2   ? A_BOLD | COLOR_PAIR(TOP_PAIR_BAD)
	       : trouble == 1 ? COLOR_PAIR(TOP_PAIR_WARN)
			      : A_NORMAL;
}

/* ---- text ----------------------------------------------------------------------------- */

/* Writes @text, already harmless, into @width columns at (y, x): cut with a mark where it is
 * longer, padded where it is shorter. Returns the columns beyond its end. */
static int put(int y, int x, int width, const char *text, bool right, attr_t attr)
{
	wchar_t line[LINE_MAX_COLUMNS * (1 + MARKS_MAX) + 1];
	int room = TD_MIN(width, COLS - x), used = 0, marks = 0, length, pad;
	size_t n = 0, bytes;
	uint32_t c;

	if (y < 0 || y >= LINES || x < 0 || room <= 0)
		return x;
	room = TD_MIN(room, LINE_MAX_COLUMNS);
	length = (int)cli_width(text);
	pad = right && length < room ? room - length : 0;
	while (used < pad) {
		line[n++] = L' ';
		used++;
	}
	for (; *text; text += bytes ? bytes : 1) {
		int w;

		bytes = cli_decode(text, &c);
		w = bytes ? wcwidth((wchar_t)c) : -1;
		if (w < 0) { /* this locale, or its table of characters, has none of it */
			c = '?';
			w = 1;
		}
		marks = w ? 0 : marks + 1;
		if (!w && (marks > MARKS_MAX || n == 0))
			continue;
		/* The last column is the mark's, where more follows. */
		if (w && (used + w > room || (used + w == room && cli_width(text) > (size_t)w))) {
			line[n++] = MB_CUR_MAX > 1 ? L'\u2026' : L'+';
			used++;
			break;
		}
		line[n++] = (wchar_t)c;
		used += w;
	}
	while (used++ < room)
		line[n++] = L' ';
	line[n] = L'\0';
	attrset(attr);
	mvaddwstr(y, x, line);
	attrset(A_NORMAL);
	return x + room;
}

static TD_PRINTF(5, 6) int print(int y, int x, attr_t attr, bool whole, const char *format, ...)
{
	struct cli_buffer b = {0};
	char text[1500];
	va_list ap;
	int end, width;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	cli_escape(&b, text, CLI_KEEP_NONE);
	width = (int)cli_width(b.data);
	end = put(y, x, whole ? COLS : width, b.data, false, attr);
	cli_buffer_done(&b);
	return end;
}

static const char *string(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text ? text : "";
}

/* ---- the head -------------------------------------------------------------------------- */

static void draw_title(const struct top *t)
{
	const json_t *flows = json_object_get(t->status, "flows");
	double n = json_number_value(json_object_get(flows, "active")) +
		   json_number_value(json_object_get(flows, "active6"));
	double up = json_number_value(json_object_get(t->status, "uptime_seconds"));
	uint64_t age = (top_now_ns() - t->heard_ns) / 1000000000ull;
	char a[24], b[24], c[24], clock[16] = "";
	const char *version = string(t->status, "version");
	time_t now = time(NULL);
	struct tm tm;
	int x;

	if (t->trouble[0]) {
		print(0, 0, attr_of(2) | A_REVERSE, true, "no answer for %s: %s",
		      cli_seconds((double)age, a, sizeof(a)), t->trouble);
		return;
	}
	if (localtime_r(&now, &tm))
		strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	print(0, 0, A_BOLD, true, "%s tundish %s, up %s, %s flows, %s drops/s", clock, version,
	      cli_seconds(up, a, sizeof(a)), cli_count(n, b, sizeof(b)),
	      cli_count(t->drops_per_s < 0.05 ? 0 : t->drops_per_s, c, sizeof(c)));
	x = COLS - 30;
	if (strcmp(version, TD_VERSION) != 0 && x > 50)
		print(0, x, attr_of(1), true, "(this is %.22s)", TD_VERSION);
}

/* Returns the line below it. */
static int draw_attention(const struct top *t)
{
	const json_t *all = json_object_get(t->status, "attention");
	size_t n = json_array_size(all), room = (size_t)TD_MAX(LINES / 6, 1), shown;
	char what[300];

	if (!n) {
		print(1, 0, A_NORMAL, true, "nothing needs attention");
		return 2;
	}
	shown = n > room ? room - 1 : n;
	for (size_t i = 0; i < shown; i++)
		print(1 + (int)i, 0, attr_of(2), true, "! %s: %s",
		      cli_what_since(json_array_get(all, i), what, sizeof(what)),
		      string(json_array_get(all, i), "why"));
	if (shown < n)
		print(1 + (int)shown, 0, attr_of(2), true, "! %zu%s need%s attention: press a",
		      n - shown, shown ? " more" : "", n - shown == 1 && !shown ? "s" : "");
	return 1 + (int)TD_MIN(n, room);
}

/* ---- the list -------------------------------------------------------------------------- */

static void draw_name(const struct top *t, int y)
{
	static const char *const names[TOP_VIEWS] = {"services", "backends of ", "workers of "};
	const struct top_order *o = &t->order[t->view];
	const char *by = o->column < 0 ? "what is wrong" : t->rows.columns[o->column].title;
	int x = print(y, 0, A_BOLD, false, "%s%s", names[t->view],
		      t->view == TOP_SERVICES ? "" : t->service);

	if (t->rows.n < t->rows.all)
		x = print(y, x, A_NORMAL, false, ": %zu of %zu", t->rows.n, t->rows.all);
	else
		x = print(y, x, A_NORMAL, false, ": %zu", t->rows.n);
	x = print(y, x, A_NORMAL, false, ", by %s%s", by, o->reverse ? ", reversed" : "");
	if (t->filter[t->view][0])
		print(y, x, A_NORMAL, false, ", with \"%s\"", t->filter[t->view]);
}

static bool is_right(const struct cli_column *c)
{
	return c->format != CLI_TEXT && c->format != CLI_LIST && c->format != CLI_YES;
}

static int width_of(const struct top *t, size_t column)
{
	int width = (int)TD_MIN(t->rows.width[column], (size_t)CELL_MAX);

	/* reasons have what is left */
	if (column + 1 == t->rows.n_columns && !is_right(&t->rows.columns[column]))
		return COLS;
	return column ? width : TD_MIN(width, TD_MAX(COLS / 3, 8));
}

static void draw_row(const struct top *t, int y, const struct top_row *row, bool is_head,
		     attr_t attr)
{
	int x = 0;

	/* The name stays; the others move to the left under it. */
	for (size_t i = 0; i < t->rows.n_columns; i = i ? i + 1 : 1 + t->left) {
		const struct cli_column *c = &t->rows.columns[i];
		attr_t own = attr;

		if (!is_head && strcmp(c->key, "state") == 0)
			own |= attr_of(top_trouble_of(row->cell[i]));
		if (is_head && t->order[t->view].column == (int)i)
			own |= A_BOLD | A_UNDERLINE;
		/* Of a column that does not fit not even its title is of use. */
		if (i && COLS - x < (int)strlen(c->title)) {
			put(y, x, COLS, "", false, attr);
			put(y, COLS - 1, 1, is_head ? ">" : " ", false, attr);
			return;
		}
		x = put(y, x, width_of(t, i), is_head ? c->title : row->cell[i], is_right(c), own);
		x = put(y, x, 2, "", false, attr);
	}
	put(y, x, COLS, "", false, attr);
}

static void draw_list(struct top *t, int y)
{
	size_t room;

	draw_name(t, y);
	draw_row(t, y + 1, NULL, true, A_REVERSE);
	room = (size_t)TD_MAX(LINES - 1 - (y + 2), 1);
	if (t->cursor < t->first)
		t->first = t->cursor;
	if (t->cursor >= t->first + room)
		t->first = t->cursor - room + 1;
	if (t->first + room > t->rows.n)
		t->first = t->rows.n > room ? t->rows.n - room : 0;
	for (size_t i = 0; i < room && t->first + i < t->rows.n; i++)
		draw_row(t, y + 2 + (int)i, &t->rows.row[t->first + i], false,
			 t->first + i == t->cursor ? A_STANDOUT : A_NORMAL);
	if (!t->rows.n)
		print(y + 2, 0, A_NORMAL, true, "%s",
		      t->rows.all			   ? "none passes the filter; Esc clears it"
		      : t->view == TOP_SERVICES || t->list ? "none"
							   : "...");
}

size_t top_page(void)
{
	return (size_t)TD_MAX(LINES - LINES / 6 - 5, 1);
}

/* ---- pages of text -------------------------------------------------------------------- */

static const char *const help[] = {
	"up, down, k, j     one row; Page Up, Page Down, Space: a page; Home, End",
	"left, right        other columns",
	"Enter              a service's backends, or its workers",
	"Tab                its backends or its workers",
	"Esc, Backspace     back to the services; first clears a filter",
	"/                  only rows that have this text in them",
	"s, S               order by the next or the former column; r: reversed",
	"a                  all that needs attention, why, and what to do",
	"d                  drain: no new connections, open ones stay until they end",
	"e                  enable: takes connections again",
	"?, h               this text",
	"q                  end",
};

/* Lines wrapped at the screen's edge; those from t->scroll on are drawn. Returns how many. */
static size_t wrap(const struct top *t, size_t line, const char *text, int indent, attr_t attr)
{
	struct cli_buffer b = {0};
	size_t width = (size_t)TD_MAX(COLS - indent, 8);
	char *at;

	cli_escape(&b, text, CLI_KEEP_NONE);
	for (at = b.data; *at;) {
		size_t n = 0, last = 0, used = 0, bytes;
		uint32_t c;
		char kept;
		int y;

		while (at[n]) { /* as many words as fit; a word that does not is cut */
			bytes = cli_decode(at + n, &c);
			bytes = bytes ? bytes : 1;
			used += (size_t)TD_MAX(wcwidth((wchar_t)c), 0);
			if (used > width)
				break;
			n += bytes;
			if (c == ' ')
				last = n;
		}
		n = at[n] ? (last ? last : TD_MAX(n, (size_t)1)) : n;
		kept = at[n];
		at[n] = '\0';
		y = (int)line - (int)t->scroll;
		if (y >= 0 && y < LINES - 1)
			put(y, indent, COLS, at, false, attr);
		at[n] = kept;
		at += n;
		line++;
	}
	cli_buffer_done(&b);
	return line;
}

static void draw_page(struct top *t)
{
	const json_t *all = json_object_get(t->status, "attention");
	size_t line = 0, room = (size_t)TD_MAX(LINES - 1, 1);

	if (t->mode == TOP_HELP) {
		for (size_t i = 0; i < TD_ARRAY_SIZE(help); i++)
			line = wrap(t, line, help[i], 0, A_NORMAL);
	} else if (!json_array_size(all)) {
		line = wrap(t, line, "nothing needs attention", 0, A_NORMAL);
	}
	for (size_t i = 0; t->mode == TOP_ATTENTION && i < json_array_size(all); i++) {
		const json_t *a = json_array_get(all, i);
		char text[1200];

		line = wrap(t, line, cli_what_since(a, text, sizeof(text)), 0, attr_of(2) | A_BOLD);
		snprintf(text, sizeof(text), "why: %s", string(a, "why"));
		line = wrap(t, line, text, 2, A_NORMAL);
		snprintf(text, sizeof(text), "do:  %s", string(a, "do"));
		line = wrap(t, line, text, 2, A_NORMAL);
		if (string(a, "command")[0]) {
			snprintf(text, sizeof(text), "     %s", string(a, "command"));
			line = wrap(t, line, text, 2, A_NORMAL);
		}
	}
	if (t->scroll + room > line) { /* it has become shorter, or the screen larger */
		size_t scroll = line > room ? line - room : 0;

		if (scroll != t->scroll) {
			t->scroll = scroll;
			erase();
			draw_page(t);
			return;
		}
	}
	print(LINES - 1, 0, A_REVERSE, true, "any other key: back%s",
	      line > room ? "; up and down: more" : "");
}

/* ---- all of it ------------------------------------------------------------------------- */

/* What was told, asked, or the reason of the row under the cursor. */
static void draw_foot(const struct top *t)
{
	const json_t *row = t->cursor < t->rows.n ? t->rows.row[t->cursor].json : NULL;
	int y = LINES - 1;

	if (t->mode == TOP_CONFIRM)
		print(y, 0, A_REVERSE | A_BOLD, true, "%s %s/%s? (y/n) %s", t->ask_verb, t->service,
		      t->ask_name,
		      strcmp(t->ask_verb, "drain") == 0
			      ? "No new connections; open ones stay until they end"
			      : "It takes connections again");
	else if (t->mode == TOP_FILTER)
		print(y, 0, A_REVERSE, true, "only rows with: %s_", t->filter[t->view]);
	else if (t->told[0])
		print(y, 0, A_REVERSE, true, "%s", t->told);
	else if (row && string(row, "reason")[0])
		print(y, 0, A_REVERSE, true, "%s: %s",
		      top_row_name(t->view, &t->rows.row[t->cursor]), string(row, "reason"));
	else
		print(y, 0, A_REVERSE, true, "%s",
		      t->view == TOP_SERVICES
			      ? "? help  Enter backends  / filter  s order  a attention  q end"
			      : "? help  Esc back  / filter  s order  d drain  e enable  q end");
}

void top_draw(struct top *t)
{
	erase();
	if (t->mode == TOP_HELP || t->mode == TOP_ATTENTION) {
		draw_page(t);
	} else {
		draw_title(t);
		draw_list(t, draw_attention(t));
		draw_foot(t);
	}
	refresh();
}
