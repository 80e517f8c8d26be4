"""The errors of the limits."""

from app.exceptions import AppError


class BeyondBudget(AppError):
    """Raised when one request may cost more tokens than a whole day has."""

    status = 422
    code = "beyond_budget"

    def __init__(self, wanted: int, limit: int) -> None:
        self.message = (
            f"This may take {wanted} tokens, and a day has {limit}: shorten the prompt, or ask for "
            "a smaller max_tokens."
        )
        super().__init__()
