/* SPDX-License-Identifier: GPL-2.0-only */
/* Work of the kernel that may take seconds, told while it is done: the verifier, which is slow on a busy
 * or emulated processor, and the taking over of a former layout. */
#ifndef TD_KERNEL_WORK_H
#define TD_KERNEL_WORK_H

#include "lib/util.h"

struct td_work_watch {
	/* @what: "verifying tundish_xdp", "taking over maps of layout 2" */
	void (*begins)(void *context, const char *what);
	/* Of that which began last, also where it failed. @instructions: that the verifier went
	 * through; 0: it was another's work, or the kernel does not say */
	void (*ended)(void *context, uint64_t instructions);
	void *context;
};
/* From now on this one is told, which is copied; NULL: nobody. For the whole process. */
void td_work_watch(const struct td_work_watch *w);

/* ---- for who works; one at a time ---- */
void td_work_begin(const char *format, ...) TD_PRINTF(1, 2);
void td_work_end(uint64_t instructions);

struct bpf_object;
/* bpf_object__load, as such work. */
int td_work_load(struct bpf_object *o);
/* What the verifier went through for the programs of it that are loaded. */
uint64_t td_work_instructions(struct bpf_object *o);

#endif
