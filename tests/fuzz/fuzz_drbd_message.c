/* A stream of packets as it comes from a peer: headers, then every decoder that fits the packet,
 * and for bitmaps the map they are merged into. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "replication/dirty_map.h"
#include "replication/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SECTORS = 100000 * 8 + 3 };

static void decode(const struct packet_row *row, const uint8_t *p, size_t n, struct dirty_map *map,
                   struct dirty_map_receive *receive)
{
    union {
        struct packet_features features;
        struct packet_protocol protocol;
        struct packet_sync_param sync;
        struct packet_sizes sizes;
        struct packet_uuids uuids;
        struct wire_state state;
        struct packet_state_request request;
        struct packet_data data;
        struct packet_block_request block;
        struct packet_block_ack ack;
        struct packet_block_range range;
        struct packet_barrier_ack barrier;
        uint64_t uuid;
        uint32_t number;
        int32_t code;
    } out;

    if (row->number == P_BITMAP)
        dirty_map_receive_plain(map, receive, p, n, DIRTY_MAP_WORDS_MAX);
    if (row->number == P_COMPRESSED_BITMAP)
        dirty_map_receive_compressed(map, receive, p, n);
    /* every decoder has to stand every payload */
    packet_features_decode(p, n, &out.features);
    if (!packet_protocol_decode(p, n, &out.protocol) && strlen(out.protocol.integrity_alg) > 63)
        abort();
    packet_sync_param_decode(p, n, &out.sync);
    packet_sizes_decode(p, n, false, &out.sizes);
    packet_sizes_decode(p, n, true, &out.sizes);
    packet_uuids_decode(p, n, &out.uuids);
    packet_sync_uuid_decode(p, n, &out.uuid);
    packet_state_decode(p, n, &out.state);
    packet_state_request_decode(p, n, true, &out.request);
    packet_state_reply_decode(p, n, &out.code);
    if (!packet_data_decode(p, n, &out.data) && out.data.size % 512)
        abort();
    packet_trim_decode(p, n, &out.data);
    packet_block_request_decode(p, n, MESSAGE_MAX_BIO, &out.block);
    packet_block_ack_decode(p, n, &out.ack);
    packet_block_range_decode(p, n, &out.range);
    packet_barrier_decode(p, n, &out.number);
    packet_barrier_ack_decode(p, n, &out.barrier);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes = calloc(1, dirty_map_bytes(SECTORS));
    uint64_t *pages = calloc(dirty_map_page_words(SECTORS), sizeof *pages);
    struct dirty_map_receive receive = {0};
    enum header_form form = HEADER_100;
    struct dirty_map map;
    struct packet_header header;

    if (!bytes || !pages)
        abort();
    dirty_map_init(&map, SECTORS, bytes, pages);
    if (size && data[0] < 2) {
        form = data[0] ? HEADER_95 : HEADER_80;
        data++;
        size--;
    }
    while (size >= header_length(form) && !header_decode(form, data, &header)) {
        const struct packet_row *row = packet_row(header.command);

        data += header_length(form);
        size -= header_length(form);
        if (!row || !packet_length_ok(row, header.length) || header.length > size)
            break;
        decode(row, data, header.length, &map, &receive);
        data += header.length;
        size -= header.length;
    }
    if (map.set != dirty_map_count(&map, 0, map.bits))
        abort();
    free(bytes);
    free(pages);
    return 0;
}
