// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The table line of a bow device.
 */
#include <sys/sysmacros.h>

#include "command.h"
#include "table.h"

/* The feature arguments of the table, counted. */
void bow_table_params(const struct bow_table *table, dev_t lower,
		      char params[BOW_PARAMS])
{
	char features[256] = "";
	unsigned int count = 0;
	size_t n = 0;

	if (table->block_size) {
		n += (size_t)snprintf(features + n, sizeof(features) - n,
				      " block_size %llu",
				      (unsigned long long)table->block_size);
		count += 2;
	}
	if (table->on_full) {
		n += (size_t)snprintf(features + n, sizeof(features) - n,
				      " on_full %s", table->on_full);
		count += 2;
	}
	if (table->has_low_water) {
		n += (size_t)snprintf(features + n, sizeof(features) - n,
				      " low_water %llu",
				      (unsigned long long)table->low_water);
		count += 2;
	}
	if (table->resume) {
		snprintf(features + n, sizeof(features) - n, " resume");
		count++;
	}
	snprintf(params, BOW_PARAMS, "%u:%u", major(lower), minor(lower));
	if (count)
		snprintf(params + strlen(params), BOW_PARAMS - strlen(params), " %u%s",
			 count, features);
}

bool bow_table_block_size(const char *text, u64 *bytes)
{
	return !parse_size(text, bytes) && is_power_of_2(*bytes) &&
	       *bytes >= COW_MIN_BLOCK_SECTORS << 9 &&
	       *bytes <= COW_MAX_BLOCK_SECTORS << 9;
}

const char *bow_table_policy(const char *text)
{
	static const char * const policies[] = { "fail", "hold", "commit" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(policies); i++)
		if (!strcmp(text, policies[i]))
			return policies[i];
	return NULL;
}

int bow_table_resume(struct bow_table *table, const struct offline *off)
{
	u64 bytes = (u64)off->pic.log.head.block_sectors << 9;

	if (table->block_size && table->block_size != bytes)
		return fail(BOW_REFUSED, "%s: the checkpoint has a block size of %llu; ask for no other",
			    off->dev.path, (unsigned long long)bytes);
	table->block_size = bytes;
	table->resume = true;
	return BOW_OK;
}
