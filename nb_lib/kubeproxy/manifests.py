"""Kubernetes manifests: YAML of one or several documents, JSON, lists, what ``kubectl get -o yaml`` prints.

The one module that reads YAML: PyYAML is imported when it is needed, and makes plain values only. Anchors
are refused, for a short text can say with them what fills no memory; so are texts too long or too deep.

Sources: YAML 1.1 (what kubectl reads, too); Kubernetes API, kind List.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from nb_lib.errors import LimitError, ObjectError
from nb_lib.kubeproxy.objects import KubeObject, read

LONGEST, DEEPEST = 64_000_000, 64  # letters; lists and mappings inside each other


def load(text: str) -> list[KubeObject]:
    """Return the Services, EndpointSlices and Nodes of a text; objects of other kinds are left out.

    Raises ObjectError, with the line, for what is no YAML or no object, and LimitError for a text that is
    too long or too deep.
    """
    if len(text) > LONGEST:
        raise LimitError(f"a manifest of more than {LONGEST:,} letters")
    documents = _json(text) if text.lstrip()[:1] in ("{", "[") else None
    if documents is not None:
        return read(_flat(documents))
    return _yaml(text)


def _flat(documents: list[Any]) -> Iterator[Any]:
    for document in documents:
        if isinstance(document, list):
            yield from document
        else:
            yield document


def _json(text: str) -> list[Any] | None:
    """Return the documents of JSON, None if it is none: YAML may begin with a brace, too."""
    decoder, documents, at = json.JSONDecoder(), [], 0
    text = text.strip()
    try:
        while at < len(text):
            document, at = decoder.raw_decode(text, at)
            documents.append(document)
            at += len(text) - at - len(text[at:].lstrip())
    except (ValueError, RecursionError):
        return None
    return documents


def _yaml(text: str) -> list[KubeObject]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _bounded(yaml.parse(text, Loader=loader))
        documents = list(yaml.load_all(text, Loader=loader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or str(error)
        last = text.count("\n", 0, len(text.rstrip())) + 1  # the end of a text is a line too far
        raise _misread(str(reason), min(mark.line + 1, last) if mark else 0) from None
    try:
        return read(_flat(documents))
    except ObjectError as error:
        nodes = yaml.compose_all(text, Loader=loader)
        raise _placed(error, nodes) from None


def _bounded(events: Iterator[Any]) -> None:
    """Refuse aliases and depth, before anything is built."""
    import yaml

    depth = 0
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                raise LimitError(
                    f"line {event.start_mark.line + 1}: more than {DEEPEST} lists and mappings deep"
                )
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            line = event.start_mark.line + 1
            raise _misread(f"*{event.anchor}: write out what the anchor stands for", line)


def _misread(reason: str, line: int) -> ObjectError:
    return ObjectError(reason, what=f"line {line}" if line else "YAML", path="")


# ── Where a mistake stands ──────────────────────────────────────────────────────────


def _placed(error: ObjectError, documents: Iterator[Any]) -> ObjectError:
    """Return the error with the line of its field, found by walking the text's nodes once more."""
    for document in documents:
        for node in _objects(document):
            named = _name(node)
            if error.what == (named if named[-1:].isalnum() else "object"):
                line = _line(node, re.findall(r"[^.\[\]]+", error.path))
                what = f"line {line}: {error.what}"
                return ObjectError(error.reason, what=what, path=error.path)
    return error


def _objects(node: Any) -> Iterator[Any]:
    """Yield the objects of a document: the items of a list, or itself."""
    items = node if node.id == "sequence" else _field(node, "items")
    if items is None:
        yield node
    for item in getattr(items, "value", ()):
        yield from _objects(item)


def _name(node: Any) -> str:
    """Return what an error calls an object: ``Service prod/web``; nothing if it has no kind."""
    kind, meta = _field(node, "kind"), _field(node, "metadata")
    if kind is None:
        return ""
    space, name = (getattr(_field(meta, key), "value", "") for key in ("namespace", "name"))
    return (
        f"{kind.value} {name}"
        if kind.value == "Node"
        else f"{kind.value} {space or 'default'}/{name}"
    )


def _line(node: Any, path: list[str]) -> int:
    """Return the line of a field, or of the last part of its path that is there."""
    for part in path:
        if part.isdecimal() and isinstance(node.value, list) and int(part) < len(node.value):
            inner = node.value[int(part)]
        else:
            inner = _field(node, part)
        if inner is None or isinstance(inner, tuple):
            break
        node = inner
    return int(node.start_mark.line) + 1


def _field(node: Any, name: str) -> Any:
    """Return a field of a mapping's node, None if there is none."""
    if getattr(node, "id", "") != "mapping":
        return None
    return next((value for key, value in node.value if key.value == name), None)
