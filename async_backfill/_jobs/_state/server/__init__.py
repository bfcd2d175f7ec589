"""The state of jobs in PostgreSQL, in the room that needs the extra ``sql``."""
