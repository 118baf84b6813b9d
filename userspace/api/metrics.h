/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What of the daemon becomes which metrics. Each of these puts its families into an exposition:
 *
 *   metrics.c          the answer, as a stream; what is of no part alone
 *   snapshot.c         who reads which snapshot
 *   target_metrics.c   services' targets, one row for each name
 *   *_metrics.c        the rest, by subject
 */
#ifndef TD_API_METRICS_H
#define TD_API_METRICS_H

#include "api/api.h"
#include "api/exposition.h"

int td_expose_targets(struct td_exposition *e, struct td_daemon *d, const struct td_state *s);
void td_expose_choice(struct td_exposition *e, struct td_daemon *d, const struct td_state *s);
void td_expose_workers(struct td_exposition *e, struct td_daemon *d, const struct td_state *s);
void td_expose_checks(struct td_exposition *e, const struct td_daemon *d);
void td_expose_egress(struct td_exposition *e, struct td_daemon *d);
void td_expose_nat(struct td_exposition *e, struct td_daemon *d, const struct td_state *s);
void td_expose_ports(struct td_exposition *e, struct td_daemon *d);

#endif
