// SPDX-License-Identifier: GPL-2.0-only
/* Which cgroup (v2) a process is in: the line "0::PATH" of /proc/PID/cgroup. */
#include "host/private.h"

int td_host_cgroup(pid_t pid, char *buffer, size_t size, struct td_error *error)
{
	char text[8192], *next = NULL;
	int r = td_proc_read(pid, "cgroup", text, sizeof(text));

	if (r < 0)
		return td_fail(error, ESRCH, "there is no process %d", pid);
	for (char *line = strtok_r(text, "\n", &next); line; line = strtok_r(NULL, "\n", &next)) {
		if (strncmp(line, "0::/", 4))
			continue;
		if (strlen(line + 3) >= size)
			return td_fail(error, ENAMETOOLONG,
				       "the path of process %d's cgroup is too long", pid);
		strcpy(buffer, line + 3);
		return 0;
	}
	return td_fail(error, ENOENT, "process %d is in no cgroup of the v2 tree", pid);
}
