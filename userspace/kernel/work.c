// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include "kernel/work.h"

static struct td_work_watch watch;

void td_work_watch(const struct td_work_watch *w)
{
	watch = w ? *w : (struct td_work_watch){0};
}

void td_work_begin(const char *format, ...)
{
	char what[80];
	va_list ap;

	if (!watch.begins)
		return;
	va_start(ap, format);
	vsnprintf(what, sizeof(what), format, ap);
	va_end(ap);
	watch.begins(watch.context, what);
}

void td_work_end(uint64_t instructions)
{
	if (watch.ended)
		watch.ended(watch.context, instructions);
}

uint64_t td_work_instructions(struct bpf_object *o)
{
	struct bpf_program *p;
	uint64_t n = 0;

	bpf_object__for_each_program(p, o)
	{
		struct bpf_prog_info info = {0};
		uint32_t length = sizeof(info);
		int fd = bpf_program__fd(p);

		if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &length) == 0)
			n += info.verified_insns;
	}
	return n;
}

int td_work_load(struct bpf_object *o)
{
	const char *first = bpf_object__name(o);
	struct bpf_program *p;
	unsigned int n = 0;
	int r;

	bpf_object__for_each_program(p, o)
	{
		if (bpf_program__autoload(p) && !n++)
			first = bpf_program__name(p);
	}
	if (n > 1)
		td_work_begin("verifying %s and %u more", first, n - 1);
	else
		td_work_begin("verifying %s", first);
	r = bpf_object__load(o);
	td_work_end(r < 0 ? 0 : td_work_instructions(o));
	return r;
}
