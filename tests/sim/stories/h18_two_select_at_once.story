# H18: MODE SELECT of two pages at the same moment on two nodes: none is lost, the others are told once
at 0 A1 mode_sense caching -> GOOD
at 10 A1 mode_sense control -> GOOD
# the ring stands still, so that neither knows of the other
at 99 cluster 1
at 100 A1 mode_select caching -> GOOD
at 100 B2 mode_select control swp tas -> GOOD
at 300 heal
at 500 A2 tur -> UA 2a01
at 501 A2 tur -> GOOD
at 510 A2 mode_sense caching -> GOOD
at 520 A2 mode_sense control -> GOOD
at 530 A2 write 1 1 -> WRITE_PROTECTED
