/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Small things that every part of userspace uses: cleanup attributes, error
 * sentences, growing arrays. No I/O beyond closing what it is given.
 */
#ifndef TD_UTIL_H
#define TD_UTIL_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TD_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define TD_MIN(a, b)	 ((a) < (b) ? (a) : (b))
#define TD_MAX(a, b)	 ((a) > (b) ? (a) : (b))
#define TD_PRINTF(f, a)	 __attribute__((format(printf, f, a)))

static inline void td_freep(void *p)
{
	free(*(void **)p);
}

static inline void td_closep(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* Closes it, and notes that. */
static inline void td_fd_close(int *fd)
{
	td_closep(fd);
	*fd = -1;
}

static inline void td_fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

#define _cleanup_(f)	 __attribute__((cleanup(f)))
#define _cleanup_free_	 _cleanup_(td_freep)
#define _cleanup_close_	 _cleanup_(td_closep)
#define _cleanup_fclose_ _cleanup_(td_fclosep)

#define TD_TAKE_PTR(p)                                                                             \
	({                                                                                         \
		__typeof__(p) td_taken_ = (p);                                                     \
		(p) = NULL;                                                                        \
		td_taken_;                                                                         \
	})

#define TD_TAKE_FD(fd)                                                                             \
	({                                                                                         \
		int td_taken_ = (fd);                                                              \
		(fd) = -1;                                                                         \
		td_taken_;                                                                         \
	})

/*
 * The one form of an error that a user may have caused: one sentence that says
 * what, where and what to do, with no full stop and no newline at its end.
 * Library code fills it and never logs; who called logs it once. A struct
 * td_error on the stack starts as {0}.
 */
struct td_error {
	char text[512];
};

/* Writes the sentence (cut at the size above) and returns -code, so that a
 * caller can `return td_fail(e, EINVAL, "...")`. `e` may be NULL. */
int td_fail(struct td_error *e, int code, const char *format, ...) TD_PRINTF(3, 4);

/* Makes room for one more element of `size` bytes in *array, which has `n` of
 * them; grows in powers of two. Returns 0 or -ENOMEM, *array untouched then. */
int td_grow(void *array, size_t n, size_t size);

/* A duration as people write it, in whole seconds, rounded up: "90", "90s", "5m", "1h", "500ms".
 * Returns 0, -EINVAL or -ERANGE. */
int td_read_seconds(const char *text, uint32_t *ret);

#endif
