/* A guard of the protocol; it is open to all when it is broken, alone or together with another one. In a scenario that
 * is told to show that a guard never decides, it must not be open to anybody whom it would have kept out (opens_guard:
 * "opened = 1", a macro of the compiler's, as spin wants no assignment there). */
c_decl { static int opened; };
hidden byte broken, also;    /* numbers of guards of tests/model/guards, 0: none */
hidden byte NEVER;           /* the broken guard must not decide anything */
#define BROKEN(name) (broken == name || also == name)
#define GUARD(name, condition) ((condition) || BROKEN(name) && c_expr { opens_guard })
