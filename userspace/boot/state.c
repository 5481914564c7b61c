// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The state file: one JSON object, replaced as a whole. It must not be on a device
 * that is protected, as it would be rolled back with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uuid/uuid.h>

#include "boot.h"
#include "durable.h"
#include "mnt.h"

#define RUN_DIRECTORY "/run/bow"
#define STATE_MOUNT RUN_DIRECTORY "/state"

static const char * const verdicts[BOOT_VERDICTS] = {
	"idle", "armed", "entering", "trial", "good", "commit", "rollback",
};

const char *boot_verdict_name(enum boot_verdict verdict)
{
	return verdicts[verdict];
}

/* ---- where it is ------------------------------------------------------------------ */

static int make_directories(const char *path)
{
	char copy[PATH_MAX], *p;

	snprintf(copy, sizeof(copy), "%s", path);
	for (p = copy + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		if (!mkdir(copy, 0755)) {
			/* Not every filesystem writes it with what is put into it. */
			if (durable_sync_parent(copy))
				return BOW_SYSTEM;
		} else if (errno != EEXIST) {
			return fail(BOW_SYSTEM, "%s: %s", copy, strerror(errno));
		}
		*p = '/';
	}
	return 0;
}

static int mount_state(struct state_file *file, const struct conf *conf, const char *device)
{
	if (make_directories(STATE_MOUNT "/."))
		return BOW_SYSTEM;
	if (mount(device, STATE_MOUNT, conf->state_fstype, MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL))
		return fail(BOW_SYSTEM, "%s: cannot mount %s as %s: %s; see 'set state_device' in %s",
			    STATE_MOUNT, device, conf->state_fstype, strerror(errno), conf->path);
	snprintf(file->mounted, sizeof(file->mounted), "%s", STATE_MOUNT);
	return 0;
}

static int join(char path[PATH_MAX], const char *dir, const char *name)
{
	while (*name == '/')
		name++;
	if (snprintf(path, PATH_MAX, "%s/%s", dir, name) < PATH_MAX)
		return 0;
	return fail(BOW_SYSTEM, "%s: %s", name, strerror(ENAMETOOLONG));
}

/*
 * Another process may unmount it just now, or something else cover it. The state would
 * seem to be missing then, and what is to be recorded would be lost.
 */
static int hold(struct state_file *file, const char *root, dev_t number, bool anonymous)
{
	struct stat st;

	file->root = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (file->root >= 0 && !fstat(file->root, &st) && (anonymous || st.st_dev == number))
		return 0;
	return fail(BOW_SYSTEM, "%s: the filesystem of the state file is not to be seen there; run the same command again",
		    root);
}

static int mount_and_hold(struct state_file *file, const struct conf *conf,
			  const char *device, dev_t number)
{
	struct mount mnt;
	bool found = mount_of_whole_device(number, &mnt) == 1;
	const char *root = found ? mnt.target : STATE_MOUNT;
	int status = 0;

	/* By one of us: the last one unmounts it. */
	if (found && !strcmp(root, STATE_MOUNT))
		snprintf(file->mounted, sizeof(file->mounted), "%s", STATE_MOUNT);
	else if (!found)
		status = mount_state(file, conf, device);
	/* Those of btrfs have numbers of their own. */
	if (!status)
		status = hold(file, root, number,
			      !strcmp(found ? mnt.fstype : conf->state_fstype, "btrfs"));
	if (!status)
		status = join(file->path, root, conf->state);
	mount_free(&mnt);
	return status;
}

static int find_on_device(struct state_file *file, const struct conf *conf)
{
	char device[PATH_MAX];
	struct stat st;

	if (!device_resolve(conf->state_device, device) || stat(device, &st) ||
	    !S_ISBLK(st.st_mode))
		return fail(BOW_SYSTEM, "%s: the device of the state file is not there",
			    conf->state_device);
	return mount_and_hold(file, conf, device, st.st_rdev);
}

static int find(struct state_file *file, const struct conf *conf)
{
	if (conf->state_device)
		return find_on_device(file, conf);
	snprintf(file->path, sizeof(file->path), "%s", conf->state);
	return 0;
}

/* What is rolled back with the data says nothing about them. */
static int check_place(const struct state_file *file)
{
	char copy[PATH_MAX], name[BOW_DM_NAME];
	struct stat st;
	unsigned int i;

	snprintf(copy, sizeof(copy), "%s", file->path);
	if (stat(dirname(copy), &st) || !device_dm_name(st.st_dev, name, sizeof(name)))
		return 0;
	for (i = 0; i < file->nr; i++)
		if (!strcmp(file->place[i].name, name))
			return fail(BOW_REFUSED, "%s: the state file is on %s, which it is about; put it on another filesystem",
				    file->path, name);
	return 0;
}

/* Whoever can open what is locked could have us wait for ever: no place but root's own. */
static int open_private(void)
{
	int fd;

	if (geteuid() || (mkdir(RUN_DIRECTORY, 0700) && errno != EEXIST))
		return -1;
	fd = open(RUN_DIRECTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && fchmod(fd, 0700)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* One at a time. In tests, without root: the directory, which stays when the file goes. */
static int lock(struct state_file *file)
{
	int status = make_directories(file->path);

	if (status)
		return status;
	file->lock = open_private();
	if (file->lock < 0)
		file->lock = open_parent(file->path);
	if (file->lock < 0 || flock(file->lock, LOCK_EX))
		return fail(BOW_SYSTEM, "%s: cannot be locked: %s", file->path,
			    strerror(errno));
	return 0;
}

/* ---- reading --------------------------------------------------------------------------- */

static void fill_from_conf(struct state_file *file, const struct conf *conf)
{
	unsigned int i;

	for (i = 0; i < conf->nr; i++) {
		struct boot_place *place = &file->place[i];

		snprintf(place->name, sizeof(place->name), "%s", conf->dev[i].name);
		snprintf(place->device, sizeof(place->device), "%s", conf->dev[i].device);
		place->conf = &conf->dev[i];
	}
	file->nr = conf->nr;
}

/* That of the name, or a new one; NULL if there are too many. */
static struct boot_place *get_place(struct state_file *file, const char *name)
{
	struct boot_place *place;
	unsigned int i;

	for (i = 0; i < file->nr; i++)
		if (!strcmp(file->place[i].name, name))
			return &file->place[i];
	if (file->nr == BOOT_DEVICES || strlen(name) >= sizeof(place->name))
		return NULL;
	place = &file->place[file->nr++];
	snprintf(place->name, sizeof(place->name), "%s", name);
	return place;
}

static bool read_uuid(struct json_object *obj, struct boot_record *record)
{
	struct json_object *member;
	char text[UUID_TEXT];

	if (!json_object_object_get_ex(obj, "uuid", &member))
		return false;
	if (!member)
		return true;
	record->has_uuid = true;
	return json_get_string(obj, "uuid", text, sizeof(text)) &&
	       !uuid_parse(text, record->uuid);
}

static bool read_device(struct state_file *file, const char *name,
			struct json_object *obj, struct boot_state *state)
{
	struct boot_place *place = get_place(file, name);
	struct boot_record *record;

	if (!place)
		return false;
	record = &state->dev[place - file->place];
	record->ours = true;
	/* Where it was when the checkpoint began. */
	return json_get_string(obj, "device", place->device, sizeof(place->device)) &&
	       json_get_number(obj, "since", &record->since) && read_uuid(obj, record);
}

static bool read_verdict(struct json_object *obj, enum boot_verdict *verdict)
{
	char text[16];
	size_t i;

	if (!json_get_string(obj, "verdict", text, sizeof(text)))
		return false;
	for (i = 0; i < BOOT_VERDICTS; i++)
		if (!strcmp(text, verdicts[i])) {
			*verdict = (enum boot_verdict)i;
			return true;
		}
	return false;
}

static bool read_bool(struct json_object *obj, const char *key, bool *yes)
{
	struct json_object *member;

	if (!json_object_object_get_ex(obj, key, &member) ||
	    !json_object_is_type(member, json_type_boolean))
		return false;
	*yes = json_object_get_boolean(member);
	return true;
}

static bool read_transaction(struct state_file *file, struct json_object *obj,
			     struct boot_state *state)
{
	struct json_object *devices;

	if (!read_verdict(obj, &state->verdict) ||
	    !read_bool(obj, "any_system", &state->any) ||
	    !read_bool(obj, "rejected", &state->rejected) ||
	    !json_get_string(obj, "new_system", state->new_system, BOOT_SYSTEM) ||
	    !json_get_string(obj, "old_system", state->old_system, BOOT_SYSTEM) ||
	    !json_get_number(obj, "attempts", &state->attempts) ||
	    !json_get_number(obj, "attempts_left", &state->attempts_left) ||
	    !json_get_string(obj, "armed_in", state->armed_in, BOOT_ID) ||
	    !json_get_string(obj, "counted_in", state->counted_in, BOOT_ID) ||
	    !json_object_object_get_ex(obj, "devices", &devices) ||
	    !json_object_is_type(devices, json_type_object))
		return false;
	json_object_object_foreach(devices, name, device)
		if (!read_device(file, name, device, state))
			return false;
	return true;
}

static bool read_state(struct state_file *file, struct json_object *obj,
		       struct boot_state *state)
{
	struct json_object *transaction;

	return json_get_string(obj, "good_system", state->good_system, BOOT_SYSTEM) &&
	       json_object_object_get_ex(obj, "transaction", &transaction) &&
	       read_transaction(file, transaction, state);
}

/* A file that is not understood is as good as none, but is never written over. */
static void load(struct state_file *file, const struct conf *conf, struct boot_state *state)
{
	struct json_object *obj;

	fill_from_conf(file, conf);
	memset(state, 0, sizeof(*state));
	file->missing = access(file->path, F_OK) && errno == ENOENT;
	if (file->missing)
		return;
	obj = durable_read_json(file->path);
	if (obj && read_state(file, obj, state)) {
		json_object_put(obj);
		return;
	}
	if (obj)
		error_msg("%s: not understood", file->path);
	json_object_put(obj);
	file->bad = true;
	memset(state, 0, sizeof(*state));
	memset(file->place, 0, sizeof(file->place));
	fill_from_conf(file, conf);
}

int state_open(struct state_file *file, const struct conf *conf, bool change,
	       struct boot_state *state)
{
	int status;

	memset(file, 0, sizeof(*file));
	file->lock = -1;
	file->root = -1;
	status = find(file, conf);
	if (!status && change)
		status = lock(file);
	if (status)
		return status;
	load(file, conf, state);
	return change ? check_place(file) : 0;
}

void state_close(struct state_file *file)
{
	if (file->root >= 0)
		close(file->root);
	/* In use by another one of us, or unmounted by that. */
	if (*file->mounted && umount(file->mounted) && errno != EBUSY && errno != EINVAL)
		warn_msg("%s: cannot be unmounted: %s", file->mounted, strerror(errno));
	if (file->lock >= 0)
		close(file->lock);
	file->root = -1;
	file->lock = -1;
	file->mounted[0] = '\0';
}

/* ---- writing --------------------------------------------------------------------------- */

static struct json_object *device_json(const struct boot_place *place,
				       const struct boot_record *record)
{
	struct json_object *obj = json_object_new_object();
	char uuid[UUID_TEXT];

	json_add_string(obj, "device", place->device);
	json_add_string(obj, "uuid", record->has_uuid ? format_uuid(uuid, record->uuid) : NULL);
	json_add_string(obj, "phase", record->has_uuid ? "live" : "entering");
	json_add_number(obj, "since", record->since);
	return obj;
}

static struct json_object *transaction_json(const struct state_file *file,
					    const struct boot_state *state)
{
	struct json_object *obj = json_object_new_object();
	struct json_object *devices = json_object_new_object();
	unsigned int i;

	json_add_string(obj, "verdict", verdicts[state->verdict]);
	json_add_bool(obj, "any_system", state->any);
	json_add_bool(obj, "rejected", state->rejected);
	json_add_string(obj, "new_system", state->new_system);
	json_add_string(obj, "old_system", state->old_system);
	json_add_number(obj, "attempts", state->attempts);
	json_add_number(obj, "attempts_left", state->attempts_left);
	json_add_string(obj, "armed_in", state->armed_in);
	json_add_string(obj, "counted_in", state->counted_in);
	for (i = 0; i < file->nr; i++)
		if (state->dev[i].ours)
			json_object_object_add(devices, file->place[i].name,
					       device_json(&file->place[i], &state->dev[i]));
	json_object_object_add(obj, "devices", devices);
	return obj;
}

int state_save(const struct state_file *file, const struct boot_state *state)
{
	struct json_object *obj = json_report();

	json_object_object_add(obj, "transaction", transaction_json(file, state));
	json_add_string(obj, "good_system", state->good_system);
	return durable_write_json(file->path, obj);
}
