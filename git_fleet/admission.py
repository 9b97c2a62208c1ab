"""Who may look at the board.

A request must come to a name of this machine's loopback (`Host`), from no other site (`Origin`, `Sec-Fetch-Site`), and
know the token that the address was printed with; the first page puts it into a cookie, so that it leaves the address
bar. A browser that is started for it gets another one, which counts once: everybody on the machine can read how a
program was started. Everything but GET and HEAD is refused. The pages' policy allows our own script and style, and no
other.
"""

from __future__ import annotations

import hmac

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = "127.0.0.1"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"cache-control", b"no-store"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


class Guard:
    """Lets through who may look, and puts the policy on every answer."""

    def __init__(self, app: ASGIApp, *, port: int, token: str, once: str) -> None:
        self._app = app
        self._token, self._once = token, once
        self._cookie = f"fleet-board-{port}"  # cookies are shared by all ports of a host
        self._hosts = frozenset(f"{name}:{port}" for name in (HOST, "localhost", "[::1]"))
        self._origins = frozenset(f"http://{host}" for host in self._hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                ours = {name for name, _ in _HEADERS}
                theirs = [
                    (name, value) for name, value in message.get("headers", ()) if name.lower() not in ours
                ]
                message["headers"] = [*theirs, *_HEADERS]
            await send(message)

        answer = self._answer(Request(scope)) or self._app
        await answer(scope, receive, guarded)

    def _answer(self, request: Request) -> Response | None:
        """What is said instead of the page; None to those who may see it."""
        if request.method not in ("GET", "HEAD"):
            return PlainTextResponse("the board is for looking only\n", 405, {"allow": "GET, HEAD"})
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return PlainTextResponse("the board is not reached by this name\n", 421)
        origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site", "none")
        if (origin is not None and origin not in self._origins) or site not in ("none", "same-origin"):
            return PlainTextResponse("the board answers to no other site\n", 403)
        given = request.query_params.get("token")
        if given is not None and request.url.path == "/" and (self._knows(given) or self._redeems(given)):
            there = RedirectResponse("/", 303)
            there.set_cookie(self._cookie, self._token, httponly=True, samesite="strict")
            return there
        if self._knows(request.cookies.get(self._cookie, "")):
            return None
        return PlainTextResponse("open the address that git fleet board has printed: it has a token\n", 403)

    def _knows(self, given: str) -> bool:
        return _same(given, self._token)

    def _redeems(self, given: str) -> bool:
        if not self._once or not _same(given, self._once):
            return False
        self._once = ""
        return True


def _same(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), secret.encode())
