/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Rows of slots of a state, installed or only planned: who would get a connection. Pure.
 */
#ifndef TD_CORE_ROW_H
#define TD_CORE_ROW_H

#include "core/state.h"

/*
 * The slots of a service, from the weights in the entries of its backends.
 *
 * @of:      of `s`, td_state_members()
 * @without: a backend that gets none; 0: all get theirs
 * @owners:  [TUNDISH_MAGLEV_SLOTS], filled with numbers of backends; all 0 where none has a weight
 * Returns 0, -ENOMEM, or -EINVAL where two backends have the same address.
 */
int td_row_make(const struct td_state *s, const struct td_members *of, uint32_t service,
		uint32_t without, uint32_t *owners);

/* Whose an address and port is: the most specific VIP, as the data path finds it. @port: host
 * byte order. Returns the service's number; 0: nobody's. */
uint32_t td_state_claim(const struct td_state *s, const struct tundish_addr *address, uint16_t port,
			uint8_t protocol);

struct td_row_change {
	uint32_t left;	/* slots of backends that have none afterwards */
	uint32_t moved; /* other ones with another owner */
};

/* What becomes of a row's slots. */
struct td_row_change td_row_compare(const uint32_t *before, const uint32_t *after);

#endif
