/* Large memory straight from the kernel: zero, and a page that is never touched costs nothing. malloc() and calloc()
 * may hand out memory that was used before, all of which calloc() then clears.
 *
 * Threads: any. */
#ifndef HALUN_BASE_PAGES_H
#define HALUN_BASE_PAGES_H

#include <stddef.h>
#include <sys/mman.h>

/* size bytes, more than 0. NULL when there is no memory. The caller gives them back with pages_free(). */
static inline void *pages_new(size_t size)
{
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return pages == MAP_FAILED ? NULL : pages;
}

/* size as it was asked for; NULL is nothing to give back. */
static inline void pages_free(void *pages, size_t size)
{
    if (pages)
        munmap(pages, size);
}

#endif
