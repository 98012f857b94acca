#include "replication/metadata.h"
