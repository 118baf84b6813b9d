// SPDX-License-Identifier: GPL-2.0-only
/*
 * "Which source would the next connection of this process get, and why?", asked of the
 * dry twin of the choosing program over the same maps.
 */
#include <sys/stat.h>

#include "api/api.h"
#include "core/address.h"

static const char *const left_sentences[] = {
#define TUNDISH_X(name, help) help,
	TUNDISH_EGRESS_LEFT(TUNDISH_X)
#undef TUNDISH_X
};

static int read_question(const struct td_request *q, pid_t *ret_pid,
			 struct tundish_egress_question *ret, struct td_reply *reply)
{
	const char *pid = q->query(q, "egress"), *dst = q->query(q, "dst");
	struct tundish_addr address;
	char *end = NULL;
	uint16_t port;
	long n = strtol(pid, &end, 10);
	int protocol;

	if (!*pid || *end || n < 1 || n > 1 << 22) {
		td_reply_error(reply, 400, 2, "egress: \"%.40s\" is no process", pid);
		return -EINVAL;
	}
	if (!dst || td_endpoint_parse(dst, &address, &port) < 0 || !port) {
		td_reply_error(reply, 400, 2,
			       "dst: \"%.60s\" is no address and port, as 192.0.2.10:80 or "
			       "[2001:db8::10]:80",
			       dst ?: "");
		return -EINVAL;
	}
	protocol = td_read_protocol(q, reply);
	if (protocol < 0)
		return protocol;
	*ret_pid = (pid_t)n;
	*ret = (struct tundish_egress_question){
		.remote = address,
		.port_be = htons(port),
		.protocol = protocol ?: IPPROTO_TCP,
	};
	return 0;
}

/* 1 it is, 0 it is not, -1 that cannot be seen. */
static int same_namespace(pid_t pid)
{
	struct stat own, its;
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	if (stat(path, &its) < 0 || stat("/proc/self/ns/net", &own) < 0)
		return -1;
	return own.st_ino == its.st_ino && own.st_dev == its.st_dev;
}

static void step(json_t *path, const char *format, ...) TD_PRINTF(2, 3);
static void step(json_t *path, const char *format, ...)
{
	char line[256];
	va_list ap;

	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	json_array_append_new(path, json_string(line));
}

static void list_sources(struct td_daemon *d, const struct tundish_egress_question *q, json_t *path)
{
	const struct tundish_egress *e = &td_kernel_egress(d->kernel)[q->pool];
	bool v4 = tundish_addr_is_v4(&q->remote);

	for (uint32_t i = 0; i < e->n[!v4] && i < TUNDISH_EGRESS_SOURCES; i++) {
		uint32_t place = e->order[!v4][i] % TUNDISH_EGRESS_SOURCES;
		char text[TD_ADDRESS_TEXT], why[256];

		td_address_print(&e->source[place].address, text);
		if (q->seen[place] && q->usable)
			step(path, "%s: %u of %u ports used", text, q->used[place], q->usable);
		else if (q->seen[place])
			step(path, "%s: not counted", text);
		else if (strcmp(td_egress_source_state(d, q->pool, place, why, sizeof(why)), "up"))
			step(path, "%s: passed over, %s", text, why);
		else
			step(path, "%s: not looked at", text);
	}
}

static void answer(struct td_daemon *d, const struct tundish_egress_question *q, json_t *path,
		   struct td_reply *reply)
{
	const struct tundish_egress *e = &td_kernel_egress(d->kernel)[q->pool];
	char text[TD_ADDRESS_TEXT], reason[256];
	uint32_t place = q->source % TUNDISH_EGRESS_SOURCES;
	bool gets = q->why != TUNDISH_EGRESS_NONE;

	if (gets) {
		list_sources(d, q, path);
		td_address_print(&e->source[place].address, text);
	}
	switch (q->why) {
	case TUNDISH_EGRESS_LEAST:
		snprintf(reason, sizeof(reason),
			 "of %u sources looked at it is the least used, and next in turn",
			 q->looked);
		break;
	case TUNDISH_EGRESS_PROBED:
		snprintf(reason, sizeof(reason),
			 "all are nearly full; a port of it was found free");
		break;
	case TUNDISH_EGRESS_EXHAUSTED:
		snprintf(reason, sizeof(reason),
			 "no source has a port left that was found: connect(2) is likely to fail");
		break;
	case TUNDISH_EGRESS_IN_TURN:
		snprintf(reason, sizeof(reason), "next in turn; source ports are not counted here");
		break;
	default:
		snprintf(reason, sizeof(reason), "left alone: %s",
			 q->left < TUNDISH_EGRESS_LEFT_MAX ? left_sentences[q->left] : "?");
	}
	reply->json = json_pack("{s:s s:s? s:s s:o s:s}", "service", e->name, "target",
				gets ? text : NULL, "reason", reason, "path", path, "verdict",
				gets ? "source" : "pass");
}

void td_answer_egress_trace(struct td_daemon *d, const struct td_request *request,
			    struct td_reply *reply)
{
	struct tundish_egress_question q;
	struct td_error e = {0};
	json_t *path;
	pid_t pid;
	int same;

	if (read_question(request, &pid, &q, reply) < 0)
		return;
	if (d->egress_trouble[0]) {
		td_reply_error(reply, 503, 1, "no egress pool is in force: %s", d->egress_trouble);
		return;
	}
	if (td_egress_pool_of(d, pid, &q.pool, &e) < 0) {
		td_reply_error(reply, 404, 4, "%s", e.text);
		return;
	}
	path = json_array();
	if (!q.pool) {
		reply->json = json_pack("{s:n s:n s:s s:o s:s}", "service", "target", "reason",
					"its cgroup has no pool: the kernel chooses the source",
					"path", path, "verdict", "pass");
		return;
	}
	same = same_namespace(pid);
	step(path, "process %d is in a cgroup with pool %.63s (%.150s)", pid,
	     td_kernel_egress(d->kernel)[q.pool].name, d->pools[q.pool].cgroup);
	if (same < 0)
		step(path, "its network namespace cannot be seen; taken to be the daemon's");
	/* Where it is another one, whichever. */
	q.netns = same ? td_kernel_egress(d->kernel)[q.pool].netns : 0;
	if (td_kernel_ask_egress(d->kernel, &q, &e) < 0) {
		json_decref(path);
		td_reply_error(reply, 500, 1, "%s", e.text);
		return;
	}
	answer(d, &q, path, reply);
}
