/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Settings made at run time, which stand in a backend's entry beside the file's
 * value (their base), so that they outlive the daemon. They end when the same
 * key changes in the file.
 */
#ifndef TD_CORE_OVERRIDE_H
#define TD_CORE_OVERRIDE_H

#include <tundish/maps.h>

#include "lib/util.h"

/* Set by command; a setting equal to the file's is none. */
void td_override_weight(struct tundish_backend *b, uint16_t weight);
void td_override_state(struct tundish_backend *b, uint8_t state);

/* Gives the entry the file's present values. A run-time setting whose base
 * differs is dropped. `why` becomes one sentence about what changed, "" where
 * nothing did. Returns whether anything did. */
bool td_override_rebase(struct tundish_backend *b, uint16_t file_weight, uint8_t file_state,
			char *why, size_t size);

/* "up", "drain", "down", "disabled", "gone", "free" */
const char *td_backend_state_name(uint8_t state);

#endif
