"""The AI SDK: `useChat` and `Chat`, with a DefaultChatTransport or a WorkflowChatTransport."""

from app.wires.ai_sdk.routes import router

__all__ = ["router"]
