"""OpenAI's API: chat completions and responses, for the SDKs of OpenAI and all that speak it."""
