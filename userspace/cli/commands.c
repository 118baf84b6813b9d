// SPDX-License-Identifier: GPL-2.0-only
/*
 * The commands, all of them, as data. To add one: a row here, with the path
 * that the daemon answers and its columns; a function in a verb_*.c only where
 * a list will not do. A row without `run` is a command of a later version.
 */
#include "cli/cli.h"

const struct cli_option cli_global_options[] = {
	{"json", NULL, "print JSON, exact and complete"},
	{"control", "PATH", "the daemon's socket. Default is " CLI_CONTROL},
	{"pin", "DIR", "where maps are pinned, for unload. Default is " CLI_PIN},
	{"help", NULL, "explain the command, or all of them; also -h"},
	{"version", NULL, "print the version"},
	{0},
};

/* ---- columns ---------------------------------------------------------------- */

static const struct cli_column service_columns[] = {
	{"SERVICE", "service", CLI_TEXT, NULL},
	{"STATE", "state", CLI_TEXT, NULL},
	{"VIPS", "vips", CLI_LIST, NULL},
	{"PORTS", "ports", CLI_LIST, NULL},
	{"PROTO", "protocol", CLI_TEXT, NULL},
	{"DELIVERY", "delivery", CLI_TEXT, NULL},
	{"SCHEDULER", "scheduler", CLI_TEXT, NULL},
	{"OWN", "own", CLI_YES, NULL},
	{"UP", "backends_up", CLI_NUMBER, "backends"},
	{"ACTIVE", "connections_active", CLI_COUNT, NULL},
	{"TOTAL", "connections_total", CLI_COUNT, NULL},
	{"PACKETS", "packets", CLI_COUNT, NULL},
	{"BYTES", "bytes", CLI_BYTES, NULL},
	{"REASON", "reason", CLI_TEXT, NULL},
	{0},
};

/* Services in `status` and `top`. */
static const struct cli_column glance_columns[] = {
	{"SERVICE", "name", CLI_TEXT, NULL},
	{"STATE", "state", CLI_TEXT, NULL},
	{"UP", "backends_up", CLI_NUMBER, "backends"},
	{"ACTIVE", "connections_active", CLI_COUNT, NULL},
	{"CONN/S", "connections_per_second", CLI_COUNT, NULL},
	{"PACKETS/S", "packets_per_second", CLI_COUNT, NULL},
	{"BYTES/S", "bytes_per_second", CLI_BYTES, NULL},
	{"DELIVERY", "delivery", CLI_TEXT, NULL},
	{"VIPS", "vips", CLI_NUMBER, NULL},
	{"REASON", "reason", CLI_TEXT, NULL},
	{0},
};

static const struct cli_column backend_columns[] = {
	{"SERVICE", "service", CLI_TEXT, NULL},
	{"NAME", "name", CLI_TEXT, NULL},
	{"ADDRESS", "address", CLI_TEXT, NULL},
	{"WEIGHT", "weight", CLI_NUMBER, NULL},
	{"STATE", "state", CLI_TEXT, NULL},
	{"HEALTH", "health", CLI_TEXT, NULL},
	{"ACTIVE", "connections_active", CLI_COUNT, NULL},
	{"MAX", "max_connections", CLI_COUNT, NULL},
	{"CONN/S", "connections_per_second", CLI_COUNT, NULL},
	{"TOTAL", "connections_total", CLI_COUNT, NULL},
	{"PACKETS", "packets", CLI_COUNT, NULL},
	{"BYTES", "bytes", CLI_BYTES, NULL},
	{"DISABLED IN", "seconds_to_disabled", CLI_SECONDS, NULL},
	{"REASON", "reason", CLI_TEXT, NULL},
	{0},
};

static const struct cli_column worker_columns[] = {
	{"SERVICE", "service", CLI_TEXT, NULL},
	{"WORKER", "worker", CLI_TEXT, NULL},
	{"PID", "pid", CLI_NUMBER, NULL},
	{"COMMAND", "command", CLI_TEXT, NULL},
	{"STATE", "state", CLI_TEXT, NULL},
	{"QUEUE", "queue_depth", CLI_NUMBER, "queue_limit"},
	{"CONNECTIONS", "connections_total", CLI_COUNT, NULL},
	{"SHARE", "connections_share", CLI_PERCENT, NULL},
	{"WAIT p99", "accept_wait_seconds.p99", CLI_LATENCY, NULL},
	{0},
};

static const struct cli_column flow_columns[] = {
	{"CLIENT", "client", CLI_TEXT, NULL},
	{"PORT", "client_port", CLI_NUMBER, NULL},
	{"VIP", "vip", CLI_TEXT, NULL},
	{"PORT", "port", CLI_NUMBER, NULL},
	{"PROTO", "protocol", CLI_TEXT, NULL},
	{"SERVICE", "service", CLI_TEXT, NULL},
	{"BACKEND", "backend", CLI_TEXT, NULL},
	{"STATE", "state", CLI_TEXT, NULL},
	{"AGE", "age_seconds", CLI_SECONDS, NULL},
	{"IDLE", "idle_seconds", CLI_SECONDS, NULL},
	{"AS", "translated.source", CLI_TEXT, NULL},
	{"TO", "translated.backend_address", CLI_TEXT, NULL},
	{0},
};

static const struct cli_column tuple_columns[] = {
	{"CLIENT", "client", CLI_TEXT, NULL},
	{"VIP", "vip", CLI_TEXT, NULL},
	{"PORT", "port", CLI_NUMBER, NULL},
	{"PROTO", "protocol", CLI_TEXT, NULL},
	{"ACTIVE", "active", CLI_COUNT, NULL},
	{"TOTAL", "total", CLI_COUNT, NULL},
	{"USE", "utilization", CLI_PERCENT, NULL},
	{"VIPS NEEDED", "vips_needed", CLI_NUMBER, NULL},
	{0},
};

static const struct cli_column port_columns[] = {
	{"LOCAL", "local_ip", CLI_TEXT, NULL},
	{"REMOTE", "remote_ip", CLI_TEXT, NULL},
	{"PORT", "remote_port", CLI_NUMBER, NULL},
	{"PROTO", "protocol", CLI_TEXT, NULL},
	{"NAMESPACE", "namespace", CLI_TEXT, NULL},
	{"SOURCE", "source", CLI_TEXT, NULL},
	{"SERVICE", "service", CLI_TEXT, NULL},
	{"USED", "used", CLI_NUMBER, "usable"},
	{"USE", "utilization", CLI_PERCENT, NULL},
	{"TIME_WAIT", "time_wait", CLI_NUMBER, NULL},
	{"OPENS/S", "opening_rate", CLI_COUNT, NULL},
	{"DEAR IN", "seconds_to_cliff", CLI_SECONDS, NULL},
	{"FULL IN", "seconds_to_exhaustion", CLI_SECONDS, NULL},
	{"REFUSED", "failed", CLI_COUNT, NULL},
	{0},
};

static const struct cli_column blocked_columns[] = {
	{"PORT", "port", CLI_NUMBER, NULL},
	{"PROTO", "protocol", CLI_TEXT, NULL},
	{"NAMESPACE", "namespace", CLI_TEXT, NULL},
	{"PROGRAM", "program", CLI_TEXT, NULL},
	{"PID", "pid", CLI_NUMBER, NULL},
	{"ADDRESS", "address", CLI_TEXT, NULL},
	{"WHY", "why", CLI_TEXT, NULL},
	{0},
};

static const struct cli_column egress_columns[] = {
	{"POOL", "pool", CLI_TEXT, NULL},
	{"SOURCE", "source", CLI_TEXT, NULL},
	{"STATE", "state", CLI_TEXT, NULL},
	{"CONNECTIONS", "connections_total", CLI_COUNT, NULL},
	{"USED", "used", CLI_NUMBER, "usable"},
	{"BUSIEST", "destination", CLI_TEXT, NULL},
	{"WHY", "reason", CLI_TEXT, NULL},
	{0},
};

/* ---- verbs -------------------------------------------------------------------- */

static const struct cli_verb status_verbs[] = {
	{.help = "what needs attention first; then what is attached, served and flowing",
	 .run = cli_run_status,
	 .columns = glance_columns},
};

static const struct cli_verb service_verbs[] = {
	{.name = "list",
	 .help = "services, their addresses, delivery and counts",
	 .run = cli_run_list,
	 .path = "services",
	 .columns = service_columns,
	 .pieces = true},
	{.name = "show",
	 .arguments = {"NAME"},
	 .help = "one service and its backends",
	 .run = cli_run_show,
	 .path = "services",
	 .columns = service_columns},
};

static const struct cli_verb backend_verbs[] = {
	{.name = "list",
	 .arguments = {"[SERVICE]"},
	 .help = "backends, their state and counts",
	 .run = cli_run_list,
	 .path = "backends",
	 .columns = backend_columns,
	 .pieces = true},
	{.name = "drain",
	 .arguments = {"SERVICE", "BACKEND"},
	 .options = {{"wait", NULL, "return when no connection is left"},
		     {"timeout", "TIME", "with --wait: give up after so long, such as 5m; exit 1"},
		     {"deadline", "TIME", "disable it after so long, whatever is left"}},
	 .help = "no new connections; established ones stay until they end",
	 .run = cli_run_backend_drain},
	{.name = "enable",
	 .arguments = {"SERVICE", "BACKEND"},
	 .help = "takes connections again, by weight",
	 .run = cli_run_backend_state},
	{.name = "disable",
	 .arguments = {"SERVICE", "BACKEND"},
	 .help = "no connections at all; established ones are moved or reset at once",
	 .run = cli_run_backend_state},
	{.name = "weight",
	 .arguments = {"SERVICE", "BACKEND", "N"},
	 .help = "its share of new connections, 0 to 1000",
	 .run = cli_run_backend_weight},
};

static const struct cli_verb worker_verbs[] = {
	{.name = "list",
	 .arguments = {"[SERVICE]"},
	 .help = "listeners of this host behind services, and their queues",
	 .run = cli_run_worker_list,
	 .path = "workers",
	 .columns = worker_columns},
	{.name = "drain",
	 .arguments = {"SERVICE", "WORKER"},
	 .options = {{"wait", NULL, "return when its queue is empty, or it is gone"}},
	 .help = "no new connections; those that wait in its queue are served. WORKER may be all",
	 .run = cli_run_worker_state},
	{.name = "enable",
	 .arguments = {"SERVICE", "WORKER"},
	 .help = "takes new connections again. WORKER may be all",
	 .run = cli_run_worker_state},
	{.name = "adopt",
	 .arguments = {"SERVICE", "PID"},
	 .help = "takes the listeners of a process into the service's group",
	 .run = cli_run_worker_adopt},
};

static const struct cli_verb exec_verbs[] = {
	{.arguments = {"SERVICE"},
	 .options = {{"workers", "N", "listeners on each address. Default is one for each CPU"},
		     {"stop-timeout", "SECONDS", "kill what has not ended by then. Default is 30"}},
	 .help = "runs a server with its group's sockets (socket activation)",
	 .run = cli_run_exec,
	 .rest = true},
};

static const struct cli_verb flow_verbs[] = {
	{.name = "list",
	 .options = {{"client", "ADDR", "only of this client"},
		     {"client-port", "PORT", "only from this port"},
		     {"vip", "ADDR", "only to this virtual IP"},
		     {"port", "PORT", "only to this service port"},
		     {"service", "NAME", "only of this service"},
		     {"backend", "NAME", "only on this backend"},
		     {"protocol", "PROTO", "only of this protocol: tcp or udp"},
		     {"state", "STATE",
		      "only in this state: syn, established, reopen, closing, udp-new, udp; "
		      "translated ones see tundish(8)"},
		     {"limit", "N", "at most so many. Default is 1000"}},
	 .help = "flows in the table; filters are --KEY VALUE or KEY=VALUE",
	 .run = cli_run_list,
	 .path = "flows",
	 .columns = flow_columns,
	 .rows = 1000,
	 .pieces = true},
	{.name = "count",
	 .help = "how many flows there are",
	 .run = cli_run_count,
	 .path = "flows"},
};

static const struct cli_verb tuple_verbs[] = {
	{.name = "list",
	 .options = {{"top", "N", "those with the most active ones. Default is 1000"}},
	 .help = "connections per (client, VIP, port)",
	 .run = cli_run_list,
	 .path = "tuples",
	 .columns = tuple_columns,
	 .rows = 1000},
};

static const struct cli_verb port_verbs[] = {
	{.name = "list",
	 .options = {{"scan", NULL, "count the sockets anew, before the answer"},
		     {"top", "N", "the fullest ones alone, the others as one row"}},
	 .help = "source ports used per (local IP, remote IP, remote port)",
	 .run = cli_run_list,
	 .path = "ports",
	 .columns = port_columns},
	{.name = "blocked",
	 .help = "source ports that no connection can have, and who holds them",
	 .run = cli_run_list,
	 .path = "ports/blocked",
	 .columns = blocked_columns},
};

static const struct cli_verb timewait_verbs[] = {
	{.help = "TIME_WAIT: how many, how fast, who closes first, and whether it matters",
	 .run = cli_run_timewait},
};

static const struct cli_verb egress_verbs[] = {
	{.name = "list",
	 .arguments = {"[NAME]"},
	 .help = "source addresses of pools, and how much they are used",
	 .run = cli_run_list,
	 .path = "egress",
	 .columns = egress_columns},
};

static const struct cli_verb trace_verbs[] = {
	{.arguments = {"[SRC[:PORT]]", "DST:PORT"},
	 .options = {{"egress", "PID", "instead: which source a connection of this process gets"},
		     {"protocol", "PROTO",
		      "tcp or udp. Default is tcp, or udp where that alone has the port"},
		     {"connection-id", "HEX", "of a QUIC packet, which may name a backend"},
		     {"without", "BACKEND", "and what would become of it without that one"},
		     {"config", "FILE", "and with this configuration, which is not applied"}},
	 .help = "which backend or worker such a SYN or UDP packet gets, and why, asked of the "
		 "loaded program",
	 .run = cli_run_trace},
};

static const struct cli_verb doctor_verbs[] = {
	{.options = {{"interval", "SECONDS", "between the two looks; 0: one. Default is 1"},
		     {"connections", "N", "for how many there shall be room"},
		     {"sysctl", NULL,
		      "print a file for sysctl.d instead, for so many. Default is 100000"}},
	 .help = "every queue and limit between NIC and accept(), and what to change",
	 .run = cli_run_doctor},
};

static const struct cli_verb config_verbs[] = {
	{.name = "check",
	 .arguments = {"FILE"},
	 .help = "whether it is valid; changes nothing",
	 .run = cli_run_config_change},
	{.name = "diff",
	 .arguments = {"FILE"},
	 .help = "what applying it would change",
	 .run = cli_run_config_change},
	{.name = "apply",
	 .arguments = {"FILE"},
	 .help = "makes it so, by the difference",
	 .run = cli_run_config_change},
	{.name = "show",
	 .help = "what runs now, as a file that parses back to the same",
	 .run = cli_run_config_show},
};

static const struct cli_verb events_verbs[] = {
	{.options = {{"once", NULL, "print what there is and end"},
		     {"event", "NAME",
		      "only of this name, or that begin with it and a hyphen; may be a,b"},
		     {"object", "TEXT", "only where the object has this in it"},
		     {"service", "NAME", "only of this service, its backends and workers"},
		     {"since", "TIME", "only since then: 10m ago, 08:15, \"2026-01-31 08:15\""}},
	 .help = "follows the daemon's acts, each with its reason",
	 .run = cli_run_events},
};

static const struct cli_verb capture_verbs[] = {
	{.arguments = {"[FILTER]"},
	 .options = {{"point", "POINT",
		      "all, in: as they arrive, out: after the rewrite, dropped. Default is all"},
		     {"count", "N", "end after so many"},
		     {"seconds", "SECONDS", "end after so long, at most 3600. Default is 60"},
		     {"size", "N", "end after so many MiB, at most 1024. Default is 64"},
		     {"snaplen", "N", "bytes of each packet, at most 2048. Default is 256"},
		     {"write", "FILE", "write there instead of to standard output"}},
	 .help = "packets with verdict and reason, as pcapng: tundish capture port 80 | tshark -r -",
	 .run = cli_run_capture,
	 .words = true},
};

static const struct cli_verb top_verbs[] = {
	{.options = {{"interval", "SECONDS", "between two looks. Default is 1"}},
	 .help = "live, full screen: services, their backends and workers; ? explains the keys",
	 .run = cli_run_top},
};

static const struct cli_verb unload_verbs[] = {
	{.help = "detaches from every interface, removes all pins and ends the daemon",
	 .run = cli_run_unload},
};

static const struct cli_verb daemon_verbs[] = {
	{.name = "reexec",
	 .help = "the program that is on disk now takes over the daemon's process",
	 .run = cli_run_daemon_reexec},
};

static const struct cli_verb help_verbs[] = {
	{.arguments = {"[OBJECT]"},
	 .help = "explains all commands, or those of one object",
	 .run = cli_run_help},
};

#define OBJECT(name, help)                                                                         \
	{                                                                                          \
#name, help, name##_verbs, TD_ARRAY_SIZE(name##_verbs)                             \
	}

const struct cli_object cli_objects[] = {
	OBJECT(status, "the whole on one screen; what `tundish` alone shows"),
	OBJECT(service, "virtual IPs and ports that are served"),
	OBJECT(backend, "servers behind a service"),
	OBJECT(worker, "listeners of this host behind a service"),
	OBJECT(exec, "a server with its group's sockets"),
	OBJECT(flow, "connections in the flow table"),
	OBJECT(tuple, "connections per (client, VIP, port)"),
	OBJECT(port, "source ports of this host, and of translated connections"),
	OBJECT(timewait, "sockets in TIME_WAIT"),
	OBJECT(egress, "source addresses of outbound connections"),
	OBJECT(trace, "the way of one packet"),
	OBJECT(doctor, "queues and limits"),
	OBJECT(config, "the configuration"),
	OBJECT(daemon, "the daemon itself"),
	OBJECT(events, "the daemon's acts"),
	OBJECT(capture, "packets"),
	OBJECT(top, "the live screen"),
	OBJECT(unload, "the end of it all"),
	OBJECT(help, "this text"),
};
const size_t cli_n_objects = TD_ARRAY_SIZE(cli_objects);
