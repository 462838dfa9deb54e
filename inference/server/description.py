"""What the interface for programs offers, as OpenAPI and as a page."""

import json
from typing import Any

from inference.figures import Markup, join, tag

_ITEM = {"type": "object", "properties": {
    "id": {"type": "string"}, "label": {"type": ["string", "null"]},
    "code": {"type": "string", "description": "its bits, 0110..."},
    "film": {"type": ["string", "null"], "description": "address of a PNG picture of some frames"},
    "video": {"type": ["string", "null"], "description": "address of the video"}}}
_RESULT = {"allOf": [{"$ref": "#/components/schemas/Item"}, {"type": "object", "properties": {
    "rank": {"type": "integer"}, "distance": {"type": "integer", "description": "Hamming distance"}}}]}
_ERROR = {"type": "object", "properties": {"error": {"type": "string"}}}
_K = {"type": "integer", "minimum": 1, "maximum": 100, "default": 10}
_FILM = {"type": "integer", "minimum": 0, "maximum": 1, "default": 0,
         "description": "whether the answer is to have frames of an uploaded video, as query.film, a data: address"}
_LABEL = {"type": "string", "description": "of which the results are to be"}


def _in(place: str, name: str, schema: dict[str, Any], *, required: bool = False) -> dict[str, Any]:
    return {"in": place, "name": name, "schema": schema, "required": required}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _answers(about: str, schema: dict[str, Any], **refused: str) -> dict[str, Any]:
    return {"200": {"description": about, "content": _json(schema)}} | {
        status.lstrip("_"): {"description": why, "content": _json(_ERROR)} for status, why in refused.items()}


_SEARCH = {"type": "object", "properties": {"id": {"type": "string"}, "code": {"type": "string"}, "k": _K,
                                            "label": _LABEL}}
_FOUND = {"type": "object", "properties": {"query": {"type": "object"}, "results": {
    "type": "array", "items": {"$ref": "#/components/schemas/Result"}}}}
_LISTED = {"type": "object", "properties": {
    "items": {"type": "array", "items": {"$ref": "#/components/schemas/Item"}}, "total": {"type": "integer"},
    "labels": {"type": "array", "items": {"type": "string"}}}}
OPENAPI: dict[str, Any] = {
    "openapi": "3.1.0", "info": {"title": "Search of video codes", "version": "1"},
    "components": {"schemas": {"Item": _ITEM, "Result": _RESULT}},
    "paths": {
        "/search": {"post": {
            "summary": "The nearest items of an item (id), of a code, or of a video, which is the whole body",
            "parameters": [_in("query", "k", _K), _in("query", "label", _LABEL), _in("query", "film", _FILM)],
            "requestBody": {"content": _json(_SEARCH) | {"video/*": {"schema": {"type": "string",
                                                                                "format": "binary"}}}},
            "responses": _answers("the query's code, and the results, nearest first", _FOUND, _404="no such item",
                                  _413="too long", _422="not understood, or no video", _503="too many uploads")}},
        "/items/{id}": {"get": {"summary": "An item",
                                "parameters": [_in("path", "id", {"type": "string"}, required=True)],
                                "responses": _answers("the item", {"$ref": "#/components/schemas/Item"},
                                                      _404="no such item")}},
        "/items": {"get": {"summary": "Some items, in the order of the index, and all labels",
                           "parameters": [_in("query", "start", {"type": "integer"}), _in("query", "label", _LABEL)],
                           "responses": _answers("the items", _LISTED, _422="not understood")}}}}


def described() -> str:
    """The page /docs."""
    parts = []
    for path, methods in OPENAPI["paths"].items():
        for method, about in methods.items():
            content = {name: about[name] for name in ("parameters", "requestBody", "responses") if name in about}
            parts.append(tag("section", tag("h2", f"{method.upper()} {path}"), tag("p", about["summary"]),
                             tag("pre", json.dumps(content, indent=1), tabindex="0")))
    head = tag("head", tag("meta", charset="utf-8"),
               tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
               tag("title", "Interface for programs"), Markup('<link rel="stylesheet" href="/serve.css">'))
    body = tag("body", tag("main", tag("h1", "Interface for programs"), tag(
        "p", tag("a", "openapi.json", href="/openapi.json"), ' has it for programs; errors are {"error": ...}.'),
        join(parts)))
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"
