// SPDX-License-Identifier: GPL-2.0-only
/*
 * The end of it all. A daemon that runs is asked, and waited for; what a dead
 * one left is taken down from here, the only place where the command line
 * touches the kernel.
 *
 * A daemon is asked only if it is the one that holds the pin directory meant:
 * with --pin given and another instance on the default socket, the wrong one
 * would end.
 */
#include <time.h>

#include "cli/cli.h"
#include "host/host.h"
#include "host/reserved.h"
#include "kernel/kernel.h"
#include "net/net.h"

#define WAIT_STEP_NS	   20000000L
#define WAIT_STEPS	   750 /* 15 s */
#define WAIT_STEPS_REFUSED 100

static int done(const struct cli *c, const char *pin)
{
	json_t *j;

	if (c->json) {
		j = json_pack("{s:b, s:s}", "unloaded", 1, "pin", pin);
		cli_print_json(stdout, j);
		json_decref(j);
	} else {
		fputs("unloaded ", stdout);
		cli_put_escaped(stdout, pin, CLI_KEEP_NONE);
		fputc('\n', stdout);
	}
	return CLI_DONE;
}

static bool daemon_goes(const struct cli *c, int steps)
{
	static const struct timespec pause = {.tv_nsec = WAIT_STEP_NS};
	struct cli_target probe = {0};
	struct cli_answer a = {0};
	int r;

	cli_target_word(&probe, "status");
	for (int i = 0; i < steps; i++) {
		r = cli_send(c->control, &probe, NULL, &a, NULL);
		cli_answer_done(&a);
		if (r == -ECONNREFUSED)
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

/* The addresses that a daemon added carry its mark (net/net.h), and go with the
 * services that they were added for. */
static int take_vips_away(const struct td_prefix *vips, size_t n, struct td_error *error)
{
	struct td_net *net = NULL;
	int r = td_net_open(&net, error);

	if (r < 0)
		return r;
	r = td_net_own_vips(net, NULL, 0, vips, n, NULL, 0, NULL, error);
	td_net_release_neighbours(net, NULL);
	td_net_close(net);
	return r;
}

/* What a daemon has kept from this host's own sockets is theirs again. */
static int give_ports_back(uint64_t ports[TUNDISH_LANE_WORDS], struct td_error *error)
{
	const uint64_t none[TD_NETNS_PORT_WORDS] = {0};
	struct td_netns_facts facts;
	int r;

	if (!memcmp(ports, none, sizeof(none)))
		return 0;
	r = td_host_netns_read(-1, &facts, error);
	if (r < 0)
		return r;
	for (unsigned int p = 0; p < 65536; p++)
		if (p < facts.first || p > facts.last)
			ports[p / 64] &= ~(1ull << (p % 64));
	return td_host_reserve(none, ports, NULL, error);
}

/* The one program that is on other programs' sockets. */
static void take_migration_off(const char *pin)
{
	_cleanup_free_ uint64_t *inodes = NULL;
	size_t n = 0;

	if (td_kernel_pinned_migrating(pin, &inodes, &n) == 0)
		td_host_release_groups(inodes, n);
}

/* @none: what it means that nothing is there. */
static int unload_here(const struct cli *c, const char *pin, int none)
{
	_cleanup_free_ struct td_prefix *vips = NULL;
	uint64_t ports[TUNDISH_LANE_WORDS] = {0};
	struct td_error error = {0}, other = {0};
	size_t n = 0;
	int r, q;

	td_kernel_pinned_vips(pin, &vips, &n);
	td_kernel_pinned_reserved(pin, ports);
	take_migration_off(pin);
	r = td_kernel_unload(pin, &error);
	if (r == -ENOENT)
		return none == CLI_DONE ? done(c, pin)
					: cli_fail(none, "nothing to unload: %s",
						   error.text[0] ? error.text : pin);
	if (r == 0) { /* both, since nothing tells of them any more */
		r = give_ports_back(ports, &error);
		q = take_vips_away(vips, n, &other);
		if (r == 0 && q < 0) {
			r = q;
			error = other;
		}
	}
	if (r < 0)
		return cli_fail(CLI_FAILED, "%s", error.text[0] ? error.text : strerror(-r));
	return done(c, pin);
}

static int unload_by_daemon(const struct cli *c, const char *pin)
{
	struct cli_target t = {0};
	json_t *answer;
	int r;

	cli_target_word(&t, "unload");
	r = cli_ask(c, &t, "", CLI_OBJECT, NULL, &answer);
	if (r == CLI_NO_DAEMON) /* it went just now */
		return unload_here(c, pin, CLI_DONE);
	if (r != CLI_DONE) /* it said why; if it ends all the same, we do the rest */
		return daemon_goes(c, WAIT_STEPS_REFUSED) ? unload_here(c, pin, CLI_DONE) : r;
	json_decref(answer);
	if (daemon_goes(c, WAIT_STEPS))
		return done(c, pin);
	return cli_fail(CLI_FAILED, "the daemon on %s has unloaded but does not end; see its log",
			c->control);
}

int cli_run_unload(const struct cli *c)
{
	struct td_error error = {0};
	struct cli_target t = {0};
	struct cli_answer a = {0};
	const char *pin;
	json_t *status;
	int r;

	cli_target_word(&t, "status");
	r = cli_send(c->control, &t, NULL, &a, &error);
	if (r == -ECONNREFUSED)
		return unload_here(c, c->pin, CLI_NO_SUCH_THING);
	if (r < 0)
		return cli_fail(CLI_FAILED, "%s", error.text);

	status = json_loadb(a.body, a.length, 0, NULL);
	cli_answer_done(&a);
	pin = json_string_value(json_object_get(status, "pin"));
	if (!pin && !json_object_get(status, "error")) {
		json_decref(status);
		return cli_fail_version(c, "nothing was unloaded");
	}
	if (c->pin_given && pin && strcmp(pin, c->pin) != 0)
		r = c->control_given
			    ? cli_fail(CLI_FAILED, "the daemon on %s has its pins in %s, not in %s",
				       c->control, pin, c->pin)
			    : unload_here(c, c->pin, CLI_NO_SUCH_THING);
	else
		r = unload_by_daemon(c, pin ? pin : c->pin);
	json_decref(status);
	return r;
}
