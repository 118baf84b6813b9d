// SPDX-License-Identifier: GPL-2.0-only
/*
 * Settings and counters from /proc. Which ones is data (doctor.h); here are the four forms
 * that such files have:
 *
 *   HEADED    a line of names, a line of values, both behind the same word
 *   PAIRS     "TCP: inuse 1 orphan 0"
 *   LINES     "MemTotal:   24683812 kB"
 *   COLUMNS   names in the first line, then hexadecimal values, a line for each CPU
 *
 * A kernel that lacks a counter leaves it at -1.
 */
#include <fcntl.h>

#include "private.h"

#define FILE_BYTES (64 << 10) /* netstat has 8 KiB */
#define OF_FIRST   "/proc/net/"

enum form { HEADED, PAIRS, LINES, COLUMNS };

static const struct {
	const char *path;
	unsigned int word;
} sysctls[] = {
#define X(name, path, word) {"/proc/sys/" path, word},
	TD_DOCTOR_SYSCTLS(X)
#undef X
};

static const struct {
	const char *file;
	enum form form;
	const char *line, *name;
} counters[] = {
#define X(name, file, form, line, word) {"/proc/" file, form, line, word},
	TD_DOCTOR_COUNTERS(X)
#undef X
};

ssize_t td_doctor_file(const char *root, const char *name, char *buffer, size_t size)
{
	_cleanup_close_ int fd = -1;
	size_t length = 0;
	char path[512];
	ssize_t n;

	buffer[0] = '\0';
	/* /proc/net is the first thread's, which may be in another network namespace just now. */
	if (!root[0] && strncmp(name, OF_FIRST, strlen(OF_FIRST)) == 0) {
		root = "/proc/thread-self/net/";
		name += strlen(OF_FIRST);
	}
	if ((size_t)snprintf(path, sizeof(path), "%s%s", root, name) >= sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	while (length + 1 < size) {
		n = read(fd, buffer + length, size - 1 - length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		length += (size_t)n;
	}
	buffer[length] = '\0';
	return (ssize_t)length;
}

/* file-max is 2^63 - 1 under systemd, and a counter may be 2^64 - 1. */
static int64_t number(const char *word, int base)
{
	char *end;
	unsigned long long n;

	if (*word == '-')
		return -1;
	n = strtoull(word, &end, base);
	return end == word ? -1 : (int64_t)TD_MIN(n, (unsigned long long)INT64_MAX);
}

/* Word `i` of a line, NULL where there are not so many. */
static const char *word_of(const char *line, unsigned int i)
{
	for (;; i--) {
		line += strspn(line, " \t");
		if (*line == '\n' || *line == '\0')
			return NULL;
		if (i == 0)
			return line;
		line += strcspn(line, " \t\n");
	}
}

static const char *next_line(const char *line)
{
	line = strchr(line, '\n');
	return line && line[1] ? line + 1 : NULL;
}

static bool is_word(const char *at, const char *word)
{
	size_t n = strlen(word);

	return strncmp(at, word, n) == 0 && (!at[n] || strchr(" \t\n:", at[n]));
}

static int position(const char *line, const char *name)
{
	const char *word;

	for (unsigned int i = 0; i < 512 && (word = word_of(line, i)); i++)
		if (is_word(word, name))
			return (int)i;
	return -1;
}

static int64_t headed(const char *text, const char *line, const char *name)
{
	const char *value, *below;
	int i;

	for (const char *l = text; l; l = next_line(l)) {
		below = next_line(l);
		if (!is_word(l, line) || !below || !is_word(below, line))
			continue;
		i = position(l, name);
		value = i > 0 ? word_of(below, (unsigned int)i) : NULL;
		return value ? number(value, 10) : -1;
	}
	return -1;
}

static int64_t pairs(const char *text, const char *line, const char *name)
{
	const char *value;
	int i;

	for (const char *l = text; l; l = next_line(l)) {
		if (!is_word(l, line))
			continue;
		i = *name ? position(l, name) : 0;
		value = i >= 0 ? word_of(l, (unsigned int)i + 1) : NULL;
		return value ? number(value, 10) : -1;
	}
	return -1;
}

static int64_t columns(const char *text, const char *name)
{
	const char *value;
	int64_t sum = 0;
	int i = position(text, name);

	if (i < 0)
		return -1;
	for (const char *l = next_line(text); l; l = next_line(l)) {
		value = word_of(l, (unsigned int)i);
		if (value)
			sum += number(value, 16);
	}
	return sum;
}

static void read_counters(const char *root, char *buffer, struct td_facts *f)
{
	const char *open = NULL;

	for (size_t i = 0; i < TD_COUNTER_N; i++) {
		if (!open || strcmp(open, counters[i].file) != 0) {
			open = counters[i].file;
			td_doctor_file(root, open, buffer, FILE_BYTES);
		}
		switch (counters[i].form) {
		case HEADED:
			f->counter[i] = headed(buffer, counters[i].line, counters[i].name);
			break;
		case PAIRS:
		case LINES:
			f->counter[i] = pairs(buffer, counters[i].line, counters[i].name);
			break;
		case COLUMNS: f->counter[i] = columns(buffer, counters[i].name); break;
		}
	}
}

static void read_sysctls(const char *root, struct td_facts *f)
{
	const char *word;
	char text[256];

	for (size_t i = 0; i < TD_SYSCTL_N; i++) {
		td_doctor_file(root, sysctls[i].path, text, sizeof(text));
		word = word_of(text, sysctls[i].word);
		f->sysctl[i] = word ? number(word, 10) : -1;
	}
}

/* "1024,8000-8080" */
static void read_reserved(const char *root, char *buffer, struct td_facts *f)
{
	unsigned long first, last;
	char *at = buffer, *end;

	td_doctor_file(root, "/proc/sys/net/ipv4/ip_local_reserved_ports", buffer, FILE_BYTES);
	while (*at >= '0' && *at <= '9') {
		first = last = strtoul(at, &end, 10);
		if (*end == '-')
			last = strtoul(end + 1, &end, 10);
		for (unsigned long p = first; p <= last && p <= 65535; p++)
			f->reserved[p / 8] |= (uint8_t)(1 << (p % 8));
		at = end + (*end == ',');
	}
}

/*
 * Hexadecimal: processed dropped squeezed 0 0 0 0 0 0 rps flow_limit backlog cpu ...
 * A CPU that is offline has no line; kernels before 5.10 tell neither backlog nor cpu.
 */
static int read_softnet(const char *root, char *buffer, struct td_facts *f)
{
	const char *word;

	td_doctor_file(root, "/proc/net/softnet_stat", buffer, FILE_BYTES);
	for (const char *l = buffer; l && *l && f->n_cpus < TD_DOCTOR_CPUS_MAX; l = next_line(l)) {
		struct td_cpu *c;

		if (td_grow(&f->cpus, f->n_cpus, sizeof(*f->cpus)) < 0)
			return -ENOMEM;
		c = &f->cpus[f->n_cpus];
		*c = (struct td_cpu){(unsigned int)f->n_cpus, -1, -1, -1};
		if ((word = word_of(l, 1)))
			c->dropped = number(word, 16);
		if ((word = word_of(l, 2)))
			c->squeezed = number(word, 16);
		if ((word = word_of(l, 12))) {
			c->id = (unsigned int)number(word, 16);
			c->backlog = number(word_of(l, 11), 16);
		}
		f->n_cpus++;
	}
	return 0;
}

int td_doctor_files(const char *root, struct td_facts *f)
{
	_cleanup_free_ char *buffer = malloc(FILE_BYTES);

	if (!buffer)
		return -ENOMEM;
	read_sysctls(root, f);
	read_counters(root, buffer, f);
	read_reserved(root, buffer, f);
	if (f->counter[TD_COUNTER_LISTEN_OVERFLOWS] < 0 || f->counter[TD_COUNTER_TIME_WAIT] < 0)
		f->unseen |= TD_UNSEEN_FILES;
	/* These two exist in the first network namespace alone. */
	if (f->sysctl[TD_SYSCTL_TCP_MEM_HIGH] < 0 && f->sysctl[TD_SYSCTL_SOMAXCONN] >= 0)
		f->unseen |= TD_UNSEEN_HOST;
	return read_softnet(root, buffer, f);
}

bool td_doctor_ports_print(const uint8_t set[8192], char *buffer, size_t size)
{
	size_t n = 0;

	buffer[0] = '\0';
	for (unsigned int p = 0; p <= 65535; p++) {
		unsigned int last = p;

		if (!(set[p / 8] >> (p % 8) & 1))
			continue;
		while (last < 65535 && set[(last + 1) / 8] >> ((last + 1) % 8) & 1)
			last++;
		n += (size_t)snprintf(buffer + n, size - n, last > p ? "%s%u-%u" : "%s%u",
				      n ? "," : "", p, last);
		if (n >= size)
			return false;
		p = last;
	}
	return true;
}
