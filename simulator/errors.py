"""What the simulator refuses, by name. Each error carries its HTTP status for the control API. Pure."""

from typing import Any, ClassVar


class SimulatorError(Exception):
    """The base of every refusal; never raised itself."""

    code: ClassVar[str]
    """The name that the control API answers with."""
    status: ClassVar[int]
    """The HTTP status that the control API answers with."""

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class InvalidRequestError(SimulatorError):
    """The body or the query does not fit the operation."""

    code = "invalid_request"
    status = 400


class UnknownOperationError(SimulatorError):
    """There is no such operation in the control API."""

    code = "unknown_operation"
    status = 404


class UnknownGroupError(SimulatorError):
    """There is no group of that id."""

    code = "unknown_group"
    status = 404


class NotConnectedError(SimulatorError):
    """No page of that account is logged in now."""

    code = "not_connected"
    status = 409


class QueueFullError(SimulatorError):
    """An account's offline queue, or the truth log, holds all it may hold."""

    code = "queue_full"
    status = 507


class CodeExpiredError(SimulatorError):
    """The QR or link code is unknown, used or too old: an outcome of what the phone did, so the status is 200."""

    code = "code_expired"
    status = 200


class AccountBannedError(SimulatorError):
    """WhatsApp refuses to link a page to a banned account: an outcome of what the phone did, so the status is 200."""

    code = "account_banned"
    status = 200


class PageMissingError(SimulatorError):
    """The page's scripts are not where the package expects them."""

    code = "page_missing"
    status = 500
