// SPDX-License-Identifier: GPL-2.0-only
/* Options of tundishd, and --check. */
#include <getopt.h>
#include <malloc.h>

#include "api/api.h"
#include "config/config.h"
#include "lib/suggest.h"

#define EXIT_USAGE 2

static void help(FILE *out)
{
	fputs("usage: tundishd [OPTIONS]\n"
	      "\n"
	      "Runs a layer 4 load balancer in the foreground. Ending it leaves the data path\n"
	      "running; `tundish unload` takes that down.\n"
	      "\n"
	      "  --config FILE        configuration (/etc/tundish/tundish.yaml)\n"
	      "  --control PATH       control socket (/run/tundish/control.sock)\n"
	      "  --pin DIR            pinned maps (/sys/fs/bpf/tundish)\n"
	      "  --metrics ADDR:PORT  metrics and the stats page, or off (what the configuration\n"
	      "                       says, 127.0.0.1:9799)\n"
	      "  --check              validates the configuration, with --pin also whether what is\n"
	      "                       pinned there can be gone on with, and exits\n"
	      "  --debug              shows messages of libbpf, libxdp and the verifier\n"
	      "  --version, --help\n",
	      out);
}

/* @pin: it was said where what is pinned must suit too */
static int check(const struct td_options *o, bool pin)
{
	_cleanup_(td_config_freep) struct td_config *c = NULL;
	struct td_error e = {0};
	bool same_build;
	int r = td_config_load(o->config, &c, &e);

	if (r < 0) {
		fprintf(stderr, "%s\n", e.text[0] ? e.text : strerror(-r));
		return EXIT_FAILURE;
	}
	if (td_config_check_host(o->config, c, &e) < 0) /* may be meant for another host */
		fprintf(stderr, "warning: %s\n", e.text);
	printf("%s: valid, %zu services on %zu interfaces\n", o->config, c->n_services,
	       c->n_interfaces);
	fflush(stdout);
	r = td_kernel_can_adopt(o->pin, &same_build, &e);
	if (r < 0 && (pin || r == -EPROTO)) /* others may not look there, which says nothing */
		fprintf(stderr, "%s%s\n", pin ? "" : "warning: ", e.text);
	if (r < 0 && pin)
		return EXIT_FAILURE;
	return td_reexec_asks() && !same_build ? TD_EXIT_OTHER_BUILD : EXIT_SUCCESS;
}

/* What getopt_long did not take: `word`, or the value of an option that has none. */
static int refuse(const struct option *options, const char *word, int without_value)
{
	struct td_suggest suggest = {.given = strncmp(word, "--", 2) ? NULL : word + 2};
	char list[256] = "", name[TD_SUGGEST_WORD_MAX + 1], meant[TD_SUGGEST_WORD_MAX + 32] = "";
	size_t length = strcspn(word, "=");

	if (suggest.given && length < sizeof(name)) {
		snprintf(name, sizeof(name), "%.*s", (int)length - 2, word + 2);
		suggest.given = name;
	}
	for (; options->name; options++) {
		if (without_value && options->val == without_value) {
			fprintf(stderr, "tundishd: option --%s %s value; see tundishd --help\n",
				options->name, options->has_arg ? "needs a" : "takes no");
			return EXIT_USAGE;
		}
		td_suggest_add(&suggest, options->name);
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s--%s",
			 list[0] ? ", " : "", options->name);
	}
	if (td_suggest_word(&suggest))
		snprintf(meant, sizeof(meant), "; did you mean --%s?", td_suggest_word(&suggest));
	fprintf(stderr, "tundishd: \"%.40s\" is no option; valid: %s%s\n", word, list, meant);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	enum { CONFIG = 256, CONTROL, PIN, METRICS, CHECK, DEBUG, VERSION, HELP };
	static const struct option options[] = {
		{"config", required_argument, NULL, CONFIG},
		{"control", required_argument, NULL, CONTROL},
		{"pin", required_argument, NULL, PIN},
		{"metrics", required_argument, NULL, METRICS},
		{"check", no_argument, NULL, CHECK},
		{"debug", no_argument, NULL, DEBUG},
		{"version", no_argument, NULL, VERSION},
		{"help", no_argument, NULL, HELP},
		{0},
	};
	struct td_daemon d = {
		.sink_fd = {-1, -1},
		.options =
			{
				.config = "/etc/tundish/tundish.yaml",
				.control = "/run/tundish/control.sock",
				.pin = "/sys/fs/bpf/tundish",
			},
	};
	bool pin = false;
	int c;

	opterr = 0; /* it says less than refuse() */
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case CONFIG: d.options.config = optarg; break;
		case CONTROL: d.options.control = optarg; break;
		case PIN:
			d.options.pin = optarg;
			pin = true;
			break;
		case METRICS: d.options.metrics = strcmp(optarg, "off") ? optarg : ""; break;
		case CHECK: d.options.check = true; break;
		case DEBUG: d.options.debug = true; break;
		case VERSION: printf("tundishd %s\n", TD_VERSION); return EXIT_SUCCESS;
		case HELP: help(stdout); return EXIT_SUCCESS;
		default: return refuse(options, argv[optind - 1], optopt);
		}
	}
	if (optind < argc)
		return refuse(options, argv[optind], 0);
	/* Threads come and go with reloads, and leave no heaps of their own behind. */
	mallopt(M_ARENA_MAX, 1);
	td_kernel_debug(d.options.debug);
	td_reexec_remember(&d, argv);
	if (d.options.check)
		return check(&d.options, pin);
	return td_daemon_run(&d, td_handle, td_attention_look);
}
