/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * YAML to struct td_config and back. Uses libyaml; knows nothing of the
 * kernel, the daemon or the clock.
 */
#ifndef TD_CONFIG_H
#define TD_CONFIG_H

#include "core/config.h"

/*
 * Parses `length` bytes of YAML and checks all that needs no look at the host.
 *
 * @name: what to call the text in an error ("tundish.yaml")
 * Returns 0 and a configuration that the caller frees with td_config_free, or
 * a negative errno with *ret untouched and `error` "NAME:LINE:COL: sentence":
 * -EINVAL the text is wrong, -ENOMEM, -E2BIG over 4 MiB.
 */
int td_config_parse(const char *name, const char *text, size_t length, struct td_config **ret,
		    struct td_error *error);

/* Reads a file, then as above; also the errno of open and read. */
int td_config_load(const char *path, struct td_config **ret, struct td_error *error);

/* Writes YAML that parses back to an equal configuration. */
int td_config_print(const struct td_config *config, FILE *out);

#endif
