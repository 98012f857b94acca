#include "replication/activity_log.h"
