// SPDX-License-Identifier: GPL-2.0-only
/*
 * Worker groups: from the configuration into the maps, and what has to be done
 * when a worker comes. The kernel finds listeners and steers by itself; the
 * daemon tells it which addresses are whose, gives each SO_REUSEPORT group the
 * program that moves connections of one that closes, finds out who accepts, and
 * holds the one listener that swallows what is to be dropped in silence.
 */
#include <fcntl.h>
#include <linux/filter.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/address.h"
#include "core/groups.h"
#include "daemon/daemon.h"
#include "host/host.h"

#define TICK_USEC   1000000ull
#define SHADOW_NS   (10 * TD_NS_PER_S)
#define SETTLE_USEC 50000ull /* after a worker came: others come with it */

/* ---- the sink ------------------------------------------------------------------- */

/* A listener of both families whose filter takes nothing: a SYN that is given to it
 * is dropped, and its client tries again; and the same for datagrams. */
static int open_sink(bool udp, struct td_error *error)
{
	struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog filter = {.len = 1, .filter = &nothing};
	struct sockaddr_in6 a = {.sin6_family = AF_INET6};
	_cleanup_close_ int fd = socket(
		AF_INET6, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int off = 0;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) < 0 ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0 ||
	    bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || (!udp && listen(fd, 1) < 0))
		return td_fail(error, errno,
			       "cannot make the socket that drops %s in silence: %s; clients of "
			       "an empty group are refused at once",
			       udp ? "datagrams" : "SYNs", strerror(errno));
	return TD_TAKE_FD(fd);
}

/* ---- names ------------------------------------------------------------------------- */

void td_worker_name(const struct td_daemon *d, uint32_t index, char *buffer, size_t size)
{
	const struct tundish_worker *w = &td_kernel_workers(d->kernel)[index];
	const struct tundish_group *g = &td_kernel_groups(d->kernel)[w->group];

	snprintf(buffer, size, "w%u", index - g->first);
}

static void object_of(const struct td_daemon *d, uint32_t group, uint32_t index, char *buffer,
		      size_t size)
{
	const struct tundish_group *g = &td_kernel_groups(d->kernel)[group];

	snprintf(buffer, size, "%.63s w%u", g->name, index - g->first);
}

/* ---- into the maps ------------------------------------------------------------------- */

struct installed {
	struct td_groups_installed in;
	struct td_group_listen *listens;
};

static void installed_done(struct installed *i)
{
	free(i->listens);
}

static int read_installed(struct td_daemon *d, struct installed *ret)
{
	const struct tundish_settings *s = td_kernel_settings(d->kernel);
	_cleanup_free_ struct tundish_listen *list = NULL;
	_cleanup_free_ uint32_t *groups = NULL;
	size_t n = 0;
	int r = td_kernel_listens(d->kernel, &list, &groups, &n);

	if (r < 0)
		return r;
	ret->listens = calloc(n + 1, sizeof(*ret->listens));
	if (!ret->listens)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		ret->listens[i] = (struct td_group_listen){list[i], groups[i]};
	ret->in = (struct td_groups_installed){
		.groups = td_kernel_groups(d->kernel),
		.groups_max = s->groups_max,
		.workers_max = s->workers_max,
		.listens = ret->listens,
		.n_listens = n,
	};
	return 0;
}

static void end_group(struct td_daemon *d, uint32_t id, const struct installed *in)
{
	struct tundish_group *g = &td_kernel_groups(d->kernel)[id], empty = {0};
	char object[100];

	for (size_t i = 0; i < in->in.n_listens; i++)
		if (in->listens[i].group == id)
			td_kernel_delete_listen(d->kernel, &in->listens[i].listen);
	td_migrate_off(d, g->first, g->size);
	for (uint32_t i = 0; i < g->size; i++)
		td_kernel_remove_worker(d->kernel, g->first + i);
	snprintf(object, sizeof(object), "%.63s", g->name);
	*g = empty;
	td_event(d, "group-remove", object, "not in the file any more");
	td_step_done(d);
}

static void put_group(struct td_daemon *d, const struct td_group_want *want)
{
	struct tundish_group *g = &td_kernel_groups(d->kernel)[want->id];
	uint32_t flags = TUNDISH_GROUP_ACTIVE | (want->account ? TUNDISH_GROUP_ACCOUNT : 0) |
			 (want->udp ? TUNDISH_GROUP_UDP : 0);
	char object[100];

	if (!want->installed) {
		struct tundish_group fresh = {
			.first = want->first,
			.flags = flags,
			.empty_since = td_now_ns(),
		};

		memcpy(fresh.name, want->name, sizeof(fresh.name));
		for (uint32_t i = 0; i < want->size; i++)
			td_kernel_remove_worker(d->kernel, want->first + i);
		*g = fresh;
		snprintf(object, sizeof(object), "%.63s", want->name);
		td_event(d, "group", object, "new in the file, up to %u workers", want->size);
	}
	__atomic_store_n(&g->size, want->size, __ATOMIC_RELAXED);
	__atomic_store_n(&g->services, want->services, __ATOMIC_RELAXED);
	__atomic_store_n(&g->flags, flags, __ATOMIC_RELAXED);
	for (size_t i = 0; i < want->n_listen; i++) {
		struct tundish_listen l = {
			.address = want->listen[i].address,
			.port = want->listen[i].port,
			.udp = want->udp,
		};

		td_kernel_put_listen(d->kernel, &l, want->id);
	}
	td_step_done(d);
}

static void put_steering(struct td_daemon *d, uint32_t service, const struct td_service_conf *c,
			 uint32_t group)
{
	struct tundish_steering *s = &td_kernel_steering(d->kernel)[service];

	if (group) {
		uint64_t grace = c->workers.restart_grace_ms;

		if (c->delivery != TUNDISH_DELIVERY_WORKERS)
			grace += TD_HEALTH_SLACK_MS;
		td_health_configure(d, service, c);
		__atomic_store_n(&s->method, c->workers.steering, __ATOMIC_RELAXED);
		__atomic_store_n(&s->refuse, c->workers.refuse, __ATOMIC_RELAXED);
		__atomic_store_n(&s->share, c->workers.share, __ATOMIC_RELAXED);
		__atomic_store_n(&s->stall, c->workers.stall_ms * TD_NS_PER_MS, __ATOMIC_RELAXED);
		__atomic_store_n(&s->accept_times,
				 d->accepts_trouble[0] ? TUNDISH_ACCEPT_TIMES_ADDRESS
						       : c->workers.accept_times,
				 __ATOMIC_RELAXED);
		__atomic_store_n(&s->grace, grace * TD_NS_PER_MS, __ATOMIC_RELAXED);
	}
	td_client_address_put(d, service, group ? c : NULL);
	if (s->group == group)
		return;
	__atomic_store_n(&s->group, group, __ATOMIC_RELEASE);
	td_step_done(d);
}

int td_groups_plan(struct td_daemon *d, const struct td_config *c, struct td_groups *ret,
		   struct td_error *error)
{
	const struct tundish_settings *s = td_kernel_settings(d->kernel);
	_cleanup_(installed_done) struct installed in = {0};
	int r;

	*ret = (struct td_groups){0};
	r = td_groups_make(c, &ret->want, &ret->n, error);
	if (r < 0)
		return r;
	ret->leaving = calloc(s->groups_max, sizeof(*ret->leaving));
	if (!ret->leaving || read_installed(d, &in) < 0) {
		td_groups_done(ret);
		return td_fail(error, ENOMEM, "out of memory while planning worker groups");
	}
	r = td_groups_place(ret->want, ret->n, &in.in, ret->leaving, error);
	if (r < 0)
		td_groups_done(ret);
	return r;
}

void td_groups_done(struct td_groups *g)
{
	free(g->want);
	free(g->leaving);
	*g = (struct td_groups){0};
}

/* What is refused once is tried again with the next file, not with each command. */
static void put_accept_times(struct td_daemon *d, const struct td_config *c)
{
	struct td_error e = {0};
	bool all = false;

	if (d->accepts_trouble[0] && c == d->config)
		return;
	for (size_t i = 0; i < c->n_services; i++)
		all |= c->services[i].workers.n_listen &&
		       c->services[i].workers.accept_times == TUNDISH_ACCEPT_TIMES_ALL;
	d->accepts_trouble[0] = '\0';
	if (td_kernel_every_accept(d->kernel, all, &e) == 0)
		return;
	snprintf(d->accepts_trouble, sizeof(d->accepts_trouble),
		 "accept_times: all is not to be had: %.200s", e.text);
	td_log(TD_LOG_WARNING, "%s", d->accepts_trouble);
}

static void put_sink(struct td_daemon *d, bool udp)
{
	struct td_error e = {0};

	if (d->sink_fd[udp] >= 0)
		return;
	d->sink_fd[udp] = open_sink(udp, &e);
	if (d->sink_fd[udp] < 0 || td_kernel_set_sink(d->kernel, udp, d->sink_fd[udp]) < 0)
		td_log(TD_LOG_WARNING, "%s", e.text);
}

int td_groups_put(struct td_daemon *d, const struct td_config *c, const struct td_groups *g,
		  const struct td_state *target, struct td_error *error)
{
	const struct tundish_settings *s = td_kernel_settings(d->kernel);
	_cleanup_(installed_done) struct installed in = {0};
	int r;

	if (g->n) {
		r = td_kernel_steering_open(d->kernel, error);
		if (r < 0)
			return r;
		d->udp_groups = false;
		for (size_t i = 0; i < g->n; i++)
			d->udp_groups |= g->want[i].udp;
		put_sink(d, false);
		if (d->udp_groups)
			put_sink(d, true);
		put_accept_times(d, c);
	}
	r = read_installed(d, &in);
	if (r < 0)
		return td_fail(error, -r, "cannot read the map listens: %s", strerror(-r));
	d->health_on = false;
	/* Services first leave their group, then groups go, then new ones come. */
	for (uint32_t id = 1; id < s->services_max; id++) {
		const struct td_service_state *v = td_state_service_by_id(target, id);
		const struct td_service_conf *conf = v && v->value.state == TUNDISH_SERVICE_ACTIVE
							     ? td_config_service(c, v->value.name)
							     : NULL;
		uint32_t at = conf ? td_group_of(g->want, g->n, conf) : TD_GROUP_NONE;

		if (at == TD_GROUP_NONE)
			put_steering(d, id, NULL, 0);
	}
	for (uint32_t id = 1; id < s->groups_max; id++)
		if (g->leaving[id])
			end_group(d, id, &in);
	for (size_t i = 0; i < g->n; i++)
		put_group(d, &g->want[i]);
	for (size_t i = 0; i < target->n_services; i++) {
		const struct td_service_state *v = &target->services[i];
		const struct td_service_conf *conf = v->value.state == TUNDISH_SERVICE_ACTIVE
							     ? td_config_service(c, v->value.name)
							     : NULL;
		uint32_t at = conf ? td_group_of(g->want, g->n, conf) : TD_GROUP_NONE;

		if (at != TD_GROUP_NONE)
			put_steering(d, v->id, conf, g->want[at].id);
	}
	td_kernel_groups(d->kernel)[TUNDISH_NONE].flags =
		g->n && d->udp_groups ? TUNDISH_GROUP_UDP : 0;
	if (!g->n) {
		d->udp_groups = false;
		if (d->groups_on)
			td_kernel_steering_close(d->kernel);
		d->groups_on = false;
		d->accepts_trouble[0] = '\0';
		return 0;
	}
	d->groups_on = true;
	r = td_kernel_scan_listeners(d->kernel, error);
	return r < 0 || !d->udp_groups ? r : td_kernel_scan_udp(d->kernel, error);
}

/* ---- when workers come and go ------------------------------------------------------------ */

/* Who accepts on each worker that was not seen to, and the migration program. */
static void look_at_processes(struct td_daemon *d)
{
	uint32_t n = td_kernel_settings(d->kernel)->workers_max;
	struct tundish_worker *all = td_kernel_workers(d->kernel);
	_cleanup_free_ uint64_t *inodes = NULL;
	_cleanup_free_ struct td_holder *holders = NULL;
	size_t n_inodes = 0, n_holders = 0;

	inodes = calloc(n, sizeof(*inodes));
	if (!inodes)
		return;
	for (uint32_t i = 0; i < n; i++)
		if (all[i].cookie && all[i].inode &&
		    (!(all[i].flags & TUNDISH_WORKER_PID) || !td_migrates(&all[i])))
			inodes[n_inodes++] = all[i].inode;
	if (!n_inodes || td_host_scan(inodes, n_inodes, &holders, &n_holders) < 0)
		return;
	for (uint32_t i = 0; i < n; i++) {
		struct tundish_worker *w = &all[i];
		const struct td_holder *h;
		size_t n_h = 0;
		pid_t pid;

		if (!w->cookie || !w->inode)
			continue;
		h = td_host_find(holders, n_holders, w->inode, &n_h);
		if (!h || !n_h)
			continue;
		if (!td_migrates(w))
			td_migrate_put(d, w, h[0].pid);
		if (w->flags & TUNDISH_WORKER_PID)
			continue;
		pid = td_host_acceptor(h, n_h);
		for (size_t k = 0; k < n_h; k++)
			if (h[k].pid == pid) {
				char command[sizeof(w->command)] = "";

				snprintf(command, sizeof(command), "%s", h[k].command);
				memcpy(w->command, command, sizeof(command));
				__atomic_store_n(&w->pid, (uint32_t)pid, __ATOMIC_RELAXED);
			}
	}
}

static int on_processes(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct td_daemon *d = userdata;

	if (d->kernel && d->groups_on)
		look_at_processes(d);
	return 0;
}

/* A listener on the VIP itself: the group gets what it waits for. */
static void tell_shadowed(struct td_daemon *d, const struct tundish_worker_event *e,
			  const char *command)
{
	char address[TD_ADDRESS_TEXT], who[60] = "a program", text[sizeof(d->shadowed)];

	if (e->pid)
		snprintf(who, sizeof(who), "process %u (%s)", e->pid, command);
	td_address_print(&e->at.address, address);
	snprintf(text, sizeof(text),
		 "%s port %u: %s listens there itself and hears nothing, since a worker group gets "
		 "those connections",
		 address, e->at.port, who);
	d->shadowed_ns = td_now_ns();
	if (d->shadowed_cookie == e->cookie)
		return;
	d->shadowed_cookie = e->cookie;
	snprintf(d->shadowed, sizeof(d->shadowed), "%s", text);
	td_event(d, "shadowed", address, "%s", text);
}

/* Each scan meets it again, which is no news. */
static void tell_udp_refused(struct td_daemon *d, const struct tundish_worker_event *e)
{
	const char *group = td_kernel_groups(d->kernel)[e->group].name;
	char text[sizeof(d->workers_refused)];
	bool known;

	snprintf(text, sizeof(text),
		 e->kind == TUNDISH_WORKER_NO_PLACE
			 ? "no place for a further UDP socket in %.63s"
			 : "the kernel does not take a UDP socket of %.63s",
		 group);
	known = d->workers_refused_ns && strcmp(text, d->workers_refused) == 0;
	d->workers_refused_ns = td_now_ns();
	if (known)
		return;
	memcpy(d->workers_refused, text, sizeof(text));
	td_event(d, "worker-refused", group, "%s%s", text,
		 e->kind == TUNDISH_WORKER_NO_PLACE ? "; raise workers.size" : "");
}

static const char *closed(const struct tundish_group *g)
{
	return g->flags & TUNDISH_GROUP_UDP ? "its socket closed" : "its listener closed";
}

static void on_worker(const struct tundish_worker_event *e, void *context)
{
	struct td_daemon *d = context;
	char object[100], command[sizeof(e->command) + 1];

	snprintf(command, sizeof(command), "%.*s", (int)sizeof(e->command), e->command);
	if (e->kind == TUNDISH_WORKER_SHADOWED) {
		tell_shadowed(d, e, command);
		return;
	}
	if (!e->group || e->group >= td_kernel_settings(d->kernel)->groups_max)
		return;
	if ((e->kind == TUNDISH_WORKER_NO_PLACE || e->kind == TUNDISH_WORKER_REFUSED) &&
	    td_kernel_groups(d->kernel)[e->group].flags & TUNDISH_GROUP_UDP) {
		tell_udp_refused(d, e);
		return;
	}
	object_of(d, e->group, e->worker, object, sizeof(object));
	switch (e->kind) {
	case TUNDISH_WORKER_JOINED:
		if (e->pid)
			td_event(d, "worker-join", object, "process %u (%s) listens", e->pid,
				 command);
		else
			td_event(d, "worker-join", object, "%s",
				 td_kernel_groups(d->kernel)[e->group].flags & TUNDISH_GROUP_UDP
					 ? "a UDP socket was found there"
					 : "it was listening already");
		d->workers_changed = true;
		break;
	case TUNDISH_WORKER_BOUND: d->udp_bound = true; break;
	case TUNDISH_WORKER_LEFT:
		td_event(d, "worker-leave", object, "%s",
			 closed(&td_kernel_groups(d->kernel)[e->group]));
		break;
	case TUNDISH_WORKER_NO_PLACE:
		snprintf(object, sizeof(object), "%.63s",
			 td_kernel_groups(d->kernel)[e->group].name);
		td_event(d, "worker-refused", object,
			 "no place for a listener of process %u (%s); raise workers.size", e->pid,
			 command);
		snprintf(d->workers_refused, sizeof(d->workers_refused),
			 "no place for a listener of process %u (%s) in %s", e->pid, command,
			 object);
		d->workers_refused_ns = td_now_ns();
		break;
	case TUNDISH_WORKER_REFUSED:
		snprintf(object, sizeof(object), "%.63s",
			 td_kernel_groups(d->kernel)[e->group].name);
		td_event(
			d, "worker-refused", object,
			e->error == -EOPNOTSUPP
				? "the listener of process %u (%s) is an MPTCP socket, which cannot "
				  "be steered; make it a TCP socket"
				: "the kernel does not take the listener of process %u (%s)",
			e->pid, command);
		snprintf(d->workers_refused, sizeof(d->workers_refused),
			 "a listener of process %u (%s) cannot be steered%s", e->pid, command,
			 e->error == -EOPNOTSUPP ? ": it is an MPTCP socket" : "");
		d->workers_refused_ns = td_now_ns();
		break;
	}
}

static int on_worker_events(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct td_daemon *d = userdata;

	if (!d->kernel)
		return 0;
	td_kernel_read_worker_events(d->kernel, on_worker, d);
	if (d->udp_bound) {
		d->udp_bound = false;
		td_kernel_scan_udp(d->kernel, NULL);
		td_kernel_read_worker_events(d->kernel, on_worker, d);
	}
	if (d->workers_changed && td_timer_arm(d->processes_timer, SETTLE_USEC))
		d->workers_changed = false;
	return 0;
}

/* Those that closed unseen: taken in by hand or by a scan, their end is no event. */
static void bury(struct td_daemon *d)
{
	struct tundish_group *groups = td_kernel_groups(d->kernel);
	struct tundish_worker *all = td_kernel_workers(d->kernel);

	for (uint32_t id = 1; id < td_kernel_settings(d->kernel)->groups_max; id++) {
		struct tundish_group *g = &groups[id];
		bool any = false;

		for (uint32_t i = 0; g->flags && i < g->used; i++) {
			struct tundish_worker *w = &all[g->first + i];
			char object[100];

			if (!w->cookie)
				continue;
			if (td_kernel_worker_lives(d->kernel, g->first + i)) {
				any = true;
				continue;
			}
			object_of(d, id, g->first + i, object, sizeof(object));
			__atomic_store_n(&w->cookie, 0, __ATOMIC_RELAXED);
			td_event(d, "worker-leave", object, "%s", closed(g));
		}
		if (g->flags && !any && !g->empty_since)
			__atomic_store_n(&g->empty_since, td_now_ns(), __ATOMIC_RELAXED);
	}
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct td_daemon *d = userdata;
	int fd;

	sd_event_source_set_time(source, usec + TICK_USEC);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	if (!d->kernel)
		return 0;
	if (d->groups_on)
		bury(d);
	if (d->udp_groups)
		td_kernel_scan_udp(d->kernel, NULL);
	td_health_look(d);
	if (!d->groups_on)
		return 0;
	if (d->shadowed[0] && td_now_ns() - d->shadowed_ns > 2 * SHADOW_NS)
		d->shadowed[0] = '\0', d->shadowed_cookie = 0;
	else if (d->shadowed[0] && td_now_ns() - d->shadowed_ns > SHADOW_NS)
		td_kernel_scan_listeners(d->kernel, NULL); /* it is told again, if it is there */
	fd = td_kernel_worker_events_fd(d->kernel);
	if (fd >= 0 && !d->worker_events) {
		sd_event_add_io(d->event, &d->worker_events, fd, EPOLLIN, on_worker_events, d);
		look_at_processes(d);
	}
	return 0;
}

int td_groups_open(struct td_daemon *d)
{
	uint64_t now;
	int r;

	sd_event_now(d->event, CLOCK_MONOTONIC, &now);
	r = td_timer_add(d, &d->processes_timer, 1000, on_processes);
	return r < 0 ? r
		     : sd_event_add_time(d->event, NULL, CLOCK_MONOTONIC, now, 5000, on_tick, d);
}

void td_groups_close(struct td_daemon *d)
{
	sd_event_source_unref(d->worker_events);
	sd_event_source_unref(d->processes_timer);
	for (size_t i = 0; i < TD_ARRAY_SIZE(d->sink_fd); i++)
		if (d->sink_fd[i] >= 0)
			close(d->sink_fd[i]);
}
