// SPDX-License-Identifier: GPL-2.0-only
/*
 * SYN queues and accept queues.
 *
 * Both of a listener have the same limit, what listen(2) was told cut to somaxconn; the accept
 * queue takes one more. tcp_max_syn_backlog is none of them while SYN cookies are on: with
 * them off the kernel keeps its last quarter for clients that it has seen before.
 */
#include "checks.h"

#define BACKLOG_LEAST 4096
#define BACKLOG_MOST  65535
/* Per second, of those without a queue to blame. */
#define LISTEN_DROPS_LEAST 10

static const char *print(const struct td_listen *x, char *buffer, size_t size)
{
	char address[TD_ADDRESS_TEXT];

	td_address_print(&x->address, address);
	snprintf(buffer, size, tundish_addr_is_v4(&x->address) ? "%s:%u" : "[%s]:%u", address,
		 x->port);
	return buffer;
}

static const char *program(const struct td_listen *x, char *buffer, size_t size)
{
	if (x->pid)
		snprintf(buffer, size, "%s (pid %d)", x->command, x->pid);
	else
		snprintf(buffer, size, "its program");
	return buffer;
}

static const struct td_listen *before(const struct td_look *l, const struct td_listen *x)
{
	for (size_t i = 0; l->was && i < l->was->n_listeners; i++)
		if (l->was->listeners[i].port == x->port &&
		    l->was->listeners[i].inode == x->inode &&
		    tundish_addr_equal(&l->was->listeners[i].address, &x->address))
			return &l->was->listeners[i];
	return NULL;
}

static bool is_stopped(const struct td_look *l, pid_t pid)
{
	for (size_t i = 0; pid && i < l->now->n_processes; i++)
		if (l->now->processes[i].pid == pid)
			return l->now->processes[i].stopped;
	return false;
}

/* The words with which its program takes a backlog, after somaxconn where that is less. */
static void set_backlog(const struct td_look *l, const struct td_listen *x, struct td_row *row)
{
	static const struct {
		const char *command, *before, *behind;
	} known[] = {
		{"nginx", "`backlog=", "` at nginx's `listen`, and a restart,"},
		{"haproxy", "`backlog ", "` in HAProxy's frontend"},
		{"apache2", "`ListenBacklog ", "` in apache2.conf"},
		{"httpd", "`ListenBacklog ", "` in httpd.conf"},
		{"redis-server", "`tcp-backlog ", "` in redis.conf"},
		{"mysqld", "`back_log = ", "` in my.cnf"},
		{"mariadbd", "`back_log = ", "` in my.cnf"},
	};
	int64_t wanted = td_doubled(x->limit, BACKLOG_LEAST, BACKLOG_MOST);
	int64_t somaxconn = TD_SYSCTL(l, SOMAXCONN);
	const char *before = "a backlog of ", *behind = NULL;
	char own[224], at[80];

	for (size_t i = 0; i < TD_ARRAY_SIZE(known) && !behind; i++)
		if (strcmp(known[i].command, x->command) == 0) {
			before = known[i].before;
			behind = known[i].behind;
		}
	snprintf(own, sizeof(own), "%s%lld%s%s for %s", before, (long long)wanted,
		 behind ? behind : " in the listen(2) of ",
		 behind	  ? ""
		 : x->pid ? x->command
			  : "the program",
		 print(x, at, sizeof(at)));
	if (somaxconn >= 0 && somaxconn < wanted)
		td_row_set(row, "sysctl -w net.core.somaxconn=%lld, then %s", (long long)wanted,
			   own);
	else
		td_row_set(row, "%s", own);
}

static bool is_full(const struct td_listen *x)
{
	return x && x->queue > x->limit;
}

/* ---- SYN queues -------------------------------------------------------------------- */

/* Listeners of one address and port share their half-open ones. */
static size_t group_of(const struct td_facts *f, size_t first, int64_t *ret_limit)
{
	const struct td_listen *a = &f->listeners[first];
	size_t i = first;

	for (*ret_limit = 0; i < f->n_listeners && f->listeners[i].port == a->port &&
			     tundish_addr_equal(&f->listeners[i].address, &a->address);
	     i++)
		*ret_limit += f->listeners[i].limit;
	return i;
}

/* The fullest group; NULL where there is none. */
static const struct td_listen *fullest_syn(const struct td_facts *f, int64_t *ret_limit)
{
	const struct td_listen *found = NULL;
	int64_t limit;
	size_t next;

	for (size_t i = 0; i < f->n_listeners; i = next) {
		const struct td_listen *x = &f->listeners[i];

		next = group_of(f, i, &limit);
		if (!found || (double)x->half_open * (double)TD_MAX(*ret_limit, 1) >
				      (double)found->half_open * (double)TD_MAX(limit, 1)) {
			found = x;
			*ret_limit = limit;
		}
	}
	return found;
}

/* Of the listeners of an address and port; in one look only it may be chance. */
static bool syn_full(const struct td_facts *f, const struct td_listen *of)
{
	int64_t half_open = 0, limit = 0;

	for (size_t i = 0; i < f->n_listeners; i++) {
		const struct td_listen *x = &f->listeners[i];

		if (x->port != of->port || !tundish_addr_equal(&x->address, &of->address))
			continue;
		half_open += x->half_open;
		limit += x->limit;
	}
	return limit > 0 && half_open >= limit;
}

void td_check_syn_queue(struct td_look *l)
{
	bool seen = !(l->now->unseen & TD_UNSEEN_HALF_OPEN), cookies = TD_SYSCTL(l, SYNCOOKIES) > 0;
	const struct td_listen *x = NULL;
	char at[80] = "", who[64];
	int64_t limit = -1;
	struct td_row *row;

	if (seen)
		x = fullest_syn(l->now, &limit);
	if (x)
		row = td_row_add(l, "syn", "syn_queue", "fullest SYN queue, %s",
				 print(x, at, sizeof(at)));
	else
		row = td_row_add(l, "syn", "syn_queue", "SYN queues");
	row->unit = "half-open";
	row->value = x ? x->half_open : seen ? 0 : -1;
	row->limit = x ? limit : -1;
	td_row_counter(l, row, TD_COUNTER_REQUEST_QUEUE_DROPS);
	if (x && syn_full(l->now, x) && (!l->was || syn_full(l->was, x)))
		td_row_say(
			row, TD_VERDICT_BAD, "the SYN queue of %s, %s, is full: %s; %s", at,
			program(x, who, sizeof(who)),
			cookies ? "SYN cookies answer what does not fit, without window scaling and "
				  "SACK for clients without timestamps"
				: "SYNs are dropped, as SYN cookies are off",
			is_full(x) ? "handshakes cannot end, as its accept queue is full"
				   : "a flood, or clients that cannot hear our answers");
	else if (td_row_hurts(row))
		td_row_say(row, TD_VERDICT_BAD,
			   "SYNs are dropped: a SYN queue is full and SYN cookies are off");
	else if (x && limit >= 8 && td_is_near(x->half_open, limit))
		td_row_say(row, TD_VERDICT_WARN, "the SYN queue of %s, %s, is nearly full", at,
			   program(x, who, sizeof(who)));
	else
		td_row_past(row, TD_COUNTER(l, PASSIVE_OPENS), "SYNs dropped at a full SYN queue");
	if (row->verdict < TD_VERDICT_WARN)
		return;
	if (x && row->wrong)
		set_backlog(l, x, row);
	if (!cookies)
		td_row_set(row, "sysctl -w net.ipv4.tcp_syncookies=1");
}

void td_check_cookies(struct td_look *l)
{
	int64_t mode = TD_SYSCTL(l, SYNCOOKIES), limit;
	const struct td_listen *x;
	struct td_row *row;

	if (TD_COUNTER(l, COOKIES_SENT) < 0)
		return;
	row = td_row_add(l, "syn", "syn_cookies", "SYN cookies sent");
	row->unit = "mode";
	row->value = mode;
	td_row_counter(l, row, TD_COUNTER_COOKIES_SENT);
	if (mode == 0) {
		td_row_say(
			row, TD_VERDICT_NOTE,
			"SYN cookies are off: a flood of a few hundred SYNs/s keeps clients out");
		td_row_set(row, "sysctl -w net.ipv4.tcp_syncookies=1");
	} else if (mode == 2) {
		td_row_say(
			row, TD_VERDICT_NOTE,
			"every SYN is answered with a cookie: right where XDP answers them, else it "
			"costs options for nothing, and 1 is enough");
	} else if (td_row_hurts(row)) {
		td_row_say(
			row, TD_VERDICT_WARN,
			"cookies are being sent, %.0f/s: a SYN queue is full, by a flood or because "
			"its limit is small",
			row->drops_now);
		x = fullest_syn(l->now, &limit);
		if (x && x->half_open > 0)
			set_backlog(l, x, row);
	} else {
		td_row_past(row, TD_COUNTER(l, PASSIVE_OPENS), "SYN cookies sent");
	}
}

/* Any ACK without a connection counts as a failed cookie for two minutes after one was sent,
 * so this is a figure and no fault unless the queue is full now. */
void td_check_cookies_failed(struct td_look *l)
{
	struct td_row *row;

	if (TD_COUNTER(l, COOKIES_FAILED) < 0)
		return;
	row = td_row_add(l, "syn", "syn_cookies_failed", "SYN cookies that failed");
	td_row_counter(l, row, TD_COUNTER_COOKIES_FAILED);
	if (td_row_hurts(row))
		td_row_say(
			row, TD_VERDICT_NOTE,
			"ACKs come whose cookie is not ours or too old, %.0f/s: forged ones, or a "
			"balancer in front that sends a client's ACK to another host than its SYN",
			row->drops_now);
}

void td_check_syn_backlog(struct td_look *l)
{
	int64_t limit = TD_SYSCTL(l, MAX_SYN_BACKLOG), most = 0;
	struct td_row *row;

	if (limit < 0)
		return;
	for (size_t i = 0; i < l->now->n_listeners; i++)
		most = TD_MAX(most, l->now->listeners[i].half_open);
	row = td_row_add(l, "syn", "max_syn_backlog", "tcp_max_syn_backlog");
	row->unit = "half-open";
	row->limit = limit;
	if (TD_SYSCTL(l, SYNCOOKIES) > 0) {
		td_row_say(row, TD_VERDICT_OK,
			   "has no effect while tcp_syncookies is not 0: a SYN queue ends at its "
			   "listener's backlog");
		return;
	}
	row->value = l->now->unseen & TD_UNSEEN_HALF_OPEN ? -1 : most;
	if (row->value >= 0 && row->value > limit - limit / 4) {
		td_row_say(
			row, TD_VERDICT_BAD,
			"three quarters are taken, and without SYN cookies only clients seen before "
			"get the rest");
		td_row_set(
			row,
			"sysctl -w net.ipv4.tcp_syncookies=1 (or net.ipv4.tcp_max_syn_backlog=%lld)",
			(long long)td_doubled(limit, BACKLOG_LEAST, BACKLOG_MOST));
	}
}

/* ---- accept queues ------------------------------------------------------------------- */

/* A queue of few places is over 80% with the first that waits. */
static bool is_near(const struct td_listen *x)
{
	return x && x->limit >= 8 && td_is_near(x->queue, x->limit + 1);
}

static void check_listener(struct td_look *l, const struct td_listen *x, size_t *rows)
{
	const struct td_listen *was = x->queue > 0 ? before(l, x) : NULL;
	bool full = is_full(x) && (!l->was || is_full(was));
	bool near = is_near(x) && (!l->was || is_near(was));
	bool drops = was && x->drops > was->drops && (near || is_full(x) || is_full(was));
	char at[80], who[64];
	struct td_row *row;

	if ((!full && !near && !drops) || (*rows)++ >= TD_DOCTOR_EACH_MAX)
		return;
	row = td_row_add(l, "accept", "accept_queue", "accept queue of %s",
			 print(x, at, sizeof(at)));
	row->unit = "connections";
	row->value = x->queue;
	row->limit = x->limit + 1;
	td_row_drops(l, row, x->drops, was ? was->drops : -1);
	program(x, who, sizeof(who));
	if (is_stopped(l, x->pid))
		td_row_say(row, full ? TD_VERDICT_BAD : TD_VERDICT_WARN,
			   "%s is stopped (SIGSTOP) and accepts nothing: continue it with "
			   "`kill -CONT %d`; a longer queue on %s would only fill later",
			   who, x->pid, at);
	else if (full || drops)
		td_row_say(
			row, TD_VERDICT_BAD,
			"the accept queue of %s is full: %s does not accept as fast as connections "
			"come, or not at all; a longer queue helps against bursts, more workers against "
			"load",
			at, who);
	else
		td_row_say(row, TD_VERDICT_WARN,
			   "the accept queue of %s is nearly full: %s falls behind", at, who);
	set_backlog(l, x, row);
}

/* A row for each that is full or nearly so; one for the fullest where none is. */
void td_check_accept_queues(struct td_look *l)
{
	const struct td_listen *fullest = NULL;
	char at[80];
	size_t rows = 0;
	struct td_row *row;

	for (size_t i = 0; i < l->now->n_listeners; i++) {
		const struct td_listen *x = &l->now->listeners[i];

		check_listener(l, x, &rows);
		if (!fullest || (double)x->queue * (double)(fullest->limit + 1) >
					(double)fullest->queue * (double)(x->limit + 1))
			fullest = x;
	}
	if (rows || !fullest)
		return;
	row = td_row_add(l, "accept", "accept_queue", "fullest of %zu accept queues, %s",
			 l->now->n_listeners, print(fullest, at, sizeof(at)));
	row->unit = "connections";
	row->value = fullest->queue;
	row->limit = fullest->limit + 1;
}

void td_check_overflows(struct td_look *l)
{
	const struct td_listen *worst = NULL;
	int64_t most = 0;
	char at[80], who[64];
	struct td_row *row;

	if (TD_COUNTER(l, LISTEN_OVERFLOWS) < 0)
		return;
	row = td_row_add(l, "accept", "listen_overflows", "accept queues overflowed");
	row->unit = "times";
	td_row_counter(l, row, TD_COUNTER_LISTEN_OVERFLOWS);
	if (!td_row_hurts(row)) {
		td_row_past(row, TD_COUNTER(l, PASSIVE_OPENS),
			    "connections met a full accept queue");
		return;
	}
	for (size_t i = 0; i < l->now->n_listeners; i++) {
		const struct td_listen *x = &l->now->listeners[i], *was = before(l, x);

		if (was && x->drops - was->drops > most) {
			most = x->drops - was->drops;
			worst = x;
		}
	}
	td_row_say(row, TD_VERDICT_BAD, "%.0f/s meet a full accept queue%s%s%s%s; %s",
		   row->drops_now, worst ? ", most on " : "",
		   worst ? print(worst, at, sizeof(at)) : "", worst ? " of " : "",
		   worst ? program(worst, who, sizeof(who)) : "",
		   TD_SYSCTL(l, ABORT_ON_OVERFLOW) == 1
			   ? "they are reset, as tcp_abort_on_overflow is 1"
			   : "their clients try again after a second, and again after longer");
	if (worst)
		set_backlog(l, worst, row);
}

/* Overflows among them have a row of their own. A few of the rest are scans, to a broadcast
 * address for example, so only a share of all connections is a fault. */
void td_check_listen_drops(struct td_look *l)
{
	int64_t now = TD_COUNTER(l, LISTEN_DROPS) - TD_COUNTER(l, LISTEN_OVERFLOWS), was = -1;
	int64_t opened = TD_COUNTER(l, PASSIVE_OPENS);
	struct td_row *row;

	if (TD_COUNTER(l, LISTEN_DROPS) < 0 || TD_COUNTER(l, LISTEN_OVERFLOWS) < 0)
		return;
	if (l->was && l->was->counter[TD_COUNTER_LISTEN_DROPS] >= 0) {
		was = TD_MAX(l->was->counter[TD_COUNTER_LISTEN_DROPS] -
				     l->was->counter[TD_COUNTER_LISTEN_OVERFLOWS],
			     0);
		opened -= TD_MAX(l->was->counter[TD_COUNTER_PASSIVE_OPENS], 0);
	}
	row = td_row_add(l, "accept", "listen_drops", "SYNs dropped for other reasons");
	row->unit = "times";
	td_row_drops(l, row, TD_MAX(now, 0), was);
	if (!td_row_hurts(row)) {
		td_row_past(row, TD_COUNTER(l, PASSIVE_OPENS),
			    "dropped by listeners for other reasons");
		return;
	}
	td_row_say(
		row,
		row->drops_now >= LISTEN_DROPS_LEAST && (now - was) * 100 > opened
			? TD_VERDICT_WARN
			: TD_VERDICT_NOTE,
		"listeners let SYNs or ACKs go, %.0f/s, though their accept queues have room: a full "
		"SYN queue without cookies, no memory, no route back, or a filter",
		row->drops_now);
}

void td_check_somaxconn(struct td_look *l)
{
	int64_t limit = TD_SYSCTL(l, SOMAXCONN);
	size_t cut = 0;
	struct td_row *row;

	if (limit < 0)
		return;
	for (size_t i = 0; i < l->now->n_listeners; i++)
		cut += l->now->listeners[i].limit == limit;
	row = td_row_add(l, "accept", "somaxconn", "somaxconn");
	row->unit = "connections";
	row->limit = limit;
	if (cut && limit < BACKLOG_LEAST) {
		td_row_say(
			row, TD_VERDICT_NOTE,
			"%zu listener%s asked for %lld or more and got that; they take a larger one when "
			"they listen anew",
			cut, cut == 1 ? "" : "s", (long long)limit);
		td_row_set(row, "sysctl -w net.core.somaxconn=%d", BACKLOG_LEAST);
	}
}
