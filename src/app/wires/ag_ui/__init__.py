"""AG-UI: runs of agents, for `@ag-ui/client`, CopilotKit and others that speak its protocol."""
