/* Files: reading them within limits, and who may have written the secrets. */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/parse.h"

enum { FILE_MAX_BYTES = 64 << 20 };

struct file {
    char *text;
    size_t length;
};

static int fail(struct config_error *error, const char *path, int code)
{
    snprintf(error->text, sizeof error->text, "%s: %s", path, strerror(code));
    return -code;
}

/* Secrets must not be readable by others, and nobody else may have put them there. */
static int check_owner(const char *path, const struct stat *status, struct config_error *error)
{
    if (status->st_uid && status->st_uid != geteuid()) {
        snprintf(error->text, sizeof error->text,
                 "%s: owner is uid %u: expected root or the user of the daemon", path,
                 (unsigned)status->st_uid);
        return -EPERM;
    }
    if (status->st_mode & 077) {
        snprintf(error->text, sizeof error->text, "%s: mode is %04o: expected 0600 (chmod 0600 %s)",
                 path, (unsigned)status->st_mode & 07777, path);
        return -EPERM;
    }
    return 0;
}

static int read_all(int fd, struct file *file)
{
    size_t room = 65536;
    ssize_t n;

    file->length = 0;
    file->text = malloc(room);
    while (file->text) {
        n = read(fd, file->text + file->length, room - file->length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (!n)
            return 0;
        file->length += (size_t)n;
        if (file->length > FILE_MAX_BYTES)
            return EFBIG;
        if (file->length == room) {
            char *larger = realloc(file->text, room *= 2);
            if (!larger)
                return ENOMEM;
            file->text = larger;
        }
    }
    return ENOMEM;
}

static void forget(struct file *file)
{
    if (file->text)
        OPENSSL_cleanse(file->text, file->length);
    free(file->text);
    *file = (struct file){0};
}

static int read_file(const char *path, bool secret, struct file *file, struct config_error *error)
{
    /* not blocking: a fifo under this name must not stop the daemon */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), code;
    struct stat status;

    if (fd < 0)
        return fail(error, path, errno);
    code = fstat(fd, &status) < 0 ? errno : S_ISDIR(status.st_mode) ? EISDIR : 0;
    if (!code && !S_ISREG(status.st_mode))
        code = EINVAL;
    if (!code && secret && check_owner(path, &status, error) < 0) {
        close(fd);
        return -EPERM;
    }
    if (!code)
        code = read_all(fd, file);
    close(fd);
    if (code) {
        forget(file);
        return fail(error, path, code);
    }
    return 0;
}

/* The path as named, relative to the configuration file; "halun.secrets" when not named. */
static int secrets_path(const char *path, const char *named, char out[256],
                        struct config_error *error)
{
    const char *slash = strrchr(path, '/');
    int n;

    if (!*named)
        named = "halun.secrets";
    if (*named == '/' || !slash)
        n = snprintf(out, 256, "%s", named);
    else
        n = snprintf(out, 256, "%.*s/%s", (int)(slash - path), path, named);
    return n < 256 ? 0 : fail(error, named, ENAMETOOLONG);
}

int config_load(const char *path, const char *node_name, struct config **config,
                struct config_error *error)
{
    struct file file = {0}, secrets = {0};
    struct config_text text = {.name = path};
    char named[256], found[256] = "";
    int result = read_file(path, false, &file, error);

    if (result)
        return result;
    text.text = file.text;
    text.length = file.length;
    result = config_parse_secrets_path(&text, named, error);
    if (!result)
        result = secrets_path(path, named, found, error);
    if (!result) {
        result = read_file(found, true, &secrets, error);
        if (result == -ENOENT && !*named) { /* nobody spoke of secrets: there are none */
            result = 0;
            found[0] = '\0';
        }
    }
    if (!result) {
        text.secrets = secrets.text;
        text.secrets_length = secrets.length;
        text.secrets_name = found;
        result = config_parse(&text, node_name, config, error);
    }
    if (!result)
        strcpy((*config)->secrets, found);
    forget(&secrets);
    forget(&file);
    return result;
}

const struct config_host *config_host_for(const struct config *config, const char *initiator)
{
    /* iSCSI names are compared in lower case (RFC 7143 4.2.7.2); initiators do send capitals */
    for (unsigned i = 0; i < config->host_count; i++)
        for (unsigned j = 0; j < config->hosts[i].initiator_count; j++)
            if (!strcasecmp(config->hosts[i].initiators[j], initiator))
                return &config->hosts[i];
    for (unsigned i = 0; i < config->host_count; i++)
        for (unsigned j = 0; j < config->hosts[i].initiator_count; j++)
            if (option_is_pattern(config->hosts[i].initiators[j]) &&
                !fnmatch(config->hosts[i].initiators[j], initiator, FNM_NOESCAPE | FNM_CASEFOLD))
                return &config->hosts[i];
    return NULL;
}
