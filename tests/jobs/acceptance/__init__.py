"""The acceptance of durable jobs: programs that show in real time, on real ends, what the tests promise."""
