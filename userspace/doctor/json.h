/* SPDX-License-Identifier: GPL-2.0-only */
/* Reports as JSON, and the facts that only a daemon has, out of its own. */
#ifndef TD_DOCTOR_JSON_H
#define TD_DOCTOR_JSON_H

#include <jansson.h>

#include "doctor/doctor.h"

/* A list of the report's rows; the caller owns it. */
json_t *td_doctor_json(const struct td_report *report);

/* From a row of /v1/ports, and from what /v1/status has as "nat". NULL, or other JSON, leaves them
 * as they are: not known. */
void td_doctor_take_tuple(const json_t *row, struct td_tuple_use *ret);
void td_doctor_take_nat(const json_t *o, struct td_nat_use *ret);

#endif
