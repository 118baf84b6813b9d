// SPDX-License-Identifier: GPL-2.0-only
/* Whether this terminal can show `top`, its colours and its keys. */
#include <unistd.h>

#include "cli/top.h"

#include <curses.h>
#include <term.h> /* last: its macros have names of everybody's */

bool top_has_colours;

static void leave(void)
{
	if (stdscr && !isendwin())
		endwin();
}

int top_screen_open(struct td_error *error)
{
	const char *name = getenv("TERM"), *no_color = getenv("NO_COLOR"), *cup;
	int known;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return td_fail(error, ENOTTY,
			       "top needs a terminal; `tundish status` prints the same once");
	if (!name || !*name || setupterm(NULL, STDOUT_FILENO, &known) != OK)
		return td_fail(
			error, ENOTTY,
			"the terminal \"%.40s\" is not known on this host; set TERM to one that "
			"is, such as vt100, or use `tundish status`",
			name ? name : "");
	cup = tigetstr("cup");
	if (!cup || cup == (char *)-1)
		return td_fail(
			error, ENOTTY,
			"the terminal \"%.40s\" cannot place its cursor; use `tundish status`",
			name);
	use_tioctl(TRUE); /* its size is what it says, not what LINES said at the start */
	if (!newterm(NULL, stdout, stdin))
		return td_fail(error, ENOTTY, "the terminal \"%.40s\" cannot be used", name);
	atexit(leave);
	cbreak();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	set_escdelay(25);
	curs_set(0);
	top_has_colours = !(no_color && *no_color) && has_colors() && start_color() == OK &&
			  use_default_colors() == OK;
	if (top_has_colours) {
		init_pair(TOP_PAIR_WARN, COLOR_YELLOW, -1);
		init_pair(TOP_PAIR_BAD, COLOR_RED, -1);
	}
	return 0;
}

void top_screen_close(void)
{
	leave();
}

bool top_read_key(int *key, bool *is_code)
{
	wint_t c;
	int r = get_wch(&c);

	*key = (int)c;
	*is_code = r == KEY_CODE_YES;
	return r != ERR;
}
