// Crashes in the way that its argument says. Linked statically, so that it runs
// on any image of its architecture.
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static int recurse(int n)
{
	volatile char frame[4096];

	frame[n % 4096] = n;
	return recurse(n + 1) + frame[0];
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";
	volatile int zero = 0;

	if (!strcmp(how, "null"))
		*(volatile int *)8 = 1;
	if (!strcmp(how, "jump"))
		((void (*)(void))16)();
	if (!strcmp(how, "stack"))
		return recurse(0);
	if (!strcmp(how, "divide"))
		return 1 / zero;
	if (!strcmp(how, "illegal"))
#ifdef __x86_64__
		__asm__ volatile("ud2");
#else
		__asm__ volatile(".inst 0");
#endif
	if (!strcmp(how, "noncanonical"))
		return *(volatile int *)0xdead000000000000;
	if (!strcmp(how, "bus")) {
		FILE *f = tmpfile();
		volatile char *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fileno(f), 0);

		return *p;
	}
	fprintf(stderr, "program-crash null|jump|stack|divide|illegal|noncanonical|bus\n");
	return 2;
}
