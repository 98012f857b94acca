# The shared state, and the pure parts of target/command that it stands on.
halun_library(halun_shared SOURCES
  shared_effects.c
  shared_encode.c
  shared_group.c
  shared_register.c
  shared_registrants.c
  shared_reservation.c
  shared_state.c
  ${CMAKE_SOURCE_DIR}/target/command/identity.c
  ${CMAKE_SOURCE_DIR}/target/command/unit_attention.c)
