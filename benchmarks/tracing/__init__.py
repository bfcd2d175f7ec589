"""What spans cost: without a provider of spans, and with one."""
