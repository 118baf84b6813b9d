/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of this directory share; nobody else includes it.
 *
 *   debug.c      messages of libbpf and libxdp
 *   pins.c       the pin directory: bpffs, lock, what lies in it
 *   object.c     the BPF object: sizes, maps to re-use, loading
 *   shapes.c     what each map looks like
 *   open.c       make or adopt, close
 *   interface.c  what an interface carries, and whether it is ours
 *   program.c    the program to attach, loaded when it is first needed
 *   attach.c     onto interfaces and off them
 *   unload.c     everything down, without a daemon
 *   table.c      maps read whole, in batches
 *   maps.c       typed access
 *   nat.c        the maps of translated connections
 *   links.c      those of NICs and of ways back to clients
 *   trace.c      the tracing twin
 *   hooks.c      programs outside of interfaces: attached, pinned, adopted, replaced
 *   steering.c   those around listeners
 *   groups.c     worker groups: their maps and sockets
 *   ports.c      those that count source ports, and the scans
 *   port_maps.c  what they counted
 *   egress.c     those that choose source addresses
 *   own.c        those that lead this host's own connections to its VIPs
 *   capture.c    packets for people: filter, lease, ring
 *   tc.c         programs of tc on interfaces, beside those of others
 *   checks.c     those that lead health checks, and the sockets of these
 */
#ifndef TD_KERNEL_PRIVATE_H
#define TD_KERNEL_PRIVATE_H

#include <limits.h>
#include <linux/bpf.h>

#include "kernel/kernel.h"

enum td_map {
#define TUNDISH_X(name) TD_MAP_##name,
	TUNDISH_MAPS(TUNDISH_X)
#undef TUNDISH_X
		TD_MAP_COUNT
};

extern const char *const td_map_names[TD_MAP_COUNT];

/* What is pinned beside the maps, by the BPF object that it is of. */
#define TD_HOOKS(X)                                                                                \
	X(workers, link_sockops, "bpf-link")                                                       \
	X(workers, link_steer, "bpf-link")                                                         \
	X(workers, link_accept4, "bpf-link")                                                       \
	X(workers, link_accept6, "bpf-link")                                                       \
	X(accepts, link_sys_exit, "bpf-link") /* of workers, only while a service asks */          \
	X(workers, prog_steer, "bpf-prog")                                                         \
	X(workers, prog_migrate, "bpf-prog")                                                       \
	X(workers, prog_scan, "bpf-prog")                                                          \
	X(workers, prog_scan_udp, "bpf-prog")                                                      \
	X(workers, link_bound4, "bpf-link")                                                        \
	X(workers, link_bound6, "bpf-link")                                                        \
	X(workers, prog_depths, "bpf-prog")                                                        \
	X(ports, link_port_state, "bpf-link")                                                      \
	X(ports, link_port_found, "bpf-link")                                                      \
	X(binds, link_port_bind, "bpf-link") /* of ports, only where the file asks */              \
	X(ports, prog_port_scan, "bpf-prog")                                                       \
	X(ports, prog_port_udp, "bpf-prog")                                                        \
	X(ports, prog_port_owners, "bpf-prog")                                                     \
	X(egress, prog_egress4, "bpf-prog")                                                        \
	X(egress, prog_egress6, "bpf-prog")                                                        \
	X(egress, prog_egress_end, "bpf-prog")                                                     \
	X(egress, prog_egress_ask, "bpf-prog")                                                     \
	X(own, link_own4, "bpf-link")                                                              \
	X(own, link_own6, "bpf-link")                                                              \
	X(led, link_own_up, "bpf-link") /* of own: for connections that were led */                \
	X(led, link_own_name4, "bpf-link")                                                         \
	X(led, link_own_name6, "bpf-link")                                                         \
	X(led, link_own_end, "bpf-link")                                                           \
	X(own_udp, link_own_send4, "bpf-link") /* of own, while a service is UDP */                \
	X(own_udp, link_own_send6, "bpf-link")                                                     \
	X(led_udp, link_own_recv4, "bpf-link")                                                     \
	X(led_udp, link_own_recv6, "bpf-link")

enum td_hook {
#define TUNDISH_X(object, name, kind) TD_HOOK_##name,
	TD_HOOKS(TUNDISH_X)
#undef TUNDISH_X
		TD_HOOK_COUNT
};

enum td_hook_object {
	TD_HOOKS_workers,
	TD_HOOKS_accepts,
	TD_HOOKS_ports,
	TD_HOOKS_binds,
	TD_HOOKS_egress,
	TD_HOOKS_own,
	TD_HOOKS_led,
	TD_HOOKS_own_udp,
	TD_HOOKS_led_udp
};

struct td_hook_info {
	const char *name, *kind; /* "bpf-link", "bpf-prog" */
	enum td_hook_object object;
};

extern const struct td_hook_info td_hooks[TD_HOOK_COUNT];

/* Links of pools, of which there may be many: "link_egress_POOL_connect4". */
#define TD_PIN_EGRESS	"link_egress_"
#define TD_EGRESS_LINKS 3

#define TD_PIN_TRACE "prog_trace"
#define TD_PIN_XDP   "prog_xdp" /* only where the program is attached alone */

/* Called after each step that changes anything outside the process, with its
 * name. Tests end the process in it; NULL otherwise. */
extern void (*td_kernel_step_hook)(const char *step);

static inline void td_kernel_step(const char *step)
{
	if (td_kernel_step_hook)
		td_kernel_step_hook(step);
}

/* ---- table.c --------------------------------------------------------------- */

/* A hash, trie or array as it is read; begins as TD_TABLE_OF its entries' type, which has a `key`
 * and a `value` as the map has them. */
struct td_table {
	char *entries; /* of that type */
	size_t n, room;
	size_t entry_bytes, key_bytes, value_at, value_bytes;
	/* Where it is being read. */
	char *keys, *values;
	char position[64]; /* a number, or as long as a trie's key */
	uint32_t batch;
	bool begun;
};

/* One batch more, `most` entries in all. Returns 1, 0 where it was the last one, or
 * negative errno. The kernel wants room for a whole bucket, and says ENOSPC where there
 * is less. */
int td_table_read(struct td_kernel *k, enum td_map m, struct td_table *t, size_t most);
void td_table_done(struct td_table *t);

#define TD_TABLE_OF(type)                                                                          \
	(struct td_table)                                                                          \
	{                                                                                          \
		.entry_bytes = sizeof(type), .key_bytes = sizeof(((type *)0)->key),                \
		.value_at = offsetof(type, value), .value_bytes = sizeof(((type *)0)->value)       \
	}

/* All at once; what they are put into is the caller's to free. 0 or negative errno. */
#define TD_READ_TABLE(k, map, most, type, ret, ret_n)                                              \
	({                                                                                         \
		_cleanup_(td_table_done) struct td_table t_ = TD_TABLE_OF(type);                   \
		int r_;                                                                            \
                                                                                                   \
		_Static_assert(sizeof(((type *)0)->key) <= sizeof(t_.position), "a trie's key");   \
		while ((r_ = td_table_read(k, map, &t_, most)) > 0)                                \
			;                                                                          \
		if (r_ == 0) {                                                                     \
			*(ret_n) = t_.n;                                                           \
			*(ret) = (type *)(void *)TD_TAKE_PTR(t_.entries);                          \
		}                                                                                  \
		r_;                                                                                \
	})

/* ---- debug.c --------------------------------------------------------------- */

/* Takes over the messages of both libraries; every entry point calls it. */
void td_kernel_prints(void);

/* What the kernel said in words about the last refused netlink request, "" where
 * it said nothing; td_kernel_forget_reason before the request. */
const char *td_kernel_reason(void);
void td_kernel_forget_reason(void);

/* ---- pins.c ---------------------------------------------------------------- */

/* Descriptors of what lies in a pin directory; -1 where it is absent. */
struct td_pins {
	int map_fd[TD_MAP_COUNT];
	int trace_fd, xdp_fd;
	int hook_fd[TD_HOOK_COUNT];
	size_t n;	   /* pins of any kind */
	char foreign[256]; /* a pin that is not of this layout, "" where there is none */
};

void td_pins_done(struct td_pins *p);

/* Checks that `dir` is or would be on a bpf filesystem, mounts the default one
 * where it is missing and flags allow it. */
int td_pins_check_bpffs(const char *dir, unsigned int flags, struct td_error *error);

/* Opens and locks the directory. *ret_made (NULL: never make it) tells whether
 * it was made. -ENOENT, -ENOTDIR, -EBUSY another process holds it. */
int td_pins_lock(const char *dir, int *ret_fd, bool *ret_made, struct td_error *error);

/* Opens all that is pinned. The caller ends *ret with td_pins_done. */
int td_pins_read(const char *dir, struct td_pins *ret, struct td_error *error);

/* Pins under `name`, replacing what is there in one step. */
int td_pins_put(const char *dir, const char *name, int fd);

/* Opens one pin, which is there; a descriptor, or negative errno. */
int td_pins_get(const char *dir, const char *name);
int td_pins_drop(const char *dir, const char *name); /* 0 also where there is none */

/* Removes the pin `settings` first, then the other pins: every one, or only
 * those with names of ours. */
int td_pins_remove(const char *dir, bool every, struct td_error *error);

/* Where `settings` is missing: -EPROTO and a sentence unless all that is pinned is ours. */
int td_pins_check_remains(const char *dir, const struct td_pins *p, struct td_error *error);

/* "bpf-map", "bpf-prog", "bpf-link" or "": what a descriptor is. */
void td_bpf_kind(int fd, char *buffer, size_t size);

/* Ids of the maps in `p`; returns how many. */
size_t td_pins_map_ids(const struct td_pins *p, uint32_t ret[TD_MAP_COUNT]);

/*
 * Whether the pinned settings are of this layout, or of one that is migrated. 0, -EPROTO with the sentence;
 * ret_magic (may be NULL) tells that they are tundish's of any version.
 */
int td_pins_read_settings(const char *dir, int fd, struct tundish_settings *ret, bool *ret_magic,
			  struct td_error *error);

/* ---- migrate.c ------------------------------------------------------------- */

/* An array whose entries had so many bytes, the first ones of what they have now. */
struct td_remake {
	enum td_map map;
	uint32_t bytes;
};

/* A former layout that has all maps of the next ones but these, and some with smaller entries. */
struct td_migration {
	uint32_t from;
	const enum td_map *adds;
	size_t n;
	const struct td_remake *remakes;
	size_t n_remakes;
};

/* For the tests; NULL: what this version knows. */
void td_migrations_set(const struct td_migration *all, size_t n);
bool td_migrates_from(uint32_t version);
bool td_migration_adds(uint32_t version, enum td_map map);
/* Whether it has the former shape, and is carried over. */
bool td_migration_remakes(uint32_t version, enum td_map map, int fd,
			  const struct tundish_settings *s);
/* Makes what lies in `dir` of this layout; *p and *s follow. */
int td_migrate(const char *dir, struct td_pins *p, struct tundish_settings *s,
	       struct td_error *error);

/* ---- object.c -------------------------------------------------------------- */

struct tundish; /* the skeleton */
struct xdp_program;

uint64_t td_object_hash(void);

/* Settings for new maps: sizes, magic, version, secret; timeouts are 0. */
int td_object_settings(const struct td_limits_conf *limits, struct tundish_settings *ret,
		       struct td_error *error);

/* Whether this process may load programs at all. Without CAP_PERFMON the verifier takes up to a minute to
 * refuse the larger ones, and then speaks of their size. */
int td_object_may_load(struct td_error *error);

/* Opens the object with sizes of `settings`, over the maps in map_fd where
 * these are open, with one of its programs to be loaded. */
int td_object_open(const struct tundish_settings *settings, const int map_fd[TD_MAP_COUNT],
		   bool attachable, struct tundish **ret, struct td_error *error);
int td_object_load(struct tundish *o, struct td_error *error);
struct tundish *td_object_close(struct tundish *o);

struct bpf_object *td_object_bpf(struct tundish *o);
struct bpf_program *td_object_xdp(struct tundish *o);
int td_object_trace_fd(struct tundish *o);
int td_object_map_fd(struct tundish *o, enum td_map m);

/* The sentence for a load that the kernel refused. Returns -code. */
int td_object_load_failed(struct td_error *error, int code);

static inline void td_object_closep(struct tundish **o)
{
	td_object_close(*o);
}

/* ---- shapes.c -------------------------------------------------------------- */

uint32_t td_map_entries(enum td_map m, const struct tundish_settings *settings);
/* Layout of a map as this build has it: 0, or -EPROTO where `fd` is none such. */
int td_map_check(enum td_map m, int fd, const struct tundish_settings *settings);

/* ---- interface.c ----------------------------------------------------------- */

/* What an interface carries. */
struct td_carried {
	uint32_t main_id; /* program that the interface itself names; 0: none */
	enum td_attach_mode mode;
	bool dispatcher; /* main_id is libxdp's dispatcher, which can take a further program */
	bool unreadable; /* the main program could not be looked at for lack of privilege */
	unsigned int n_others; /* programs in the dispatcher that are not ours */
	char name[16];	       /* of the main program */
	uint32_t our_id;       /* our program, alone or in the dispatcher, the newest; 0: none */
	uint32_t older_id;     /* another of ours in the dispatcher: a replacement cut short */
	uint64_t our_load_time;
	int our_fd; /* -1: none, or not to be had */
};

void td_carried_done(struct td_carried *c);

/* `map_ids`: a program that uses one of them is ours. */
int td_carried_read(unsigned int ifindex, const uint32_t *map_ids, size_t n_map_ids,
		    struct td_carried *ret);
int td_carried_leave_dispatcher(unsigned int ifindex, const struct td_carried *c, uint32_t id);

/* Takes our program off; what others have there stays. */
int td_carried_detach(unsigned int ifindex, const char *name, const struct td_carried *c,
		      struct td_error *error);
uint32_t td_mode_flags(enum td_attach_mode mode); /* XDP_FLAGS_* */

/* Whether any interface of this network namespace carries such a program;
 * `name` (IFNAMSIZ) becomes one that does. */
bool td_carried_anywhere(const uint32_t *map_ids, size_t n_map_ids, char *name);

/* ---- the handle ------------------------------------------------------------ */

struct td_kernel {
	char pin_dir[PATH_MAX];
	int dir_fd; /* holds the lock */
	int map_fd[TD_MAP_COUNT];
	uint32_t map_id[TD_MAP_COUNT];
	struct tundish_settings settings;
	struct tundish_nat_settings nat_settings;

	int trace_fd;
	uint64_t built_ns; /* load time of the tracing twin: programs of this build are not older */

	/* For attaching; opened when it is first needed. */
	struct tundish *object;
	struct xdp_program *program;
	int alone_fd; /* loaded as an XDP program of its own; -1: not */
	uint32_t alone_id;
	int former_fd; /* the same of the build before; -1: none */
	uint32_t former_id;
	uint64_t former_ns;

	int hook_fd[TD_HOOK_COUNT];	  /* -1 where they are not on */
	bool hook_current[TD_HOOK_COUNT]; /* and of this build */

	/* Links of iterators, made when they are first run. */
	int iterator_fd[TD_HOOK_COUNT];
	struct ring_buffer *worker_events, *port_events;

	struct td_packets *packets; /* NULL: nothing is captured */
	struct td_checks *checks;   /* NULL: not loaded */

	int egress_fd[TUNDISH_EGRESS_MAX][TD_EGRESS_LINKS]; /* links of pools; -1: none */

	void *mapped[TD_MAP_COUNT];
	size_t mapped_bytes[TD_MAP_COUNT];
	int n_cpus;
};

/* ---- program.c ------------------------------------------------------------- */

/* Opens the object for libxdp, k->program; nothing where it is open. */
int td_program_open(struct td_kernel *k, struct td_error *error);
void td_program_close(struct td_kernel *k);
bool td_program_loaded(const struct td_kernel *k);
/* Whether this process may look at programs that it does not hold: CAP_SYS_ADMIN. */
bool td_program_may_look(void);

/* Keeps a program that was loaded as one of its own in k->alone_fd, for the next
 * interfaces and, pinned, for the next daemon. */
void td_program_keep_alone(struct td_kernel *k);

/* Loads it so, without libxdp: to take an older one's place, and where libxdp
 * failed. */
int td_program_load_alone(struct td_kernel *k, struct td_error *error);
/* Through libxdp, to the interface of that index and name; the first time it is loaded, too. Returns
 * what libxdp does. */
int td_program_attach(struct td_kernel *k, const char *name, unsigned int ifindex, bool native);

/* ---- hooks.c ---------------------------------------------------------------- */

struct bpf_object;

/* The constant `netns_cookie` of an object's programs, where it has one, and its maps
 * that are pinned; then loads it. */
int td_hooks_load(struct td_kernel *k, struct bpf_object *o, struct td_error *error);

/* Takes over what is pinned of an object; whether all of it is there and of this build. */
bool td_hooks_adopt(struct td_kernel *k, enum td_hook_object object);

/* Attaches and pins a program, or puts it in the place of the one that is attached. */
int td_hook_attach(struct td_kernel *k, enum td_hook hook, int program, int target,
		   enum bpf_attach_type type, const char *what, struct td_error *error);
/* The same for a tracing program, which is attached by itself. */
int td_hook_attach_tracing(struct td_kernel *k, enum td_hook hook, int program, const char *what,
			   struct td_error *error);
/* Pins a program that is run or attached later. */
int td_hook_keep(struct td_kernel *k, enum td_hook hook, int program, struct td_error *error);

void td_hooks_drop(struct td_kernel *k, enum td_hook_object object);   /* off, in order */
void td_hooks_forget(struct td_kernel *k, enum td_hook_object object); /* descriptors only */

/* The root of the cgroup tree as this process sees it. A descriptor, or negative errno. */
int td_cgroup_root(struct td_error *error);

/* An iterator's descriptor; `map_fd` -1 where it runs over no map. */
int td_hook_iterate(struct td_kernel *k, enum td_hook hook, int map_fd);
/* Lets it run over all that it has to run over. */
int td_hook_iterate_all(struct td_kernel *k, enum td_hook hook, int map_fd);

/* ---- steering.c, ports.c, egress.c, own.c ------------------------------------------------------ */

const unsigned char *td_steering_bytes(size_t *ret_n);
void td_steering_forget(struct td_kernel *k); /* closes descriptors; what is pinned goes on */
const unsigned char *td_ports_bytes(size_t *ret_n);
void td_ports_forget(struct td_kernel *k);
const unsigned char *td_egress_bytes(size_t *ret_n);
void td_egress_forget(struct td_kernel *k);
bool td_egress_pin(const char *name); /* whether it is that of a pool's link */
const unsigned char *td_own_bytes(size_t *ret_n);
void td_own_forget(struct td_kernel *k);

/* ---- tc.c -------------------------------------------------------------------- */

enum td_tc_direction { TD_TC_OUT, TD_TC_IN, TD_TC_DIRECTIONS };

/* Programs that use one of these are ours. */
struct td_map_ids {
	uint32_t id[TD_MAP_COUNT];
	size_t n;
};

static inline struct td_map_ids td_maps_of(const struct td_kernel *k)
{
	struct td_map_ids all = {.n = TD_MAP_COUNT};

	memcpy(all.id, k->map_id, sizeof(all.id));
	return all;
}

/* Onto an interface, or in the place of older ones of ours. */
int td_tc_attach(unsigned int ifindex, const int programs[TD_TC_DIRECTIONS],
		 const struct td_map_ids *maps);
/* Off; 0 also where there is none. The qdisc too, where it was made for them alone. */
int td_tc_detach(unsigned int ifindex, const struct td_map_ids *maps);
int td_tc_detach_all(const struct td_map_ids *maps);
/* Which interfaces carry one; the caller frees *ret. */
int td_tc_attached(const struct td_map_ids *maps, unsigned int **ret, size_t *ret_n);

/* ---- checks.c ------------------------------------------------------------------ */

const unsigned char *td_checks_bytes(size_t *ret_n);
void td_checks_forget(struct td_kernel *k); /* descriptors only */

/* ---- port_maps.c ------------------------------------------------------------ */

int td_port_events_open(struct td_kernel *k);

/* ---- groups.c -------------------------------------------------------------- */

int td_worker_events_open(struct td_kernel *k);

/* ---- maps.c ---------------------------------------------------------------- */

/* Maps the shared tables into memory. */
int td_maps_map(struct td_kernel *k, struct td_error *error);
void td_maps_unmap(struct td_kernel *k);

/* ---- nat.c ----------------------------------------------------------------- */

int td_nat_settings_make(struct td_kernel *k, struct td_error *error); /* for new maps */
int td_nat_settings_read(struct td_kernel *k, struct td_error *error);
/* The data path asks what is known of a NIC only where checksums may be partial on one. */
int td_nat_count_partial(struct td_kernel *k, int by);

/* ---- links.c --------------------------------------------------------------- */

/* How many NICs there are with partial checksums. */
int td_links_partial(struct td_kernel *k, uint32_t *ret);

/* Id and load time of a program. */
int td_program_info(int fd, uint32_t *ret_id, uint64_t *ret_load_time_ns);

#endif
