/* The command lines that a client of these tests gets on its standard input. One thread. */
#ifndef HALUN_TESTS_CLIENT_COMMANDS_H
#define HALUN_TESTS_CLIENT_COMMANDS_H

#include <stdbool.h>

/* Hands every whole line that has come to `command`, without its newline; does not wait. False when the
 * client is to end: `command` said so, or nobody can say anything any more (end of file, an error, a line
 * of more than 4095 bytes). */
bool commands_read(bool (*command)(char *line));

#endif
