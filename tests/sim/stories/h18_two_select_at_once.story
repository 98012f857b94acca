# H18: MODE SELECT of two pages at the same moment on two nodes: none is lost, the others are told once
at 0 A1 mode_sense caching -> GOOD
at 10 A1 mode_sense control -> GOOD
at 100 A1 mode_select caching -> GOOD
at 100 B2 mode_select control swp tas -> GOOD
at 200 A2 tur -> UA 2a01
at 201 A2 tur -> GOOD
at 210 A2 mode_sense caching -> GOOD
at 220 A2 mode_sense control -> GOOD
at 230 A2 write 1 1 -> WRITE_PROTECTED
