// SPDX-License-Identifier: GPL-2.0-only
/*
 * How much of the loop's time requests may take. Answers are made in the loop that also leads health
 * checks, sweeps and reloads; so those who may only read, and on the metrics listener, which everybody on
 * the host may ask, scrapes and pages, have a quarter of it each: what one of their requests took is rested
 * three times as long before the next of theirs is answered. Who may change things never waits.
 *
 * An answer that is made while it is sent is charged piece by piece, and goes on: at first ahead of its
 * share, so that one by itself is soon through, and within it where there are many.
 *
 * Those that wait hold a connection, of which there are few, and are refused after a while. A daemon
 * that ends answers them at once.
 */
#include "daemon/daemon.h"

#define RESTS	    3
#define PATIENCE_NS (15 * TD_NS_PER_S)

static int on_rested(sd_event_source *source, uint64_t usec, void *userdata)
{
	td_control_resume(((struct td_daemon *)userdata)->control);
	return 0;
}

int td_share_open(struct td_daemon *d)
{
	return td_timer_add(d, &d->share_timer, 1000, on_rested);
}

void td_share_close(struct td_daemon *d)
{
	sd_event_source_unref(d->share_timer);
}

uint64_t *td_share_of(struct td_daemon *d, const struct td_request *q)
{
	if (q->peer && td_rights_may_change(d, q->peer))
		return NULL;
	return &d->rests_until_ns[q->peer ? 0 : !strcmp(q->word[0], "metrics") ? 1 : 2];
}

bool td_share_ask(struct td_daemon *d, const struct td_request *q, struct td_reply *reply)
{
	const uint64_t *share = td_share_of(d, q);

	if (!share || !td_share_rests(d, share, 0))
		return true;
	if (td_now_ns() - q->since_ns > PATIENCE_NS) {
		td_reply_error(reply, 503, 1,
			       "too much is asked of the daemon at once, try again later");
		return false;
	}
	reply->later = true;
	return false;
}

bool td_share_rests(struct td_daemon *d, const uint64_t *share, uint64_t ahead_ns)
{
	uint64_t now = td_now_ns();

	if (*share <= now + ahead_ns || d->leaves)
		return false;
	td_timer_arm(d->share_timer, (*share - now - ahead_ns) / 1000 + 1);
	return true;
}

void td_share_took(uint64_t *share, uint64_t begun_ns)
{
	uint64_t now = td_now_ns();

	if (share)
		*share = TD_MAX(*share, now) + RESTS * (now - begun_ns);
}
