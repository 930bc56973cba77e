/*
 * step.h: lets the lab step a C program. Include it and call step("...") wherever the scheduler may switch;
 * call show("name", "%d", name) before it to let the lab show a variable.
 *
 * Run from a shell, outside the lab, both do nothing and the program runs as any other.
 *
 * The layout of a slot of the board is that of shmlab/processes/board.py; a test compares the two.
 */
#ifndef SHMLAB_STEP_H
#define SHMLAB_STEP_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { STEP_SLOTS = 64, STEP_SLOT_SIZE = 4096 };
enum { STEP_PAUSED = 1, STEP_RUNNING = 2 };	/* what the process says of itself */
enum { STEP_GATED = 0, STEP_FREE = 1 };		/* what the lab asks of it */

struct step_slot {
	uint32_t magic;
	uint32_t pid;
	uint32_t state;
	uint32_t command;	/* written by the lab */
	uint64_t step;
	uint64_t heard;		/* orders taken from the gate; RUNNING is stored before this goes up */
	uint64_t interval;	/* nanoseconds; written by the lab */
	uint32_t sequence;	/* odd while line, label and locals are being written */
	uint32_t line;
	uint32_t label_length;
	char label[76];
	uint32_t locals_length;
	char locals[1916];
	uint32_t error_length;
	char error[2044];
};

_Static_assert(sizeof(struct step_slot) == STEP_SLOT_SIZE, "a slot is one page of the board");

static volatile struct step_slot *step_mine;	/* NULL outside the lab */
static int step_gate = -1, step_event = -1, step_ledger = -1;	/* the ledger is the end of the board */
static struct stat step_board;
static char step_shown[sizeof ((struct step_slot *)0)->locals];
static size_t step_shown_length;

static inline void step_publish(uint32_t state, const char *label, int line)
{
	size_t length = strnlen(label, sizeof step_mine->label);

	step_mine->sequence |= 1;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	step_mine->line = (uint32_t)line;
	memcpy((void *)step_mine->label, label, length);
	step_mine->label_length = (uint32_t)length;
	memcpy((void *)step_mine->locals, step_shown, step_shown_length);
	step_mine->locals_length = (uint32_t)step_shown_length;
	step_mine->state = state;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	step_mine->sequence += 1;
}

static inline char step_receive(void)
{
	char order;

	ssize_t count;

	do
		count = read(step_gate, &order, 1);
	while (count < 0 && errno == EINTR);
	if (count < 0)
		perror("step.h: the program closed the descriptors that the lab steps it by");
	if (count != 1)
		_exit(1);	/* end of file: the lab is gone, and so do we go */
	__atomic_store_n(&step_mine->state, STEP_RUNNING, __ATOMIC_SEQ_CST);
	__atomic_store_n(&step_mine->heard, step_mine->heard + 1, __ATOMIC_SEQ_CST);
	return order;
}

static inline int64_t step_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline void step_at(const char *label, int line)
{
	static int64_t published;
	char order;

	if (step_mine->command == STEP_FREE) {
		int64_t now = step_now(), begin = now, left;

		if (step_mine->interval > 0 || now - published > 20000000) {
			published = now;
			step_publish(STEP_RUNNING, label, line);
		}
		while (step_mine->command == STEP_FREE && step_mine->interval > 0
		       && (left = begin + (int64_t)step_mine->interval - step_now()) > 0) {
			struct pollfd wait = { .fd = step_gate, .events = POLLIN };
			int milliseconds = left < 3600000000000 ? (int)(left / 1000000) + 1 : 3600000;

			if (poll(&wait, 1, milliseconds) > 0)
				step_receive();		/* another speed, or an order to pause */
		}
		if (step_mine->command == STEP_FREE) {
			step_shown_length = 0;
			return;
		}
	}
	fflush(stdout);			/* what it printed so far is there to be seen */
	do {
		step_publish(STEP_PAUSED, label, line);
		(void)!write(step_event, ".", 1);	/* nobody waits for us: no failure of the program's */
		order = step_receive();
	} while (order != 's' && !(order == 'r' && step_mine->command == STEP_FREE));
	step_shown_length = 0;
}

/* One step: the scheduler may switch here. */
#define step(label) step_taken((label), __LINE__)

static inline void step_taken(const char *label, int line)
{
	if (step_mine == NULL || step_mine->pid != (uint32_t)getpid())
		return;		/* outside the lab, or the child of a fork */
	step_mine->step += 1;
	step_at(label, line);
}

/* Let the lab show a variable at the next step: show("value", "%d", value). */
__attribute__((format(printf, 2, 3), unused))
static void show(const char *name, const char *format, ...)
{
	size_t room = sizeof step_shown - step_shown_length;
	char *at = step_shown + step_shown_length;
	va_list arguments;
	int head, tail;

	if (step_mine == NULL)
		return;
	head = snprintf(at, room, "%s\t", name);
	if (head < 0 || (size_t)head >= room)
		return;
	va_start(arguments, format);
	tail = vsnprintf(at + head, room - (size_t)head, format, arguments);
	va_end(arguments);
	if (tail < 0 || (size_t)(head + tail) + 1 >= room)
		return;
	for (int i = head; i < head + tail; i++)
		if (at[i] == '\n')
			at[i] = ' ';	/* it separates one variable from the next */
	at[head + tail] = '\n';
	step_shown_length += (size_t)(head + tail) + 1;
}

/* Report why a call failed, as perror(3) does, and end with status 1. */
__attribute__((noreturn, unused))
static void die(const char *call)
{
	perror(call);
	exit(1);
}

/* The child of a fork says in the session's ledger that it is there: see shmlab/processes/ledger.py. */
static void step_note_fork(void)
{
	struct timespec now;
	struct stat there;
	char line[64];
	int length, kept = errno;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	length = snprintf(line, sizeof line, "begin %d %lld\n", (int)getpid(), (long long)now.tv_sec);
	/* A program may have closed our descriptors, and opened something else under their numbers. */
	if (fstat(step_ledger, &there) == 0 && there.st_dev == step_board.st_dev && there.st_ino == step_board.st_ino)
		(void)!write(step_ledger, line, (size_t)length);
	errno = kept;
}

__attribute__((constructor))
static void step_begin(void)
{
	const char *where = getenv("SHMLAB_STEP");
	const struct rlimit no_core = { 0, 0 };
	int slot, program;
	char *slots;

	if (where == NULL || sscanf(where, "%d,%d,%d,%d,%d", &step_gate, &step_event, &step_ledger, &slot, &program) != 5)
		return;
	unsetenv("SHMLAB_STEP");	/* a program that this one executes is not stepped, and gets none of these */
	fcntl(step_gate, F_SETFD, FD_CLOEXEC);
	fcntl(step_event, F_SETFD, FD_CLOEXEC);
	fcntl(step_ledger, F_SETFD, FD_CLOEXEC);
	setrlimit(RLIMIT_CORE, &no_core);
	slots = mmap(NULL, (size_t)STEP_SLOTS * STEP_SLOT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, step_ledger, 0);
	close(program);
	if (slots == MAP_FAILED)
		die("step.h: mmap of the board");
	step_mine = (struct step_slot *)(slots + (size_t)slot * STEP_SLOT_SIZE);
	step_mine->pid = (uint32_t)getpid();
	fstat(step_ledger, &step_board);
	pthread_atfork(NULL, NULL, step_note_fork);
	step_at("start", 0);
}

#endif
