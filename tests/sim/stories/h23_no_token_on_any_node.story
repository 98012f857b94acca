# H23: no node gives a token (there is no offloaded copy yet), so none can be used on another one
at 0 A1 populate_token -> INVALID_OPCODE
at 10 A1 write_using_token -> INVALID_OPCODE
at 20 A2 write_using_token -> INVALID_OPCODE
at 30 A2 write 1 1 -> GOOD
