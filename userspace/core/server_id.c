// SPDX-License-Identifier: GPL-2.0-only
/*
 * Server ids to text and back; see server_id.h.
 */
#include "core/server_id.h"

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int td_server_id_parse(const char *text, struct tundish_server_id *ret)
{
	struct tundish_server_id id = {0};
	size_t n = strlen(text);

	if (!n || n % 2 || n > 2 * sizeof(id.bytes))
		return -ERANGE;
	for (size_t i = 0; i < n; i += 2) {
		int high = digit(text[i]), low = digit(text[i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		id.bytes[i / 2] = (uint8_t)(high << 4 | low);
	}
	id.length = (uint8_t)(n / 2);
	*ret = id;
	return 0;
}

const char *td_server_id_print(const struct tundish_server_id *id, char buffer[TD_SERVER_ID_TEXT])
{
	size_t n = TD_MIN(id->length, sizeof(id->bytes));

	buffer[0] = '\0';
	for (size_t i = 0; i < n; i++)
		snprintf(buffer + 2 * i, 3, "%02x", id->bytes[i]);
	return buffer;
}
