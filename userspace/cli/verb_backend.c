// SPDX-License-Identifier: GPL-2.0-only
/*
 * Acts on one backend. The daemon's answer is printed with --json; as text, one
 * line says what is so now, and why where the daemon gives a reason.
 *
 * `drain --wait` asks again until no connection is left. It asks the daemon, but does not
 * need it: one that is away, since it is restarted, is waited for, for a minute or as long
 * as --timeout says.
 */
#include <time.h>

#include "cli/cli.h"

#define POLL_NS	 200000000L
#define AWAY_S	 60		     /* of a daemon that does not answer, without --timeout */
#define STILL_NS (1000 * 1000000ull) /* nothing is left when nothing was left for so long */

void cli_print_reason(const json_t *answer)
{
	const char *reason = json_string_value(json_object_get(answer, "reason"));

	if (reason && reason[0]) {
		fputs(": ", stdout);
		cli_put_escaped(stdout, reason, CLI_KEEP_NONE);
	}
	fputc('\n', stdout);
}

static int ask(const struct cli *c, const char *body, json_t **ret)
{
	struct cli_target t = {0};

	cli_target_word(&t, "backends");
	cli_target_word(&t, c->argument[0]);
	cli_target_word(&t, c->argument[1]);
	cli_target_word(&t, c->verb->name);
	return cli_ask(c, &t, body, CLI_OBJECT, NULL, ret);
}

static void print(const struct cli *c, const json_t *answer, const char *key, const char *now)
{
	static const struct cli_column any = {"", "", CLI_NUMBER, NULL};
	struct cli_column column = any;
	struct cli_buffer cell = {0};

	if (c->json) {
		cli_print_json(stdout, answer);
	} else {
		column.key = key;
		if (json_object_get(answer, key))
			cli_cell(&cell, &column, answer); /* what it says, not what was asked */
		else
			cli_escape(&cell, now, CLI_KEEP_NONE);
		cli_put_escaped(stdout, c->argument[0], CLI_KEEP_NONE);
		fputc('/', stdout);
		cli_put_escaped(stdout, c->argument[1], CLI_KEEP_NONE);
		printf(" %s %s", key, cell.data);
		cli_print_reason(answer);
		cli_buffer_done(&cell);
	}
}

static int act(const struct cli *c, const char *body, const char *key, const char *now)
{
	json_t *answer;
	int r = ask(c, body, &answer);

	if (r != CLI_DONE)
		return r;
	print(c, answer, key, now);
	json_decref(answer);
	return CLI_DONE;
}

int cli_run_backend_state(const struct cli *c)
{
	static const char *const states[][2] = {
		{"enable", "up"},
		{"disable", "disabled"},
	};

	for (size_t i = 0; i < TD_ARRAY_SIZE(states); i++)
		if (strcmp(c->verb->name, states[i][0]) == 0)
			return act(c, "", "state", states[i][1]);
	return CLI_FAILED;
}

/* ---- drain --------------------------------------------------------------------------- */

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/* The backend as it is now: CLI_DONE with it, or NULL where it is gone; CLI_NO_DAEMON without a
 * word where nobody answers. */
static int look(const struct cli *c, json_t **ret)
{
	struct cli_target t = {0};
	struct cli_answer a = {0};
	json_t *rows, *row;
	size_t i;
	int r;

	cli_target_word(&t, "backends");
	cli_target_word(&t, c->argument[0]);
	*ret = NULL;
	rows = cli_send_within(c->control, &t, NULL, 5, &a, NULL) < 0 ? NULL
								      : json_loads(a.body, 0, NULL);
	/* 404: the service is gone. Whatever else is no list says nothing of the backend. */
	r = a.status == 404 || json_is_array(rows) ? CLI_DONE : CLI_NO_DAEMON;
	cli_answer_done(&a);
	json_array_foreach (rows, i, row) {
		const char *name = json_string_value(json_object_get(row, "name"));

		if (name && strcmp(name, c->argument[1]) == 0 && !*ret)
			*ret = json_incref(row);
	}
	json_decref(rows);
	return r;
}

/* Until nothing is left. *answer is what was last heard. */
static int wait(const struct cli *c, uint64_t timeout_s, json_t **answer)
{
	static const struct timespec pause = {.tv_nsec = POLL_NS};
	uint64_t start = clock_ns(), heard = start, still = 0;

	for (;;) {
		json_int_t left =
			json_integer_value(json_object_get(*answer, "connections_active"));
		const char *state = json_string_value(json_object_get(*answer, "state"));
		uint64_t now = clock_ns();
		json_t *next;

		if (state && strcmp(state, "up") == 0)
			return cli_fail(CLI_FAILED, "somebody has enabled %s/%s meanwhile",
					c->argument[0], c->argument[1]);
		/* handshakes that were under way when it began may yet end */
		still = left > 0 ? 0 : still ? still : now;
		if (still && now - still >= STILL_NS)
			return CLI_DONE;
		if (timeout_s != UINT64_MAX && now - start >= timeout_s * 1000000000ull)
			return cli_fail(CLI_FAILED,
					"%lld connections are left on %s/%s after %llu s",
					(long long)left, c->argument[0], c->argument[1],
					(unsigned long long)timeout_s);
		nanosleep(&pause, NULL);
		if (look(c, &next) == CLI_DONE) {
			heard = now;
			if (!next) /* gone from the file, and its last connection has ended */
				return CLI_DONE;
			json_decref(*answer);
			*answer = next;
		} else {
			still = 0;
			if (timeout_s == UINT64_MAX && now - heard > AWAY_S * 1000000000ull)
				return cli_fail(CLI_NO_DAEMON,
						"no daemon has answered on %s for a minute; %s/%s "
						"drains all the same",
						c->control, c->argument[0], c->argument[1]);
		}
	}
}

int cli_run_backend_drain(const struct cli *c)
{
	const char *timeout = cli_option(c, "timeout"), *deadline = cli_option(c, "deadline");
	uint32_t seconds = 0, unused;
	char body[64] = "";
	json_t *answer;
	int r;

	if (timeout && !cli_option(c, "wait"))
		return cli_fail(CLI_USAGE, "--timeout says how long --wait waits; add --wait");
	if (timeout && td_read_seconds(timeout, &seconds) < 0)
		return cli_fail(CLI_USAGE, "--timeout \"%s\" is no duration; valid: 90s, 5m, 1h",
				timeout);
	if (deadline && td_read_seconds(deadline, &unused) < 0)
		return cli_fail(CLI_USAGE, "--deadline \"%s\" is no duration; valid: 90s, 5m, 1h",
				deadline);
	if (deadline)
		snprintf(body, sizeof(body), "{\"deadline\": \"%.40s\"}", deadline);
	r = ask(c, body, &answer);
	if (r != CLI_DONE)
		return r;
	if (cli_option(c, "wait"))
		r = wait(c, timeout ? seconds : UINT64_MAX, &answer);
	if (r == CLI_DONE)
		print(c, answer, "state", "drain");
	json_decref(answer);
	return r;
}

int cli_run_backend_weight(const struct cli *c)
{
	char body[64];

	/* its digits were checked; the daemon knows the limits */
	snprintf(body, sizeof(body), "{\"weight\": %lu}", strtoul(c->argument[2], NULL, 10));
	return act(c, body, "weight", c->argument[2]);
}
