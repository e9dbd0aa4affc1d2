"""How this package asks over HTTP: with time-outs, careful retries, verified TLS, and no secret in any text."""

from dts_fsm.web.answers import Answer, Stream
from dts_fsm.web.client import HttpClient
from dts_fsm.web.credentials import authorization

__all__ = ["Answer", "HttpClient", "Stream", "authorization"]
