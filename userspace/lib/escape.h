/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Bytes as text that any file can hold: "\r\n", "\x00"; the escapes are \r, \n, \t, \\
 * and \x with two hexadecimal digits.
 */
#ifndef TD_LIB_ESCAPE_H
#define TD_LIB_ESCAPE_H

#include "lib/util.h"

/*
 * The bytes that the text stands for.
 *
 * @ret: at least as long as the text; NULL: it is only checked
 * Returns their number, or -EINVAL where a backslash begins none of the above.
 */
ssize_t td_escape_read(const char *text, char *ret);

/* The bytes `n` of a text in which some may be control characters, as text without such: a
 * new string, or NULL. What is escaped already stays as it is. */
char *td_escape_controls(const char *text, size_t n);

#endif
