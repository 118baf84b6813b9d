/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What may stand in the file, as data: one row per key. Reading, printing, the
 * lists of what would be valid and the test of the manual are all made from it.
 * Private to config/ and its tests.
 */
#ifndef TD_CONFIG_SCHEMA_H
#define TD_CONFIG_SCHEMA_H

#include "core/config.h"

/* A kind of mapping. */
enum td_scope {
	TD_SCOPE_TOP,
	TD_SCOPE_INTERFACE,
	TD_SCOPE_SERVICE,
	TD_SCOPE_BACKEND,
	TD_SCOPE_OWN_HEALTH, /* a backend's */
	TD_SCOPE_WORKERS,
	TD_SCOPE_SERVICE_GUE,
	TD_SCOPE_QUIC,
	TD_SCOPE_HEALTH,
	TD_SCOPE_AGENT,
	TD_SCOPE_PASSIVE,
	TD_SCOPE_EGRESS,
	TD_SCOPE_TIMEOUTS,
	TD_SCOPE_LIMITS,
	TD_SCOPE_PORTS,
	TD_SCOPE_GUE,
	TD_SCOPE_METRICS,
	TD_SCOPE_CONTROL,
	TD_SCOPES,
};

/* What stands under a key, and the field that keeps it. */
enum td_type {
	TD_TYPE_LATER,	   /* known, but refused in this version */
	TD_TYPE_MAPPING,   /* the keys of scope `opens` */
	TD_TYPE_OPTION,	   /* the same behind a pointer; NULL where it is not given */
	TD_TYPE_OBJECTS,   /* a list of such mappings */
	TD_TYPE_VIPS,	   /* a list of addresses and prefixes; one may stand without a list */
	TD_TYPE_PORTS,	   /* a list of ports; the same */
	TD_TYPE_LISTENS,   /* a list of "ADDRESS:PORT"; the same */
	TD_TYPE_PATHS,	   /* a list of absolute names of files; the same */
	TD_TYPE_SOURCES,   /* a list of addresses; the same */
	TD_TYPE_PREFIXES,  /* a list of prefixes and addresses; the same */
	TD_TYPE_WORDS,	   /* a list of char *, whatever is printable */
	TD_TYPE_WORD,	   /* char *, printable and without blanks, NULL where not given */
	TD_TYPE_ESCAPED,   /* the same; anything, as td_escape_read reads it */
	TD_TYPE_FILE,	   /* the same; an absolute name of a file */
	TD_TYPE_NAME,	   /* char[] */
	TD_TYPE_CGROUP,	   /* char[], the path of a cgroup */
	TD_TYPE_INTERFACE, /* char[IFNAMSIZ] */
	TD_TYPE_CHOICE,	   /* unsigned, of 1 or 4 bytes; 0: checked but not kept */
	TD_TYPE_NUMBER,	   /* unsigned, of 2 or 4 bytes; or one of `choices`, where there are */
	TD_TYPE_RANGE,	   /* struct td_range_conf; "FIRST-LAST", or the first of `choices` */
	TD_TYPE_PERCENT,   /* the same, with a percent sign behind it */
	TD_TYPE_DURATION,  /* uint32_t, milliseconds */
	TD_TYPE_ADDRESS,   /* struct tundish_addr */
	TD_TYPE_SERVER_ID, /* struct tundish_server_id, hexadecimal digits */
	TD_TYPE_ENDPOINT,  /* char[], as written; "" where absent or the first of `choices` */
};

/* What a changed value needs. */
enum td_reload {
	TD_RELOAD_LIVE,	    /* a reload */
	TD_RELOAD_NEW_MAPS, /* `tundish unload` and a start: maps keep their size */
};

struct td_choice {
	const char *name;
	unsigned int value;
	bool later; /* not in this version */
};

struct td_row {
	enum td_scope scope;
	const char *key;
	enum td_type type;
	bool required;
	size_t offset, size; /* of the field, in the scope's object */
	size_t n_offset;     /* of the field that counts a list */
	enum td_scope opens;
	const struct td_choice *choices; /* ends with a NULL name */
	uint32_t min, max;		 /* of the number, the milliseconds, or the list's items */
	const char *standard;		 /* the default, as it would be written; NULL: none */
	const char *unit;
	uint32_t step; /* what a duration is rounded up to a multiple of; 0: a millisecond */
	enum td_reload reload;
	uint8_t checks; /* TD_OF types of checks for which the key says something; 0: for all */
	const char *help;
};

#define TD_OF(type) (1u << (type))

/* An object of a scope. */
struct td_scope_info {
	const char *noun; /* "service"; for TOP "" */
	const char *path; /* "services[]", as the manual writes it */
	size_t size;	  /* of an element in a list; 0 where the scope is part of another object */
	size_t place_offset;
	bool one_line; /* how it is printed */
};

extern const struct td_row td_schema[];
extern const size_t td_schema_rows;
extern const struct td_scope_info td_scopes[TD_SCOPES];

const struct td_row *td_schema_find(enum td_scope scope, const char *key);

/* "services[].backends[].weight" */
const char *td_schema_path(const struct td_row *row, char *buffer, size_t size);

/* Lists of what this version takes, cut where the buffer ends: "a, b, c", and
 * "; did you mean "b"?" where `given` (may be NULL) is close to one. */
const char *td_schema_valid_keys(enum td_scope scope, const char *given, char *buffer, size_t size);
const char *td_schema_valid_choices(const struct td_choice *choices, const char *given,
				    char *buffer, size_t size);

/* Gives the object its defaults; all else in it is zeroed by the caller. */
void td_schema_defaults(enum td_scope scope, void *object);

#endif
