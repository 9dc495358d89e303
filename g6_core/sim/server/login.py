"""The login page of the simulated broker: one button that sends the browser back with a request token."""

from html import escape
from urllib.parse import parse_qsl, urlencode, urlsplit

from g6_core.sim.kite_shapes import API_KEY, REQUEST_TOKEN

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Log in to the simulated exchange</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 24rem; margin: 15vh auto; padding: 0 1rem; color: #222 }}
button {{ font: inherit; padding: .5rem 1.5rem; border: 0; border-radius: .25rem; background: #1f5fa8; color: #fff }}
</style>
</head>
<body>
<h1>Simulated exchange</h1>
<p>The app <b>{api_key}</b> asks for access to a made-up account. Nothing here is real.</p>
<form method="post"><button type="submit">Log in</button></form>
</body>
</html>
"""


def is_known_app(api_key: str) -> bool:
    """Only one app is registered."""
    return api_key == API_KEY


def page(api_key: str) -> str:
    """The page; its button posts to the address it came from."""
    return PAGE.format(api_key=escape(api_key))


def landing(redirect_url: str, redirect_params: str) -> str:
    """Where the browser goes after the button: the registered address with the token and the caller's own parameters.

    `redirect_params` is a query string, as Kite takes it.
    """
    ours = [("request_token", REQUEST_TOKEN), ("action", "login"), ("type", "login"), ("status", "success")]
    query = urlencode([*ours, *parse_qsl(redirect_params)])
    return f"{redirect_url}{'&' if urlsplit(redirect_url).query else '?'}{query}"
