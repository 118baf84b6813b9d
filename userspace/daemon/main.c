// SPDX-License-Identifier: GPL-2.0-only
/* Options of tundishd, and --check. */
#include <getopt.h>

#include "config/config.h"
#include "daemon/daemon.h"

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
	      "  --metrics ADDR:PORT  metrics, or off (what the configuration says, "
	      "127.0.0.1:9799)\n"
	      "  --check              validates the configuration and exits\n"
	      "  --debug              shows messages of libbpf, libxdp and the verifier\n"
	      "  --version, --help\n",
	      out);
}

static int check(const struct td_options *o)
{
	_cleanup_(td_config_freep) struct td_config *c = NULL;
	struct td_error e = {0};
	int r = td_config_load(o->config, &c, &e);

	if (r < 0) {
		fprintf(stderr, "%s\n", e.text[0] ? e.text : strerror(-r));
		return EXIT_FAILURE;
	}
	if (td_config_check_host(o->config, c, &e) < 0) /* may be meant for another host */
		fprintf(stderr, "warning: %s\n", e.text);
	printf("%s: valid, %zu services on %zu interfaces\n", o->config, c->n_services,
	       c->n_interfaces);
	return EXIT_SUCCESS;
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
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case CONFIG: d.options.config = optarg; break;
		case CONTROL: d.options.control = optarg; break;
		case PIN: d.options.pin = optarg; break;
		case METRICS: d.options.metrics = strcmp(optarg, "off") ? optarg : ""; break;
		case CHECK: d.options.check = true; break;
		case DEBUG: d.options.debug = true; break;
		case VERSION: printf("tundishd %s\n", TD_VERSION); return EXIT_SUCCESS;
		case HELP: help(stdout); return EXIT_SUCCESS;
		default: help(stderr); return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "tundishd: \"%s\" is no option; see tundishd --help\n",
			argv[optind]);
		return EXIT_USAGE;
	}
	td_kernel_debug(d.options.debug);
	if (d.options.check)
		return check(&d.options);
	return td_daemon_run(&d);
}
