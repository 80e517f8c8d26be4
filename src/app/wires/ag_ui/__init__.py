"""AG-UI: runs of agents, for `@ag-ui/client`, CopilotKit and others that speak its protocol."""

from app.wires.ag_ui.routes import router

__all__ = ["router"]
