/* SPDX-License-Identifier: GPL-2.0-only */
/* Two looks at this host's queues and limits (doctor/), for who asks on the control socket. */
#ifndef TD_DAEMON_LOOKS_H
#define TD_DAEMON_LOOKS_H

#include "daemon/daemon.h"
#include "doctor/doctor.h"

int td_looks_open(struct td_daemon *d);
void td_looks_close(struct td_daemon *d);
/*
 * Whether there are two looks of the last ten seconds: then *ret_was and *ret_now, which stay as they
 * are until the event loop goes on. Where there are none they are taken, once for all who ask, and
 * the reply is later, or an error.
 */
bool td_looks_ready(struct td_daemon *d, const struct td_request *q,
		    const struct td_facts **ret_was, const struct td_facts **ret_now,
		    struct td_reply *reply);

#endif
