/* SPDX-License-Identifier: MIT */
#include "net/answer.h"

#include "base/format.h"
#include "net/moment.h"

void answer_set_text(json_t *o, const char *key, const char *text)
{
	json_object_set_new(o, key,
			    text != NULL && text[0] != '\0' ? json_string(text)
							    : json_null());
}

void answer_set_int(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

void answer_set_known(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key,
			    v == UINT64_MAX ? json_null()
					    : json_integer((json_int_t)v));
}

void answer_set_time(json_t *o, const char *key, int64_t unix_s)
{
	char text[FORMAT_CAP];

	json_object_set_new(o, key,
			    unix_s > 0
				    ? json_string(format_time_utc(unix_s, text))
				    : json_null());
}

void answer_set_moment(json_t *o, const char *key, uint64_t moment)
{
	answer_set_time(o, key, moment_unix(moment));
}
