# H13: a unit is the same unit on every node, whoever owns it
at 0 A1 serial -> GOOD value 1
at 0 A2 serial -> GOOD value 1
at 10 A1 report_luns -> GOOD value 2
at 10 A2 report_luns -> GOOD value 2
at 100 switch 0 2
at 10000 A1 serial -> GOOD value 1
at 10000 A2 serial -> GOOD value 1
at 10010 A1 report_luns -> GOOD value 2
at 10010 A2 report_luns -> GOOD value 2
