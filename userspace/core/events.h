/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The names of events, all of them: what `tundish events --event` takes, what the manual tells, and
 * as what the journal keeps them.
 */
#ifndef TD_CORE_EVENTS_H
#define TD_CORE_EVENTS_H

#include "lib/util.h"

/* As syslog's and the journal's. */
enum td_log_level { TD_LOG_ERROR = 3, TD_LOG_WARNING = 4, TD_LOG_NOTICE = 5, TD_LOG_INFO = 6 };

/*
 * X(name, level, sentence). An ERROR is something that was asked for and did not come about; a
 * WARNING hurts or soon will; a NOTICE changes what people see, or ends such a warning; INFO is how
 * that was done. Where one name stands for two directions the level is that of the good one, and
 * the other is told by td_event_bad.
 */
#define TD_EVENTS(X)                                                                               \
	X("start", NOTICE, "The daemon begins, and what it found")                                 \
	X("ready", NOTICE, "The configuration is in force")                                        \
	X("unload", NOTICE, "All is taken down, by command")                                       \
	X("reexec", NOTICE, "Another program takes over the daemon's process")                     \
	X("reexec-refused", ERROR, "The program on disk would not go on, so this one does")        \
	X("reload", NOTICE, "The file was read anew, and is in force")                             \
	X("reload-refused", ERROR, "The file has a mistake, and nothing has changed")              \
	X("reload-undone", ERROR, "The kernel refused a step, and all was undone")                 \
	X("apply", NOTICE, "A configuration is in force by command")                               \
	X("apply-refused", ERROR, "A configuration that came by command was refused")              \
	X("apply-undone", ERROR, "The kernel refused a step of it, and all was undone")            \
	X("command", NOTICE, "Somebody told a backend or a worker what to be")                     \
	X("control-refused", WARNING, "Somebody asked for what he has no right to")                \
	X("capture", NOTICE, "Somebody has packets captured, by which filter")                     \
	X("capture-end", NOTICE, "That is over, and why")                                          \
	X("long-work", NOTICE, "Work in the kernel took more than a second: the verifier, mostly") \
	X("attach", NOTICE, "The program is on an interface, or was lost from it")                 \
	X("detach", NOTICE, "The program is off an interface")                                     \
	X("service", INFO, "A service is new, or has changed")                                     \
	X("service-remove", INFO, "A service goes")                                                \
	X("backend", INFO, "A backend is new, or has changed")                                     \
	X("backend-remove", INFO, "A backend goes, when its connections have ended")               \
	X("slots", INFO, "New connections are shared otherwise, and why")                          \
	X("vip", INFO, "A virtual IP is new, or leads elsewhere")                                  \
	X("vip-remove", INFO, "A virtual IP goes")                                                 \
	X("host", INFO, "Where servers answer to, of translated connections, is new")              \
	X("host-remove", INFO, "Such a place goes")                                                \
	X("tuple", INFO, "A pair of source and server address of translated connections is new")   \
	X("tuple-remove", INFO, "Such a pair goes, when its connections have ended")               \
	X("tuples", INFO, "The pairs of a backend are new")                                        \
	X("tuples-remove", INFO, "The pairs of a backend go")                                      \
	X("server-id", INFO, "A server id of QUIC stands for a backend")                           \
	X("server-id-remove", INFO, "A server id of QUIC goes")                                    \
	X("address", INFO, "Addresses of virtual IPs were put on this host, or taken off")         \
	X("next-hop", NOTICE, "A server cannot be reached on the link, or can again")              \
	X("freed", INFO, "Something that had gone had its last connection")                        \
	X("health", NOTICE, "A backend is up or down, and why")                                    \
	X("not-ejected", NOTICE,                                                                   \
	  "A backend's clients failed, but a connection of this host did not")                     \
	X("weight", INFO, "A check says how much of its weight a backend gets")                    \
	X("agent", INFO, "An agent says what a backend shall get")                                 \
	X("disable", NOTICE, "The deadline of a drain is over")                                    \
	X("full", WARNING,                                                                         \
	  "All backends of a service had their max_connections, and connections were refused")     \
	X("group", INFO, "A group of workers is new")                                              \
	X("group-remove", INFO, "A group of workers goes")                                         \
	X("worker-join", INFO, "A listener came to its group")                                     \
	X("worker-leave", INFO, "A listener left its group")                                       \
	X("worker-refused", WARNING, "A listener was not taken into a group")                      \
	X("shadowed", WARNING, "A group gets the connections of another program's listener")       \
	X("namespace", NOTICE, "A network namespace is watched, or is not")                        \
	X("reserved-ports", INFO,                                                                  \
	  "Source ports were kept from this host's own sockets, or given back")                    \
	X("ports-half", WARNING, "Half of a tuple's source ports are used")                        \
	X("ports-half-over", NOTICE, "That is over")                                               \
	X("ports-exhausting", WARNING, "A tuple's source ports will be used up soon, or are")      \
	X("ports-exhausting-over", NOTICE, "That is over")                                         \
	X("ports-refused", ERROR, "A connection or a bind got no source port")                     \
	X("ports-full", WARNING,                                                                   \
	  "More tuples of source ports are used than there is room to count")                      \
	X("ports-off", NOTICE, "Source ports are not watched any more")                            \
	X("scan-late", WARNING, "A scan of the sockets takes longer than from one to the next")    \
	X("client-half", WARNING,                                                                  \
	  "A client uses half of the ports that it has towards a virtual IP")                      \
	X("client-half-over", NOTICE, "That is over")                                              \
	X("source-missing", WARNING,                                                               \
	  "A source of translated connections is no address of this host")                         \
	X("source", NOTICE, "It is one now")                                                       \
	X("nic-missing", WARNING,                                                                  \
	  "Answers of a server would come in by an interface without the program")                 \
	X("nic", NOTICE, "They come in by one that has it")                                        \
	X("no-answers", WARNING, "A server is sent SYNs, and its answers do not come by here")     \
	X("answers", NOTICE, "They come by, or nobody asks it any more")                           \
	X("nat-audit", WARNING,                                                                    \
	  "What a daemon that died had left of translated connections is put right")               \
	X("egress-add", INFO, "A pool of source addresses is new")                                 \
	X("egress-remove", INFO, "A pool of source addresses goes")                                \
	X("egress-attach", NOTICE, "Connections of a cgroup get a pool's sources")                 \
	X("egress-detached", WARNING, "A pool is on no cgroup, and why")                           \
	X("egress-shift", WARNING, "A pool's connections go to another source, and why")           \
	X("source-up", NOTICE, "A source of a pool is an address of this host")                    \
	X("source-absent", WARNING, "A source of a pool is no address of this host")

struct td_event_kind {
	const char *name;
	enum td_log_level level;
	const char *help;
};

enum {
	TD_EVENT_KINDS = 0
#define X(name, level, help) +1
	TD_EVENTS(X)
#undef X
};
extern const struct td_event_kind td_event_kinds[TD_EVENT_KINDS]; /* in the table's order */

/* NULL: there is none of this name. */
const struct td_event_kind *td_event_kind(const char *name);
/* Whether events of `event` are meant by `name`: that one, or those that begin with it and a hyphen. */
bool td_event_is(const char *event, const char *name, size_t length);
/* "err", "warning", "notice" or "info" */
const char *td_log_level_name(enum td_log_level level);

#endif
