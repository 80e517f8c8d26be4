"""OpenAI's API: chat completions and responses, for the SDKs of OpenAI and all that speak it."""

from fastapi import APIRouter

from app.wires.openai import routes

router = APIRouter(prefix="/v1", include_in_schema=False)
router.include_router(routes.creating)
router.include_router(routes.plain)
