/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Single values: text to field and back, by a row of the schema. Knows no
 * YAML. Private to config/ and its tests.
 */
#ifndef TD_CONFIG_VALUE_H
#define TD_CONFIG_VALUE_H

#include "config/schema.h"

/* Reads a value into its field of `object`. Returns 0, or -EINVAL with a
 * sentence that begins with the key; the field is untouched then. */
int td_value_read(const struct td_row *row, const char *text, void *object, struct td_error *error);

/* The same for one member of `vips`, `ports`, `listen` and of a list of files; all but the place. */
int td_value_read_vip(const char *text, struct td_vip_conf *ret, struct td_error *error);
int td_value_read_port(const char *text, struct td_port_conf *ret, struct td_error *error);
int td_value_read_listen(const char *text, struct td_listen_conf *ret, struct td_error *error);

int td_value_read_path(const struct td_row *row, const char *text, struct td_netns_conf *ret,
		       struct td_error *error);
int td_value_read_source(const struct td_row *row, const char *text, struct td_source_conf *ret,
			 struct td_error *error);
int td_value_read_prefix(const struct td_row *row, const char *text, struct td_vip_conf *ret,
			 struct td_error *error);

/* A new string, to be freed. */
int td_value_read_argument(const struct td_row *row, const char *text, char **ret,
			   struct td_error *error);

/* A kind of td_value_read, of value_text.c: a new string in place of the former one. */
int td_value_read_text(const struct td_row *row, const char *text, void *object,
		       struct td_error *error);

/* Two kinds of td_value_read, of value_address.c. */
int td_value_read_address(const struct td_row *row, const char *text, void *object,
			  struct td_error *error);
int td_value_read_endpoint(const struct td_row *row, const char *text, void *object,
			   struct td_error *error);

/* Text for an error: in quotes, cut at some forty characters, with everything
 * that is not printable ASCII replaced. */
#define TD_QUOTED 48
const char *td_quote(const char *text, char buffer[TD_QUOTED]);

/* "50ms", "30s", "15m", "2h": the largest unit that divides it. */
#define TD_DURATION_TEXT 16
const char *td_duration_print(uint32_t ms, char buffer[TD_DURATION_TEXT]);

/* "80", "8000-8999", "any" */
#define TD_PORTS_TEXT 16
const char *td_ports_print(const struct td_port_conf *ports, char buffer[TD_PORTS_TEXT]);

/* "[::]:8080", "0.0.0.0:8080" */
#define TD_LISTEN_TEXT 56
const char *td_listen_print(const struct td_listen_conf *listen, char buffer[TD_LISTEN_TEXT]);

/* The number in an unsigned field of 1, 2 or 4 bytes. */
uint32_t td_value_number(const struct td_row *row, const void *object);

#endif
