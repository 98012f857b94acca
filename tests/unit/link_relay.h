/* Stands between the two nodes of a test: what they send each other passes here, can be looked at, cut, spoilt
 * or held. Node 0 knows its peer as 127.0.0.4, node 1 as 127.0.0.5. */
#ifndef HALUN_TESTS_LINK_RELAY_H
#define HALUN_TESTS_LINK_RELAY_H

#include <stdbool.h>
#include <stdint.h>

struct link_relay;

struct link_relay *link_relay_start(uint16_t port);
/* Accepts NULL. */
void link_relay_stop(struct link_relay *relay);
/* Bytes are looked for in what passes from now on, in either direction; counts since. */
void link_relay_look_for(struct link_relay *relay, const void *bytes, unsigned length);
unsigned link_relay_found(struct link_relay *relay);
uint64_t link_relay_passed(struct link_relay *relay);
/* Ends all connections when `bytes` more have passed, wherever that is; new ones are let through. */
void link_relay_cut_after(struct link_relay *relay, uint64_t bytes);
/* Turns over a bit of the byte that passes `bytes` later. */
void link_relay_spoil_after(struct link_relay *relay, uint64_t bytes);
/* Nothing passes any more, nothing ends; or goes on. */
void link_relay_hold(struct link_relay *relay, bool hold);

#endif
