# The shared state and the pure parts of target/command it stands on.
