"""The state of jobs: functions on a transaction, and the file that runs them."""
