// SPDX-License-Identifier: GPL-2.0-only
/*
 * Start, event loop and end.
 *
 * The end of this process is nothing to the data path: what is pinned and
 * attached goes on, and so do the VIPs on this host. Only `unload` takes them
 * down.
 */
#include <signal.h>
#include <sys/epoll.h>
#include <systemd/sd-daemon.h>

#include "config/config.h"
#include "daemon/history.h"
#include "daemon/lanes.h"
#include "daemon/looks.h"
#include "daemon/nat.h"
#include "daemon/progress.h"

#define DEBOUNCE_USEC	50000ull
#define UNRESOLVED_USEC 2000000ull
#define LOOK_USEC	10000000ull
#define ADDRESSES_USEC	200000ull
#define ROUTES_USEC	2000000ull

/* ---- unload ------------------------------------------------------------------ */

/* While the handle still knows which programs are ours: to look at them anew
 * takes a capability that has been given up. */
static void detach_all(struct td_daemon *d)
{
	_cleanup_free_ struct td_attachment *all = NULL;
	size_t n = 0;

	if (td_kernel_attachments(d->kernel, &all, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		struct td_error e = {0};

		if (td_kernel_detach(d->kernel, all[i].name, &e) < 0)
			td_log(TD_LOG_WARNING, "%s", e.text);
	}
}

int td_daemon_unload(struct td_daemon *d, struct td_error *error)
{
	struct td_state s = {0};
	struct td_config none = {.interfaces = d->config->interfaces,
				 .n_interfaces = d->config->n_interfaces};
	struct td_error e = {0};
	int r, q;

	if (td_kernel_read_state(d->kernel, &s) < 0)
		s = (struct td_state){0};
	td_kernel_read_lanes(d->kernel, &s);
	d->unloading = true;
	td_capture_end(d, "the data path is unloaded");
	td_capture_abandon(d);
	if (d->groups_on)
		td_migrate_off(d, 0, td_kernel_settings(d->kernel)->workers_max);
	detach_all(d);
	td_lanes_unreserve(d);
	/* While the map still tells which they are, should we end here. */
	q = td_vips_own(d, &none, &s, true, &e);
	td_checks_close(d); /* which look into the maps */
	d->kernel = td_kernel_close(d->kernel);
	r = td_kernel_unload(d->options.pin, error);
	if (q < 0 && r >= 0) {
		r = q;
		*error = e;
	}
	td_net_release_neighbours(d->net, NULL);
	td_state_done(&s);
	if (r < 0)
		td_event_bad(d, "unload", d->options.pin, "%s", error->text);
	else
		td_event(d, "unload", d->options.pin, "asked by command");
	return r;
}

/* ---- events ------------------------------------------------------------------- */

int td_timer_add(struct td_daemon *d, sd_event_source **ret, uint64_t accuracy_usec,
		 sd_event_time_handler_t handler)
{
	int r = sd_event_add_time(d->event, ret, CLOCK_MONOTONIC, 0, accuracy_usec, handler, d);

	return r < 0 ? r : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

bool td_timer_arm(sd_event_source *source, uint64_t usec)
{
	int enabled = SD_EVENT_OFF;
	uint64_t now;

	sd_event_source_get_enabled(source, &enabled);
	if (enabled != SD_EVENT_OFF)
		return false;
	sd_event_now(sd_event_source_get_event(source), CLOCK_MONOTONIC, &now);
	sd_event_source_set_time(source, now + usec);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return true;
}

static int on_net(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct td_daemon *d = userdata;
	int changes = td_net_drain_events(d->net);

	if (changes < 0)
		changes = TD_NET_LINKS | TD_NET_ADDRESSES | TD_NET_ROUTES | TD_NET_NEIGHBOURS;
	if (changes)
		td_timer_arm(d->nexthop_timer, DEBOUNCE_USEC);
	if (changes & (TD_NET_LINKS | TD_NET_ADDRESSES))
		td_timer_arm(d->address_timer, ADDRESSES_USEC);
	if (changes & TD_NET_ROUTES && d->lanes->n_ways)
		td_timer_arm(d->route_timer, ROUTES_USEC);
	return 0;
}

static int on_nexthops(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct td_daemon *d = userdata;

	if (d->kernel)
		td_nexthops_refresh_all(d, false);
	return 0;
}

static int on_slow(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct td_daemon *d = userdata;

	sd_event_source_set_time(source, usec + UNRESOLVED_USEC);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	if (d->kernel && (d->n_unresolved || d->cares_stale))
		td_nexthops_refresh_all(d, !d->cares_stale);
	if (d->kernel && d->attach_missing)
		td_attach_check(d);
	return 0;
}

static int on_look(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct td_daemon *d = userdata;

	sd_event_source_set_time(source, TD_MAX(usec, td_now_ns() / 1000) + LOOK_USEC);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	if (d->kernel)
		d->look(d);
	return 0;
}

/* This host's links or addresses have changed: programs and VIPs that are gone
 * come back, and tunnels end where they can. */
static int on_addresses(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct td_daemon *d = userdata;
	struct td_error e = {0};

	if (!d->kernel)
		return 0;
	td_attach_check(d);
	td_egress_check(d, true);
	if (td_vips_own(d, d->config, NULL, true, &e) < 0)
		td_log(TD_LOG_WARNING, "%s", d->vips_trouble);
	e.text[0] = '\0';
	if (td_replan(d, &e) < 0)
		td_log(TD_LOG_WARNING, "%s", e.text);
	td_nat_sources_look(d);
	return 0;
}

/* Routes have changed: this host may send to servers from another address, or have others
 * on its links. Slower than the above, since some hosts' routes change all the time. */
static int on_routes(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct td_daemon *d = userdata;
	struct td_error e = {0};

	if (d->kernel && td_lane_host_moved(d) && td_replan(d, &e) < 0)
		td_log(TD_LOG_WARNING, "%s", e.text);
	return 0;
}

static int on_control_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	td_control_run(((struct td_daemon *)userdata)->control);
	return 0;
}

static int on_control(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	td_control_run(((struct td_daemon *)userdata)->control);
	return 0;
}

/* Before each wait: when must the control part be called at the latest? */
static int prepare_control(sd_event_source *source, void *userdata)
{
	struct td_daemon *d = userdata;
	int wait = td_control_wait_ms(d->control);
	uint64_t now;

	if (wait < 0)
		return sd_event_source_set_enabled(d->control_timer, SD_EVENT_OFF);
	sd_event_now(d->event, CLOCK_MONOTONIC, &now);
	/* at once is a moment that is over: what is now may come later by the timer's accuracy */
	sd_event_source_set_time(d->control_timer, wait ? now + (uint64_t)wait * 1000 : 0);
	return sd_event_source_set_enabled(d->control_timer, SD_EVENT_ONESHOT);
}

static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
	struct td_daemon *d = userdata;

	if (d->kernel)
		td_load_ask(d, "SIGHUP");
	return 0;
}

static int on_reexec(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
	struct td_daemon *d = userdata;
	struct td_error e = {0};

	if (d->kernel && td_reexec_check(d, &e) == 0)
		td_reexec(d);
	return 0;
}

static int on_end(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
	sd_notify(0, "STOPPING=1\nSTATUS=The data path goes on without the daemon.");
	return sd_event_exit(sd_event_source_get_event(source), 0);
}

static int add_signals(struct td_daemon *d)
{
	sigset_t set;
	int r;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR2);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	r = sd_event_add_signal(d->event, NULL, SIGHUP, on_hangup, d);
	r = r < 0 ? r : sd_event_add_signal(d->event, NULL, SIGUSR2, on_reexec, d);
	r = r < 0 ? r : sd_event_add_signal(d->event, NULL, SIGTERM, on_end, d);
	return r < 0 ? r : sd_event_add_signal(d->event, NULL, SIGINT, on_end, d);
}

static int add_sources(struct td_daemon *d)
{
	sd_event_source *control = NULL;
	uint64_t now;
	int r;

	sd_event_now(d->event, CLOCK_MONOTONIC, &now);
	r = sd_event_add_io(d->event, NULL, td_net_event_fd(d->net), EPOLLIN, on_net, d);
	r = r < 0 ? r
		  : sd_event_add_time(d->event, &d->nexthop_timer, CLOCK_MONOTONIC, now, 5000,
				      on_nexthops, d);
	r = r < 0 ? r : td_timer_add(d, &d->address_timer, 5000, on_addresses);
	r = r < 0 ? r : td_timer_add(d, &d->route_timer, 5000, on_routes);
	r = r < 0 ? r
		  : sd_event_add_time(d->event, NULL, CLOCK_MONOTONIC, now + UNRESOLVED_USEC, 5000,
				      on_slow, d);
	r = r < 0 ? r
		  : sd_event_add_time(d->event, NULL, CLOCK_MONOTONIC, now + LOOK_USEC, 500000,
				      on_look, d);
	r = r < 0 ? r : td_timer_add(d, &d->control_timer, 1000, on_control_timer);
	r = r < 0 ? r
		  : sd_event_add_io(d->event, &control, td_control_fd(d->control), EPOLLIN,
				    on_control, d);
	r = r < 0 ? r : sd_event_source_set_prepare(control, prepare_control);
	r = r < 0 ? r : sd_event_source_set_floating(control, true);
	sd_event_source_unref(control);
	r = r < 0 ? r : td_load_open(d);
	r = r < 0 ? r : td_looks_open(d);
	r = r < 0 ? r : td_share_open(d);
	r = r < 0 ? r : td_rates_open(d);
	r = r < 0 ? r : td_choice_open(d);
	r = r < 0 ? r : td_groups_open(d);
	r = r < 0 ? r : td_source_ports_open(d);
	r = r < 0 ? r : td_egress_open(d);
	return r;
}

/* ---- start --------------------------------------------------------------------- */

static int open_parts(struct td_daemon *d, const struct td_config *c, struct td_error *error)
{
	bool adopted = false;
	int r;

	r = td_kernel_open(d->options.pin, &c->limits, TD_KERNEL_MOUNT_BPFFS, &d->kernel, &adopted,
			   &d->limits_note, error);
	if (r < 0)
		return r;
	d->settings = *td_kernel_settings(d->kernel);
	td_kernel_capture_end(d->kernel); /* of a daemon that was killed */
	td_event(d, "start", d->options.pin, "version %s, %s", TD_VERSION,
		 adopted ? "the pinned maps were adopted" : "new maps were made");
	r = td_net_open(&d->net, error);
	if (r < 0)
		return r;
	if (td_lanes_open(d) < 0 || td_nexthops_open(d) < 0 || td_health_open(d) < 0 ||
	    td_sweeper_open(d) < 0 || td_nat_new(d) < 0 || td_source_ports_new(d) < 0 ||
	    td_histories_open(d) < 0)
		return td_fail(error, ENOMEM, "out of memory at start");
	return td_checks_open(d, error);
}

static void close_parts(struct td_daemon *d)
{
	d->leaves = true;
	td_capture_end(d, "the daemon ends"); /* its reader has the rest before the socket goes */
	d->control = td_control_close(d->control);
	td_load_close(d);
	td_looks_close(d);
	td_groups_close(d);
	td_source_ports_close(d);
	td_nat_free(d);
	td_checks_close(d);
	td_share_close(d);
	sd_event_source_unref(d->health_timer);
	sd_event_source_unref(d->nexthop_timer);
	sd_event_source_unref(d->address_timer);
	sd_event_source_unref(d->route_timer);
	sd_event_source_unref(d->control_timer);
	sd_event_source_unref(d->egress_timer);
	sd_event_unref(d->event);
	d->net = td_net_close(d->net);
	td_lanes_close(d);
	d->kernel = td_kernel_close(d->kernel);
	td_progress_close(d);
	d->sweep = td_sweep_free(d->sweep);
	d->config = td_config_free(d->config);
	free(d->limits_note);
	free(d->attachments);
	free(d->endpoints);
	free(d->memory);
	free(d->group_memory);
	free(d->hops);
	td_histories_close(d);
	free(d->samples);
	free(d->traffic);
	free(d->crowds);
	free(d->pools);
	free(d->events);
}

static int start(struct td_daemon *d, td_handler handler, struct td_error *error)
{
	_cleanup_(td_config_freep) struct td_config *c = NULL;
	struct td_control_former former;
	const char *die = getenv("TUNDISH_TEST_DIE_AT"), *fail = getenv("TUNDISH_TEST_FAIL_AT");
	int r;

	d->started_ns = td_now_ns();
	d->events = calloc(TD_EVENTS_MAX, sizeof(*d->events));
	if (!d->events || td_progress_open(d) < 0)
		return td_fail(error, ENOMEM, "out of memory at start");
	r = td_config_load(d->options.config, &c, error);
	r = r < 0 ? r : td_config_check_host(d->options.config, c, error);
	if (r < 0)
		return r;
	r = sd_event_new(&d->event);
	r = r < 0 ? r : add_signals(d);
	if (r < 0)
		return td_fail(error, -r, "cannot make an event loop: %s", strerror(-r));
	d->die_at = die ? strtoull(die, NULL, 10) : 0;
	d->fail_from = fail ? strtoull(fail, NULL, 10) : 0;
	/* Before anything is made: a socket that another daemon holds is a reason not
	 * to begin. */
	r = td_reexec_former(d, &former)
		    ? td_control_open_again(d->options.control, &former, handler, d, &d->control,
					    error)
		    : td_control_open(d->options.control, NULL, handler, d, &d->control, error);
	if (r < 0)
		return r;
	r = open_parts(d, c, error);
	if (r < 0)
		return r;
	r = td_reload(d, &c, d->options.config, error);
	if (r < 0)
		return r;
	r = add_sources(d);
	if (r < 0)
		return td_fail(error, -r, "cannot make an event loop: %s", strerror(-r));
	return td_privileges_drop(d, error);
}

void td_tell_services(const struct td_daemon *d)
{
	sd_notifyf(0, "READY=1\nSTATUS=%zu services on %zu interfaces.", d->config->n_services,
		   d->config->n_interfaces);
}

int td_daemon_run(struct td_daemon *d, td_handler handler, void (*look)(struct td_daemon *d))
{
	struct td_error e = {0};
	int r;

	d->look = look;
	r = start(d, handler, &e);
	if (r < 0) {
		td_log(TD_LOG_ERROR, "%s", e.text[0] ? e.text : strerror(-r));
		close_parts(d);
		return 1;
	}
	d->ready = true;
	td_event(d, "ready", d->options.config, "%zu services on %zu interfaces",
		 d->config->n_services, d->config->n_interfaces);
	td_tell_services(d);
	r = sd_event_loop(d->event);
	if (r < 0)
		td_log(TD_LOG_ERROR, "the event loop failed: %s", strerror(-r));
	close_parts(d);
	return r < 0;
}
