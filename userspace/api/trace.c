// SPDX-License-Identifier: GPL-2.0-only
/*
 * "Where would a SYN or UDP packet of this client go, and why?", asked of the
 * tracing twin of the data path over the same maps: this file makes the packet and
 * says what the answer comes to; trace_steps.c has the way there.
 */
#include <linux/bpf.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sys/random.h>

#include "api/api.h"
#include "core/address.h"

static uint16_t checksum(const void *data, size_t length, uint32_t sum)
{
	const uint8_t *p = data;

	for (size_t i = 0; i + 1 < length; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	if (length & 1)
		sum += (uint32_t)p[length - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

/* The longest connection id of QUIC, and what stands behind the shortest header. */
#define QUIC_ID_MAX 20
#define QUIC_SHORT  0x40

struct question {
	int protocol; /* 0: not said */
	struct td_endpoint from, to;
	uint8_t connection_id[QUIC_ID_MAX]; /* of QUIC */
	size_t connection_id_length;	    /* 0: none is asked for */
};

/* Ethernet, IP, and TCP with SYN, or UDP, empty or with a short header of QUIC; returns the
 * length. */
static size_t make_packet(int protocol, const struct question *q, uint8_t *frame)
{
	const struct td_endpoint *from = &q->from, *to = &q->to;
	bool v4 = tundish_addr_is_v4(&from->address);
	struct ether_header eth = {.ether_type = htons(v4 ? ETHERTYPE_IP : ETHERTYPE_IPV6)};
	struct tcphdr tcp = {.source = htons(from->port),
			     .dest = htons(to->port),
			     .doff = 5,
			     .syn = 1,
			     .window = htons(64240)};
	struct udphdr udp = {.source = htons(from->port), .dest = htons(to->port)};
	uint8_t quic[1 + QUIC_ID_MAX] = {QUIC_SHORT}, transport[sizeof(udp) + sizeof(quic)];
	size_t length = sizeof(tcp), at = sizeof(eth);

	getrandom(&tcp.seq, sizeof(tcp.seq), GRND_NONBLOCK);
	memcpy(quic + 1, q->connection_id, q->connection_id_length);
	if (protocol == IPPROTO_UDP) {
		length = sizeof(udp) + (q->connection_id_length ? 1 + q->connection_id_length : 0);
		udp.len = htons((uint16_t)length);
		memcpy(transport, &udp, sizeof(udp));
		memcpy(transport + sizeof(udp), quic, length - sizeof(udp));
	} else {
		memcpy(transport, &tcp, sizeof(tcp));
	}
	memset(eth.ether_dhost, 2, sizeof(eth.ether_dhost));
	memset(eth.ether_shost, 4, sizeof(eth.ether_shost));
	memcpy(frame, &eth, sizeof(eth));
	if (v4) {
		struct iphdr ip = {.version = 4,
				   .ihl = 5,
				   .tot_len = htons((uint16_t)(sizeof(ip) + length)),
				   .frag_off = htons(0x4000),
				   .ttl = 64,
				   .protocol = (uint8_t)protocol,
				   .saddr = from->address.word[3],
				   .daddr = to->address.word[3]};

		ip.check = checksum(&ip, sizeof(ip), 0);
		memcpy(frame + at, &ip, sizeof(ip));
		at += sizeof(ip);
	} else {
		struct ip6_hdr ip = {.ip6_plen = htons((uint16_t)length),
				     .ip6_nxt = (uint8_t)protocol,
				     .ip6_hlim = 64};

		ip.ip6_vfc = 6 << 4;
		memcpy(&ip.ip6_src, &from->address, sizeof(ip.ip6_src));
		memcpy(&ip.ip6_dst, &to->address, sizeof(ip.ip6_dst));
		memcpy(frame + at, &ip, sizeof(ip));
		at += sizeof(ip);
	}
	memcpy(frame + at, transport, length);
	at += length;
	if (at < 60) { /* the shortest frame */
		memset(frame + at, 0, 60 - at);
		at = 60;
	}
	return at;
}

static void explain(const struct td_state *s, const struct tundish_trace *t, const char *target,
		    char *reason, size_t size)
{
	static const char *const help[] = {
#define TUNDISH_X(name, kind, help) help,
		TUNDISH_COUNTERS(TUNDISH_X)
#undef TUNDISH_X
	};
	uint32_t slot = 0;
	bool disabled = false, no_port = false, named = false;

	for (uint32_t i = 0; i < t->n_steps && i < TUNDISH_TRACE_STEPS_MAX; i++) {
		if (t->steps[i].step == TUNDISH_STEP_slot)
			slot = t->steps[i].argument;
		disabled |= t->steps[i].step == TUNDISH_STEP_flow_disabled;
		no_port |= t->steps[i].step == TUNDISH_STEP_no_port;
		named |= t->steps[i].step == TUNDISH_STEP_quic;
	}
	if (!t->service)
		snprintf(reason, size,
			 no_port ? "no service on this port of the virtual IP"
				 : "no service on this address and port");
	else if (t->action != XDP_PASS && t->action != XDP_TX && t->action != XDP_REDIRECT)
		snprintf(reason, size, "dropped: %s",
			 t->counter < TUNDISH_COUNTER_MAX ? help[t->counter] : "reason unknown");
	else if (named)
		snprintf(reason, size, "the QUIC connection id names %s", target);
	else if (disabled)
		snprintf(reason, size,
			 "the flow's backend is disabled, Maglev slot %u belongs to %s", slot,
			 target);
	else if (t->from_flow)
		snprintf(reason, size, "the flow is known, and belongs to %s", target);
	else
		snprintf(reason, size, "Maglev slot %u belongs to %s", slot, target);
}

/* For a steered service: which worker, asked of the steering program itself. */
static const char *worker_of(struct td_daemon *d, bool udp, const struct td_endpoint *from,
			     const struct td_endpoint *to, char *name, size_t size, char *reason,
			     size_t reason_size)
{
	static const char *const refusals[] = {
#define TUNDISH_X(name, help) help,
		TUNDISH_REFUSALS(TUNDISH_X)
#undef TUNDISH_X
	};
	const struct tundish_worker *w;
	uint32_t index, refusal;

	if (td_kernel_trace_worker(d->kernel, udp ? IPPROTO_UDP : IPPROTO_TCP, &from->address,
				   from->port, &to->address, to->port, &index, &refusal) < 0)
		return NULL;
	if (index < td_kernel_settings(d->kernel)->workers_max) {
		w = &td_kernel_workers(d->kernel)[index];
		td_worker_name(d, index, name, size);
		if (udp) {
			snprintf(reason, reason_size, "worker %s (process %u, %.16s)", name, w->pid,
				 w->command);
			return name;
		}
		snprintf(
			reason, reason_size,
			"worker %s (process %u, %.16s) has the shortest accept queue, %u of %u, and "
			"is next in turn",
			name, w->pid, w->command, w->queue, w->limit + 1);
		return name;
	}
	if (refusal >= TUNDISH_REFUSAL_MAX)
		return NULL;
	snprintf(reason, reason_size, "refused: %s", refusals[refusal]);
	return "";
}

static void answer(struct td_daemon *d, const struct td_state *s, const struct tundish_trace *t,
		   const struct td_endpoint *from, const struct td_endpoint *to,
		   struct td_reply *reply)
{
	static const char *const verdicts[] = {
		[XDP_ABORTED] = "aborted", [XDP_DROP] = "drop",		[XDP_PASS] = "pass",
		[XDP_TX] = "transmit",	   [XDP_REDIRECT] = "redirect",
	};
	const struct td_backend_state *b = td_state_backend_by_id(s, t->backend);
	const char *target = t->backend && b ? b->value.name : NULL;
	const char *service = t->service ? td_service_name(s, t->service) : NULL;
	json_t *path = json_array();
	char line[256], name[16];

	for (uint32_t i = 0; i < t->n_steps && i < TUNDISH_TRACE_STEPS_MAX; i++) {
		td_trace_step_text(d, s, t, i, line, sizeof(line));
		if (line[0])
			json_array_append_new(path, json_string(line));
	}
	explain(s, t, target ?: "no backend", line, sizeof(line));
	/* To this host's listeners, as the only backend or as one of several. */
	if (b && t->action == XDP_PASS &&
	    (t->counter == TUNDISH_COUNTER_pass_workers ||
	     t->counter == TUNDISH_COUNTER_pass_local)) {
		const struct tundish_steering *st = &td_kernel_steering(d->kernel)[t->service];
		const struct tundish_group *g = td_group_of_service(d, t->service);
		const char *worker = g ? worker_of(d, g->flags & TUNDISH_GROUP_UDP, from, to, name,
						   sizeof(name), line, sizeof(line))
				       : NULL;

		if (worker) {
			target = *worker ? worker : NULL;
			json_array_append_new(path, json_string(line));
			if (*worker && st->method == TUNDISH_STEERING_HASH)
				snprintf(line, sizeof(line), "worker %s, by the client's hash",
					 worker);
		}
	}
	reply->json =
		json_pack("{s:s? s:s? s:s s:o s:s}", "service", service, "target", target, "reason",
			  line, "path", path, "verdict",
			  t->action < TD_ARRAY_SIZE(verdicts) ? verdicts[t->action] : "unknown");
}

static int read_endpoint(const struct td_request *q, const char *key, bool need_port,
			 struct td_endpoint *ret, struct td_reply *reply)
{
	const char *text = q->query(q, key);

	if (!text || td_endpoint_parse(text, &ret->address, &ret->port) < 0 ||
	    (need_port && !ret->port)) {
		td_reply_error(
			reply, 400, 2,
			need_port ? "%s: \"%.60s\" is no address and port, as 192.0.2.10:80 or "
				    "[2001:db8::10]:80"
				  : "%s: \"%.60s\" is no address, as 198.51.100.1 or "
				    "198.51.100.1:40000",
			key, text ?: "");
		return -EINVAL;
	}
	return 0;
}

/* A connection id of QUIC, as hexadecimal digits. */
static int read_connection_id(const struct td_request *q, struct question *ask,
			      struct td_reply *reply)
{
	const char *text = q->query(q, "connection_id");
	size_t n = text ? strlen(text) : 0;

	if (!text)
		return 0;
	if (n && n % 2 == 0 && n <= 2 * QUIC_ID_MAX &&
	    strspn(text, "0123456789abcdefABCDEF") == n && ask->protocol != IPPROTO_TCP) {
		for (size_t i = 0; i < n; i += 2) {
			char octet[3] = {text[i], text[i + 1], '\0'};

			ask->connection_id[i / 2] = (uint8_t)strtoul(octet, NULL, 16);
		}
		ask->connection_id_length = n / 2;
		ask->protocol = IPPROTO_UDP;
		return 0;
	}
	if (ask->protocol == IPPROTO_TCP)
		td_reply_error(reply, 400, 2, "connection_id: is of QUIC, which has protocol udp");
	else
		td_reply_error(reply, 400, 2,
			       "connection_id: \"%.60s\" is not 1 to %u octets in hexadecimal "
			       "digits, as 000a01c0ffee42",
			       text, QUIC_ID_MAX);
	return -EINVAL;
}

static int ask(struct td_daemon *d, int protocol, const struct question *q,
	       struct tundish_trace *ret, struct td_error *error)
{
	uint8_t frame[128];
	size_t length = make_packet(protocol, q, frame);

	return td_kernel_trace(d->kernel, frame, length,
			       d->n_attachments ? d->attachments[0].ifindex : 0, ret, error);
}

void td_answer_trace(struct td_daemon *d, const struct td_request *q, struct td_reply *reply)
{
	_cleanup_(td_state_done) struct td_state s = {0};
	struct question asked = {0};
	struct td_endpoint *from = &asked.from, *to = &asked.to;
	struct tundish_trace t = {0};
	struct td_error e = {0};
	int protocol, r;

	if (q->query(q, "egress")) {
		td_answer_egress_trace(d, q, reply);
		return;
	}
	asked.protocol = td_read_protocol(q, reply);
	if (asked.protocol < 0 || read_connection_id(q, &asked, reply) < 0 ||
	    read_endpoint(q, "src", false, from, reply) < 0 ||
	    read_endpoint(q, "dst", true, to, reply) < 0)
		return;
	if (tundish_addr_is_v4(&from->address) != tundish_addr_is_v4(&to->address)) {
		td_reply_error(reply, 400, 2, "src and dst are of different families");
		return;
	}
	if (!from->port) {
		uint16_t random = 0;

		getrandom(&random, sizeof(random), GRND_NONBLOCK);
		from->port = 32768 + random % 28232;
	}
	protocol = asked.protocol ?: IPPROTO_TCP;
	r = td_kernel_read_state(d->kernel, &s);
	if (r == 0)
		r = ask(d, protocol, &asked, &t, &e);
	if (r == 0 && !asked.protocol &&
	    !t.service) { /* not TCP's; perhaps UDP alone has the port */
		struct tundish_trace udp = {0};

		r = ask(d, IPPROTO_UDP, &asked, &udp, &e);
		if (r == 0 && udp.service) {
			t = udp;
			protocol = IPPROTO_UDP;
		}
	}
	if (r < 0) {
		td_reply_error(reply, 500, 1, "%s", e.text[0] ? e.text : "the trace failed");
		return;
	}
	answer(d, &s, &t, from, to, reply);
	td_add_what_if(d, q, &s, &t, from, to, (uint8_t)protocol, reply);
}
