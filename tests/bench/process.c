#include "tests/bench/process.h"

#include <dirent.h>
#include <stdio.h>

static void thread_use(const char *task, const char *thread, struct process_use *use)
{
    char path[512], line[256];
    unsigned long long value;
    FILE *file;

    snprintf(path, sizeof path, "%s/%s/schedstat", task, thread);
    file = fopen(path, "re");
    if (file) {
        if (fscanf(file, "%llu", &value) == 1)
            use->cpu_ns += value;
        fclose(file);
    }
    snprintf(path, sizeof path, "%s/%s/status", task, thread);
    file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "voluntary_ctxt_switches: %llu", &value) == 1)
            use->voluntary += value;
        else if (sscanf(line, "nonvoluntary_ctxt_switches: %llu", &value) == 1)
            use->forced += value;
    }
    if (file)
        fclose(file);
}

struct process_use process_use(int pid)
{
    struct process_use use = {0};
    char task[64];
    struct dirent *entry;
    DIR *folder;

    snprintf(task, sizeof task, "/proc/%d/task", pid);
    folder = opendir(task);
    while (folder && (entry = readdir(folder)))
        if (entry->d_name[0] != '.')
            thread_use(task, entry->d_name, &use);
    if (folder)
        closedir(folder);
    return use;
}
