/*
 * fault.h: lets a C program say what it dies of. After report_faults(m), a fatal touch prints its signal, its
 * si_code and where it was, counted from m; then the process dies of it all the same.
 *
 * The handler calls nothing but what signal-safety(7) allows: write(2), and no printf.
 */
#ifndef SHMLAB_FAULT_H
#define SHMLAB_FAULT_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const volatile char *fault_base;

static void fault_print(const char *text)
{
	(void)!write(STDERR_FILENO, text, strlen(text));
}

static void fault_report(int sig, siginfo_t *info, void *context)
{
	long offset = (const volatile char *)info->si_addr - fault_base;
	unsigned long rest = offset < 0 ? -offset : offset;
	char digits[24], *first = digits + sizeof digits - 1;

	(void)context;
	if (sig == SIGBUS)
		fault_print(info->si_code == BUS_ADRERR ? "SIGBUS, BUS_ADRERR" : "SIGBUS, another si_code");
	else
		fault_print(info->si_code == SEGV_MAPERR ? "SIGSEGV, SEGV_MAPERR"
			    : info->si_code == SEGV_ACCERR ? "SIGSEGV, SEGV_ACCERR" : "SIGSEGV, another si_code");

	*first = '\0';
	do
		*--first = '0' + rest % 10;
	while ((rest /= 10) > 0);
	fault_print(offset < 0 ? ": offset -" : ": offset ");
	fault_print(first);
	fault_print(" of the mapping\n");
}

static void report_faults(const volatile void *base)
{
	/* SA_RESETHAND: when the handler returns, the same instruction runs again, and now it kills. */
	struct sigaction action = { .sa_sigaction = fault_report, .sa_flags = SA_SIGINFO | SA_RESETHAND };

	fault_base = base;
	if (sigaction(SIGBUS, &action, NULL) == -1 || sigaction(SIGSEGV, &action, NULL) == -1) {
		perror("sigaction");
		exit(1);
	}
}

#endif
