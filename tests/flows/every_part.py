"""The function of the flows with an agent whose answer has a part of each kind."""

from collections.abc import AsyncGenerator

import function  # type: ignore[import-not-found]  # it lies beside this file where the flows run

from app import models
from app.agents import agent
from app.application import create_app
from app.events import Answer, Data, Progress, Source, Thinking, ToolCall, ToolResult
from app.task import Task
from durable_stream import Event
from lambda_stream import Adapter

TEXT = """\
A paragraph with **bold** text, `code` and a [link](https://example.com/).

## A heading

- a list
- of two

> a quote

| a | table |
| - | ----- |
| 1 | 2     |

```python
print("code")
```

"""
PARTS = (
    Thinking("I think, "),
    Thinking("therefore I answer."),
    Answer(TEXT),
    ToolCall("1", "weather", {"place": "Paris"}),
    ToolResult("1", {"degrees": 21}),
    ToolCall("2", "stocks", {}),
    ToolResult("2", error="The exchange is closed."),
    ToolCall("3", "slow", {"seconds": 60}),
    Progress("Indexing", 3, 10),
    Progress("Searching", 3),
    Data("Words", 1200),
    Data("Place", {"name": "Paris", "country": "France"}),
    Source("A map", "https://example.com/map"),
    Source("A file", "file:///map"),
)


@agent(resume="restart")
async def every_part(task: Task) -> AsyncGenerator[Event]:
    """Yield all the parts, then answer with the model."""
    for part in PARTS:
        yield part
    async for event in models.answer(task):
        yield event


handler = Adapter(create_app(function.settings, function.provider, agents=[every_part]))
