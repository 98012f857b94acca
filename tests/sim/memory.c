/* The heap of a node: malloc() and its like of the module. It is dropped as a whole when a process ends, whatever
 * was in use. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/sim/world.h"

enum { UNIT = 16, CLASSES = 256, SMALL = 1024, PAGE = 4096, LARGE = 128 << 10, HUGE = 1 << 20, LARGES = 4096 };
#define HEAP (UINT64_C(1) << 30)
#define LARGES_AT (HEAP / 4) /* blocks of LARGE bytes and more begin here, */
#define HUGES_AT (HEAP / 2)  /* and those of HUGE bytes here */

/* Before every block. */
struct head {
    uint32_t size_class;
    uint32_t size; /* usable bytes */
    uint64_t magic;
};
#define MAGIC UINT64_C(0x68616c756e73696d)

static struct heap {
    char *base;
    size_t used, large_used, huge_used;
    void *free[CLASSES];
    unsigned larges;
    struct {
        size_t at, size;
    } large[LARGES];
} heaps[SIM_NODES + 1];

/* Blocks of up to 1 KiB in steps of 16 bytes, above in four steps per power of two. */
static unsigned class_of(size_t size, size_t *rounded)
{
    unsigned bits, shift;

    if (size < UNIT)
        size = UNIT;
    if (size <= SMALL) {
        *rounded = (size + UNIT - 1) & ~(size_t)(UNIT - 1);
        return (unsigned)(*rounded / UNIT);
    }
    bits = 63 - (unsigned)__builtin_clzl(size - 1);
    shift = bits - 2;
    *rounded = (((size - 1) >> shift) + 1) << shift;
    return SMALL / UNIT + 1 + (bits - 10) * 4 + (unsigned)((*rounded - 1) >> shift & 3);
}

/* Pages that are there are overwritten, which costs less than to fault them in again. */
static void clear(char *at, size_t size)
{
    unsigned char there[HUGE / PAGE + 1];
    char *end = at + size;

    if (mincore(at, (size_t)(end - at), there))
        abort();
    for (size_t i = 0; at + i * PAGE < end;) {
        size_t first = i;
        bool is = there[i] & 1;
        while (at + i * PAGE < end && (there[i] & 1) == is)
            i++;
        if (is)
            memset(at + first * PAGE, 0, (i - first) * PAGE);
        else
            madvise(at + first * PAGE, (i - first) * PAGE, MADV_DONTNEED); /* swapped out, perhaps */
    }
}

void memory_begin(struct host *host)
{
    struct heap *heap = &heaps[host->id];

    if (!heap->base) {
        heap->base = mmap(NULL, HEAP, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (heap->base == MAP_FAILED)
            abort();
    } else { /* reads as zeros again; of what is huge little was used */
        memset(heap->base, 0, heap->used);
        for (unsigned i = 0; i < heap->larges; i++)
            if (heap->large[i].at < HUGES_AT)
                clear(heap->base + heap->large[i].at, heap->large[i].size);
            else
                madvise(heap->base + heap->large[i].at, heap->large[i].size, MADV_DONTNEED);
    }
    heap->used = heap->larges = 0;
    heap->large_used = LARGES_AT;
    heap->huge_used = HUGES_AT;
    memset(heap->free, 0, sizeof heap->free);
}

static struct heap *mine(void)
{
    if (current)
        return &heaps[current->host->id];
    if (!world_inside)
        abort();
    return &heaps[world_inside->id];
}

/* Pages of their own. */
static char *take_large(struct heap *heap, size_t size)
{
    size_t *used = size < HUGE ? &heap->large_used : &heap->huge_used;
    size_t end = size < HUGE ? HUGES_AT : HEAP, at = *used;

    size = (size + PAGE - 1) & ~(size_t)(PAGE - 1);
    if (size > end - at || heap->larges == LARGES)
        sim_fail("a node uses more large blocks than the world has room for");
    heap->large[heap->larges].at = at;
    heap->large[heap->larges++].size = size;
    *used += size;
    return heap->base + at;
}

static char *take(struct heap *heap, size_t size)
{
    char *at = heap->base + heap->used;

    if (size >= LARGE)
        return take_large(heap, size);
    if (size > LARGES_AT - heap->used)
        sim_fail("a node uses more than %u MiB in small blocks", (unsigned)(LARGES_AT >> 20));
    heap->used += size;
    return at;
}

static void *allocate(size_t size, bool *fresh)
{
    struct heap *heap = mine();
    size_t rounded;
    unsigned size_class = class_of(size, &rounded);
    struct head *head = heap->free[size_class];

    *fresh = !head;
    if (head) {
        heap->free[size_class] = *(void **)(head + 1);
        head->magic = MAGIC;
    } else {
        head = (struct head *)take(heap, sizeof *head + rounded);
        head->size_class = size_class;
        head->size = (uint32_t)rounded;
        head->magic = MAGIC;
    }
    return head + 1;
}

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void __wrap_free(void *p);
char *__wrap_strdup(const char *text);
char *world_library_strdup(const char *text);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int __wrap_posix_memalign(void **p, size_t alignment, size_t size);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, long offset);
int __wrap_munmap(void *p, size_t size);
int __wrap_madvise(void *p, size_t size, int advice);

void *__wrap_malloc(size_t size)
{
    bool fresh;

    return allocate(size, &fresh);
}

void *__wrap_calloc(size_t count, size_t size)
{
    bool fresh;
    void *p = allocate(count * size, &fresh);

    if (!fresh)
        memset(p, 0, count * size);
    return p;
}

static bool in_heap(const struct heap *heap, const void *p)
{
    return (const char *)p >= heap->base && (const char *)p < heap->base + HEAP;
}

/* Memory of a library (libConfuse, Jansson) is not of this heap. */
void __wrap_free(void *p)
{
    struct heap *heap = mine();
    struct head *head;

    if (!p)
        return;
    if (!in_heap(heap, p)) {
        free(p);
        return;
    }
    head = (struct head *)p - 1;
    if (head->magic != MAGIC)
        sim_fail("free() of what malloc() did not give, or twice");
    head->magic = 0;
    *(void **)p = heap->free[head->size_class];
    heap->free[head->size_class] = head;
}

void *__wrap_realloc(void *old, size_t size)
{
    const struct head *head;
    void *p;

    if (!old)
        return __wrap_malloc(size);
    head = (const struct head *)old - 1;
    if (head->size >= size)
        return old;
    p = __wrap_malloc(size);
    memcpy(p, old, head->size);
    __wrap_free(old);
    return p;
}

char *world_library_strdup(const char *text)
{
    return strdup(text);
}

char *__wrap_strdup(const char *text)
{
    size_t n = strlen(text) + 1;

    return memcpy(__wrap_malloc(n), text, n);
}

/* Aligned blocks are rare and never given back: class 0 is a list that nobody takes from. */
void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    struct heap *heap = mine();
    size_t rounded = (size + UNIT - 1) & ~(size_t)(UNIT - 1), at;
    struct head *head;

    if (rounded >= LARGE) { /* in whole pages, which is as aligned as anybody asks for */
        head = (struct head *)(take_large(heap, PAGE + rounded) + PAGE) - 1;
    } else {
        at = (heap->used + sizeof(struct head) + alignment - 1) & ~(alignment - 1);
        heap->used = at - sizeof *head;
        head = (struct head *)take(heap, sizeof *head + rounded);
    }
    *head = (struct head){.size = (uint32_t)size, .magic = MAGIC};
    return head + 1;
}

int __wrap_posix_memalign(void **p, size_t alignment, size_t size)
{
    *p = __wrap_aligned_alloc(alignment, size);
    return 0;
}

void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, long offset)
{
    return __wrap_aligned_alloc(PAGE, size);
}

int __wrap_munmap(void *p, size_t size)
{
    return 0;
}

int __wrap_madvise(void *p, size_t size, int advice)
{
    return 0;
}
