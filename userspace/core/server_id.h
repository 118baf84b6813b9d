/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Server ids of QUIC's connection ids as text: two hexadecimal digits for each octet.
 */
#ifndef TD_CORE_SERVER_ID_H
#define TD_CORE_SERVER_ID_H

#include <tundish/quic.h>

#include "lib/util.h"

/* 0, -ERANGE for a wrong number of digits, -EINVAL for what is no digit. */
int td_server_id_parse(const char *text, struct tundish_server_id *ret);

/* "0a01"; "" for none */
#define TD_SERVER_ID_TEXT (2 * TUNDISH_SERVER_ID_MAX + 1)
const char *td_server_id_print(const struct tundish_server_id *id, char buffer[TD_SERVER_ID_TEXT]);

#endif
