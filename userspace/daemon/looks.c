// SPDX-License-Identifier: GPL-2.0-only
/*
 * What `tundish doctor` sees, seen by the daemon in its own network namespace and with its own
 * rights. On a host with many processes a look takes hundreds of milliseconds, which a thread has:
 * it makes a value of its own and sees nothing of the daemon. Between the two looks the thread has
 * ended and a timer runs, so that the end of the daemon waits for one look at most.
 */
#include "daemon/looks.h"

#define BETWEEN_USEC 1000000ull
#define FRESH_NS     (10 * TD_NS_PER_S)
#define PATIENCE_NS  (15 * TD_NS_PER_S) /* netlink alone may take some seconds */

struct td_looks {
	struct td_job job;
	sd_event_source *between;
	bool under_way; /* from the first look's begin to the second one's end */
	/* the job's, while it works */
	bool second;
	struct td_facts seen;
	int result;

	struct td_facts first, was, now; /* `was` and `now`: the last two */
	uint64_t known_ns, failed_ns;	 /* when two had been taken; 0: never */
};

static void look(void *context)
{
	struct td_looks *l = context;

	l->result = td_facts_read("", l->second, &l->seen);
}

static void end_looks(struct td_daemon *d, bool known)
{
	struct td_looks *l = d->looks;

	l->under_way = false;
	*(known ? &l->known_ns : &l->failed_ns) = td_now_ns();
	td_control_resume(d->control);
}

/* Without a thread it fails: the loop cannot wait for it. */
static bool begin_look(struct td_looks *l, bool second)
{
	l->second = second;
	return td_job_begin(&l->job) == 0;
}

static void move(struct td_facts *to, struct td_facts *from)
{
	td_facts_done(to);
	*to = *from;
	td_facts_init(from);
}

static void on_seen(struct td_daemon *d)
{
	struct td_looks *l = d->looks;

	if (l->result < 0) {
		end_looks(d, false);
	} else if (!l->second) {
		move(&l->first, &l->seen);
		td_timer_arm(l->between, BETWEEN_USEC);
	} else {
		move(&l->was, &l->first);
		move(&l->now, &l->seen);
		end_looks(d, true);
	}
}

static int on_between(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct td_daemon *d = userdata;

	if (!begin_look(d->looks, true))
		end_looks(d, false);
	return 0;
}

bool td_looks_ready(struct td_daemon *d, const struct td_request *q,
		    const struct td_facts **ret_was, const struct td_facts **ret_now,
		    struct td_reply *reply)
{
	struct td_looks *l = d->looks;
	uint64_t now = td_now_ns();

	if (l->known_ns && now - l->known_ns < FRESH_NS) {
		*ret_was = &l->was;
		*ret_now = &l->now;
		return true;
	}
	if (!l->under_way && !d->leaves && l->failed_ns < q->since_ns)
		l->under_way = begin_look(l, false);
	if (!l->under_way)
		td_reply_error(reply, 503, 1,
			       "there was no memory or no thread for a look at this host; try "
			       "again, or use `tundish doctor`");
	else if (now - q->since_ns > PATIENCE_NS)
		td_reply_error(reply, 503, 1,
			       "a look at this host has not ended in %d s; try again, or use "
			       "`tundish doctor`",
			       (int)(PATIENCE_NS / TD_NS_PER_S));
	else
		reply->later = true;
	return false;
}

int td_looks_open(struct td_daemon *d)
{
	struct td_looks *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	d->looks = l;
	td_facts_init(&l->seen);
	td_facts_init(&l->first);
	td_facts_init(&l->was);
	td_facts_init(&l->now);
	l->job = (struct td_job){.work = look, .context = l, .ended = on_seen};
	r = td_job_open(&l->job, d);
	return r < 0 ? r : td_timer_add(d, &l->between, 1000, on_between);
}

void td_looks_close(struct td_daemon *d)
{
	struct td_looks *l = d->looks;

	if (!l)
		return;
	td_job_close(&l->job);
	td_facts_done(&l->seen);
	td_facts_done(&l->first);
	td_facts_done(&l->was);
	td_facts_done(&l->now);
	sd_event_source_unref(l->between);
	free(l);
	d->looks = NULL;
}
