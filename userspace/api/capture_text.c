// SPDX-License-Identifier: GPL-2.0-only
#include "api/capture.h"

const struct td_capture_reason td_capture_reasons[TUNDISH_COUNTER_MAX] = {
#define TUNDISH_X(name, kind, help) {#name, TD_CAPTURE_##kind},
	TUNDISH_COUNTERS(TUNDISH_X)
#undef TUNDISH_X
};

const char *td_capture_reason(uint32_t counter)
{
	const char *name = td_capture_reasons[counter].name, *end = strchr(name, '_');

	return td_capture_reasons[counter].kind == TD_CAPTURE_EVENT || !end ? name : end + 1;
}

/* Ways to a backend, which its name says more of. */
static bool is_way(uint32_t counter)
{
	switch (counter) {
	case TUNDISH_COUNTER_sent_dsr:
	case TUNDISH_COUNTER_sent_ipip:
	case TUNDISH_COUNTER_sent_gue:
	case TUNDISH_COUNTER_sent_nat:
	case TUNDISH_COUNTER_sent_fullnat: return true;
	default: return false;
	}
}

const char *td_capture_comment(uint32_t counter, const char *service, const char *backend,
			       char *buffer, size_t size)
{
	static const char *const verdicts[] = {"dropped", "passed", "sent", "event"};
	const char *reason;

	if (counter >= TUNDISH_COUNTER_MAX) {
		snprintf(buffer, size, "verdict %u", counter);
		return buffer;
	}
	reason = td_capture_reason(counter);
	if (counter == TUNDISH_COUNTER_sent_reply && backend[0])
		snprintf(buffer, size, "answer of %s of %s", backend, service);
	else if (is_way(counter) && backend[0])
		snprintf(buffer, size, "to %s of %s by %s", backend, service, reason);
	else
		snprintf(buffer, size, "%s: %s%s%s%s%s", verdicts[td_capture_reasons[counter].kind],
			 reason, service[0] ? ", service " : "", service,
			 backend[0] ? ", backend " : "", backend);
	return buffer;
}
