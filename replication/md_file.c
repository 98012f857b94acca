#include "replication/md_file.h"
