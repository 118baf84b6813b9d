// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which word was meant. The distance needs three rows of a table only; both words are bounded,
 * so that a request cannot make it dear: 63 x 63 steps for each name.
 */
#include "lib/suggest.h"

static bool same(char a, char b)
{
	/* Not tolower(3): the same in every locale. */
	if (a >= 'A' && a <= 'Z')
		a += 'a' - 'A';
	if (b >= 'A' && b <= 'Z')
		b += 'a' - 'A';
	return a == b;
}

unsigned int td_slips(const char *a, const char *b)
{
	size_t n = strnlen(a, TD_SUGGEST_WORD_MAX + 1), m = strnlen(b, TD_SUGGEST_WORD_MAX + 1);
	unsigned int row[3][TD_SUGGEST_WORD_MAX + 1] = {0};

	if (n > TD_SUGGEST_WORD_MAX || m > TD_SUGGEST_WORD_MAX)
		return UINT_MAX;
	for (size_t j = 0; j <= m; j++)
		row[0][j] = (unsigned int)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned int *now = row[i % 3], *before = row[(i + 2) % 3];

		now[0] = (unsigned int)i;
		for (size_t j = 1; j <= m; j++) {
			unsigned int best = before[j - 1] + !same(a[i - 1], b[j - 1]);

			best = TD_MIN(best, TD_MIN(before[j], now[j - 1]) + 1);
			if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]))
				best = TD_MIN(best, row[(i + 1) % 3][j - 2] + 1);
			now[j] = best;
		}
	}
	return row[n % 3][m];
}

void td_suggest_add(struct td_suggest *s, const char *valid)
{
	unsigned int slips;

	if (!s->given)
		return;
	slips = td_slips(s->given, valid);
	if (slips == UINT_MAX || (s->least && slips + 1 > s->least))
		return;
	/* Of web1 and web2 for "web3" neither was meant more than the other. */
	s->tie = slips + 1 == s->least && strcmp(s->nearest, valid) != 0;
	s->least = slips + 1;
	snprintf(s->nearest, sizeof(s->nearest), "%s", valid);
}

const char *td_suggest_word(const struct td_suggest *s)
{
	size_t length = strlen(s->nearest);

	if (!s->given || !s->least || s->tie || s->least - 1 >= TD_MAX(length, strlen(s->given)))
		return NULL;
	return s->least - 1 <= (length < 5 ? 1 : 2) ? s->nearest : NULL;
}

const char *td_suggest_tell(const struct td_suggest *s, char *buffer, size_t size)
{
	const char *word = td_suggest_word(s);

	buffer[0] = '\0';
	if (word)
		snprintf(buffer, size, "; did you mean \"%s\"?", word);
	return buffer;
}
