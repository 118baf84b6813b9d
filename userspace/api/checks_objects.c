// SPDX-License-Identifier: GPL-2.0-only
/* Health checks, told: in a backend's JSON, and where they need attention. */
#include "api/api.h"
#include "core/address.h"
#include "daemon/checks.h"

static const char *const types[] = {"none", "tcp", "http", "https", "udp", "exec"};

static double seconds(uint64_t ns)
{
	return (double)(ns / 1000) / 1e6;
}

/* The last answer, as far as there was one. */
static json_t *inquiry_json(const struct td_inquiry *q, const char *type,
			    const struct tundish_addr *address, uint16_t port, uint64_t now)
{
	char text[TD_ADDRESS_TEXT];
	json_t *o = json_pack("{s:s s:s s:i s:f}", "type", type, "address",
			      td_address_print(address, text), "port", (int)port,
			      "interval_seconds", seconds(q->pace.interval_ns));

	if (!q->answered)
		return o;
	json_object_set_new(o, "result", json_string(td_probe_verdict_name(q->verdict)));
	json_object_set_new(o, "reason", json_string(q->reason));
	json_object_set_new(o, "latency_seconds", json_real(seconds(q->latency_ns)));
	json_object_set_new(o, "age_seconds", json_real(seconds(now - q->at_ns)));
	return o;
}

/* Connections of clients that failed, and what followed. */
static json_t *passive_json(const struct td_passive *p, uint64_t now)
{
	uint64_t until = p->state.since_ns + td_passive_hold(&p->state, &p->rules);
	char text[TD_ADDRESS_TEXT];
	json_t *o = json_pack("{s:i s:i s:b s:i}", "refused_in_a_row", (int)p->row.refused,
			      "unanswered_in_a_row", (int)p->row.unanswered, "ejected",
			      p->state.out, "ejections_in_a_row", (int)p->state.times);

	if (p->state.out)
		json_object_set_new(o, "seconds_to_return",
				    json_real(until > now ? seconds(until - now) : 0));
	if (p->trial.answered)
		json_object_set_new(
			o, "trial",
			json_pack("{s:s s:i s:s s:s s:f}", "address",
				  td_address_print(&p->address, text), "port", (int)p->port,
				  "result", td_probe_verdict_name(p->trial.verdict), "reason",
				  p->trial.reason, "age_seconds", seconds(now - p->trial.at_ns)));
	return o;
}

const char *td_check_why(const struct tundish_backend *b)
{
	if (td_backend_admin_state(b) != TUNDISH_BACKEND_UP)
		return NULL;
	if (b->flags & TUNDISH_BACKEND_AGENT_DRAIN)
		return "its agent wants no new connections";
	if (b->flags & TUNDISH_BACKEND_BACKUP && !b->weight && td_backend_share(b))
		return "a backup that is not needed";
	return b->adjust < 0
		       ? "less weight for a while: a slow start, or what its agent or its check says"
		       : NULL;
}

void td_check_add_json(const struct td_daemon *d, uint32_t backend, json_t *o)
{
	const struct tundish_backend *b = &td_kernel_backends(d->kernel)[backend];
	const struct td_check *c = td_check_of(d, backend);
	uint64_t now = td_now_ns();
	json_t *agent;

	if (b->health_since_ns && b->health_since_ns <= now)
		json_object_set_new(o, "health_seconds",
				    json_real(seconds(now - b->health_since_ns)));
	if (!c)
		return;
	if (c->check.probe)
		json_object_set_new(
			o, "check",
			inquiry_json(&c->check, types[c->type], &c->address, c->port, now));
	if (c->passive)
		json_object_set_new(o, "passive", passive_json(c->passive, now));
	if (!c->agent.probe)
		return;
	agent = inquiry_json(&c->agent, "agent", c->local ? &c->address : &c->own, c->agent_port,
			     now);
	json_object_set_new(agent, "percent", json_integer(c->said.percent));
	json_object_set_new(agent, "drain", json_boolean(c->said.drain));
	json_object_set_new(o, "agent", agent);
}

/* ---- attention ---------------------------------------------------------------------------- */

static bool is_unable(const struct td_inquiry *q)
{
	return q->answered && q->verdict == TD_PROBE_UNABLE;
}

void td_checks_attention(const struct td_daemon *d, td_attention_add add, json_t *list)
{
	const struct td_checks *k = d->checks;
	struct td_prober_counts n = td_prober_counts(k->prober);
	const struct td_inquiry *trouble = NULL;
	const struct td_check *first = NULL;
	uint32_t unable = 0;
	char what[200], why[400];

	for (uint32_t i = 0; i < k->n_ids; i++) {
		const struct td_check *c = k->of[k->ids[i]];

		const struct td_inquiry *q = is_unable(&c->check) ? &c->check
					     : c->passive && is_unable(&c->passive->trial)
						     ? &c->passive->trial
						     : NULL;

		if (!q)
			continue;
		first = first ? first : c;
		trouble = trouble ? trouble : q;
		unable++;
	}
	if (first) {
		snprintf(what, sizeof(what), "checks of backend %.63s/%.63s", first->service_name,
			 first->name);
		snprintf(why, sizeof(why), "%s: what is thought of its health stands as it is",
			 trouble->reason);
		if (unable > 1) /* in `what` it would be another thing with each one */
			snprintf(why + strlen(why), sizeof(why) - strlen(why),
				 ", and that of %u more", unable - 1);
		add(list, what, why, "make it possible, or take the check out of the file");
	}
	if (n.waiting) {
		snprintf(why, sizeof(why),
			 "%u are due and wait for others to end: %u sockets and %u programs are at "
			 "work",
			 n.waiting, n.sockets, n.programs);
		add(list, "checks", why,
		    "a longer interval, a shorter timeout, or more open files (LimitNOFILE=)");
	}
	if (k->way_trouble[0])
		add(list, "checks", k->way_trouble,
		    "checks of such services say nothing until then; see health in tundish.yaml(5)");
	if (k->trouble[0])
		add(list, "checks", k->trouble, "reload, or see the log");
}
