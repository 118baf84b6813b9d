// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who may do what on the control socket. Reading and changing are two rights: root and
 * the daemon's own user have both, members of control.group read, members of
 * control.admin_group change too. The kernel says who asks; groups are looked up by
 * name when a configuration is applied, never for a request.
 *
 * A refusal is an event, so that a user who tries is seen; one in ten seconds, so that
 * one who tries without end does not push all other events out.
 */
#include <grp.h>

#include "daemon/daemon.h"

#define REFUSED_EVENT_NS (10 * TD_NS_PER_S)

static int find_group(const char *name, gid_t *ret)
{
	char buffer
		[4096]; /* of a group with more members only the number is wanted, but all come */
	_cleanup_free_ char *large = NULL;
	struct group entry, *found = NULL;
	int r = getgrnam_r(name, &entry, buffer, sizeof(buffer), &found);

	for (size_t size = 64 << 10; r == ERANGE && size <= 16 << 20; size *= 4) {
		free(large);
		large = malloc(size);
		if (!large)
			return -ENOMEM;
		r = getgrnam_r(name, &entry, large, size, &found);
	}
	if (!found)
		return r ? -r : -ENOENT;
	*ret = found->gr_gid;
	return 0;
}

void td_rights_apply(struct td_daemon *d, const struct td_config *c)
{
	const struct td_control_conf *k = &c->control;
	struct td_error e = {0};
	int r;

	d->control_trouble[0] = '\0';
	d->read_group = getegid();
	r = find_group(k->group, &d->read_group);
	if (r < 0 && strcmp(k->group, "tundish")) /* its default, which need not be there */
		snprintf(d->control_trouble, sizeof(d->control_trouble),
			 "the control socket keeps its group: there is no group \"%s\" "
			 "(control.group)",
			 k->group);
	if (td_control_set_group(d->control, d->read_group, &e) < 0)
		snprintf(d->control_trouble, sizeof(d->control_trouble), "%.200s", e.text);
	d->admins = k->admin_group[0] && find_group(k->admin_group, &d->admin_group) == 0;
	if (k->admin_group[0] && !d->admins)
		snprintf(d->control_trouble, sizeof(d->control_trouble),
			 "nobody but root may change things: there is no group \"%s\" "
			 "(control.admin_group)",
			 k->admin_group);
	if (d->control_trouble[0])
		td_log(TD_LOG_WARNING, "%s", d->control_trouble);
}

static bool may(const struct td_daemon *d, const struct td_peer *p, bool change)
{
	if (!p) /* the metrics address, of which the transport and api/ let only some through */
		return !change || d->config->metrics_commands;
	if (p->uid == 0 || p->uid == geteuid())
		return true;
	if (d->admins && td_peer_in(p, d->admin_group))
		return true;
	return !change && td_peer_in(p, d->read_group);
}

bool td_rights_may_change(const struct td_daemon *d, const struct td_peer *peer)
{
	return may(d, peer, true);
}

static void refused(struct td_daemon *d, const struct td_request *q, const char *who)
{
	uint64_t now = td_now_ns();
	char by[40] = "over the metrics address";

	d->refused++;
	if (d->refused_event_ns && now - d->refused_event_ns < REFUSED_EVENT_NS)
		return;
	if (q->peer)
		snprintf(by, sizeof(by), "by process %d", (int)q->peer->pid);
	td_event(d, "control-refused", who, "%s /v1/%s %s; %llu refused so far", q->method,
		 q->word[0], by, (unsigned long long)d->refused);
	d->refused_event_ns = now;
}

bool td_rights_ask(struct td_daemon *d, const struct td_request *q, bool change,
		   struct td_reply *reply)
{
	const struct td_control_conf *k = &d->config->control;
	const char *group = change ? k->admin_group : k->group;
	char user[24];

	if (may(d, q->peer, change))
		return true;
	if (!q->peer) {
		td_reply_error(
			reply, 403, 1,
			"this page only shows: commands from here take metrics: {commands: true} "
			"in the configuration");
		refused(d, q, q->from ?: "unknown");
		return false;
	}
	snprintf(user, sizeof(user), "uid %u", q->peer->uid);
	td_reply_error(reply, 403, 1, "%s may not %s: that takes root%s%s%s", user,
		       change ? "change anything here" : "read here",
		       group[0] ? " or a member of the group " : "", group,
		       group[0] ? ""
		       : change ? ", or a group named by control.admin_group"
				: "");
	refused(d, q, user);
	return false;
}
