// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reloads of the file, as they are asked for by SIGHUP and by command; and the putting in force of
 * configurations that come with requests (offer.c), in the same way.
 *
 * A file with a hundred thousand backends takes a third of a second to read, which a thread
 * does: it touches nothing but what it makes, and the event loop goes on. What then has to be
 * done in the loop's own thread (reload.c) breathes between its steps: requests that only
 * read are answered, of the state as it is there and then; those that change something wait
 * until it is done.
 *
 * One reload at a time. However often one is asked for while one runs, one more follows, and
 * not at once: a storm of SIGHUPs leaves time for all else, and ends with the file as it is
 * then.
 */
#include <malloc.h>
#include <systemd/sd-daemon.h>

#include "config/config.h"
#include "daemon/daemon.h"

#define BREATH_NS (10 * TD_NS_PER_MS)
/* From one reload's end to the next: as long as it took, but between these. */
#define PAUSE_MIN_NS (100 * TD_NS_PER_MS)
#define PAUSE_MAX_NS (500 * TD_NS_PER_MS)
#define PATIENCE_NS  (5 * TD_NS_PER_S) /* of who wants to apply something else */

struct td_load {
	struct td_job job;
	sd_event_source *timer;
	bool reading;
	/* the job's, while it reads */
	const char *path;
	struct td_config *config;
	struct td_error error;
	int result;
	uint64_t read_ns; /* for so long */

	char by[24];
	unsigned int asked;    /* since the one that runs has begun */
	unsigned int together; /* and for that one, before */
	uint64_t begun_ns, next_ns;
	uint64_t told_ns; /* systemd, how far it is */
	/* the last that has ended */
	uint64_t last_begun_ns;
	struct td_error last_error;
	int last_result;
};

bool td_load_progress(const struct td_daemon *d, struct td_load_progress *ret)
{
	const struct td_load *l = d->load;

	if (l->reading)
		*ret = (struct td_load_progress){.since_ns = l->begun_ns};
	else if (!td_offer_progress(d, ret))
		return false;
	ret->applies = d->breathes;
	if (d->breathes) {
		ret->done = d->steps_at;
		ret->steps = d->steps_planned;
	}
	return true;
}

/* Each second, so that `systemctl status` shows it too. */
static void tell_progress(struct td_daemon *d, uint64_t now)
{
	struct td_load *l = d->load;
	struct td_load_progress p;

	if (!td_load_progress(d, &p) || now - TD_MAX(l->told_ns, p.since_ns) < TD_NS_PER_S)
		return;
	l->told_ns = now;
	sd_notifyf(0, "STATUS=%s: %zu of %zu steps, %u s.", p.command ? "Applying" : "Reloading",
		   p.done, p.steps, (unsigned int)((now - p.since_ns) / TD_NS_PER_S));
}

void td_breathe(struct td_daemon *d)
{
	uint64_t now;

	if (!d->breathes)
		return;
	now = td_now_ns();
	if (now - d->breath_ns < BREATH_NS)
		return;
	tell_progress(d, now);
	td_capture_breathe(d);
	td_control_run(d->control);
	d->breath_ns = td_now_ns();
}

static void read_file(void *context)
{
	struct td_load *l = context;
	uint64_t begun = td_now_ns();

	l->result = td_config_load(l->path, &l->config, &l->error);
	l->read_ns = td_now_ns() - begun;
}

int td_load_put(struct td_daemon *d, struct td_config **config, const char *name,
		struct td_error *error)
{
	int r;

	d->undone = false;
	d->steps_at = d->steps_planned = 0;
	d->breathes = true;
	d->breath_ns = td_now_ns();
	r = td_reload(d, config, name, error);
	d->breathes = false;
	/* A plan of a hundred thousand backends leaves tens of megabytes of holes behind, of which the
	 * next one never uses all: what is in use stays the same, what is held grows for hours. */
	malloc_trim(0);
	return r;
}

static void put_in_force(struct td_daemon *d, struct td_load *l)
{
	uint64_t begun = td_now_ns();
	char more[48] = "";
	int r = l->result;

	d->undone = false;
	if (r == 0)
		r = td_load_put(d, &l->config, l->path, &l->error);
	d->reloads++;
	if (l->together > 1)
		snprintf(more, sizeof(more), ", asked for %u times", l->together);
	if (r < 0)
		td_event(d, d->undone ? "reload-undone" : "reload-refused", l->path, "%s%s%s",
			 l->error.text, d->undone ? "" : "; nothing has changed", more);
	else
		td_event(d, "reload", l->path,
			 "%s: %zu steps in %u ms, after %u ms of reading the file%s", l->by,
			 d->steps_planned, (unsigned int)((td_now_ns() - begun) / TD_NS_PER_MS),
			 (unsigned int)(l->read_ns / TD_NS_PER_MS), more);
	l->last_result = r;
	l->last_error = l->error;
	l->last_begun_ns = l->begun_ns;
}

static void wait_for_next(struct td_load *l, uint64_t now)
{
	td_timer_arm(l->timer, l->next_ns > now ? (l->next_ns - now) / 1000 + 1 : 0);
}

static void end_reload(struct td_daemon *d)
{
	struct td_load *l = d->load;
	uint64_t now;

	if (d->kernel)
		put_in_force(d, l);
	l->config = td_config_free(l->config);
	l->reading = false;
	now = td_now_ns();
	l->next_ns = now + TD_MIN(TD_MAX(PAUSE_MIN_NS, now - l->begun_ns), PAUSE_MAX_NS);
	td_tell_services(d);
	/* Who waits for this one, or for its end. */
	td_control_resume(d->control);
	if (l->asked)
		wait_for_next(l, now);
}

static void begin_reload(struct td_daemon *d, struct td_load *l)
{
	l->begun_ns = td_now_ns();
	l->together = l->asked;
	l->asked = 0;
	l->reading = true;
	l->path = d->options.config;
	l->error = (struct td_error){0};
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)l->begun_ns / 1000);
	if (td_job_begin(&l->job) == 0)
		return;
	/* Without a thread it is read here. */
	read_file(l);
	end_reload(d);
}

static int on_turn(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct td_daemon *d = userdata;

	if (d->kernel && !d->load->reading && d->load->asked)
		begin_reload(d, d->load);
	return 0;
}

void td_load_ask(struct td_daemon *d, const char *by)
{
	struct td_load *l = d->load;
	uint64_t now = td_now_ns();

	snprintf(l->by, sizeof(l->by), "%s", by);
	l->asked++;
	if (l->reading)
		return;
	if (now < l->next_ns)
		wait_for_next(l, now);
	else
		begin_reload(d, l);
}

bool td_load_waits(const struct td_daemon *d, uint64_t since_ns)
{
	const struct td_load *l = d->load;

	return l->reading || (l->asked && td_now_ns() - since_ns < PATIENCE_NS);
}

void td_load_answer(struct td_daemon *d, const struct td_request *q, struct td_reply *reply)
{
	struct td_load *l = d->load;

	if (l->last_begun_ns >= q->since_ns) {
		if (l->last_result < 0)
			td_reply_error(reply, 422, 1, "%s", l->last_error.text);
		else
			reply->json = json_object();
		return;
	}
	/* Not in the midst of this request: it would be asked again from within itself. */
	if (!(l->reading && l->begun_ns >= q->since_ns) && !l->asked) {
		snprintf(l->by, sizeof(l->by), "asked by command");
		l->asked++;
		if (!l->reading)
			wait_for_next(l, td_now_ns());
	}
	reply->later = true;
}

int td_load_open(struct td_daemon *d)
{
	struct td_load *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	d->load = l;
	l->job = (struct td_job){.work = read_file, .context = l, .ended = end_reload};
	r = td_job_open(&l->job, d);
	r = r < 0 ? r : td_timer_add(d, &l->timer, 1000, on_turn);
	return r < 0 ? r : td_offer_open(d);
}

void td_load_close(struct td_daemon *d)
{
	struct td_load *l = d->load;

	td_offer_close(d);
	if (!l)
		return;
	td_job_close(&l->job);
	td_config_free(l->config);
	sd_event_source_unref(l->timer);
	free(l);
	d->load = NULL;
}
