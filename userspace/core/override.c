// SPDX-License-Identifier: GPL-2.0-only
/*
 * See override.h. The base of a run-time setting is the file's value at the
 * time of the command, which every entry holds anyway: as long as the file
 * still says it, the setting stands.
 */
#include "core/override.h"

const char *td_backend_state_name(uint8_t state)
{
	static const char *const names[] = {
		[TUNDISH_BACKEND_FREE] = "free",	 [TUNDISH_BACKEND_UP] = "up",
		[TUNDISH_BACKEND_DRAIN] = "drain",	 [TUNDISH_BACKEND_DOWN] = "down",
		[TUNDISH_BACKEND_DISABLED] = "disabled", [TUNDISH_BACKEND_GONE] = "gone",
	};

	return state < TD_ARRAY_SIZE(names) ? names[state] : "unknown";
}

void td_override_weight(struct tundish_backend *b, uint16_t weight)
{
	b->run_weight = weight;
	if (weight == b->file_weight)
		b->flags &= ~TUNDISH_BACKEND_RUN_WEIGHT;
	else
		b->flags |= TUNDISH_BACKEND_RUN_WEIGHT;
}

void td_override_state(struct tundish_backend *b, uint8_t state)
{
	b->run_state = state;
	b->drain_deadline = 0;
	if (state == b->file_state)
		b->flags &= ~TUNDISH_BACKEND_RUN_STATE;
	else
		b->flags |= TUNDISH_BACKEND_RUN_STATE;
}

static void add(char *why, size_t size, const char *format, ...) TD_PRINTF(3, 4);

static void add(char *why, size_t size, const char *format, ...)
{
	size_t used = strlen(why);
	va_list ap;

	if (used && used + 3 < size) {
		memcpy(why + used, ", ", 3);
		used += 2;
	}
	va_start(ap, format);
	vsnprintf(why + used, size - used, format, ap);
	va_end(ap);
}

bool td_override_rebase(struct tundish_backend *b, uint16_t file_weight, uint8_t file_state,
			char *why, size_t size)
{
	bool changed = false;

	why[0] = '\0';
	if (b->file_weight != file_weight) {
		add(why, size, "weight %u in the file, was %u", file_weight, b->file_weight);
		if (b->flags & TUNDISH_BACKEND_RUN_WEIGHT)
			add(why, size, "the run-time weight %u is dropped", b->run_weight);
		b->file_weight = file_weight;
		b->flags &= ~TUNDISH_BACKEND_RUN_WEIGHT;
		changed = true;
	}
	if (b->file_state != file_state) {
		add(why, size, "state %s in the file, was %s", td_backend_state_name(file_state),
		    td_backend_state_name(b->file_state));
		if (b->flags & TUNDISH_BACKEND_RUN_STATE)
			add(why, size, "the run-time state %s is dropped",
			    td_backend_state_name(b->run_state));
		b->file_state = file_state;
		b->drain_deadline = 0;
		b->flags &= ~TUNDISH_BACKEND_RUN_STATE;
		changed = true;
	}
	return changed;
}
