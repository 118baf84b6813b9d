/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What stands, or shall stand, in the maps, as a value. The daemon reads the
 * installed state out of the pinned maps, makes the wanted state from the
 * configuration, and plan.h turns the difference into steps.
 */
#ifndef TD_CORE_STATE_H
#define TD_CORE_STATE_H

#include <tundish/lane.h>
#include <tundish/maps.h>
#include <tundish/nat.h>

#include "core/address.h"
#include "core/config.h"

struct td_service_state {
	uint32_t id; /* index in services and maglev; 0: not given yet */
	struct tundish_service value;
	struct tundish_deliver deliver;
};

struct td_backend_state {
	uint32_t id; /* index in backends; 0: not given yet */
	struct tundish_backend value;
};

struct td_vip_state {
	struct tundish_addr address;
	uint8_t prefix; /* length in the 128-bit form; 128: one address */
	struct tundish_vip value;
};

struct td_lane_state {
	uint32_t id; /* index in lanes, and in lane_ports */
	struct tundish_lane value;
	struct td_range_conf ports; /* wanted, of one with a source; both 0: auto */
};

struct td_host_state {
	struct tundish_addr address;
	struct tundish_nat_host value;
};

struct td_fan_state {
	uint32_t id; /* of the backend */
	struct tundish_fan value;
};

/* A server id of QUIC, and whom it stands for. */
struct td_quic_state {
	struct tundish_quic_key key; /* first: it is compared */
	uint32_t backend;
};

/* Each array ascends by id, hosts by address, VIPs as td_prefix_compare says, server ids by
 * their bytes. */
struct td_state {
	struct td_service_state *services;
	size_t n_services;
	struct td_backend_state *backends;
	size_t n_backends;
	struct td_vip_state *vips;
	size_t n_vips;
	struct td_quic_state *quic;
	size_t n_quic;
	/* Of these three td_kernel_read_lanes. */
	struct td_lane_state *lanes;
	size_t n_lanes;
	struct td_host_state *hosts;
	size_t n_hosts;
	struct td_fan_state *fans;
	size_t n_fans;
};

void td_state_done(struct td_state *s);

/* The entry, or NULL. A service in state GONE is not found by name; of backends
 * with one name the one that is not GONE is found. */
struct td_service_state *td_state_service(const struct td_state *s, const char *name);
struct td_service_state *td_state_service_by_id(const struct td_state *s, uint32_t id);
struct td_backend_state *td_state_backend(const struct td_state *s, uint32_t service,
					  const char *name);
struct td_backend_state *td_state_backend_by_id(const struct td_state *s, uint32_t id);
/* The VIP of exactly this address and length; that of the address alone. */
struct td_vip_state *td_state_prefix(const struct td_state *s, const struct td_prefix *prefix);
struct td_vip_state *td_state_vip(const struct td_state *s, const struct tundish_addr *address);

/* A prefix of at most so many addresses has a number for each, where there are enough. */
#define TD_VIP_BLOCK 4096u

/* How many that would be, less one; `mask` of an entry that shares is smaller. */
uint32_t td_vip_mask(const struct td_prefix *prefix);

/* For qsort, of struct td_vip_state. */
int td_vip_state_compare(const void *a, const void *b);

struct td_quic_state *td_state_quic(const struct td_state *s, const struct tundish_quic_key *key);
/* For qsort, of struct td_quic_state and of what begins with one. */
int td_quic_state_compare(const void *a, const void *b);

/* The service's name; "unknown". */
const char *td_service_name(const struct td_state *s, uint32_t id);
/* The address that a VIP's number is of, in `buffer` of TD_PREFIX_TEXT; NULL: not in the file any more. */
const char *td_vip_text(const struct td_state *s, uint32_t id, char *buffer);
/* Whether a backend is one of those that people see. */
bool td_backend_listed(const struct tundish_backend *b);
/* Whether it is one of them, with connections that are translated. */
bool td_backend_translates(const struct tundish_backend *b);

/* The backends of each service: those of one are index[first[id]] and on, before
 * index[first[id + 1]]. */
struct td_members {
	size_t *first; /* [TUNDISH_SERVICES_MAX + 1] */
	size_t *index;
};

int td_state_members(const struct td_state *s, struct td_members *ret); /* 0 or -ENOMEM */
void td_members_done(struct td_members *m);

/* What is in force: the run-time setting where there is one, else the file's. */
uint16_t td_backend_weight(const struct tundish_backend *b);
uint8_t td_backend_admin_state(const struct tundish_backend *b);
#define TD_WEIGHT_MAX 1000u
/* The weight, with what health puts to it: a slow start, and what the server's agent says. */
uint16_t td_backend_share(const struct tundish_backend *b);
/* What it shall be if others take its place: `down` where health says so and nobody
 * has told it to be anything but up. */
uint8_t td_backend_state_wanted(const struct tundish_backend *b);
/* For people. One that is down, and whose connections are reset (on_down), is to the data path
 * as if it were disabled. */
uint8_t td_backend_state_shown(const struct tundish_backend *b);
/* Whether it takes new connections although health says down: for want of others, or because
 * as many are out as may be. */
bool td_backend_is_last(const struct tundish_backend *b);

#endif
