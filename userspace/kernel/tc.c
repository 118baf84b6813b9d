// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs of tc on an interface, both directions: a clsact qdisc and one filter each.
 *
 * Both are shared with others, so everything is asked of the kernel each time and told
 * apart: a filter is ours if its program uses one of our pinned maps, so it is known again
 * after any crash. Whether we made the qdisc is told by the filter's handle, which lives as long
 * as it does; such a qdisc goes with the last filter in it.
 *
 * libbpf attaches and detaches; it cannot list, so that is asked over rtnetlink here.
 */
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "kernel/private.h"

/* Among the first, for others may end a packet's way. */
#define PRIORITY 5

/* Of filters under a clsact that was there before, and under one of ours; and the next
 * ones where a handle is taken. */
#define HANDLE_THEIRS	   1
#define HANDLE_OURS	   2
#define HANDLE_STEP	   2
#define HANDLE_MAX	   64
#define MADE_BY_US(handle) ((handle) % HANDLE_STEP == HANDLE_OURS % HANDLE_STEP)

#define FILTERS_MAX 256 /* that are looked at */
#define MAPS_MAX    64

static const enum bpf_tc_attach_point points[TD_TC_DIRECTIONS] = {
	[TD_TC_OUT] = BPF_TC_EGRESS,
	[TD_TC_IN] = BPF_TC_INGRESS,
};
static const uint32_t parents[TD_TC_DIRECTIONS] = {
	[TD_TC_OUT] = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS),
	[TD_TC_IN] = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS),
};
static const char *const names[TD_TC_DIRECTIONS] = {
	[TD_TC_OUT] = "td_check_out:[", /* libbpf adds the program's id */
	[TD_TC_IN] = "td_check_in:[",
};

/* ---- what there is ------------------------------------------------------------------------------ */

struct filter {
	uint32_t priority, handle, program; /* 0: no BPF */
	char name[32];
};

struct filters {
	struct filter all[FILTERS_MAX];
	size_t n;
};

static void read_options(const struct rtattr *options, struct filter *f)
{
	int left = (int)RTA_PAYLOAD(options);

	for (const struct rtattr *a = RTA_DATA(options); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		if (a->rta_type == TCA_BPF_ID && RTA_PAYLOAD(a) >= sizeof(f->program))
			memcpy(&f->program, RTA_DATA(a), sizeof(f->program));
		if (a->rta_type == TCA_BPF_NAME)
			snprintf(f->name, sizeof(f->name), "%.*s", (int)RTA_PAYLOAD(a),
				 (const char *)RTA_DATA(a));
	}
}

static void read_filter(const struct nlmsghdr *m, void *context)
{
	struct filters *ret = context;
	const struct tcmsg *t = NLMSG_DATA(m);
	int left = (int)m->nlmsg_len - (int)NLMSG_LENGTH(sizeof(*t));
	struct filter f = {.priority = TC_H_MAJ(t->tcm_info) >> 16, .handle = t->tcm_handle};
	const struct rtattr *options = NULL;
	bool bpf = false;

	/* Handle 0 stands for the list of filters itself. */
	if (left < 0 || !f.handle || ret->n == FILTERS_MAX)
		return;
	for (const struct rtattr *a = TCA_RTA(t); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		if (a->rta_type == TCA_KIND)
			bpf = RTA_PAYLOAD(a) == sizeof("bpf") && !memcmp(RTA_DATA(a), "bpf", 4);
		if (a->rta_type == TCA_OPTIONS)
			options = a;
	}
	if (bpf && options)
		read_options(options, &f);
	ret->all[ret->n++] = f;
}

/* ---- asking rtnetlink ------------------------------------------------------------------------ */

typedef void (*each_message)(const struct nlmsghdr *m, void *context);

/* Takes one datagram's messages; 1 at the end of all. */
static int read_messages(const char *buffer, size_t n, each_message each, void *context)
{
	unsigned int left = (unsigned int)n;

	for (const struct nlmsghdr *m = (const void *)buffer; NLMSG_OK(m, left);
	     m = NLMSG_NEXT(m, left)) {
		if (m->nlmsg_type == NLMSG_DONE)
			return 1;
		if (m->nlmsg_type == NLMSG_ERROR)
			return m->nlmsg_len < NLMSG_LENGTH(sizeof(struct nlmsgerr))
				       ? -EPROTO
				       : ((const struct nlmsgerr *)NLMSG_DATA(m))->error;
		if (m->nlmsg_len >= NLMSG_LENGTH(sizeof(struct tcmsg)))
			each(m, context);
	}
	return 0;
}

static int dump(uint16_t type, unsigned int ifindex, uint32_t parent, each_message each,
		void *context)
{
	struct {
		struct nlmsghdr header;
		struct tcmsg tc;
	} ask = {
		.header = {.nlmsg_len = sizeof(ask),
			   .nlmsg_type = type,
			   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.tc = {.tcm_ifindex = (int)ifindex, .tcm_parent = parent},
	};
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	const struct timeval patience = {.tv_sec = 2};
	char buffer[32768] __attribute__((aligned(NLMSG_ALIGNTO)));
	int r = 0;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
	    send(fd, &ask, sizeof(ask), 0) < 0)
		return -errno;
	while (r == 0) {
		ssize_t n = recv(fd, buffer, sizeof(buffer), 0);

		if (n < 0 && errno == EINTR)
			continue;
		r = n < 0    ? -errno
		    : n == 0 ? -EPROTO
			     : read_messages(buffer, (size_t)n, each, context);
	}
	return r < 0 ? r : 0;
}

/* All filters of one direction; none where there is no qdisc. */
static int list(unsigned int ifindex, enum td_tc_direction way, struct filters *ret)
{
	ret->n = 0;
	return dump(RTM_GETTFILTER, ifindex, parents[way], read_filter, ret);
}

struct sought {
	unsigned int ifindex;
	bool clsact;
};

static void read_qdisc(const struct nlmsghdr *m, void *context)
{
	const struct tcmsg *t = NLMSG_DATA(m);
	int left = (int)m->nlmsg_len - (int)NLMSG_LENGTH(sizeof(*t));
	struct sought *s = context;

	if (t->tcm_ifindex != (int)s->ifindex || t->tcm_parent != TC_H_CLSACT)
		return;
	for (const struct rtattr *a = TCA_RTA(t); RTA_OK(a, left); a = RTA_NEXT(a, left))
		if (a->rta_type == TCA_KIND)
			s->clsact = !strncmp(RTA_DATA(a), "clsact", RTA_PAYLOAD(a));
}

/* An "ingress" qdisc in its place would take filters for what is sent too, and run them on
 * what is received. */
static int check_clsact(unsigned int ifindex)
{
	struct sought s = {.ifindex = ifindex};
	int r = dump(RTM_GETQDISC, ifindex, 0, read_qdisc, &s);

	return r < 0 ? r : s.clsact ? 0 : -EOPNOTSUPP;
}

/* ---- whose they are ------------------------------------------------------------------------ */

static bool uses(int program, const struct td_map_ids *maps)
{
	uint32_t used[MAPS_MAX];
	struct bpf_prog_info info = {.map_ids = (uintptr_t)used, .nr_map_ids = MAPS_MAX};
	uint32_t length = sizeof(info);

	if (bpf_obj_get_info_by_fd(program, &info, &length) < 0)
		return false;
	for (uint32_t i = 0; i < info.nr_map_ids && i < MAPS_MAX; i++)
		for (size_t j = 0; j < maps->n; j++)
			if (used[i] == maps->id[j])
				return true;
	return false;
}

static bool is_ours(const struct filter *f, enum td_tc_direction way, const struct td_map_ids *maps)
{
	_cleanup_close_ int fd = -1;

	if (!f->program || f->priority != PRIORITY || f->handle > HANDLE_MAX)
		return false;
	fd = bpf_prog_get_fd_by_id(f->program);
	/* Without the privilege to look (CAP_SYS_ADMIN) the name has to do. */
	return fd >= 0 ? uses(fd, maps) : !strncmp(f->name, names[way], strlen(names[way]));
}

static const struct filter *find(const struct filters *all, enum td_tc_direction way,
				 const struct td_map_ids *maps)
{
	for (size_t i = 0; i < all->n; i++)
		if (is_ours(&all->all[i], way, maps))
			return &all->all[i];
	return NULL;
}

/* ---- on and off ------------------------------------------------------------------------------ */

static struct bpf_tc_hook hook_of(unsigned int ifindex, int at)
{
	return (struct bpf_tc_hook){.sz = sizeof(struct bpf_tc_hook),
				    .ifindex = (int)ifindex,
				    .attach_point = (enum bpf_tc_attach_point)at};
}

static bool is_taken(const struct filters *all, uint32_t handle)
{
	for (size_t i = 0; i < all->n; i++)
		if (all->all[i].priority == PRIORITY && all->all[i].handle == handle)
			return true;
	return false;
}

static int put(unsigned int ifindex, enum td_tc_direction way, int program, uint32_t handle,
	       bool replace)
{
	struct bpf_tc_hook hook = hook_of(ifindex, (int)points[way]);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = handle, .priority = PRIORITY, .prog_fd = program,
		    .flags = replace ? BPF_TC_F_REPLACE : 0);

	return bpf_tc_attach(&hook, &opts);
}

static int put_one(unsigned int ifindex, enum td_tc_direction way, int program, bool made,
		   const struct td_map_ids *maps)
{
	struct filters all;
	const struct filter *ours;
	uint32_t handle = made ? HANDLE_OURS : HANDLE_THEIRS, id;
	uint64_t loaded_ns;
	int r = list(ifindex, way, &all);

	if (r < 0)
		return r;
	ours = find(&all, way, maps);
	if (ours && td_program_info(program, &id, &loaded_ns) == 0 && id == ours->program)
		return 0;
	if (ours) {
		handle = ours->handle;
	} else {
		while (is_taken(&all, handle) && handle + HANDLE_STEP <= HANDLE_MAX)
			handle += HANDLE_STEP;
	}
	r = put(ifindex, way, program, handle, ours != NULL);
	if (r == 0)
		td_kernel_step("tc filter");
	return r;
}

int td_tc_attach(unsigned int ifindex, const int programs[TD_TC_DIRECTIONS],
		 const struct td_map_ids *maps)
{
	struct bpf_tc_hook hook = hook_of(ifindex, BPF_TC_INGRESS | BPF_TC_EGRESS);
	int r = bpf_tc_hook_create(&hook);
	bool made = r == 0;

	if (made)
		td_kernel_step("clsact made");
	if (r < 0 && r != -EEXIST)
		return r;
	r = made ? 0 : check_clsact(ifindex);
	if (r < 0)
		return r;
	/* What takes back answers before what makes them come. */
	r = put_one(ifindex, TD_TC_IN, programs[TD_TC_IN], made, maps);
	if (r == 0)
		r = put_one(ifindex, TD_TC_OUT, programs[TD_TC_OUT], made, maps);
	if (r < 0)
		td_tc_detach(ifindex, maps);
	return r;
}

/* Takes ours off one direction. Returns how many of others are left, or negative errno. */
static int take_off(unsigned int ifindex, enum td_tc_direction way, const struct td_map_ids *maps,
		    bool *made)
{
	struct bpf_tc_hook hook = hook_of(ifindex, (int)points[way]);
	struct filters all;
	int r = list(ifindex, way, &all), others = 0;

	if (r < 0)
		return r;
	for (size_t i = 0; i < all.n; i++) {
		LIBBPF_OPTS(bpf_tc_opts, opts, .handle = all.all[i].handle, .priority = PRIORITY);

		if (!is_ours(&all.all[i], way, maps)) {
			others++;
			continue;
		}
		*made |= MADE_BY_US(all.all[i].handle);
		r = bpf_tc_detach(&hook, &opts);
		if (r < 0 && r != -ENOENT)
			return r;
		td_kernel_step("tc filter off");
	}
	return others;
}

int td_tc_detach(unsigned int ifindex, const struct td_map_ids *maps)
{
	struct bpf_tc_hook hook = hook_of(ifindex, BPF_TC_INGRESS | BPF_TC_EGRESS);
	int out, in;
	bool made = false;

	out = take_off(ifindex, TD_TC_OUT, maps, &made);
	in = take_off(ifindex, TD_TC_IN, maps, &made);
	if (out < 0 || in < 0)
		return out < 0 ? out : in;
	return made && !out && !in ? bpf_tc_hook_destroy(&hook) : 0;
}

/* ---- all of them --------------------------------------------------------------------------- */

static bool is_attached(unsigned int ifindex, const struct td_map_ids *maps)
{
	struct filters all;

	for (enum td_tc_direction way = 0; way < TD_TC_DIRECTIONS; way++)
		if (list(ifindex, way, &all) == 0 && find(&all, way, maps))
			return true;
	return false;
}

int td_tc_attached(const struct td_map_ids *maps, unsigned int **ret, size_t *ret_n)
{
	struct if_nameindex *all = if_nameindex();
	_cleanup_free_ unsigned int *found = NULL;
	size_t n = 0;
	int r = all ? 0 : -errno;

	for (struct if_nameindex *i = all; i && i->if_index && r == 0; i++) {
		if (!is_attached(i->if_index, maps))
			continue;
		r = td_grow(&found, n, sizeof(*found));
		if (r == 0)
			found[n++] = i->if_index;
	}
	if (all)
		if_freenameindex(all);
	if (r < 0)
		return r;
	*ret = TD_TAKE_PTR(found);
	*ret_n = n;
	return 0;
}

int td_tc_detach_all(const struct td_map_ids *maps)
{
	_cleanup_free_ unsigned int *found = NULL;
	size_t n = 0;
	int r = td_tc_attached(maps, &found, &n);

	for (size_t i = 0; i < n; i++) {
		int off = td_tc_detach(found[i], maps);

		r = r < 0 ? r : off;
	}
	return r;
}
