"""OpenAI's API: chat completions and responses, for the SDKs of OpenAI and all that speak it."""

from fastapi import APIRouter

from app.wires.openai import chat_routes, model_routes, response_routes

router = APIRouter(prefix="/v1", include_in_schema=False)
for _routes in (
    model_routes.router,
    chat_routes.router,
    response_routes.creating,
    response_routes.plain,
):
    router.include_router(_routes)
