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

int td_read_seconds(const char *text, uint32_t *ret)
{
	static const struct {
		const char *name;
		uint64_t ms;
	} units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
	size_t digits = strspn(text, "0123456789");
	uint64_t value = 0;

	if (!digits || digits > 9)
		return -EINVAL;
	for (size_t i = 0; i < digits; i++)
		value = value * 10 + (uint64_t)(text[i] - '0');
	for (size_t i = 0; i < TD_ARRAY_SIZE(units); i++) {
		if (strcmp(text + digits, units[i].name))
			continue;
		value = (value * units[i].ms + 999) / 1000;
		if (value > UINT32_MAX)
			return -ERANGE;
		*ret = (uint32_t)value;
		return 0;
	}
	return -EINVAL;
}
