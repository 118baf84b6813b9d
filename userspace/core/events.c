// SPDX-License-Identifier: GPL-2.0-only
#include "core/events.h"

const struct td_event_kind td_event_kinds[] = {
#define X(name, level, help) {name, TD_LOG_##level, help},
	TD_EVENTS(X)
#undef X
};

const struct td_event_kind *td_event_kind(const char *name)
{
	for (size_t i = 0; i < TD_EVENT_KINDS; i++)
		if (!strcmp(td_event_kinds[i].name, name))
			return &td_event_kinds[i];
	return NULL;
}

bool td_event_is(const char *event, const char *name, size_t length)
{
	return length && strncmp(event, name, length) == 0 &&
	       (!event[length] || event[length] == '-');
}

const char *td_log_level_name(enum td_log_level level)
{
	switch (level) {
	case TD_LOG_ERROR: return "err";
	case TD_LOG_WARNING: return "warning";
	case TD_LOG_NOTICE: return "notice";
	case TD_LOG_INFO: break;
	}
	return "info";
}
