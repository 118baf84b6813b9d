// SPDX-License-Identifier: GPL-2.0-only
/*
 * Source ports: on and off, as the file says. Where the kernel refuses the programs this
 * is told in `status`, and all else goes on.
 */
#include "daemon/source_ports.h"

static int on_events(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct td_daemon *d = userdata;

	if (d->kernel)
		td_kernel_read_port_events(d->kernel, td_port_table_on_event, d);
	return 0;
}

static void turn_off(struct td_daemon *d)
{
	struct td_source_ports *p = d->source_ports;

	td_scan_leave(d);
	p->on = false;
	p->events = sd_event_source_disable_unref(p->events);
	td_port_table_done(p);
	p->rounds = p->whole_ns = p->asked_ns = p->waiting_ns = 0;
	td_control_resume(d->control); /* who waits for a scan is told that there is none */
}

static void count_binds(struct td_daemon *d, const struct td_config *c)
{
	struct td_source_ports *p = d->source_ports;
	struct td_error e = {0};

	if (td_kernel_every_bind(d->kernel, c->ports.every_failure, &e) == 0) {
		p->bind_trouble[0] = '\0';
		return;
	}
	if (strcmp(p->bind_trouble, e.text))
		td_log(TD_LOG_WARNING, "binds that get no port are not counted: %s", e.text);
	snprintf(p->bind_trouble, sizeof(p->bind_trouble), "%.255s", e.text);
}

static void listen_to_events(struct td_daemon *d)
{
	struct td_source_ports *p = d->source_ports;
	int fd = td_kernel_port_events_fd(d->kernel);

	if (p->on && !p->events && fd >= 0)
		sd_event_add_io(d->event, &p->events, fd, EPOLLIN, on_events, d);
}

void td_source_ports_apply(struct td_daemon *d, const struct td_config *c)
{
	struct td_source_ports *p = d->source_ports;
	struct td_error e = {0};

	if (!c->ports.watch) {
		if (p->on) {
			turn_off(d);
			td_event(d, "ports-off", "source ports",
				 "not watched any more, by the file");
		}
		td_kernel_ports_close(d->kernel);
		p->trouble[0] = p->bind_trouble[0] = '\0';
		return;
	}
	if (!p->on) {
		if (td_kernel_ports_open(d->kernel, &e) < 0) {
			if (strcmp(p->trouble, e.text))
				td_log(TD_LOG_WARNING, "source ports are not watched: %s", e.text);
			snprintf(p->trouble, sizeof(p->trouble), "%.255s", e.text);
			return;
		}
		p->trouble[0] = '\0';
		p->on = true;
	}
	td_spaces_set(d, c);
	count_binds(d, c);
	listen_to_events(d);
	if (!p->phase)
		p->begun_ns = 0; /* at once */
	td_scan_schedule(d);
}

int td_source_ports_open(struct td_daemon *d)
{
	struct td_source_ports *p = d->source_ports;
	uint64_t now;

	sd_event_now(d->event, CLOCK_MONOTONIC, &now);
	return sd_event_add_time(d->event, &p->timer, CLOCK_MONOTONIC, now, 1, td_scan_on_timer, d);
}

int td_source_ports_new(struct td_daemon *d)
{
	d->source_ports = calloc(1, sizeof(*d->source_ports));
	if (!d->source_ports)
		return -ENOMEM;
	d->source_ports->scan_fd = d->source_ports->netns_fd = -1;
	return 0;
}

void td_source_ports_close(struct td_daemon *d)
{
	struct td_source_ports *p = d->source_ports;

	if (!p)
		return;
	td_scan_leave(d);
	sd_event_source_disable_unref(p->timer);
	sd_event_source_disable_unref(p->events);
	td_port_table_done(p);
	free(p);
	d->source_ports = NULL;
}
