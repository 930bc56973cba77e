/* stutter: prints a word, once, and forks. Twin: stutter.py. */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "step.h"

int main(int argc, char *argv[])
{
	if (argc != 2) {
		fprintf(stderr, "usage: %s fflush|_exit|nothing\n", argv[0]);
		return 2;
	}

	printf("once ");
	if (strcmp(argv[1], "fflush") == 0)
		fflush(stdout);
	pid_t child = fork();
	if (child == -1)
		die("fork");
	if (child == 0) {
		if (strcmp(argv[1], "_exit") == 0)
			_exit(0);
		return 0;	/* and so to exit(3), which writes what is left to be written */
	}
	if (waitpid(child, NULL, 0) == -1)
		die("waitpid");
	step("wait");
	return 0;
}
