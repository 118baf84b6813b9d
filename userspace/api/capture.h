/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Packets for people: what the files of `capture` share.
 *
 *   capture.c         a request, and its answer as a stream
 *   capture_filter.c  FILTER into masks, pure
 *   capture_text.c    reasons and verdicts in words, pure
 *   pcapng.c          the file's blocks, pure
 */
#ifndef TD_API_CAPTURE_H
#define TD_API_CAPTURE_H

#include "daemon/daemon.h"

enum td_capture_kind { TD_CAPTURE_DROP, TD_CAPTURE_PASS, TD_CAPTURE_SEND, TD_CAPTURE_EVENT };

struct td_capture_reason {
	const char *name;
	enum td_capture_kind kind;
};

extern const struct td_capture_reason td_capture_reasons[TUNDISH_COUNTER_MAX];
/* The name without its kind: "no_backend". Below TUNDISH_COUNTER_MAX. */
const char *td_capture_reason(uint32_t counter);

/* A packet's comment: "dropped: no_nexthop, service web, backend web1", "to web1 of web by ipip". Either
 * name may be "". Returns `buffer`. */
const char *td_capture_comment(uint32_t counter, const char *service, const char *backend,
			       char *buffer, size_t size);

/* What names in a filter may stand for. */
struct td_capture_names {
	const struct td_state *state;
	const struct td_attachment *attachments;
	size_t n_attachments;
};

/* Into conf->filter, whose points and snaplen stand, conf->text and conf->service. 0, or with a
 * sentence -EINVAL, -ENOENT: what it names is not there. */
int td_capture_filter(const char *text, const struct td_capture_names *names,
		      struct td_capture_conf *conf, struct td_error *error);

#endif
