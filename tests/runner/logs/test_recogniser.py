"""What a file of lookups is taken for."""

from __future__ import annotations

import pytest

from async_backfill._runner.logs.filters import Filters
from async_backfill._runner.logs.recogniser import KeyPlace, recognise
from async_backfill.errors import ConfigurationError, ScenarioError
from async_backfill.sources._rows.delimiters import delimiter_of

COMMON = '127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /a?q=1 HTTP/1.0" 200 2326'
ALB = (
    "https 2026-01-01T00:00:00.000000Z app/lb/0123 192.0.2.1:2817 198.51.100.1:80 0.001 0.002 "
    '0.000 200 200 34 366 "GET https://shop.example:443/a?ref=0 HTTP/1.1" "curl/8.0" ECDHE TLSv1.2'
)
ELB = (
    "2026-01-01T00:00:00.945958Z lb 192.0.2.1:2817 10.0.0.1:80 0.000073 0.001048 0.000057 200 200 0 29 "
    '"GET http://www.example.com:80/a?x HTTP/1.1" "curl/7.38.0" - -'
)
S3 = (
    "79a5 bucket [06/Feb/2026:00:00:38 +0000] 192.0.2.3 79a5 3E57 REST.GET.OBJECT a "
    '"GET /a?versioning HTTP/1.1" 200 - 113 - 7 - "-" "S3Console/0.4" - s9lz SigV4'
)
HAPROXY = (
    "Jan  1 00:00:00 lb haproxy[1]: 192.0.2.1:4000 [01/Jan/2026:00:00:00.000] web~ app/a1 0/0/1/5/6 200 "
    '512 - - ---- 1/1/0/0/0 0/0 {x.example} "GET /a?ref=0 HTTP/1.1"'
)
SQUID = "1767225600.000    0 192.0.2.1 TCP_MISS/200 500 GET http://cdn.example/a?b u HIER_DIRECT/1.2.3.4 text"
CADDY = '{"ts":1.5,"request":{"method":"GET","host":"x","uri":"/a?ref=0"},"status":200}'
TRAEFIK = '{"RequestMethod":"GET","RequestPath":"/a?b","DownstreamStatus":200}'
NGINX = '{"time":"x","request_method":"GET","request_uri":"/a","status":"200"}'
IIS = "#Version: 1.0\n#Fields: date cs-method cs-uri-stem sc-status\n2026-01-01 GET /a 200"
CLOUDFRONT = "#Version: 1.0\n#Fields: date cs-method cs-uri-stem sc-status\n2026-01-01\tGET\t/a\t200"
TRACE = "0,/a,6,101,1,get,0"

LOGS = {
    "common": (COMMON, "common or combined log, key: path without query", "/a"),
    "virtual host": (f"shop.example:443 {COMMON}", "common or combined log, key: path without query", "/a"),
    "ALB": (ALB, "log of an Application Load Balancer, key: path without query", "/a"),
    "ELB": (ELB, "log of a Classic Load Balancer, key: path without query", "/a"),
    "S3": (S3, "log of S3, key: path without query", "/a"),
    "HAProxy": (HAPROXY, "log of HAProxy, key: path without query", "/a"),
    "Squid": (SQUID, "log of Squid, key: URL without query", "http://cdn.example/a"),
    "Caddy": (CADDY, "JSON lines, key: the field request.uri", "/a"),
    "Traefik": (TRAEFIK, "JSON lines, key: the field RequestPath", "/a"),
    "nginx in JSON": (NGINX, "JSON lines, key: the field request_uri", "/a"),
    "IIS": (IIS, "W3C log, key: the field cs-uri-stem", "/a"),
    "CloudFront": (CLOUDFRONT, "W3C log, key: the field cs-uri-stem", "/a"),
    "cache trace": (TRACE, "cache trace of Twitter's form, key: the second field", "/a"),
}


def keys(text, **place):
    return list(recognise("x", text, KeyPlace(**place)).keys(text)[0])


@pytest.mark.parametrize(("text", "description", "key"), LOGS.values(), ids=LOGS)
def test_each_kind_of_log_is_told_by_its_lines(text, description, key):
    log = recognise("x", f"{text}\n", KeyPlace())
    assert log.description == description
    assert list(log.keys(f"{text}\n")[0]) == [key]


@pytest.mark.parametrize("name", [name for name in LOGS if name != "cache trace"])
@pytest.mark.parametrize(
    ("methods", "statuses", "count"),
    [(["get"], [], 1), (["POST"], [], 0), ([], ["2xx"], 1), ([], ["200"], 1), ([], ["404", "5xx"], 0)],
)
def test_requests_count_by_method_and_status(name, methods, statuses, count):
    filters = Filters.given(methods, statuses)
    assert len(keys(LOGS[name][0], filters=filters)) == count


@pytest.mark.parametrize("part", ["a ", "[", "\\", '"', "1,", "haproxy", '"GET ', "h2 ", "1.1 1 ", "{", "?"])
def test_no_line_takes_long_to_be_told(part):
    for text in (part * 50_000, COMMON + part * 50_000, HAPROXY[:40] + part * 50_000):
        for name in LOGS:
            recognise("x", f"{LOGS[name][0]}\n{text}", KeyPlace(format_name="log")).keys(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\nb\nc", ["a", "b", "c"]),
        ("/a,b\n/c", ["/a,b", "/c"]),
        ("a;b\nc;d;e\nf", ["a;b", "c;d;e", "f"]),
        ("a|1\nb|2", ["a|1", "b|2"]),
    ],
)
def test_lines_without_blanks_are_keys(text, expected):
    assert keys(text) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "id;preis\n0;0,99\n1;1,99",
            "looks like a table with semicolons, and its first row is id, preis: say --column",
        ),
        ("a,b\n1,2", "looks like a table with commas, and its first row is a, b: say --column"),
        ("# c\nAD\t1\tx\nAE\t2", "looks like a table with tabs, and its first row is AD, 1, x: say --column"),
        ('[\n{"a":1},\n{}]', "is a JSON array, expected one object a line: use jq -c '.[]'"),
        ('{"ts":1,"who":"x"}', "is JSON lines with the fields ts, who: say --field"),
        ('{\n  "a": 1\n}', "looks like JSON, but no line is an object; the first is"),
        ("id,v\ra,1\rb,2\r", "its lines end with CR alone, expected LF or CRLF"),
        ("two words\nx", 'cannot tell where the keys are; the first line is "two words": say --column'),
    ],
)
def test_a_file_that_is_not_certain_is_refused_with_the_option_that_says_it(text, problem):
    with pytest.raises(ScenarioError) as refused:
        recognise("x", text, KeyPlace())
    assert str(refused.value).startswith(f"x: {problem}")


def test_a_field_of_json_lines_may_be_said_and_numbers_become_text():
    assert keys('{"a":{"id":7}}\n{"a":{"id":"x"}}\n{"a":1}\nno', field="a.id") == ["7", "x"]


def test_a_column_of_a_table_may_have_any_delimiter():
    assert keys("id;preis\n0;0,99\n1;1,99", column="id") == ["0", "1"]
    assert keys("sep=;\nid;v\n7;1", column="id") == ["7"]


def test_a_field_of_a_w3c_log_may_be_said_and_may_move():
    text = "#Fields: a b\n1 2\n#Fields: b a\n3 4"
    assert keys(text, column="a") == ["1", "4"]
    with pytest.raises(ScenarioError, match="x: has no field c: say --column with one of a, b"):
        keys(text, column="c")


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ({"pattern": "(a)", "field": "b"}, "pattern: cannot be combined with --field"),
        ({"field": "a", "column": "b"}, "field: cannot be combined with --column"),
        ({"field": "a", "format_name": "log"}, "field: cannot be combined with --format log"),
        ({"format_name": "csv"}, "column: is missing, expected the key column of the table"),
        (
            {"pattern": "(a)", "filters": Filters(["GET"], [])},
            "method: is for logs of requests only, as --status is",
        ),
    ],
)
def test_what_excludes_each_other_is_refused(place, problem):
    with pytest.raises(ConfigurationError) as refused:
        KeyPlace(**place)
    assert str(refused.value) == problem


@pytest.mark.parametrize(
    ("methods", "statuses", "setting"), [(["G T"], [], "method"), ([], ["2x"], "status")]
)
def test_what_is_no_method_and_no_status_is_refused(methods, statuses, setting):
    with pytest.raises(ConfigurationError) as refused:
        Filters(methods, statuses)
    assert refused.value.setting == setting


@pytest.mark.parametrize(("text", "column"), [("a\nb", None), ("id,method\na,GET", "id"), ("a;b\nc;d", "1")])
def test_filters_on_a_file_that_is_no_log_are_refused(text, column):
    for filters in (Filters(["GET"], []), Filters([], ["2xx"])):
        with pytest.raises(ScenarioError, match="x: is no log of requests, so --method and --status"):
            keys(text, column=column, filters=filters)


@pytest.mark.parametrize(
    ("lines", "delimiter"),
    [
        (["a,b", "c,d"], ","),
        (["a;b,c", "d;e"], ";"),
        (["a\tb", "c"], None),
        (["a|b", "c|d"], "|"),
        (["a"], None),
    ],
)
def test_the_delimiter_is_the_one_that_every_line_has(lines, delimiter):
    assert delimiter_of(lines) == delimiter
