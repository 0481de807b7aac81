"""FileMaker's own error codes, with the HTTP status that each comes with."""

from __future__ import annotations

import json

from fm_migration_tests.filemaker_server.wire import Answer

#: Code: (status, message). Codes of 1700 and more are what the server says of HTTP itself.
CODES: dict[str, tuple[int, str]] = {
    "10": (401, "HTTP Authorization header or OAuth headers are missing."),
    "101": (500, "Record is missing"),
    "102": (500, "Field is missing"),
    "104": (500, "Script is missing"),
    "105": (500, "Layout is missing"),
    "112": (500, "Window is missing"),
    "200": (500, "Record access is denied"),
    "201": (500, "Field cannot be modified"),
    "212": (401, "Invalid user account and/or password; please try again"),
    "306": (500, "Record modification ID does not match"),
    "400": (500, "Find criteria are empty"),
    "401": (500, "No records match the request"),
    "500": (500, "Date value does not meet validation entry options"),
    "802": (500, "Unable to open file"),
    "812": (500, "Exceeded host's capacity"),
    "952": (401, "Invalid FileMaker Data API token (*)"),
    "953": (500, "Exceeded limit on data the FileMaker Data API can transmit (*)"),
    "956": (500, "Maximum number of database sessions exceeded (*)"),
    "960": (400, "Parameter is invalid"),
    "1700": (404, "Resource doesn't exist"),
    "1704": (405, "Resource doesn't support the specified HTTP verb"),
    "1705": (415, "Required HTTP header wasn't specified"),
    "1708": (400, "Parameter value is invalid"),
}


class FileMakerError(Exception):
    """An answer of FileMaker's that is not "OK"."""

    def __init__(self, code: str, message: str | None = None, status: int | None = None) -> None:
        usual_status, usual_message = CODES.get(code, (500, "Unknown error"))
        super().__init__(code)
        self.code, self.message, self.status = code, message or usual_message, status or usual_status

    def answer(self) -> Answer:
        """As the server writes it: the code is a string."""
        body = {"messages": [{"code": self.code, "message": self.message}], "response": {}}
        return Answer(self.status, json.dumps(body, separators=(",", ":")).encode())
