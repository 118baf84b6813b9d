/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Checks that need more than one value. Private to config/.
 *
 * Each takes the document too, whose lists correspond item by item to the
 * configuration's, and fails with the place of the value that is wrong.
 */
#ifndef TD_CONFIG_CHECK_H
#define TD_CONFIG_CHECK_H

#include "config/document.h"

/* Everything; 0, -EINVAL with the sentence, or -ENOMEM. */
int td_check(struct td_document *d, const struct td_config *c);

/* What services claim on each VIP: no two the same, none partly over another,
 * no more than a VIP's entry holds. */
int td_check_claims(struct td_document *d, const struct td_config *c);

#endif
