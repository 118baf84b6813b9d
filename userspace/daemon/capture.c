// SPDX-License-Identifier: GPL-2.0-only
/*
 * Packets for people: one capture at a time. It is leased to the data path for a few seconds and the
 * lease renewed each second, so that it ends by itself where this process does. Packets wait in the
 * kernel's ring until their reader has room for them, and nowhere else: one that is slow loses
 * packets, which are counted, and keeps nothing in memory here.
 */
#include <net/if.h>
#include <sys/epoll.h>

#include "daemon/daemon.h"

#define LEASE_NS (3 * TD_NS_PER_S)
#define RENEW_NS TD_NS_PER_S
#define WAKE_NS	 (5 * TD_NS_PER_MS) /* from one time that the ring wakes its reader to the next */
#define REST_NS	 (10 * TD_NS_PER_S) /* for its reader to take what is in the ring at the end */

static int on_wake(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct td_capture *c = userdata;

	c->woken_ns = td_now_ns();
	td_control_resume(c->d->control);
	return 0;
}

static int on_packets(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct td_capture *c = userdata;
	uint64_t since = td_now_ns() - c->woken_ns;

	if (since >= WAKE_NS)
		return on_wake(NULL, 0, c);
	td_timer_arm(c->wake, (WAKE_NS - since) / 1000);
	return 0;
}

/* Whether the service is still the one that was asked for: its number may be another's. */
static bool service_stands(struct td_capture *c)
{
	char name[TUNDISH_NAME_LEN];

	return !c->conf.service[0] ||
	       (td_kernel_service_name(c->d->kernel, c->conf.filter.service, name) == 0 &&
		!strcmp(name, c->conf.service));
}

/* Whether packets may still come by the NIC: it is there, and the program on it. */
static bool interface_stands(const struct td_capture *c)
{
	uint32_t ifindex = c->conf.filter.ifindex;
	char name[IF_NAMESIZE];

	if (!ifindex)
		return true;
	for (size_t i = 0; i < c->d->n_attachments; i++)
		if (c->d->attachments[i].ifindex == ifindex)
			return c->d->attachments[i].mode != TD_MODE_NONE &&
			       if_indextoname(ifindex, name);
	return false;
}

static void renew(struct td_capture *c, uint64_t now)
{
	if (now >= c->ends_ns)
		td_capture_stop(c, "%u seconds are over", c->conf.seconds);
	if (!c->why[0])
		td_kernel_capture_renew(c->d->kernel, now + LEASE_NS);
}

static int on_second(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct td_capture *c = userdata;
	struct td_daemon *d = c->d;
	uint64_t now = td_now_ns();
	char name[IF_NAMESIZE];

	if (!service_stands(c))
		td_capture_stop(c, "the service %s is gone", c->conf.service);
	else if (!interface_stands(c) && if_indextoname(c->conf.filter.ifindex, name))
		td_capture_stop(c, "tundish runs on %s no more", c->conf.interface);
	else if (!interface_stands(c))
		td_capture_stop(c, "the interface %s is gone", c->conf.interface);
	renew(c, now);
	td_control_resume(d->control);
	if (c->stopped_ns && now - c->stopped_ns >= REST_NS)
		td_capture_abandon(d);
	else
		td_timer_arm(source, RENEW_NS / 1000);
	return 0;
}

static int add_timer(struct td_capture *c, sd_event_source **ret, sd_event_time_handler_t handler)
{
	int r = sd_event_add_time(c->d->event, ret, CLOCK_MONOTONIC, 0, 1000, handler, c);

	return r < 0 ? r : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

static int add_sources(struct td_capture *c)
{
	int r = sd_event_add_io(c->d->event, &c->io, td_kernel_capture_fd(c->d->kernel), EPOLLIN,
				on_packets, c);

	r = r < 0 ? r : sd_event_source_set_enabled(c->io, SD_EVENT_OFF);
	r = r < 0 ? r : add_timer(c, &c->timer, on_second);
	return r < 0 ? r : add_timer(c, &c->wake, on_wake);
}

int td_capture_open(struct td_daemon *d, struct td_capture *c, td_capture_each each, void *context,
		    struct td_error *error)
{
	uint64_t now = td_now_ns();
	int r;

	if (d->capture)
		return td_fail(
			error, EBUSY,
			"%s captures already (%s), and one at a time can; it ends in at most "
			"%llu s",
			d->capture->who,
			d->capture->conf.text[0] ? d->capture->conf.text : "everything",
			(unsigned long long)(d->capture->ends_ns > now
						     ? (d->capture->ends_ns - now) / TD_NS_PER_S + 1
						     : 1));
	r = td_kernel_capture_begin(d->kernel, &c->conf.filter, TD_CAPTURE_RING, each, context,
				    error);
	if (r < 0)
		return r;
	c->d = d;
	c->ends_ns = now + c->conf.seconds * TD_NS_PER_S;
	d->capture = c;
	r = add_sources(c);
	if (r < 0) {
		td_capture_close(c);
		return td_fail(error, -r, "cannot wait for packets: %s", strerror(-r));
	}
	td_event(d, "capture", c->who, "begins: %s, for at most %u s",
		 c->conf.text[0] ? c->conf.text : "everything", c->conf.seconds);
	td_kernel_capture_renew(d->kernel, now + LEASE_NS);
	td_timer_arm(c->timer, RENEW_NS / 1000);
	return 0;
}

void td_capture_stop(struct td_capture *c, const char *format, ...)
{
	va_list ap;

	if (c->why[0])
		return;
	va_start(ap, format);
	vsnprintf(c->why, sizeof(c->why), format, ap);
	va_end(ap);
	c->stopped_ns = td_now_ns();
	if (c->d)
		td_kernel_capture_renew(c->d->kernel, 0);
}

void td_capture_read(struct td_capture *c)
{
	if (!c->d)
		return;
	td_kernel_capture_read(c->d->kernel);
	td_kernel_capture_lost(c->d->kernel, &c->sampled, &c->full);
}

void td_capture_wait(struct td_capture *c)
{
	if (c->d)
		sd_event_source_set_enabled(c->io, SD_EVENT_ONESHOT);
}

void td_capture_close(struct td_capture *c)
{
	struct td_daemon *d = c->d;

	if (!d)
		return;
	td_kernel_capture_lost(d->kernel, &c->sampled, &c->full);
	/* before the ring, whose descriptor it polls */
	c->io = sd_event_source_disable_unref(c->io);
	c->timer = sd_event_source_disable_unref(c->timer);
	c->wake = sd_event_source_disable_unref(c->wake);
	td_kernel_capture_end(d->kernel);
	c->d = NULL;
	d->capture = NULL;
	td_event(d, "capture-end", c->who, "%s; %llu packets, %llu left out",
		 c->why[0] ? c->why : "its reader is gone", (unsigned long long)c->packets,
		 (unsigned long long)(c->sampled + c->full + c->left));
}

void td_capture_end(struct td_daemon *d, const char *why)
{
	if (d->capture)
		td_capture_stop(d->capture, "%s", why);
}

void td_capture_abandon(struct td_daemon *d)
{
	if (!d->capture)
		return;
	d->capture->left = td_kernel_capture_drop(d->kernel);
	td_capture_close(d->capture);
}

void td_capture_breathe(struct td_daemon *d)
{
	if (!d->capture)
		return;
	renew(d->capture, td_now_ns());
	td_control_resume(d->control);
}
