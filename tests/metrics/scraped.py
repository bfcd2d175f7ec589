"""What a scrape says: the text that a server of Prometheus gets, read again."""

from __future__ import annotations

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families


def families(registry):
    """Return the families of a scrape of ``registry``, by their names."""
    text = generate_latest(registry).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def samples(registry, **labels):
    """Return the value of each sample that has these ``labels``, by its name and its other labels."""
    found = {}
    for family in families(registry).values():
        for sample in family.samples:
            if labels.items() <= sample.labels.items() and not sample.name.endswith("_created"):
                rest = {name: value for name, value in sample.labels.items() if name not in labels}
                found[sample.name.removeprefix("async_backfill_"), *sorted(rest.items())] = sample.value
    return found


def values(registry, name, **labels):
    """Return the values of the samples of ``name``, by their other label, or the only one."""
    found = {key[1:]: value for key, value in samples(registry, **labels).items() if key[0] == name}
    if set(found) == {()}:
        return found[()]
    return {
        rest[0][1] if len(rest) == 1 else tuple(value for _, value in rest): value
        for rest, value in found.items()
    }
