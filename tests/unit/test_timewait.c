// SPDX-License-Identifier: GPL-2.0-only
/* Whether TIME_WAIT is a cause or a symptom: what is said of which figures. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "core/timewait.h"

static void test_sentences(void **state)
{
	static const char *const tuple = "10.0.0.1 to 10.0.0.5:80";
	static const struct {
		struct td_timewait t;
		enum td_timewait_verdict verdict;
		const char *part;
	} cases[] = {
		{{.limit = 1000}, TD_TIMEWAIT_FINE, "there are none"},
		/* Many, at the end that does not need its ports. */
		{{.sockets = 200000, .limit = 262144}, TD_TIMEWAIT_FINE, "about 60.0 MB"},
		{{.sockets = 900, .limit = 1000}, TD_TIMEWAIT_SYMPTOM, "raise"},
		{{.sockets = 1000, .limit = 1000, .overflowed_lately = 1, .entered_rate = 100},
		 TD_TIMEWAIT_CAUSE,
		 "tcp_max_tw_buckets, 100 a second need 9000"},
		{{.sockets = 5000,
		  .limit = 131072,
		  .tuple = tuple,
		  .used = 5000,
		  .usable = 28232,
		  .in_time_wait = 5000,
		  .utilization = 0.177},
		 TD_TIMEWAIT_FINE,
		 "more than 18% of its source ports (10.0.0.1 to 10.0.0.5:80)"},
		{{.sockets = 15000,
		  .limit = 131072,
		  .tuple = tuple,
		  .used = 15000,
		  .usable = 28232,
		  .in_time_wait = 14000,
		  .utilization = 0.53},
		 TD_TIMEWAIT_CAUSE,
		 "let the other end close"},
		{{.sockets = 500,
		  .limit = 131072,
		  .tuple = tuple,
		  .used = 15000,
		  .usable = 28232,
		  .in_time_wait = 500,
		  .utilization = 0.53},
		 TD_TIMEWAIT_SYMPTOM,
		 "only 500 of the 15000"},
		/* Where the limit is not the rate's fault, twice the limit. */
		{{.sockets = 50000, .limit = 50000, .overflowed_lately = 1, .entered_rate = 100},
		 TD_TIMEWAIT_CAUSE,
		 "100 a second need 100000"},
		/* One half of those used is the border, and none of none is no cause. */
		{{.sockets = 50,
		  .limit = 131072,
		  .tuple = tuple,
		  .used = 100,
		  .usable = 100,
		  .in_time_wait = 50,
		  .utilization = 1},
		 TD_TIMEWAIT_CAUSE,
		 "50 of the 100"},
		{{.sockets = 50, .limit = 131072, .tuple = tuple, .usable = 100, .refused = true},
		 TD_TIMEWAIT_SYMPTOM,
		 "only 0 of the 0"},
		{{.sockets = 5000,
		  .limit = 131072,
		  .tuple = tuple,
		  .used = 200,
		  .usable = 28232,
		  .in_time_wait = 200,
		  .utilization = 0.007},
		 TD_TIMEWAIT_FINE,
		 "hardly a source port"},
		/* A refusal counts although it has become better since. */
		{{.sockets = 500,
		  .limit = 131072,
		  .tuple = tuple,
		  .used = 90,
		  .usable = 200,
		  .in_time_wait = 80,
		  .utilization = 0.45,
		  .refused = true},
		 TD_TIMEWAIT_CAUSE,
		 "found no port"},
	};
	char text[512];

	for (size_t i = 0; i < TD_ARRAY_SIZE(cases); i++) {
		assert_int_equal(td_timewait_judge(&cases[i].t, text, sizeof(text)),
				 cases[i].verdict);
		if (!strstr(text, cases[i].part))
			fail_msg("\"%s\" does not say \"%s\"", text, cases[i].part);
		/* One sentence, and nothing that a setting would not do. */
		assert_null(strchr(text, '\n'));
		assert_null(strstr(text, "tcp_fin_timeout"));
		assert_null(strstr(text, "lower"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sentences),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
