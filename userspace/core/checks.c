// SPDX-License-Identifier: GPL-2.0-only
/* Results of checks, and answers of agents; see checks.h. */
#include <strings.h>

#include "core/checks.h"

#define STEPS 10

static void settle(struct td_check_state *s, bool down, uint64_t now_ns, bool warm)
{
	*s = (struct td_check_state){
		.known = true,
		.down = down,
		.since_ns = now_ns,
		.warm_ns = warm ? now_ns : 0,
	};
}

bool td_check_take(struct td_check_state *s, const struct td_check_rules *r,
		   enum td_check_outcome outcome, uint64_t now_ns)
{
	bool good = outcome == TD_CHECK_GOOD;

	if (!s->known) {
		settle(s, !good, now_ns, false);
		return true;
	}
	if (good != s->down) {
		s->against = 0;
		return false;
	}
	if (s->against < UINT16_MAX)
		s->against++;
	if (s->down ? s->against < r->rise || now_ns - s->since_ns < r->hold_down_ns
		    : s->against < r->fall && outcome != TD_CHECK_REFUSED)
		return false;
	settle(s, !s->down, now_ns, s->down && r->slow_start_ns);
	return true;
}

/* 0 at first, STEPS when it is over. */
static uint64_t step(const struct td_check_state *s, const struct td_check_rules *r,
		     uint64_t now_ns)
{
	if (s->down || !s->warm_ns || now_ns - s->warm_ns >= r->slow_start_ns)
		return STEPS;
	return (now_ns - s->warm_ns) * STEPS / r->slow_start_ns;
}

uint16_t td_check_share(const struct td_check_state *s, const struct td_check_rules *r,
			uint64_t now_ns)
{
	return (uint16_t)TD_MIN(5 + step(s, r, now_ns) * (100 / STEPS), 100);
}

uint64_t td_check_share_changes(const struct td_check_state *s, const struct td_check_rules *r,
				uint64_t now_ns)
{
	uint64_t n = step(s, r, now_ns);

	/* Rounded up, so that the step is over by then. */
	return n >= STEPS ? 0 : s->warm_ns + ((n + 1) * r->slow_start_ns + STEPS - 1) / STEPS;
}

void td_check_resume(struct td_check_state *s, bool down, uint64_t since_ns, bool warming)
{
	settle(s, down, since_ns, !down && warming);
}

uint64_t td_check_interval(const struct td_check_state *s, const struct td_check_rules *r,
			   const struct td_check_pace *p)
{
	if (s->against && !(s->down && s->against >= r->rise))
		return p->fast_ns;
	return s->down ? p->down_ns : p->interval_ns;
}

bool td_check_weigh(int status, uint16_t *ret)
{
	if (status == 0)
		return true;
	if (status < 2 || status > 255 || status == 126 || status == 127)
		return false;
	*ret = (uint16_t)(status - 2);
	return true;
}

uint64_t td_check_wait(uint64_t interval_ns, uint32_t chance)
{
	return interval_ns - interval_ns / 20 * (chance % 1024) / 1024;
}

uint64_t td_check_first_wait(uint64_t interval_ns, uint32_t chance)
{
	return TD_MIN(interval_ns, 1000000000ull) / 1024 * (chance % 1024);
}

/* ---- agents ---------------------------------------------------------------------- */

static bool is(const char *word, size_t length, const char *what)
{
	return strlen(what) == length && !strncasecmp(word, what, length);
}

/* At most so many digits, and one at least. */
static bool read_digits(const char *word, size_t length, size_t most, uint32_t *ret)
{
	uint32_t value = 0;

	if (!length || length > most)
		return false;
	for (size_t i = 0; i < length; i++) {
		if (word[i] < '0' || word[i] > '9')
			return false;
		value = value * 10 + (uint32_t)(word[i] - '0');
	}
	*ret = value;
	return true;
}

/* "75%" */
static bool read_percent(const char *word, size_t length, uint16_t *ret)
{
	uint32_t value;

	if (!length || word[length - 1] != '%' || !read_digits(word, length - 1, 4, &value))
		return false;
	*ret = (uint16_t)TD_MIN(value, 1000);
	return true;
}

/* "maxconn:30" */
static bool read_most(const char *word, size_t length, uint32_t *ret)
{
	const size_t n = strlen("maxconn:");

	return length > n && is(word, n, "maxconn:") && read_digits(word + n, length - n, 9, ret);
}

static bool take_word(struct td_agent_state *s, const char *word, size_t n)
{
	if (read_percent(word, n, &s->percent) || read_most(word, n, &s->max_connections))
		return true;
	if (is(word, n, "ready")) {
		s->drain = false;
	} else if (is(word, n, "drain") || is(word, n, "maint")) {
		s->drain = true;
	} else if (is(word, n, "up")) {
		s->down = false;
	} else if (is(word, n, "down") || is(word, n, "fail") || is(word, n, "failed") ||
		   is(word, n, "stopped")) {
		s->down = true;
	} else {
		return false;
	}
	return true;
}

static void take_reason(struct td_agent_state *s, const char *text, size_t length)
{
	size_t n = 0;

	for (size_t i = 0; i < length && n + 1 < sizeof(s->reason); i++)
		if (n || text[i] != ' ')
			s->reason[n++] = text[i] < ' ' || text[i] > '~' ? '?' : text[i];
	while (n && s->reason[n - 1] == ' ')
		n--;
	s->reason[n] = '\0';
}

int td_agent_take(struct td_agent_state *s, const char *line, size_t length)
{
	struct td_agent_state new = *s;
	bool known = false;

	new.reason[0] = '\0';
	for (size_t i = 0; i < length && !memchr("\r\n", line[i], 2);) {
		size_t n = 0;

		while (i + n < length && !memchr(" \t,\r\n#", line[i + n], 6))
			n++;
		if (n) {
			known |= take_word(&new, line + i, n);
			i += n;
		} else if (line[i] == '#') {
			for (i++; i + n < length && !memchr("\r\n", line[i + n], 2);)
				n++;
			take_reason(&new, line + i, n);
			break;
		} else {
			i++;
		}
	}
	if (!known)
		return -EINVAL;
	*s = new;
	return 0;
}
