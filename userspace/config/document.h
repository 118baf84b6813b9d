/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One YAML document, and errors about places in it. Private to config/.
 */
#ifndef TD_CONFIG_DOCUMENT_H
#define TD_CONFIG_DOCUMENT_H

#include "core/config.h"

#define TD_DOCUMENT_BYTES_MAX (16u << 20)
#define TD_DOCUMENT_NODES_MAX (4u << 20)
#define TD_DOCUMENT_DEPTH_MAX 16u

enum td_node_kind {
	TD_NODE_SCALAR,
	TD_NODE_LIST,
	TD_NODE_MAPPING,
};

/* A value of the document, with what is in it. */
struct td_node {
	enum td_node_kind kind;
	struct td_place at;
	bool plain;		/* a scalar without quotes */
	const char *text;	/* of a scalar; NULL where a zero byte is in it */
	struct td_node **items; /* of a mapping: key, value, key, value ... */
	size_t n;		/* items, or pairs */
};

struct td_document {
	const char *name; /* what errors call the text */
	const char *text;
	size_t length;
	struct td_error *error; /* of the caller; may be NULL */
	struct td_node *root;
	struct td_chunk *memory; /* of all nodes */
	char where[256];	 /* the object being read, such as `service "web"`; "" at the top */
};

/*
 * Checks the text as YAML and loads it. What this configuration has no use for
 * and an attacker has (aliases, tags, deep nesting, more documents) is refused
 * where it stands. Returns 0, -EINVAL, -E2BIG or -ENOMEM with the
 * sentence; td_document_done is to be called in any case.
 */
int td_document_open(struct td_document *d, const char *name, const char *text, size_t length,
		     struct td_error *error);
void td_document_done(struct td_document *d);

/* The top node; never NULL after td_document_open. */
const struct td_node *td_document_root(struct td_document *d);

/* The item of a sequence, or the value under a key of a mapping; NULL where
 * there is none or the node is of another kind (NULL is allowed). */
const struct td_node *td_node_item(struct td_document *d, const struct td_node *node, size_t index);
const struct td_node *td_node_value(struct td_document *d, const struct td_node *node,
				    const char *key);

/* Of a mapping's pair number i. */
static inline const struct td_node *td_node_key(const struct td_node *mapping, size_t i)
{
	return mapping->items[2 * i];
}
static inline const struct td_node *td_node_of_key(const struct td_node *mapping, size_t i)
{
	return mapping->items[2 * i + 1];
}

/* The text of a scalar, or NULL where it is none or has a zero byte inside. */
const char *td_node_text(const struct td_node *node);

/* A scalar without text: `key:`, `key: ~`, `key: null`. */
bool td_node_is_null(const struct td_node *node);

/* "one value", "a list", "a mapping" */
const char *td_node_kind(const struct td_node *node);

struct td_place td_node_place(const struct td_node *node);

/* Write "NAME:LINE:COL: WHERE: sentence" and return -EINVAL. */
int td_document_fail(struct td_document *d, const struct td_node *node, const char *format, ...)
	TD_PRINTF(3, 4);
int td_document_fail_at(struct td_document *d, struct td_place at, const char *format, ...)
	TD_PRINTF(3, 4);

/* Enters an object for errors; td_document_leave with the returned mark. */
size_t td_document_enter(struct td_document *d, const char *format, ...) TD_PRINTF(2, 3);
void td_document_leave(struct td_document *d, size_t mark);

#endif
