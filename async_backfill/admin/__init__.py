"""The operator's page: caches and jobs, in a browser, for who may look and who may change something."""

from async_backfill._common.extras import needed_by

with needed_by("async_backfill.admin", "admin", "starlette", "jinja2", "markupsafe"):
    from async_backfill.admin._access import Access, Visitor
    from async_backfill.admin._application import Application, routes

__all__ = ["Access", "Application", "Visitor", "routes"]
