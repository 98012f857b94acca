#ifndef HALUN_BASE_CONTAINER_H
#define HALUN_BASE_CONTAINER_H

#include <stddef.h>

/* The object of `type` whose `member` is at `pointer`. */
#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

#endif
