// SPDX-License-Identifier: GPL-2.0-only
/*
 * Packets as pcapng, onto standard output or into a file, block by block as they come: what is written
 * is a whole file at each moment, however it ends. What the last block of statistics says is told.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "cli/cli.h"

#define BLOCK_MAX (1u << 20)
enum { SECTION = 0x0a0d0d0a, STATISTICS = 5, COMMENT = 1 };

struct capturing {
	const struct cli *c;
	const char *file;	/* NULL: standard output */
	int fd;			/* -1: not open yet */
	off_t written;		/* whole blocks */
	struct cli_buffer rest; /* of a block that has not come whole */
	char told[512];		/* what the last statistics say */
	bool begun, asked;
	int failed; /* enum cli_exit, after it was told */
};

static volatile sig_atomic_t interrupted;

static void on_signal(int signal)
{
	interrupted++;
}

static uint32_t word_at(const char *bytes)
{
	uint32_t word;

	memcpy(&word, bytes, sizeof(word));
	return word;
}

/* The comment of a block of statistics: its options begin behind an interface and a time. */
static void read_statistics(struct capturing *p, const char *block, size_t length)
{
	size_t at = 20;
	uint16_t head[2];

	while (at + sizeof(head) + 4 <= length) {
		memcpy(head, block + at, sizeof(head));
		at += sizeof(head);
		if (!head[0] || head[1] > length - 4 - at)
			return;
		if (head[0] == COMMENT)
			snprintf(p->told, sizeof(p->told), "%.*s", (int)head[1], block + at);
		at += (head[1] + 3u) & ~3u;
	}
}

static bool open_file(struct capturing *p)
{
	struct stat s;
	int fd;

	if (!p->file) {
		p->fd = STDOUT_FILENO;
		return true;
	}
	/* packets of other people are in it */
	fd = open(p->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd >= 0 && (fstat(fd, &s) < 0 || (S_ISREG(s.st_mode) && fchmod(fd, 0600) < 0)))
		td_fd_close(&fd);
	p->fd = fd;
	if (fd < 0)
		p->failed = cli_fail(CLI_FAILED, "cannot write %s: %s", p->file, strerror(errno));
	return fd >= 0;
}

static bool write_failed(struct capturing *p)
{
	p->failed =
		cli_fail(CLI_FAILED, "cannot write %s: %s", p->file ?: "packets", strerror(errno));
	return false;
}

/* Whole blocks; of what there is no room for a file keeps no part. */
static bool put(struct capturing *p, const char *bytes, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t r = write(p->fd, bytes + at, n - at);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0) {
			write_failed(p);
			if (p->file && at && ftruncate(p->fd, p->written) < 0)
				cli_fail(CLI_FAILED, "the last packet of %s is not whole: %s",
					 p->file, strerror(errno));
			return false;
		}
		at += (size_t)r;
	}
	p->written += (off_t)n;
	return true;
}

/* How many bytes of @bytes are whole blocks, which are read on the way; -1: it is no pcapng. */
static ssize_t whole_blocks(struct capturing *p, const char *bytes, size_t n)
{
	size_t at = 0;

	while (n - at >= 12) {
		uint32_t type = word_at(bytes + at), length = word_at(bytes + at + 4);

		if (length < 12 || length % 4 || length > BLOCK_MAX ||
		    (!p->begun && type != SECTION))
			return -1;
		if (length > n - at)
			break;
		p->begun = true;
		if (type == STATISTICS)
			read_statistics(p, bytes + at, length);
		at += length;
	}
	return (ssize_t)at;
}

static bool take(void *context, const char *bytes, size_t n)
{
	struct capturing *p = context;
	ssize_t whole;

	cli_buffer_add(&p->rest, bytes, n);
	whole = whole_blocks(p, p->rest.data, p->rest.length);
	if (whole < 0) {
		p->failed = cli_fail(
			CLI_FAILED,
			"what answers on %s sent no pcapng; is it another program's socket?",
			p->c->control);
		return false;
	}
	if (!whole)
		return true;
	if (p->fd < 0 && !open_file(p))
		return false;
	if (!put(p, p->rest.data, (size_t)whole))
		return false;
	p->rest.length -= (size_t)whole;
	memmove(p->rest.data, p->rest.data + whole, p->rest.length);
	return true;
}

/* ^C ends the capture at the daemon, which tells then what it did; a second one does not wait. */
static bool tick(void *context)
{
	struct capturing *p = context;
	struct cli_target t = {0};
	struct cli_answer a = {0};
	struct td_error e = {0};
	char own[16];

	if (!interrupted)
		return true;
	if (p->asked && interrupted < 2)
		return true;
	if (p->asked) {
		p->failed = cli_fail(CLI_FAILED, "interrupted before the daemon told its end");
		return false;
	}
	p->asked = true;
	cli_target_word(&t, "capture");
	cli_target_word(&t, "end");
	snprintf(own, sizeof(own), "%d", (int)getpid());
	cli_target_query(&t, "process", own);
	if (cli_send_within(p->c->control, &t, "", 5, &a, &e) < 0) {
		p->failed = cli_fail(CLI_FAILED, "%s", e.text);
		return false;
	}
	cli_answer_done(&a);
	return true;
}

static void join_words(const struct cli *c, struct cli_target *t)
{
	struct cli_buffer b = {0};

	for (size_t i = 0; i < c->n_words; i++) {
		if (i)
			cli_buffer_add(&b, " ", 1);
		cli_buffer_add(&b, c->word[i], strlen(c->word[i]));
	}
	if (c->n_words)
		cli_target_query(t, "filter", b.data);
	cli_buffer_done(&b);
}

int cli_run_capture(const struct cli *c)
{
	static const char *const options[] = {"point", "count", "seconds", "size", "snaplen"};
	struct sigaction on = {.sa_handler = on_signal, .sa_flags = SA_RESTART | SA_RESETHAND};
	struct capturing p = {.c = c, .fd = -1, .file = cli_option(c, "write")};
	const struct cli_stream stream = {take, tick, &p};
	struct cli_target t = {0};
	int r;

	if (p.file && !strcmp(p.file, "-"))
		p.file = NULL;
	if (c->json)
		return cli_fail(CLI_USAGE, "capture writes pcapng and no JSON; \"tundish capture | "
					   "tshark -r - -T json\" makes some of it");
	if (!p.file && isatty(STDOUT_FILENO))
		return cli_fail(
			CLI_USAGE,
			"packets are no text for a terminal; read them with \"tundish capture | "
			"tshark -r -\", or keep them with --write FILE");
	cli_target_word(&t, "capture");
	join_words(c, &t);
	for (size_t i = 0; i < TD_ARRAY_SIZE(options); i++)
		if (cli_option(c, options[i]))
			cli_target_query(&t, options[i], cli_option(c, options[i]));
	sigaction(SIGINT, &on, NULL);
	sigaction(SIGTERM, &on, NULL);
	r = cli_ask_stream(c, &t, "", &stream);
	if (p.file && p.fd >= 0 && close(p.fd) != 0 && !p.failed)
		write_failed(&p);
	cli_buffer_done(&p.rest);
	if (p.told[0]) {
		fputs("tundish: ", stderr);
		cli_put_escaped(stderr, p.told, CLI_KEEP_NONE);
		fputc('\n', stderr);
	}
	return p.failed ? p.failed : r;
}
