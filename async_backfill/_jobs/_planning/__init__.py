"""Plan a job: measure its ends, estimate what it costs, and see what has changed since."""
