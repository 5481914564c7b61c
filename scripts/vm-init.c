// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The first process of a test guest.
 *
 * Mounts the usual, loads the modules listed in /vm/modules.boot in that order,
 * runs the command of /vm/argv (strings ended by NUL) and tells its exit status
 * over a virtio-serial port, which nothing but this process writes to: no crash
 * can look like success.
 *
 * Virtio ports, found by name, or whatever terminal /dev/T the kernel command line
 * says by VM_PORT_ctl=T, VM_PORT_out=T, VM_PORT_last=T:
 *   vm.out   what the command writes to stdout and stderr
 *   vm.ctl   one word a line to the host: "start", "exit N", and whatever the
 *            guest writes into the fifo /run/vm/ctl ("powercut", "token NAME")
 *   vm.last  if there is one: the output of vm-last, on a kernel with kmemleak
 *            or gcov
 *
 * A port can be open only once, hence the pipe and the fifo between.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define PORTS		"/sys/class/virtio-ports"
#define CTL_FIFO	"/run/vm/ctl"
#define MAX_ARGS	256

static int ctl_fd = -1, out_fd = -1;

static void __attribute__((format(printf, 1, 2))) say(const char *fmt, ...)
{
	char buf[512];
	va_list ap;
	int fd, n;

	n = snprintf(buf, sizeof(buf), "<5>vm-init: ");
	va_start(ap, fmt);
	n += vsnprintf(buf + n, sizeof(buf) - n, fmt, ap);
	va_end(ap);
	if (n > (int)sizeof(buf) - 1)
		n = sizeof(buf) - 1;
	fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, buf, n) < 0)
		n = 0;
	close(fd);
}

static void nap(long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

/*
 * Ends the virtual machine: the host runs QEMU with -no-reboot. A kernel that is a
 * process would start itself once more.
 */
static void __attribute__((noreturn)) halt(void)
{
	tcdrain(ctl_fd);
	tcdrain(out_fd);
	reboot(getenv("VM_PORT_ctl") ? RB_POWER_OFF : RB_AUTOBOOT);
	for (;;)
		pause();
}

static void __attribute__((noreturn, format(printf, 1, 2))) fatal(const char *fmt, ...)
{
	char buf[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	say("fatal: %s (%s)", buf, strerror(errno));
	halt();
}

static void write_all(int fd, const char *buf, size_t len)
{
	while (len) {
		ssize_t n = write(fd, buf, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		buf += n;
		len -= n;
	}
}

static void put_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	write_all(fd, text, strlen(text));
	close(fd);
}

static void mount_at(const char *type, const char *dir, const char *opts)
{
	mkdir(dir, 0755);
	if (mount(type, dir, type, 0, opts) && errno != EBUSY && errno != ENODEV)
		say("cannot mount %s on %s: %s", type, dir, strerror(errno));
}

static void load_modules(void)
{
	char line[512];
	FILE *f = fopen("/vm/modules.boot", "re");

	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		int fd;

		line[strcspn(line, "\n")] = '\0';
		fd = open(line, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST))
			say("cannot load %s: %s", line, strerror(errno));
		if (fd >= 0)
			close(fd);
	}
	fclose(f);
}

/* The kernel starts with one CPU; the others join when its code is patched. */
static void online_cpus(void)
{
	char path[64];
	int cpu;

	for (cpu = 1; cpu < 64; cpu++) {
		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
		if (access(path, W_OK))
			return;
		put_file(path, "1");
	}
}

/* A terminal that passes on what is written to it as it is. */
static int open_terminal(const char *name)
{
	struct termios how;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/dev/%s", name);
	fd = open(path, O_WRONLY | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (tcgetattr(fd, &how))
		fatal("%s is no terminal", path);
	cfmakeraw(&how);
	if (tcsetattr(fd, TCSANOW, &how))
		fatal("cannot set up %s", path);
	return fd;
}

/* Opens the port of that name, once its driver has found it. */
static int open_port(const char *want, int tries)
{
	char variable[32];

	snprintf(variable, sizeof(variable), "VM_PORT_%s", strchr(want, '.') + 1);
	if (getenv(variable))
		return open_terminal(getenv(variable));
	for (; tries; tries--) {
		DIR *dir = opendir(PORTS);
		struct dirent *de;

		while (dir && (de = readdir(dir))) {
			char path[600], name[64] = "";
			int fd, n;

			snprintf(path, sizeof(path), PORTS "/%s/name", de->d_name);
			fd = open(path, O_RDONLY | O_CLOEXEC);
			if (fd < 0)
				continue;
			n = read(fd, name, sizeof(name) - 1);
			close(fd);
			name[n > 0 ? n : 0] = '\0';
			name[strcspn(name, "\n")] = '\0';
			if (strcmp(name, want))
				continue;
			snprintf(path, sizeof(path), "/dev/%s", de->d_name);
			fd = open(path, O_WRONLY | O_CLOEXEC);
			if (fd >= 0) {
				closedir(dir);
				return fd;
			}
		}
		if (dir)
			closedir(dir);
		nap(10);
	}
	errno = ENODEV;
	return -1;
}

/* Splits the strings of a file, each ended by NUL, into a vector. */
static char **read_strings(const char *path, size_t *count)
{
	static char *none[1];
	char **vec, *buf;
	struct stat st;
	ssize_t len, i;
	size_t n = 0;
	int fd;

	*count = 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) || !st.st_size)
		return none;
	buf = calloc(1, st.st_size + 1);
	vec = calloc(MAX_ARGS + 1, sizeof(*vec));
	if (!buf || !vec)
		fatal("out of memory");
	len = read(fd, buf, st.st_size);
	close(fd);
	for (i = 0; i < len && n < MAX_ARGS; i += strlen(buf + i) + 1)
		vec[n++] = buf + i;
	*count = n;
	return vec;
}

static pid_t spawn(int out, const sigset_t *mask)
{
	char **argv, **env;
	size_t n, i;
	pid_t pid;
	int null;

	argv = read_strings("/vm/argv", &n);
	if (!n)
		fatal("no command");
	env = read_strings("/vm/env", &i);
	pid = fork();
	if (pid)
		return pid;

	sigprocmask(SIG_UNBLOCK, mask, NULL);
	signal(SIGPIPE, SIG_DFL);
	setsid();
	null = open("/dev/null", O_RDONLY);
	dup2(null, 0);
	dup2(out, 1);
	dup2(out, 2);
	for (i = 0; env[i]; i++)
		putenv(env[i]);
	if (chdir("/root"))
		say("no /root");
	execvp(argv[0], argv);
	dprintf(2, "vm-init: cannot run %s: %s\n", argv[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

/* Passes on what is in the pipe now.  Returns whether there was anything. */
static int pump(int from)
{
	static char buf[65536];
	int any = 0;
	ssize_t n;

	while ((n = read(from, buf, sizeof(buf))) > 0) {
		write_all(out_fd, buf, n);
		any = 1;
	}
	return any;
}

/* A host that kills us at a token must have got the output before it. */
static void pass_tokens(int fifo, int pipe)
{
	char buf[4096];
	ssize_t n = read(fifo, buf, sizeof(buf));

	if (n <= 0)
		return;
	if (pump(pipe))
		nap(20);
	write_all(ctl_fd, buf, n);
}

/* What a file system still holds goes to the disk, unless something hangs. */
static void sync_disks(void)
{
	pid_t pid = fork();
	int i;

	if (!pid) {
		sync();
		_exit(0);
	}
	for (i = 0; i < 1000; i++) {
		if (waitpid(pid, NULL, WNOHANG))
			return;
		nap(10);
	}
	say("sync hangs, ending without it");
}

/* The kernels of scripts/debug-kernel know more than their console says. */
static void ask_kernel(void)
{
	int fd;
	pid_t pid;

	if (access("/sys/kernel/debug/kmemleak", F_OK) &&
	    access("/sys/kernel/debug/gcov", F_OK))
		return;
	fd = open_port("vm.last", 1);
	if (fd < 0)
		fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	pid = fork();
	if (!pid) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		dup2(fd, 1);
		execlp("vm-last", "vm-last", (char *)NULL);
		_exit(127);
	}
	waitpid(pid, NULL, 0);
	tcdrain(fd);
	close(fd);
}

int main(void)
{
	int fds[2], fifo, sfd, status, done = 0;
	struct pollfd pfd[3];
	char text[32];
	sigset_t mask;
	pid_t child, pid;

	umask(022);
	mount_at("devtmpfs", "/dev", NULL);
	mount_at("proc", "/proc", NULL);
	mount_at("sysfs", "/sys", NULL);
	mount_at("devpts", "/dev/pts", "ptmxmode=0666");
	mount_at("tmpfs", "/dev/shm", NULL);
	mount_at("tmpfs", "/run", "mode=0755");
	mount_at("tmpfs", "/tmp", "mode=1777");
	mount_at("debugfs", "/sys/kernel/debug", NULL);
	mount_at("tracefs", "/sys/kernel/tracing", NULL);
	mount_at("configfs", "/sys/kernel/config", NULL);
	if (symlink("/proc/self/fd", "/dev/fd") || symlink("fd/0", "/dev/stdin") ||
	    symlink("fd/1", "/dev/stdout") || symlink("fd/2", "/dev/stderr"))
		say("cannot link /dev/fd");

	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", 1);
	setenv("HOME", "/root", 1);
	setenv("TERM", "dumb", 1);
	setenv("LC_ALL", "C", 1);
	setenv("DM_DISABLE_UDEV", "1", 1);	/* libdm makes /dev/mapper itself */

	put_file("/proc/sys/kernel/printk", "8");
	put_file("/proc/sys/kernel/sysrq", "1");
	if (sethostname("guest", 5))
		say("no host name");
	load_modules();
	online_cpus();

	ctl_fd = open_port("vm.ctl", 500);
	out_fd = open_port("vm.out", 500);
	if (ctl_fd < 0 || out_fd < 0)
		fatal("no ports to the host");

	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	signal(SIGPIPE, SIG_IGN);
	sfd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	mkdir("/run/vm", 0755);
	if (mkfifo(CTL_FIFO, 0622) ||
	    (fifo = open(CTL_FIFO, O_RDWR | O_CLOEXEC | O_NONBLOCK)) < 0 ||
	    pipe2(fds, O_CLOEXEC) || fcntl(fds[0], F_SETFL, O_NONBLOCK) || sfd < 0)
		fatal("no pipes");

	say("starting the script");
	write_all(ctl_fd, "start\n", 6);
	child = spawn(fds[1], &mask);
	close(fds[1]);

	pfd[0] = (struct pollfd){ .fd = fds[0], .events = POLLIN };
	pfd[1] = (struct pollfd){ .fd = fifo, .events = POLLIN };
	pfd[2] = (struct pollfd){ .fd = sfd, .events = POLLIN };
	while (!done) {
		struct signalfd_siginfo si;

		if (poll(pfd, 3, -1) < 0 && errno != EINTR)
			fatal("poll");
		if (pfd[0].revents) {
			pump(fds[0]);
			if (!(pfd[0].revents & POLLIN))
				pfd[0].fd = -1;		/* all writers are gone */
		}
		if (pfd[1].revents)
			pass_tokens(fifo, fds[0]);
		if (pfd[2].revents && read(sfd, &si, sizeof(si)) > 0) {
			while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
				if (pid == child) {
					done = 1;
					break;
				}
		}
	}
	pump(fds[0]);
	pass_tokens(fifo, fds[0]);
	sync_disks();
	ask_kernel();
	say("the script has ended");
	snprintf(text, sizeof(text), "exit %d\n",
		 WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	write_all(ctl_fd, text, strlen(text));
	halt();
}
