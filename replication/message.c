#include "replication/message.h"
