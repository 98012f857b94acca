#include "replication/dirty_map.h"
