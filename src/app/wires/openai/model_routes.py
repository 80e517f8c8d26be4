"""The routes of models: those of the provider, and the agents that answer a conversation."""

from fastapi import APIRouter

from app.api.deps import Context, ContextDep
from app.wires.openai import requests, shapes
from app.wires.rendering import Json

router = APIRouter(route_class=shapes.PLAIN)


@router.get("/models")
async def list_models(context: ContextDep) -> Json:
    """List the models, and the agents that answer a conversation."""
    return {"object": "list", "data": list(_models(context).values())}


@router.get("/models/{name:path}")
async def show_model(name: str, context: ContextDep) -> Json:
    """Show one of them."""
    models = _models(context)
    if name not in models:
        raise requests.no_model(list(models))
    return models[name]


def _models(context: Context) -> dict[str, Json]:
    agents = requests.chat_agents(context.inputs.agents)
    owners = {
        **dict.fromkeys(context.model.models, context.settings.provider),
        **dict.fromkeys(agents, "agent"),
    }
    return {
        name: {"id": name, "object": "model", "created": 0, "owned_by": owner}
        for name, owner in owners.items()
    }
