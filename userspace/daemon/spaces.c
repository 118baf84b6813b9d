// SPDX-License-Identifier: GPL-2.0-only
/*
 * The network namespaces whose source ports are watched. Each is opened for its scan
 * and let go after it: a descriptor that is kept would keep a namespace alive that its
 * owner has removed. What is there under a name is known by its cookie, so one that was
 * removed and made again is a new one.
 */
#include "daemon/source_ports.h"

#define OWN 1

const char *td_space_name(const struct td_space *s)
{
	return s->name[0] ? s->name : "host";
}

/* No longer counted in; its tuples go when the table is read next. */
static void forget(struct td_daemon *d, struct td_space *s)
{
	if (s->cookie)
		td_kernel_delete_space(d->kernel, s->cookie);
	s->cookie = 0;
	s->present = false;
	s->scan = 0;
	s->budget = (struct td_budget_space){0};
	s->facts = (struct td_netns_facts){0};
	s->facts_ns = s->tw_overflow_ns = s->scanned_ns = 0;
	s->entered_rate = 0;
	s->rate_ns = 0;
}

static struct td_space *find(struct td_source_ports *p, const char *name)
{
	for (uint32_t i = OWN; i < TUNDISH_SPACES_MAX; i++)
		if (p->spaces[i].wanted && !strcmp(p->spaces[i].name, name))
			return &p->spaces[i];
	return NULL;
}

/* What a former daemon left: its numbers go on, its namespaces are looked at anew. */
static void adopt(struct td_daemon *d)
{
	_cleanup_free_ struct tundish_space *spaces = NULL;
	_cleanup_free_ uint64_t *cookies = NULL;
	uint64_t own = 0;
	size_t n = 0;

	td_kernel_netns_cookie(-1, &own);
	if (td_kernel_spaces(d->kernel, &cookies, &spaces, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		d->source_ports->scan = TD_MAX(d->source_ports->scan, spaces[i].scan);
		/* Whether another is one of ours shows when it is entered. */
		if (cookies[i] != own || spaces[i].index != OWN)
			td_kernel_delete_space(d->kernel, cookies[i]);
	}
}

/* Rather none whose former tuples stand in the table still. */
static struct td_space *free_place(struct td_source_ports *p)
{
	struct td_space *found = NULL;

	for (uint32_t i = OWN + 1; i < TUNDISH_SPACES_MAX; i++) {
		struct td_space *s = &p->spaces[i];

		if (!s->wanted &&
		    (!found || (p->rounds >= s->former_until && p->rounds < found->former_until)))
			found = s;
	}
	return found;
}

void td_spaces_set(struct td_daemon *d, const struct td_config *c)
{
	struct td_source_ports *p = d->source_ports;

	if (!p->spaces[OWN].wanted)
		adopt(d);
	p->spaces[OWN].wanted = true;
	for (uint32_t i = OWN + 1; i < TUNDISH_SPACES_MAX; i++) {
		struct td_space *s = &p->spaces[i];
		bool stays = false;

		for (size_t k = 0; s->wanted && !stays && k < c->ports.n_namespaces; k++)
			stays = !strcmp(c->ports.namespaces[k].path, s->name);
		if (!s->wanted || stays)
			continue;
		/* Its place may be another one's at once. */
		if (p->phase && p->at == i)
			td_scan_leave(d);
		forget(d, s);
		*s = (struct td_space){.former_until =
					       p->rounds + (p->phase == TD_SCAN_TABLE ? 2 : 1)};
	}
	for (size_t k = 0; k < c->ports.n_namespaces; k++) {
		const char *path = c->ports.namespaces[k].path;
		struct td_space *s = find(p, path) ? NULL : free_place(p);

		if (!s)
			continue;
		*s = (struct td_space){.wanted = true};
		snprintf(s->name, sizeof(s->name), "%s", path);
	}
}

/* Each reason is told once, when it begins. */
static void say(struct td_daemon *d, struct td_space *s, const char *why)
{
	if (!strcmp(s->trouble, why))
		return;
	snprintf(s->trouble, sizeof(s->trouble), "%.255s", why);
	td_event_bad(d, "namespace", td_space_name(s), "not watched: %s", s->trouble);
}

static int fail(struct td_daemon *d, struct td_space *s, const char *why)
{
	say(d, s, why);
	if (s->present)
		forget(d, s);
	return -ENOENT;
}

void td_space_failed(struct td_daemon *d, uint32_t index, const char *why)
{
	say(d, &d->source_ports->spaces[index], why);
}

bool td_space_stays(struct td_daemon *d, uint32_t index, int fd)
{
	struct td_space *s = &d->source_ports->spaces[index];
	struct td_error e = {0};

	if (fd < 0 || td_host_netns_check(s->name, fd, &e) == 0)
		return true;
	fail(d, s, e.text);
	return false;
}

static int check_cookie(struct td_daemon *d, uint32_t index, uint64_t cookie)
{
	struct td_source_ports *p = d->source_ports;
	struct td_space *s = &p->spaces[index];

	for (uint32_t i = OWN; i < TUNDISH_SPACES_MAX; i++)
		if (i != index && p->spaces[i].wanted && p->spaces[i].cookie == cookie) {
			char why[256];

			snprintf(why, sizeof(why), "it is the same as %.120s; take it out",
				 i == OWN ? "the daemon's own" : p->spaces[i].name);
			return fail(d, s, why);
		}
	/* Not in this round, at the end of which the former one's tuples go. */
	if (s->present && s->cookie != cookie)
		return fail(d, s,
			    "another one is there under this name; it is watched from the next "
			    "scan on");
	s->cookie = cookie;
	return 0;
}

static void take_facts(struct td_space *s, const struct td_netns_facts *f)
{
	uint64_t now = td_now_ns();
	double seconds = (double)(now - s->rate_ns) / TD_NS_PER_S;

	/* Of two looks close to each other what came in between counts with the next one. */
	if (s->rate_ns && seconds >= 0.5)
		s->entered_rate = f->tw_entered > s->rate_entered
					  ? (double)(f->tw_entered - s->rate_entered) / seconds
					  : 0;
	if (!s->rate_ns || seconds >= 0.5) {
		s->rate_ns = now;
		s->rate_entered = f->tw_entered;
	}
	if (s->facts_ns && f->tw_overflow > s->facts.tw_overflow)
		s->tw_overflow_ns = now;
	s->facts = *f;
	s->facts_ns = now;
	s->budget.first = f->first;
	s->budget.last = f->last;
	s->budget.tw_reuse = f->tw_reuse;
	s->budget.reuse_delay_s = (double)f->tw_reuse_delay_ms / 1000;
}

static int put(struct td_daemon *d, uint32_t index)
{
	const struct td_space *s = &d->source_ports->spaces[index];
	struct tundish_space value = {0};

	/* What the kernel keeps there for itself stays. */
	td_kernel_get_space(d->kernel, s->cookie, &value);
	value.index = index;
	value.first = s->budget.first;
	value.last = s->budget.last;
	value.scan = s->scan;
	value.reserved = s->budget.reserved;
	if (s->scanned_ns)
		value.scanned = s->scanned_ns;
	if (s->scan)
		value.usable = (uint32_t)s->budget.last - s->budget.first + 1 - s->budget.reserved -
			       s->budget.blocked;
	return td_kernel_put_space(d->kernel, s->cookie, &value);
}

int td_space_enter(struct td_daemon *d, uint32_t index, int *ret_fd)
{
	struct td_space *s = &d->source_ports->spaces[index];
	struct td_netns_facts facts;
	_cleanup_close_ int fd = -1;
	struct td_error e = {0};
	uint64_t cookie = 0;
	int r;

	if (s->name[0] && td_host_netns_open(s->name, &fd, &e) < 0)
		return fail(d, s, e.text);
	r = td_host_netns_read(fd, &facts, &e);
	if (r < 0)
		return fail(d, s, e.text);
	r = td_kernel_netns_cookie(fd, &cookie);
	if (r == 0)
		r = check_cookie(d, index, cookie);
	if (r == -ENOENT)
		return r;
	take_facts(s, &facts);
	r = r < 0 ? r : put(d, index);
	if (r < 0)
		return fail(d, s, strerror(-r));
	if (!s->present && s->trouble[0]) {
		td_event(d, "namespace", td_space_name(s), "is there now, and watched");
		s->trouble[0] = '\0';
	}
	s->present = true;
	*ret_fd = TD_TAKE_FD(fd);
	return 0;
}

void td_space_scanned(struct td_daemon *d, uint32_t index)
{
	struct td_space *s = &d->source_ports->spaces[index];
	int r;

	td_budget_count_ports(&s->budget, s->facts.reserved, td_kernel_port_bits(d->kernel, index));
	s->budget.scan = s->scan;
	s->scanned_ns = td_now_ns();
	r = put(d, index);
	if (r < 0)
		fail(d, s, strerror(-r));
}
