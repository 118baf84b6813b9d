// SPDX-License-Identifier: GPL-2.0-only
/*
 * The rows, in the order in which they are printed.
 *
 * A row's default is text that goes through the same reader as the file's, so
 * it cannot differ in form or break its own bounds. What later versions take is
 * here too, so that it is told apart from what no version ever took.
 */
#include <netinet/in.h>
#include <tundish/flow.h>
#include <tundish/lane.h>
#include <tundish/fragment.h>
#include <tundish/limits.h>
#include <tundish/nat.h>
#include <tundish/workers.h>

#include "config/schema.h"
#include "config/value.h"
#include "lib/suggest.h"

static const struct td_choice attach_choices[] = {
	{"auto", TD_ATTACH_AUTO, false},
	{"native", TD_ATTACH_NATIVE, false},
	{"generic", TD_ATTACH_GENERIC, false},
	{0},
};

static const struct td_choice protocol_choices[] = {
	{"tcp", IPPROTO_TCP, false},
	{"udp", IPPROTO_UDP, false},
	{0},
};

static const struct td_choice delivery_choices[] = {
	{"workers", TUNDISH_DELIVERY_WORKERS, false},
	{"dsr", TUNDISH_DELIVERY_DSR, false},
	{"ipip", TUNDISH_DELIVERY_IPIP, false},
	{"gue", TUNDISH_DELIVERY_GUE, false},
	{"nat", TUNDISH_DELIVERY_NAT, false},
	{"fullnat", TUNDISH_DELIVERY_FULLNAT, false},
	{0},
};

static const struct td_choice scheduler_choices[] = {
	{"maglev", TD_SCHEDULER_MAGLEV, false},
	{"least-connections", TD_SCHEDULER_LEAST_CONNECTIONS, false},
	{0},
};

static const struct td_choice service_choice[] = {
	{"service", TD_MAX_CONNECTIONS_SERVICE, false},
	{0},
};

static const struct td_choice boolean_choices[] = {
	{"true", true, false},
	{"false", false, false},
	{0},
};

static const struct td_choice state_choices[] = {
	{"up", TUNDISH_BACKEND_UP, false},
	{"drain", TUNDISH_BACKEND_DRAIN, false},
	{"disabled", TUNDISH_BACKEND_DISABLED, false},
	{0},
};

static const struct td_choice steering_choices[] = {
	{"least-queue", TUNDISH_STEERING_LEAST_QUEUE, false},
	{"hash", TUNDISH_STEERING_HASH, false},
	{0},
};

static const struct td_choice refuse_choices[] = {
	{"drop", TUNDISH_REFUSE_DROP, false},
	{"reset", TUNDISH_REFUSE_RESET, false},
	{0},
};

static const struct td_choice failures_choices[] = {
	{"connect", false, false},
	{"all", true, false},
	{0},
};

static const struct td_choice accept_times_choices[] = {
	{"address", TUNDISH_ACCEPT_TIMES_ADDRESS, false},
	{"all", TUNDISH_ACCEPT_TIMES_ALL, false},
	{0},
};

static const struct td_choice client_address_choices[] = {
	{"none", TUNDISH_CLIENT_ADDRESS_NONE, false},
	{"toa", TUNDISH_CLIENT_ADDRESS_TOA, false},
	{0},
};

static const struct td_choice switch_choices[] = {
	{"on", true, false},
	{"off", false, false},
	{0},
};

static const struct td_choice mss_choices[] = {
	{"off", 0, false},
	{"auto", TD_MSS_AUTO, false},
	{0},
};

static const struct td_choice auto_choice[] = {
	{"auto", 0, false},
	{0},
};

static const struct td_choice check_choices[] = {
	{"none", TD_CHECK_NONE, false},
	{"tcp", TD_CHECK_TCP, false},
	{"http", TD_CHECK_HTTP, false},
	{"https", TD_CHECK_HTTPS, false},
	{"udp", TD_CHECK_UDP, false},
	{"exec", TD_CHECK_EXEC, false},
	{0},
};

static const struct td_choice own_check_choices[] = {
	{"none", true, false},
	{0},
};

static const struct td_choice method_choices[] = {
	{"GET", TD_HTTP_GET, false},
	{"HEAD", TD_HTTP_HEAD, false},
	{"OPTIONS", TD_HTTP_OPTIONS, false},
	{0},
};

static const struct td_choice on_down_choices[] = {
	{"keep", false, false},
	{"reset", true, false},
	{0},
};

static const struct td_choice off_choice[] = {
	{"off", 0, false},
	{0},
};

#define FIELD(type, member)                                                                        \
	.offset = offsetof(struct type, member), .size = sizeof(((struct type *)0)->member)
#define LIST(type, member, n)                                                                      \
	.offset = offsetof(struct type, member), .size = sizeof(*((struct type *)0)->member),      \
	.n_offset = offsetof(struct type, n)

/* Types of checks, for keys that not all have. */
#define HTTP		(TD_OF(TD_CHECK_HTTP) | TD_OF(TD_CHECK_HTTPS))
#define TALKS		(TD_OF(TD_CHECK_TCP) | TD_OF(TD_CHECK_UDP))
#define ON_NET		(HTTP | TALKS | TD_OF(TD_CHECK_EXEC))
#define MAX_CONNECTIONS (64u << 20) /* as many as there may be flows */

#define SECOND 1000u
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)

/* A half-open entry keeps seven bits of the clock, one second and 7% each, and
 * has to be swept before they come round. */
_Static_assert(120ull * 1000000000 >> TUNDISH_TICK_SHIFT < 127 - 8, "longest SYN timeout");
_Static_assert(4ull * 3600 * 1000000000 >> TUNDISH_TICK_SHIFT < TUNDISH_TICKS_MAX,
	       "longest timeout");

const struct td_row td_schema[] = {
	{TD_SCOPE_TOP, "interfaces", TD_TYPE_OBJECTS, .required = true,
	 LIST(td_config, interfaces, n_interfaces), .opens = TD_SCOPE_INTERFACE, .max = 256,
	 .help = "interfaces that the program is attached to"},
	{TD_SCOPE_TOP, "services", TD_TYPE_OBJECTS, LIST(td_config, services, n_services),
	 .opens = TD_SCOPE_SERVICE, .max = TUNDISH_SERVICES_MAX - 1,
	 .help = "what is served, and by whom"},
	{TD_SCOPE_TOP, "egress", TD_TYPE_OBJECTS, LIST(td_config, egress, n_egress),
	 .opens = TD_SCOPE_EGRESS, .max = TUNDISH_EGRESS_MAX - 1,
	 .help = "source addresses of outgoing connections"},
	{TD_SCOPE_TOP, "timeouts", TD_TYPE_MAPPING, FIELD(td_config, timeouts),
	 .opens = TD_SCOPE_TIMEOUTS, .help = "how long a silent flow is remembered"},
	{TD_SCOPE_TOP, "limits", TD_TYPE_MAPPING, FIELD(td_config, limits),
	 .opens = TD_SCOPE_LIMITS, .help = "sizes of tables", .reload = TD_RELOAD_NEW_MAPS},
	{TD_SCOPE_TOP, "ports", TD_TYPE_MAPPING, FIELD(td_config, ports), .opens = TD_SCOPE_PORTS,
	 .help = "how source ports and TIME_WAIT are watched"},
	{TD_SCOPE_TOP, "own_connections", TD_TYPE_CHOICE, FIELD(td_config, own_connections),
	 .choices = switch_choices, .standard = "on",
	 .help = "whether this host's own connections to its VIPs are led to backends"},
	{TD_SCOPE_TOP, "gue", TD_TYPE_MAPPING, FIELD(td_config, gue), .opens = TD_SCOPE_GUE,
	 .help = "where GUE tunnels to this host end"},
	{TD_SCOPE_TOP, "metrics", TD_TYPE_MAPPING, .opens = TD_SCOPE_METRICS,
	 .help = "where metrics and the stats page are served"},
	{TD_SCOPE_TOP, "control", TD_TYPE_MAPPING, FIELD(td_config, control),
	 .opens = TD_SCOPE_CONTROL, .help = "who is answered on the control socket"},

	{TD_SCOPE_INTERFACE, "name", TD_TYPE_INTERFACE, .required = true,
	 FIELD(td_interface_conf, name), .help = "the interface's name"},
	{TD_SCOPE_INTERFACE, "attach", TD_TYPE_CHOICE, FIELD(td_interface_conf, attach),
	 .choices = attach_choices, .standard = "auto", .help = "in the driver or behind it"},

	{TD_SCOPE_SERVICE, "name", TD_TYPE_NAME, .required = true, FIELD(td_service_conf, name),
	 .help = "the service's name"},
	{TD_SCOPE_SERVICE, "vips", TD_TYPE_VIPS, .required = true,
	 LIST(td_service_conf, vips, n_vips), .min = 1, .max = TUNDISH_VIPS_MAX - 1,
	 .help = "virtual addresses or prefixes that clients connect to"},
	{TD_SCOPE_SERVICE, "protocol", TD_TYPE_CHOICE, FIELD(td_service_conf, protocol),
	 .choices = protocol_choices, .standard = "tcp", .help = "transport protocol"},
	{TD_SCOPE_SERVICE, "ports", TD_TYPE_PORTS, .required = true,
	 LIST(td_service_conf, ports, n_ports), .min = 1, .max = TUNDISH_RANGES_MAX,
	 .help = "ports that clients connect to"},
	{TD_SCOPE_SERVICE, "delivery", TD_TYPE_CHOICE, .required = true,
	 FIELD(td_service_conf, delivery), .choices = delivery_choices,
	 .help = "how packets reach the server"},
	{TD_SCOPE_SERVICE, "scheduler", TD_TYPE_CHOICE, FIELD(td_service_conf, scheduler),
	 .choices = scheduler_choices, .standard = "maglev", .help = "who gets a new connection"},
	{TD_SCOPE_SERVICE, "max_connections", TD_TYPE_NUMBER,
	 FIELD(td_service_conf, max_connections), .choices = off_choice, .max = MAX_CONNECTIONS,
	 .standard = "off", .unit = "connections",
	 .help = "most connections of each backend at the same time"},
	{TD_SCOPE_SERVICE, "own", TD_TYPE_CHOICE, FIELD(td_service_conf, own),
	 .choices = boolean_choices, .standard = "true",
	 .help = "whether the daemon keeps the VIPs on this host"},
	{TD_SCOPE_SERVICE, "flows", TD_TYPE_CHOICE, FIELD(td_service_conf, flows),
	 .choices = switch_choices, .standard = "on",
	 .help = "whether a UDP flow is remembered, and stays where it is"},
	{TD_SCOPE_SERVICE, "backends", TD_TYPE_OBJECTS, LIST(td_service_conf, backends, n_backends),
	 .opens = TD_SCOPE_BACKEND, .max = TUNDISH_BACKENDS_MAX - 1,
	 .help = "servers of a service that is not on this host alone"},
	{TD_SCOPE_SERVICE, "workers", TD_TYPE_MAPPING, FIELD(td_service_conf, workers),
	 .opens = TD_SCOPE_WORKERS, .help = "the group of listeners on this host"},
	{TD_SCOPE_SERVICE, "gue", TD_TYPE_MAPPING, FIELD(td_service_conf, gue),
	 .opens = TD_SCOPE_SERVICE_GUE, .help = "the tunnels of a gue service"},
	{TD_SCOPE_SERVICE, "sources", TD_TYPE_SOURCES, LIST(td_service_conf, sources, n_sources),
	 .max = 64, .help = "source addresses of connections to the backends"},
	{TD_SCOPE_SERVICE, "source_ports", TD_TYPE_RANGE, FIELD(td_service_conf, nat.source_ports),
	 .choices = auto_choice, .min = 1024, .max = 65535, .standard = "auto",
	 .help = "ports that are used on each source"},
	{TD_SCOPE_SERVICE, "mss", TD_TYPE_NUMBER, FIELD(td_service_conf, nat.mss),
	 .choices = mss_choices, .min = 536, .max = 9000, .standard = "off", .unit = "bytes",
	 .help = "the largest TCP segment that either end is offered"},
	{TD_SCOPE_SERVICE, "client_address", TD_TYPE_CHOICE, FIELD(td_service_conf, nat.toa),
	 .choices = client_address_choices, .standard = "none",
	 .help = "how servers learn the client's address"},
	{TD_SCOPE_SERVICE, "time_wait", TD_TYPE_DURATION, FIELD(td_service_conf, nat.time_wait_ms),
	 .min = SECOND, .max = 10 * MINUTE, .standard = "60s", .step = SECOND,
	 .help = "how long the servers' TIME_WAIT lasts"},
	{TD_SCOPE_SERVICE, "early_reuse", TD_TYPE_CHOICE, FIELD(td_service_conf, nat.early_reuse),
	 .choices = switch_choices, .standard = "on",
	 .help = "whether a port that rests is given to a SYN that the server's TIME_WAIT accepts"},
	{TD_SCOPE_SERVICE, "quic", TD_TYPE_MAPPING, FIELD(td_service_conf, quic),
	 .opens = TD_SCOPE_QUIC, .help = "connection ids that name backends"},
	{TD_SCOPE_SERVICE, "health", TD_TYPE_OPTION, FIELD(td_service_conf, health),
	 .opens = TD_SCOPE_HEALTH, .help = "how its backends are checked"},

	{TD_SCOPE_BACKEND, "name", TD_TYPE_NAME, .required = true, FIELD(td_backend_conf, name),
	 .help = "the backend's name"},
	{TD_SCOPE_BACKEND, "address", TD_TYPE_ADDRESS, FIELD(td_backend_conf, address),
	 .help = "the server's own address"},
	{TD_SCOPE_BACKEND, "addresses", TD_TYPE_SOURCES,
	 LIST(td_backend_conf, addresses, n_addresses), .min = 1, .max = TUNDISH_FAN_ADDRESSES,
	 .help = "the server's addresses, with delivery nat or fullnat"},
	{TD_SCOPE_BACKEND, "port", TD_TYPE_NUMBER, FIELD(td_backend_conf, port), .min = 1,
	 .max = 65535, .help = "the server's port, with delivery nat or fullnat"},
	{TD_SCOPE_BACKEND, "weight", TD_TYPE_NUMBER, FIELD(td_backend_conf, weight), .max = 1000,
	 .standard = "100", .help = "its share of new connections, in proportion to the others'"},
	{TD_SCOPE_BACKEND, "state", TD_TYPE_CHOICE, FIELD(td_backend_conf, state),
	 .choices = state_choices, .standard = "up", .help = "what it takes"},
	{TD_SCOPE_BACKEND, "max_connections", TD_TYPE_NUMBER,
	 FIELD(td_backend_conf, max_connections), .choices = service_choice, .max = MAX_CONNECTIONS,
	 .standard = "service", .unit = "connections",
	 .help = "most connections at the same time; 0: any number"},
	{TD_SCOPE_BACKEND, "server_id", TD_TYPE_SERVER_ID, FIELD(td_backend_conf, server_id),
	 .max = TUNDISH_SERVER_ID_MAX, .help = "its name in connection ids of QUIC"},

	{TD_SCOPE_BACKEND, "backup", TD_TYPE_CHOICE, FIELD(td_backend_conf, backup),
	 .choices = boolean_choices, .standard = "false",
	 .help = "whether it is used only where no other one is healthy"},
	{TD_SCOPE_BACKEND, "health", TD_TYPE_OPTION, FIELD(td_backend_conf, health),
	 .opens = TD_SCOPE_OWN_HEALTH, .help = "how it is checked, where that differs"},

	{TD_SCOPE_OWN_HEALTH, "type", TD_TYPE_CHOICE, FIELD(td_own_health_conf, off),
	 .choices = own_check_choices, .help = "that it is not checked"},
	{TD_SCOPE_OWN_HEALTH, "address", TD_TYPE_ADDRESS, FIELD(td_own_health_conf, address),
	 .help = "the address that is checked"},
	{TD_SCOPE_OWN_HEALTH, "port", TD_TYPE_NUMBER, FIELD(td_own_health_conf, port), .min = 1,
	 .max = 65535, .checks = ON_NET, .help = "the port that is checked"},
	{TD_SCOPE_OWN_HEALTH, "path", TD_TYPE_WORD, FIELD(td_own_health_conf, path), .max = 1023,
	 .checks = HTTP, .help = "what is asked for"},
	{TD_SCOPE_OWN_HEALTH, "host", TD_TYPE_WORD, FIELD(td_own_health_conf, host), .max = 255,
	 .checks = HTTP, .help = "the Host header"},
	{TD_SCOPE_OWN_HEALTH, "server_name", TD_TYPE_WORD, FIELD(td_own_health_conf, server_name),
	 .max = 253, .checks = TD_OF(TD_CHECK_HTTPS), .help = "the name that its certificate has"},
	{TD_SCOPE_OWN_HEALTH, "send", TD_TYPE_ESCAPED, FIELD(td_own_health_conf, send), .max = 4096,
	 .checks = TALKS, .help = "what is sent"},
	{TD_SCOPE_OWN_HEALTH, "expect", TD_TYPE_ESCAPED, FIELD(td_own_health_conf, expect),
	 .max = 4096, .checks = TALKS, .help = "what its answer has in it"},
	{TD_SCOPE_OWN_HEALTH, "agent_port", TD_TYPE_NUMBER, FIELD(td_own_health_conf, agent_port),
	 .min = 1, .max = 65535, .help = "the port of its agent"},

	{TD_SCOPE_WORKERS, "listen", TD_TYPE_LISTENS, LIST(td_workers_conf, listen, n_listen),
	 .min = 1, .max = TUNDISH_GROUP_LISTENS, .help = "addresses and ports of the listeners"},
	{TD_SCOPE_WORKERS, "steering", TD_TYPE_CHOICE, FIELD(td_workers_conf, steering),
	 .choices = steering_choices, .standard = "least-queue",
	 .help = "which listener gets a new connection"},
	{TD_SCOPE_WORKERS, "share", TD_TYPE_PERCENT, FIELD(td_workers_conf, share), .min = 1,
	 .max = 100, .standard = "100%",
	 .help = "how much of the group's accept queues the service may fill"},
	{TD_SCOPE_WORKERS, "refuse", TD_TYPE_CHOICE, FIELD(td_workers_conf, refuse),
	 .choices = refuse_choices, .standard = "drop",
	 .help = "what a client sees that no listener can take"},
	{TD_SCOPE_WORKERS, "stall", TD_TYPE_DURATION, FIELD(td_workers_conf, stall_ms), .min = 1,
	 .max = 60 * SECOND, .standard = "50ms",
	 .help = "without an accept, while some wait, before a listener gets no more"},
	{TD_SCOPE_WORKERS, "restart_grace", TD_TYPE_DURATION,
	 FIELD(td_workers_conf, restart_grace_ms), .max = 60 * SECOND, .standard = "3s",
	 .help = "how long clients are kept trying while there is no listener"},
	{TD_SCOPE_WORKERS, "size", TD_TYPE_NUMBER, FIELD(td_workers_conf, size), .min = 1,
	 .max = TUNDISH_GROUP_SIZE_MAX, .standard = "64", .unit = "listeners",
	 .help = "most listeners of the group at the same time"},
	{TD_SCOPE_WORKERS, "accept_times", TD_TYPE_CHOICE, FIELD(td_workers_conf, accept_times),
	 .choices = accept_times_choices, .standard = "address",
	 .help = "of which programs it is known how long connections wait for accept(2)"},
	{TD_SCOPE_WORKERS, "client_address", TD_TYPE_CHOICE, FIELD(td_workers_conf, client_address),
	 .choices = client_address_choices, .standard = "none",
	 .help = "where a balancer in front writes the client's own address"},
	{TD_SCOPE_WORKERS, "trusted", TD_TYPE_PREFIXES, LIST(td_workers_conf, trusted, n_trusted),
	 .max = TUNDISH_TRUSTED_SERVICE, .help = "the balancers that are believed"},

	{TD_SCOPE_SERVICE_GUE, "port", TD_TYPE_NUMBER, FIELD(td_gue_conf, port), .min = 1,
	 .max = 65535, .standard = "6080", .help = "the UDP port that the backends unwrap at"},

	{TD_SCOPE_QUIC, "config", TD_TYPE_NUMBER, FIELD(td_quic_conf, config),
	 .max = TUNDISH_QUIC_CONFIG_MAX, .standard = "0",
	 .help = "the configuration that the first three bits of an id tell"},
	{TD_SCOPE_QUIC, "server_id_length", TD_TYPE_NUMBER, .required = true,
	 FIELD(td_quic_conf, server_id_length), .min = 1, .max = TUNDISH_SERVER_ID_MAX,
	 .help = "octets of a server id"},

	{TD_SCOPE_HEALTH, "type", TD_TYPE_CHOICE, .required = true, FIELD(td_health_conf, type),
	 .choices = check_choices, .help = "what a check does"},
	{TD_SCOPE_HEALTH, "port", TD_TYPE_NUMBER, FIELD(td_health_conf, port), .min = 1,
	 .max = 65535, .checks = ON_NET, .help = "the port that is checked"},
	{TD_SCOPE_HEALTH, "path", TD_TYPE_WORD, FIELD(td_health_conf, path), .max = 1023,
	 .standard = "/", .checks = HTTP, .help = "what is asked for"},
	{TD_SCOPE_HEALTH, "interval", TD_TYPE_DURATION, FIELD(td_health_conf, interval_ms),
	 .min = 10, .max = HOUR, .standard = "2s", .help = "from one check to the next"},
	{TD_SCOPE_HEALTH, "fast_interval", TD_TYPE_DURATION,
	 FIELD(td_health_conf, fast_interval_ms), .min = 10, .max = HOUR,
	 .help = "the same, while answers contradict"},
	{TD_SCOPE_HEALTH, "down_interval", TD_TYPE_DURATION,
	 FIELD(td_health_conf, down_interval_ms), .min = 10, .max = HOUR,
	 .help = "the same, while it is down"},
	{TD_SCOPE_HEALTH, "timeout", TD_TYPE_DURATION, FIELD(td_health_conf, timeout_ms), .min = 10,
	 .max = MINUTE, .standard = "1s", .help = "that a check may take"},
	{TD_SCOPE_HEALTH, "rise", TD_TYPE_NUMBER, FIELD(td_health_conf, rise), .min = 1, .max = 100,
	 .standard = "2", .unit = "checks", .help = "good ones in a row that bring it back"},
	{TD_SCOPE_HEALTH, "fall", TD_TYPE_NUMBER, FIELD(td_health_conf, fall), .min = 1, .max = 100,
	 .standard = "3", .unit = "checks", .help = "bad ones in a row that eject it"},
	{TD_SCOPE_HEALTH, "hold_down", TD_TYPE_DURATION, FIELD(td_health_conf, hold_down_ms),
	 .max = HOUR, .standard = "0s", .help = "least time that it stays out"},
	{TD_SCOPE_HEALTH, "slow_start", TD_TYPE_DURATION, FIELD(td_health_conf, slow_start_ms),
	 .max = HOUR, .standard = "0s", .help = "over which its weight comes back"},
	{TD_SCOPE_HEALTH, "max_ejected", TD_TYPE_PERCENT, FIELD(td_health_conf, max_ejected),
	 .max = 100, .standard = "100%", .help = "most backends that are out at the same time"},
	{TD_SCOPE_HEALTH, "on_down", TD_TYPE_CHOICE, FIELD(td_health_conf, resets),
	 .choices = on_down_choices, .standard = "keep",
	 .help = "what becomes of an ejected backend's connections"},
	{TD_SCOPE_HEALTH, "host", TD_TYPE_WORD, FIELD(td_health_conf, host), .max = 255,
	 .checks = HTTP, .help = "the Host header"},
	{TD_SCOPE_HEALTH, "method", TD_TYPE_CHOICE, FIELD(td_health_conf, method),
	 .choices = method_choices, .standard = "GET", .checks = HTTP,
	 .help = "how it is asked for"},
	{TD_SCOPE_HEALTH, "status", TD_TYPE_RANGE, FIELD(td_health_conf, status), .min = 100,
	 .max = 599, .standard = "200-399", .checks = HTTP, .help = "good statuses of an answer"},
	{TD_SCOPE_HEALTH, "body", TD_TYPE_ESCAPED, FIELD(td_health_conf, body), .max = 1024,
	 .checks = HTTP, .help = "what the answer's body has in it"},
	{TD_SCOPE_HEALTH, "send", TD_TYPE_ESCAPED, FIELD(td_health_conf, send), .max = 4096,
	 .checks = TALKS, .help = "what is sent"},
	{TD_SCOPE_HEALTH, "expect", TD_TYPE_ESCAPED, FIELD(td_health_conf, expect), .max = 4096,
	 .checks = TALKS, .help = "what the answer has in it"},
	{TD_SCOPE_HEALTH, "verify", TD_TYPE_CHOICE, FIELD(td_health_conf, verify),
	 .choices = boolean_choices, .standard = "true", .checks = TD_OF(TD_CHECK_HTTPS),
	 .help = "whether the certificate is verified"},
	{TD_SCOPE_HEALTH, "server_name", TD_TYPE_WORD, FIELD(td_health_conf, server_name),
	 .max = 253, .checks = TD_OF(TD_CHECK_HTTPS), .help = "the name that certificates have"},
	{TD_SCOPE_HEALTH, "ca", TD_TYPE_FILE, FIELD(td_health_conf, ca), .max = 4095,
	 .checks = TD_OF(TD_CHECK_HTTPS), .help = "who signed the certificates"},
	{TD_SCOPE_HEALTH, "command", TD_TYPE_WORDS, LIST(td_health_conf, command, n_command),
	 .max = 64, .checks = TD_OF(TD_CHECK_EXEC), .help = "the program, and its arguments"},
	{TD_SCOPE_HEALTH, "dynamic_weight", TD_TYPE_CHOICE, FIELD(td_health_conf, dynamic_weight),
	 .choices = boolean_choices, .standard = "false", .checks = TD_OF(TD_CHECK_EXEC),
	 .help = "whether its exit status says how much of the weight"},
	{TD_SCOPE_HEALTH, "agent", TD_TYPE_MAPPING, FIELD(td_health_conf, agent),
	 .opens = TD_SCOPE_AGENT, .help = "servers tell themselves what they can take"},

	{TD_SCOPE_AGENT, "port", TD_TYPE_NUMBER, .required = true, FIELD(td_agent_conf, port),
	 .min = 1, .max = 65535, .help = "the port of the agents"},
	{TD_SCOPE_AGENT, "interval", TD_TYPE_DURATION, FIELD(td_agent_conf, interval_ms), .min = 10,
	 .max = HOUR, .standard = "2s", .help = "from one question to the next"},
	{TD_SCOPE_AGENT, "send", TD_TYPE_ESCAPED, FIELD(td_agent_conf, send), .max = 255,
	 .help = "what agents are sent"},

	{TD_SCOPE_HEALTH, "passive", TD_TYPE_MAPPING, FIELD(td_health_conf, passive),
	 .opens = TD_SCOPE_PASSIVE, .help = "clients' connections that fail eject a backend"},
	{TD_SCOPE_PASSIVE, "failures", TD_TYPE_NUMBER, .required = true,
	 FIELD(td_passive_conf, failures), .min = 1, .max = 1000, .unit = "connections",
	 .help = "failures in a row that eject it"},
	{TD_SCOPE_PASSIVE, "interval", TD_TYPE_DURATION, FIELD(td_passive_conf, interval_ms),
	 .min = 1000, .max = HOUR, .standard = "1s", .step = 1000,
	 .help = "from one look at the counts to the next"},
	{TD_SCOPE_PASSIVE, "hold_down", TD_TYPE_DURATION, FIELD(td_passive_conf, hold_down_ms),
	 .min = 1000, .max = HOUR, .standard = "30s", .help = "time that it stays out at first"},
	{TD_SCOPE_PASSIVE, "hold_down_max", TD_TYPE_DURATION,
	 FIELD(td_passive_conf, hold_down_max_ms), .min = 1000, .max = HOUR, .standard = "5m",
	 .help = "most that this time grows to"},
	{TD_SCOPE_PASSIVE, "trial", TD_TYPE_CHOICE, FIELD(td_passive_conf, trials),
	 .choices = boolean_choices, .standard = "true",
	 .help = "whether a connection of this host has to fail too"},

	{TD_SCOPE_EGRESS, "name", TD_TYPE_NAME, .required = true, FIELD(td_egress_conf, name),
	 .help = "the pool's name"},
	{TD_SCOPE_EGRESS, "cgroup", TD_TYPE_CGROUP, .required = true, FIELD(td_egress_conf, cgroup),
	 .help = "the cgroup whose processes' connections get a source"},
	{TD_SCOPE_EGRESS, "sources", TD_TYPE_SOURCES, .required = true,
	 LIST(td_egress_conf, sources, n_sources), .min = 1, .max = TUNDISH_EGRESS_SOURCES,
	 .help = "addresses of this host that connections may come from"},
	{TD_SCOPE_EGRESS, "except", TD_TYPE_PREFIXES, LIST(td_egress_conf, except, n_except),
	 .max = TUNDISH_EGRESS_EXCEPTS, .help = "destinations that are left alone"},

	{TD_SCOPE_TIMEOUTS, "syn", TD_TYPE_DURATION, FIELD(td_timeouts_conf, syn_ms),
	 .min = 2 * SECOND, .max = 120 * SECOND, .standard = "60s", .step = SECOND,
	 .help = "of a connection that is not established yet"},
	{TD_SCOPE_TIMEOUTS, "established", TD_TYPE_DURATION,
	 FIELD(td_timeouts_conf, established_ms), .min = 2 * SECOND, .max = 4 * HOUR,
	 .standard = "1h", .help = "of an established connection whose client is silent"},
	{TD_SCOPE_TIMEOUTS, "closing", TD_TYPE_DURATION, FIELD(td_timeouts_conf, closing_ms),
	 .min = 2 * SECOND, .max = 4 * HOUR, .standard = "60s", .step = SECOND,
	 .help = "of a connection that its client has closed"},
	{TD_SCOPE_TIMEOUTS, "udp_new", TD_TYPE_DURATION, FIELD(td_timeouts_conf, udp_new_ms),
	 .min = 2 * SECOND, .max = 4 * HOUR, .standard = "30s", .step = SECOND,
	 .help = "of a UDP flow that was seen once"},
	{TD_SCOPE_TIMEOUTS, "udp", TD_TYPE_DURATION, FIELD(td_timeouts_conf, udp_ms),
	 .min = 2 * SECOND, .max = 4 * HOUR, .standard = "180s", .step = SECOND,
	 .help = "of a UDP flow whose client is silent"},
	{TD_SCOPE_TIMEOUTS, "nat_established", TD_TYPE_DURATION,
	 FIELD(td_timeouts_conf, nat_established_ms), .min = 2 * SECOND, .max = 4 * HOUR,
	 .standard = "124m", .step = SECOND,
	 .help = "of an established connection that is translated, both of whose ends are silent"},
	{TD_SCOPE_TIMEOUTS, "half_closed", TD_TYPE_DURATION,
	 FIELD(td_timeouts_conf, half_closed_ms), .min = 2 * SECOND, .max = 4 * HOUR,
	 .standard = "4m", .step = SECOND, .help = "of one that one end has closed"},

#define LIMIT(key_, min_, max_, standard_, unit_, help_)                                           \
	{                                                                                          \
		TD_SCOPE_LIMITS, #key_, TD_TYPE_NUMBER, FIELD(td_limits_conf, key_),               \
			.min = min_, .max = max_, .standard = standard_, .unit = unit_,            \
			.reload = TD_RELOAD_NEW_MAPS, .help = help_                                \
	}
	LIMIT(flows, 1024, 64u << 20, "1048576", "flows", "IPv4 connections at the same time"),
	LIMIT(flows6, 1024, 64u << 20, "524288", "flows", "IPv6 connections at the same time"),
	LIMIT(tuples, 1024, 64u << 20, "262144", "tuples", "(client, VIP, port) tuples counted"),
	LIMIT(services, 1, TUNDISH_SERVICES_MAX - 1, "64", "services", "services"),
	LIMIT(backends, 1, TUNDISH_BACKENDS_MAX - 1, "4096", "backends",
	      "backends of all services"),
	LIMIT(vips, 1, TUNDISH_VIPS_MAX - 1, "1024", "VIPs", "VIPs of all services, and prefixes"),
	LIMIT(workers, 1, TUNDISH_WORKERS_MAX, "1024", "listeners",
	      "listeners of all groups, as many as the groups' sizes come to"),
	LIMIT(groups, 1, TUNDISH_GROUPS_MAX, "16", "groups", "groups of listeners"),
	LIMIT(ports, 1024, TUNDISH_PORTS_MAX, "65536", "tuples",
	      "(local IP, remote IP, remote port) tuples of source ports counted"),
	LIMIT(nat, 1024, TUNDISH_NAT_MAX, "262144", "connections",
	      "translated connections at the same time, of both families"),
	LIMIT(lanes, 1, TUNDISH_LANES_MAX - 1, "1024", "lanes",
	      "(source, server, port) tuples that translated connections use"),
	LIMIT(fragments, 1024, TUNDISH_FRAGMENTS_MAX, "8192", "packets",
	      "packets whose fragments are under way"),
#undef LIMIT

	{TD_SCOPE_PORTS, "watch", TD_TYPE_CHOICE, FIELD(td_ports_conf, watch),
	 .choices = switch_choices, .standard = "on",
	 .help = "whether sockets are counted, by scans and events"},
	{TD_SCOPE_PORTS, "namespaces", TD_TYPE_PATHS, LIST(td_ports_conf, namespaces, n_namespaces),
	 .max = TUNDISH_SPACES_MAX - 2,
	 .help = "network namespaces that are watched beside the daemon's own"},
	{TD_SCOPE_PORTS, "interval", TD_TYPE_DURATION, FIELD(td_ports_conf, interval_ms),
	 .min = SECOND, .max = 10 * MINUTE, .standard = "5s",
	 .help = "least time from scan to scan"},
	{TD_SCOPE_PORTS, "cpu", TD_TYPE_PERCENT, FIELD(td_ports_conf, cpu), .min = 1, .max = 100,
	 .standard = "2%",
	 .help = "most that scans may take of one core, which stretches the interval"},
	{TD_SCOPE_PORTS, "failures", TD_TYPE_CHOICE, FIELD(td_ports_conf, every_failure),
	 .choices = failures_choices, .standard = "connect",
	 .help = "calls whose failures to get a port are counted"},

	{TD_SCOPE_GUE, "port", TD_TYPE_NUMBER, FIELD(td_gue_conf, port), .min = 1, .max = 65535,
	 .standard = "6080", .help = "the UDP port that this host unwraps at"},

	{TD_SCOPE_METRICS, "listen", TD_TYPE_ENDPOINT, FIELD(td_config, metrics_listen),
	 .choices = off_choice, .standard = "127.0.0.1:9799",
	 .help = "address and port of the metrics and the stats page"},
	{TD_SCOPE_METRICS, "commands", TD_TYPE_CHOICE, FIELD(td_config, metrics_commands),
	 .choices = boolean_choices, .standard = "false",
	 .help = "whether who can connect there may drain, enable and disable backends"},

	{TD_SCOPE_CONTROL, "group", TD_TYPE_NAME, FIELD(td_control_conf, group),
	 .standard = "tundish", .help = "the group whose members may read"},
	{TD_SCOPE_CONTROL, "admin_group", TD_TYPE_NAME, FIELD(td_control_conf, admin_group),
	 .help = "the group whose members may change things too"},
};

const size_t td_schema_rows = TD_ARRAY_SIZE(td_schema);

const struct td_scope_info td_scopes[TD_SCOPES] = {
	[TD_SCOPE_TOP] = {"", "", 0, 0, false},
	[TD_SCOPE_INTERFACE] = {"interface", "interfaces[].", sizeof(struct td_interface_conf),
				offsetof(struct td_interface_conf, at), false},
	[TD_SCOPE_SERVICE] = {"service", "services[].", sizeof(struct td_service_conf),
			      offsetof(struct td_service_conf, at), false},
	[TD_SCOPE_BACKEND] = {"backend", "services[].backends[].", sizeof(struct td_backend_conf),
			      offsetof(struct td_backend_conf, at), true},
	[TD_SCOPE_OWN_HEALTH] = {"health", "services[].backends[].health.",
				 sizeof(struct td_own_health_conf), 0, true},
	[TD_SCOPE_WORKERS] = {"workers", "services[].workers.", 0, 0, true},
	[TD_SCOPE_SERVICE_GUE] = {"gue", "services[].gue.", 0, 0, true},
	[TD_SCOPE_QUIC] = {"quic", "services[].quic.", 0, 0, true},
	[TD_SCOPE_HEALTH] = {"health", "services[].health.", sizeof(struct td_health_conf), 0,
			     true},
	[TD_SCOPE_AGENT] = {"agent", "services[].health.agent.", 0, 0, true},
	[TD_SCOPE_PASSIVE] = {"passive", "services[].health.passive.", 0, 0, true},
	[TD_SCOPE_EGRESS] = {"egress", "egress[].", sizeof(struct td_egress_conf),
			     offsetof(struct td_egress_conf, at), false},
	[TD_SCOPE_TIMEOUTS] = {"timeouts", "timeouts.", 0, 0, true},
	[TD_SCOPE_LIMITS] = {"limits", "limits.", 0, 0, false},
	[TD_SCOPE_PORTS] = {"ports", "ports.", 0, 0, true},
	[TD_SCOPE_GUE] = {"gue", "gue.", 0, 0, true},
	[TD_SCOPE_METRICS] = {"metrics", "metrics.", 0, 0, true},
	[TD_SCOPE_CONTROL] = {"control", "control.", 0, 0, true},
};

const struct td_row *td_schema_find(enum td_scope scope, const char *key)
{
	for (size_t i = 0; i < td_schema_rows; i++)
		if (td_schema[i].scope == scope && !strcmp(td_schema[i].key, key))
			return &td_schema[i];
	return NULL;
}

const char *td_schema_path(const struct td_row *row, char *buffer, size_t size)
{
	snprintf(buffer, size, "%s%s%s", td_scopes[row->scope].path, row->key,
		 row->type == TD_TYPE_OBJECTS ? "[]" : "");
	return buffer;
}

void td_schema_defaults(enum td_scope scope, void *object)
{
	for (size_t i = 0; i < td_schema_rows; i++) {
		const struct td_row *row = &td_schema[i];

		if (row->scope != scope)
			continue;
		if (row->type == TD_TYPE_MAPPING)
			td_schema_defaults(row->opens, (char *)object + row->offset);
		else if (row->standard)
			td_value_read(row, row->standard, object, NULL);
	}
}

/* ---- what would be valid ---------------------------------------------------- */

/* A list that grows in a buffer, and the member that was probably meant. */
struct valid {
	char *buffer;
	size_t size, used;
	struct td_suggest suggest;
};

static void valid_add(struct valid *v, const char *word)
{
	int n = snprintf(v->buffer + v->used, v->size - v->used, "%s%s", v->used ? ", " : "", word);

	td_suggest_add(&v->suggest, word);
	if (n > 0)
		v->used = TD_MIN(v->used + (size_t)n, v->size - 1);
}

static const char *valid_end(struct valid *v)
{
	td_suggest_tell(&v->suggest, v->buffer + v->used, v->size - v->used);
	return v->buffer;
}

const char *td_schema_valid_keys(enum td_scope scope, const char *given, char *buffer, size_t size)
{
	struct valid v = {buffer, size, 0, {.given = given}};

	*buffer = '\0';
	for (size_t i = 0; i < td_schema_rows; i++)
		if (td_schema[i].scope == scope && td_schema[i].type != TD_TYPE_LATER)
			valid_add(&v, td_schema[i].key);
	return valid_end(&v);
}

const char *td_schema_valid_choices(const struct td_choice *choices, const char *given,
				    char *buffer, size_t size)
{
	struct valid v = {buffer, size, 0, {.given = given}};

	*buffer = '\0';
	for (; choices->name; choices++)
		if (!choices->later)
			valid_add(&v, choices->name);
	return valid_end(&v);
}
