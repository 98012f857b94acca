#include "target/base/threads.h"

struct threads threads;
