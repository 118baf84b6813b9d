// SPDX-License-Identifier: GPL-2.0-only
/*
 * Workers as JSON, and the commands on them.
 */
#include <ctype.h>
#include <unistd.h>

#include "api/api.h"
#include "core/address.h"
#include "host/host.h"
#include "lib/suggest.h"

/* ---- waiting times -------------------------------------------------------------- */

static uint64_t count_of(const struct tundish_waits *t)
{
	uint64_t n = 0;

	for (size_t i = 0; i < TUNDISH_WAIT_BUCKETS; i++)
		n += t->bucket[i];
	return n;
}

/* The upper bound of the bucket that holds the quantile, in seconds; null: none waited. */
static json_t *quantile(const struct tundish_waits *t, double q)
{
	uint64_t n = count_of(t), seen = 0;

	for (size_t i = 0; n && i < TUNDISH_WAIT_BUCKETS; i++) {
		seen += t->bucket[i];
		if ((double)seen >= q * (double)n)
			return json_real((double)(1ull << i) / 1e6);
	}
	return json_null();
}

/* ---- workers ----------------------------------------------------------------------- */

const char *td_refusal_name(size_t refusal)
{
	static const char *const names[] = {
#define TUNDISH_X(name, help) #name,
		TUNDISH_REFUSALS(TUNDISH_X)
#undef TUNDISH_X
	};

	return names[refusal];
}

bool td_worker_stalled(const struct tundish_worker *w, const struct tundish_steering *s)
{
	return w->queue && w->enqueued - w->queue == w->accepted &&
	       td_now_ns() - w->progress > s->stall;
}

static const char *state_of(const struct tundish_worker *w, const struct tundish_steering *s)
{
	if (w->flags & TUNDISH_WORKER_DRAIN)
		return w->queue || w->half_open ? "drain" : "drained";
	if (w->queue > w->limit)
		return "full";
	return td_worker_stalled(w, s) ? "stalled" : "up";
}

/* Connections that came into its queue; of UDP the datagrams that it was given. */
uint64_t td_worker_total(const struct tundish_worker *w)
{
	return w->flags & TUNDISH_WORKER_UDP ? w->assigned : w->enqueued;
}

static json_t *of_queue(bool udp, uint64_t n)
{
	return udp ? json_null() : json_integer((json_int_t)n);
}

static json_t *worker_json(struct td_daemon *d, const char *service,
			   const struct tundish_steering *s, uint32_t index, uint64_t of_all)
{
	const struct tundish_worker *w = &td_kernel_workers(d->kernel)[index];
	const struct tundish_group *g = &td_kernel_groups(d->kernel)[w->group];
	const struct tundish_waits *t = &td_kernel_worker_waits(d->kernel)[index];
	bool udp = w->flags & TUNDISH_WORKER_UDP;
	uint64_t total = td_worker_total(w);
	char name[16], command[sizeof(w->command) + 1];

	td_worker_name(d, index, name, sizeof(name));
	snprintf(command, sizeof(command), "%.*s", (int)sizeof(w->command), w->command);
	for (char *c = command; *c; c++)
		if (!isprint((unsigned char)*c))
			*c = '?';
	return json_pack("{s:s s:s s:i s:s s:s s:o s:o s:I s:f s:b s:s s:i s:i s:{s:o s:o}}",
			 "service", service, "worker", name, "pid", (int)w->pid, "command", command,
			 "state", state_of(w, s), "queue_depth", of_queue(udp, w->queue),
			 "queue_limit", of_queue(udp, w->limit + 1), "connections_total",
			 (json_int_t)total, "connections_share",
			 of_all ? (double)total / (double)of_all : 0.0, "stalled",
			 (int)td_worker_stalled(w, s), "listen", g->name, "services",
			 (int)g->services, "uid", (int)w->uid, "accept_wait_seconds", "p50",
			 quantile(t, 0.5), "p99", quantile(t, 0.99));
}

struct tundish_group *td_group_of_service(struct td_daemon *d, uint32_t service)
{
	uint32_t id = td_kernel_steering(d->kernel)[service].group;

	return id && id < td_kernel_settings(d->kernel)->groups_max
		       ? &td_kernel_groups(d->kernel)[id]
		       : NULL;
}

static void list_workers(struct td_daemon *d, const struct td_service_state *v, json_t *list)
{
	const struct tundish_worker *all = td_kernel_workers(d->kernel);
	const struct tundish_group *g = td_group_of_service(d, v->id);
	uint64_t sum = 0;

	for (uint32_t i = 0; g && i < g->used; i++)
		sum += all[g->first + i].cookie ? td_worker_total(&all[g->first + i]) : 0;
	for (uint32_t i = 0; g && i < g->used; i++)
		if (all[g->first + i].cookie)
			json_array_append_new(list,
					      worker_json(d, v->value.name,
							  &td_kernel_steering(d->kernel)[v->id],
							  g->first + i, sum));
}

void td_answer_workers(struct td_daemon *d, const char *service, struct td_reply *reply)
{
	_cleanup_(td_state_done) struct td_state s = {0};
	const struct td_service_state *only;

	if (td_read_service(d, service, &s, &only, reply) < 0)
		return;
	td_kernel_measure_queues(d->kernel);
	reply->json = json_array();
	for (size_t i = 0; i < s.n_services; i++)
		if (s.services[i].value.state == TUNDISH_SERVICE_ACTIVE &&
		    (!only || only == &s.services[i]))
			list_workers(d, &s.services[i], reply->json);
}

json_t *td_workers_of_service_json(struct td_daemon *d, uint32_t service)
{
	const struct tundish_steering *s = &td_kernel_steering(d->kernel)[service];
	const struct tundish_worker *all = td_kernel_workers(d->kernel);
	const struct tundish_group *g = td_group_of_service(d, service);
	_cleanup_free_ struct tundish_listen *list = NULL;
	_cleanup_free_ uint32_t *groups = NULL;
	json_t *listen = json_array(), *refused = json_object();
	uint64_t depth = 0, limit = 0, total = s->connections;
	bool udp = g && g->flags & TUNDISH_GROUP_UDP;
	size_t n = 0;
	int up = 0;

	if (!g) {
		json_decref(listen);
		json_decref(refused);
		return NULL;
	}
	td_kernel_listens(d->kernel, &list, &groups, &n);
	for (size_t i = 0; i < n; i++) {
		char text[TD_ADDRESS_TEXT];
		bool v4 = tundish_addr_is_v4(&list[i].address);

		if (groups[i] != s->group)
			continue;
		td_address_print(&list[i].address, text);
		json_array_append_new(listen,
				      json_sprintf(v4 ? "%s:%u" : "[%s]:%u", text, list[i].port));
	}
	for (uint32_t i = 0; i < g->used; i++) {
		const struct tundish_worker *w = &all[g->first + i];

		up += w->cookie && !(w->flags & TUNDISH_WORKER_DRAIN);
		depth += w->cookie ? w->queue : 0;
		limit += w->cookie ? w->limit + 1 : 0;
		total += w->cookie && udp ? w->assigned : 0;
	}
	for (size_t i = 0; i < TUNDISH_REFUSAL_MAX; i++)
		json_object_set_new(refused, td_refusal_name(i),
				    json_integer((json_int_t)s->refused[i]));
	return json_pack("{s:o s:i s:i s:o s:o s:s s:i s:I s:o s:{s:o s:o}}", "listen", listen,
			 "size", (int)g->size, "up", up, "queue_depth", of_queue(udp, depth),
			 "queue_limit", of_queue(udp, limit), "steering",
			 s->method == TUNDISH_STEERING_HASH ? "hash" : "least-queue", "share",
			 (int)s->share, "connections_total", (json_int_t)total, "refused", refused,
			 "accept_wait_seconds", "p50",
			 quantile(&td_kernel_service_waits(d->kernel)[service], 0.5), "p99",
			 quantile(&td_kernel_service_waits(d->kernel)[service], 0.99));
}

/* ---- commands ------------------------------------------------------------------------ */

static void drain(struct td_daemon *d, const struct td_service_state *v, uint32_t index, bool on,
		  struct td_reply *reply)
{
	struct tundish_worker *w = &td_kernel_workers(d->kernel)[index];
	char object[160], name[16];

	if (on)
		__atomic_fetch_or(&w->flags, TUNDISH_WORKER_DRAIN, __ATOMIC_RELAXED);
	else
		__atomic_fetch_and(&w->flags, ~TUNDISH_WORKER_DRAIN, __ATOMIC_RELAXED);
	td_step_done(d);
	td_worker_name(d, index, name, sizeof(name));
	snprintf(object, sizeof(object), "%.63s/%s", v->value.name, name);
	td_event(d, "command", object, "%s by command", on ? "drain" : "enable");
	td_kernel_measure_queues(d->kernel);
	reply->json =
		worker_json(d, v->value.name, &td_kernel_steering(d->kernel)[v->id], index, 0);
}

/* Of a process's listeners those on the group's addresses; where none is, its only one. */
static bool belongs(struct td_daemon *d, uint32_t group, const struct td_host_listener *l)
{
	_cleanup_free_ struct tundish_listen *list = NULL;
	_cleanup_free_ uint32_t *groups = NULL;
	size_t n = 0;

	if (td_kernel_listens(d->kernel, &list, &groups, &n) < 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (groups[i] == group && !list[i].udp && list[i].port == l->port &&
		    tundish_addr_equal(&list[i].address, &l->address))
			return true;
	return false;
}

static int adopt_one(struct td_daemon *d, uint32_t group, pid_t pid,
		     const struct td_host_listener *l, uint32_t *ret_index, struct td_error *error)
{
	struct tundish_worker about = {
		.pid = (uint32_t)pid,
		.uid = l->uid,
		.inode = l->inode,
		.flags = !l->v6	     ? TUNDISH_WORKER_V4
			 : l->v6only ? TUNDISH_WORKER_V6
				     : TUNDISH_WORKER_V4 | TUNDISH_WORKER_V6,
	};
	int fd, r;

	if (l->mptcp)
		return td_fail(error, EOPNOTSUPP,
			       "the listener of process %d on port %u is an MPTCP socket, which "
			       "cannot be steered; make it a TCP socket",
			       (int)pid, l->port);
	if (!l->same_netns)
		return td_fail(error, EXDEV,
			       "the listener of process %d on port %u is in another network "
			       "namespace; run a tundishd there",
			       (int)pid, l->port);
	td_host_command(pid, (char *)about.command, sizeof(about.command));
	r = td_host_get_socket(pid, l->inode, &fd, error);
	if (r < 0)
		return r;
	r = td_kernel_adopt_listener(d->kernel, group, fd, &about, ret_index);
	if (r == 0 && td_kernel_attach_migrate(d->kernel, fd) == 0)
		__atomic_fetch_or(&td_kernel_workers(d->kernel)[*ret_index].flags,
				  TUNDISH_WORKER_MIGRATE, __ATOMIC_RELAXED);
	close(fd);
	if (r == -ENOSPC)
		return td_fail(error, ENOSPC,
			       "the group has no place for a further worker; raise workers.size");
	if (r < 0 && r != -EEXIST)
		return td_fail(error, -r, "the kernel does not take the listener: %s",
			       strerror(-r));
	return r;
}

static void adopt(struct td_daemon *d, const struct td_service_state *v, const struct td_request *q,
		  struct td_reply *reply)
{
	json_t *body = json_loadb(q->body, q->body_length, JSON_REJECT_DUPLICATES, NULL);
	json_int_t pid = body ? json_integer_value(json_object_get(body, "pid")) : 0;
	const struct tundish_steering *s = &td_kernel_steering(d->kernel)[v->id];
	_cleanup_free_ struct td_host_listener *all = NULL;
	size_t n = 0, taken = 0, there = 0, fit = 0;
	struct td_error e = {0};
	char object[160];
	int r;

	json_decref(body);
	if (pid <= 0 || pid > INT32_MAX) {
		td_reply_error(reply, 400, 2,
			       "a process is named by its number, as "
			       "{\"pid\": 4711}");
		return;
	}
	r = td_host_listeners((pid_t)pid, &all, &n, &e);
	if (r < 0) {
		td_reply_error(reply, r == -ESRCH ? 404 : 422, r == -ESRCH ? 4 : 1, "%s", e.text);
		return;
	}
	if (td_kernel_groups(d->kernel)[s->group].flags & TUNDISH_GROUP_UDP) {
		td_reply_error(
			reply, 422, 1,
			"the workers of %.63s are UDP sockets, and each that is bound there is "
			"found by itself; `tundish worker list` shows them",
			td_kernel_groups(d->kernel)[s->group].name);
		return;
	}
	for (size_t i = 0; i < n; i++)
		fit += belongs(d, s->group, &all[i]);
	if (!fit && n != 1) {
		td_reply_error(
			reply, 422, 1,
			n ? "process %lld has %zu listeners and none of them is on %s; let it "
			    "listen there, or name the address in workers.listen"
			  : "process %lld has no TCP listener (of %zu), so there is none to "
			    "put into %s",
			(long long)pid, n, td_kernel_groups(d->kernel)[s->group].name);
		return;
	}
	reply->json = json_array();
	for (size_t i = 0; i < n; i++) {
		uint32_t index = 0;

		if (fit && !belongs(d, s->group, &all[i]))
			continue;
		r = adopt_one(d, s->group, (pid_t)pid, &all[i], &index, &e);
		there += r == -EEXIST;
		if (r < 0)
			continue;
		taken++;
		snprintf(object, sizeof(object), "%.63s/w%u", v->value.name,
			 index - td_kernel_groups(d->kernel)[s->group].first);
		td_event(d, "worker-join", object, "process %lld, by command", (long long)pid);
		json_array_append_new(reply->json, worker_json(d, v->value.name, s, index, 0));
	}
	if (taken)
		return;
	json_decref(reply->json);
	reply->json = NULL;
	if (there)
		reply->json = json_pack("{s:s}", "reason", "it is in the group already");
	else
		td_reply_error(reply, 422, 1, "%s", e.text);
}

void td_answer_worker_command(struct td_daemon *d, const struct td_request *q,
			      struct td_reply *reply)
{
	const struct tundish_worker *all = td_kernel_workers(d->kernel);
	_cleanup_(td_state_done) struct td_state s = {0};
	const struct td_service_state *v;
	const struct tundish_group *g;
	const char *verb = q->word[q->n_words - 1];
	struct td_suggest suggest = {.given = q->word[2]};
	char meant[TD_SUGGEST_TELL_BYTES];

	if (td_read_service(d, q->word[1], &s, &v, reply) < 0)
		return;
	g = td_group_of_service(d, v->id);
	if (!g) {
		td_reply_error(reply, 422, 1,
			       "service \"%.63s\" has no worker group; name its listeners' address "
			       "with workers.listen",
			       q->word[1]);
		return;
	}
	if (q->n_words == 3 && !strcmp(verb, "adopt")) {
		adopt(d, v, q, reply);
		return;
	}
	if (q->n_words != 4 || (strcmp(verb, "drain") && strcmp(verb, "undrain"))) {
		td_reply_error(reply, 404, 2,
			       "\"%.40s\" is no command for a worker; there are: drain, undrain, "
			       "adopt",
			       verb);
		return;
	}
	for (uint32_t i = 0; i < g->used; i++) {
		char name[16];

		if (!all[g->first + i].cookie)
			continue;
		td_worker_name(d, g->first + i, name, sizeof(name));
		td_suggest_add(&suggest, name);
		if (strcmp(name, q->word[2]))
			continue;
		drain(d, v, g->first + i, !strcmp(verb, "drain"), reply);
		return;
	}
	td_reply_error(reply, 404, 4,
		       "service \"%.63s\" has no worker \"%.63s\"; `tundish worker list %.63s` "
		       "shows those it has%s",
		       q->word[1], q->word[2], q->word[1],
		       td_suggest_tell(&suggest, meant, sizeof(meant)));
}
