/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The configuration as a value: what the file says, after every check that
 * needs no look at the host. Made by config/ from YAML, read by everybody,
 * changed by nobody.
 */
#ifndef TD_CORE_CONFIG_H
#define TD_CORE_CONFIG_H

#include <net/if.h>

#include <tundish/maps.h>

#include "lib/util.h"

/* Where in the file a thing stands; both count from 1. */
struct td_place {
	unsigned int line, column;
};

enum td_attach {
	TD_ATTACH_AUTO,
	TD_ATTACH_NATIVE,
	TD_ATTACH_GENERIC,
};

struct td_interface_conf {
	char name[IFNAMSIZ];
	enum td_attach attach;
	struct td_place at;
};

struct td_vip_conf {
	struct tundish_addr address; /* of a prefix: with the host part zero */
	uint8_t prefix;		     /* length in the 128-bit form; 128: one address */
	struct td_place at;
};

/* `any` is 0-65535. */
struct td_port_conf {
	uint16_t first, last;
	struct td_place at;
};

struct td_source_conf {
	struct tundish_addr address;
	struct td_place at;
};

/* The first and the last of a range; both 0: `auto`. */
struct td_range_conf {
	uint16_t first, last;
};

enum td_check_type {
	TD_CHECK_NONE,
	TD_CHECK_TCP,
	TD_CHECK_HTTP,
	TD_CHECK_HTTPS,
	TD_CHECK_UDP,
	TD_CHECK_EXEC,
};

enum td_http_method {
	TD_HTTP_GET,
	TD_HTTP_HEAD,
	TD_HTTP_OPTIONS,
};

/* HAProxy's agent-check: the server tells what it can take. */
struct td_agent_conf {
	uint16_t port;	      /* 0: there is none */
	uint32_t interval_ms; /* 2 s; 10 ms..1 h */
	char *send;	      /* escaped, as td_escape_read takes it; NULL: nothing */
};

/* Connections of clients that fail eject a server (passive.h). */
struct td_passive_conf {
	uint16_t failures;	   /* 0: they do not; 1..1000 */
	uint32_t interval_ms;	   /* 1 s; 1 s..1 h, whole seconds */
	uint32_t hold_down_ms;	   /* 30 s; 1 s..1 h */
	uint32_t hold_down_max_ms; /* 5 min; 1 s..1 h */
	bool trials;		   /* true */
};

/* `health:` of a service: how its backends are checked, and what follows. Texts are NULL where
 * they are not given. */
struct td_health_conf {
	uint8_t type;		/* enum td_check_type */
	uint16_t port;		/* 0: the backend's, or the service's only one */
	uint32_t interval_ms;	/* 2 s; 10 ms..1 h */
	uint32_t timeout_ms;	/* 1 s; 10 ms..1 min */
	uint16_t rise, fall;	/* 2, 3; 1..100 */
	uint32_t hold_down_ms;	/* 0; ..1 h */
	uint32_t slow_start_ms; /* 0; ..1 h */
	uint16_t max_ejected;	/* percent, 100 */
	bool resets;		/* on_down: reset */
	uint8_t method;		/* enum td_http_method */
	bool dynamic_weight;	/* false; exec: its status says how much */
	/* In place of the interval; 0: as that is; 10 ms..1 h */
	uint32_t fast_interval_ms, down_interval_ms;
	char *path, *host, *body;
	struct td_range_conf status; /* 200-399 */
	char *send, *expect;	     /* escaped, as td_escape_read takes it */
	bool verify;		     /* true */
	char *server_name, *ca;
	char **command;
	size_t n_command;
	struct td_agent_conf agent;
	struct td_passive_conf passive;
	struct td_place at;
};

/* What a backend's own `health:` changes of it; zero and NULL: nothing. */
struct td_own_health_conf {
	bool off;		     /* type: none */
	struct tundish_addr address; /* ::, all zero: none */
	uint16_t port, agent_port;
	char *path, *host, *server_name, *send, *expect;
};
enum td_scheduler {
	TD_SCHEDULER_MAGLEV = 0,
	TD_SCHEDULER_LEAST_CONNECTIONS = 1,
};

/* Of a backend: as many as its service says. */
#define TD_MAX_CONNECTIONS_SERVICE UINT32_MAX

struct td_backend_conf {
	char name[TUNDISH_NAME_LEN];
	struct tundish_addr address;	  /* of `addresses`, the first */
	struct td_source_conf *addresses; /* where `addresses` was given; else none */
	size_t n_addresses;
	uint16_t port;	 /* nat, fullnat: the server's; 0: as the service's */
	uint16_t weight; /* 0..1000, 100 unless given */
	uint8_t state; /* TUNDISH_BACKEND_UP, _DRAIN or _DISABLED: `state: up | drain | disabled` */
	struct tundish_server_id server_id; /* of QUIC; length 0: none */
	bool backup;			    /* false */
	struct td_own_health_conf *health;  /* NULL: as the service's */
	uint32_t max_connections;	    /* 0: any number; TD_MAX_CONNECTIONS_SERVICE */
	struct td_place at;
};

struct td_listen_conf {
	struct tundish_addr address; /* may be a wildcard: ::ffff:0.0.0.0 or :: */
	uint16_t port;
	struct td_place at;
};

/* `workers:` of a service with delivery workers, or of another one of whose backends
 * is this host. Services with the same list (in any order) stand in front of one group. */
struct td_workers_conf {
	struct td_listen_conf *listen; /* ascending by (address, port); none: the listeners are
					* on the VIP's own address and port, and not steered */
	size_t n_listen;
	uint8_t steering;	     /* enum tundish_steering_method */
	uint8_t refuse;		     /* enum tundish_refuse */
	uint8_t accept_times;	     /* enum tundish_accept_times */
	uint8_t client_address;	     /* enum tundish_client_address */
	uint16_t share;		     /* percent of the group's queues, 1..100 */
	uint32_t stall_ms;	     /* 50; 1..60000 */
	uint32_t restart_grace_ms;   /* 3000; 0..60000 */
	uint32_t size;		     /* most workers of the group, 64; 1..256 */
	struct td_vip_conf *trusted; /* whose word is taken for a client's address */
	size_t n_trusted;
};

/* Generic UDP encapsulation: the UDP port that tunnels end at. */
struct td_gue_conf {
	uint16_t port; /* 6080; 1..65535 */
};

#define TD_MSS_AUTO 1

/* Of deliveries nat and fullnat; says nothing with others. */
struct td_nat_conf {
	struct td_range_conf source_ports; /* auto */
	uint16_t mss;			   /* 0 off, TD_MSS_AUTO, 536..9000 */
	bool toa;			   /* servers learn the client's address */
	bool early_reuse;		   /* true */
	uint32_t time_wait_ms;		   /* 60 s; 1 s..10 min */
};

/* Connection ids of QUIC that name a backend. */
struct td_quic_conf {
	uint16_t config;	   /* 0..6 */
	uint16_t server_id_length; /* 1..15; 0: the service has no such ids */
};

struct td_service_conf {
	char name[TUNDISH_NAME_LEN];
	struct td_vip_conf *vips;
	size_t n_vips;
	struct td_port_conf *ports;
	size_t n_ports;
	struct td_backend_conf *backends; /* none where delivery is workers */
	size_t n_backends;
	uint8_t protocol;  /* IPPROTO_TCP, IPPROTO_UDP */
	uint8_t delivery;  /* enum tundish_delivery */
	bool own;	   /* the daemon keeps the VIPs on this host; true unless told not to */
	bool flows;	   /* false, UDP alone: each packet by the hash of its tuple, no memory */
	uint8_t scheduler; /* enum td_scheduler */
	uint32_t max_connections; /* of each backend that says nothing else; 0: any number */
	struct td_workers_conf workers;
	struct td_gue_conf gue; /* of the backends; says nothing but with delivery gue */
	struct td_nat_conf nat;
	struct td_source_conf *sources; /* of fullnat; of nat, for hairpin */
	size_t n_sources;
	struct td_quic_conf quic;
	struct td_health_conf *health; /* NULL: no checks */
	struct td_place at;
};

/* Whole seconds in the file (`30s`, `15m`, `2h`, `500ms` rounds up). */
struct td_timeouts_conf {
	uint32_t syn_ms;	     /* 60 s */
	uint32_t established_ms;     /* 1 h */
	uint32_t closing_ms;	     /* 60 s */
	uint32_t udp_new_ms;	     /* 30 s */
	uint32_t udp_ms;	     /* 180 s */
	uint32_t nat_established_ms; /* 124 min */
	uint32_t half_closed_ms;     /* 4 min, nat alone */
};

/* Sizes of tables, fixed when the maps are made. */
struct td_limits_conf {
	uint32_t flows;	    /* IPv4 flows at the same time, 1048576 */
	uint32_t flows6;    /* IPv6 flows, 524288 */
	uint32_t tuples;    /* 262144 */
	uint32_t services;  /* 64 */
	uint32_t backends;  /* 4096 */
	uint32_t vips;	    /* 1024 */
	uint32_t workers;   /* listeners of all groups, 1024 */
	uint32_t groups;    /* 16 */
	uint32_t ports;	    /* tuples of source ports, 65536 */
	uint32_t nat;	    /* translated connections, 262144 */
	uint32_t lanes;	    /* (source, server, port) tuples of them, 1024 */
	uint32_t fragments; /* packets whose fragments are under way, 8192 */
};

#define TD_NETNS_PATH 128

/* Another network namespace: "/run/netns/NAME", "/proc/PID/ns/net". */
struct td_netns_conf {
	char path[TD_NETNS_PATH];
	struct td_place at;
};

/* Source ports and TIME_WAIT: how they are watched. */
struct td_ports_conf {
	bool watch;			  /* true */
	struct td_netns_conf *namespaces; /* beside the daemon's own */
	size_t n_namespaces;
	uint32_t interval_ms; /* least time from scan to scan, 5000; 1000..600000 */
	uint16_t cpu;	      /* most that scans may take, in percent of one core, 2; 1..100 */
	bool every_failure;   /* binds that get no port too, not only connects; false */
};

#define TD_CGROUP_PATH 256

/* Source addresses for connections that the processes of a cgroup open. */
struct td_egress_conf {
	char name[TUNDISH_NAME_LEN];
	char cgroup[TD_CGROUP_PATH]; /* absolute, or from the root of the cgroup tree on */
	struct td_source_conf *sources;
	size_t n_sources;
	struct td_vip_conf *except; /* destinations that are left alone */
	size_t n_except;
	struct td_place at;
};

/* Who is answered on the control socket, beside root and the daemon's own user. */
struct td_control_conf {
	char group[33];	      /* may read: the socket is its */
	char admin_group[33]; /* may change too; "": none */
};

struct td_config {
	struct td_interface_conf *interfaces;
	size_t n_interfaces;
	struct td_service_conf *services;
	size_t n_services;
	struct td_egress_conf *egress;
	size_t n_egress;
	struct td_timeouts_conf timeouts;
	struct td_limits_conf limits;
	struct td_ports_conf ports;
	bool own_connections;	 /* this host's own programs reach its VIPs, true */
	struct td_gue_conf gue;	 /* of this host */
	char metrics_listen[64]; /* "127.0.0.1:9799"; "" is `listen: off` */
	bool metrics_commands;	 /* what can connect there may drain, enable and disable backends */
	struct td_control_conf control;
};

static inline bool td_translates(uint8_t delivery)
{
	return delivery == TUNDISH_DELIVERY_NAT || delivery == TUNDISH_DELIVERY_FULLNAT;
}

static inline uint32_t td_backend_max_connections(const struct td_service_conf *s,
						  const struct td_backend_conf *b)
{
	return b->max_connections == TD_MAX_CONNECTIONS_SERVICE ? s->max_connections
								: b->max_connections;
}

/* Whether a new connection is not left to the slot that its hash gives. */
bool td_service_chooses(const struct td_service_conf *s);

static inline size_t td_backend_addresses(const struct td_backend_conf *b)
{
	return b->n_addresses ? b->n_addresses : 1;
}

static inline const struct tundish_addr *td_backend_address(const struct td_backend_conf *b,
							    size_t i)
{
	return b->n_addresses ? &b->addresses[i].address : &b->address;
}

/* Frees all that it holds, then itself; NULL is allowed. Returns NULL. */
struct td_config *td_config_free(struct td_config *c);

/* Both may be NULL. */
bool td_health_conf_equal(const struct td_health_conf *a, const struct td_health_conf *b);
void td_health_conf_free(struct td_health_conf *h);
bool td_own_health_conf_equal(const struct td_own_health_conf *a,
			      const struct td_own_health_conf *b);
void td_own_health_conf_free(struct td_own_health_conf *h);

/* Whether both say the same, in the same order; places in the file do not count. */
bool td_config_equal(const struct td_config *a, const struct td_config *b);

/* The service of that name, of TUNDISH_NAME_LEN bytes at most, or NULL. */
const struct td_service_conf *td_config_service(const struct td_config *c, const char *name);

bool td_ports_conf_equal(const struct td_ports_conf *a, const struct td_ports_conf *b);

static inline void td_config_freep(struct td_config **c)
{
	td_config_free(*c);
}

#endif
