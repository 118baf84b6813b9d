// SPDX-License-Identifier: GPL-2.0-only
#include "util.h"

int td_fail(struct td_error *e, int code, const char *format, ...)
{
	va_list ap;

	if (e) {
		va_start(ap, format);
		vsnprintf(e->text, sizeof(e->text), format, ap);
		va_end(ap);
	}
	return -code;
}

int td_grow(void *array, size_t n, size_t size)
{
	void **p = array, *bigger;
	size_t room;

	if (n & (n - 1) || (n > 0 && n < 8))
		return 0; /* capacity is the next power of two, eight at least */
	room = n ? n * 2 : 8;
	bigger = reallocarray(*p, room, size);
	if (!bigger)
		return -ENOMEM;
	*p = bigger;
	return 0;
}
