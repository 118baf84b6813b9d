// SPDX-License-Identifier: GPL-2.0-only
/*
 * A snapshot lives as long as somebody reads it. One whose readers are cut off is none of all any more, and
 * its samples are gone at once; what is left of it goes with the last of them.
 */
#include "api/snapshot.h"

#define TEXT (TD_EXPOSITION_LINE_MAX + 8192)

struct td_snapshot {
	struct td_exposition *e; /* NULL: cut off */
	uint64_t made_ns;
	unsigned int readers;
};

static struct td_snapshot *newest(const struct td_snapshots *all)
{
	struct td_snapshot *found = NULL;

	for (size_t i = 0; i < TD_SNAPSHOTS_MAX; i++)
		if (all->of[i] && (!found || all->of[i]->made_ns > found->made_ns))
			found = all->of[i];
	return found;
}

/* Where the next one comes: a place that is free, or that of the oldest, whose readers are slow; or -1. */
static int place(const struct td_snapshots *all, uint64_t now_ns)
{
	int found = 0;

	for (int i = 0; i < TD_SNAPSHOTS_MAX; i++) {
		if (!all->of[i])
			return i;
		if (all->of[i]->made_ns < all->of[found]->made_ns)
			found = i;
	}
	return now_ns - all->of[found]->made_ns > TD_SNAPSHOT_SLOW_NS ? found : -1;
}

bool td_snapshot_is_wanted(const struct td_snapshots *all, uint64_t now_ns)
{
	const struct td_snapshot *s = newest(all);

	return !s || (now_ns - s->made_ns > TD_SNAPSHOT_FRESH_NS && place(all, now_ns) >= 0);
}

static struct td_snapshot *keep(struct td_snapshots *all, struct td_exposition *e, uint64_t now_ns)
{
	struct td_snapshot *s = malloc(sizeof(*s));
	int at = place(all, now_ns);

	if (!s || at < 0) {
		free(s);
		return NULL;
	}
	*s = (struct td_snapshot){.e = e, .made_ns = now_ns};
	if (all->of[at])
		all->of[at]->e = td_exposition_free(all->of[at]->e);
	all->of[at] = s;
	return s;
}

int td_snapshot_enter(struct td_snapshots *all, struct td_exposition *fresh,
		      enum td_metrics_form form, uint64_t now_ns, struct td_snapshot_reader *ret)
{
	_cleanup_(td_exposition_freep) struct td_exposition *e = fresh;
	_cleanup_free_ char *text = malloc(TEXT);
	struct td_snapshot *s = !text ? NULL : fresh ? keep(all, e, now_ns) : newest(all);

	if (!s)
		return -ENOMEM;
	e = NULL;
	s->readers++;
	*ret = (struct td_snapshot_reader){
		.all = all, .of = s, .form = form, .text = TD_TAKE_PTR(text)};
	return 0;
}

static void let_go(struct td_snapshot_reader *r)
{
	struct td_snapshot *s = TD_TAKE_PTR(r->of);

	if (!s || --s->readers)
		return;
	for (size_t i = 0; i < TD_SNAPSHOTS_MAX; i++)
		if (r->all->of[i] == s)
			r->all->of[i] = NULL;
	td_exposition_free(s->e);
	free(s);
}

ssize_t td_snapshot_read(struct td_snapshot_reader *r, char *buffer, size_t size)
{
	size_t n;

	if (r->begin == r->end && r->of) {
		if (!r->of->e)
			return -ECONNABORTED;
		r->begin = 0;
		r->end = td_exposition_write(r->of->e, r->form, &r->at, r->text, TEXT);
		if (!r->end)
			let_go(r);
	}
	n = TD_MIN(size, r->end - r->begin);
	memcpy(buffer, r->text + r->begin, n);
	r->begin += n;
	return (ssize_t)n;
}

void td_snapshot_leave(struct td_snapshot_reader *r)
{
	let_go(r);
	free(r->text);
	r->text = NULL;
}
