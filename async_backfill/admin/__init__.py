"""The operator's page: jobs, in a browser, for those who may look and those who may change something."""

from async_backfill._common.extras import needed_by

with needed_by("async_backfill.admin", "admin", "starlette", "jinja2", "markupsafe"):
    from async_backfill.admin._access import Access, Visitor
    from async_backfill.admin._application import Application, routes

__all__ = ["Access", "Application", "Visitor", "routes"]
