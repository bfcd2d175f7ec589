"""Live control: orders to a running cache, what stands of them, and what is known of a key."""
