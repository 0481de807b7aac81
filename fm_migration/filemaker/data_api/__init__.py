"""FileMaker Server's Data API over HTTPS, read only: sessions, records, containers, and OData as a second way to bytes.

Belongs here: what is sent and what an answer means. Does not belong here: whether bytes are a picture (`images/`), what
is brought when and where it is kept (`intake/`), any database or object store.

The facts stand in docs/intake.md. Three of them shape everything: ordinary outcomes come as HTTP 500 with a code; the
engine behind the proxy dies and answers 502 in HTML; and whoever forgets to log out takes a session from the clinic's
own users. No account, password, token, cookie or container's URL leaves this package by a log, an exception or what
hangs on one: httpx's own exceptions carry the request with its headers, so they are never kept, not even as the
context of ours.
"""
