/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One YAML document, and errors about places in it. Private to config/.
 */
#ifndef TD_CONFIG_DOCUMENT_H
#define TD_CONFIG_DOCUMENT_H

#include <yaml.h>

#include "core/config.h"

#define TD_DOCUMENT_BYTES_MAX (16u << 20)
#define TD_DOCUMENT_NODES_MAX (4u << 20)
#define TD_DOCUMENT_DEPTH_MAX 16u

struct td_document {
	const char *name; /* what errors call the text */
	const char *text;
	size_t length;
	struct td_error *error; /* of the caller; may be NULL */
	yaml_document_t yaml;
	bool loaded;
	char where[256]; /* the object being read, such as `service "web"`; "" at the top */
};

/*
 * Checks the text as YAML and loads it. What this configuration has no use for
 * and an attacker has (aliases, tags, deep nesting, more documents) is refused
 * before anything is built. Returns 0, -EINVAL, -E2BIG or -ENOMEM with the
 * sentence; td_document_done is to be called in any case.
 */
int td_document_open(struct td_document *d, const char *name, const char *text, size_t length,
		     struct td_error *error);
void td_document_done(struct td_document *d);

/* The top node; never NULL after td_document_open. */
const yaml_node_t *td_document_root(struct td_document *d);

/* The item of a sequence, or the value under a key of a mapping; NULL where
 * there is none or the node is of another kind (NULL is allowed). */
const yaml_node_t *td_node_item(struct td_document *d, const yaml_node_t *node, size_t index);
const yaml_node_t *td_node_value(struct td_document *d, const yaml_node_t *node, const char *key);

/* The text of a scalar, or NULL where it is none or has a zero byte inside. */
const char *td_node_text(const yaml_node_t *node);

/* A scalar without text: `key:`, `key: ~`, `key: null`. */
bool td_node_is_null(const yaml_node_t *node);

/* "one value", "a list", "a mapping" */
const char *td_node_kind(const yaml_node_t *node);

struct td_place td_node_place(const yaml_node_t *node);

/* Write "NAME:LINE:COL: WHERE: sentence" and return -EINVAL. */
int td_document_fail(struct td_document *d, const yaml_node_t *node, const char *format, ...)
	TD_PRINTF(3, 4);
int td_document_fail_at(struct td_document *d, struct td_place at, const char *format, ...)
	TD_PRINTF(3, 4);

/* Enters an object for errors; td_document_leave with the returned mark. */
size_t td_document_enter(struct td_document *d, const char *format, ...) TD_PRINTF(2, 3);
void td_document_leave(struct td_document *d, size_t mark);

#endif
