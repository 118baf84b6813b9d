// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two looks at the host, a short time apart, and what they tell (doctor/). Text and JSON are
 * made of the same rows. A daemon is asked for the fullest tuple of source ports and for
 * translated connections, and nothing is said where none answers.
 */
#include <time.h>

#include "cli/cli.h"
#include "doctor/json.h"

#define INTERVAL_MAX 3600
#define DAEMON_S     2L

static const struct cli_column columns[] = {
	{"VERDICT", "verdict", CLI_TEXT, NULL},
	{"STAGE", "stage", CLI_TEXT, NULL},
	{"WHAT", "what", CLI_TEXT, NULL},
	{"VALUE", "value", CLI_COUNT, NULL},
	{"LIMIT", "limit", CLI_COUNT, NULL},
	{"UNIT", "unit", CLI_TEXT, NULL},
	{"DROPS", "drops_boot", CLI_COUNT, NULL},
	{"NOW/S", "drops_now", CLI_COUNT, NULL},
	{0},
};

/* ---- facts ------------------------------------------------------------------------- */

static json_t *ask(const struct cli *c, struct cli_target *t)
{
	struct cli_answer a = {0};
	json_t *answer;

	if (cli_send_within(c->control, t, NULL, DAEMON_S, &a, NULL) < 0)
		return NULL;
	answer = a.status == 200 ? json_loadb(a.body, a.length, 0, NULL) : NULL;
	cli_answer_done(&a);
	return answer;
}

static void ask_daemon(const struct cli *c, struct td_facts *f)
{
	struct cli_target ports = {0}, status = {0};
	json_t *answer;

	cli_target_word(&ports, "ports");
	cli_target_query(&ports, "top", "1");
	cli_target_word(&status, "status");
	answer = ask(c, &ports);
	td_doctor_take_tuple(json_array_get(answer, 0), &f->tuple);
	json_decref(answer);
	answer = ask(c, &status);
	td_doctor_take_nat(json_object_get(answer, "nat"), &f->nat);
	json_decref(answer);
}

static void pause_for(unsigned long seconds)
{
	struct timespec left = {.tv_sec = (time_t)seconds};

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

/* ---- output -------------------------------------------------------------------------- */

static void tell(const struct td_row *r)
{
	struct cli_buffer b = {0};

	cli_escape(&b, r->what, CLI_KEEP_NONE);
	printf("\n%-4s %s: ", td_verdict_name(r->verdict), b.data);
	cli_put_escaped(stdout, r->sentence, CLI_KEEP_NONE);
	fputs("\n     ", stdout);
	if (r->setting[0]) {
		fputs("change: ", stdout);
		cli_put_escaped(stdout, r->setting, CLI_KEEP_NONE);
	} else {
		fputs("nothing to set", stdout);
	}
	fputc('\n', stdout);
	cli_buffer_done(&b);
}

/* The table in the packet's order, then sentences, the worst first. */
static void print_text(const struct td_report *report, const json_t *rows)
{
	size_t wrong = 0;

	cli_print_table(stdout, columns, rows);
	for (int v = TD_VERDICT_BAD; v > TD_VERDICT_OK; v--)
		for (size_t i = 0; i < report->n; i++) {
			if ((int)report->rows[i].verdict != v)
				continue;
			tell(&report->rows[i]);
			wrong += report->rows[i].wrong;
		}
	for (size_t i = 0; i < report->n; i++)
		if (strcmp(report->rows[i].id, "capacity") == 0 &&
		    report->rows[i].verdict == TD_VERDICT_OK)
			tell(&report->rows[i]);
	if (wrong)
		printf("\n%zu thing%s wrong\n", wrong, wrong == 1 ? " is" : "s are");
	else
		puts("\nnothing is wrong now");
}

static int print_sysctl(const struct cli *c, const struct td_facts *f, int64_t target)
{
	_cleanup_free_ char *text = NULL;
	json_t *j;

	if (td_doctor_sysctl(f, target, &text) < 0)
		return cli_fail(CLI_FAILED, "out of memory");
	if (!c->json) {
		fputs(text, stdout);
		return CLI_DONE;
	}
	j = json_pack("{s:I, s:s}", "connections", (json_int_t)target, "sysctl", text);
	cli_print_json(stdout, j);
	json_decref(j);
	return CLI_DONE;
}

/* ---- the verb ------------------------------------------------------------------------- */

static int look_twice(const struct cli *c, unsigned long interval, int64_t target)
{
	_cleanup_(td_facts_done) struct td_facts was, now;
	_cleanup_free_ struct td_report *report = calloc(1, sizeof(*report));
	json_t *rows;

	td_facts_init(&was);
	td_facts_init(&now);
	if (!report || (interval && td_facts_read("", false, &was) < 0))
		return cli_fail(CLI_FAILED, "out of memory");
	pause_for(interval);
	if (td_facts_read("", true, &now) < 0)
		return cli_fail(CLI_FAILED, "out of memory");
	ask_daemon(c, &now);
	td_doctor_check(interval ? &was : NULL, &now, target, report);
	rows = td_doctor_json(report);
	if (c->json)
		cli_print_json(stdout, rows);
	else
		print_text(report, rows);
	json_decref(rows);
	return report->wrong ? CLI_FOUND : CLI_DONE;
}

int cli_run_doctor(const struct cli *c)
{
	const char *interval = cli_option(c, "interval"),
		   *connections = cli_option(c, "connections");
	unsigned long seconds = interval ? strtoul(interval, NULL, 10) : 1;
	int64_t target = connections ? (int64_t)strtoul(connections, NULL, 10) : 0;
	_cleanup_(td_facts_done) struct td_facts f;

	td_facts_init(&f);
	if (seconds > INTERVAL_MAX)
		return cli_fail(CLI_USAGE, "--interval: \"%s\" is no number from 0 to %d", interval,
				INTERVAL_MAX);
	if (connections && (target < 1 || target > TD_DOCTOR_CONNECTIONS_MAX))
		return cli_fail(CLI_USAGE, "--connections: \"%s\" is no number from 1 to %d",
				connections, TD_DOCTOR_CONNECTIONS_MAX);
	if (!cli_option(c, "sysctl"))
		return look_twice(c, seconds, target);
	if (interval)
		return cli_fail(CLI_USAGE, "--sysctl takes one look; leave --interval away");
	if (td_facts_read("", true, &f) < 0)
		return cli_fail(CLI_FAILED, "out of memory");
	return print_sysctl(c, &f, target ? target : TD_DOCTOR_CONNECTIONS);
}
