"""What leaves this process, whatever store takes it: names of keys, and values in sealed envelopes."""
