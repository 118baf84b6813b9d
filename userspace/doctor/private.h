/* SPDX-License-Identifier: GPL-2.0-only */
/* What the readers of doctor/ share. Each fills its part of the facts, and returns 0 or
 * -ENOMEM; what it may not see it marks in `unseen`. */
#ifndef TD_DOCTOR_PRIVATE_H
#define TD_DOCTOR_PRIVATE_H

#include "doctor/doctor.h"

#define TD_DOCTOR_TIMEOUT_MS 2000

/* Reads at most size - 1 bytes of ROOT/NAME and ends them with NUL. Returns the length or a
 * negative errno. */
ssize_t td_doctor_file(const char *root, const char *name, char *buffer, size_t size);

int td_doctor_files(const char *root, struct td_facts *f); /* files.c */
int td_doctor_nics(struct td_facts *f);			   /* nic.c */
int td_doctor_listeners(struct td_facts *f);		   /* listeners.c */
int td_doctor_holders(struct td_facts *f);		   /* processes.c */
int td_doctor_processes(const char *root, struct td_facts *f);

/* What the driver's own counters say of losses and of XDP: `n` names of 32 bytes each, and their
 * values. */
void td_doctor_statistics(struct td_nic *nic, const char *names, const uint64_t *values,
			  unsigned int n);

struct nlmsghdr;

/*
 * One dump over netlink, without a handle and without a privilege (those of net/ ask for
 * both): hands each message to `message`, until it returns other than 0. Returns that, the
 * kernel's error, or -ETIMEDOUT. A dump during which something changed is taken as it is.
 */
int td_doctor_dump(int protocol, struct nlmsghdr *request,
		   int (*message)(const struct nlmsghdr *h, void *data), void *data);

/* In place: what is no letter, digit or one of "_.@:-" becomes '?', since names stand in
 * commands that somebody will paste into a shell. */
void td_doctor_harmless(char *name);

#endif
