#include "replication/generation.h"
