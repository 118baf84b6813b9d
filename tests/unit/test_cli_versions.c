// SPDX-License-Identifier: GPL-2.0-only
/*
 * `tundish` before a daemon of another version, and before what is no daemon: an answer of another
 * form never passes for an empty one, and a path that a daemon lacks is told with both versions.
 */
#include "cli_fixture.h"

static const char *const lines[] = {
	"status",
	"service list",
	"service show x",
	"backend list",
	"backend list x",
	"backend drain x y",
	"worker list",
	"worker list x",
	"worker drain x y",
	"worker drain x all",
	"worker adopt x 1",
	"exec x -- true",
	"flow list",
	"flow count",
	"tuple list",
	"port list",
	"port blocked",
	"timewait",
	"egress list",
	"trace 1.2.3.4 1.2.3.5:80",
	"trace --egress 1 1.2.3.5:80",
	"config check /dev/null",
	"config diff /dev/null",
	"config apply /dev/null",
	"events --once",
	"events",
	"top",
	"daemon reexec",
	"unload",
};

/* Without the version of what answers: one sentence, exit 1, and nothing shown. */
static void test_answers_of_another_form(void **state)
{
	/* rows for who wants an object, objects for who wants rows, and neither */
	static const char *const answers[] = {"[1]", "7", "\"x\"", "null", "[[]]", "[{}, 1]"};
	struct fixture *f = *state;
	char as_json[64];

	for (size_t i = 0; i < TD_ARRAY_SIZE(answers); i++) {
		f->json = answers[i];
		for (size_t n = 0; n < TD_ARRAY_SIZE(lines); n++) {
			assert_fails(f, lines[n], 1, "is no daemon that this version, " TD_VERSION);
			if (strcmp(lines[n], "top") == 0)
				continue;
			snprintf(as_json, sizeof(as_json), "--json %s", lines[n]);
			assert_fails(f, as_json, 1, f->path);
		}
	}
}

/* Objects and rows, but without what they are told by. */
static void test_answers_without_their_keys(void **state)
{
	static const struct {
		const char *line, *answer;
	} cases[] = {
		{"status", "{}"},
		{"top", "{\"version\":\"9.9.9\"}"},
		{"service list", "{\"service\":\"web\"}"},
		{"service list", "[{\"name\":\"web\"}]"},
		{"service show x", "{\"name\":\"web\"}"},
		{"trace 1.2.3.4 1.2.3.5:80", "{}"},
		{"events --once", "[{\"what\":\"attach\"}]"},
		{"timewait", "{}"},
		{"config diff /dev/null", "{}"},
		{"unload", "{}"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < TD_ARRAY_SIZE(cases); i++) {
		f->json = cases[i].answer;
		assert_fails(f, cases[i].line, 1, f->path);
	}
	/* nor is such a one asked to unload */
	assert_null(strstr(f->requests, "POST"));
}

static void test_paths_that_a_daemon_lacks(void **state)
{
	struct fixture *f = *state;

	f->lacks = "trace";
	assert_fails(f, "trace 1.2.3.4 1.2.3.5:80", 1, "there is no /v1/trace: the daemon on ");
	assert_fails(f, "trace 1.2.3.4 1.2.3.5:80", 1,
		     " is version 0.1.0, this is " TD_VERSION
		     "; restart it, or run `tundish daemon "
		     "reexec`");
	f->lacks = "events"; /* it is followed no longer, then */
	assert_fails(f, "events", 1, " is version 0.1.0, ");
	/* a name that it does not know is the user's, and its sentence stands */
	assert_fails(f, "service show nope", 4, "tundish: no such thing: GET services/nope");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_answers_of_another_form),
		T(test_answers_without_their_keys),
		T(test_paths_that_a_daemon_lacks),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
