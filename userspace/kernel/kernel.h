/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The BPF object, its pinned maps and its attachments: the one place that
 * includes libbpf and libxdp. Everybody else sees typed maps.
 *
 * What is pinned in DIR: each map of TUNDISH_MAPS under its name, and the
 * tracing program as `prog_trace`. The attached program is held by the
 * interface itself (and by libxdp's dispatcher where there is one), so it
 * outlives the daemon. DIR is locked (flock) by the daemon that runs it.
 */
#ifndef TD_KERNEL_H
#define TD_KERNEL_H

#include <net/if.h>
#include <sys/socket.h>

#include <tundish/capture.h>
#include <tundish/counters.h>
#include <tundish/egress.h>
#include <tundish/lane.h>
#include <tundish/maps.h>
#include <tundish/nat.h>
#include <tundish/own.h>
#include <tundish/ports.h>
#include <tundish/trace.h>
#include <tundish/workers.h>

#include "core/config.h"
#include "core/state.h"

struct td_kernel;

enum td_kernel_flag {
	TD_KERNEL_MOUNT_BPFFS = 1 << 0, /* mount /sys/fs/bpf where it is missing */
};

/*
 * Opens the data path: adopts what is pinned in `pin_dir`, or makes it.
 *
 * Table sizes come from `limits` when maps are made; pinned ones keep theirs
 * (td_kernel_settings tells them, and *ret_note, if not NULL, becomes a
 * sentence to free where the two differ). Where the pinned maps were made by
 * another build of the same layout, the new programs are loaded over the old
 * maps and td_kernel_attach replaces the attached ones.
 *
 * Errors, each with its sentence: -EBUSY another daemon holds the directory,
 * -ENOTDIR or -EINVAL it is not on a bpf filesystem, -EPROTO another layout
 * version or a foreign pin (says how to go on), -EPERM, -ENOMEM, and what the
 * verifier or the kernel says (its log is added at debug level only).
 * Nothing that was there is touched on failure.
 */
int td_kernel_open(const char *pin_dir, const struct td_limits_conf *limits, unsigned int flags,
		   struct td_kernel **ret, bool *ret_adopted, char **ret_note,
		   struct td_error *error);

/* Whether td_kernel_open would take what is pinned there, as far as its layout goes; 0 too
 * where nothing is pinned. */
int td_kernel_can_adopt(const char *pin_dir, bool *ret_same_build, struct td_error *error);

/* Whether programs of another build could be put in the place of those that are attached; what
 * stands in a dispatcher takes a privilege that the daemon gives up. */
bool td_kernel_may_replace(struct td_kernel *k);

/* Closes descriptors and mappings; what is pinned and attached goes on. NULL is
 * allowed. Returns NULL. */
struct td_kernel *td_kernel_close(struct td_kernel *k);

/* Detaches from every interface that carries this pin directory's program and
 * removes all pins. Works without a daemon and with foreign remains; -ENOENT
 * where there was nothing. */
int td_kernel_unload(const char *pin_dir, struct td_error *error);

/* Inodes of the listeners whose groups were given the migration program, which stays on them after an
 * unload unless it is taken off (td_host_release_groups). The caller frees *ret. */
int td_kernel_pinned_migrating(const char *pin_dir, uint64_t **ret, size_t *ret_n);

/* The VIPs that stand in the pinned map `vips`, and sources of lanes, for who takes down what a dead
 * daemon left; works without a lock. The caller frees *ret. -ENOENT where none
 * is pinned. */
int td_kernel_pinned_vips(const char *pin_dir, struct td_prefix **ret, size_t *ret_n);

/* Likewise the ports of lanes that are kept from this host's own sockets; those beyond
 * ip_local_port_range are not. */
int td_kernel_pinned_reserved(const char *pin_dir, uint64_t ret[TUNDISH_LANE_WORDS]);

const struct tundish_settings *td_kernel_settings(const struct td_kernel *k);

/* The only settings that may change while the maps live: timeouts (ticks), and the UDP
 * port of GUE tunnels to this host. */
int td_kernel_set_timeouts(struct td_kernel *k, const struct tundish_settings *with_timeouts);
int td_kernel_set_gue_port(struct td_kernel *k, uint16_t port);

/* ---- attachments ------------------------------------------------------- */

enum td_attach_mode {
	TD_MODE_NONE,
	TD_MODE_NATIVE,
	TD_MODE_GENERIC,
	TD_MODE_OFFLOAD,
};
/* "none", "native", "generic", "offload" */
const char *td_mode_name(enum td_attach_mode mode);

struct td_attachment {
	char name[IFNAMSIZ];
	unsigned int ifindex;
	enum td_attach_mode mode;
	bool dispatcher; /* beside other programs, through libxdp's dispatcher */
	bool fresh;	 /* of td_kernel_attach: nothing of ours was there before */
	char note[256];	 /* why not native, why alone; "" where there is nothing to say */
};

/* Attaches to one interface, or finds itself attached already; replaces an
 * older build of itself. Natively first under TD_ATTACH_AUTO. */
int td_kernel_attach(struct td_kernel *k, const struct td_interface_conf *interface,
		     struct td_attachment *ret, struct td_error *error);

/* -ENOENT where it is not attached there. */
int td_kernel_detach(struct td_kernel *k, const char *name, struct td_error *error);

/* All interfaces that carry this data path now; the caller frees *ret. */
int td_kernel_attachments(struct td_kernel *k, struct td_attachment **ret, size_t *ret_n);

/* ---- maps --------------------------------------------------------------- */

/* Reads services, backends, vips and server ids; the caller ends *ret with td_state_done. */
int td_kernel_read_state(struct td_kernel *k, struct td_state *ret);

int td_kernel_put_service(struct td_kernel *k, uint32_t id, const struct tundish_service *value);
/* Whether a service's row chooses, or is about to. */
int td_kernel_put_row_state(struct td_kernel *k, uint32_t id, bool chooses, bool unsettled);
/* Into `vips` or `prefixes`, by the length. */
int td_kernel_put_vip(struct td_kernel *k, const struct td_prefix *prefix,
		      const struct tundish_vip *value);
int td_kernel_delete_vip(struct td_kernel *k, const struct td_prefix *prefix);
int td_kernel_put_nexthop(struct td_kernel *k, uint32_t index, const struct tundish_nexthop *value);
int td_kernel_get_nexthop(struct td_kernel *k, uint32_t index, struct tundish_nexthop *ret);

/* Server ids of QUIC. -ENOENT where there is none; to delete such a one is no error. */
int td_kernel_put_server_id(struct td_kernel *k, const struct tundish_quic_key *key,
			    uint32_t backend);
int td_kernel_get_server_id(struct td_kernel *k, const struct tundish_quic_key *key,
			    uint32_t *ret_backend);
int td_kernel_delete_server_id(struct td_kernel *k, const struct tundish_quic_key *key);

/* Writes the first and third cache line field by field, each with one store,
 * and leaves the counts alone. */
void td_kernel_put_backend(struct td_kernel *k, uint32_t id, const struct tundish_backend *value);

/* The mapped tables themselves, shared with the data path: single words are
 * read and changed with __atomic builtins only. Valid until td_kernel_close. */
struct tundish_backend *td_kernel_backends(struct td_kernel *k); /* [backends_max] */
struct tundish_maglev *td_kernel_maglev(struct td_kernel *k, uint32_t service);
struct tundish_flow_bucket *td_kernel_flows(struct td_kernel *k);   /* [flow_buckets] */
struct tundish_flow6_bucket *td_kernel_flows6(struct td_kernel *k); /* [flow6_buckets] */
struct tundish_tuple_bucket *td_kernel_tuples(struct td_kernel *k); /* [tuple_buckets] */

/* Sums over all CPUs. */
int td_kernel_counters(struct td_kernel *k, struct tundish_counters *ret);
int td_kernel_traffic(struct td_kernel *k, uint32_t backend, struct tundish_traffic *ret);
/* Of all of them, [backends_max]. */
int td_kernel_traffic_all(struct td_kernel *k, struct tundish_traffic *ret);

/* ---- translated connections -------------------------------------------------- */

/* What the maps have; n_hosts is kept by the two below. */
const struct tundish_nat_settings *td_kernel_nat_settings(const struct td_kernel *k);
int td_kernel_set_nat_timeouts(struct td_kernel *k, const struct tundish_nat_timeouts *t);

/* Whose an address is: nat_hosts. */
int td_kernel_put_host(struct td_kernel *k, const struct tundish_addr *address,
		       const struct tundish_nat_host *value);
int td_kernel_delete_host(struct td_kernel *k, const struct tundish_addr *address);
/* All of them, ascending by address; the caller frees both. */
int td_kernel_hosts(struct td_kernel *k, struct tundish_addr **ret,
		    struct tundish_nat_host **ret_value, size_t *ret_n);

/* Adds lanes, hosts and fans to a state. */
int td_kernel_read_lanes(struct td_kernel *k, struct td_state *s);

/* A new lane's entry with all of its ports taken, `usable` 0; of one that is there
 * the flags alone. Without a source it has no ports and is usable at once. */
void td_kernel_put_lane(struct td_kernel *k, uint32_t id, const struct tundish_lane *value);
/* Of one that nothing uses. */
void td_kernel_delete_lane(struct td_kernel *k, uint32_t id);
void td_kernel_put_fan(struct td_kernel *k, uint32_t backend, const struct tundish_fan *value);
/* All but full_ns. */
void td_kernel_put_deliver(struct td_kernel *k, uint32_t service,
			   const struct tundish_deliver *value);

/* Networks of clients that backends would answer past this host: nat_near. */
int td_kernel_put_near(struct td_kernel *k, const struct td_prefix *prefix);
int td_kernel_delete_near(struct td_kernel *k, const struct td_prefix *prefix);
int td_kernel_near(struct td_kernel *k, struct td_prefix **ret, size_t *ret_n);

/* Mapped, as above. */
struct tundish_nat *td_kernel_nat(struct td_kernel *k);		      /* [8 * nat_buckets] */
struct tundish_nat_bucket *td_kernel_nat_tags(struct td_kernel *k);   /* [2 * nat_buckets] */
struct tundish_lane *td_kernel_lanes(struct td_kernel *k);	      /* [lanes_max] */
struct tundish_lane_ports *td_kernel_lane_ports(struct td_kernel *k); /* [lanes_max] */
struct tundish_fan *td_kernel_fans(struct td_kernel *k);	      /* [backends_max] */
struct tundish_deliver *td_kernel_deliveries(struct td_kernel *k);    /* [services_max] */
struct tundish_return *td_kernel_returns(struct td_kernel *k);	      /* [TUNDISH_NAT_HOPS] */

/* What is known of a NIC. */
int td_kernel_put_link(struct td_kernel *k, uint32_t ifindex, const struct tundish_link *value);
int td_kernel_delete_link(struct td_kernel *k, uint32_t ifindex);
int td_kernel_links(struct td_kernel *k, uint32_t ret_ifindex[TUNDISH_LINKS_MAX],
		    struct tundish_link ret[TUNDISH_LINKS_MAX], size_t *ret_n);
/* No new connection finds this way back under its key; 0 also where none would have. */
int td_kernel_forget_return(struct td_kernel *k, const struct tundish_return_key *key,
			    uint32_t index);

/* ---- worker groups ---------------------------------------------------------- */

/*
 * Puts the programs around listening sockets in force for this network namespace
 * (sockops and getpeername on the root of the cgroup tree, sk_lookup on the
 * namespace), or adopts those that are pinned; replaces those of another build
 * in place. They outlive the daemon. Errors with a sentence; what was attached
 * before stays so.
 */
int td_kernel_steering_open(struct td_kernel *k, struct td_error *error);
bool td_kernel_steering_is_open(const struct td_kernel *k);

/*
 * Whether accept(2) is seen of programs too that do not ask it for an address; costs
 * every system call of the host. Where the kernel refuses, with a sentence, all else
 * stays in force.
 */
int td_kernel_every_accept(struct td_kernel *k, bool on, struct td_error *error);

/* Takes them off. */
void td_kernel_steering_close(struct td_kernel *k);

struct tundish_group *td_kernel_groups(struct td_kernel *k);	  /* [groups_max] */
struct tundish_steering *td_kernel_steering(struct td_kernel *k); /* [services_max] */
struct tundish_worker *td_kernel_workers(struct td_kernel *k);	  /* [workers_max] */
const struct tundish_waits *td_kernel_worker_waits(struct td_kernel *k);
struct tundish_waits *td_kernel_service_waits(struct td_kernel *k); /* [services_max] */
struct tundish_waits *td_kernel_syn_waits(struct td_kernel *k);	    /* [services_max] */

int td_kernel_put_listen(struct td_kernel *k, const struct tundish_listen *l, uint32_t group);
int td_kernel_delete_listen(struct td_kernel *k, const struct tundish_listen *l);
/* All of them; the caller frees both. */
int td_kernel_listens(struct td_kernel *k, struct tundish_listen **ret, uint32_t **ret_groups,
		      size_t *ret_n);

/* Whose word a service takes for a client's address; the list is the caller's to free. */
int td_kernel_put_trusted(struct td_kernel *k, uint32_t service, const struct td_prefix *prefix);
int td_kernel_delete_trusted(struct td_kernel *k, uint32_t service, const struct td_prefix *prefix);
int td_kernel_trusted(struct td_kernel *k, uint32_t service, struct td_prefix **ret, size_t *ret_n);

/* Takes in listeners that were there before their group, or before the programs. */
int td_kernel_scan_listeners(struct td_kernel *k, struct td_error *error);
/* Takes in UDP sockets, which only this does. */
int td_kernel_scan_udp(struct td_kernel *k, struct td_error *error);

/*
 * Puts a listening socket at a free index of the group by hand. The descriptor
 * stays the caller's. *ret_index tells where. -ENOSPC no place, -EEXIST it is in
 * already, -EOPNOTSUPP the kernel does not take it (MPTCP).
 */
int td_kernel_adopt_listener(struct td_kernel *k, uint32_t group, int fd,
			     const struct tundish_worker *about, uint32_t *ret_index);

/* Brings `queue` and `limit` of all workers up to date. */
int td_kernel_measure_queues(struct td_kernel *k);

/* Whether the socket at this index is still there. */
bool td_kernel_worker_lives(struct td_kernel *k, uint32_t index);
/* Takes a socket out of its group. */
void td_kernel_remove_worker(struct td_kernel *k, uint32_t index);

/* Connections of the socket's SO_REUSEPORT group move to siblings when one closes. */
int td_kernel_attach_migrate(struct td_kernel *k, int fd);

/* The listener, and the UDP socket, that swallow what is to be dropped in silence. */
int td_kernel_set_sink(struct td_kernel *k, bool udp, int fd);

/* Who comes and goes: a descriptor to poll, -1 where steering is not open; and what
 * there is to read. */
int td_kernel_worker_events_fd(const struct td_kernel *k);
int td_kernel_read_worker_events(struct td_kernel *k,
				 void (*each)(const struct tundish_worker_event *e, void *context),
				 void *context);

/*
 * Which worker a SYN, or a datagram, would get now: asks the steering program's dry twin.
 * Ports in host byte order; both addresses of one family. *ret_worker is an index,
 * or UINT32_MAX where none; *ret_refusal then tells why (enum tundish_refusal), or
 * is TUNDISH_REFUSAL_MAX where the packet is for no steered service.
 */
int td_kernel_trace_worker(struct td_kernel *k, uint8_t protocol, const struct tundish_addr *source,
			   uint16_t source_port, const struct tundish_addr *destination,
			   uint16_t port, uint32_t *ret_worker, uint32_t *ret_refusal);

/* ---- packets for people: capture.h ------------------------------------------------ */

/* A packet at a point; `frame` has p->captured bytes. Returns false where it is enough for now. */
typedef bool (*td_capture_each)(void *context, const struct tundish_captured *p, const void *frame);

/*
 * Gives the data path a filter (`until`, `nothing` and the counts are ignored) and a ring of
 * @ring_bytes, a power of two of at least TUNDISH_CAPTURE_RING_MIN, in place of any other. Nothing is
 * captured before td_kernel_capture_renew. Errors with a sentence: -ENOMEM, -EPERM.
 */
int td_kernel_capture_begin(struct td_kernel *k, const struct tundish_capture *filter,
			    uint32_t ring_bytes, td_capture_each each, void *context,
			    struct td_error *error);
/* The lease: packets are taken until then, CLOCK_MONOTONIC. */
void td_kernel_capture_renew(struct td_kernel *k, uint64_t until_ns);
/* To poll for reading; -1: nothing is being captured. */
int td_kernel_capture_fd(const struct td_kernel *k);
/* Hands what there is to `each`, until that says enough. */
void td_kernel_capture_read(struct td_kernel *k);
/* Packets that were left out since the beginning: as the ring was more than half full, and full. */
void td_kernel_capture_lost(struct td_kernel *k, uint64_t *ret_sampled, uint64_t *ret_full);
/* Throws away what there is to read, and returns how many packets that were. */
uint64_t td_kernel_capture_drop(struct td_kernel *k);
/* Also what a daemon before has left. */
void td_kernel_capture_end(struct td_kernel *k);

/* -ENOENT where there is no such service. */
int td_kernel_service_name(struct td_kernel *k, uint32_t id, char ret[TUNDISH_NAME_LEN]);

/* ---- own connections ---------------------------------------------------------- */

/* Leads connections of this host's programs to its VIPs to backends, or adopts what does
 * (cgroup hooks on the root; without a daemon they go on). @udp: datagrams of sockets that
 * are not connected too, which each such call on the host pays for. */
int td_kernel_own_open(struct td_kernel *k, bool udp, struct td_error *error);
/* New ones are led no more; those that were go on and are given back at their end. */
void td_kernel_own_close(struct td_kernel *k);

/* ---- health checks --------------------------------------------------------------- */

/*
 * Loads the programs that lead health checks to a VIP by way of its delivery (`dsr`, `ipip`,
 * `gue`); nothing where they are loaded. They work on the interfaces that they are attached to,
 * and until this handle is closed.
 */
int td_kernel_checks_open(struct td_kernel *k, struct td_error *error);
void td_kernel_checks_close(struct td_kernel *k); /* off every interface, also what others left */

/* Both directions of an interface, by tc, beside what others have there; nothing where they
 * are on. They are needed where packets to backends leave and where answers come in. */
int td_kernel_checks_attach(struct td_kernel *k, unsigned int ifindex, struct td_error *error);
void td_kernel_checks_detach(struct td_kernel *k, unsigned int ifindex);
/* Where they, or those of a former daemon, are; the caller frees *ret. */
int td_kernel_checks_attached(struct td_kernel *k, unsigned int **ret, size_t *ret_n);

#define TD_LOOPBACK 1u /* ifindex */

/* The stand-in of IPv4 where the families differ. */
struct tundish_addr td_kernel_check_far(void);

struct td_check_way {
	struct tundish_addr vip;
	uint32_t
		backend; /* its entry tells delivery, address and next hop, as it does for traffic */
	/* Of this host, of the VIP's family; zero: the kernel's choice, which it has only where
	 * the backend's address is of that family too. */
	struct tundish_addr source;
};

/*
 * Leads a socket, of the VIP's family and not yet bound, that way. @to: in, the family and
 * the port; out, the stand-in that connect(2) has to go to. The socket gets a local port
 * of its own, *ret_port, segments that fit the tunnel and, where the families differ, is bound
 * to loopback, where the programs are attached then. Errors with a sentence.
 */
int td_kernel_check_way(struct td_kernel *k, int fd, const struct td_check_way *way,
			struct sockaddr_storage *to, uint16_t *ret_port, struct td_error *error);
/*
 * After the socket's end, or right before. Whether its packets were led: if not, somebody
 * has taken the programs off or the route leads past them, and the check says nothing.
 */
bool td_kernel_check_done(struct td_kernel *k, uint8_t protocol, uint16_t port);

/* ---- source ports ----------------------------------------------------------- */

/*
 * Puts the programs that count outbound connections in force (state changes of
 * sockets, and sockops on the root cgroup), or adopts those that are pinned. They
 * count in the namespaces of `spaces`, and go on when the daemon has died.
 */
int td_kernel_ports_open(struct td_kernel *k, struct td_error *error);
bool td_kernel_ports_are_open(const struct td_kernel *k);
void td_kernel_ports_close(struct td_kernel *k); /* takes them off */
/* Whether calls of bind(2) that get no port are counted too, for which each system call
 * of the host becomes some 90 ns dearer. While the programs above are in force. */
int td_kernel_every_bind(struct td_kernel *k, bool on, struct td_error *error);

/* Cookie of the network namespace that a descriptor of /proc/PID/ns/net or
 * /run/netns/NAME stands for; -1 for this process's. Takes CAP_SYS_ADMIN for others. */
int td_kernel_netns_cookie(int netns_fd, uint64_t *ret);

int td_kernel_put_space(struct td_kernel *k, uint64_t cookie, const struct tundish_space *space);
int td_kernel_get_space(struct td_kernel *k, uint64_t cookie, struct tundish_space *ret);
int td_kernel_delete_space(struct td_kernel *k, uint64_t cookie);
/* All of them; the caller frees both. */
int td_kernel_spaces(struct td_kernel *k, uint64_t **ret_cookies, struct tundish_space **ret,
		     size_t *ret_n);

/*
 * A scan of one namespace's TCP sockets, then of its UDP sockets, in slices of about a
 * millisecond; and when all namespaces are through one pass over the descriptors of all
 * processes: who blocks ports, into port_owners and port_bits of all spaces, each noted with
 * @scan. Start clears the space's bits, notes what is scanned, and gives a descriptor,
 * which holds the namespace; each slice returns 1 while there is more, 0 at the end, or
 * a negative errno (the scan is void then). One at a time.
 */
int td_kernel_scan_start(struct td_kernel *k, const struct tundish_port_scan *what, int netns_fd,
			 int *ret_fd, struct td_error *error);
int td_kernel_scan_start_udp(struct td_kernel *k, int netns_fd, int *ret_fd);
int td_kernel_scan_start_owners(struct td_kernel *k, uint64_t scan, int *ret_fd);
int td_kernel_scan_slice(struct td_kernel *k, int fd);
int td_kernel_scan_result(struct td_kernel *k, struct tundish_port_scan *ret);

struct tundish_port_bits *td_kernel_port_bits(struct td_kernel *k, uint32_t space);
const struct tundish_waits *td_kernel_port_search(struct td_kernel *k);

struct td_port_entry {
	struct tundish_port_key key;
	struct tundish_ports value;
};

/* All of `ports`, in no order; the caller frees *ret. */
int td_kernel_ports(struct td_kernel *k, struct td_port_entry **ret, size_t *ret_n);
/* The same a thousand or so at a time, which stay until the next call: 1 while there may be
 * more, 0 at the end, or negative errno. NULL may be ended too. */
struct td_ports_reading;
int td_kernel_ports_begin(struct td_ports_reading **ret);
int td_kernel_ports_next(struct td_kernel *k, struct td_ports_reading *reading,
			 const struct td_port_entry **ret, size_t *ret_n);
struct td_ports_reading *td_kernel_ports_end(struct td_ports_reading *reading);
int td_kernel_port(struct td_kernel *k, const struct tundish_port_key *key,
		   struct tundish_ports *ret);
int td_kernel_delete_port(struct td_kernel *k, const struct tundish_port_key *key);

struct td_port_owner {
	struct tundish_port_owner_key key;
	struct tundish_port_owner value;
};
int td_kernel_port_owners(struct td_kernel *k, struct td_port_owner **ret, size_t *ret_n);
int td_kernel_delete_port_owner(struct td_kernel *k, const struct tundish_port_owner_key *key);

struct td_closer {
	struct tundish_closer_key key;
	struct tundish_closer value;
};
int td_kernel_closers(struct td_kernel *k, struct td_closer **ret, size_t *ret_n);

/* What happens to source ports: a descriptor to poll, -1 where they are not watched;
 * and what there is to read. */
int td_kernel_port_events_fd(const struct td_kernel *k);
int td_kernel_read_port_events(struct td_kernel *k,
			       void (*each)(const struct tundish_port_event *e, void *context),
			       void *context);

/* ---- egress ------------------------------------------------------------------- */

/*
 * Loads the programs that choose source addresses, or adopts those that are pinned,
 * and with them what is attached; replaces those of another build in place.
 */
int td_kernel_egress_open(struct td_kernel *k, struct td_error *error);
bool td_kernel_egress_is_open(const struct td_kernel *k);
void td_kernel_egress_close(struct td_kernel *k); /* takes them off, and clears all pools */

struct tundish_egress *td_kernel_egress(struct td_kernel *k); /* [TUNDISH_EGRESS_MAX] */

/* The root of the cgroup v2 tree as this process sees it: a descriptor, or with a
 * sentence -ENOENT (none is mounted) or another. */
int td_kernel_cgroup_root(struct td_error *error);

/* Attaches the pool to a cgroup, or finds it attached. It goes on when the daemon has
 * died. A pool is on one cgroup only, and leaves its former one. */
int td_kernel_egress_attach(struct td_kernel *k, uint32_t pool, int cgroup_fd,
			    struct td_error *error);
void td_kernel_egress_detach(struct td_kernel *k, uint32_t pool);
/* Id (inode) of the cgroup that the pool is attached to; 0: none, or it is gone. */
uint64_t td_kernel_egress_cgroup(struct td_kernel *k, uint32_t pool);

int td_kernel_put_egress_except(struct td_kernel *k, uint32_t pool, const struct td_prefix *prefix);
int td_kernel_delete_egress_except(struct td_kernel *k, uint32_t pool,
				   const struct td_prefix *prefix);
/* All of a pool's; the caller frees *ret. */
int td_kernel_egress_excepts(struct td_kernel *k, uint32_t pool, struct td_prefix **ret,
			     size_t *ret_n);

/* Which source the next such connection would get, asked of the program itself. */
int td_kernel_ask_egress(struct td_kernel *k, struct tundish_egress_question *q,
			 struct td_error *error);

/* ---- asking the program --------------------------------------------------- */

/*
 * Runs the tracing twin on one frame (from its Ethernet header on), as if it
 * had come in on `ifindex` (0: any). Nothing in the tables changes.
 */
int td_kernel_trace(struct td_kernel *k, const void *frame, size_t length, unsigned int ifindex,
		    struct tundish_trace *ret, struct td_error *error);

/* Messages of libbpf and libxdp: off, or to stderr. */
void td_kernel_debug(bool on);

#endif
