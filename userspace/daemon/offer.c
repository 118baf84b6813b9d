// SPDX-License-Identifier: GPL-2.0-only
/*
 * Configurations that come with requests: to be checked, compared, traced with, or applied.
 *
 * A large one is read by a thread, as the file of a reload is, and its request asked again when it
 * has been. One at a time: the others wait, but for small ones that are only looked at, which are read
 * at once. One that is to be applied is put in force by the event loop itself, after its request has been
 * told to wait: in the midst of a request nobody else could be answered between the steps.
 */
#include "config/config.h"
#include "daemon/daemon.h"

#define SMALL	    65536u	      /* bytes, read within milliseconds */
#define TURN_USEC   50000u	      /* how often is looked whether it can go on */
#define APPLY_FIRST (5 * TD_NS_PER_S) /* so long others let one go before them */
#define TURNS_AWAIT 20u		      /* that the request may take to fetch what it asked for */

enum phase {
	FREE,
	READING, /* by the thread */
	READ,	 /* its request may have it */
	WAITS,	 /* to be applied, for the end of a reload */
	APPLIES,
	DONE, /* its request may have the answer */
};

struct td_offer {
	enum phase phase;
	unsigned int turns; /* in this phase */
	struct td_job job;
	sd_event_source *timer;
	/* whose it is: the address of its transport, and the time, are together that of no other one */
	const void *request;
	uint64_t since_ns;
	bool applies;
	uint64_t apply_waits_ns; /* another one to be applied, since it was last told to; 0: none */
	char *name;
	/* the job's, while it reads */
	char *body; /* a copy: requests end when they like */
	size_t length;
	struct td_config *config;
	struct td_error error;
	int result;

	td_offer_tell tell;
	json_t *changes;
};

static void enter(struct td_offer *o, enum phase phase)
{
	o->phase = phase;
	o->turns = 0;
}

static void drop(struct td_offer *o)
{
	o->config = td_config_free(o->config);
	json_decref(TD_TAKE_PTR(o->changes));
	free(TD_TAKE_PTR(o->name));
	free(TD_TAKE_PTR(o->body));
	o->error = (struct td_error){0};
	enter(o, FREE);
	td_timer_arm(o->timer, 0); /* for who waits for it; not in the midst of a request */
}

static bool is_of(const struct td_offer *o, const struct td_request *q)
{
	return o->phase != FREE && o->request == q->transport && o->since_ns == q->since_ns;
}

bool td_offer_progress(const struct td_daemon *d, struct td_load_progress *ret)
{
	const struct td_offer *o = d->offer;

	if (!o->applies || (o->phase != READING && o->phase != WAITS && o->phase != APPLIES))
		return false;
	*ret = (struct td_load_progress){.command = true, .since_ns = o->since_ns};
	return true;
}

/* ---- reading ----------------------------------------------------------------------- */

static void read_body(void *context)
{
	struct td_offer *o = context;

	o->result = td_config_parse(o->name, o->body, o->length, &o->config, &o->error);
}

static void on_read(struct td_daemon *d)
{
	struct td_offer *o = d->offer;

	free(TD_TAKE_PTR(o->body));
	enter(o, READ);
	td_timer_arm(o->timer, TURN_USEC);
	td_control_resume(d->control);
}

/* False: there is no memory or no thread. */
static bool begin(struct td_offer *o, const struct td_request *q, const char *name, bool applies)
{
	o->request = q->transport;
	o->since_ns = q->since_ns;
	o->applies = applies;
	o->name = strdup(name);
	o->body = malloc(q->body_length + 1);
	o->length = q->body_length;
	if (!o->name || !o->body)
		return false;
	memcpy(o->body, q->body, q->body_length + 1);
	if (td_job_begin(&o->job) < 0)
		return false;
	enter(o, READING);
	return true;
}

static void refuse(const struct td_error *e, struct td_reply *reply)
{
	td_reply_error(reply, 422, 1, "%s", e->text[0] ? e->text : "the configuration is refused");
}

static void fetch(struct td_offer *o, struct td_config **ret, struct td_reply *reply)
{
	if (o->result < 0)
		refuse(&o->error, reply);
	else
		*ret = TD_TAKE_PTR(o->config);
	drop(o);
}

void td_offer_read(struct td_daemon *d, const struct td_request *q, const char *name, bool applies,
		   struct td_config **ret, struct td_reply *reply)
{
	struct td_offer *o = d->offer;
	struct td_error e = {0};
	bool small = q->body_length <= SMALL;

	if (is_of(o, q) && o->phase == READ) {
		fetch(o, ret, reply);
		return;
	}
	if (o->phase != FREE && (applies || !small)) {
		if (applies)
			o->apply_waits_ns = td_now_ns();
		reply->later = true;
		return;
	}
	/* Who may only look, again and again, keeps nobody from applying. */
	if (applies) {
		o->apply_waits_ns = 0;
	} else if (!small && o->apply_waits_ns && td_now_ns() - o->apply_waits_ns < APPLY_FIRST) {
		td_timer_arm(o->timer, TURN_USEC);
		reply->later = true;
		return;
	}
	if (!small && begin(o, q, name, applies)) {
		reply->later = true;
		return;
	}
	if (!small)
		drop(o);
	if (td_config_parse(name, q->body, q->body_length, ret, &e) < 0)
		refuse(&e, reply);
}

/* ---- applying ---------------------------------------------------------------------- */

static void put_in_force(struct td_daemon *d, struct td_offer *o)
{
	json_t *changes;

	d->undone = false;
	changes = o->tell(d, o->config, &o->error);
	enter(o, APPLIES);
	o->result = changes ? td_load_put(d, &o->config, o->name, &o->error) : -EINVAL;
	if (o->result < 0) {
		json_decref(changes);
		td_event(d, d->undone ? "apply-undone" : "apply-refused", o->name, "%s",
			 o->error.text);
	} else {
		td_event(d, "apply", o->name, "config apply, %zu changes",
			 json_array_size(changes));
		o->changes = changes;
	}
	enter(o, DONE);
	td_tell_services(d);
	td_control_resume(d->control);
}

/* Whoever is gone, and fetches nothing, keeps nobody else from it. */
static int on_turn(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct td_daemon *d = userdata;
	struct td_offer *o = d->offer;

	if (o->phase == WAITS && d->kernel && !td_load_waits(d, o->since_ns))
		put_in_force(d, o);
	else if (o->phase == READ || o->phase == DONE || (o->phase == WAITS && !d->kernel)) {
		if (++o->turns > TURNS_AWAIT)
			drop(o);
		td_control_resume(d->control);
	} else if (o->phase == FREE) {
		td_control_resume(d->control);
	}
	if (o->phase != FREE && o->phase != READING)
		td_timer_arm(o->timer, TURN_USEC);
	return 0;
}

void td_offer_apply(struct td_daemon *d, const struct td_request *q, struct td_config **config,
		    const char *name, td_offer_tell tell, struct td_reply *reply)
{
	struct td_offer *o = d->offer;

	o->name = strdup(name);
	if (!o->name) {
		td_reply_error(reply, 500, 1, "out of memory");
		return;
	}
	o->request = q->transport;
	o->since_ns = q->since_ns;
	o->applies = true;
	o->config = TD_TAKE_PTR(*config);
	o->tell = tell;
	enter(o, WAITS);
	td_timer_arm(o->timer, 0);
	reply->later = true;
}

bool td_offer_is_read(const struct td_daemon *d, const struct td_request *q)
{
	return is_of(d->offer, q) && d->offer->phase == READ;
}

bool td_offer_answer(struct td_daemon *d, const struct td_request *q, struct td_reply *reply)
{
	struct td_offer *o = d->offer;

	if (!is_of(o, q) || o->phase == READ)
		return false;
	if (o->phase != DONE) {
		reply->later = true;
		return true;
	}
	if (o->result < 0)
		refuse(&o->error, reply);
	else
		reply->json = json_pack("{s:o}", "changes", TD_TAKE_PTR(o->changes));
	drop(o);
	return true;
}

int td_offer_open(struct td_daemon *d)
{
	struct td_offer *o = calloc(1, sizeof(*o));
	int r;

	if (!o)
		return -ENOMEM;
	d->offer = o;
	o->job = (struct td_job){.work = read_body, .context = o, .ended = on_read};
	r = td_job_open(&o->job, d);
	return r < 0 ? r : td_timer_add(d, &o->timer, 1000, on_turn);
}

void td_offer_close(struct td_daemon *d)
{
	struct td_offer *o = d->offer;

	if (!o)
		return;
	td_job_close(&o->job);
	td_config_free(o->config);
	json_decref(o->changes);
	free(o->name);
	free(o->body);
	sd_event_source_unref(o->timer);
	free(o);
	d->offer = NULL;
}
