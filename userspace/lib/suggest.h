/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * "did you mean": of the words that would be valid, the one that was probably
 * meant. Pure, and the same for commands, keys, and names of services.
 */
#ifndef TD_SUGGEST_H
#define TD_SUGGEST_H

#include <limits.h>

#include "lib/util.h"

#define TD_SUGGEST_WORD_MAX 63 /* as long as a name may be; longer words are never near */

/* Starts as {.given = WORD}, or {0} where nothing is to be suggested. */
struct td_suggest {
	const char *given;
	char nearest[TD_SUGGEST_WORD_MAX + 1]; /* "": nothing near, or several that are as near */
	unsigned int least; /* slips from `given` to the nearest so far, and one */
	bool tie;
};

/* Slips between two words: a character left out, put in, put in another's place, or swapped with
 * its neighbour (Damerau-Levenshtein in its restricted form, optimal string alignment). Upper and
 * lower case are one. UINT_MAX where a word is too long. */
unsigned int td_slips(const char *a, const char *b);

void td_suggest_add(struct td_suggest *s, const char *valid);

/* The one word that is near enough: one slip in a word of up to four characters, two in a longer
 * one. NULL where there is none. It stands in *s. */
const char *td_suggest_word(const struct td_suggest *s);

/* `; did you mean "WORD"?`, or "", into `buffer`, which is returned. */
const char *td_suggest_tell(const struct td_suggest *s, char *buffer, size_t size);
#define TD_SUGGEST_TELL_BYTES (TD_SUGGEST_WORD_MAX + 24)

#endif
