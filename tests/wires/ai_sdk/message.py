"""A UI message, made from chunks as the AI SDK makes it, and the one that a stream's parts make.

`Message` follows `processUIMessageStream` (ai 7, src/ui/process-ui-message-stream.ts), and refuses
the same chunks.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from app.folding import Told
from app.wires.values import plain

Chunk = dict[str, Any]

REASONS = {"stop", "length", "content-filter", "tool-calls", "error", "interrupted", "other"}
PLAIN = {
    *("start", "start-step", "finish-step", "reset-step"),
    *("message-metadata", "error", "abort", "finish"),
}


class Message:
    """The message of one answer."""

    def __init__(self, chunks: Iterable[Chunk] = ()) -> None:
        self.id = ""
        self.parts: list[Chunk] = []
        self.metadata: dict[str, Any] = {}
        self.finish_reason: str | None = None
        self.error: str | None = None
        self.finished = False
        self._active: dict[tuple[str, str], Chunk] = {}
        for chunk in chunks:
            self.read(chunk)

    def read(self, chunk: Chunk) -> None:
        """Read the next chunk."""
        assert not self.finished, f"{chunk} comes behind finish"
        kind, _, way = chunk["type"].partition("-")
        if chunk["type"] in PLAIN:
            self._read_plain(chunk)
        elif kind in {"text", "reasoning"}:
            self._read_text(kind, way, chunk)
        elif chunk["type"].startswith("data-"):
            self._read_data(chunk)
        elif chunk["type"] == "source-url":
            self.parts.append(chunk)
        else:
            self._read_tool(chunk)

    def _read_plain(self, chunk: Chunk) -> None:
        self.metadata |= chunk.get("messageMetadata", {})
        match chunk["type"]:
            case "start":
                assert not self.id
                self.id = chunk["messageId"]
            case "start-step":
                self.parts.append({"type": "step-start"})
            case "reset-step":
                del self.parts[self._step() :]
                self._active.clear()
            case "error":
                self.error = chunk["errorText"]
            case "finish":
                assert not self._active, "a text was not ended"
                self.finished = True
                self.finish_reason = chunk["finishReason"]
                assert self.finish_reason in REASONS
            case _:
                pass

    def _read_text(self, kind: str, way: str, chunk: Chunk) -> None:
        key = kind, chunk["id"]
        if way == "start":
            assert key not in self._active
            known = [part["id"] for part in self.parts[self._step() :] if part["type"] == kind]
            assert chunk["id"] not in known, "an id is unique within a step"
            self._active[key] = {"type": kind, "id": chunk["id"], "text": "", "state": "streaming"}
            self.parts.append(self._active[key])
        elif way == "delta":
            self._active[key]["text"] += chunk["delta"]
        else:
            assert way == "end"
            self._active.pop(key)["state"] = "done"

    def _read_data(self, chunk: Chunk) -> None:
        for part in self.parts:
            if "id" in chunk and (part["type"], part.get("id")) == (chunk["type"], chunk["id"]):
                part["data"] = chunk["data"]
                return
        self.parts.append(dict(chunk))

    def _read_tool(self, chunk: Chunk) -> None:
        assert chunk["dynamic"]
        assert chunk["providerExecuted"]
        parts = self.parts[self._step() :]
        known = [part for part in parts if part.get("toolCallId") == chunk["toolCallId"]]
        match chunk["type"]:
            case "tool-input-available":
                assert not known, "the call would take the place of an earlier one"
                call = {name: chunk[name] for name in ("toolCallId", "toolName", "input")}
                self.parts.append({"type": "dynamic-tool", **call, "state": "input-available"})
            case "tool-output-available":
                (part,) = known
                part |= {"state": "output-available", "output": chunk["output"]}
            case "tool-output-error":
                (part,) = known
                part |= {"state": "output-error", "errorText": chunk["errorText"]}
            case other:
                raise AssertionError(other)

    def _step(self) -> int:
        starts = [i for i, part in enumerate(self.parts) if part["type"] == "step-start"]
        return starts[-1] + 1 if starts else 0

    @property
    def said(self) -> Sequence[Chunk]:
        """The parts without those that only mark a step."""
        return [part for part in self.parts if part["type"] != "step-start"]


def expected(parts: Sequence[Told]) -> list[Chunk]:
    """The parts of the message for these parts of a stream that has ended."""
    taken: Counter[tuple[str, str]] = Counter()

    def free(kind: str, id_: str) -> str:
        number, wanted = 1, id_
        while taken[kind, wanted]:
            number += 1
            wanted = f"{id_}:{number}"
        taken[kind, wanted] += 1
        return wanted

    return [_expected(part, str(index), free) for index, part in enumerate(parts)]


def _expected(part: Told, index: str, free: Any) -> Chunk:
    kind = part["kind"]
    match kind:
        case "answer" | "thinking":
            type_ = {"answer": "text", "thinking": "reasoning"}[kind]
            return {"type": type_, "id": index, "text": part["text"], "state": "done"}
        case "tool_call":
            return _expected_call(part, free("tool", part["id"]))
        case "data":
            type_ = f"data-{part['name']}"
            id_ = free(type_, part["id"] or part["name"])
            return {"type": type_, "id": id_, "data": plain(part["value"])}
        case "progress":
            told = {name: part[name] for name in ("label", "done", "total")}
            id_ = free("data-progress", part["label"])
            return {"type": "data-progress", "id": id_, "data": told}
        case "source":
            source = {"sourceId": index, "url": part["url"], "title": part["title"]}
            return {"type": "source-url", **source}
        case _:
            members = {name: value for name, value in part.items() if name != "kind"}
            data = {"type": f"data-{kind}", "data": plain(members)}
            if "text" in part:
                data["id"] = free(f"data-{kind}", kind)
            return data


def _expected_call(part: Told, id_: str) -> Chunk:
    call = {
        "type": "dynamic-tool",
        "toolCallId": id_,
        "toolName": part["name"],
        "input": plain(part["arguments"]),
    }
    match part["state"]:
        case "running":
            return {**call, "state": "input-available"}
        case "done":
            return {**call, "state": "output-available", "output": plain(part["result"]["output"])}
        case _:
            return {**call, "state": "output-error", "errorText": part["result"]["error"]}


def as_json(value: Any) -> Any:
    """The value as a client has it: halves of surrogate pairs that meet are one character."""
    text = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass")
    return json.loads(text.decode("utf-16", "surrogatepass"))
