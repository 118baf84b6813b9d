// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer target: any bytes as a configuration. What is taken must print as
 * YAML that reads back equal; what is refused must have its sentence. Seeds:
 * scripts/tundish.yaml.example and tests/unit/config/.
 */
#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct td_config *first = NULL, *second = NULL;
	struct td_error error = {0};
	char *text = NULL;
	size_t length = 0;
	FILE *out;

	if (td_config_parse("f", (const char *)data, size, &first, &error) < 0) {
		if (first || strncmp(error.text, "f:", 2))
			abort();
		return 0;
	}
	out = open_memstream(&text, &length);
	if (!out || td_config_print(first, out) < 0 || fclose(out))
		abort();
	if (td_config_parse("g", text, length, &second, &error) < 0 ||
	    !td_config_equal(first, second))
		abort();
	free(text);
	td_config_free(first);
	td_config_free(second);
	return 0;
}
