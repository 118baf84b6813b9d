// SPDX-License-Identifier: GPL-2.0-only
/*
 * The program on its interfaces.
 *
 * A configuration is taken onto all of them or none: where one refuses, those
 * that carried nothing before are let go again, and those that did, from this
 * daemon or a former one, keep what they have.
 *
 * An interface may vanish and come back (a driver that is loaded anew, a VM's
 * NIC), and somebody may take the program off it. Both are events of the link;
 * what refuses to come back is tried again every two seconds, and told.
 */
#include "daemon/nat.h"

static struct td_attachment *find(const struct td_daemon *d, const char *name)
{
	for (size_t i = 0; i < d->n_attachments; i++)
		if (!strcmp(d->attachments[i].name, name))
			return &d->attachments[i];
	return NULL;
}

static void tell(struct td_daemon *d, const struct td_attachment *a, const char *again)
{
	td_event(d, "attach", a->name, "%s mode%s%s%s%s", td_mode_name(a->mode),
		 a->dispatcher ? ", through the dispatcher" : "", again, a->note[0] ? ": " : "",
		 a->note);
}

int td_attach_all(struct td_daemon *d, const struct td_config *c, struct td_error *error)
{
	_cleanup_free_ struct td_attachment *new = calloc(c->n_interfaces + 1, sizeof(*new));

	if (!new)
		return td_fail(error, ENOMEM, "out of memory while attaching");
	for (size_t i = 0; i < c->n_interfaces; i++) {
		int r = td_step_fails(d)
				?: td_kernel_attach(d->kernel, &c->interfaces[i], &new[i], error);

		if (r < 0) {
			while (i--)
				if (new[i].fresh)
					td_kernel_detach(d->kernel, new[i].name, NULL);
			return r;
		}
		td_step_done(d);
	}
	for (size_t i = 0; i < c->n_interfaces; i++)
		if (new[i].fresh || !find(d, new[i].name))
			tell(d, &new[i], "");
	free(d->attachments);
	d->attachments = TD_TAKE_PTR(new);
	d->n_attachments = c->n_interfaces;
	d->attach_missing = false;
	td_links_refresh(d, false);
	return 0;
}

void td_attach_check(struct td_daemon *d)
{
	d->attach_missing = false;
	for (size_t i = 0; i < d->config->n_interfaces; i++) {
		const struct td_interface_conf *conf = &d->config->interfaces[i];
		struct td_attachment new, *old = find(d, conf->name);
		struct td_error e = {0};
		int r;

		if (!old)
			continue;
		r = td_kernel_attach(d->kernel, conf, &new, &e);
		if (r < 0) {
			/* An interface that is not there comes with an event. */
			d->attach_missing |= if_nametoindex(conf->name) != 0;
			if (old->mode != TD_MODE_NONE)
				td_event_bad(d, "attach", conf->name, "lost: %s", e.text);
			old->mode = TD_MODE_NONE;
			snprintf(old->note, sizeof(old->note), "%.255s", e.text);
			continue;
		}
		if (new.fresh)
			tell(d, &new, ", again");
		if (new.fresh || old->mode == TD_MODE_NONE)
			*old = new;
	}
	td_links_refresh(d, true);
}
