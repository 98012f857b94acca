/* Runs a fuzz target without libFuzzer: every file of the folders named on the command line, then
 * -runs=N bounded mutations of them from a fixed seed, so that a plain test run covers more than the
 * corpus and stays repeatable. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUTS = 4096, INPUT_MAX = 1 << 20 };

static struct {
    uint8_t *data;
    size_t size;
} inputs[INPUTS];
static unsigned input_count;

static void load(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(INPUT_MAX);

    if (!file || !data || input_count == INPUTS) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(2);
    }
    inputs[input_count].size = fread(data, 1, INPUT_MAX, file);
    inputs[input_count++].data = data;
    fclose(file);
}

static void load_folder(const char *path)
{
    struct dirent **names;
    int count = scandir(path, &names, NULL, alphasort);
    char file[4096];

    for (int i = 0; i < count; i++) {
        if (names[i]->d_name[0] != '.') {
            snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name);
            load(file);
        }
        free(names[i]);
    }
    if (count >= 0)
        free(names);
}

static uint64_t next_random(uint64_t *seed) /* xorshift64 */
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void run(const uint8_t *data, size_t size)
{
    /* An exact heap copy, so that the address sanitizer sees a read beyond the input. */
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

int main(int argc, char **argv)
{
    uint64_t seed = 0x9e3779b97f4a7c15u;
    long runs = 0;

    for (int i = 1; i < argc; i++)
        if (!strncmp(argv[i], "-runs=", 6))
            runs = atol(argv[i] + 6);
        else
            load_folder(argv[i]);
    for (unsigned i = 0; i < input_count; i++)
        run(inputs[i].data, inputs[i].size);
    for (long i = 0; i < runs; i++) {
        static uint8_t data[INPUT_MAX];
        size_t size = next_random(&seed) % 512;
        if (input_count) {
            unsigned from = (unsigned)(next_random(&seed) % input_count);
            size = inputs[from].size;
            memcpy(data, inputs[from].data, size);
        } else {
            for (size_t k = 0; k < size; k++)
                data[k] = (uint8_t)next_random(&seed);
        }
        for (uint64_t k = next_random(&seed) % 8; k && size; k--)
            data[next_random(&seed) % size] = (uint8_t)next_random(&seed);
        if (size && next_random(&seed) % 4 == 0)
            size = next_random(&seed) % size;
        run(data, size);
    }
    printf("%u inputs, %ld mutations\n", input_count, runs);
    return 0;
}
