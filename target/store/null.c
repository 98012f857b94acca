/* A store that forgets: reads give zeros. For measuring everything above it. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "target/base/container.h"
#include "target/store/options.h"
#include "target/store/store.h"

static void null_run(struct post *post)
{
    struct store_io *io = container_of(post, struct store_io, post);
    bool changes = io->operation != STORE_READ && io->operation != STORE_FLUSH;

    if (io->operation == STORE_READ)
        for (unsigned i = 0; i < io->iov_count; i++)
            memset(io->iov[i].iov_base, 0, io->iov[i].iov_len);
    io->done(io, changes && io->store->read_only ? -EROFS : 0);
}

static void null_submit(struct store *store, struct store_io *io)
{
    assert(io->operation == STORE_FLUSH ||
           (io->offset <= store->size && io->length <= store->size - io->offset));
    io->post.run = null_run;
    reactor_defer(io->reactor, &io->post);
}

static void null_close(struct store *store)
{
    free(store);
}

static const struct store_operations null_operations = {
    .name = "null",
    .submit = null_submit,
    .close = null_close,
};

int null_store_open(const struct store_options *options, struct store **store, char *why)
{
    int rc = store_options_check(options, "null store", why);

    if (rc)
        return rc;
    if (!options->size) {
        snprintf(why, STORE_WHY, "null store: size 0: a size must be given");
        return -EINVAL;
    }
    *store = calloc(1, sizeof **store);
    if (!*store) {
        snprintf(why, STORE_WHY, "null store: out of memory");
        return -ENOMEM;
    }
    **store = (struct store){
        .operations = &null_operations,
        .size = options->size,
        .block_size = options->block_size,
        .read_only = options->read_only,
        .can_unmap = true,
    };
    return 0;
}
