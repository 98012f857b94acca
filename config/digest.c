/* What must be equal on all nodes, in one canonical text, and its SHA-256: always, and after a reload. */
#include <assert.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "config/parse.h"

static void add(EVP_MD_CTX *digest, const char *text)
{
    /* with its NUL, so that no two texts run into each other */
    EVP_DigestUpdate(digest, text, strlen(text) + 1);
}

static void add_block(EVP_MD_CTX *digest, const struct config *config, enum option_block block,
                      const char *title, const void *fields, bool all)
{
    char value[512];

    add(digest, option_block_name(block));
    add(digest, title);
    for (unsigned i = 0; i < option_count; i++) {
        if (options[i].block != block || !(all || options[i].flags & OPTION_SAME))
            continue;
        option_print(&options[i], config, fields, value, sizeof value);
        add(digest, options[i].name);
        add(digest, value);
    }
}

void config_make_digest(struct config *config)
{
    EVP_MD_CTX *digest = EVP_MD_CTX_new();

    assert(digest);
    EVP_DigestInit_ex(digest, EVP_sha256(), NULL);
    add(digest, "halun 1"); /* version of this rendering */
    add_block(digest, config, BLOCK_CLUSTER, "", config, false);
    for (unsigned n = 0; n < config->node_count; n++) {
        const struct config_node *node = &config->nodes[n];
        add_block(digest, config, BLOCK_NODE, node->name, node, false);
        for (unsigned p = 0; p < node->portal_count; p++)
            add_block(digest, config, BLOCK_PORTAL, node->portals[p].name, &node->portals[p], false);
    }
    for (unsigned g = 0; g < config->group_count; g++)
        add_block(digest, config, BLOCK_GROUP, config->groups[g].name, &config->groups[g], false);
    for (unsigned l = 0; l < config->lu_count; l++) {
        char volume[12];
        add_block(digest, config, BLOCK_LU, config->lus[l].name, &config->lus[l], false);
        snprintf(volume, sizeof volume, "%u", config->lus[l].volume);
        add(digest, volume);
    }
    EVP_DigestFinal_ex(digest, config->digest, NULL);
    EVP_MD_CTX_free(digest);
}

void config_view_digest(const struct config *config, uint8_t out[32])
{
    EVP_MD_CTX *digest = EVP_MD_CTX_new();

    assert(digest);
    EVP_DigestInit_ex(digest, EVP_sha256(), NULL);
    EVP_DigestUpdate(digest, config->digest, sizeof config->digest);
    for (unsigned t = 0; t < config->target_count; t++)
        add_block(digest, config, BLOCK_TARGET, config->targets[t].name, &config->targets[t], true);
    for (unsigned h = 0; h < config->host_count; h++) {
        const struct config_host *host = &config->hosts[h];
        add(digest, host->name);
        for (unsigned i = 0; i < host->initiator_count; i++)
            add(digest, host->initiators[i]);
        for (unsigned l = 0; l < host->lun_count; l++) {
            char number[12];
            snprintf(number, sizeof number, "%u", host->luns[l].lun);
            add_block(digest, config, BLOCK_LUN, number, &host->luns[l], true);
        }
    }
    EVP_DigestFinal_ex(digest, out, NULL);
    EVP_MD_CTX_free(digest);
}
