// SPDX-License-Identifier: GPL-2.0-only
/* What keys do to the state of `top`. */
#include <curses.h>

#include "cli/top.h"

#define CONTROL(letter) ((letter)&31)

static const struct top_row *current(const struct top *t)
{
	return t->cursor < t->rows.n ? &t->rows.row[t->cursor] : NULL;
}

static void keep(struct top *t)
{
	const struct top_row *row = current(t);

	snprintf(t->kept[t->view], TOP_NAME, "%s", row ? top_row_name(t->view, row) : "");
}

/* The cursor stays on its row, wherever that is now; or where it was. */
void top_rebuild(struct top *t)
{
	json_t *services = json_object_get(t->status, "services");
	json_t *list = t->view == TOP_SERVICES ? services : t->list;

	top_rows_done(&t->rows);
	top_rows_make(&t->rows, t->view, json_incref(list), t->order[t->view], t->filter[t->view]);
	for (size_t i = 0; t->kept[t->view][0] && i < t->rows.n; i++)
		if (strcmp(top_row_name(t->view, &t->rows.row[i]), t->kept[t->view]) == 0)
			t->cursor = i;
	t->cursor = TD_MIN(t->cursor, t->rows.n ? t->rows.n - 1 : 0);
}

static void step_by(struct top *t, long by)
{
	long last = t->rows.n ? (long)t->rows.n - 1 : 0, to = (long)t->cursor + by;

	t->cursor = (size_t)(to < 0 ? 0 : TD_MIN(to, last));
	keep(t);
}

static void view(struct top *t, enum top_view to, const char *service)
{
	keep(t);
	if (service) {
		snprintf(t->service, sizeof(t->service), "%s", service);
		t->kept[to][0] = t->filter[to][0] = '\0';
	}
	json_decref(t->list);
	t->list = NULL;
	t->view = to;
	t->cursor = t->first = t->left = 0;
	top_source_watch(t->source, to, t->service);
	top_rebuild(t);
}

static void enter(struct top *t)
{
	const struct top_row *row = current(t);
	const char *delivery;

	if (t->view != TOP_SERVICES || !row)
		return;
	delivery = json_string_value(json_object_get(row->json, "delivery"));
	view(t, delivery && strcmp(delivery, "workers") == 0 ? TOP_WORKERS : TOP_BACKENDS,
	     top_row_name(TOP_SERVICES, row));
}

static void sort(struct top *t, int by)
{
	struct top_order *o = &t->order[t->view];
	int n = (int)t->rows.n_columns + 1;

	o->column = (o->column + 1 + by + n) % n - 1;
	keep(t);
	top_rebuild(t);
}

/* ---- commands ----------------------------------------------------------------------- */

static void ask_first(struct top *t, const char *verb)
{
	const struct top_row *row = current(t);

	if (t->view == TOP_SERVICES) {
		snprintf(t->told, sizeof(t->told),
			 "Enter shows the service's backends or workers; choose one of them");
		return;
	}
	if (!row)
		return;
	snprintf(t->ask_verb, sizeof(t->ask_verb), "%s", verb);
	snprintf(t->ask_name, sizeof(t->ask_name), "%s", top_row_name(t->view, row));
	t->mode = TOP_CONFIRM;
}

static void key_confirm(struct top *t, int key)
{
	t->mode = TOP_LIST;
	if (key == 'y' || key == 'Y')
		top_source_act(t->source, t->view, t->service, t->ask_name, t->ask_verb);
	else
		snprintf(t->told, sizeof(t->told), "nothing was changed");
}

/* ---- the filter --------------------------------------------------------------------- */

static void add_character(char *text, size_t size, uint32_t c)
{
	size_t length = strlen(text);
	unsigned char bytes[5] = {0};

	if (c < 0x80) {
		bytes[0] = c;
	} else if (c < 0x800) {
		bytes[0] = 0xc0 | c >> 6;
		bytes[1] = 0x80 | (c & 63);
	} else if (c < 0x10000) {
		bytes[0] = 0xe0 | c >> 12;
		bytes[1] = 0x80 | (c >> 6 & 63);
		bytes[2] = 0x80 | (c & 63);
	} else {
		bytes[0] = 0xf0 | c >> 18;
		bytes[1] = 0x80 | (c >> 12 & 63);
		bytes[2] = 0x80 | (c >> 6 & 63);
		bytes[3] = 0x80 | (c & 63);
	}
	if (length + strlen((char *)bytes) < size)
		strcpy(text + length, (char *)bytes);
}

static void key_filter(struct top *t, int key, bool is_code)
{
	char *text = t->filter[t->view];
	size_t n = strlen(text);

	if ((is_code && key == KEY_ENTER) || (!is_code && (key == '\n' || key == '\r'))) {
		t->mode = TOP_LIST;
	} else if (!is_code && key == 27) {
		text[0] = '\0';
		t->mode = TOP_LIST;
	} else if ((is_code && key == KEY_BACKSPACE) || (!is_code && (key == 127 || key == 8))) {
		while (n && ((unsigned char)text[--n] & 0xc0) == 0x80)
			;
		text[n] = '\0';
	} else if (!is_code && key == CONTROL('u')) {
		text[0] = '\0';
	} else if (!is_code && key >= ' ') {
		add_character(text, sizeof(t->filter[0]), (uint32_t)key);
	}
	top_rebuild(t);
}

/* ---- lists and pages ------------------------------------------------------------------ */

static void key_page(struct top *t, int key, bool is_code)
{
	size_t page = top_page();

	if ((is_code && key == KEY_DOWN) || (!is_code && key == 'j'))
		t->scroll++;
	else if ((is_code && key == KEY_UP) || (!is_code && key == 'k'))
		t->scroll -= t->scroll > 0;
	else if ((is_code && key == KEY_NPAGE) || (!is_code && key == ' '))
		t->scroll += page;
	else if (is_code && key == KEY_PPAGE)
		t->scroll -= TD_MIN(page, t->scroll);
	else if (!is_code && key > 0)
		t->mode = TOP_LIST;
}

static void key_list_code(struct top *t, int key)
{
	switch (key) {
	case KEY_UP: step_by(t, -1); break;
	case KEY_DOWN: step_by(t, 1); break;
	case KEY_PPAGE: step_by(t, -(long)top_page()); break;
	case KEY_NPAGE: step_by(t, (long)top_page()); break;
	case KEY_HOME: step_by(t, -(long)t->rows.n); break;
	case KEY_END: step_by(t, (long)t->rows.n); break;
	case KEY_RIGHT: t->left += t->left + 2 < t->rows.n_columns; break;
	case KEY_LEFT: t->left -= t->left > 0; break;
	case KEY_ENTER: enter(t); break;
	case KEY_BACKSPACE:
		if (t->view != TOP_SERVICES)
			view(t, TOP_SERVICES, NULL);
		break;
	default: break;
	}
}

static void key_list(struct top *t, int key)
{
	switch (key) {
	case 'q':
	case 'Q': t->quit = true; break;
	case 'k': step_by(t, -1); break;
	case 'j': step_by(t, 1); break;
	case 'g': step_by(t, -(long)t->rows.n); break;
	case 'G': step_by(t, (long)t->rows.n); break;
	case ' ': step_by(t, (long)top_page()); break;
	case '\n':
	case '\r': enter(t); break;
	case 27:
	case 8:
	case 127:
		if (t->filter[t->view][0]) {
			t->filter[t->view][0] = '\0';
			top_rebuild(t);
		} else if (t->view != TOP_SERVICES) {
			view(t, TOP_SERVICES, NULL);
		}
		break;
	case '\t':
		if (t->view != TOP_SERVICES)
			view(t, t->view == TOP_BACKENDS ? TOP_WORKERS : TOP_BACKENDS, NULL);
		break;
	case '/': t->mode = TOP_FILTER; break;
	case 's':
	case '>': sort(t, 1); break;
	case 'S':
	case '<': sort(t, -1); break;
	case 'r':
		t->order[t->view].reverse = !t->order[t->view].reverse;
		sort(t, 0);
		break;
	case 'd': ask_first(t, "drain"); break;
	case 'e': ask_first(t, "enable"); break;
	case 'a':
		t->mode = TOP_ATTENTION;
		t->scroll = 0;
		break;
	case '?':
	case 'h':
		t->mode = TOP_HELP;
		t->scroll = 0;
		break;
	default: break;
	}
}

void top_key(struct top *t, int key, bool is_code)
{
	if (is_code && key == KEY_RESIZE)
		return;
	t->told[0] = '\0';
	if (t->mode == TOP_FILTER)
		key_filter(t, key, is_code);
	else if (t->mode == TOP_CONFIRM)
		key_confirm(t, is_code ? 0 : key);
	else if (t->mode != TOP_LIST)
		key_page(t, key, is_code);
	else if (is_code)
		key_list_code(t, key);
	else
		key_list(t, key);
}
