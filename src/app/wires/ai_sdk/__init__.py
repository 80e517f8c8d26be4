"""The AI SDK: `useChat` and `Chat`, with a DefaultChatTransport or a WorkflowChatTransport."""
