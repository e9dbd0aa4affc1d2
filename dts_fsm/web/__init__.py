"""How this package asks over HTTP: with time-outs, careful retries, verified TLS, and no secret in any text."""

from dts_fsm.web.client import Answer, HttpClient, Stream

__all__ = ["Answer", "HttpClient", "Stream"]
