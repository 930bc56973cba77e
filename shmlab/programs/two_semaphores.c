/* two_semaphores: needs two semaphores at once and takes them in the order it was told: two of these, told
 * differently, can deadlock. Twin: two_semaphores.py. */
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#include "step.h"

int main(int argc, char *argv[])
{
	if (argc != 3) {
		fprintf(stderr, "usage: %s /first /second\n", argv[0]);
		return 2;
	}
	const char *first = argv[1], *second = argv[2];

	sem_t *one = sem_open(first, 0);
	if (one == SEM_FAILED)
		die("sem_open");
	sem_t *other = sem_open(second, 0);
	if (other == SEM_FAILED)
		die("sem_open");

	if (sem_wait(one) == -1)
		die("sem_wait");
	step("sem_wait first");
	if (sem_wait(other) == -1)
		die("sem_wait");
	step("sem_wait second");
	if (sem_post(other) == -1)
		die("sem_post");
	step("sem_post second");
	if (sem_post(one) == -1)
		die("sem_post");
	step("sem_post first");
	return 0;
}
