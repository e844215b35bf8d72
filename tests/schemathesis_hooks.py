"""Requests that schemathesis leaves out, because OpenAPI cannot say what they mean; each names its place in the contract."""

import schemathesis


@schemathesis.hook
def filter_case(context, case):
    return not has_empty_parameter(case) and not has_nul_in_name(case.body)


def has_empty_parameter(case):
    """A1: "A query parameter that is empty is no parameter". The schema has it for a wrong number, word or date."""
    values = case.query.values() if isinstance(case.query, dict) else ()
    return any(value in ("", [], {}) or isinstance(value, list | dict) and "" in value for value in values)


def has_nul_in_name(value):
    """B: "NUL in a metadata key" is refused, at any depth. The schema only says that metadata is an object."""
    if isinstance(value, dict):
        return any("\0" in name or has_nul_in_name(inner) for name, inner in value.items())
    return isinstance(value, list) and any(map(has_nul_in_name, value))
