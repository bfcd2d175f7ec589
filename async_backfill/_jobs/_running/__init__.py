"""The running of a job: workers claim shards, copy them page by page, and obey the operator."""
