"""A client of AG-UI that does what @ag-ui/client 1.0.0 does with the events of this wire.

From src/apply/default.ts and src/verify/verify.ts of that package. tests/wires/ag_ui/test_client.py
plays the same against the package itself.
"""

import json
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass
class Client:
    """The messages that a client shows, and the events that it has received of the run."""

    messages: list[Json] = field(default_factory=list)
    state: Json = field(default_factory=dict)
    customs: list[tuple[str, Any]] = field(default_factory=list)
    end: Json | None = None
    _begun: bool = False
    _open: set[tuple[str, str]] = field(default_factory=set)

    def connect(self) -> "Client":
        """The client as it is when it sends the run again."""
        return Client(deepcopy(self.messages), deepcopy(self.state), list(self.customs))

    def posted(self) -> list[Json]:
        """The messages that it sends."""
        return [deepcopy(each) for each in self.messages if each["role"] != "activity"]

    def play(self, events: Iterable[Json]) -> "Client":
        for event in events:
            self._apply(json.loads(json.dumps(event)))
        return self

    def _apply(self, event: Json) -> None:  # noqa: C901, PLR0912 - one case a type
        type_ = event["type"]
        assert self.end is None, f"{type_} behind the end"
        assert self._begun != (type_ == "RUN_STARTED"), f"{type_} out of place"
        match type_:
            case "RUN_STARTED":
                self._begun = True
            case "RUN_FINISHED":
                assert not self._open
                self.end = event
            case "RUN_ERROR":
                self.end = event
            case "TEXT_MESSAGE_START" | "REASONING_MESSAGE_START":
                self._opens(type_, event["messageId"])
                if self._message(event["messageId"]) is None:
                    new = {"id": event["messageId"], "role": event["role"], "content": ""}
                    self.messages.append(new)
            case "TEXT_MESSAGE_CONTENT" | "REASONING_MESSAGE_CONTENT":
                assert (type_.rpartition("_")[0], event["messageId"]) in self._open
                message = self._message(event["messageId"])
                assert message is not None
                message["content"] += event["delta"]
            case "REASONING_START":
                self._opens(type_, event["messageId"])
            case "TEXT_MESSAGE_END" | "REASONING_MESSAGE_END" | "REASONING_END" | "TOOL_CALL_END":
                id_ = event.get("messageId") or event["toolCallId"]
                self._open.remove((type_.rpartition("_")[0], id_))
            case "TOOL_CALL_START":
                self._opens(type_, event["toolCallId"])
                self._call(event["toolCallId"], event["toolCallName"])
            case "TOOL_CALL_ARGS":
                assert ("TOOL_CALL", event["toolCallId"]) in self._open
                owner = self.messages[self._owner(event["toolCallId"])]
                owner["toolCalls"][0]["function"]["arguments"] += event["delta"]
            case "TOOL_CALL_RESULT":
                self._result(event)
            case "ACTIVITY_SNAPSHOT":
                self._activity(event)
            case "STATE_DELTA":
                for operation in event["delta"]:
                    self._patch(operation)
            case "MESSAGES_SNAPSHOT":
                self.customs.clear()
                self._replace(event)
            case "CUSTOM":
                self.customs.append((event["name"], event["value"]))
            case _:
                raise AssertionError(type_)

    def _opens(self, type_: str, id_: str) -> None:
        opened = type_.rpartition("_")[0], id_
        assert opened not in self._open
        self._open.add(opened)

    def _message(self, id_: str) -> Json | None:
        return next((each for each in self.messages if each["id"] == id_), None)

    def _call(self, id_: str, name: str) -> None:
        assert self._message(id_) is None
        call = {"id": id_, "type": "function", "function": {"name": name, "arguments": ""}}
        self.messages.append({"id": id_, "role": "assistant", "toolCalls": [call]})

    def _owner(self, call_id: str) -> int:
        places = enumerate(self.messages)
        calls = (i for i, each in places for c in each.get("toolCalls", ()) if c["id"] == call_id)
        return next(calls, -1)

    def _result(self, event: Json) -> None:
        message = {"id": event["messageId"], "toolCallId": event["toolCallId"], "role": "tool"}
        message["content"] = event["content"]
        if "metadata" in event:
            message["metadata"] = event["metadata"]
        assert self._message(message["id"]) is None
        owner = self._owner(event["toolCallId"])
        place = len(self.messages) if owner == -1 else owner + 1
        while place < len(self.messages) and self.messages[place]["role"] == "tool":
            place += 1
        self.messages.insert(place, message)

    def _activity(self, event: Json) -> None:
        new = {"id": event["messageId"], "role": "activity"}
        new |= {"activityType": event["activityType"], "content": event["content"]}
        known = self._message(new["id"])
        if known is None:
            self.messages.append(new)
        else:
            assert known["role"] == "activity"
            known.update(new)

    def _replace(self, event: Json) -> None:
        assert event["metadata"]["@ag-ui/client"]["authoritativeActivityTypes"] == []
        new = {each["id"]: each for each in event["messages"]}
        assert len(new) == len(event["messages"])
        with_reasoning = any(each["role"] == "reasoning" for each in new.values())

        def stays(message: Json) -> bool:
            kept = {"activity"} if with_reasoning else {"activity", "reasoning"}
            return message["id"] in new or message["role"] in kept

        left = [new.get(each["id"], each) for each in self.messages if stays(each)]
        known = {each["id"] for each in left}
        self.messages = left + [each for id_, each in new.items() if id_ not in known]

    def _patch(self, operation: Json) -> None:
        assert operation["path"].startswith("/")
        key = operation["path"][1:].replace("~1", "/").replace("~0", "~")
        if operation["op"] == "add":
            self.state[key] = operation["value"]
        else:
            del self.state[key]
