// SPDX-License-Identifier: GPL-2.0-only
#include "lib/calls.h"

const char *const td_control_calls[] = {
	"accept4",  "getsockopt", /* SO_PEERCRED: who asks */
	"lchown",		  /* the socket's group, on reload */
	"sendfile",		  /* libmicrohttpd, where it answers from a file */
	NULL,
};
